#pragma once
/*
 * Workers from a process of their own. The spawner is started while there are privileges, and keeps
 * what workers need; who asks it may have given up all of them. A worker is a copy of the spawner
 * (fork without exec): no program has to be run, and what they have in common is in memory once.
 *
 * Messages of one size over the spawner's socket, a worker's end of its socket beside the order to
 * start it. Starting never waits: what is asked of a worker lies in its socket until it lives.
 *
 * Workers die with the spawner, the spawner with its parent (PDEATHSIG), also when that closes the
 * socket. Nobody can start another spawner then: its owner has to end, and be started anew.
 */
#include <sys/types.h>

#include "core/worker.h"

enum { SPAWNER_ROLE_MAX = 15, SPAWNER_WORKERS_MAX = 64 };

/* ---- client end, in tundra ---- */
struct spawner;
struct spawner_conf {
	const char *program;	 /* run as `program --role spawner --build ID ARGS...` */
	const char *const *args; /* may be NULL */
	/* It ended without having been asked to; logged already. Its workers are told as ended. */
	void (*on_lost)(void *arg);
	void *arg;
};
/* -errno when the program cannot be run. */
int spawner_start(struct loop *l, const struct spawner_conf *conf, struct spawner **out) NODISCARD;
void spawner_free(struct spawner **s);	    /* after the workers that use it */
pid_t spawner_pid(const struct spawner *s); /* 0: lost */
/* start() fails with -ECHILD once the spawner is lost; pid() is 0 until the spawner has told it. */
struct worker_host spawner_host(struct spawner *s);

/* ---- server end, in tundra-worker ---- */
/*
 * Blocking: serves until the peer closes (0) or something breaks (negative). In each new worker
 * `run` is called with the role asked for and its socket as `fd`; it returns the exit code.
 */
int spawner_serve(int fd, int (*run)(void *ctx, const char *role), void *ctx) NODISCARD;
