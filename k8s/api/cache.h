#pragma once
/*
 * List and watch of any collection, told as changes. Keeps of each object only its key, uid and
 * resourceVersion (its owner decodes and keeps what it needs); no JSON tree outlives a callback.
 * Every start and every 410 lists again in pages, and only differences are told.
 *
 * Order of callbacks: on_upsert and on_delete for what differs, on_synced at the end of each
 * list, then the events. An object that was replaced (same name, other uid) is told as delete, then
 * upsert. Older news than what is known (an echo of one's own write) is passed over.
 */
#include "k8s/api/client.h"

struct cache;
struct cache_conf {
	struct api_target what; /* a collection; copied */
	unsigned page; /* objects of the first list request, 0 = 16; then by their weight */
	void (*on_upsert)(void *arg, const struct json *object, enum api_version v);
	void (*on_delete)(void *arg, const char *ns, const char *name, const char *uid);
	void (*on_synced)(void *arg); /* a whole list is in; may be NULL */
	/* e != NULL: list or watch fails and is retried; NULL: works (again). May be NULL. */
	void (*on_trouble)(void *arg, const struct err *e);
	void *arg;
};
struct cache_stats {
	uint64_t lists, relists, pages, events, errors;
	size_t objects;
};

struct cache *cache_new(struct api *a, const struct cache_conf *conf); /* starts at once */
void cache_free(struct cache **c);				       /* also from a callback */
bool cache_synced(const struct cache *c); /* was complete at least once */
const struct cache_stats *cache_stats(const struct cache *c);
bool cache_has(const struct cache *c, const char *ns, const char *name);

/*
 * The answer of one's own write is news too: told through on_upsert at once, so that the owner has
 * one way in, and events that are older than it are ignored afterwards.
 */
void cache_wrote(struct cache *c, const struct json *object, enum api_version v);
/* One's own DELETE was answered: on_delete now, and late events of that uid are ignored. */
void cache_deleted(struct cache *c, const char *ns, const char *name, const char *uid);
/* Lists again soon (the owner doubts what it knows). */
void cache_relist(struct cache *c);
