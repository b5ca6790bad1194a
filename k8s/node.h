#pragma once
/*
 * struct driver: one DRA driver on one node, put together from its parts, without globals, so that
 * several live in one process. Owns its claims, publisher, plugin, registration and servers.
 */
#include "core/metrics.h"
#include "core/roots.h"
#include "k8s/claim.h"
#include "k8s/events.h"
#include "k8s/gc.h"
#include "k8s/plugin.h"
#include "k8s/publisher.h"
#include "k8s/registration.h"

struct driver_conf {
	const char *name;     /* "gpu.nvidia.com" */
	const char *node;     /* of Kubernetes */
	const char *instance; /* pod UID; NULL: one instance, upstream's socket names */
	const char *boot_id;
	const struct roots *roots;
	const char *hook; /* program to copy into the plugin folder, NULL = path given below */
	const char *hook_path;
	struct api *api;
	struct inventory *inventory;
	struct worker *disk, *host_worker; /* not owned */
	struct metrics *metrics;	   /* not owned */
	struct events *events;		   /* not owned, may be NULL */
	bool publish_held; /* false while something forbids publishing (device plugin conflict) */
};
struct driver;
int driver_new(struct loop *l, const struct driver_conf *conf, struct driver **out,
	       struct err *e) NODISCARD;
void driver_free(struct driver **d);
/* Ends waits, finishes what is in flight, then removes the sockets; slices stay. */
void driver_drain(struct driver *d, void (*done)(void *arg), void *arg);
/* Reasons why not ready, one per line; false when ready. Readiness = registered and serving. */
bool driver_not_ready(const struct driver *d, struct buf *reasons);
void driver_hold_publishing(struct driver *d, bool hold);
struct jsonw;
void driver_status(struct driver *d, struct jsonw *w); /* members of an open object */
