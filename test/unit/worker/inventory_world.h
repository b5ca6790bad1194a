#pragma once
/*
 * The inventory with its real worker process on fake hardware. The loop's clock is the real one;
 * each wait is bounded.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "test/unit/worker/node.h"

#include "core/loop.h"
#include "core/worker.h"
#include "gpu/inventory.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "gpu/worker_args.h"

enum { WAIT_MS = 20000 };

struct world {
	struct fake_node *node;
	struct loop *loop;
	struct worker_exec *exec;
	struct worker_host host;
	struct inventory *inv;
	const char *args[WORKER_ROOTS_ARGS + 1];
	int uevents[2]; /* ours, the inventory's */
	unsigned devices_changed, state_changed;
	uint32_t query_ms, open_ms;
};

static inline void on_change(void *arg, unsigned changed)
{
	struct world *w = arg;

	w->devices_changed += !!(changed & INVENTORY_CHANGED_DEVICES);
	w->state_changed += !!(changed & INVENTORY_CHANGED_STATE);
}

static inline struct world *world_new(struct fake_node *node)
{
	struct world *w = MEM_NEW(struct world);

	w->node = node;
	w->loop = loop_new();
	worker_args_write(&node->roots, w->args);
	w->exec = worker_exec_new(TEST_BINARY_DIR "/bin/tundra-worker", w->args);
	w->host = worker_exec_host(w->exec);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, w->uevents), 0);
	return w;
}

static inline void world_start(struct world *w)
{
	struct inventory_conf conf = { .roots = &w->node->roots,
				       .host = &w->host,
				       .extras = true,
				       .uevent_fd = w->uevents[1],
				       .query_ms = w->query_ms,
				       .open_ms = w->open_ms };

	w->inv = inventory_new(w->loop, &conf);
	inventory_listen(w->inv, on_change, w);
	inventory_start(w->inv);
}

static inline void world_free(struct world *w)
{
	inventory_free(&w->inv);
	worker_exec_free(&w->exec);
	loop_free(&w->loop);
	close(w->uevents[0]);
	close(w->uevents[1]);
	node_free(w->node);
	mem_free(w);
}

#define UNTIL(w, condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ = loop_now_ms((w)->loop) + WAIT_MS;                                \
		while (!(condition)) {                                                             \
			if (loop_now_ms((w)->loop) > until_)                                       \
				fail_msg("never: %s; state %d %s", #condition,                     \
					 inventory_state((w)->inv), inventory_reason((w)->inv));   \
			loop_turn((w)->loop, 50);                                                  \
		}                                                                                  \
	} while (0)

static inline void turn_for(struct world *w, uint64_t ms)
{
	uint64_t until = loop_now_ms(w->loop) + ms;

	while (loop_now_ms(w->loop) < until)
		loop_turn(w->loop, 20);
}

static inline bool ready(struct world *w)
{
	return inventory_state(w->inv) == INVENTORY_READY;
}

static inline struct gpu_device *device(struct world *w, const char *name)
{
	return inventory_by_name(w->inv, sv_str(name));
}

static inline unsigned usable(struct world *w)
{
	unsigned n = 0;

	list_for_each (at, inventory_devices(w->inv)) {
		struct gpu_device *d = list_entry(at, struct gpu_device, node);

		n += d->present && !*d->trouble;
	}
	return n;
}

static inline int64_t worker_pid(struct world *w)
{
	struct inventory_worker worker;

	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	return worker.stats->pid;
}

static inline uint64_t worker_starts(struct world *w)
{
	struct inventory_worker worker;

	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	return worker.stats->starts;
}
