#pragma once
/*
 * A life in a child, killed after one of its calls that change a file. Beside test/lib/faults.h,
 * which it arms: for the one source of a sweep.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/lib/faults.h"

static int kill_at, kill_calls;

static void kill_count(const char *call, int fd)
{
	(void)call;
	(void)fd;
	if (++kill_calls == kill_at)
		(void)raise(SIGKILL);
}

/*
 * True: the child was killed after call `at` (0: it is not); false: it made fewer, and its life
 * came to its end with 0. Any other end is the sweep's own mistake. `write_max`: writes in parts, 0
 * whole.
 */
static bool kill_after(int at, size_t write_max, int (*life)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		faults.on = true;
		faults.after = kill_count;
		faults.write_max = write_max;
		kill_at = at;
		_exit(life(arg) ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	fprintf(stderr, "what was to be killed failed by itself\n");
	abort();
}
