#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/worker.h"
#include "core/worker_frame.h"

enum { ECHO = 1 };

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

static void a_renewed_one_is_replaced_at_once(void **state)
{
	struct fake *f = *state;
	size_t i;

	/* Three times within a second: no series of failures, so no pauses. */
	for (i = 0; i < 3; i++) {
		ask(f, 'a', 1000);
		turn(f);
		asked(f, i);
		answer(f, i, '.', 0, "");
		answer(f, i, 'a', 0, "");
		turn(f);
		told(f, "a:0: ");
		worker_renew(f->w);
		turn(f);
		assert_true(f->proc[i].killed);
		assert_true(f->proc[i].released);
		assert_int_equal(worker_stats(f->w)->state, WORKER_DOWN);
		worker_renew(f->w); /* of none: nothing to do */
	}
	assert_int_equal(worker_stats(f->w)->crashes, 0);
	assert_int_equal(worker_stats(f->w)->starts, 3);
	/* What was asked of it fails, what was not goes to the next; one that stays is counted. */
	f->exit_on_kill = false;
	ask(f, 'b', 60000);
	turn(f);
	asked(f, 3);
	worker_renew(f->w);
	ask(f, 'c', 60000);
	pass_ms(f, 4900);
	told(f, "b:-5: ");
	assert_int_equal(f->procs, 4);
	pass_ms(f, 200);
	assert_int_equal(worker_stats(f->w)->abandoned, 1);
	assert_string_equal(asked(f, 4), ".c");
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

/* As many as there may be in a second are told; the next one is a flood, and the process ends. */
static void notices_are_limited(void **state)
{
	struct fake *f = *state;
	int i;

	ask(f, 'a', 60000);
	turn(f);
	asked(f, 0);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(worker_notify(f->proc[0].fd, 42, SV("")), 0);
		if (i % 50 == 0)
			turn(f);
	}
	turn(f);
	assert_int_equal(worker_stats(f->w)->state, WORKER_UP);
	assert_int_equal(worker_notify(f->proc[0].fd, 42, SV("")), 0);
	turn(f);
	assert_int_not_equal(worker_stats(f->w)->state, WORKER_UP);
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

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
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
		T(a_renewed_one_is_replaced_at_once),
		T(what_cannot_start_is_told),
		T(cancelled_requests_are_silent),
		T(callbacks_may_cancel_and_ask),
		T(requests_have_limits),
		T(notices_are_told),
		T(notices_are_limited),
		T(answer_that_waited_for_us_is_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
