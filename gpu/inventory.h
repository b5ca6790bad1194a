#pragma once
/*
 * Owns every device of the node, asks the vendors' workers, follows changes (fswatch, uevents,
 * answers of the workers) and tells its listeners what changed. Keyed by vendor identity (UUID and
 * PCI address). One bad GPU is left out with its trouble noted, the others go on.
 */
#include "core/backoff.h"
#include "core/roots.h"
#include "core/worker.h"
#include "gpu/device.h"

struct inventory;

/* "Not ready yet" is never the same as "empty". */
enum inventory_state {
	INVENTORY_STARTING,  /* no answer yet */
	INVENTORY_READY,     /* the list is the truth (it may be empty: a driver without GPUs) */
	INVENTORY_NO_DRIVER, /* no driver or library found; reason lists every place tried */
	INVENTORY_TROUBLE,   /* the driver is there and does not answer (hung, mismatch, reload) */
};
const char *inventory_state_name(enum inventory_state state); /* "no driver" */
enum { INVENTORY_CHANGED_STATE = 1, INVENTORY_CHANGED_DEVICES = 2 };

/* Why these: opening a driver wakes every GPU, one after another; a query touches one that is
 * awake. */
enum { INVENTORY_OPEN_MS = 60000, INVENTORY_QUERY_MS = 5000 };

struct gpu_vendor;
struct inventory_conf {
	const struct roots *roots;
	const struct worker_host *host; /* how workers start */
	bool extras;			/* publish our own attributes */
	int uevent_fd;			/* -1 = open the real one; a test gives its own */
	uint32_t open_ms, query_ms;	/* deadlines of the workers' calls; 0 = the above */
	const struct gpu_vendor *const *vendors; /* ends with NULL; NULL = all that are built in */
};

struct inventory *inventory_new(struct loop *l, const struct inventory_conf *conf);
void inventory_free(struct inventory **inv);
void inventory_start(struct inventory *inv); /* the first round; nothing is asked before */
/* fn(arg, INVENTORY_CHANGED_*) on the loop, after the change. */
void inventory_listen(struct inventory *inv, void (*fn)(void *arg, unsigned changed), void *arg);
void inventory_unlisten(struct inventory *inv, void *arg);

enum inventory_state inventory_state(const struct inventory *inv);
const char *inventory_reason(const struct inventory *inv); /* why not ready; "" when ready */
uint64_t inventory_since_ms(const struct inventory *inv);  /* loop time of the last state change */
/*
 * Of struct gpu_device.node, in order. Holds also what is not to be published: devices in trouble
 * (`trouble` not empty) and absent ones (`present` false), kept under their handle since a claim
 * may hold them; they come back to life under it.
 */
struct list *inventory_devices(struct inventory *inv);
/* Of several with that name a healthy one, then a present one. */
struct gpu_device *inventory_by_name(struct inventory *inv, struct sv name);
struct gpu_device *inventory_by_identity(struct inventory *inv, struct sv pci, struct sv uuid);
struct gpu_device *inventory_get(struct inventory *inv, slab_handle handle);
/* Edits that every container with a device of this vendor gets; NULL until ready. */
const struct gpu_edits *inventory_common_edits(struct inventory *inv,
					       const struct gpu_vendor *vendor);
void inventory_rescan(struct inventory *inv, const char *why); /* a round now; why: for the log */
const struct gpu_vendor *const *inventory_vendors(const struct inventory *inv);
/* For status and metrics. */
struct inventory_worker {
	const char *role;
	const struct worker_stats *stats;
};
size_t inventory_workers(const struct inventory *inv, struct inventory_worker *out, size_t max);
