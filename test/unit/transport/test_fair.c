#include "transport/fair.h"

#include "lab.h"

static size_t victim(const struct fair_place *v, size_t n, uint64_t newcomer, bool greedy)
{
	bool got;
	size_t at = fair_victim(v, n, newcomer, &got);

	assert_int_equal(got, greedy);
	return at;
}

static void test_victim(void **state)
{
	const struct fair_place crowd[] = { { 7, 1, 0 }, { 9, 5, 2 }, { 9, 4, 2 }, { 9, 6, 1 } };
	const struct fair_place alike[] = { { 1, 8, 2 }, { 2, 3, 2 }, { 3, 3, 2 }, { 4, 9, 2 } };
	const struct fair_place pairs[] = { { 1, 3, 2 }, { 2, 4, 2 }, { 1, 4, 2 }, { 2, 5, 2 } };

	(void)state;
	assert_int_equal(victim(crowd, 1, 5, true), 0); /* all there are */
	/* The oldest of all is safe beside a peer that has two. */
	assert_int_equal(victim(crowd, 3, 7, true), 2);
	assert_int_equal(victim(crowd, 4, 9, true), 3);	 /* the rank goes before the age */
	assert_int_equal(victim(alike, 4, 5, false), 1); /* the first of equals */
	assert_int_equal(victim(pairs, 4, 5, true), 0);	 /* two go before the newcomer's one */
	assert_int_equal(victim(pairs, 4, 1, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_victim) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
