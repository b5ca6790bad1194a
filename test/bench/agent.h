#pragma once
/*
 * The driver under test as a process: `tundra node` with everything it needs named. What must lie
 * on the node's disk is below `disk`, what lies in memory on a real node (CDI specs, logs) below
 * `memory`.
 */
#include <sys/types.h>

#include "core/err.h"
#include "core/loop.h"

struct agent_conf {
	const char *programs;		/* folder of tundra and tundra-worker */
	const char *libraries;		/* LD_LIBRARY_PATH, or NULL */
	const char *kubeconfig;		/* who the driver is at the API server */
	const char *node;		/* its name */
	const char *gpus;		/* what fakegpu made */
	const char *plugins, *registry; /* the kubelet's folders, or others */
	const char *cdi, *memory;	/* folders of a tmpfs */
};
struct agent {
	const struct agent_conf *conf;
	struct loop *loop;
	pid_t pid;
	char *socket, *registrar, *ledger, *log;
	uint64_t began_us;
};

void agent_init(struct agent *a, struct loop *l, const struct agent_conf *conf);
void agent_done(struct agent *a); /* SIGKILL if it runs */
int agent_start(struct agent *a, struct err *e) NODISCARD;
/* Waits until both sockets are there; *us from agent_start() on. -ETIMEDOUT, -ECHILD (it ended). */
int agent_await_sockets(struct agent *a, uint64_t *us, struct err *e) NODISCARD;
/* Signal (0: it was sent before) and wait for the end, which is an error but after SIGKILL, unless
 * it was by exit(0). A SIGTERM that takes more than a minute is followed by SIGKILL. */
int agent_stop(struct agent *a, int signo, struct err *e) NODISCARD;
/* Runs `tundra --version` to its end. */
int agent_version(const struct agent *a, int *wait_status) NODISCARD;
