#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/le.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "core/worker.h"
#include "core/worker_frame.h"
#include "test/unit/core/worker_methods.h"

/* Methods of the test's own worker, which is this program again (see main). */
enum { ECHO = 1, FAIL, HANG, CRASH, BIG, NOTICE, DEADLINE, SLOW };

static int do_echo(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)deadline_ms;
	buf_put_sv(out, body);
	return 0;
}

static int do_fail(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	buf_puts(out, "because");
	return -ENODEV;
}

static int do_big(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	size_t n = le_get32(body.p);
	char *to = buf_reserve(out, n);

	(void)ctx;
	(void)deadline_ms;
	if (!to)
		return 0;
	memset(to, 'b', n);
	buf_commit(out, n);
	return 0;
}

static int do_notice(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)deadline_ms;
	(void)out;
	return worker_notify(*(int *)ctx, 42, body);
}

static int do_deadline(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	buf_printf(out, "%u", deadline_ms);
	return 0;
}

static int do_slow(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	usleep(300000);
	return 0;
}

static const struct worker_method methods[] = {
	{ ECHO, "echo", do_echo }, { FAIL, "fail", do_fail },
	{ HANG, "hang", do_hang }, { CRASH, "crash", do_crash },
	{ BIG, "big", do_big },	   { NOTICE, "notice", do_notice },
	{ SLOW, "slow", do_slow }, { DEADLINE, "deadline", do_deadline },
};

static int worker_main(int argc, char **argv)
{
	int fd = CHILD_FD;

	if (argc < 5 || strcmp(argv[1], "--role") || strcmp(argv[3], "--build") ||
	    strcmp(argv[4], version_build()))
		return 2;
	if (argc > 5 && !strcmp(argv[5], "--refuse"))
		return 2;
	return worker_serve(fd, methods, ARRAY_LEN(methods), &fd) ? 1 : 0;
}

/* ---- the server end, bytes only ---- */

static void put_request(struct buf *b, uint32_t id, uint16_t method, struct sv body)
{
	struct worker_frame f = { .id = id, .method = method, .deadline_ms = 7 };

	assert_true(worker_frame_put(b, f, body));
}

static void serve(struct buf *in, struct buf *out, int want)
{
	assert_int_equal(worker_dispatch(in, out, methods, ARRAY_LEN(methods), NULL), want);
}

static void dispatch_takes_any_split(void **state)
{
	struct buf all, in, out, whole;
	struct sv bytes;
	size_t cut, i;

	(void)state;
	buf_init(&all, 1000);
	buf_init(&in, WORKER_FRAME_MAX + 1000);
	buf_init(&out, 1000);
	buf_init(&whole, 1000);
	put_request(&all, 1, WORKER_M_HELLO, SV_NONE);
	put_request(&all, 2, ECHO, SV("hello"));
	put_request(&all, 0xfffffffe, FAIL, SV_NONE);
	put_request(&all, 4, 999, SV("?"));
	put_request(&all, 5, DEADLINE, SV_NONE);
	bytes = buf_sv(&all);
	buf_put_sv(&in, bytes);
	serve(&in, &whole, 0);
	assert_int_equal(buf_len(&in), 0);
	/* id, status and content of each answer */
	assert_int_equal(buf_len(&whole), 5 * WORKER_HEADER + 5 + 7 + 29 + 1);
	assert_memory_equal(buf_sv(&whole).p,
			    "\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0"
			    "\5\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0hello"
			    "\7\0\0\0\xfe\xff\xff\xff\2\0\x13\0\0\0\0\0because",
			    3 * WORKER_HEADER + 12);
	for (cut = 0; cut <= bytes.n; cut++) {
		buf_put(&in, bytes.p, cut);
		serve(&in, &out, 0);
		buf_put(&in, bytes.p + cut, bytes.n - cut);
		serve(&in, &out, 0);
		assert_true(sv_eq(buf_sv(&out), buf_sv(&whole)));
		buf_clear(&out);
	}
	for (i = 0; i < bytes.n; i++) {
		buf_put(&in, bytes.p + i, 1);
		serve(&in, &out, 0);
	}
	assert_true(sv_eq(buf_sv(&out), buf_sv(&whole)));
	buf_done(&all);
	buf_done(&in);
	buf_done(&out);
	buf_done(&whole);
}

static void dispatch_refuses_nonsense(void **state)
{
	struct worker_frame f = { .id = 1, .method = ECHO, .status = 5 };
	struct buf in, out;
	char head[WORKER_HEADER] = { 0 };

	(void)state;
	buf_init(&in, WORKER_FRAME_MAX + 1000);
	buf_init(&out, 1000);
	put_request(&in, 0, ECHO, SV_NONE); /* only a worker gives notice */
	serve(&in, &out, -EBADMSG);
	buf_clear(&in);
	worker_frame_put(&in, f, SV_NONE); /* an answer */
	serve(&in, &out, -EBADMSG);
	buf_clear(&in);
	le_put32(head, WORKER_FRAME_MAX - WORKER_HEADER + 1);
	le_put32(head + 4, 1);
	buf_put(&in, head, sizeof(head)); /* is refused before its bytes are there */
	serve(&in, &out, -EBADMSG);
	assert_int_equal(buf_len(&out), 0);
	buf_done(&in);
	buf_done(&out);
}

static void answers_have_limits(void **state)
{
	struct buf in, out;
	char size[4];

	(void)state;
	buf_init(&in, WORKER_FRAME_MAX + 1000);
	buf_init(&out, 2 * WORKER_HEADER);
	le_put32(size, WORKER_FRAME_MAX); /* 16 bytes too many for a frame */
	put_request(&in, 1, BIG, sv_make(size, 4));
	serve(&in, &out, 0); /* -EMSGSIZE with a text, which does not fit either */
	assert_int_equal(le_get16(buf_sv(&out).p + 10), ENOBUFS);
	buf_clear(&out);
	le_put32(size, 100);
	put_request(&in, 1, BIG, sv_make(size, 4));
	serve(&in, &out, 0);
	assert_int_equal(le_get16(buf_sv(&out).p + 10), ENOBUFS);
	put_request(&in, 2, ECHO, SV_NONE);
	serve(&in, &out, 0);
	put_request(&in, 3, ECHO, SV_NONE);
	serve(&in, &out, -ENOBUFS);
	buf_done(&out);
	buf_clear(&in);
	buf_init(&out, WORKER_FRAME_MAX);
	le_put32(size, WORKER_FRAME_MAX);
	put_request(&in, 1, BIG, sv_make(size, 4));
	serve(&in, &out, 0);
	assert_int_equal(le_get16(buf_sv(&out).p + 10), EMSGSIZE);
	assert_non_null(memmem(buf_sv(&out).p, buf_len(&out), "\"big\" does not fit", 18));
	buf_done(&in);
	buf_done(&out);
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

/* ---- a real process ---- */

struct real {
	struct loop *loop;
	struct worker_exec *exec;
	struct worker *w;
	int status, answers;
	struct buf text;
};

static void real_start(struct real *r, const char *const *args)
{
	struct worker_host host;

	*r = (struct real){ .loop = loop_new() };
	buf_init(&r->text, WORKER_FRAME_MAX);
	r->exec = worker_exec_new("/proc/self/exe", args);
	host = worker_exec_host(r->exec);
	r->w = worker_new(r->loop, &host, "nvml");
	log_capture(swallow, NULL);
}

static void real_stop(struct real *r)
{
	worker_free(&r->w);
	worker_exec_free(&r->exec);
	worker_exec_free(&r->exec);
	loop_free(&r->loop);
	buf_done(&r->text);
	log_capture(NULL, NULL);
}

static void on_real(void *arg, int status, struct sv body)
{
	struct real *r = arg;

	r->status = status;
	r->answers++;
	buf_clear(&r->text);
	buf_put_sv(&r->text, body);
}

static int call(struct real *r, uint16_t method, struct sv body, uint32_t deadline_ms)
{
	int before = r->answers, i;

	worker_call(r->w, method, body, deadline_ms, on_real, r);
	for (i = 0; r->answers == before && i < 3000; i++)
		loop_turn(r->loop, 10);
	assert_int_equal(r->answers, before + 1);
	return r->status;
}

static void real_notice(void *arg, uint16_t method, struct sv body)
{
	struct real *r = arg;

	assert_int_equal(method, 42);
	assert_true(sv_eqs(body, "psst"));
	r->answers += 100;
}

static void process_serves(void **state)
{
	struct real r;
	char size[4], *big;
	int64_t pid;

	(void)state;
	real_start(&r, NULL);
	assert_int_equal(call(&r, ECHO, SV("hi"), 10000), 0);
	assert_string_equal(buf_cstr(&r.text), "hi");
	assert_int_equal(call(&r, FAIL, SV_NONE, 10000), -ENODEV);
	assert_string_equal(buf_cstr(&r.text), "because");
	assert_int_equal(call(&r, 99, SV_NONE, 10000), -ENOSYS);
	assert_int_equal(call(&r, DEADLINE, SV_NONE, 10000), 0);
	assert_true(strtol(buf_cstr(&r.text), NULL, 10) > 5000);
	pid = worker_stats(r.w)->pid;
	assert_true(pid > 0);
	/* Far beyond what a socket holds, both ways. */
	le_put32(size, 20 << 20);
	assert_int_equal(call(&r, BIG, sv_make(size, 4), 30000), 0);
	assert_int_equal(buf_len(&r.text), 20 << 20);
	big = mem_zalloc(20 << 20);
	assert_int_equal(call(&r, ECHO, sv_make(big, 20 << 20), 30000), 0);
	assert_int_equal(buf_len(&r.text), 20 << 20);
	mem_free(big);
	worker_on_notice(r.w, real_notice, &r);
	worker_call(r.w, NOTICE, SV("psst"), 10000, NULL, NULL);
	while (r.answers < 100)
		loop_turn(r.loop, 10);
	assert_int_equal(worker_stats(r.w)->pid, pid);
	assert_int_equal(worker_stats(r.w)->starts, 1);
	real_stop(&r);
}

static void process_is_replaced(void **state)
{
	struct real r;
	int64_t pid;

	(void)state;
	real_start(&r, NULL);
	assert_int_equal(call(&r, CRASH, SV_NONE, 10000), -EIO);
	assert_int_equal(call(&r, ECHO, SV("again"), 10000), 0);
	assert_string_equal(buf_cstr(&r.text), "again");
	pid = worker_stats(r.w)->pid;
	assert_int_equal(call(&r, HANG, SV_NONE, 200), -ETIMEDOUT);
	assert_int_equal(call(&r, ECHO, SV("and again"), 10000), 0);
	assert_true(worker_stats(r.w)->pid != pid);
	kill((pid_t)worker_stats(r.w)->pid, SIGKILL);
	while (worker_stats(r.w)->state != WORKER_DOWN)
		loop_turn(r.loop, 10);
	assert_int_equal(call(&r, ECHO, SV("x"), 10000), 0);
	assert_int_equal(worker_stats(r.w)->starts, 4);
	assert_int_equal(worker_stats(r.w)->timeouts, 1);
	assert_int_equal(worker_stats(r.w)->crashes, 2);
	real_stop(&r);
}

/* The first answer does not wait for the second question's. */
static void answer_leaves_before_the_next_question_is_served(void **state)
{
	struct real r;
	uint64_t began;

	(void)state;
	real_start(&r, NULL);
	assert_int_equal(call(&r, ECHO, SV("up"), 10000), 0);
	began = loop_now_us(r.loop);
	worker_call(r.w, ECHO, SV("first"), 10000, on_real, &r);
	worker_call(r.w, SLOW, SV_NONE, 10000, NULL, NULL);
	while (r.answers < 2)
		loop_turn(r.loop, 10);
	assert_true(loop_now_us(r.loop) - began < 250000);
	real_stop(&r);
}

static void program_of_another_build_is_an_error(void **state)
{
	static const char *const refuse[] = { "--refuse", NULL };
	struct real r;

	(void)state;
	real_start(&r, refuse);
	assert_int_equal(call(&r, ECHO, SV_NONE, 10000), -EIO);
	assert_int_equal(call(&r, ECHO, SV_NONE, 10000), -EIO);
	assert_int_equal(worker_stats(r.w)->crashes, 2);
	real_stop(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispatch_takes_any_split),
		cmocka_unit_test(dispatch_refuses_nonsense),
		cmocka_unit_test(answers_have_limits),
		cmocka_unit_test(process_serves),
		cmocka_unit_test(process_is_replaced),
		cmocka_unit_test(answer_leaves_before_the_next_question_is_served),
		cmocka_unit_test(program_of_another_build_is_an_error),
	};

	if (argc > 1)
		return worker_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
