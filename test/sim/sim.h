#pragma once
/*
 * One run: a node's world, a seed, and hours of virtual time. Each step does one thing that happens
 * to a node and lets some time pass; after every turn of the loop the world is compared with what
 * must always hold (model.c). After SIM_ROUND steps all is mended and must come to rest.
 *
 * A step's dice come from the seed and its number alone, so a step can be left out and the others
 * stay what they were: that is how a failing run is made smaller (shrink.c).
 */
#include "test/lib/node/lab_node.h"

enum {
	SIM_GPUS = 4,
	SIM_PODS_MAX = 24,
	SIM_NODES = 3, /* instances at a time, at most */
	SIM_SYNC_MS = 5000,
	SIM_ROUND = 100,
	SIM_STEPS_MAX = 20000, /* of a run: about two days */
};

struct sim;

/* What to run. */
struct sim_plan {
	uint64_t seed;
	uint64_t minutes; /* of virtual time, then the round is finished; 0 = `steps` */
	uint64_t steps;
	const bool *left_out; /* SIM_STEPS_MAX; NULL = none */
	const bool *violate;  /* likewise: violated when all these were taken; see failing.sh */
	void (*script)(struct sim *s, void *arg); /* not NULL: this instead of steps */
	void *arg;
	bool loud;  /* the story is told even if all is well */
	bool quiet; /* and this one not */
};
struct sim_result {
	char violation[512]; /* "" = none */
	uint64_t steps;	     /* that were begun */
	uint64_t virtual_ms, checks;
	uint64_t digest; /* of all that was seen: equal for equal plans */
};

/* What becomes of one request to the disk worker that is made next. */
struct sim_disk_plan {
	enum inproc_fate fate; /* INPROC_SERVE: none */
	unsigned skip;
};

struct sim_pod {
	char name[24], claim[24];
	char second[24]; /* one more claim, "" = none */
	bool owns_claim; /* they go with the pod */
};

struct sim {
	const struct sim_plan *plan;
	struct lab *lab;
	struct kubelet *kubelet;
	struct lab_node nodes[SIM_NODES];
	struct sim_disk_plan disk_plan[SIM_NODES];
	struct lab_node *present; /* the instance that serves, or should */
	bool only_lost;		  /* calls fail with their connection, for no other reason */
	struct sim_pod pods[SIM_PODS_MAX];
	size_t pods_n;
	unsigned serial; /* of names */
	uint64_t dice;
	uint64_t step;
	uint64_t trips; /* steps of plan->violate that were taken */
	struct model *model;
	struct buf story;
	struct sim_result *result;
};

/* run.c: 0, or 1 and the story is on stdout. */
int sim_run(const struct sim_plan *plan, struct sim_result *result);
void sim_settle(struct sim *s);		      /* all is mended and must come to rest */
void sim_give_back(struct sim *s);	      /* all pods end, and nothing may be left */
uint64_t sim_dice(struct sim *s, uint64_t n); /* 0 .. n-1 */
void sim_note(struct sim *s, const char *fmt, ...) PRINTF(2, 3);
void sim_violated(struct sim *s, const char *fmt, ...) PRINTF(2, 3); /* the first one counts */
/* The command that repeats a plan that was violated. */
void sim_command(const struct sim_plan *plan, const struct sim_result *r, struct buf *out);

/* actions.c, with what is done to pods (pods.c) and to everything else (faults.c) */
void sim_begin(struct sim *s);
void sim_act(struct sim *s);  /* one step's action, chosen by the dice */
void sim_mend(struct sim *s); /* every fault but those of GPUs ends, the driver runs */
void sim_again(struct sim *s);
bool sim_start(struct sim *s, struct lab_node **out); /* one more instance; false: it is not up */
void sim_stop(struct sim *s, struct lab_node *n);

/* pods.c */
void pods_new(struct sim *s);
void pods_new_sharer(struct sim *s);
void pods_new_monitor(struct sim *s);
void pods_delete(struct sim *s);
/* One that asks for `gpus`, in a claim and, if `second`, as many in another one. */
void pods_new_of(struct sim *s, unsigned gpus, bool second);
void pods_delete_first(struct sim *s);
void pods_delete_by_force(struct sim *s);
void pods_fill(struct sim *s); /* more than there are GPUs for */
void pods_end_all(struct sim *s);

/* faults.c */
void faults_api(struct sim *s);
void faults_connections(struct sim *s);
void faults_slices(struct sim *s);
void faults_files(struct sim *s);
void faults_disk_worker(struct sim *s);
void faults_gpu(struct sim *s);
void faults_gpu_worker(struct sim *s);
void faults_device(struct sim *s);
void faults_clock(struct sim *s);
void faults_cdi_emptied(struct sim *s);
void faults_mend(struct sim *s); /* all but the GPUs themselves */
void faults_mend_gpus(struct sim *s);

/* model.c */
struct model *model_new(struct sim *s);
void model_free(struct model **m);
void model_on_turn(void *arg); /* a struct sim */
void model_on_call(void *arg, bool prepare, const char *uid);
void model_on_reply(void *arg, const struct kubelet_reply *r);
/* By somebody else: it may be incomplete for a while; torn: what is there, too. */
void model_cdi_emptied(struct model *m, bool torn);
void model_after_crash(struct sim *s); /* what was answered is on the disk */
/* Nothing is in the driver's folders that does not belong there; `runs`: a driver does. */
void model_tidy(struct sim *s, bool runs);
void model_published(struct sim *s); /* all but the GPUs is well, for a minute */
void model_settled(struct sim *s);   /* when all is mended and time has passed */
void model_over(struct sim *s);	     /* when everything was given back */
uint64_t model_checks(const struct model *m);

/* sweep.c: one life of a node in which each call of a kind fails once, see its table */
int sim_sweep(const char *text);

/* shrink.c: leaves out steps while it is still violated, for at most `seconds` of real time. */
void sim_shrink(const struct sim_plan *plan, const struct sim_result *r, unsigned seconds);
