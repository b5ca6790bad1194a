#include "core/loop.h"

#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "test/unit/core/dies.h"
#include "test/unit/core/loop_world.h"

/* Timers */

static void timers_fire_in_order(void **state)
{
	static const uint64_t delays[] = { 50, 10, 30, 10, 0, 70, 30, 20 };
	struct world *w = virtual_world();
	struct actor a[ARRAY_LEN(delays)];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(a); i++) {
		a[i] = actor(w, (char)('a' + i));
		loop_timer_init(&a[i].timer, w->loop, on_actor, &a[i]);
		loop_timer_set(&a[i].timer, delays[i]);
	}
	loop_run(w->loop);
	/* Equal times in the order they were set. */
	assert_string_equal(w->trace, "ebdhcgaf");
	assert_int_equal(loop_now_ms(w->loop), 70);
	end_world(w);
}

static void stopped_and_reset_timers(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a'), b = actor(w, 'b'), c = actor(w, 'c');
	struct loop_timer zero = { 0 };

	(void)state;
	loop_timer_stop(&zero);
	assert_false(loop_timer_armed(&zero));
	loop_timer_init(&a.timer, w->loop, on_actor, &a);
	loop_timer_init(&b.timer, w->loop, on_actor, &b);
	loop_timer_init(&c.timer, w->loop, on_actor, &c);
	loop_timer_set(&a.timer, 10);
	loop_timer_set(&b.timer, 20);
	loop_timer_set(&c.timer, 30);
	assert_true(loop_timer_armed(&b.timer));
	loop_timer_set(&a.timer, 40); /* moves behind */
	loop_timer_stop(&b.timer);
	assert_false(loop_timer_armed(&b.timer));
	loop_timer_stop(&b.timer);
	loop_run(w->loop);
	assert_string_equal(w->trace, "ca");
	loop_timer_set(&a.timer, UINT64_MAX); /* never, rather than wrapped around */
	assert_true(loop_turn(w->loop, 1000));
	assert_string_equal(w->trace, "ca");
	loop_timer_stop(&a.timer);
	end_world(w);
}

enum { MANY = 300 };

static void on_count(void *arg)
{
	++*(size_t *)arg;
}

/* Random sets and stops; what is left fires at its own time. */
static void heap_survives_a_crowd(void **state)
{
	struct world *w = virtual_world();
	struct loop_timer *t = mem_calloc(MANY, sizeof(*t));
	uint64_t last = 0;
	size_t i, armed = 0, fired = 0;
	unsigned turns = 0;

	(void)state;
	for (i = 0; i < MANY; i++)
		loop_timer_init(&t[i], w->loop, on_count, &fired);
	for (i = 0; i < (size_t)MANY * 20; i++) {
		struct loop_timer *one = &t[loop_random(w->loop) % MANY];

		if (loop_random(w->loop) % 3)
			loop_timer_set(one, loop_random(w->loop) % 1000);
		else
			loop_timer_stop(one);
	}
	for (i = 0; i < MANY; i++)
		armed += loop_timer_armed(&t[i]);
	assert_true(armed > MANY / 4);
	while (armed) {
		size_t left = 0;

		(void)loop_turn(w->loop, -1);
		for (i = 0; i < MANY; i++) {
			left += loop_timer_armed(&t[i]);
			if (loop_timer_armed(&t[i]))
				assert_true(t[i].due_ms > loop_now_ms(w->loop));
		}
		assert_true(left < armed);
		assert_int_equal(fired, armed - left);
		fired = 0;
		assert_true(loop_now_ms(w->loop) > last || !last);
		last = loop_now_ms(w->loop);
		armed = left;
		turns++;
	}
	assert_true(turns > 10);
	mem_free(t);
	end_world(w);
}

/* A timer that re-arms itself with no delay lets descriptors and others run in between. */
static void no_delay_means_next_turn(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a');

	(void)state;
	a.again = 3;
	loop_timer_init(&a.timer, w->loop, on_rearm, &a);
	loop_timer_set(&a.timer, 0);
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "a");
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "aa");
	loop_run(w->loop);
	assert_string_equal(w->trace, "aaaa");
	assert_int_equal(loop_now_ms(w->loop), 0);
	end_world(w);
}

static void on_kill_other(void *arg)
{
	struct actor *a = arg;

	note(a->w, a->letter);
	loop_timer_stop(&a->other->timer);
}

static void callback_may_stop_a_due_timer(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a'), b = actor(w, 'b');

	(void)state;
	a.other = &b;
	loop_timer_init(&a.timer, w->loop, on_kill_other, &a);
	loop_timer_init(&b.timer, w->loop, on_actor, &b);
	loop_timer_set(&a.timer, 5);
	loop_timer_set(&b.timer, 5);
	loop_run(w->loop);
	assert_string_equal(w->trace, "a");
	end_world(w);
}

/* Tasks */

static void phases_in_order(void **state)
{
	struct world *w = virtual_world();
	struct actor tick = actor(w, 't'), commit = actor(w, 'c'), flush = actor(w, 'f');

	(void)state;
	loop_task_init(&flush.task, w->loop, LOOP_FLUSH, on_actor, &flush);
	loop_task_init(&commit.task, w->loop, LOOP_COMMIT, on_actor, &commit);
	loop_task_init(&tick.task, w->loop, LOOP_TICK, on_actor, &tick);
	loop_task_post(&flush.task);
	loop_task_post(&commit.task);
	loop_task_post(&tick.task);
	loop_task_post(&tick.task); /* twice runs once */
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "tcf");
	assert_false(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "tcf");
	end_world(w);
}

static void earlier_phase_starts_again(void **state)
{
	struct world *w = virtual_world();
	struct actor tick = actor(w, 't'), commit = actor(w, 'c'), flush = actor(w, 'f');

	(void)state;
	loop_task_init(&tick.task, w->loop, LOOP_TICK, on_actor, &tick);
	loop_task_init(&commit.task, w->loop, LOOP_COMMIT, on_actor, &commit);
	loop_task_init(&flush.task, w->loop, LOOP_FLUSH, on_actor, &flush);
	commit.then = &tick.task; /* the commit's answer ticks a machine */
	loop_task_post(&commit.task);
	loop_task_post(&flush.task);
	assert_true(loop_turn(w->loop, 0));
	assert_string_equal(w->trace, "ctf");
	end_world(w);
}

static void stopped_task_does_not_run(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a');
	struct loop_task zero = { 0 };

	(void)state;
	loop_task_stop(&zero);
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_actor, &a);
	loop_task_post(&a.task);
	loop_task_stop(&a.task);
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "");
	loop_task_post(&a.task);
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "a");
	end_world(w);
}

static void on_forever(void *arg)
{
	struct actor *a = arg;

	a->again++;
	loop_task_post(&a->task);
}

static void endless_task_does_not_starve(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a'), b = actor(w, 'b');

	(void)state;
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_forever, &a);
	loop_task_post(&a.task);
	loop_timer_init(&b.timer, w->loop, on_actor, &b);
	loop_timer_set(&b.timer, 1);
	while (!w->n)
		assert_true(loop_turn(w->loop, -1)); /* ends only if each turn ends */
	assert_true(a.again > 100);
	loop_task_stop(&a.task);
	end_world(w);
}

/* Deferred frees */

static void on_free(void *obj)
{
	struct actor *a = obj;

	note(a->w, a->letter);
	if (a->again-- > 0)
		loop_defer_free(a->w->loop, a, on_free);
}

static void on_defer(void *arg)
{
	struct actor *a = arg;

	note(a->w, 't');
	loop_defer_free(a->w->loop, a, on_free);
}

static void frees_come_last(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'x'), flush = actor(w, 'f');

	(void)state;
	a.again = 20; /* defers more from within, past the list's first size */
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_defer, &a);
	loop_task_init(&flush.task, w->loop, LOOP_FLUSH, on_actor, &flush);
	loop_task_post(&a.task);
	loop_task_post(&flush.task);
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "tfxxxxxxxxxxxxxxxxxxxxx");
	/* Outside a turn: before the loop sleeps, and at the latest in loop_free(). */
	w->n = 0;
	loop_defer_free(w->loop, &a, on_free);
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "x");
	loop_defer_free(w->loop, &a, on_free);
	loop_free(&w->loop);
	assert_string_equal(w->trace, "xx");
	mem_free(w);
}

static void loop_does_not_sleep_on_work(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'x'), t = actor(w, 't'), guard = actor(w, '!');

	(void)state;
	loop_timer_init(&guard.timer, w->loop, on_actor, &guard);
	loop_timer_set(&guard.timer, 5000);
	loop_defer_free(w->loop, &a, on_free);
	assert_true(loop_turn(w->loop, -1));
	loop_task_init(&t.task, w->loop, LOOP_FLUSH, on_actor, &t);
	loop_task_post(&t.task);
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "xt");
	end_world(w);
}

/* Descriptors */

static void descriptors_are_watched_as_wanted(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a');
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	a.fd = pair[0];
	loop_io_init(&a.io, w->loop, pair[0], on_io, &a);
	assert_int_equal(write(pair[1], "xyz", 3), 3);
	assert_false(loop_turn(w->loop, 0)); /* nothing wanted yet */
	loop_io_want(&a.io, LOOP_READ);
	assert_true(loop_turn(w->loop, 0));
	assert_string_equal(w->trace, "x"); /* level-triggered: one read per turn */
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "xy");
	loop_io_want(&a.io, LOOP_WRITE);
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "xy>");
	loop_io_want(&a.io, LOOP_READ | LOOP_WRITE);
	loop_turn(w->loop, 0);
	assert_int_equal(w->n, 5);
	assert_non_null(strchr(w->trace, 'z'));
	loop_io_want(&a.io, 0);
	assert_false(loop_turn(w->loop, 0));
	loop_io_want(&a.io, LOOP_READ);
	close(pair[1]);
	loop_turn(w->loop, 0);
	assert_int_equal(w->trace[5], '$');
	loop_io_done(&a.io);
	loop_io_done(&a.io);
	close(pair[0]);
	end_world(w);
}

static void on_io_done(void *arg, unsigned ready)
{
	struct actor *a = arg;

	(void)ready;
	note(a->w, a->letter);
	loop_io_done(&a->io);
	loop_io_done(&a->other->io);
}

/* Two are ready; whichever is called first ends both, and the other is not called. */
static void callback_may_end_descriptors(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a'), b = actor(w, 'b');
	int one[2], two[2];

	(void)state;
	assert_int_equal(pipe(one), 0);
	assert_int_equal(pipe(two), 0);
	a.other = &b;
	b.other = &a;
	loop_io_init(&a.io, w->loop, one[1], on_io_done, &a);
	loop_io_init(&b.io, w->loop, two[1], on_io_done, &b);
	loop_io_want(&a.io, LOOP_WRITE);
	loop_io_want(&b.io, LOOP_WRITE);
	loop_turn(w->loop, 0);
	assert_int_equal(w->n, 1);
	/* The numbers are free for others at once. */
	close(one[0]);
	close(one[1]);
	close(two[0]);
	close(two[1]);
	assert_false(loop_turn(w->loop, 0));
	end_world(w);
}

/* Real time */

static uint64_t cpu_us(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void real_timer_is_punctual_and_wakes_once(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a');
	uint64_t start, turns;

	(void)state;
	a.again = 2;
	a.delay_ms = 30;
	loop_timer_init(&a.timer, w->loop, on_rearm, &a);
	start = loop_now_ms(w->loop);
	loop_timer_set(&a.timer, 30);
	turns = loop_stats(w->loop)->turns;
	while (w->n < 3)
		assert_true(loop_turn(w->loop, -1));
	assert_true(loop_now_ms(w->loop) >= start + 90);
	/* One turn per expiry: a timer that is early by a rounding would need two. */
	assert_int_equal(loop_stats(w->loop)->turns - turns, 3);
	/* The spent timer keeps nothing awake. */
	turns = cpu_us();
	assert_true(loop_turn(w->loop, 50));
	assert_true(cpu_us() - turns < 20000);
	assert_int_equal(loop_stats(w->loop)->turns, 4);
	end_world(w);
}

static void wait_is_bounded_on_request(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a');
	uint64_t start = loop_now_ms(w->loop);

	(void)state;
	loop_timer_init(&a.timer, w->loop, on_actor, &a);
	loop_timer_set(&a.timer, 60000);
	assert_true(loop_turn(w->loop, 0));
	assert_true(loop_now_ms(w->loop) < start + 5000);
	assert_true(loop_turn(w->loop, 20));
	assert_true(loop_now_ms(w->loop) >= start + 20);
	assert_true(loop_now_ms(w->loop) < start + 30000);
	assert_string_equal(w->trace, "");
	loop_timer_stop(&a.timer);
	end_world(w);
}

static void on_check_clock(void *arg)
{
	struct actor *a = arg;
	uint64_t before = loop_now_ms(a->w->loop), us = loop_now_us(a->w->loop);

	while (loop_now_us(a->w->loop) < us + 8000) {
	}
	a->delay_ms = loop_now_ms(a->w->loop) - before;
	note(a->w, a->letter);
}

static void clock_stands_still_within_a_turn(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a');

	(void)state;
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_check_clock, &a);
	loop_task_post(&a.task);
	loop_turn(w->loop, 0);
	assert_string_equal(w->trace, "a");
	assert_int_equal(a.delay_ms, 0);
	/* And the watchdog saw it: 8 ms is slow. */
	assert_int_equal(loop_stats(w->loop)->slow_turns, 1);
	assert_true(loop_stats(w->loop)->max_us >= 8000);
	end_world(w);
}

static void delay_counts_from_now_outside_a_turn(void **state)
{
	struct world *w = real_world();
	struct timespec nap = { .tv_nsec = 30000000 };
	struct actor a = actor(w, 'a');
	uint64_t start;

	(void)state;
	loop_turn(w->loop, 0);
	nanosleep(&nap, NULL);
	start = loop_now_us(w->loop);
	loop_timer_init(&a.timer, w->loop, on_actor, &a);
	loop_timer_set(&a.timer, 20);
	while (!w->n)
		loop_turn(w->loop, -1);
	assert_true(loop_now_us(w->loop) - start >= 19000);
	end_world(w);
}

/* A callback of libevent's own, as evhttp has them, must not see the clock of the last turn. */
static void on_foreign(evutil_socket_t fd, short what, void *arg)
{
	struct actor *a = arg;
	char c;

	(void)what;
	assert_int_equal(read(fd, &c, 1), 1);
	a->delay_ms = loop_now_us(a->w->loop) / 1000 - loop_now_ms(a->w->loop);
	note(a->w, a->letter);
}

static void foreign_callbacks_see_the_time(void **state)
{
	struct world *w = real_world();
	struct timespec nap = { .tv_nsec = 200000000 };
	struct actor a = actor(w, 'a');
	struct event *ev;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	ev = event_new(loop_base(w->loop), fds[0], EV_READ | EV_PERSIST, on_foreign, &a);
	event_add(ev, NULL);
	loop_turn(w->loop, 0);
	nanosleep(&nap, NULL);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_turn(w->loop, -1);
	assert_string_equal(w->trace, "a");
	assert_true(a.delay_ms < 150);
	event_free(ev);
	close(fds[0]);
	close(fds[1]);
	end_world(w);
}

static void on_stop(void *arg)
{
	struct actor *a = arg;

	note(a->w, a->letter);
	loop_stop(a->w->loop);
}

static void stop_ends_after_the_turn(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a'), f = actor(w, 'f');

	(void)state;
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_stop, &a);
	loop_task_init(&f.task, w->loop, LOOP_FLUSH, on_actor, &f);
	loop_task_post(&a.task);
	loop_task_post(&f.task);
	loop_run(w->loop);
	assert_string_equal(w->trace, "af");
	/* A stop before the run counts, and is used up by it. */
	loop_stop(w->loop);
	assert_false(loop_turn(w->loop, -1));
	loop_run(w->loop);
	assert_true(loop_turn(w->loop, 0));
	end_world(w);
}

static void signals_arrive_on_the_loop(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a'), b = actor(w, 'b');

	(void)state;
	loop_on_signal(w->loop, SIGUSR1, on_actor, &a);
	(void)raise(SIGUSR1);
	assert_string_equal(w->trace, "");
	assert_true(loop_turn(w->loop, 1000));
	assert_string_equal(w->trace, "a");
	loop_on_signal(w->loop, SIGUSR1, on_stop, &b); /* replaces */
	(void)raise(SIGUSR1);
	loop_run(w->loop);
	assert_string_equal(w->trace, "ab");
	loop_on_signal(w->loop, SIGUSR1, NULL, NULL);
	loop_on_signal(w->loop, SIGUSR1, NULL, NULL);
	end_world(w);
}

static void on_signal_ends_itself(void *arg)
{
	struct actor *a = arg;

	note(a->w, a->letter);
	loop_on_signal(a->w->loop, SIGUSR2, NULL, NULL);
}

static void signal_may_end_itself(void **state)
{
	struct world *w = real_world();
	struct actor a = actor(w, 'a');

	(void)state;
	loop_on_signal(w->loop, SIGUSR2, on_signal_ends_itself, &a);
	(void)raise(SIGUSR2);
	assert_true(loop_turn(w->loop, 1000));
	assert_string_equal(w->trace, "a");
	end_world(w);
}

/* With no timer left the expired one must not keep the loop turning until the signal comes. */
static void spent_timer_lets_it_sleep(void **state)
{
	struct itimerval soon = { .it_value = { .tv_usec = 50000 } };
	struct world *w = real_world();
	struct actor a = actor(w, 'a'), s = actor(w, 's');

	(void)state;
	loop_on_signal(w->loop, SIGALRM, on_stop, &s);
	loop_timer_init(&a.timer, w->loop, on_actor, &a);
	loop_timer_set(&a.timer, 1);
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "a");
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	loop_run(w->loop);
	assert_string_equal(w->trace, "as");
	assert_int_equal(loop_stats(w->loop)->turns, 2);
	end_world(w);
}

static void owners_may_stop_after_the_loop(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a');

	(void)state;
	loop_timer_init(&a.timer, w->loop, on_actor, &a);
	loop_task_init(&a.task, w->loop, LOOP_TICK, on_actor, &a);
	loop_timer_set(&a.timer, 10);
	loop_task_post(&a.task);
	end_world(w);
	assert_false(loop_timer_armed(&a.timer));
	loop_timer_stop(&a.timer);
	loop_task_stop(&a.task);
}

static void on_nest(void *arg)
{
	loop_turn(arg, 0);
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void count(void *arg)
{
	(*(int *)arg)++;
}

/* Turns that do something, without time passing. */
static void work(struct loop *l, unsigned turns)
{
	struct loop_task t;

	loop_task_init(&t, l, LOOP_TICK, on_nothing, NULL);
	while (turns--) {
		loop_task_post(&t);
		assert_true(loop_turn(l, 0));
	}
}

static void rest_comes_once_after_work(void **state)
{
	struct world *w = virtual_world();
	int rests = 0;

	(void)state;
	loop_on_rest(w->loop, count, &rests);
	work(w->loop, 10);
	loop_run(w->loop);
	assert_int_equal(rests, 1);
	assert_int_equal(loop_now_ms(w->loop), LOOP_REST_MS);
	/* A little work is not worth it: nothing is armed, so there is nothing to wait for. */
	work(w->loop, LOOP_REST_TURNS / 2);
	assert_false(loop_turn(w->loop, -1));
	assert_int_equal(rests, 1);
	work(w->loop, LOOP_REST_TURNS);
	loop_run(w->loop);
	assert_int_equal(rests, 2);
	loop_on_rest(w->loop, NULL, NULL);
	work(w->loop, 2 * LOOP_REST_TURNS);
	loop_run(w->loop);
	assert_int_equal(rests, 2);
	end_world(w);
}

static void rest_waits_for_the_end_of_work(void **state)
{
	struct world *w = virtual_world();
	int rests = 0;

	(void)state;
	loop_on_rest(w->loop, count, &rests);
	work(w->loop, LOOP_REST_TURNS);
	assert_true(loop_turn(w->loop, LOOP_REST_MS));
	assert_int_equal(loop_now_ms(w->loop), LOOP_REST_MS);
	assert_int_equal(rests, 0);
	loop_run(w->loop);
	assert_int_equal(rests, 1);
	assert_int_equal(loop_now_ms(w->loop), 2 * LOOP_REST_MS);
	end_world(w);
}

static void nest(void *arg)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct loop_task t;

	(void)arg;
	loop_task_init(&t, l, LOOP_TICK, on_nest, l);
	loop_task_post(&t);
	loop_turn(l, 0);
}

static void free_with_descriptor(void *arg)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct loop_io io;

	loop_io_init(&io, l, 0, on_io, arg);
	loop_free(&l);
}

static void misuse_aborts(void **state)
{
	char said[DIES_SAID_MAX];

	(void)state;
	assert_true(dies(nest, NULL, said));
	assert_true(dies(free_with_descriptor, NULL, said));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(stopped_and_reset_timers),
		cmocka_unit_test(heap_survives_a_crowd),
		cmocka_unit_test(no_delay_means_next_turn),
		cmocka_unit_test(callback_may_stop_a_due_timer),
		cmocka_unit_test(phases_in_order),
		cmocka_unit_test(earlier_phase_starts_again),
		cmocka_unit_test(stopped_task_does_not_run),
		cmocka_unit_test(endless_task_does_not_starve),
		cmocka_unit_test(frees_come_last),
		cmocka_unit_test(loop_does_not_sleep_on_work),
		cmocka_unit_test(descriptors_are_watched_as_wanted),
		cmocka_unit_test(callback_may_end_descriptors),
		cmocka_unit_test(real_timer_is_punctual_and_wakes_once),
		cmocka_unit_test(wait_is_bounded_on_request),
		cmocka_unit_test(clock_stands_still_within_a_turn),
		cmocka_unit_test(delay_counts_from_now_outside_a_turn),
		cmocka_unit_test(foreign_callbacks_see_the_time),
		cmocka_unit_test(stop_ends_after_the_turn),
		cmocka_unit_test(signals_arrive_on_the_loop),
		cmocka_unit_test(signal_may_end_itself),
		cmocka_unit_test(spent_timer_lets_it_sleep),
		cmocka_unit_test(owners_may_stop_after_the_loop),
		cmocka_unit_test(rest_comes_once_after_work),
		cmocka_unit_test(rest_waits_for_the_end_of_work),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
