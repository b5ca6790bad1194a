/* Claims whose work never ends: each caller hears why before its deadline, and nothing is lost. */
#include "k8s/claim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { DUE_MS = 45000 };

struct fixture {
	struct lab *lab;
	struct lab_disk *disk;
	struct lab_claims c;
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(2, 1);
	f->disk = lab_disk_new(f->lab);
	lab_claims_start(&f->c, f->lab, f->disk, "one");
	lab_pass(f->lab, 1000);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-1");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lab_claims_stop(&f->c);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void expect_ok(struct fixture *f, struct lab_call *call)
{
	assert_true(lab_until_true(f->lab, &call->done, 1000));
	assert_string_equal(call->error, "");
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

static void expect_nothing_left(struct fixture *f)
{
	lab_pass(f->lab, 60000);
	assert_int_equal(claims_prepared(f->c.claims), 0);
	assert_null(claims_holder(f->c.claims, "GPU-0000"));
	assert_null(claims_holder(f->c.claims, "GPU-0001"));
	assert_int_equal(lab_ledger_records(f->lab), 0);
	assert_int_equal(lab_cdi_count(f->lab), 0);
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
	expect_nothing_left(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
