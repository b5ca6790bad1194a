#include "test/bench/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"

enum {
	SOCKETS_MS = 20000, /* from the start to both sockets, at worst */
	STOP_MS = 60000,    /* the pod's terminationGracePeriodSeconds */
	LOOK_US = 100,	    /* how often is looked: a fifth of a percent of the budget */
};

/* Blows the whistle on a driver that ends by itself: nothing that follows would mean anything. */
static void on_child(void *arg)
{
	struct agent *a = arg;
	int status;

	if (a->pid <= 0 || waitpid(a->pid, &status, WNOHANG) != a->pid)
		return;
	fprintf(stderr, "tundra-bench: tundra ended with wait status 0x%x, see %s\n",
		(unsigned)status, a->log);
	exit(1);
}

void agent_init(struct agent *a, struct loop *l, const struct agent_conf *conf)
{
	*a = (struct agent){ .conf = conf, .loop = l };
	a->socket = mem_printf("%s/gpu.nvidia.com/dra.sock", conf->plugins);
	a->registrar = mem_printf("%s/gpu.nvidia.com-reg.sock", conf->registry);
	a->ledger = mem_printf("%s/gpu.nvidia.com/ledger", conf->plugins);
	a->log = mem_printf("%s/tundra.log", conf->memory);
	loop_on_signal(l, SIGCHLD, on_child, a);
}

void agent_done(struct agent *a)
{
	if (a->pid > 0) {
		kill(a->pid, SIGKILL);
		waitpid(a->pid, NULL, 0);
	}
	if (a->loop)
		loop_on_signal(a->loop, SIGCHLD, NULL, NULL);
	mem_free(a->socket);
	mem_free(a->registrar);
	mem_free(a->ledger);
	mem_free(a->log);
	*a = (struct agent){ 0 };
}

/* In the child. The log goes where a container's goes as far as the disk is concerned: nowhere. */
static void become(const struct agent *a, char **argv)
{
	int log = open(a->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(127);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (a->conf->libraries)
		setenv("LD_LIBRARY_PATH", a->conf->libraries, 1);
	execv(argv[0], argv);
	_exit(127);
}

int agent_start(struct agent *a, struct err *e)
{
	const struct agent_conf *c = a->conf;
	char *program _mem_free_ = mem_printf("%s/tundra", c->programs);
	char *proc _mem_free_ = mem_printf("%s/proc", c->gpus);
	char *sys _mem_free_ = mem_printf("%s/sys", c->gpus);
	char *argv[] = { program,
			 (char[]){ "node" },
			 mem_printf("--node-name=%s", c->node),
			 mem_printf("--kubeconfig=%s", c->kubeconfig),
			 mem_printf("--cdi-root=%s", c->cdi),
			 mem_printf("--nvidia-driver-root=%s", c->gpus),
			 mem_printf("--container-driver-root=%s", c->gpus),
			 mem_printf("--proc-root=%s", proc),
			 mem_printf("--sys-root=%s", sys),
			 mem_printf("--kubelet-plugins-directory-path=%s", c->plugins),
			 mem_printf("--kubelet-registrar-directory-path=%s", c->registry),
			 mem_printf("--run-directory=%s", c->memory),
			 NULL };

	(void)unlink(a->socket);
	(void)unlink(a->registrar);
	a->began_us = loop_now_us(a->loop);
	a->pid = fork();
	if (a->pid == 0)
		become(a, argv);
	for (size_t i = 2; argv[i]; i++)
		mem_free(argv[i]);
	return a->pid < 0 ? err_sys(e, -errno, "fork") : 0;
}

int agent_version(const struct agent *a, int *wait_status)
{
	char *program _mem_free_ = mem_printf("%s/tundra", a->conf->programs);
	char *argv[] = { program, (char[]){ "--version" }, NULL };
	pid_t pid = fork();

	if (pid == 0)
		become(a, argv);
	if (pid < 0 || waitpid(pid, wait_status, 0) < 0)
		return -errno;
	return 0;
}

static void nap(void)
{
	struct timespec ts = { .tv_nsec = LOOK_US * 1000L };

	nanosleep(&ts, NULL);
}

int agent_await_sockets(struct agent *a, uint64_t *us, struct err *e)
{
	while (!fsx_exists(a->socket) || !fsx_exists(a->registrar)) {
		if (waitpid(a->pid, NULL, WNOHANG) == a->pid) {
			a->pid = 0;
			return err_set(e, -ECHILD, "tundra ended at once, see %s", a->log);
		}
		if (loop_now_us(a->loop) - a->began_us > SOCKETS_MS * 1000ull)
			return err_set(e, -ETIMEDOUT, "no sockets after %d s, see %s",
				       SOCKETS_MS / 1000, a->log);
		nap();
	}
	*us = loop_now_us(a->loop) - a->began_us;
	return 0;
}

int agent_stop(struct agent *a, int signo, struct err *e)
{
	uint64_t began = loop_now_us(a->loop);
	int status = 0;

	if (a->pid <= 0)
		return 0;
	kill(a->pid, signo);
	while (waitpid(a->pid, &status, WNOHANG) == 0) {
		if (loop_now_us(a->loop) - began > STOP_MS * 1000ull)
			kill(a->pid, SIGKILL);
		nap();
	}
	a->pid = 0;
	if (signo != SIGKILL && (!WIFEXITED(status) || WEXITSTATUS(status)))
		return err_set(e, -EIO, "tundra ended with wait status 0x%x, see %s",
			       (unsigned)status, a->log);
	return 0;
}
