#pragma once
/*
 * A watch on one collection: follows it from a resourceVersion over any number of connections.
 * Resumes after a clean end, an error or silence from the last version seen; only when the server
 * has forgotten that version does it end with on_gone, and its owner lists again.
 */
#include "core/buf.h"
#include "k8s/api/client.h"

enum watch_type {
	WATCH_ADDED,
	WATCH_MODIFIED,
	WATCH_DELETED,
	WATCH_BOOKMARK,
	WATCH_ERROR,
};

/* ---- framer: bytes in, events out; no I/O ---- */
enum { WATCH_EVENT_MAX = 4 << 20 }; /* bytes; an object is at most 3 MiB */

typedef void (*watch_event_fn)(void *arg, enum watch_type type, const struct json *object);
struct watch_framer {
	struct buf line; /* the event that is not whole yet */
};
void watch_framer_init(struct watch_framer *f);
void watch_framer_done(struct watch_framer *f);
void watch_framer_reset(struct watch_framer *f);
/*
 * Calls fn for each whole event. 0, or -EBADMSG / -E2BIG: the stream cannot be trusted further.
 * fn must not free the framer. An event of an unknown type is passed over.
 */
int watch_framer_feed(struct watch_framer *f, struct sv bytes, watch_event_fn fn, void *arg,
		      struct err *e) NODISCARD;

/* ---- the watch ---- */
struct watch;
struct watch_conf {
	struct api_target what; /* a collection; copied */
	const char *rv;		/* start behind this resourceVersion */
	/* ADDED, MODIFIED, DELETED. The watch may be freed from it. */
	void (*on_event)(void *arg, enum watch_type type, const struct json *object,
			 enum api_version v);
	/* The version is too old (410, or refused): list again and make a new watch. The watch
	 * rests; it may be freed from it. */
	void (*on_gone)(void *arg);
	/* e != NULL: not connected because of ..., retried; NULL: works (again). May be NULL. */
	void (*on_trouble)(void *arg, const struct err *e);
	void *arg;
};
struct watch_stats {
	uint64_t starts, events, bookmarks, errors;
};
struct watch *watch_new(struct api *a, const struct watch_conf *conf);
void watch_free(struct watch **w);
const char *watch_rv(const struct watch *w); /* last version seen */
const struct watch_stats *watch_stats(const struct watch *w);
