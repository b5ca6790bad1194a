/* The kubelet as a driver sees it, where a friendlier one would hide a driver's mistakes. */
#include "test/lib/kubelet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "core/journal_disk.h"
#include "core/mem.h"
#include "test/lib/node/lab_node.h"

enum { SOON_MS = 10000, SYNC_MS = 2000, ROUNDS = 8 };
#define OTHER "other.example.com"

struct fixture {
	struct lab *lab;
	struct kubelet *kubelet;
	struct lab_node n, other;
};

static void start(struct fixture *f, struct lab_node *n, const char *driver)
{
	struct err e = { "" };

	lab_class(f->lab, driver);
	if (lab_node_start(n, f->lab, driver, NULL, &e))
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(4, 1);
	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER);
	start(f, &f->other, OTHER);
	lab_pass(f->lab, 5000);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kubelet_free(&f->kubelet);
	lab_node_done(&f->n);
	lab_node_done(&f->other);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void expect_phase(struct fixture *f, const char *pod, const char *phase)
{
	if (!lab_pod_until(f->lab, pod, phase, SOON_MS))
		fail_msg("pod %s is %s, not %s; kubelet: %s", pod, lab_pod_phase(f->lab, pod),
			 phase, kubelet_stats(f->kubelet)->last_error);
}

/* The one that has a claim of another driver too takes longer; whoever looks last unprepares. */
static void pods_that_share_and_end_together(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < ROUNDS; i++) {
		char shared[16], own[16], one[16], two[16], both[40];

		snprintf(shared, sizeof(shared), "shared-%d", i);
		snprintf(own, sizeof(own), "own-%d", i);
		snprintf(one, sizeof(one), "one-%d", i);
		snprintf(two, sizeof(two), "two-%d", i);
		snprintf(both, sizeof(both), "%s,%s", shared, own);
		lab_claim_wish(f->lab, shared, LAB_DRIVER, 1);
		lab_claim_wish(f->lab, own, OTHER, 1);
		lab_pod(f->lab, one, both, 0);
		lab_pod(f->lab, two, shared, 0);
		expect_phase(f, one, "Running");
		expect_phase(f, two, "Running");
		lab_pod_delete(f->lab, one, false);
		lab_pod_delete(f->lab, two, false);
		expect_phase(f, one, "");
		expect_phase(f, two, "");
		assert_int_equal(kubelet_claims(f->kubelet), 0);
		assert_int_equal(lab_cdi_count(f->lab), 0);
		assert_int_equal(lab_ledger_records(f->lab), 0);
		lab_claim_end(f->lab, shared);
		lab_claim_end(f->lab, own);
	}
}

/* An Unprepare that failed is called again; until then the claim counts as prepared. */
static void a_failed_unprepare_is_no_new_prepare(void **state)
{
	struct fixture *f = *state;
	uint64_t prepares;

	lab_claim_wish(f->lab, "c", LAB_DRIVER, 1);
	lab_pod(f->lab, "a", "c", 0);
	expect_phase(f, "a", "Running");
	prepares = kubelet_stats(f->kubelet)->prepares;
	f->n.disk->fail = -EIO;
	f->n.disk->fails = 1000000;
	lab_pod_delete(f->lab, "a", false);
	lab_pass(f->lab, 60000);
	assert_string_equal(lab_pod_phase(f->lab, "a"), "Running");
	assert_true(kubelet_stats(f->kubelet)->unprepare_errors > 0);
	assert_int_equal(kubelet_claims(f->kubelet), 1);
	/* Who shares it now is not prepared, whatever the driver has undone already. */
	lab_pod(f->lab, "b", "c", 0);
	assert_true(lab_pod_until(f->lab, "b", "Running", 120000));
	assert_int_equal(kubelet_stats(f->kubelet)->prepares, prepares);
	f->n.disk->fails = 0;
	assert_true(lab_pod_until(f->lab, "a", "", 120000));
	lab_pod_delete(f->lab, "b", false);
	assert_true(lab_pod_until(f->lab, "b", "", 120000));
	assert_int_equal(kubelet_claims(f->kubelet), 0);
	assert_int_equal(lab_cdi_count(f->lab), 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pods_that_share_and_end_together),
		TEST(a_failed_unprepare_is_no_new_prepare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
