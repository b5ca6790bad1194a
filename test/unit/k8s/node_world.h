#pragma once
/* A node on virtual time: drivers, a kubelet and pods; nothing may be left at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "core/mem.h"
#include "k8s/node.h"
#include "test/lib/node/lab_node.h"

enum { GPUS = 4, SOON_MS = 10000, SYNC_MS = 2000, WIPE_MS = 30000 };
#define OTHER "other.example.com"

struct fixture {
	struct lab *lab;
	struct kubelet *kubelet;
	struct lab_node n, n2;
};

static inline int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(GPUS, 1);
	lab_class(f->lab, LAB_DRIVER);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	kubelet_free(&f->kubelet);
	lab_node_done(&f->n);
	lab_node_done(&f->n2);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static inline void start(struct fixture *f, struct lab_node *n, const char *driver,
			 const char *instance)
{
	struct err e = { "" };

	if (lab_node_start(n, f->lab, driver, instance, &e))
		fail_msg("%s", e.text);
}

static inline void again(struct lab_node *n)
{
	struct err e = { "" };

	if (lab_node_again(n, &e))
		fail_msg("%s", e.text);
}

static inline void start_all(struct fixture *f)
{
	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER, NULL);
	lab_pass(f->lab, 5000);
}

static inline void expect_phase(struct fixture *f, const char *pod, const char *phase, uint64_t ms)
{
	if (!lab_pod_until(f->lab, pod, phase, ms))
		fail_msg("pod %s is %s, not %s; kubelet: %s", pod, lab_pod_phase(f->lab, pod),
			 phase, kubelet_stats(f->kubelet)->last_error);
}

static inline void run_pod(struct fixture *f, const char *name, unsigned gpus)
{
	lab_claim_wish(f->lab, name, LAB_DRIVER, gpus);
	lab_pod(f->lab, name, name, 0);
}

static inline void end_pod(struct fixture *f, const char *name)
{
	lab_pod_delete(f->lab, name, false);
	expect_phase(f, name, "", SOON_MS);
	lab_claim_delete(f->lab, name);
}

/* No claim anywhere: ledger, CDI folder, devices, kubelet. */
static inline void expect_nothing_left(struct fixture *f)
{
	lab_pass(f->lab, 1000);
	assert_int_equal(lab_cdi_count(f->lab), 0);
	assert_int_equal(lab_ledger_records(f->lab), 0);
	if (f->kubelet)
		assert_int_equal(kubelet_claims(f->kubelet), 0);
	for (int i = 0; f->n.driver && i < GPUS; i++) {
		char identity[16];

		snprintf(identity, sizeof(identity), "GPU-%04d", i);
		assert_null(driver_holder(f->n.driver, identity));
	}
}

static inline void slice_version(struct fixture *f, char out[64])
{
	char *text;
	const char *at;

	assert_int_equal(lab_count(f->lab, "resourceslices"), 1);
	text = lab_object(f->lab, "resourceslices", 0);
	at = strstr(text, "\"resourceVersion\":\"");
	assert_non_null(at);
	snprintf(out, 64, "%.40s", at);
	mem_free(text);
}

static inline size_t published(struct fixture *f)
{
	size_t n = 0;

	for (size_t i = 0; i < lab_count(f->lab, "resourceslices"); i++) {
		char *text = lab_object(f->lab, "resourceslices", i);

		for (const char *at = text; (at = strstr(at, "\"capacity\":")); at++)
			n++;
		mem_free(text);
	}
	return n;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
