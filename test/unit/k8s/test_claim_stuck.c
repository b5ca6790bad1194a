/* Claims whose work never ends: each caller hears why before its deadline, and nothing is lost. */
#include "test/unit/k8s/claim_world.h"

static int two_claims(void **state)
{
	const struct fixture *f;

	setup(state);
	f = *state;
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-1");
	return 0;
}

/* Behind the time that leaves its error a way back, and no earlier. */
static void expect_given_up(struct fixture *f, struct lab_call *call, const char *part,
			    uint64_t left_ms)
{
	uint64_t began = loop_now_ms(f->lab->loop);

	assert_true(lab_until_true(f->lab, &call->done, DUE_MS));
	assert_non_null(strstr(call->error, part));
	assert_int_equal(call->done_ms - began, DUE_MS - left_ms);
}

static void break_disk(struct fixture *f, bool broken)
{
	f->disk->fail = -EIO;
	f->disk->fails = broken ? UINT32_MAX : 0;
}

/* When the disk works again nobody waits any more: what was stored is undone. */
static void prepare_on_a_disk_that_stays_broken(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	break_disk(f, true);
	lab_prepare(&f->c, "a", NULL, &call);
	expect_given_up(f, &call, "timed out waiting: ", CLAIM_MARGIN_MS);
	break_disk(f, false);
	lab_pass(f->lab, 60000);
	expect_nothing_left(f);
}

/* Somebody sets the clock: who waits for a GPU is told neither earlier nor later for it. */
static void the_wall_clock_jumps_meanwhile(void **state)
{
	static const int64_t jumps_ms[] = { 60000, -90000 };
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "c", NULL, "gpu-0");
	lab_prepare(&f->c, "a", NULL, &call);
	expect_ok(f, &call);
	for (size_t i = 0; i < ARRAY_LEN(jumps_ms); i++) {
		lab_prepare(&f->c, "c", NULL, &call);
		loop_skew_wall(f->lab->loop, jumps_ms[i]);
		expect_given_up(f, &call, "timed out waiting: ", CLAIM_MARGIN_MS);
	}
	lab_unprepare(&f->c, "a", NULL, &call);
	expect_ok(f, &call);
	expect_nothing_left(f);
}

static void unprepare_on_a_disk_that_stays_broken(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_prepare(&f->c, "a", NULL, &call);
	expect_ok(f, &call);
	break_disk(f, true);
	lab_unprepare(&f->c, "a", NULL, &call);
	expect_given_up(f, &call, "timed out waiting: ", 1000);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	break_disk(f, false);
	lab_pass(f->lab, 60000);
	expect_nothing_left(f);
	lab_unprepare(&f->c, "a", NULL, &call); /* the kubelet asks again */
	expect_ok(f, &call);
}

static void a_device_that_does_not_answer(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_plans()->hold = true;
	lab_prepare(&f->c, "b", NULL, &call);
	expect_given_up(f, &call, "the device does not answer", CLAIM_MARGIN_MS);
	lab_plans_release();
	lab_pass(f->lab, 60000);
	expect_nothing_left(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, two_claims, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(prepare_on_a_disk_that_stays_broken),
		TEST(the_wall_clock_jumps_meanwhile),
		TEST(unprepare_on_a_disk_that_stays_broken),
		TEST(a_device_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
