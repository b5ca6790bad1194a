#pragma once
/*
 * Keeps the API server's ResourceSlices equal to a pool_source with the fewest writes.
 * Watches its own slices (driver and node), so a deletion is mended. A new slice is written only
 * while the kubelet has the driver registered: a pod that is placed on a slice whose driver is not
 * registered waits 60 to 90 s. Existing slices are adopted by the index in their name and never
 * rewritten when they mean the same.
 */
#include "core/loop.h"
#include "k8s/slice.h"

struct api;
struct events;
struct publisher;
struct publisher_conf {
	const char *driver, *node, *pool;
	struct api *api;
	struct pool_source source;
	struct events *events; /* may be NULL */
	/* Has the kubelet registered the driver, and is it connected? Asked before each create. */
	bool (*registered)(void *arg);
	void (*on_publish)(void *arg, bool ok); /* a round of writes ended */
	void *arg;
};
struct publisher_stats {
	uint64_t creates, updates, deletes, failures;
	uint64_t last_publish_wall_ms; /* 0 = never */
	int64_t generation;
	size_t slices, devices; /* as the API server has them */
	bool synced;		/* desired = actual */
	char last_error[256];
};
struct publisher *publisher_new(struct loop *l, const struct publisher_conf *conf);
void publisher_free(struct publisher **p); /* slices stay */
void publisher_start(struct publisher *p);
void publisher_changed(struct publisher *p);	     /* the source or the registration has news */
void publisher_hold(struct publisher *p, bool hold); /* writes nothing while held */
const struct publisher_stats *publisher_stats(const struct publisher *p);
