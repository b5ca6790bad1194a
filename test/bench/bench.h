#pragma once
/* What the commands of tundra-bench share. */
#include "test/bench/agent.h"
#include "test/bench/disk.h"
#include "test/bench/kubelet.h"
#include "test/bench/procs.h"
#include "test/bench/server.h"

enum {
	BENCH_SLICES_MS = 30000, /* from the start to all slices, at worst */
};

struct bench_options {
	char *programs, *libraries, *kubeconfig, *admin, *node, *ns, *gpus;
	char *plugins, *registry, *cdi, *memory, *audit, *empty;
	int64_t live, alone, gpu_count, rounds, seconds;
	bool help;
};

struct bench {
	struct loop *loop;
	const struct bench_options *o;
	struct agent_conf agent_conf;
	struct agent agent;
	struct server *server;
	struct kubelet *kubelet;
};

int bench_init(struct bench *b, const struct bench_options *o, struct err *e) NODISCARD;
void bench_done(struct bench *b);
void bench_sleep(struct bench *b, uint64_t ms); /* turning the loop */

/* Commands. */
int bench_drive(struct bench *b, struct err *e) NODISCARD; /* everything with a bare kubelet */
int bench_idle(struct bench *b, struct err *e) NODISCARD;  /* at rest under a real kubelet */
