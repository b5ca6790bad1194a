/* How long turns take, whose callback it was, and what is not ours: the counts of the watchdog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"

struct culprit {
	struct loop *loop;
	struct loop_task task;
	struct loop_timer timer;
	uint64_t us;
};

static void burn(struct loop *l, uint64_t us)
{
	uint64_t from = loop_now_us(l);

	while (loop_now_us(l) < from + us) {
	}
}

static void on_heavy(void *arg)
{
	struct culprit *c = arg;

	burn(c->loop, c->us);
}

static void on_light(void *arg)
{
	(void)arg;
}

static void free_heavy(void *arg)
{
	on_heavy(arg);
}

struct lines {
	char last[1024];
	size_t n;
};

static void on_line(void *arg, enum log_level level, struct sv line)
{
	struct lines *o = arg;

	if (!memmem(line.p, line.n, "slow turn", 9))
		return;
	assert_int_equal(level, LOG_INFO);
	assert_true(sv_copy(o->last, sizeof(o->last), line));
	o->n++;
}

static const struct loop_slow *slow_named(struct loop *l, const char *name)
{
	const struct loop_stats *st = loop_stats(l);

	for (size_t i = 0; i < st->slow_n; i++)
		if (!strcmp(st->slow[i].name, name))
			return &st->slow[i];
	return NULL;
}

/* Between two light ones, by a task, a timer, a deferred free and a callback of another's. */
static void watchdog_names_the_culprit(void **state)
{
	struct culprit c = { .loop = loop_new(), .us = 40000 };
	struct loop_task before, after;
	struct lines lines = { .n = 0 };

	(void)state;
	log_capture(on_line, &lines);
	loop_task_init(&before, c.loop, LOOP_TICK, on_light, NULL);
	loop_task_init(&c.task, c.loop, LOOP_TICK, on_heavy, &c);
	loop_task_init(&after, c.loop, LOOP_FLUSH, on_light, NULL);
	loop_task_post(&before);
	loop_task_post(&c.task);
	loop_task_post(&after);
	loop_turn(c.loop, 0);
	assert_non_null(slow_named(c.loop, "test_loop_watchdog.c:on_heavy"));
	assert_int_equal(slow_named(c.loop, "test_loop_watchdog.c:on_heavy")->turns, 1);
	assert_true(slow_named(c.loop, "test_loop_watchdog.c:on_heavy")->max_us >= 40000);
	assert_int_equal(lines.n, 1);
	assert_non_null(strstr(lines.last, "longest=test_loop_watchdog.c:on_heavy"));
	assert_non_null(strstr(lines.last, "tasks=3"));
	loop_timer_init(&c.timer, c.loop, on_heavy, &c);
	loop_timer_set(&c.timer, 0);
	loop_turn(c.loop, 0);
	assert_int_equal(slow_named(c.loop, "test_loop_watchdog.c:on_heavy")->turns, 2);
	loop_defer_free(c.loop, &c, free_heavy);
	loop_turn(c.loop, 0);
	assert_int_equal(slow_named(c.loop, "loop.c:deferred frees")->turns, 1);
	loop_foreign_begin(c.loop);
	burn(c.loop, 6000);
	loop_foreign_end(c.loop, "/metrics");
	loop_turn(c.loop, 0);
	assert_int_equal(slow_named(c.loop, "/metrics")->turns, 1);
	assert_int_equal(loop_stats(c.loop)->slow_turns, 4);
	assert_int_equal(lines.n, 1); /* the others came within 10 s of the first */
	log_capture(NULL, NULL);
	loop_free(&c.loop);
}

static void watchdog_counts_times(void **state)
{
	struct culprit c = { .loop = loop_new(), .us = 3000 };
	const struct loop_stats *st = loop_stats(c.loop);
	uint64_t sum = 0, over_2_ms = 0;

	(void)state;
	loop_task_init(&c.task, c.loop, LOOP_TICK, on_heavy, &c);
	for (int i = 0; i < 10; i++) {
		if (i % 2)
			loop_task_post(&c.task);
		loop_turn(c.loop, 0);
	}
	for (size_t i = 0; i < LOOP_BUCKETS; i++) {
		sum += st->buckets[i];
		if (i && loop_bounds_us[i - 1] >= 2000)
			over_2_ms += st->buckets[i];
	}
	assert_int_equal(sum, 10);
	assert_int_equal(st->turns, 10);
	assert_true(over_2_ms >= 5 && over_2_ms < 10); /* a busy machine may add some */
	assert_true(st->busy_us >= 15000);
	loop_free(&c.loop);
}

static void on_blocked(void *arg)
{
	(void)arg;
	usleep(LOOP_SLOW_US + 1000);
}

/* Sleeping in a callback is our own fault, whatever else runs. */
static void blocking_is_not_preemption(void **state)
{
	struct loop *l = loop_new();
	const struct loop_stats *st = loop_stats(l);
	struct loop_task task;

	(void)state;
	loop_task_init(&task, l, LOOP_TICK, on_blocked, NULL);
	for (int i = 0; i < 20; i++) {
		loop_task_post(&task);
		loop_turn(l, 0);
	}
	assert_int_equal(st->slow_turns, 20);
	/* A busy machine may add some, never all. */
	assert_true(st->preempted_turns < 10);
	loop_free(&l);
}

/* Two processes on one processor: who is slow only because of the other is told apart. */
static void preemption_is_told(void **state)
{
	struct culprit c = { .loop = loop_new(), .us = LOOP_SLOW_US + 3000 };
	const struct loop_stats *st = loop_stats(c.loop);
	cpu_set_t before, one;
	pid_t rival;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	rival = fork();
	if (rival == 0) {
		alarm(20);
		for (;;) {
		}
	}
	loop_task_init(&c.task, c.loop, LOOP_TICK, on_heavy, &c);
	for (int i = 0; i < 300 && !st->preempted_turns; i++) {
		loop_task_post(&c.task);
		loop_turn(c.loop, 0);
	}
	kill(rival, SIGKILL);
	assert_int_equal(waitpid(rival, NULL, 0), rival);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_true(st->preempted_turns > 0);
	assert_true(st->preempted_turns <= st->slow_turns);
	loop_free(&c.loop);
}

/* A bounded set, whatever comes. */
static void watchdog_names_are_bounded(void **state)
{
	struct loop *l = loop_new();
	const struct loop_stats *st = loop_stats(l);
	char name[32];

	(void)state;
	for (int i = 0; i < LOOP_SLOW_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "name %d", i);
		loop_foreign_begin(l);
		burn(l, LOOP_SLOW_US + 1000);
		loop_foreign_end(l, name);
		loop_turn(l, 0);
	}
	assert_int_equal(st->slow_n, LOOP_SLOW_MAX);
	assert_string_equal(st->slow[0].name, "name 0");
	assert_string_equal(st->slow[LOOP_SLOW_MAX - 1].name, "other");
	assert_int_equal(st->slow[LOOP_SLOW_MAX - 1].turns, 6);
	loop_free(&l);
}

static void waiting_is_not_work(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	/* A busy machine may make some turns slow, but not all. */
	for (int i = 0; i < 20; i++)
		assert_true(loop_turn(l, 10));
	assert_true(loop_stats(l)->slow_turns < 20);
	loop_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watchdog_names_the_culprit),
		cmocka_unit_test(watchdog_counts_times),
		cmocka_unit_test(blocking_is_not_preemption),
		cmocka_unit_test(preemption_is_told),
		cmocka_unit_test(watchdog_names_are_bounded),
		cmocka_unit_test(waiting_is_not_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
