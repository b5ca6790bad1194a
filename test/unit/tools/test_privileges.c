/* What the processes of a running `tundra node` may do, read from /proc; and what becomes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/mem.h"

#define BIN	TEST_BINARY_DIR "/bin"
#define CAP(n)	(1ull << (n))
#define SPAWNER (CAP(27) | CAP(0) | CAP(19) | CAP(2) | CAP(24) | CAP(8))

enum { TREE_MAX = 16, LOOK_MS = 10, LOOKS = 3000 };

/* Not taken from the product's tables: what grows there has to grow here, on purpose. */
static const struct {
	const char *comm;
	uint64_t permitted, effective;
} rows[] = {
	{ "tundra", 0, 0 },
	{ "spawner", SPAWNER, 0 },			/* what it hands on; SETPCAP */
	{ "nvml", CAP(27) | CAP(0), CAP(27) | CAP(0) }, /* MKNOD, CHOWN */
	{ "host", CAP(19) | CAP(2), CAP(19) | CAP(2) }, /* SYS_PTRACE, DAC_READ_SEARCH */
	{ "disk", CAP(24), CAP(24) },			/* SYS_RESOURCE */
};

struct node {
	char dir[64];
	pid_t pid;
	uint64_t all; /* what this machine gives root: a container has not all */
};

struct process {
	pid_t pid, parent;
	char comm[32];
};

static char *read_of(pid_t pid, const char *name)
{
	char path[64];
	struct buf text;
	char *all;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	buf_init(&text, 1 << 16);
	if (fsx_read(path, 1 << 16, &text) < 0)
		buf_clear(&text);
	all = buf_steal(&text);
	buf_done(&text);
	return all ? all : mem_strdup("");
}

static uint64_t field(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, base) : UINT64_MAX;
}

static bool look(pid_t pid, struct process *p)
{
	char *text _mem_free_ = read_of(pid, "status");

	*p = (struct process){ .pid = pid, .parent = (pid_t)field(text, "PPid:", 10) };
	return sscanf(text, "Name:\t%31s", p->comm) == 1 && !strstr(text, "State:\tZ");
}

static size_t tree(pid_t root, struct process out[TREE_MAX])
{
	DIR *d = opendir("/proc");
	struct process p, up;
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid <= 0 || !look(pid, &p))
			continue;
		for (up = p; up.pid > 1 && up.pid != root;)
			if (!look(up.parent, &up))
				break;
		if (up.pid == root && n < TREE_MAX)
			out[n++] = p;
	}
	closedir(d);
	return n;
}

static pid_t find(const struct node *n, const char *comm)
{
	struct process all[TREE_MAX];
	size_t count = tree(n->pid, all);

	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i].comm, comm) == 0)
			return all[i].pid;
	return 0;
}

static pid_t await(const struct node *n, const char *comm, pid_t other_than)
{
	pid_t pid = 0;

	for (int i = 0; i < LOOKS; i++) {
		pid = find(n, comm);
		if (pid && pid != other_than)
			return pid;
		usleep(LOOK_MS * 1000);
	}
	fail_msg("no process %s", comm);
	return 0;
}

static bool is_gone(pid_t pid)
{
	struct process p;

	return !look(pid, &p);
}

static void await_gone(pid_t pid)
{
	for (int i = 0; !is_gone(pid) && i < LOOKS; i++)
		usleep(LOOK_MS * 1000);
	assert_true(is_gone(pid));
}

static void PRINTF(1, 2) run(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

/* An API server that nobody is: a driver starts without one. */
static void write_kubeconfig(const char *path)
{
	static const char text[] =
	    "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
	    "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
	    "clusters: [{name: c, cluster: {server: \"https://127.0.0.1:9\"}}]\n"
	    "users: [{name: u, user: {token: t}}]\n";

	assert_int_equal(fsx_replace(path, sv_str(text), 0600, 0), 0);
}

static char *log_of(const struct node *n)
{
	char path[96];
	struct buf text;
	char *all;

	snprintf(path, sizeof(path), "%s/log", n->dir);
	buf_init(&text, 1 << 20);
	(void)!fsx_read(path, 1 << 20, &text);
	all = buf_steal(&text);
	buf_done(&text);
	return all ? all : mem_strdup("");
}

static void become(const struct node *n)
{
	char *argv[] = { (char[]){ "tundra" },
			 (char[]){ "node" },
			 (char[]){ "--node-name=n" },
			 mem_printf("--kubeconfig=%s/kubeconfig", n->dir),
			 mem_printf("--kubelet-plugins-directory-path=%s/plugins", n->dir),
			 mem_printf("--kubelet-registrar-directory-path=%s/registry", n->dir),
			 mem_printf("--cdi-root=%s/cdi", n->dir),
			 mem_printf("--run-directory=%s/run", n->dir),
			 mem_printf("--container-driver-root=%s/gpus", n->dir),
			 mem_printf("--nvidia-driver-root=%s/gpus", n->dir),
			 mem_printf("--dev-root=%s/gpus/dev", n->dir),
			 mem_printf("--proc-root=%s/gpus/proc", n->dir),
			 mem_printf("--sys-root=%s/gpus/sys", n->dir),
			 (char[]){ "--http-endpoint=" },
			 (char[]){ "--healthcheck-port=-1" },
			 NULL };
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/log", n->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(99);
	execv(BIN "/tundra", argv);
	_exit(99);
}

static int start(void **state)
{
	struct node *n = MEM_NEW(struct node);
	char *status _mem_free_ = read_of(getpid(), "status");
	char path[96];

	n->all = field(status, "CapPrm:", 16);
	snprintf(n->dir, sizeof(n->dir), "/tmp/tundra-priv.XXXXXX");
	assert_non_null(mkdtemp(n->dir));
	run(BIN "/fakegpu make --profile h100 --count 2 --root %s/gpus --mknod >/dev/null", n->dir);
	run("mkdir -p %s/registry", n->dir);
	snprintf(path, sizeof(path), "%s/kubeconfig", n->dir);
	write_kubeconfig(path);
	n->pid = fork();
	if (n->pid == 0)
		become(n);
	*state = n;
	for (int i = 0; i < LOOKS; i++) {
		char *log _mem_free_ = log_of(n);

		if (strstr(log, " serving node="))
			return 0;
		usleep(LOOK_MS * 1000);
	}
	return -1;
}

static int wait_for(struct node *n)
{
	int status;

	assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
	n->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int stop(void **state)
{
	struct node *n = *state;

	if (n->pid > 0) {
		kill(n->pid, SIGKILL);
		(void)wait_for(n);
	}
	run("rm -rf %s", n->dir);
	mem_free(n);
	return 0;
}

static void check(const struct node *n, const struct process *p)
{
	char *text _mem_free_ = read_of(p->pid, "status");
	size_t i = 0;

	while (i < ARRAY_LEN(rows) && strcmp(rows[i].comm, p->comm) != 0)
		i++;
	if (i == ARRAY_LEN(rows))
		fail_msg("a process %s is in no table", p->comm);
	if (field(text, "CapPrm:", 16) != (rows[i].permitted & n->all) ||
	    field(text, "CapBnd:", 16) != (rows[i].permitted & n->all) ||
	    field(text, "CapEff:", 16) != (rows[i].effective & n->all) ||
	    field(text, "CapInh:", 16) != 0 || field(text, "CapAmb:", 16) != 0 ||
	    field(text, "NoNewPrivs:", 10) != 1 || field(text, "Seccomp:", 10) != 2)
		fail_msg("%s may do more, or less, than its row says:\n%s", p->comm, text);
}

static size_t check_all(const struct node *n)
{
	struct process all[TREE_MAX];
	size_t count = tree(n->pid, all);

	for (size_t i = 0; i < count; i++)
		check(n, &all[i]);
	return count;
}

/* ---- tests ---- */

static void test_every_process(void **state)
{
	const struct node *n = *state;

	await(n, "nvml", 0);
	await(n, "disk", 0);
	assert_int_equal(check_all(n), 4);
}

static void test_killed_worker_comes_back(void **state)
{
	const struct node *n = *state;
	pid_t nvml = await(n, "nvml", 0), spawner = find(n, "spawner");

	await(n, "disk", 0);
	kill(nvml, SIGKILL);
	await_gone(nvml);
	/* It is started for the next question: a new node in /dev is a reason to ask. */
	run("touch %s/gpus/dev/nvidia-news", n->dir);
	assert_true(await(n, "nvml", nvml) != nvml);
	assert_int_equal(check_all(n), 4);
	assert_int_equal(find(n, "spawner"), spawner);
}

/* All that it has started ends with it; result as of wait_for(). */
static void ends_with_all(struct node *n, int signo, int result)
{
	struct process all[TREE_MAX];
	size_t count;

	await(n, "nvml", 0);
	await(n, "disk", 0);
	count = tree(n->pid, all);
	kill(n->pid, signo);
	assert_int_equal(wait_for(n), result);
	for (size_t i = 0; i < count; i++)
		await_gone(all[i].pid);
}

static void test_term_ends_all(void **state)
{
	ends_with_all(*state, SIGTERM, 0);
}

static void test_killed_spawner_ends_all(void **state)
{
	struct node *n = *state;
	pid_t nvml = await(n, "nvml", 0), disk = await(n, "disk", 0);
	char *log;

	kill(find(n, "spawner"), SIGKILL);
	assert_int_equal(wait_for(n), 1); /* the kubelet starts the container anew */
	await_gone(nvml);
	await_gone(disk);
	log = log_of(n);
	assert_non_null(strstr(log, "ERROR the process that starts workers ended"));
	assert_non_null(strstr(log, "ERROR without workers nothing can be served: ending"));
	mem_free(log);
}

static void test_killed_node_ends_all(void **state)
{
	ends_with_all(*state, SIGKILL, 1000 + SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_process, start, stop),
		cmocka_unit_test_setup_teardown(test_killed_worker_comes_back, start, stop),
		cmocka_unit_test_setup_teardown(test_term_ends_all, start, stop),
		cmocka_unit_test_setup_teardown(test_killed_spawner_ends_all, start, stop),
		cmocka_unit_test_setup_teardown(test_killed_node_ends_all, start, stop),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: capabilities are looked at\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
