#pragma once
/*
 * GPUs that exist in a test's struct alone: answers what tundra asks tundra-worker, so everything
 * above the worker is the production code. Changed at will between two turns; inventory_rescan()
 * tells the inventory to look.
 */
#include "core/worker.h"
#include "test/lib/inproc_fate.h"

enum { GPU_SCRIPT_MAX = 128 };

struct gpu_script_gpu {
	char uuid[64], pci[16], product[64];
	int minor;
	uint64_t memory;
	bool present;
	char trouble[128]; /* not served, because of this */
};
struct gpu_script {
	struct gpu_script_gpu gpus[GPU_SCRIPT_MAX];
	size_t n;
	char no_driver[128]; /* not "": there is no driver, and this is why */
	char broken[128];    /* not "": it is there and refuses */
	uint64_t opens, queries;
	enum inproc_fate fate; /* of `fates` requests to the worker, behind the next `skip` */
	unsigned fates, skip;
	unsigned requests; /* so far */
};
/* GPU i: minor i, "GPU-<i>", on a bus of its own. */
void gpu_script_init(struct gpu_script *g, size_t n);
void gpu_script_add(struct gpu_script *g);

/* Methods of the role; their context is a struct gpu_script. */
extern const struct worker_method gpu_script_methods[];
extern const size_t gpu_script_methods_n;
