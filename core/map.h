#pragma once
/*
 * Hash map from bytes to a pointer. The map owns neither: the key must live as long as the entry,
 * best inside the value. Hash is seeded per process, so a peer cannot choose collisions.
 * Open addressing; a put may move entries, so no put or delete while iterating, except map_del()
 * of the current entry.
 */
#include "core/sv.h"

struct map_entry {
	struct sv key;
	void *value;
	uint64_t hash;
};
struct map {
	struct map_entry *slots;
	size_t n, used, size; /* entries, entries + tombstones, slots (power of two) */
};

void map_init(struct map *m);
void map_done(struct map *m);
size_t map_len(const struct map *m);
void *map_get(const struct map *m, struct sv key); /* NULL if absent */
/* Returns the value that was replaced, or NULL. `value` is never NULL. */
void *map_put(struct map *m, struct sv key, void *value);
void *map_del(struct map *m, struct sv key); /* the removed value or NULL */
/* The next used entry at or behind *pos, NULL at the end. Order is arbitrary. */
struct map_entry *map_next(const struct map *m, size_t *pos);
uint64_t map_hash(struct sv key); /* the seeded hash itself */
/* Fixes the hash seed, hence the order of iteration: for simulations, before the first entry. */
void map_seed(uint64_t k0, uint64_t k1);

/* The loop variable is a name, not an expression. NOLINTBEGIN(bugprone-macro-parentheses) */
#define map_for_each(e, m)                                                                         \
	for (size_t e##_pos = 0, e##_once = 1; e##_once; e##_once = 0)                             \
		for (struct map_entry * e; (e = map_next((m), &e##_pos));)
/* NOLINTEND(bugprone-macro-parentheses) */
