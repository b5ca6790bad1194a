#pragma once
/*
 * One run: a node's world, a seed, and a number of steps. Each step does one thing that happens to
 * a node, lets some time pass and compares the world with what must always hold (model.c).
 */
#include "test/lib/node/lab_node.h"

enum { SIM_GPUS = 4, SIM_PODS_MAX = 64, SIM_NODES_MAX = 32, SIM_SYNC_MS = 5000 };

struct sim_pod {
	char name[24], claim[24];
	bool owns_claim; /* it goes with the pod */
};

struct sim {
	struct lab *lab;
	struct kubelet *kubelet;
	struct lab_node nodes[SIM_NODES_MAX]; /* instances, the last one is the present one */
	size_t nodes_n;
	struct sim_pod pods[SIM_PODS_MAX];
	size_t pods_n;
	unsigned serial; /* of names */
	uint64_t digest; /* of all that was seen: equal for equal seeds */
	struct buf story;
	char violation[512]; /* "" = none */
	bool loud;
};

/* actions.c */
void sim_begin(struct sim *s);
void sim_act(struct sim *s);		      /* one step's action, chosen by the dice */
void sim_mend(struct sim *s);		      /* every fault ends, the driver runs */
void sim_end_all(struct sim *s);	      /* every pod and claim is to go */
uint64_t sim_dice(struct sim *s, uint64_t n); /* 0 .. n-1 */
void sim_note(struct sim *s, const char *fmt, ...) PRINTF(2, 3);

/* model.c: each sets s->violation when the world is not as it must be */
void sim_check(struct sim *s);	       /* at any moment */
void sim_check_settled(struct sim *s); /* when all is mended and time has passed */
void sim_check_over(struct sim *s);    /* when everything was given back */
void sim_violated(struct sim *s, const char *fmt, ...) PRINTF(2, 3);
