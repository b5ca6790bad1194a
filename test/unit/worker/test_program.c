/* tundra-worker as a program: how it is started, what it may do, when it ends. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/fsx.h"
#include "core/spawner.h"
#include "core/version.h"
#include "gpu/proto/host.h"
#include "gpu/worker_args.h"

#define PROGRAM TEST_BINARY_DIR "/bin/tundra-worker"
#define CAP(n)	(1ull << (n))

enum { TURNS = 100 }; /* of 100 ms at most */

/* Starts it with its end of a socketpair as CHILD_FD. */
static pid_t start(const char *const *args, int *fd)
{
	const char *argv[24] = { PROGRAM };
	int pair[2], r;
	pid_t pid;
	size_t i;

	for (i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	assert_int_equal(r, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(pair[1], CHILD_FD) == CHILD_FD)
			execv(PROGRAM, (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static int ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_arguments(void **state)
{
	const char *build = version_build();
	const struct {
		const char *args[8];
		int exit;
	} rows[] = {
		{ { NULL }, 2 },
		{ { "--role", "nvml", NULL }, 2 },
		{ { "--build", build, NULL }, 2 },
		{ { "--role", "nvml", "--build", NULL }, 2 },
		{ { "--role", "nvml", "--build", build, "--colour", "red", NULL }, 2 },
		{ { "--role", "cook", "--build", build, NULL }, 2 },
		{ { "--role", "nvml", "--build", "another", NULL }, 3 },
		{ { "--version", NULL }, 0 },
	};
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		pid_t pid = start(rows[i].args, &fd);

		assert_int_equal(ended(pid), rows[i].exit);
		close(fd);
	}
}

static uint64_t status_field(pid_t pid, const char *name)
{
	uint64_t value = UINT64_MAX;
	char path[64], *at;
	struct buf text;

	buf_init(&text, 1 << 16);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_int_equal(fsx_read(path, 1 << 16, &text), 0);
	at = strstr(buf_cstr(&text), name);
	if (at)
		value = strtoull(at + strlen(name) + 1, NULL, 16);
	buf_done(&text);
	return value;
}

/* Asks something trivial, so that the worker is known to serve. */
static void until_serving(int fd)
{
	/* {length 0, id 1, method 999, status 0, deadline 1000}: no such method, but an answer */
	static const char frame[] = "\0\0\0\0\1\0\0\0\xe7\3\0\0\xe8\3\0";
	char answer[64];

	assert_int_equal(send(fd, frame, 16, 0), 16);
	assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
}

/* Not taken from the product's table: a row that grows there has to grow here, on purpose. */
static const struct {
	const char *role;
	uint64_t caps;
} rows[] = {
	{ "nvml", CAP(27) | CAP(0) }, /* MKNOD, CHOWN */
	{ "host", CAP(19) | CAP(2) }, /* SYS_PTRACE, DAC_READ_SEARCH */
	{ "disk", CAP(24) },	      /* SYS_RESOURCE */
};

static void look_at(pid_t pid, uint64_t permitted, uint64_t effective)
{
#ifdef TEST_EMULATED /* no kernel of its own, that would take a filter */
	(void)pid, (void)permitted, (void)effective;
	return;
#endif
	assert_true(status_field(pid, "CapPrm:") == permitted);
	assert_true(status_field(pid, "CapBnd:") == permitted);
	assert_true(status_field(pid, "CapEff:") == effective);
	assert_true(status_field(pid, "CapInh:") == 0);
	assert_true(status_field(pid, "CapAmb:") == 0);
	assert_int_equal(status_field(pid, "NoNewPrivs:"), 1);
	assert_int_equal(status_field(pid, "Seccomp:"), 2);
}

static void test_privileges(void **state)
{
	uint64_t caps, all = status_field(getpid(), "CapPrm:"); /* a container has not all */
	size_t i;
	int fd;

	(void)state;
	assert_true(all & CAP(8)); /* SETPCAP, for the bounding set */
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const args[] = { "--role", rows[i].role, "--build", version_build(),
					     NULL };
		pid_t pid = start(args, &fd);

		until_serving(fd);
		caps = rows[i].caps & all;
		look_at(pid, caps, caps);
		close(fd);
		assert_int_equal(ended(pid), 0); /* the parent closed: that is the end */
	}
}

static void ended_or_up(void *arg)
{
	(*(int *)arg)++;
}

/* The same for workers that come out of a spawner, and for that itself. */
static void test_spawner(void **state)
{
	const struct spawner_conf conf = { .program = PROGRAM };
	uint64_t all = status_field(getpid(), "CapPrm:"), keeps = CAP(8); /* SETPCAP */
	struct loop *loop = loop_new();
	struct worker_host host;
	struct spawner *s;
	pid_t spawner = 0;

	(void)state;
#ifdef TEST_EMULATED /* names of processes are the emulator's */
	skip();
#endif
	assert_int_equal(spawner_start(loop, &conf, &s), 0);
	host = spawner_host(s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[64], line[512];
		int gone = 0, fd;
		void *handle;
		struct sv rest;
		pid_t pid;

		keeps |= rows[i].caps;
		assert_int_equal(
		    host.start(host.ctx, loop, rows[i].role, ended_or_up, &gone, &fd, &handle), 0);
		for (int k = 0; !host.pid(host.ctx, handle) && k < TURNS; k++)
			loop_turn(loop, 100);
		pid = (pid_t)host.pid(host.ctx, handle);
		assert_true(pid > 0);
		assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
		until_serving(fd);
		look_at(pid, rows[i].caps & all, rows[i].caps & all);
		/* ps tells them from each other. */
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
		assert_int_equal(fsx_line(path, line, sizeof(line)), 0);
		assert_string_equal(line, rows[i].role);
		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
		{
			FILE *f = fopen(path, "r");
			size_t n = fread(line, 1, sizeof(line), f);

			fclose(f);
			rest = sv_make(line, n);
			assert_non_null(memmem(rest.p, rest.n, rows[i].role, 5));
			assert_null(memmem(rest.p, rest.n, "spawner", 7));
		}
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		assert_int_equal(fsx_line(path, line, sizeof(line)), 0);
		spawner = (pid_t)strtol(strrchr(line, ')') + 4, NULL, 10);
		kill(pid, SIGKILL);
		for (int k = 0; !gone && k < TURNS; k++)
			loop_turn(loop, 100);
		assert_int_equal(gone, 1);
		host.release(host.ctx, handle);
		close(fd);
	}
	look_at(spawner, keeps & all, 0);
	spawner_free(&s);
	loop_free(&loop);
}

static void test_broken_protocol(void **state)
{
	const char *const args[] = { "--role", "host", "--build", version_build(), NULL };
	pid_t pid;
	int fd;

	(void)state;
	pid = start(args, &fd);
	assert_int_equal(send(fd, "\377\377\377\377 nothing like a frame", 26, MSG_NOSIGNAL), 26);
	assert_int_equal(ended(pid), 1);
	close(fd);
}

static void test_no_socket(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		close(CHILD_FD);
		execl(PROGRAM, PROGRAM, "--role", "host", "--build", version_build(), NULL);
		_exit(99);
	}
	assert_int_equal(ended(pid), 2);
}

/* Killed outright, the parent closes nothing in an orderly way; the worker goes all the same. */
static void test_dies_with_its_parent(void **state)
{
	const char *const args[] = { "--role", "host", "--build", version_build(), NULL };
	int keep[2], told[2], fd, i;
	pid_t middle, worker = 0;

	(void)state;
	assert_int_equal(pipe(told), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, keep), 0);
	middle = fork();
	if (middle == 0) {
		worker = start(args, &fd);
		until_serving(fd);
		(void)!write(told[1], &worker, sizeof(worker));
		for (;;)
			pause();
	}
	assert_int_equal(read(told[0], &worker, sizeof(worker)), sizeof(worker));
	kill(middle, SIGKILL);
	assert_int_equal(ended(middle), 1000 + SIGKILL);
	for (i = 0; i < 500 && kill(worker, 0) == 0; i++) {
		char path[64], line[256];

		/* A zombie waits for init; that is dead enough. */
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)worker);
		if (fsx_line(path, line, sizeof(line)) < 0 || strstr(line, ") Z"))
			break;
		usleep(10000);
	}
	assert_true(i < 500);
	close(told[0]);
	close(told[1]);
	close(keep[0]);
	close(keep[1]);
}

static void test_roots_there_and_back(void **state)
{
	const struct roots roots = { .dev = "/d",
				     .proc = "/p",
				     .sys = "/s",
				     .proc_devices = "/a",
				     .driver = "",
				     .driver_host = "/h" };
	const char *args[WORKER_ROOTS_ARGS + 1];
	struct roots back = { 0 };
	size_t i;

	(void)state;
	worker_args_write(&roots, args);
	for (i = 0; args[i]; i += 2)
		assert_true(worker_args_read(args[i], args[i + 1], &back));
	assert_int_equal(i, 12);
	assert_string_equal(back.dev, "/d");
	assert_string_equal(back.proc, "/p");
	assert_string_equal(back.sys, "/s");
	assert_string_equal(back.proc_devices, "/a");
	assert_string_equal(back.driver, "");
	assert_string_equal(back.driver_host, "/h");
	assert_false(worker_args_read("--role", "x", &back));
	back.sys = NULL;
	worker_args_write(&back, args);
	for (i = 0; args[i]; i++)
		assert_string_not_equal(args[i], "--sys");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_spawner),
		cmocka_unit_test(test_broken_protocol),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_dies_with_its_parent),
		cmocka_unit_test(test_roots_there_and_back),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: capabilities are looked at\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
