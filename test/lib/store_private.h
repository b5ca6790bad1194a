#pragma once
/* Shared by store.c (objects), store_write.c (what a write means) and store_events.c. */
#include "test/lib/jx.h"
#include "test/lib/store.h"

enum { STORE_KINDS_MAX = 32, STORE_FIRST_RV = 1000 };

struct store_shelf {
	const struct store_kind *kind;
	json_t **objects; /* sorted by namespace, then name */
	size_t n, max;
};

struct store_watch {
	struct list node;
	struct store *store;
	const struct store_kind *kind;
	uint64_t seen;
	store_fn fn;
	void *arg;
	bool dead;
};

struct store {
	struct loop *loop;
	struct store_conf conf;
	struct store_shelf shelves[STORE_KINDS_MAX];
	size_t shelves_n;
	uint64_t rv, floor;
	struct store_event *events; /* the last ones, oldest first */
	size_t events_n, events_max;
	struct list watches;
	struct loop_task deliver;
	bool delivering;
};

struct store_shelf *store_shelf(const struct store *s, const struct store_kind *k);
/* Where (ns, name) is or belongs; *found tells. */
size_t store_place(const struct store_shelf *f, const char *ns, const char *name, bool *found);
/* Puts the new tree (its reference is taken) in the place of the old; NULL deletes. */
void store_commit(struct store *s, const struct store_kind *k, json_t *old, json_t *object);
void store_record(struct store *s, const struct store_event *ev);
void store_events_init(struct store *s);
void store_events_done(struct store *s);
