#pragma once
/*
 * A child process with one socketpair, in its own session, dying with its parent (PDEATHSIG).
 * Its end is told once through `on_exit`; SIGCHLD is not needed (pidfd on the loop).
 */
#include <sys/types.h>

#include "core/loop.h"

struct child;
struct child_spec {
	const char *path;
	const char *const *argv; /* ends with NULL */
	const char *const *envp; /* ends with NULL */
	void (*on_exit)(void *arg, int wait_status);
	void *arg;
};
enum { CHILD_FD = 3 }; /* the child's end of the socketpair */

/* *fd is our end (non-blocking, owned by the caller). -errno when it could not start. */
int child_start(struct loop *l, const struct child_spec *spec, struct child **out,
		int *fd) NODISCARD;
pid_t child_pid(const struct child *c);
void child_kill(struct child *c, int signo);
/* Forgets the child without a callback: SIGKILL, reaped when it ends, even if that is never. */
void child_free(struct child **c);
