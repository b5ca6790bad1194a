#pragma once
/*
 * The main job, shown: waits until the driver publishes its GPUs, lets pods ask for them in the
 * ways that people do, shows what each got, and gives all back.
 */
#include "tools/dev/cluster.h"

struct demo;
struct demo_conf {
	struct cluster *cluster;
	uint64_t wait_ms; /* for the first slices, and for each later step */
	size_t gpus;	  /* fewer published GPUs are none yet */
	bool once;	  /* gives all back and ends; else the pods stay */
	/* ok: the job was done. `once` only when it is all over, else when the pods run. */
	void (*done)(void *arg, bool ok);
	void (*on_line)(void *arg, const char *who, const char *line);
	void *arg;
};
struct demo *demo_new(struct loop *l, const struct demo_conf *conf);
void demo_free(struct demo **d);
