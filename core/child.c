#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"

/*
 * fork() and not vfork() or posix_spawn(): the steps between need more than the latter offers, our
 * memory is small, and the parent goes on at once instead of waiting for the child's exec.
 *
 * In the child only async-signal-safe calls are made.
 */

/* A killed process is gone within a millisecond; one in state D must not hold up the loop. */
enum { REAP_WAIT_MS = 2 };
/* Kernels before 5.9 lack close_range(); all of ours are close-on-exec anyway. */
enum { CLOSE_BY_HAND_MAX = 4096 };

struct child {
	struct loop *loop;
	pid_t pid;
	int pidfd; /* -1: polled */
	struct loop_io io;
	struct loop_timer poll;
	void (*on_exit)(void *arg, int wait_status);
	void *arg;
	bool ended;
};

/* Forgotten but not dead yet. They belong to the process as zombies do, not to a loop. */
struct orphan {
	struct orphan *next;
	pid_t pid;
};
static struct orphan *orphans;

/* False while it lives. What is nobody's child any more counts as ended, with status 0. */
static bool reap(pid_t pid, int *status)
{
	pid_t r;

	*status = 0;
	do
		r = waitpid(pid, status, WNOHANG);
	while (r < 0 && errno == EINTR);
	return r != 0;
}

static void reap_orphans(void)
{
	struct orphan **at = &orphans, *o;
	int status;

	while ((o = *at)) {
		if (!reap(o->pid, &status)) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		mem_free(o);
	}
}

/* In the child */

static void NORETURN die(const char *what)
{
	/* No stdio here: it may hold the parent's half-written lines. */
	(void)!write(STDERR_FILENO, "tundra: child: ", 15);
	(void)!write(STDERR_FILENO, what, strlen(what));
	(void)!write(STDERR_FILENO, "\n", 1);
	_exit(CHILD_EXEC_FAILED);
}

static void close_from(unsigned first)
{
	unsigned fd;

	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	for (fd = first; fd < CLOSE_BY_HAND_MAX; fd++)
		close((int)fd);
}

static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL); /* refused for SIGKILL and the like */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void place_descriptors(int sock)
{
	int null;

	/* Out of the way first: with stdin closed in the parent it may be any of the four. */
	sock = fcntl(sock, F_DUPFD, CHILD_FD + 1);
	if (sock < 0)
		die("cannot keep its socket");
	null = open("/dev/null", O_RDONLY);
	if (null > STDIN_FILENO && dup2(null, STDIN_FILENO) < 0)
		die("cannot have an empty stdin");
	if (dup2(sock, CHILD_FD) < 0)
		die("cannot place its socket");
	close_from(CHILD_FD + 1);
}

static void NORETURN run(const struct child_spec *spec, int sock, pid_t parent)
{
	default_signals();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("cannot ask to die with its parent");
	/* The parent may have died before that: then nobody will tell us. */
	if (getppid() != parent)
		_exit(0);
	if (setsid() < 0)
		die("cannot have a session of its own");
	place_descriptors(sock);
	/* The const of argv is C's old promise, not execve()'s intent. */
	execve(spec->path, (char *const *)(uintptr_t)spec->argv,
	       (char *const *)(uintptr_t)spec->envp);
	die("cannot run its program");
}

/* In the parent */

static pid_t start(const struct child_spec *spec, int sock)
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;

	/* No handler of ours may run in the child: it would speak to our loop. */
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		run(spec, sock, parent);
	if (pid < 0)
		pid = -errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static void look(struct child *c)
{
	int status;

	if (!reap(c->pid, &status)) {
		if (c->pidfd < 0)
			loop_timer_set(&c->poll, CHILD_POLL_MS);
		return;
	}
	c->ended = true;
	loop_io_done(&c->io);
	c->on_exit(c->arg, status);
}

static void on_pidfd(void *arg, unsigned ready)
{
	(void)ready;
	look(arg);
}

static void on_poll(void *arg)
{
	look(arg);
}

int child_start(struct loop *l, const struct child_spec *spec, struct child **out, int *fd)
{
	struct child *c;
	int pair[2];
	pid_t pid;

	reap_orphans();
	*out = NULL;
	*fd = -1;
	if (access(spec->path, X_OK))
		return -errno;
	if (socketpair(AF_UNIX,
		       (spec->socket_type ? spec->socket_type : SOCK_STREAM) | SOCK_CLOEXEC, 0,
		       pair))
		return -errno;
	pid = fcntl(pair[0], F_SETFL, O_NONBLOCK) ? -errno : start(spec, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	c = MEM_NEW(struct child);
	*c = (struct child){ .loop = l, .pid = pid, .on_exit = spec->on_exit, .arg = spec->arg };
	loop_timer_init(&c->poll, l, on_poll, c);
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd >= 0) {
		loop_io_init(&c->io, l, c->pidfd, on_pidfd, c);
		loop_io_want(&c->io, LOOP_READ);
	} else {
		loop_timer_set(&c->poll, CHILD_POLL_MS);
	}
	*out = c;
	*fd = pair[0];
	return 0;
}

pid_t child_pid(const struct child *c)
{
	return c->pid;
}

void child_kill(struct child *c, int signo)
{
	if (!c->ended)
		(void)kill(c->pid, signo); /* not reaped yet: the pid is still its own */
}

static bool reap_soon(const struct child *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
	int status;

	if (c->pidfd >= 0)
		(void)poll(&p, 1, REAP_WAIT_MS);
	return reap(c->pid, &status);
}

void child_free(struct child **cp)
{
	struct child *c = *cp;
	struct orphan *o;

	if (!c)
		return;
	*cp = NULL;
	loop_io_done(&c->io);
	loop_timer_stop(&c->poll);
	child_kill(c, SIGKILL);
	reap_orphans();
	if (!c->ended && !reap_soon(c)) {
		o = MEM_NEW(struct orphan);
		*o = (struct orphan){ .next = orphans, .pid = c->pid };
		orphans = o;
	}
	if (c->pidfd >= 0)
		close(c->pidfd);
	mem_free(c);
}
