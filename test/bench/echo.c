#include "test/bench/echo.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void NORETURN serve(int fd)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (read(fd, &c, 1) == 1 && write(fd, &c, 1) == 1) {
	}
	_exit(0);
}

int echo_start(struct echo *x, struct err *e)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_sys(e, -errno, "socketpair");
	x->pid = fork();
	if (x->pid == 0)
		serve(fd[1]);
	close(fd[1]);
	x->fd = fd[0];
	return x->pid < 0 ? err_sys(e, -errno, "fork") : 0;
}

void echo_done(struct echo *x)
{
	if (x->pid <= 0)
		return;
	close(x->fd);
	kill(x->pid, SIGKILL);
	waitpid(x->pid, NULL, 0);
	*x = (struct echo){ 0 };
}

int echo_once(const struct echo *x, struct err *e)
{
	char c = 'x';

	if (write(x->fd, &c, 1) != 1 || read(x->fd, &c, 1) != 1)
		return err_set(e, -EIO, "the echo does not answer");
	return 0;
}
