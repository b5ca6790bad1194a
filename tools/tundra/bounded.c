#include "tools/tundra/bounded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64 << 10, PATIENCE = 50, PATIENCE_MS = 10 };

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the end of the file, false: the time is over. */
static bool read_all(int fd, uint64_t due, struct buf *out)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static char piece[PIECE];

	for (;;) {
		uint64_t now = now_ms();
		int r = now < due ? poll(&p, 1, (int)MIN(due - now, INT32_MAX)) : 0;
		ssize_t n;

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		n = read(fd, piece, sizeof(piece));
		if (n <= 0)
			return true;
		buf_put(out, piece, (size_t)n);
	}
}

/* What SIGKILL does not end within this (stuck in the kernel) is left behind. */
static void end_child(pid_t pid)
{
	int status;

	for (int i = 0; i < PATIENCE; i++) {
		kill(pid, SIGKILL);
		if (waitpid(pid, &status, WNOHANG) != 0)
			return;
		poll(NULL, 0, PATIENCE_MS);
	}
}

static void in_child(void (*fn)(void *arg, int fd), void *arg, bool quiet, int fd)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	if (quiet && nowhere >= 0)
		dup2(nowhere, STDERR_FILENO);
	fn(arg, fd);
	_exit(0);
}

int bounded_run(void (*fn)(void *arg, int fd), void *arg, uint32_t limit_ms, bool quiet,
		struct buf *out, int *status)
{
	uint64_t due = now_ms() + limit_ms;
	bool whole = false;
	int fd[2], r;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL); /* or the child would write it again */
	pid = fork();
	r = pid < 0 ? -errno : 0;
	if (pid == 0)
		in_child(fn, arg, quiet, fd[1]);
	close(fd[1]);
	if (pid > 0)
		whole = read_all(fd[0], due, out);
	close(fd[0]);
	if (r < 0)
		return r;
	if (!whole) {
		end_child(pid);
		return BOUNDED_LATE;
	}
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(*status) && WEXITSTATUS(*status) == 0 ? 0 : BOUNDED_DIED;
}
