/*
 * The floor of memory: what a process with OpenSSL and an event loop needs before it does anything,
 * and as many children without them as the driver has workers.
 *     tundra-bench-empty CHILDREN        says "." on stdout when all is there, then sleeps
 */
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The child: a program of its own, as tundra-worker is, which links less. */
static void child(const char *self)
{
	char path[4096];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)snprintf(path, sizeof(path), "%s-worker", self);
	execl(path, path, (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	long children = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	if (!base || !tls)
		return 1;
	for (long i = 0; i < children; i++)
		if (fork() == 0)
			child(argv[0]);
	sleep(1); /* all of them have started */
	if (write(1, ".", 1) != 1)
		return 1;
	for (;;)
		pause();
}
