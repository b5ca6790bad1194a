#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "k8s/digest.h"

/* On disk since the first version: these values never change. */
static void test_is_the_same_for_ever(void **state)
{
	(void)state;
	assert_true(digest_bytes(DIGEST_START, SV_NONE) == 0xaf64724c8602eb6eu);
	assert_true(digest_str(DIGEST_START, "gpu-0") == digest_bytes(DIGEST_START, SV("gpu-0")));
}

static void test_parts_do_not_run_together(void **state)
{
	uint64_t ab_c = digest_str(digest_str(DIGEST_START, "ab"), "c");
	uint64_t a_bc = digest_str(digest_str(DIGEST_START, "a"), "bc");

	(void)state;
	assert_false(ab_c == a_bc);
	assert_false(ab_c == digest_str(DIGEST_START, "abc"));
	assert_false(digest_str(DIGEST_START, NULL) == digest_str(DIGEST_START, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_the_same_for_ever),
		cmocka_unit_test(test_parts_do_not_run_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
