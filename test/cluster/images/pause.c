// The first process of a pod: keeps the pod's namespaces, does nothing. As process 1 of a PID
// namespace it is sent no signal it has no handler for, and nobody else reaps orphans when the pod
// shares its PID namespace.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int sig)
{
	(void)sig;
	_exit(0);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = end };

	if (sigaction(SIGTERM, &sa, NULL) || sigaction(SIGINT, &sa, NULL))
		return 1;
	sa.sa_handler = SIG_IGN;
	sa.sa_flags = SA_NOCLDWAIT; // the kernel reaps
	if (sigaction(SIGCHLD, &sa, NULL))
		return 1;
	for (;;)
		pause();
}
