/*
 *   IDLE --timer--> LISTING (page by page) --last page--> WATCHING --gone--> IDLE
 *     ^-------- failed: backoff --------/
 *
 * A list is told while its pages come; what it no longer has is told at its end (sweep). Each entry
 * carries the number of the last list that saw it.
 */
#include "k8s/api/cache.h"

#include <errno.h>

#include "core/backoff.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/sm.h"
#include "k8s/api/watch.h"

enum {
	PAGE = 16,		 /* first page; then by what the objects weigh */
	PAGE_MAX = 500,		 /* as client-go */
	PAGE_BYTES = 256 << 10,	 /* parsing this much JSON takes about the loop's 5 ms */
	LIST_MS = 30000,	 /* one page */
	BACKOFF_FIRST_MS = 4000, /* as in watch.c */
	BACKOFF_CAP_MS = 30000,
	HEALTHY_MS = 120000, /* lists further apart than this start the backoff anew */
	RV_SIZE = 40,	     /* a longer resourceVersion is not kept: such news always count */
};

enum cache_state { CACHE_IDLE, CACHE_LISTING, CACHE_WATCHING };

static const struct sm_conf cache_moves[] = {
	[CACHE_IDLE] = { "idle", SM_TO(CACHE_LISTING) },
	[CACHE_LISTING] = { "listing", SM_TO(CACHE_IDLE) | SM_TO(CACHE_WATCHING) },
	[CACHE_WATCHING] = { "watching", SM_TO(CACHE_IDLE) },
};

/* Owner: the cache's map, under its own `key`. One block of memory. */
struct entry {
	struct list doomed; /* the sweep's list, after it left the map */
	uint64_t list;	    /* number of the last list that had it */
	uint64_t written;   /* number of the list during or after which we wrote it ourselves */
	bool deleted;	    /* by ourselves; kept until the server says so too */
	char rv[RV_SIZE];
	const char *uid, *name, *ns; /* in text[] */
	struct sv key;
	char text[]; /* "ns/name", uid, ns, name */
};

/* Owner: whoever made it. Freed at the end of the turn, so a callback may free it. */
struct cache {
	struct sm sm;
	struct api *api;
	struct loop *loop;
	struct cache_conf conf; /* its target is our copy */
	struct map entries;
	struct watch *watch;
	uint64_t call; /* the page under way, 0 = none */
	struct loop_timer timer;
	struct backoff backoff;
	uint64_t listed_ms; /* when the last list began */
	uint64_t list;	    /* its number */
	char *go_on;	    /* continue token of the next page */
	unsigned page;
	struct cache_stats stats;
	bool synced, troubled, freed;
};

/* ---- entries ---- */

static struct entry *entry_find(const struct cache *c, const char *ns, const char *name)
{
	char key[640]; /* namespace and name have at most 63 and 253 bytes */
	int n = snprintf(key, sizeof(key), "%s/%s", ns ? ns : "", name);

	if (n < 0 || (size_t)n >= sizeof(key))
		return NULL;
	return map_get(&c->entries, sv_make(key, (size_t)n));
}

static void entry_set_rv(struct entry *n, const char *rv)
{
	if (!sv_copy(n->rv, sizeof(n->rv), sv_str(rv)))
		n->rv[0] = '\0';
}

static char *put_text(char *to, const char *text, const char **out)
{
	size_t n = strlen(text) + 1;

	memcpy(to, text, n);
	*out = to;
	return to + n;
}

static struct entry *entry_new(struct cache *c, const struct json *object)
{
	const char *ns = meta_namespace(object), *name = meta_name(object), *uid = meta_uid(object);
	size_t ns_n = strlen(ns), name_n = strlen(name);
	struct entry *n = mem_zalloc(sizeof(*n) + 2 * (ns_n + name_n) + strlen(uid) + 5);
	char *at = n->text;

	n->key = sv_make(at, ns_n + 1 + name_n);
	at += snprintf(at, n->key.n + 1, "%s/%s", ns, name) + 1;
	at = put_text(at, uid, &n->uid);
	at = put_text(at, ns, &n->ns);
	(void)put_text(at, name, &n->name);
	map_put(&c->entries, n->key, n);
	return n;
}

static void entry_unlink(struct cache *c, struct entry *n)
{
	map_del(&c->entries, n->key);
	c->stats.objects = map_len(&c->entries);
}

/* The entry has left the map; told unless the owner knows already. */
static void entry_bury(struct cache *c, struct entry *n)
{
	if (!n->deleted)
		c->conf.on_delete(c->conf.arg, n->ns, n->name, n->uid);
	mem_free(n);
}

/* Where news come from. */
enum source { SOURCE_LIST, SOURCE_EVENT, SOURCE_OWN };

/*
 * Is this no news? Events and answers may overtake each other, so the older one loses. A list is
 * the truth even if versions went backwards (a restored etcd), except about what we wrote while it
 * was made.
 */
static bool stale(const struct cache *c, const struct entry *n, const struct json *object,
		  enum source from)
{
	int order = meta_rv_cmp(meta_rv(object), n->rv);
	bool same = strcmp(n->uid, meta_uid(object)) == 0;

	if (from == SOURCE_LIST && n->written != c->list)
		return same && !n->deleted && order == 0;
	if (same)
		return n->deleted || order == 0 || order == -1;
	/* Another object of the same name: the newer one is the one that exists. */
	return order == -1;
}

static void cache_upsert(struct cache *c, const struct json *object, enum api_version v,
			 enum source from)
{
	struct entry *n = entry_find(c, meta_namespace(object), meta_name(object));
	bool old = n && stale(c, n, object, from);

	if (!*meta_name(object))
		return;
	if (n && !old && strcmp(n->uid, meta_uid(object)) != 0) {
		entry_unlink(c, n);
		entry_bury(c, n);
		n = NULL;
		if (c->freed)
			return;
	}
	if (!n)
		n = entry_new(c, object);
	if (from == SOURCE_LIST)
		n->list = c->list;
	if (old)
		return;
	if (from == SOURCE_OWN)
		n->written = c->list;
	n->deleted = false;
	entry_set_rv(n, meta_rv(object));
	c->stats.objects = map_len(&c->entries);
	c->conf.on_upsert(c->conf.arg, object, v);
}

static void cache_remove(struct cache *c, const struct json *object)
{
	struct entry *n = entry_find(c, meta_namespace(object), meta_name(object));

	/* The end of an earlier object of that name is no news about the present one. */
	if (!n || strcmp(n->uid, meta_uid(object)) != 0)
		return;
	entry_unlink(c, n);
	entry_bury(c, n);
}

/* What this list did not have is gone, unless we made it ourselves after the list was taken. */
static void cache_sweep(struct cache *c, const char *list_rv)
{
	struct list doomed;
	struct list *node;
	struct entry *n;

	list_init(&doomed);
	map_for_each (e, &c->entries) {
		n = e->value;
		if (n->list == c->list ||
		    (n->written == c->list && meta_rv_cmp(n->rv, list_rv) == 1))
			continue;
		map_del(&c->entries, n->key);
		list_push(&doomed, &n->doomed);
	}
	c->stats.objects = map_len(&c->entries);
	while ((node = list_pop(&doomed))) {
		n = list_entry(node, struct entry, doomed);
		n->deleted = n->deleted || c->freed;
		entry_bury(c, n);
	}
}

/* ---- list and watch ---- */

static void cache_trouble(struct cache *c, const struct err *e)
{
	c->stats.errors += e != NULL;
	if (!e && !c->troubled)
		return;
	c->troubled = e != NULL;
	if (c->conf.on_trouble)
		c->conf.on_trouble(c->conf.arg, e);
}

static void cache_stop(struct cache *c)
{
	if (c->call)
		api_cancel(c->api, c->call);
	c->call = 0;
	watch_free(&c->watch);
	loop_timer_stop(&c->timer);
}

static void cache_list_in(struct cache *c, uint64_t delay_ms)
{
	cache_stop(c);
	mem_free(c->go_on);
	c->go_on = NULL;
	if (sm_state(&c->sm) != CACHE_IDLE)
		sm_move(&c->sm, CACHE_IDLE);
	loop_timer_set(&c->timer, delay_ms);
}

/* Lists that follow each other closely wait longer and longer, whatever the reason. */
static uint64_t cache_backoff(struct cache *c)
{
	if (loop_now_ms(c->loop) - c->listed_ms >= HEALTHY_MS)
		backoff_reset(&c->backoff);
	return backoff_next(&c->backoff, c->loop);
}

static void cache_on_event(void *arg, enum watch_type type, const struct json *object,
			   enum api_version v)
{
	struct cache *c = arg;

	c->stats.events++;
	if (type == WATCH_DELETED)
		cache_remove(c, object);
	else
		cache_upsert(c, object, v, SOURCE_EVENT);
}

static void cache_on_gone(void *arg)
{
	struct cache *c = arg;

	c->stats.relists++;
	cache_list_in(c, cache_backoff(c));
}

static void cache_on_watch_trouble(void *arg, const struct err *e)
{
	cache_trouble(arg, e);
}

static void cache_watch(struct cache *c, const char *rv)
{
	sm_move(&c->sm, CACHE_WATCHING);
	c->watch = watch_new(c->api, &(struct watch_conf){
					 .what = c->conf.what,
					 .rv = rv,
					 .on_event = cache_on_event,
					 .on_gone = cache_on_gone,
					 .on_trouble = cache_on_watch_trouble,
					 .arg = c,
				     });
}

static void cache_list_failed(struct cache *c, const struct api_result *r)
{
	struct err e = { "" };
	uint64_t delay_ms = cache_backoff(c);

	err_set(&e, r->status, "%s", r->error);
	cache_list_in(c, MAX(delay_ms, r->retry_after_ms));
	cache_trouble(c, &e);
}

/* The last page: what is missing is told, then the watch begins where the list was taken. */
static void cache_list_done(struct cache *c, const char *rv)
{
	cache_sweep(c, rv);
	if (c->freed || sm_state(&c->sm) != CACHE_LISTING)
		return;
	c->stats.lists++;
	c->synced = true;
	cache_watch(c, rv);
	cache_trouble(c, NULL);
	if (!c->freed && c->conf.on_synced)
		c->conf.on_synced(c->conf.arg);
}

static void cache_ask_page(struct cache *c);

/* The next page weighs about PAGE_BYTES, if its objects are like these. */
static void cache_size_page(struct cache *c, size_t objects, size_t bytes)
{
	uint64_t fit;

	if (!objects)
		return;
	fit = (uint64_t)PAGE_BYTES * objects / MAX(bytes, 1);
	c->page = (unsigned)MAX(MIN(fit, MIN(2 * c->page, PAGE_MAX)), 1);
}

static void cache_read_page(struct cache *c, const struct api_result *r)
{
	const struct json *items = json_get(r->object, "items");
	const char *go_on = json_str(json_get(r->object, "metadata", "continue"), "");
	const char *rv = meta_rv(r->object);

	c->stats.pages++;
	cache_size_page(c, json_len(items), r->body.n);
	for (size_t i = 0; i < json_len(items); i++) {
		cache_upsert(c, json_at(items, i), r->version, SOURCE_LIST);
		if (c->freed || sm_state(&c->sm) != CACHE_LISTING)
			return;
	}
	mem_free(c->go_on);
	c->go_on = *go_on ? mem_strdup(go_on) : NULL;
	if (c->go_on)
		cache_ask_page(c);
	else
		cache_list_done(c, rv);
}

static void cache_on_page(void *arg, const struct api_result *r)
{
	struct cache *c = arg;

	c->call = 0;
	if (r->status == 0 && json_kind(json_get(r->object, "items")) != JSON_NONE) {
		cache_read_page(c, r);
	} else if (r->status == -E2BIG && c->page > 1) {
		c->page /= 2;
		cache_ask_page(c);
	} else {
		cache_list_failed(c, r);
	}
}

static void cache_ask_page(struct cache *c)
{
	struct api_target to = c->conf.what;
	struct buf query;

	buf_init(&query, 64 << 10);
	buf_printf(&query, "limit=%u", c->page);
	if (c->go_on) {
		buf_puts(&query, "&continue=");
		api_put_escaped(&query, c->go_on);
	}
	to.query = buf_cstr(&query);
	c->call = api_call(c->api, &(struct api_request){
				       .verb = API_LIST,
				       .to = to,
				       .timeout_ms = LIST_MS,
				       .retry = API_RETRY_SAFE,
				       .fn = cache_on_page,
				       .arg = c,
				   });
	buf_done(&query);
}

static void cache_begin_list(void *arg)
{
	struct cache *c = arg;

	c->listed_ms = loop_now_ms(c->loop);
	c->list++;
	sm_move(&c->sm, CACHE_LISTING);
	cache_ask_page(c);
}

/* ---- public ---- */

struct cache *cache_new(struct api *a, const struct cache_conf *conf)
{
	struct cache *c = MEM_NEW(struct cache);

	must(conf->on_upsert && conf->on_delete && !conf->what.name);
	c->api = a;
	c->loop = api_loop(a);
	c->conf = *conf;
	api_target_copy(&c->conf.what);
	c->page = conf->page ? MIN(conf->page, PAGE_MAX) : PAGE;
	map_init(&c->entries);
	backoff_init(&c->backoff, BACKOFF_FIRST_MS, BACKOFF_CAP_MS);
	loop_timer_init(&c->timer, c->loop, cache_begin_list, c);
	sm_init(&c->sm, cache_moves, NULL, CACHE_IDLE);
	cache_begin_list(c);
	return c;
}

static void cache_destroy(void *obj)
{
	struct cache *c = obj;

	map_for_each (e, &c->entries)
		mem_free(e->value);
	map_done(&c->entries);
	api_target_done(&c->conf.what);
	mem_free(c->go_on);
	mem_free(c);
}

void cache_free(struct cache **c)
{
	struct cache *x = *c;

	if (!x)
		return;
	*c = NULL;
	x->freed = true;
	cache_stop(x);
	loop_defer_free(x->loop, x, cache_destroy);
}

bool cache_synced(const struct cache *c)
{
	return c->synced;
}

const struct cache_stats *cache_stats(const struct cache *c)
{
	return &c->stats;
}

bool cache_has(const struct cache *c, const char *ns, const char *name)
{
	const struct entry *n = entry_find(c, ns, name);

	return n && !n->deleted;
}

/*
 * The watch is past this version and the object is unknown: it was told and deleted again before
 * our answer came. Taking it in would show for ever what is not there.
 */
static bool overtaken(const struct cache *c, const struct json *object)
{
	int order;

	if (!c->watch || entry_find(c, meta_namespace(object), meta_name(object)))
		return false;
	order = meta_rv_cmp(meta_rv(object), watch_rv(c->watch));
	return order == 0 || order == -1;
}

void cache_wrote(struct cache *c, const struct json *object, enum api_version v)
{
	if (!overtaken(c, object))
		cache_upsert(c, object, v, SOURCE_OWN);
}

void cache_deleted(struct cache *c, const char *ns, const char *name, const char *uid)
{
	struct entry *n = entry_find(c, ns, name);

	if (!n || n->deleted || strcmp(n->uid, uid) != 0)
		return;
	n->deleted = true;
	n->written = c->list;
	c->conf.on_delete(c->conf.arg, n->ns, n->name, n->uid);
}

void cache_relist(struct cache *c)
{
	if (sm_state(&c->sm) == CACHE_IDLE)
		return; /* already about to */
	c->stats.relists++;
	cache_list_in(c, cache_backoff(c));
}
