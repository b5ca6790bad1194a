#include "k8s/stats.h"

#include <setjmp.h>

#include <cmocka.h>

#include "core/loop.h"

static bool shows(struct metrics *m, const char *line)
{
	struct buf out;
	bool found;

	buf_init(&out, 1 << 20);
	metrics_render(m, &out);
	found = strstr(buf_cstr(&out), line) != NULL;
	buf_done(&out);
	return found;
}

/* The loop's own counts, bucket by bucket and name by name. */
static void loop_is_shown_as_it_counts(void **state)
{
	char name[] = "claim.c:claim_tick";
	struct loop_stats st = { .turns = 9,
				 .slow_turns = 2,
				 .max_us = 7000,
				 .busy_us = 14500,
				 .buckets = { 4, 0, 3 },
				 .slow = { { .name = name, .turns = 2, .max_us = 6500 } },
				 .slow_n = 1 };
	struct metrics *m = metrics_new();
	struct stats *s = stats_new(m);

	(void)state;
	assert_true(shows(m, "\ntundra_loop_slow_callbacks_total{callback=\"other\"} 0\n"));
	st.buckets[8] = 1;
	st.buckets[LOOP_BUCKETS - 1] = 1;
	stats_process(s, &st);
	assert_true(shows(m, "\ntundra_loop_turns_total 9\n"));
	assert_true(shows(m, "\ntundra_loop_slow_turns_total 2\n"));
	assert_true(
	    shows(m, "\ntundra_loop_slow_callbacks_total{callback=\"claim.c:claim_tick\"} 2\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_bucket{le=\"2e-05\"} 4\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_bucket{le=\"0.0001\"} 7\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_bucket{le=\"0.005\"} 7\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_bucket{le=\"0.01\"} 8\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_count 9\n"));
	assert_true(shows(m, "\ntundra_loop_turn_duration_seconds_sum 0.0145\n"));
	stats_free(&s);
	metrics_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(loop_is_shown_as_it_counts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
