#include "core/map.h"

#include <sys/random.h>

#include "core/mem.h"

/*
 * Linear probing over a power of two. A removed entry leaves a tombstone (value NULL, hash GONE)
 * unless its follower is empty; a rehash drops them. Load, tombstones included, stays under 3/4, so
 * a probe always ends at an empty slot (value NULL, hash EMPTY).
 *
 * The hash is SipHash-1-3: keyed, because keys come from peers, and fast on short keys.
 */
enum { MAP_FIRST = 16 };
enum { EMPTY = 0, GONE = 1 };

static uint64_t seed[2];
static bool seeded;

void map_seed(uint64_t k0, uint64_t k1)
{
	seed[0] = k0;
	seed[1] = k1;
	seeded = true;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t map_hash(struct sv key)
{
	uint64_t v[4], word;
	size_t i;

	if (!seeded) {
		/* 16 bytes come whole or not at all; without entropy the kernel is not up. */
		must(getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
		seeded = true;
	}
	v[0] = seed[0] ^ 0x736f6d6570736575u;
	v[1] = seed[1] ^ 0x646f72616e646f6du;
	v[2] = seed[0] ^ 0x6c7967656e657261u;
	v[3] = seed[1] ^ 0x7465646279746573u;
	for (i = 0; i + 8 <= key.n; i += 8) {
		memcpy(&word, key.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	if (key.n > i)
		memcpy(&word, key.p + i, key.n - i);
	word |= (uint64_t)key.n << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The hash as stored: never one of the two marks. */
static uint64_t mark(struct sv key)
{
	uint64_t h = map_hash(key);

	return h > GONE ? h : h + 2;
}

void map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void map_done(struct map *m)
{
	mem_free(m->slots);
	map_init(m);
}

size_t map_len(const struct map *m)
{
	return m->n;
}

static struct map_entry *find(const struct map *m, struct sv key, uint64_t hash)
{
	struct map_entry *e;
	size_t i;

	if (!m->size)
		return NULL;
	for (i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		e = &m->slots[i];
		if (e->hash == EMPTY)
			return NULL;
		if (e->hash == hash && sv_eq(e->key, key))
			return e;
	}
}

/* Into a table with room, where the key is not yet. */
static void place(struct map *m, const struct map_entry *e)
{
	size_t i = e->hash & (m->size - 1);

	while (m->slots[i].hash > GONE)
		i = (i + 1) & (m->size - 1);
	if (m->slots[i].hash == EMPTY)
		m->used++;
	m->slots[i] = *e;
	m->n++;
}

/* Room for one more: grows, or shrinks, or only sweeps tombstones out. */
static void rehash(struct map *m)
{
	struct map old = *m;
	size_t i;

	m->size = MAP_FIRST;
	while (m->size / 2 <= old.n)
		m->size *= 2;
	m->slots = mem_calloc(m->size, sizeof(*m->slots));
	m->n = m->used = 0;
	for (i = 0; i < old.size; i++) {
		if (old.slots[i].hash > GONE)
			place(m, &old.slots[i]);
	}
	mem_free(old.slots);
}

void *map_get(const struct map *m, struct sv key)
{
	const struct map_entry *e = m->n ? find(m, key, mark(key)) : NULL;

	return e ? e->value : NULL;
}

void *map_put(struct map *m, struct sv key, void *value)
{
	struct map_entry new = { .key = key, .value = value, .hash = mark(key) };
	struct map_entry *e = find(m, key, new.hash);
	void *old;

	must(value);
	if (e) {
		old = e->value;
		*e = new; /* the old key may go with the old value */
		return old;
	}
	if ((m->used + 1) * 4 > m->size * 3)
		rehash(m);
	place(m, &new);
	return NULL;
}

void *map_del(struct map *m, struct sv key)
{
	struct map_entry *e = m->n ? find(m, key, mark(key)) : NULL;
	void *value;
	size_t next;

	if (!e)
		return NULL;
	value = e->value;
	next = ((size_t)(e - m->slots) + 1) & (m->size - 1);
	*e = (struct map_entry){ .hash = GONE };
	m->n--;
	if (m->slots[next].hash == EMPTY) {
		e->hash = EMPTY;
		m->used--;
	}
	/* A big table that ran empty is given back; a small one is kept for the next entry. */
	if (!m->n && m->size > MAP_FIRST)
		map_done(m);
	return value;
}

struct map_entry *map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->size) {
		struct map_entry *e = &m->slots[(*pos)++];

		if (e->hash > GONE)
			return e;
	}
	return NULL;
}
