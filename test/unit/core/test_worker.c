#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/child.h"
#include "core/le.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "core/worker.h"
#include "core/worker_frame.h"

/* Methods of the test's own worker, which is this program again (see main). */
enum { ECHO = 1, FAIL, HANG, CRASH, BIG, TOO_BIG, NOTICE, DEADLINE, SLOW };

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

static int do_hang(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	while (pause() < 0) {
	}
	return 0;
}

static int do_crash(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	_exit(3);
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

/* ---- the client end, against a host that the test plays ---- */

enum { PROCS = 12 };

struct fake {
	struct loop *loop;
	struct worker *w;
	struct {
		void (*on_exit)(void *arg);
		void *arg;
		int fd; /* the worker's end */
		bool killed, released;
	} proc[PROCS];
	size_t procs;
	int start_fails;
	bool exit_on_kill;
	struct buf text; /* what callbacks told */
	enum worker_state states[16];
	size_t states_n;
};

static int fake_start(void *ctx, struct loop *l, const char *role, void (*on_exit)(void *arg),
		      void *arg, int *fd, void **handle)
{
	struct fake *f = ctx;
	int pair[2];

	assert_ptr_equal(l, f->loop);
	assert_string_equal(role, "test");
	if (f->start_fails)
		return f->start_fails;
	assert_true(f->procs < PROCS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	f->proc[f->procs].on_exit = on_exit;
	f->proc[f->procs].arg = arg;
	f->proc[f->procs].fd = pair[1];
	*fd = pair[0];
	*handle = &f->proc[f->procs++];
	return 0;
}

static void fake_exit(struct fake *f, size_t i)
{
	if (f->proc[i].fd >= 0)
		close(f->proc[i].fd);
	f->proc[i].fd = -1;
	f->proc[i].on_exit(f->proc[i].arg);
}

static size_t proc_index(const struct fake *f, void *handle)
{
	size_t i;

	for (i = 0; i < f->procs; i++) {
		if (&f->proc[i] == handle)
			return i;
	}
	fail();
	return 0;
}

static void fake_kill(void *ctx, void *handle)
{
	struct fake *f = ctx;
	size_t i = proc_index(f, handle);

	f->proc[i].killed = true;
	if (f->exit_on_kill)
		fake_exit(f, i);
}

static void fake_release(void *ctx, void *handle)
{
	struct fake *f = ctx;
	size_t i = proc_index(f, handle);

	assert_false(f->proc[i].released);
	f->proc[i].released = true;
	if (f->proc[i].fd >= 0)
		close(f->proc[i].fd);
	f->proc[i].fd = -1;
}

static int64_t fake_pid(void *ctx, void *handle)
{
	return 1000 + (int64_t)proc_index(ctx, handle);
}

static void on_state(void *arg, enum worker_state s)
{
	struct fake *f = arg;

	if (f->states_n < ARRAY_LEN(f->states))
		f->states[f->states_n++] = s;
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static int setup(void **state)
{
	static struct fake f;
	struct worker_host host = { fake_start, fake_kill, fake_release, fake_pid, &f };

	f = (struct fake){ .loop = loop_new_virtual(0, 1), .exit_on_kill = true };
	buf_init(&f.text, 1 << 20);
	f.w = worker_new(f.loop, &host, "test");
	worker_on_state(f.w, on_state, &f);
	log_capture(swallow, NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;
	size_t i;

	f->exit_on_kill = false;
	worker_free(&f->w);
	assert_null(f->w);
	worker_free(&f->w);
	for (i = 0; i < f->procs; i++)
		assert_true(f->proc[i].released);
	buf_done(&f->text);
	loop_free(&f->loop);
	log_capture(NULL, NULL);
	return 0;
}

struct tag {
	struct fake *f;
	char name[8];
};
static struct tag tags[64];

static void on_answer(void *arg, int status, struct sv answer)
{
	struct tag *t = arg;

	buf_printf(&t->f->text, "%s:%d:" SV_FMT " ", t->name, status, SV_ARG(answer));
}

/* Asks under a one-letter name. */
static uint64_t ask(struct fake *f, char name, uint32_t deadline_ms)
{
	struct tag *t = &tags[name & 63];

	t->f = f;
	t->name[0] = name;
	return worker_call(f->w, ECHO, sv_make(&name, 1), deadline_ms, on_answer, t);
}

static void turn(struct fake *f)
{
	loop_turn(f->loop, 0);
	loop_turn(f->loop, 0);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void pass_ms(struct fake *f, uint64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, f->loop, nothing, NULL);
	loop_timer_set(&t, ms);
	while (loop_timer_armed(&t))
		loop_turn(f->loop, -1);
	turn(f);
}

static void told(struct fake *f, const char *want)
{
	assert_string_equal(buf_cstr(&f->text), want);
	buf_clear(&f->text);
}

/* What process i was asked since last time, as "name=id"; ids go to `ids` by name. */
static uint32_t ids[128];

static const char *asked(struct fake *f, size_t i)
{
	static char names[256];
	struct worker_frame fr;
	struct sv body;
	struct buf in;
	int64_t size;
	ssize_t n;
	size_t at = 0;

	buf_init(&in, WORKER_FRAME_MAX * 2);
	while ((n = recv(f->proc[i].fd, buf_reserve(&in, 65536), 65536, 0)) > 0)
		buf_commit(&in, (size_t)n);
	while ((size = worker_frame_peek(&in, &fr, &body)) > 0) {
		names[at] = fr.method == WORKER_M_HELLO ? '.' : body.p[0];
		ids[(int)names[at++]] = fr.id;
		buf_take(&in, (size_t)size);
	}
	assert_int_equal(buf_len(&in), 0);
	buf_done(&in);
	names[at] = '\0';
	return names;
}

static void answer(struct fake *f, size_t i, char name, int status, const char *text)
{
	struct worker_frame fr = { .id = ids[(int)name], .status = (uint16_t)status };
	struct buf b;

	buf_init(&b, 1000);
	worker_frame_put(&b, fr, sv_str(text));
	assert_int_equal(send(f->proc[i].fd, buf_sv(&b).p, buf_len(&b), 0), buf_len(&b));
	buf_done(&b);
}

static void answers_find_their_questions(void **state)
{
	struct fake *f = *state;

	assert_int_equal(worker_stats(f->w)->state, WORKER_DOWN);
	turn(f);
	assert_int_equal(f->procs, 0); /* nothing asked, nothing started */
	ask(f, 'a', 1000);
	ask(f, 'b', 500);
	ask(f, 'c', 1000);
	told(f, "");
	turn(f);
	assert_int_equal(worker_stats(f->w)->state, WORKER_STARTING);
	assert_int_equal(worker_stats(f->w)->pid, 1000);
	assert_string_equal(asked(f, 0), ".abc"); /* as called, not by deadline */
	answer(f, 0, '.', 0, "");
	turn(f);
	assert_int_equal(worker_stats(f->w)->state, WORKER_UP);
	assert_int_equal(f->states_n, 1);
	assert_int_equal(f->states[0], WORKER_UP);
	answer(f, 0, 'c', 0, "C");
	answer(f, 0, 'a', ENODEV, "no device");
	turn(f);
	told(f, "c:0:C a:-19:no device ");
	ask(f, 'd', 1000);
	answer(f, 0, 'b', 0, "");
	turn(f);
	told(f, "b:0: ");
	assert_string_equal(asked(f, 0), "d");
	answer(f, 0, 'd', 0, "D");
	turn(f);
	told(f, "d:0:D ");
	assert_int_equal(worker_stats(f->w)->requests, 4);
	assert_int_equal(worker_stats(f->w)->starts, 1);
	assert_false(f->proc[0].killed);
}

static void answers_come_byte_by_byte(void **state)
{
	struct fake *f = *state;
	struct buf b;
	size_t i;

	ask(f, 'a', 1000);
	turn(f);
	asked(f, 0);
	buf_init(&b, 1000);
	worker_frame_put(&b, (struct worker_frame){ .id = ids['.'] }, SV_NONE);
	worker_frame_put(&b, (struct worker_frame){ .id = ids['a'] }, SV("answer"));
	for (i = 0; i < buf_len(&b); i++) {
		told(f, "");
		assert_int_equal(send(f->proc[0].fd, buf_sv(&b).p + i, 1, 0), 1);
		turn(f);
	}
	told(f, "a:0:answer ");
	buf_done(&b);
}

static void missed_deadline_kills(void **state)
{
	struct fake *f = *state;

	ask(f, 'a', 1000);
	ask(f, 'b', 5000);
	turn(f);
	asked(f, 0);
	answer(f, 0, '.', 0, "");
	pass_ms(f, 999);
	told(f, "");
	f->exit_on_kill = false;
	pass_ms(f, 1);
	told(f, "a:-110: b:-5: ");
	assert_true(f->proc[0].killed);
	assert_int_equal(worker_stats(f->w)->state, WORKER_KILLED);
	assert_int_equal(worker_stats(f->w)->timeouts, 1);
	/* The next one waits for the end of the first and for the backoff. */
	ask(f, 'c', 60000);
	pass_ms(f, 1000);
	assert_int_equal(f->procs, 1);
	fake_exit(f, 0);
	turn(f);
	assert_true(f->proc[0].released);
	assert_int_equal(worker_stats(f->w)->state, WORKER_DOWN);
	assert_int_equal(f->states[f->states_n - 1], WORKER_DOWN);
	assert_int_equal(f->procs, 1);
	pass_ms(f, 150);
	assert_int_equal(f->procs, 2);
	assert_string_equal(asked(f, 1), ".c");
	answer(f, 1, '.', 0, "");
	answer(f, 1, 'c', 0, "C");
	turn(f);
	told(f, "c:0:C ");
	assert_int_equal(worker_stats(f->w)->crashes, 0);
}

static void waiting_requests_time_out_too(void **state)
{
	struct fake *f = *state;

	f->exit_on_kill = false;
	ask(f, 'a', 100);
	turn(f);
	pass_ms(f, 100);
	told(f, "a:-110: ");
	ask(f, 'b', 300);
	ask(f, 'c', 200);
	pass_ms(f, 250);
	told(f, "c:-110: ");
	pass_ms(f, 50);
	told(f, "b:-110: ");
	assert_int_equal(f->procs, 1);
}

static void process_that_never_says_hello_is_killed(void **state)
{
	struct fake *f = *state;

	ask(f, 'a', 60000);
	turn(f);
	assert_string_equal(asked(f, 0), ".a");
	pass_ms(f, 9999);
	assert_false(f->proc[0].killed);
	pass_ms(f, 1);
	assert_true(f->proc[0].killed);
	told(f, "a:-5: ");
}

static void crash_fails_what_was_sent(void **state)
{
	struct fake *f = *state;

	ask(f, 'a', 1000);
	ask(f, 'b', 1000);
	turn(f);
	asked(f, 0);
	answer(f, 0, 'a', 0, "last words");
	ask(f, 'c', 1000);
	fake_exit(f, 0);
	turn(f);
	told(f, "a:0:last words b:-5: ");
	assert_int_equal(worker_stats(f->w)->crashes, 1);
	assert_int_equal(worker_stats(f->w)->pid, 0);
	pass_ms(f, 150);
	assert_string_equal(asked(f, 1), ".c");
}

static void end_of_stream_without_exit_kills(void **state)
{
	struct fake *f = *state;

	ask(f, 'a', 1000);
	turn(f);
	f->exit_on_kill = false;
	close(f->proc[0].fd);
	f->proc[0].fd = -1;
	turn(f);
	assert_true(f->proc[0].killed);
	told(f, "a:-5: ");
	fake_exit(f, 0);
	turn(f);
	assert_int_equal(worker_stats(f->w)->crashes, 1);
	assert_int_equal(worker_stats(f->w)->state, WORKER_DOWN);
}

static void nonsense_kills(void **state)
{
	static const struct sv nonsense[] = {
		{ "\xff\xff\xff\xff\1\0\0\0\0\0\0\0\0\0\0\0", 16 }, /* too long */
		{ "\0\0\0\0\x99\0\0\0\0\0\0\0\0\0\0\0", 16 },	    /* never asked */
	};
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(nonsense); i++) {
		ask(f, 'a', 60000);
		pass_ms(f, 5000);
		assert_int_equal(f->procs, i + 1);
		asked(f, i);
		assert_int_equal(send(f->proc[i].fd, nonsense[i].p, nonsense[i].n, 0), 16);
		/* What comes behind is not looked at. */
		answer(f, i, 'a', 0, "fine?");
		turn(f);
		assert_true(f->proc[i].killed);
		told(f, "a:-5: ");
	}
	/* The same answer twice. */
	ask(f, 'a', 60000);
	pass_ms(f, 9000);
	asked(f, 2);
	answer(f, 2, 'a', 0, "");
	answer(f, 2, 'a', 0, "");
	turn(f);
	told(f, "a:0: ");
	assert_true(f->proc[2].killed);
}

static void restarts_back_off(void **state)
{
	struct fake *f = *state;
	uint64_t began, last = 0, waited;
	size_t i;

	for (i = 0; i < 9; i++) {
		ask(f, 'a', 60000);
		began = loop_now_ms(f->loop);
		while (f->procs == i)
			loop_turn(f->loop, -1);
		waited = loop_now_ms(f->loop) - began;
		if (i > 1)
			assert_true(waited > last || waited >= 8000);
		assert_true(waited <= 12000);
		last = waited;
		fake_exit(f, i);
		turn(f);
		told(f, "a:-5: ");
	}
	assert_true(last >= 8000);
	/* A long life ends the series. */
	ask(f, 'a', 60000);
	pass_ms(f, 13000);
	asked(f, 9);
	answer(f, 9, '.', 0, "");
	answer(f, 9, 'a', 0, "");
	pass_ms(f, 61000);
	told(f, "a:0: ");
	fake_exit(f, 9);
	turn(f);
	ask(f, 'a', 60000);
	pass_ms(f, 150);
	assert_int_equal(f->procs, 11);
}

static void unkillable_ones_are_abandoned_and_capped(void **state)
{
	struct fake *f = *state;
	size_t i;

	f->exit_on_kill = false;
	for (i = 0; i < WORKER_ABANDONED_MAX; i++) {
		ask(f, 'a', 20000);
		pass_ms(f, 13000); /* hello missed at 10 s at the latest, or backoff over */
		while (!f->proc[i].killed)
			pass_ms(f, 1000);
		pass_ms(f, 4000);
		buf_clear(&f->text);
		pass_ms(f, 2000);
		assert_int_equal(worker_stats(f->w)->abandoned, i + 1);
		assert_false(f->proc[i].released);
		assert_int_equal(worker_stats(f->w)->state, WORKER_DOWN);
	}
	ask(f, 'b', 60000);
	pass_ms(f, 20000);
	told(f, "b:-16: ");
	assert_int_equal(f->procs, WORKER_ABANDONED_MAX);
	/* One of them comes out of the kernel at last. */
	fake_exit(f, 1);
	turn(f);
	assert_true(f->proc[1].released);
	assert_int_equal(worker_stats(f->w)->abandoned, WORKER_ABANDONED_MAX - 1);
	ask(f, 'c', 60000);
	pass_ms(f, 20000);
	assert_int_equal(f->procs, WORKER_ABANDONED_MAX + 1);
}

static void what_cannot_start_is_told(void **state)
{
	struct fake *f = *state;

	f->start_fails = -ENOENT;
	ask(f, 'a', 1000);
	turn(f);
	told(f, "a:-5: ");
	f->start_fails = 0;
	ask(f, 'b', 10000);
	pass_ms(f, 300);
	assert_int_equal(f->procs, 1);
}

static void cancelled_requests_are_silent(void **state)
{
	struct fake *f = *state;
	uint64_t a, b, c;

	a = ask(f, 'a', 1000);
	b = ask(f, 'b', 1000);
	worker_cancel(f->w, a); /* not sent: never will be */
	worker_cancel(f->w, a);
	worker_cancel(f->w, 0);
	worker_cancel(f->w, UINT64_MAX);
	turn(f);
	assert_string_equal(asked(f, 0), ".b");
	worker_cancel(f->w, b);
	answer(f, 0, '.', 0, "");
	answer(f, 0, 'b', 0, "B");
	turn(f);
	told(f, "");
	/* Sent and unanswered it still tells that the worker hangs. */
	c = ask(f, 'c', 1000);
	turn(f);
	worker_cancel(f->w, c);
	pass_ms(f, 1000);
	told(f, "");
	assert_true(f->proc[0].killed);
}

/* A callback may cancel another that is about to be told, and may ask again. */
static uint64_t victim;

static void cancel_and_ask(void *arg, int status, struct sv body)
{
	struct fake *f = arg;

	(void)body;
	assert_int_equal(status, -EIO);
	worker_cancel(f->w, victim);
	ask(f, 'n', 10000);
}

static void callbacks_may_cancel_and_ask(void **state)
{
	struct fake *f = *state;

	worker_call(f->w, ECHO, SV("x"), 1000, cancel_and_ask, f);
	victim = ask(f, 'v', 1000);
	turn(f);
	fake_exit(f, 0);
	turn(f);
	told(f, "");
	pass_ms(f, 200);
	assert_string_equal(asked(f, 1), ".n");
}

static void requests_have_limits(void **state)
{
	struct fake *f = *state;
	char *big = mem_zalloc(WORKER_FRAME_MAX);

	tags[1] = (struct tag){ .f = f, .name = "big" };
	worker_call(f->w, ECHO, sv_make(big, WORKER_FRAME_MAX - WORKER_HEADER + 1), 1000, on_answer,
		    &tags[1]);
	ask(f, 'z', 0);
	told(f, ""); /* never from within the call */
	turn(f);
	told(f, "big:-90: z:-110: ");
	f->exit_on_kill = false;
	pass_ms(f, 20000);
	/* Down: the queue is bounded. */
	f->start_fails = -EAGAIN;
	worker_call(f->w, ECHO, sv_make(big, WORKER_FRAME_MAX / 2), 1000, NULL, NULL);
	worker_call(f->w, ECHO, sv_make(big, WORKER_FRAME_MAX / 2), 1000, NULL, NULL);
	worker_call(f->w, ECHO, SV("1"), 1000, on_answer, &tags[1]);
	turn(f);
	told(f, "big:-105: ");
	mem_free(big);
}

static void on_notice(void *arg, uint16_t method, struct sv body)
{
	struct fake *f = arg;

	buf_printf(&f->text, "notice %u:" SV_FMT " ", method, SV_ARG(body));
}

static void notices_are_told(void **state)
{
	struct fake *f = *state;

	ask(f, 'a', 1000);
	turn(f);
	asked(f, 0);
	worker_on_notice(f->w, on_notice, f);
	assert_int_equal(worker_notify(f->proc[0].fd, 42, SV("xid 79")), 0);
	answer(f, 0, 'a', 0, "A");
	turn(f);
	told(f, "notice 42:xid 79 a:0:A ");
	worker_on_notice(f->w, NULL, NULL);
	assert_int_equal(worker_notify(f->proc[0].fd, 42, SV("nobody listens")), 0);
	turn(f);
	assert_int_equal(worker_stats(f->w)->state, WORKER_UP);
}

/* Readable and overdue in one turn, because we were busy: needs the real clock. */
static void answer_that_waited_for_us_is_in_time(void **state)
{
	struct fake *f = *state;
	struct worker_host host = { fake_start, fake_kill, fake_release, fake_pid, f };

	worker_free(&f->w);
	loop_free(&f->loop);
	f->loop = loop_new();
	f->w = worker_new(f->loop, &host, "test");
	ask(f, 'h', 10000);
	turn(f);
	asked(f, 0);
	answer(f, 0, '.', 0, "");
	answer(f, 0, 'h', 0, "");
	turn(f);
	ask(f, 'a', 30);
	turn(f);
	asked(f, 0);
	answer(f, 0, 'a', 0, "A");
	usleep(60000);
	turn(f);
	told(f, "h:0: a:0:A ");
	assert_false(f->proc[0].killed);
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
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dispatch_takes_any_split),
		cmocka_unit_test(dispatch_refuses_nonsense),
		cmocka_unit_test(answers_have_limits),
		T(answers_find_their_questions),
		T(answers_come_byte_by_byte),
		T(missed_deadline_kills),
		T(waiting_requests_time_out_too),
		T(process_that_never_says_hello_is_killed),
		T(crash_fails_what_was_sent),
		T(end_of_stream_without_exit_kills),
		T(nonsense_kills),
		T(restarts_back_off),
		T(unkillable_ones_are_abandoned_and_capped),
		T(what_cannot_start_is_told),
		T(cancelled_requests_are_silent),
		T(callbacks_may_cancel_and_ask),
		T(requests_have_limits),
		T(notices_are_told),
		T(answer_that_waited_for_us_is_in_time),
		cmocka_unit_test(process_serves),
		cmocka_unit_test(process_is_replaced),
		cmocka_unit_test(answer_leaves_before_the_next_question_is_served),
		cmocka_unit_test(program_of_another_build_is_an_error),
	};

	if (argc > 1)
		return worker_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
