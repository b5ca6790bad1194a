#pragma once
/*
 * The objects of an API server, in memory: names, versions, generations, finalizers and conflicts
 * as the real one keeps them. Knows no HTTP, schedules nothing, collects nothing.
 *
 * A tree that went in is never changed again, a write makes a new one: so history, watches and
 * readers hold references, and what a reader got stays as it was. Every write is an event;
 * events are told at the end of the turn's ticks, in order, so a listener may write.
 */
#include "core/buf.h"
#include "core/list.h"
#include "core/loop.h"

struct json_t;
struct store;

struct store_kind {
	const char *group;    /* "" = core */
	const char *resource; /* "resourceclaims" */
	const char *kind;     /* "ResourceClaim" */
	bool namespaced;
	bool status;   /* has a /status subresource */
	bool graceful; /* pods: bound to a node, its kubelet removes it */
	bool generation;
};

/* How a request failed, as the API server words it. */
struct store_error {
	int code;	    /* HTTP status */
	const char *reason; /* "NotFound" */
	char message[1024];
	const struct store_kind *kind; /* NULL: no details */
	char name[256];
	char cause[32], field[256]; /* of an Invalid: "FieldValueInvalid" and where */
	char detail[512];
	unsigned retry_after_s;
};
/* The Status object as JSON text. */
void store_error_put(const struct store_error *e, struct buf *out);
/* Each fills *e and returns its code. */
int store_not_found(struct store_error *e, const struct store_kind *k, const char *name);
int store_conflict(struct store_error *e, const struct store_kind *k, const char *name,
		   const char *fmt, ...) PRINTF(4, 5);
int store_bad_request(struct store_error *e, const char *fmt, ...) PRINTF(2, 3);
int store_expired(struct store_error *e, const char *fmt, ...) PRINTF(2, 3);
/* type: "FieldValueInvalid", "FieldValueRequired" ... */
int store_invalid(struct store_error *e, const struct store_kind *k, const char *name,
		  const char *type, const char *field, const char *fmt, ...) PRINTF(6, 7);
int store_failure(struct store_error *e, int code, const char *reason, const char *fmt, ...)
    PRINTF(4, 5);

struct store_conf {
	size_t history; /* events remembered for watches, 0 = 1000 */
	/* Asked before an object is written; a non-zero answer refuses it. May be NULL. */
	int (*validate)(void *ctx, const struct store_kind *k, const struct json_t *old,
			const struct json_t *object, struct store_error *e);
	void *ctx;
};
struct store *store_new(struct loop *l, const struct store_conf *conf);
void store_free(struct store **s);
struct loop *store_loop(const struct store *s);

/* The kinds served from the start, then those added (a custom resource). */
void store_serve(struct store *s, const struct store_kind *k); /* k must outlive the store */
const struct store_kind *store_kind(const struct store *s, const char *group, const char *resource);
const struct store_kind *store_kind_of(const struct store *s, const char *group, const char *kind);
const struct store_kind *store_kind_at(const struct store *s, size_t i); /* NULL behind the last */

/* ---- reading: borrowed trees, valid until the next turn ---- */
const struct json_t *store_get(const struct store *s, const struct store_kind *k, const char *ns,
			       const char *name);
/* In order of namespace and name. ns NULL = all. */
size_t store_count(const struct store *s, const struct store_kind *k);
const struct json_t *store_at(const struct store *s, const struct store_kind *k, size_t i);
/* Index of the first object behind (ns, name). */
size_t store_after(const struct store *s, const struct store_kind *k, const char *ns,
		   const char *name);
uint64_t store_rv(const struct store *s);

/* ---- writing: 0 or an HTTP code with *e; *out is borrowed, may be NULL ---- */
int store_create(struct store *s, const struct store_kind *k, const char *ns,
		 const struct json_t *object, const struct json_t **out, struct store_error *e);
/* sub: NULL or "status". An object without resourceVersion overwrites whatever is there. */
int store_update(struct store *s, const struct store_kind *k, const char *ns, const char *name,
		 const char *sub, const struct json_t *object, const struct json_t **out,
		 struct store_error *e);
struct store_delete {
	const char *uid, *rv; /* preconditions, NULL or "" = none */
	int64_t grace_s;      /* -1 = the kind's own */
};
/* *out: the object as it stays (graceful, finalizers) or as it was. *gone tells which. */
int store_delete(struct store *s, const struct store_kind *k, const char *ns, const char *name,
		 const struct store_delete *how, bool *gone, const struct json_t **out,
		 struct store_error *e);
/* For demos and tests: creates the object or replaces it, status and all; aborts on nonsense. */
void store_put(struct store *s, const struct json_t *object);
void store_put_text(struct store *s, const char *fmt, ...) PRINTF(2, 3);
/* Merges a patch (RFC 7396) into an object, status included; aborts when it is not there. */
void store_patch_text(struct store *s, const char *resource, const char *ns, const char *name,
		      const char *fmt, ...) PRINTF(5, 6);

/* ---- events ---- */
enum store_change { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };
struct store_event {
	uint64_t rv;
	enum store_change change;
	const struct store_kind *kind;
	struct json_t *object; /* as it is now; deleted: as it was, with the deletion's version */
	struct json_t *before; /* NULL when added */
};
typedef void (*store_fn)(void *arg, const struct store_event *ev);
struct store_watch;
/* Events of a kind (NULL = all) behind `rv`; history must reach that far, see store_floor(). */
struct store_watch *store_watch(struct store *s, const struct store_kind *k, uint64_t rv,
				store_fn fn, void *arg);
void store_unwatch(struct store_watch **w);	      /* also from its callback */
uint64_t store_watch_rv(const struct store_watch *w); /* everything up to it was told */
uint64_t store_floor(const struct store *s);	      /* events up to this one are forgotten */
void store_forget_history(struct store *s);	      /* as after a restart or a compaction */
