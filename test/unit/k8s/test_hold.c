#include "k8s/hold.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DEV(id, ...)                                                                               \
	{                                                                                          \
		.identity = (char *)(uintptr_t)(id), __VA_ARGS__                                   \
	}

static void one_holder_per_gpu(void **state)
{
	struct ledger_device ab[] = { DEV("A"), DEV("B") }, b[] = { DEV("B") };
	const char *identity = NULL;
	struct hold h;

	(void)state;
	hold_init(&h);
	assert_null(hold_blocker(&h, "c1", ab, 2, &identity));
	assert_int_equal(hold_take(&h, "c1", ab, 2), 0);
	assert_null(hold_blocker(&h, "c1", ab, 2, &identity)); /* itself is not in the way */
	assert_string_equal(hold_blocker(&h, "c2", b, 1, &identity), "c1");
	assert_string_equal(identity, "B");
	assert_int_equal(hold_take(&h, "c2", b, 1), 1); /* the first keeps it */
	assert_string_equal(hold_owner(&h, "B"), "c1");
	hold_release(&h, "c2", b, 1); /* it comes no more */
	assert_string_equal(hold_owner(&h, "B"), "c1");
	hold_release(&h, "c3", ab, 2); /* nothing of its own */
	assert_string_equal(hold_owner(&h, "A"), "c1");
	hold_release(&h, "c1", ab, 2);
	assert_null(hold_owner(&h, "A"));
	assert_null(hold_owner(&h, "B"));
	hold_done(&h);
}

/* Two records for one GPU, as a damaged history may leave them: no third claim comes between. */
static void the_second_of_two_records_inherits(void **state)
{
	struct ledger_device ab[] = { DEV("A"), DEV("B") }, b[] = { DEV("B") };
	const char *identity;
	struct hold h;

	(void)state;
	hold_init(&h);
	assert_int_equal(hold_take(&h, "c1", b, 1), 0);
	assert_int_equal(hold_take(&h, "c2", ab, 2), 1);
	assert_int_equal(hold_take(&h, "c2", ab, 2), 1); /* read again: still behind */
	assert_int_equal(hold_take(&h, "c3", b, 1), 1);
	hold_release(&h, "c2", b, 1);
	hold_release(&h, "c1", b, 1);
	assert_string_equal(hold_owner(&h, "B"), "c3");
	assert_string_equal(hold_blocker(&h, "c4", b, 1, &identity), "c3");
	hold_release(&h, "c3", b, 1);
	assert_null(hold_owner(&h, "B"));
	assert_string_equal(hold_owner(&h, "A"), "c2");
	hold_release(&h, "c2", ab, 2);
	assert_null(hold_owner(&h, "A"));
	hold_done(&h);
}

static void admin_access_and_shares_hold_nothing(void **state)
{
	char share[] = "s";
	struct ledger_device admin[] = { DEV("A", .admin = true) };
	struct ledger_device shared[] = { DEV("A", .share_id = share) };
	struct ledger_device plain[] = { DEV("A") };
	const char *identity;
	struct hold h;

	(void)state;
	hold_init(&h);
	assert_int_equal(hold_take(&h, "c1", admin, 1), 0);
	assert_int_equal(hold_take(&h, "c2", shared, 1), 0);
	assert_null(hold_owner(&h, "A"));
	assert_int_equal(hold_take(&h, "c3", plain, 1), 0);
	assert_null(hold_blocker(&h, "c1", admin, 1, &identity));
	assert_string_equal(hold_blocker(&h, "c4", plain, 1, &identity), "c3");
	hold_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_holder_per_gpu),
		cmocka_unit_test(the_second_of_two_records_inherits),
		cmocka_unit_test(admin_access_and_shares_hold_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
