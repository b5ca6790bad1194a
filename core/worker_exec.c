#include "core/worker.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/child.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"

/* Workers as processes of their own program. */
struct worker_exec {
	char *program;
	char **args;
	size_t args_n;
};

/* One running process: the handle that the client passes back. */
struct process {
	struct child *child;
	struct loop *loop;
	char *role;
	bool killed; /* by us: said where the reason is known */
	void (*on_exit)(void *arg);
	void *arg;
};

struct worker_exec *worker_exec_new(const char *program, const char *const *args)
{
	struct worker_exec *x = MEM_NEW(struct worker_exec);
	size_t i;

	x->program = mem_strdup(program);
	while (args && args[x->args_n])
		x->args_n++;
	x->args = mem_calloc(x->args_n + 1, sizeof(*x->args));
	for (i = 0; args && i < x->args_n; i++)
		x->args[i] = mem_strdup(args[i]);
	return x;
}

void worker_exec_free(struct worker_exec **xp)
{
	struct worker_exec *x = *xp;
	size_t i;

	if (!x)
		return;
	for (i = 0; i < x->args_n; i++)
		mem_free(x->args[i]);
	mem_free(x->args);
	mem_free(x->program);
	mem_free(x);
	*xp = NULL;
}

static void process_ended(void *arg, int status)
{
	struct process *p = arg;

	if (WIFEXITED(status) && WEXITSTATUS(status))
		log_warn("worker exited", LOG_S("role", p->role),
			 LOG_I("code", WEXITSTATUS(status)));
	else if (WIFSIGNALED(status) && !p->killed)
		log_warn("worker was killed", LOG_S("role", p->role),
			 LOG_I("signal", WTERMSIG(status)));
	p->on_exit(p->arg);
}

const char **worker_argv(const char *program, const char *role, const char *const *args)
{
	const char *fixed[] = { program, "--role", role, "--build", version_build() };
	const char **argv;
	size_t n = 0;

	while (args && args[n])
		n++;
	argv = mem_calloc(ARRAY_LEN(fixed) + n + 1, sizeof(*argv));
	memcpy(argv, fixed, sizeof(fixed));
	for (size_t i = 0; i < n; i++)
		argv[ARRAY_LEN(fixed) + i] = args[i];
	return argv;
}

static int exec_start(void *ctx, struct loop *l, const char *role, void (*on_exit)(void *arg),
		      void *arg, int *fd, void **handle)
{
	struct worker_exec *x = ctx;
	const char **argv = worker_argv(x->program, role, (const char *const *)x->args);
	struct process *p = MEM_NEW(struct process);
	struct child_spec spec = { .path = x->program,
				   .argv = argv,
				   .envp = (const char *const *)(uintptr_t)environ,
				   .on_exit = process_ended,
				   .arg = p };
	int r;

	*p =
	    (struct process){ .loop = l, .role = mem_strdup(role), .on_exit = on_exit, .arg = arg };
	r = child_start(l, &spec, &p->child, fd);
	mem_free(argv);
	if (r) {
		mem_free(p->role);
		mem_free(p);
		p = NULL;
	}
	*handle = p;
	return r;
}

static void exec_kill(void *ctx, void *handle)
{
	struct process *p = handle;

	(void)ctx;
	p->killed = true;
	child_kill(p->child, 9);
}

static void exec_release(void *ctx, void *handle)
{
	struct process *p = handle;

	(void)ctx;
	child_free(&p->child);
	mem_free(p->role);
	mem_free(p);
}

static int64_t exec_pid(void *ctx, void *handle)
{
	const struct process *p = handle;

	(void)ctx;
	return child_pid(p->child);
}

struct worker_host worker_exec_host(struct worker_exec *x)
{
	return (struct worker_host){ .start = exec_start,
				     .kill = exec_kill,
				     .release = exec_release,
				     .pid = exec_pid,
				     .ctx = x };
}
