#include "transport/fair.h"

#include "lab.h"

static size_t victim(const struct fair_place *v, size_t n, size_t held)
{
	size_t got, at = fair_victim(v, n, &got);

	assert_int_equal(got, held);
	return at;
}

static void test_victim(void **state)
{
	const struct fair_place crowd[] = { { 7, 1, 0 }, { 9, 5, 2 }, { 9, 4, 2 }, { 9, 6, 1 } };
	const struct fair_place alike[] = { { 1, 8, 2 }, { 2, 3, 2 }, { 3, 3, 2 }, { 4, 9, 2 } };

	(void)state;
	assert_int_equal(victim(crowd, 1, 1), 0);
	/* The oldest of all is safe beside a peer that has two. */
	assert_int_equal(victim(crowd, 3, 2), 2);
	assert_int_equal(victim(crowd, 4, 3), 3); /* the rank goes before the age */
	assert_int_equal(victim(alike, 4, 1), 1); /* the first of equals */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_victim) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
