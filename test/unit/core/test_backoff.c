#include "core/backoff.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void doubles_to_the_cap(void **state)
{
	static const uint64_t means[] = { 100, 200, 400, 800, 1000, 1000, 1000 };
	struct loop *l = loop_new_virtual(0, 3);
	struct backoff b;
	size_t i;

	(void)state;
	backoff_init(&b, 100, 1000);
	for (i = 0; i < ARRAY_LEN(means); i++)
		assert_in_range(backoff_next(&b, l), means[i] / 2, means[i] * 3 / 2);
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, l), 50, 150);
	loop_free(&l);
}

static void jitter_spreads(void **state)
{
	struct loop *l = loop_new_virtual(0, 3);
	uint64_t low = UINT64_MAX, high = 0, v;
	struct backoff b;
	size_t i;

	(void)state;
	backoff_init(&b, 1000, 1000);
	for (i = 0; i < 1000; i++) {
		v = backoff_next(&b, l);
		low = MIN(low, v);
		high = MAX(high, v);
	}
	assert_in_range(low, 500, 520);
	assert_in_range(high, 1480, 1500);
	loop_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_to_the_cap),
		cmocka_unit_test(jitter_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
