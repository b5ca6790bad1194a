#pragma once
/*
 * A child process with one socketpair, in its own session, dying with its parent (PDEATHSIG).
 * Its end is told once through `on_exit`; SIGCHLD is not needed (pidfd on the loop; a kernel before
 * 5.3 has none and is asked every CHILD_POLL_MS instead). SIGCHLD must not be ignored.
 *
 * The child has stdin from /dev/null, our stdout and stderr, the socket as CHILD_FD and nothing
 * else: no other descriptor, no signal blocked, ignored or handled, the environment given.
 */
#include <sys/types.h>

#include "core/loop.h"

struct child;
struct child_spec {
	const char *path;
	const char *const *argv;		     /* ends with NULL */
	const char *const *envp;		     /* ends with NULL */
	int socket_type;			     /* 0: SOCK_STREAM */
	void (*on_exit)(void *arg, int wait_status); /* may free the child by loop_defer_free() */
	void *arg;
};
enum { CHILD_FD = 3 }; /* the child's end of the socketpair */
enum { CHILD_POLL_MS = 200 };
/* What the child exits with when exec failed after all, with a line on stderr. */
enum { CHILD_EXEC_FAILED = 127 };

/*
 * *fd is our end (non-blocking, owned by the caller). -errno when it could not start: a missing or
 * not executable program is told here, anything that only exec itself knows by CHILD_EXEC_FAILED.
 */
int child_start(struct loop *l, const struct child_spec *spec, struct child **out,
		int *fd) NODISCARD;
pid_t child_pid(const struct child *c);
void child_kill(struct child *c, int signo); /* nothing happens once it has ended */
/*
 * Forgets the child without a callback: SIGKILL, reaped when it ends, even if that is never. Who
 * does not die at once is reaped by a later child_start() or child_free() of this process.
 */
void child_free(struct child **c);
