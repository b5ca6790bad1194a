#pragma once
/* For tests of must(): whether fn(arg) aborts. It runs in a child whose stderr is kept in `said`.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base.h"

enum { DIES_SAID_MAX = 1024 };

static inline bool dies(void (*fn)(void *arg), void *arg, char said[DIES_SAID_MAX])
{
	struct rlimit no_core = { 0, 0 };
	int pipe_fd[2], status = 0;
	ssize_t n = 0, got;
	pid_t pid;

	must(pipe(pipe_fd) == 0);
	pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)dup2(pipe_fd[1], STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	close(pipe_fd[1]);
	while ((got = read(pipe_fd[0], said + n, (size_t)(DIES_SAID_MAX - 1 - n))) > 0)
		n += got;
	said[n] = '\0';
	close(pipe_fd[0]);
	must(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
