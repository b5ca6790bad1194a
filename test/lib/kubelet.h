#pragma once
/*
 * A kubelet as its DRA plugins see it: finds registration sockets, registers drivers, prepares the
 * claims of pods that are bound to its node and unprepares them when they end, with the calls,
 * limits and retries of the real one (1.36). Containers are imagined: a pod "runs" until it is
 * deleted or, with the annotation tundra.dev/seconds, for that long.
 *
 * Reads and writes pods, claims, slices and events in the store directly.
 */
#include "core/err.h"
#include "core/loop.h"
#include "test/lib/store.h"

struct kubelet;

/* What a driver answered for one claim; for a whole call that failed, each of its claims. */
struct kubelet_reply {
	bool prepare;
	const char *driver, *name, *uid;
	const char *error; /* NULL: done */
	int code;	   /* of gRPC, of the whole call; -1: no connection */
	size_t devices;	   /* named in it; kubelet_each_device() has them */
};
struct kubelet_conf {
	struct store *store;
	const char *node;     /* its Node is made if it is missing */
	const char *registry; /* .../plugins_registry */
	const char *state;    /* file of the claim cache; NULL: in memory, lost by kubelet_free() */
	/* All 0 = as the real one. */
	uint64_t loop_ms;  /* reconciler of plugins: 1 s */
	uint64_t sync_ms;  /* a pod that failed is tried again: 60 to 90 s */
	uint64_t stale_ms; /* claims of vanished pods: 60 s */
	uint64_t wipe_ms;  /* slices of a driver that is gone: 30 s */
	uint64_t call_ms;  /* of Prepare and Unprepare: 45 s */
	bool v1beta1;	   /* a kubelet before 1.34 */
	bool no_health;	   /* and before 1.36 */
	/* Each claim of a Prepare or Unprepare that is asked; may be NULL. */
	void (*on_call)(void *arg, bool prepare, const char *uid);
	/* Each answer to Prepare and Unprepare as it comes; may be NULL. */
	void (*on_reply)(void *arg, const struct kubelet_reply *r);
	/* One line per thing that happens, for a demo; may be NULL. */
	void (*on_line)(void *arg, const char *line);
	void *arg;
};
struct kubelet_stats {
	uint64_t registrations, refused;   /* confirmed; told false */
	uint64_t prepares, prepare_errors; /* RPCs; failed ones, per claim or whole */
	uint64_t unprepares, unprepare_errors;
	uint64_t wipes, health_streams;
	char last_error[512];
};

/* Starts: wipes this node's slices, then looks at the folder. */
int kubelet_new(struct loop *l, const struct kubelet_conf *conf, struct kubelet **out,
		struct err *e) NODISCARD;
void kubelet_free(struct kubelet **k); /* drivers are not told, as when it is killed */
/* Killed and started again: plugins are registered afresh, running pods go on. */
void kubelet_restart(struct kubelet *k);
/* The machine was: its claims are in its checkpoint, its pods' containers are made anew. */
void kubelet_reboot(struct kubelet *k);

const struct kubelet_stats *kubelet_stats(const struct kubelet *k);
bool kubelet_registered(const struct kubelet *k, const char *driver);
bool kubelet_connected(const struct kubelet *k, const char *driver);
size_t kubelet_claims(const struct kubelet *k);			 /* in its claim cache */
size_t kubelet_pods(const struct kubelet *k, const char *phase); /* NULL = all it knows */
/* Its containers run: prepared, and not being ended (which its phase does not tell). */
bool kubelet_pod_runs(const struct kubelet *k, const char *ns, const char *name);
/* Of one prepared claim: what the drivers answered. */
struct kubelet_device {
	const char *driver, *request, *pool, *device, *cdi_id, *share_id; /* share_id may be NULL */
};
void kubelet_each_device(const struct kubelet *k, const char *ns, const char *claim,
			 void (*fn)(void *arg, const struct kubelet_device *d), void *arg);
/* Tries failed pods now, as a sync that happens to come. */
void kubelet_sync(struct kubelet *k);
