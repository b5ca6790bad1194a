#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "gpu/proto/host.h"
#include "gpu/worker/host_role.h"

static struct host_holders *ask(const char *proc, const struct host_device *d, size_t n, int expect)
{
	struct roots roots = { .proc = proc };
	struct host_role *role = host_role_new(&roots);
	struct host_holders *h = MEM_NEW(struct host_holders);
	struct buf body, out;

	buf_init(&body, 1 << 20);
	buf_init(&out, 1 << 20);
	host_put_devices(&body, d, n);
	assert_int_equal(host_role_methods[0].fn(role, buf_sv(&body), 1000, &out), expect);
	if (expect == 0)
		assert_int_equal(host_get_holders(buf_sv(&out), h), 0);
	buf_done(&body);
	buf_done(&out);
	host_role_free(&role);
	return h;
}

/* A process that is not our child's sibling (its parent is gone) and keeps `device` open. */
static pid_t stranger(const char *device)
{
	pid_t middle, pid = 0;
	int told[2];
	char c;

	assert_int_equal(pipe(told), 0);
	middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		pid = fork();
		if (pid == 0) {
			if (open(device, O_RDONLY) < 0)
				_exit(1);
			alarm(30);
			(void)!write(told[1], "x", 1);
			for (;;)
				pause();
		}
		(void)!write(told[1], &pid, sizeof(pid));
		_exit(0);
	}
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	/* "x" and the pid come in either order. */
	{
		char bytes[sizeof(pid) + 1];
		size_t n = 0;

		while (n < sizeof(bytes)) {
			assert_int_equal(read(told[0], &c, 1), 1);
			bytes[n++] = c;
		}
		if (bytes[0] == 'x')
			memcpy(&pid, bytes + 1, sizeof(pid));
		else
			memcpy(&pid, bytes, sizeof(pid));
	}
	close(told[0]);
	close(told[1]);
	return pid;
}

static const struct host_holder *find(const struct host_holders *h, pid_t pid)
{
	size_t i;

	for (i = 0; i < h->n; i++)
		if (h->list[i].pid == pid)
			return &h->list[i];
	return NULL;
}

/* /dev/full stands for a GPU: 1:7, which nobody else has open. */
static void test_holder_found(void **state)
{
	const struct host_device devices[] = { { 195, 3 }, { 1, 7 } };
	struct host_holders *h;
	pid_t pid = stranger("/dev/full");

	(void)state;
	h = ask("/proc", devices, 2, 0);
	assert_non_null(find(h, pid));
	assert_true(*find(h, pid)->name);
	mem_free(h);
	h = ask("/proc", devices, 1, 0);
	assert_null(find(h, pid));
	mem_free(h);
	kill(pid, SIGKILL);
}

/* Tundra's own processes are no holders: this one, its parent, its parent's other children. */
static void test_not_ourselves(void **state)
{
	const struct host_device device = { 1, 7 };
	int fd = open("/dev/full", O_RDONLY | O_CLOEXEC);
	struct host_holders *h;

	(void)state;
	assert_true(fd >= 0);
	h = ask("/proc", &device, 1, 0);
	assert_null(find(h, getpid()));
	mem_free(h);
	close(fd);
}

/*
 * In a container: another PID namespace than the /proc that is looked at, as the chart has it. The
 * numbers of the one mean nothing in the other.
 */
static void test_not_ourselves_in_a_container(void **state)
{
	const struct host_device device = { 1, 7 };
	pid_t outer, pid;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	outer = fork(); /* what it unshares stays its own */
	if (outer == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		pid = fork(); /* tundra, process 1 */
		if (pid == 0) {
			int fd = open("/dev/full", O_RDONLY | O_CLOEXEC);
			bool found = fd < 0;

			pid = fork(); /* a worker that has the GPU open, and the one that looks */
			if (pid == 0) {
				pause();
				_exit(0);
			}
			if (fork() == 0) {
				struct host_holders *h = ask("/proc", &device, 1, 0);

				for (size_t i = 0; i < h->n; i++)
					found |= strncmp(h->list[i].name, "unit.worker", 11) == 0;
				mem_free(h);
				_exit(found);
			}
			status = 1;
			(void)wait(&status);
			_exit(WEXITSTATUS(status));
		}
		(void)waitpid(pid, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(outer, &status, 0), outer);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_no_proc(void **state)
{
	const struct host_device device = { 1, 7 };
	struct host_holders *h = ask("/nowhere", &device, 1, -2);

	(void)state;
	assert_false(h->complete);
	mem_free(h);
}

static void write_file(const char *root, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void write_cmdline(const char *root, const char *pid, const char *words)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/cmdline", root, pid);
	f = fopen(path, "w");
	assert_non_null(f);
	for (const char *p = words; *p; p++)
		fputc(*p == ' ' ? '\0' : *p, f);
	fputc('\0', f);
	fclose(f);
}

/* Two instances of tundra during an update: the other one's worker has the GPUs open as ours. */
static void test_not_the_other_instance(void **state)
{
	const struct host_device device = { 1, 7 };
	char proc[] = "/tmp/tundra-proc.XXXXXX", command[512];
	struct host_holders *h;

	(void)state;
	assert_non_null(mkdtemp(proc));
	snprintf(command, sizeof(command),
		 "cd %s && for p in 50 51 52 53 54; do mkdir -p $p/fd && ln -s /dev/full $p/fd/5; "
		 "done; rm 50/fd/5",
		 proc);
	assert_int_equal(system(command), 0);
	write_cmdline(proc, "50", "/usr/bin/tundra-worker --role spawner --build b --dev /dev");
	write_cmdline(proc, "51", "/usr/bin/tundra-worker --role nvml    --build b --dev /dev");
	write_file(proc, "51/comm", "nvml\n");
	write_file(proc, "51/stat", "51 (nvml) S 50 51 51 0\n");
	/* Somebody's programs: one with the same name, one that the worker would never start. */
	write_cmdline(proc, "52", "/home/me/tundra-worker --train now");
	write_file(proc, "52/comm", "train\n");
	write_file(proc, "52/stat", "52 (train) S 50 52 52 0\n");
	write_cmdline(proc, "53", "/usr/bin/tundra-worker --role nvml --build b");
	write_file(proc, "53/comm", "nvml\n");
	write_file(proc, "53/stat", "53 (nvml) S 54 53 53 0\n");
	write_cmdline(proc, "54", "python3 --role spawner");
	write_file(proc, "54/comm", "python3\n");
	write_file(proc, "54/stat", "54 (python3) S 1 54 54 0\n");
	h = ask(proc, &device, 1, 0);
	assert_null(find(h, 51));
	assert_non_null(find(h, 52));
	assert_non_null(find(h, 53));
	assert_non_null(find(h, 54));
	assert_int_equal(h->n, 3);
	mem_free(h);
	snprintf(command, sizeof(command), "rm -r %s", proc);
	assert_int_equal(system(command), 0);
}

/* A /proc of our own: what counts as seeing the whole node, and daemons that do not count. */
static void test_completeness(void **state)
{
	const struct host_device device = { 1, 7 };
	char proc[] = "/tmp/tundra-proc.XXXXXX", command[512];
	struct host_holders *h;

	(void)state;
	assert_non_null(mkdtemp(proc));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p 1/ns 2 41/fd 42/fd self && ln -s 'mnt:[4]' 1/ns/mnt && "
		 "ln -s /dev/full 41/fd/5 && ln -s /dev/full 42/fd/7 && ln -s /dev/null 42/fd/1",
		 proc);
	assert_int_equal(system(command), 0);
	write_file(proc, "1/comm", "systemd\n");
	write_file(proc, "2/comm", "kthreadd\n");
	write_file(proc, "41/comm", "nvidia-persiste\n");
	write_file(proc, "42/comm", "python3\n");
	write_file(proc, "42/stat", "42 (a) b) S 1 42 42 0\n");
	h = ask(proc, &device, 1, 0);
	assert_true(h->complete);
	assert_int_equal(h->n, 1);
	assert_int_equal(h->list[0].pid, 42);
	assert_string_equal(h->list[0].name, "python3");
	mem_free(h);
	h = ask(proc, NULL, 0, 0); /* nothing asked, nothing proven */
	assert_false(h->complete);
	mem_free(h);
	write_file(proc, "2/comm", "bash\n"); /* a container that is the node: 1 is not in ours */
	h = ask(proc, &device, 1, 0);
	assert_true(h->complete);
	mem_free(h);
	write_file(proc, "1/comm", "pause\n");
	h = ask(proc, &device, 1, 0);
	assert_false(h->complete);
	mem_free(h);
	snprintf(command, sizeof(command), "rm -r %s", proc);
	assert_int_equal(system(command), 0);
}

static void test_garbage(void **state)
{
	struct roots roots = { .proc = "/proc" };
	struct host_role *role = host_role_new(&roots);
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 16);
	assert_true(host_role_methods[0].fn(role, SV("nonsense"), 1000, &out) < 0);
	assert_true(buf_len(&out) > 0);
	buf_done(&out);
	host_role_free(&role);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holder_found),
		cmocka_unit_test(test_not_ourselves),
		cmocka_unit_test(test_not_ourselves_in_a_container),
		cmocka_unit_test(test_no_proc),
		cmocka_unit_test(test_not_the_other_instance),
		cmocka_unit_test(test_completeness),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
