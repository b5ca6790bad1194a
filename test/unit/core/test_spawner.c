/* Workers that come out of a spawner. Both are this program again, see main. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/spawner_message.h"
#include "core/version.h"
#include "test/unit/core/worker_methods.h"

enum { WHO = 1, HANG, CRASH };
enum { LOOK_MS = 10, LOOKS = 1000, CALL_MS = 10000, MANY = 40, FLOOD = 400 };

/* "role spawner-pid open-descriptors": what a worker was made with. */
static int do_who(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	int open = 0;

	(void)body;
	(void)deadline_ms;
	for (int i = 0; i < 256; i++)
		open += fcntl(i, F_GETFD) >= 0;
	buf_printf(out, "%s %d %d", (const char *)ctx, (int)getppid(), open);
	return 0;
}

static const struct worker_method methods[] = {
	{ WHO, "who", do_who },
	{ HANG, "hang", do_hang },
	{ CRASH, "crash", do_crash },
};

static int be_worker(void *ctx, const char *role)
{
	(void)ctx;
	if (strcmp(role, "unknown") == 0)
		return 2;
	return worker_serve(CHILD_FD, methods, ARRAY_LEN(methods), (void *)(uintptr_t)role) ? 1 : 0;
}

static int be_spawner(int argc, char **argv)
{
	if (argc < 5 || strcmp(argv[1], "--role") != 0 || strcmp(argv[2], "spawner") != 0 ||
	    strcmp(argv[3], "--build") != 0 || strcmp(argv[4], version_build()) != 0)
		return 2;
	if (argc > 5 && !strcmp(argv[5], "--refuse"))
		return 3;
	if (argc > 5 && !strcmp(argv[5], "--slow"))
		usleep(300000);
	return spawner_serve(CHILD_FD, be_worker, NULL) ? 1 : 0;
}

/* ---- a world ---- */

struct lab {
	struct loop *loop;
	struct spawner *spawner;
	struct worker_host host;
	int lost, lines;
	char line[512]; /* the last error */
};

struct asker {
	struct worker *w;
	int status, answers;
	char text[128];
};

static void capture(void *arg, enum log_level level, struct sv line)
{
	struct lab *l = arg;

	if (!memmem(line.p, line.n, "slow turn", 9)) /* of a busy machine */
		l->lines++;
	if (level == LOG_ERROR)
		(void)sv_copy(l->line, sizeof(l->line), line);
}

static void on_lost(void *arg)
{
	((struct lab *)arg)->lost++;
}

static void lab_start(struct lab *l, const char *arg)
{
	const char *const args[] = { arg, NULL };
	const struct spawner_conf conf = { "/proc/self/exe", args, on_lost, l };

	*l = (struct lab){ .loop = loop_new() };
	log_capture(capture, l);
	assert_int_equal(spawner_start(l->loop, &conf, &l->spawner), 0);
	l->host = spawner_host(l->spawner);
}

static void lab_stop(struct lab *l)
{
	spawner_free(&l->spawner);
	spawner_free(&l->spawner);
	loop_free(&l->loop);
	log_capture(NULL, NULL);
}

static void on_answer(void *arg, int status, struct sv body)
{
	struct asker *a = arg;

	a->status = status;
	a->answers++;
	(void)sv_copy(a->text, sizeof(a->text), body);
}

static int call(struct lab *l, struct asker *a, uint16_t method, uint32_t deadline_ms)
{
	int before = a->answers;

	worker_call(a->w, method, SV_NONE, deadline_ms, on_answer, a);
	for (int i = 0; a->answers == before && i < LOOKS; i++)
		loop_turn(l->loop, LOOK_MS);
	assert_int_equal(a->answers, before + 1);
	return a->status;
}

static pid_t pid_of(struct lab *l, const struct asker *a)
{
	for (int i = 0; !worker_stats(a->w)->pid && i < LOOKS; i++)
		loop_turn(l->loop, LOOK_MS);
	assert_true(worker_stats(a->w)->pid > 0);
	return (pid_t)worker_stats(a->w)->pid;
}

/* Gone, or dead and nobody's. */
static bool is_gone(pid_t pid)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return fsx_line(path, line, sizeof(line)) < 0 || strstr(line, ") Z");
}

static void await_gone(pid_t pid)
{
	for (int i = 0; !is_gone(pid) && i < LOOKS; i++)
		usleep(LOOK_MS * 1000);
	assert_true(is_gone(pid));
}

static pid_t parent_of(const struct asker *a)
{
	return (pid_t)strtol(strchr(a->text, ' '), NULL, 10);
}

/* ---- tests ---- */

static void test_serves(void **state)
{
	struct asker a = { 0 }, b = { 0 };
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	a.w = worker_new(l.loop, &l.host, "first");
	b.w = worker_new(l.loop, &l.host, "second");
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	assert_int_equal(call(&l, &b, WHO, CALL_MS), 0);
	assert_true(sv_starts(sv_str(a.text), SV("first ")));
	assert_true(sv_starts(sv_str(b.text), SV("second ")));
	assert_true(parent_of(&a) != getpid());
	assert_int_equal(parent_of(&a), parent_of(&b));
	/* Standard ones and its socket: not the spawner's, not the other worker's. */
#ifndef TEST_EMULATED /* an emulator has some of its own */
	assert_string_equal(strrchr(a.text, ' '), " 4");
	assert_string_equal(strrchr(b.text, ' '), " 4");
#endif
	assert_true(pid_of(&l, &a) != pid_of(&l, &b));
	assert_int_equal(l.lost, 0);
	assert_int_equal(l.lines, 0);
	worker_free(&a.w);
	worker_free(&b.w);
	lab_stop(&l);
}

static void test_replaced(void **state)
{
	struct asker a = { 0 };
	struct lab l;
	pid_t pid;

	(void)state;
	lab_start(&l, NULL);
	a.w = worker_new(l.loop, &l.host, "nvml");
	assert_int_equal(call(&l, &a, CRASH, CALL_MS), -EIO);
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	pid = pid_of(&l, &a);
	assert_int_equal(call(&l, &a, HANG, 200), -ETIMEDOUT);
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	assert_true(is_gone(pid)); /* SIGKILL and reaped before the next one */
	pid = pid_of(&l, &a);
	kill(pid, SIGKILL);
	for (int i = 0; worker_stats(a.w)->state != WORKER_DOWN && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	assert_true(pid_of(&l, &a) != pid);
	assert_int_equal(worker_stats(a.w)->starts, 4);
	assert_int_equal(worker_stats(a.w)->abandoned, 0);
	pid = pid_of(&l, &a);
	worker_free(&a.w); /* while it lives: is killed */
	for (int i = 0; !is_gone(pid) && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_true(is_gone(pid));
	lab_stop(&l);
}

/* Before the spawner runs at all there are more orders than it can have workers. */
static void test_many(void **state)
{
	struct asker a[MANY] = { 0 };
	struct lab l;
	uint64_t began;
	size_t up = 0;

	(void)state;
	lab_start(&l, "--slow");
	began = loop_now_us(l.loop);
	for (size_t i = 0; i < MANY; i++) {
		a[i].w = worker_new(l.loop, &l.host, "w");
		worker_call(a[i].w, WHO, SV_NONE, CALL_MS, on_answer, &a[i]);
	}
	loop_turn(l.loop, 0);
	assert_true(loop_now_us(l.loop) - began < 200000); /* nothing waited for the spawner */
	assert_int_equal(worker_stats(a[0].w)->pid, 0);
	for (int i = 0; up < MANY && i < LOOKS; i++) {
		loop_turn(l.loop, LOOK_MS);
		up = 0;
		for (size_t k = 0; k < MANY; k++)
			up += a[k].answers;
	}
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(a[i].answers, 1);
		assert_int_equal(a[i].status, 0);
		worker_free(&a[i].w);
	}
	lab_stop(&l);
}

static void nobody(void *arg)
{
	(*(int *)arg)++;
}

/* More orders than its socket holds: they wait, in their order, and the last one is heard as well.
 */
static void test_flood(void **state)
{
	struct asker a = { 0 };
	int none = 0, fd;
	struct lab l;
	void *handle;

	(void)state;
	lab_start(&l, "--slow");
	for (int i = 0; i < FLOOD; i++) {
		assert_int_equal(l.host.start(l.host.ctx, l.loop, "w", nobody, &none, &fd, &handle),
				 0);
		l.host.release(l.host.ctx, handle);
		close(fd);
	}
	a.w = worker_new(l.loop, &l.host, "last");
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	assert_true(sv_starts(sv_str(a.text), SV("last ")));
	assert_int_equal(none, 0); /* let go: nobody is told */
	worker_free(&a.w);
	lab_stop(&l);
}

/* More than it has room for is told as ended; what is killed before it lived, too. */
static void test_no_room(void **state)
{
	void *handles[SPAWNER_WORKERS_MAX + 1];
	int fds[SPAWNER_WORKERS_MAX + 1], ended = 0, none = 0;
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	for (size_t i = 0; i < ARRAY_LEN(handles); i++)
		assert_int_equal(l.host.start(l.host.ctx, l.loop, "w", nobody,
					      i < SPAWNER_WORKERS_MAX ? &none : &ended, &fds[i],
					      &handles[i]),
				 0);
	for (int i = 0; !ended && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_int_equal(ended, 1);
	assert_int_equal(none, 0);
	l.host.kill(l.host.ctx, handles[0]);
	for (int i = 0; !none && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_int_equal(none, 1);
	for (size_t i = 0; i < ARRAY_LEN(handles); i++) {
		l.host.release(l.host.ctx, handles[i]);
		close(fds[i]);
	}
	lab_stop(&l);
}

static void test_unknown_role(void **state)
{
	struct asker a = { 0 };
	struct lab l;
	void *handle;
	int fd;

	(void)state;
	lab_start(&l, NULL);
	a.w = worker_new(l.loop, &l.host, "unknown");
	assert_int_equal(call(&l, &a, WHO, CALL_MS), -EIO);
	assert_int_equal(l.lost, 0);
	worker_free(&a.w);
	assert_int_equal(
	    l.host.start(l.host.ctx, l.loop, "a-name-of-16-by.", nobody, NULL, &fd, &handle),
	    -ENAMETOOLONG);
	lab_stop(&l);
}

static void test_lost(void **state)
{
	struct asker a = { 0 };
	struct lab l;
	pid_t pid;

	(void)state;
	lab_start(&l, NULL);
	a.w = worker_new(l.loop, &l.host, "nvml");
	assert_int_equal(call(&l, &a, WHO, CALL_MS), 0);
	pid = pid_of(&l, &a);
	kill(parent_of(&a), SIGKILL);
	for (int i = 0; !l.lost && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_int_equal(l.lost, 1);
	assert_non_null(strstr(l.line, "the process that starts workers ended"));
	assert_non_null(strstr(l.line, "signal=9"));
	await_gone(pid); /* and its workers with it */
	assert_int_equal(call(&l, &a, WHO, CALL_MS), -EIO);
	assert_int_equal(worker_stats(a.w)->starts, 1);
	worker_free(&a.w);
	lab_stop(&l);
}

static void test_refuses(void **state)
{
	struct asker a = { 0 };
	struct lab l;

	(void)state;
	lab_start(&l, "--refuse");
	a.w = worker_new(l.loop, &l.host, "nvml");
	assert_int_equal(call(&l, &a, WHO, CALL_MS), -EIO);
	for (int i = 0; !l.lost && i < LOOKS; i++)
		loop_turn(l.loop, LOOK_MS);
	assert_int_equal(l.lost, 1);
	worker_free(&a.w);
	lab_stop(&l);
}

static void test_no_program(void **state)
{
	const struct spawner_conf conf = { .program = "/nowhere/tundra-worker" };
	struct loop *loop = loop_new();
	struct spawner *s = NULL;

	(void)state;
	assert_int_equal(spawner_start(loop, &conf, &s), -ENOENT);
	assert_null(s);
	loop_free(&loop);
}

/* Its owner gone without a word, all are gone. */
static void test_dies_with_its_parent(void **state)
{
	pid_t pids[2] = { 0 }, owner;
	int told[2];

	(void)state;
	assert_int_equal(pipe(told), 0);
	owner = fork();
	if (owner == 0) {
		struct asker a = { 0 };
		struct lab l;

		lab_start(&l, NULL);
		a.w = worker_new(l.loop, &l.host, "nvml");
		(void)call(&l, &a, WHO, CALL_MS);
		pids[0] = parent_of(&a);
		pids[1] = pid_of(&l, &a);
		(void)!write(told[1], pids, sizeof(pids));
		for (;;)
			pause();
	}
	assert_int_equal(read(told[0], pids, sizeof(pids)), sizeof(pids));
	assert_true(pids[0] > 0 && pids[1] > 0);
	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	await_gone(pids[0]);
	await_gone(pids[1]);
	close(told[0]);
	close(told[1]);
}

/* The server does not trust its peer's bytes more than it has to. */
static void test_nonsense(void **state)
{
	const struct {
		struct spawner_message m;
		size_t n;
	} rows[] = {
		{ { .kind = SPAWNER_KILL, .id = 1 }, sizeof(struct spawner_message) - 1 },
		{ { .kind = SPAWNER_KILL, .id = 0 }, sizeof(struct spawner_message) },
		{ { .kind = SPAWNER_START, .id = 1, .role = "w" }, sizeof(struct spawner_message) },
		{ { .kind = 99, .id = 1 }, sizeof(struct spawner_message) },
		{ { .kind = SPAWNER_KILL,
		    .id = 1,
		    .role = "0123456789abcde"
			    "f" },
		  sizeof(struct spawner_message) },
	};
	struct spawner_message back;
	int pair[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		assert_int_equal(send(pair[0], &rows[i].m, rows[i].n, 0), rows[i].n);
		assert_int_equal(spawner_serve(pair[1], be_worker, NULL), -EBADMSG);
		close(pair[0]);
		close(pair[1]);
	}
	/* One that is not there is told as ended; a peer that closed is the end. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	back = (struct spawner_message){ .kind = SPAWNER_KILL, .id = 7 };
	assert_int_equal(send(pair[0], &back, sizeof(back), 0), sizeof(back));
	assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
	assert_int_equal(spawner_serve(pair[1], be_worker, NULL), 0);
	assert_int_equal(recv(pair[0], &back, sizeof(back), 0), sizeof(back));
	assert_int_equal(back.kind, SPAWNER_ENDED);
	assert_int_equal(back.id, 7);
	close(pair[0]);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serves),	   cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_many),	   cmocka_unit_test(test_flood),
		cmocka_unit_test(test_no_room),	   cmocka_unit_test(test_unknown_role),
		cmocka_unit_test(test_lost),	   cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_no_program), cmocka_unit_test(test_dies_with_its_parent),
		cmocka_unit_test(test_nonsense),
	};

	if (argc > 1)
		return be_spawner(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
