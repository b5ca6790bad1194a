#pragma once
/*
 * Claims that are prepared here but whose object is gone from the API server. The kubelet
 * unprepares normally; this is for a kubelet that lost its state. Released only when gone twice, 5
 * minutes apart, and no process holds the device; otherwise reported (an etcd restore must not
 * strip running pods).
 *
 * The first start in a boot of the node looks at once at what was prepared in an earlier one: of
 * pods that were deleted meanwhile nothing runs, and the kubelet takes a minute to give them up,
 * which is longer than the next user of their GPUs can wait. These are released when gone twice, 10
 * seconds apart, and unused.
 */
#include "k8s/claim.h"

struct gc;
struct gc_conf {
	struct api *api;
	struct claims *claims;
	struct events *events; /* may be NULL */
	struct inventory *inventory;
	/*
	 * Asks whether a process has one of these device nodes open; answer(arg, -1 unknown, 0 no,
	 * 1 yes). Injected: the host worker in the program, a script in tests.
	 */
	void (*in_use)(void *ctx, const char *const *identities, size_t n,
		       void (*answer)(void *arg, int in_use), void *arg);
	/* May be NULL. Who it was, when the last answer was yes: "4711 (python3), ...". */
	const char *(*who)(void *ctx);
	void *ctx;
};
struct gc_stats {
	uint64_t checked, orphans, released;
};
struct gc *gc_new(struct loop *l, const struct gc_conf *conf);
void gc_free(struct gc **g);
const struct gc_stats *gc_stats(const struct gc *g);
