/* Prepared claims whose object is gone: released late and only when nobody uses the device. */
#include "k8s/gc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { MINUTE_MS = 60000, LONG_MS = 30 * MINUTE_MS };

struct fixture {
	struct lab *lab;
	struct lab_claims c;
	struct gc *gc;
	int in_use; /* what the scan answers */
	unsigned asked;
	char identities[256]; /* of the last question */
};

/* Answers in a later turn, as a worker does. */
struct question {
	struct fixture *f;
	struct loop_timer timer;
	void (*answer)(void *arg, int in_use);
	void *arg;
};

static void on_asked(void *arg)
{
	struct question *q = arg;

	q->answer(q->arg, q->f->in_use);
	mem_free(q);
}

static void ask(void *ctx, const char *const *identities, size_t n,
		void (*answer)(void *arg, int in_use), void *arg)
{
	struct question *q = MEM_NEW(struct question);
	struct fixture *f = ctx;
	size_t at = 0;

	f->asked++;
	f->identities[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(f->identities + at, sizeof(f->identities) - at, "%s ",
				       identities[i]);
	*q = (struct question){ .f = f, .answer = answer, .arg = arg };
	loop_timer_init(&q->timer, f->lab->loop, on_asked, q);
	loop_timer_set(&q->timer, 100);
}

static const char *who(void *ctx)
{
	(void)ctx;
	return "4711 (python3)";
}

static void start(struct fixture *f)
{
	struct gc_conf conf = { .in_use = ask, .who = who, .ctx = f };

	lab_claims_start(&f->c, f->lab, lab_disk_new(f->lab), "one");
	conf.api = f->lab->api;
	conf.claims = f->c.claims;
	conf.events = f->lab->events;
	conf.inventory = f->lab->inventory;
	f->gc = gc_new(f->lab->loop, &conf);
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(4, 1);
	start(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gc_free(&f->gc);
	lab_claims_stop(&f->c);
	lab_pass(f->lab, 1000); /* a question that is still open */
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void prepared(struct fixture *f, const char *name, const char *devices)
{
	struct lab_call call;

	lab_claim(f->lab, name, NULL, devices);
	lab_prepare(&f->c, name, NULL, &call);
	assert_true(lab_until_true(f->lab, &call.done, 1000));
	assert_int_equal(call.status, 0);
}

static void claims_that_exist_are_kept(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	prepared(f, "b", "gpu-1");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 2);
	assert_int_equal(f->asked, 0);
	assert_true(gc_stats(f->gc)->checked >= 4);
	assert_int_equal(gc_stats(f->gc)->orphans, 0);
}

static void one_look_is_not_enough(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, 4 * MINUTE_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_int_equal(f->asked, 0);
	assert_int_equal(gc_stats(f->gc)->orphans, 1);
	assert_int_equal(lab_events(f->lab, "OrphanedClaim", NULL), 1);
}

static void gone_twice_and_unused_is_released(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0,gpu-2@admin");
	prepared(f, "b", "gpu-1");
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_null(claims_holder(f->c.claims, "GPU-0000"));
	assert_string_equal(claims_holder(f->c.claims, "GPU-0001"), "uid-b");
	assert_false(lab_cdi_exists(f->lab, "uid-a"));
	assert_int_equal(f->asked, 1);
	assert_string_equal(f->identities, "GPU-0000 "); /* admin access uses nothing up */
	assert_int_equal(gc_stats(f->gc)->released, 1);
}

/* A monitor's claim has nothing but admin access: an etcd restore must not strip its pod either. */
static void a_monitor_in_use_is_kept(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0@admin,gpu-2@admin");
	f->in_use = 1;
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_string_equal(f->identities, "GPU-0000 GPU-0002 ");
	f->in_use = 0;
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 0);
}

static void a_device_in_use_is_kept(void **state)
{
	struct fixture *f = *state;
	const char *message = "";

	prepared(f, "a", "gpu-0");
	f->in_use = 1;
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_true(f->asked >= 1);
	(void)lab_events(f->lab, "OrphanedClaim", &message);
	assert_non_null(strstr(message, "has its device open: 4711 (python3)"));
	f->in_use = 0; /* its process ended */
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 0);
}

static void not_knowing_is_keeping(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	f->in_use = -1;
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_int_equal(gc_stats(f->gc)->released, 0);
}

static void it_came_back(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	lab_claim_delete(f->lab, "a"); /* an etcd that is being restored */
	lab_pass(f->lab, 2 * MINUTE_MS);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_int_equal(f->asked, 0);
	lab_claim_delete(f->lab, "a"); /* the count begins anew */
	lab_pass(f->lab, 10 * MINUTE_MS);
	assert_int_equal(f->asked, 0);
	assert_int_equal(gc_stats(f->gc)->orphans, 2); /* and is told again */
}

static void another_claim_of_that_name(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	lab_claim_delete(f->lab, "a");
	lab_claim(f->lab, "a", "uid-of-another", "gpu-1");
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 0);
}

static void errors_are_no_answers(void **state)
{
	static const char *const faults[] = { "get resourceclaims status=403 times=always",
					      "get resourceclaims status=500 times=always",
					      "get resourceclaims silent times=always" };
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct err e = { "" };

		apiserver_clear(f->lab->server);
		assert_int_equal(apiserver_fault_text(f->lab->server, faults[i], &e), 0);
		lab_pass(f->lab, LONG_MS);
		assert_int_equal(claims_prepared(f->c.claims), 1);
		assert_int_equal(gc_stats(f->gc)->orphans, 0);
	}
}

static void a_group_that_is_not_served_is_no_answer(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	lab_api_versions(f->lab, VERSIONS_V1BETA2); /* "404 page not found" for v1 */
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_int_equal(f->asked, 0);
}

static void the_kubelet_is_first(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	prepared(f, "a", "gpu-0");
	lab_claim_delete(f->lab, "a");
	lab_pass(f->lab, 2 * MINUTE_MS);
	lab_unprepare(&f->c, "a", NULL, &call);
	assert_true(lab_until_true(f->lab, &call.done, 1000));
	lab_pass(f->lab, LONG_MS);
	assert_int_equal(f->asked, 0);
	assert_int_equal(gc_stats(f->gc)->released, 0);
}

/* ---- the node was lost and comes back ---- */

static void stop(struct fixture *f)
{
	gc_free(&f->gc);
	lab_claims_stop(&f->c);
	lab_pass(f->lab, 1000);
}

static void boot(struct fixture *f, const char *id)
{
	snprintf(f->lab->boot_id, sizeof(f->lab->boot_id), "%s", id);
	start(f);
}

static void wait_for_gpu_0(struct fixture *f, struct lab_call *call)
{
	lab_claim(f->lab, "next", NULL, "gpu-0");
	lab_prepare(&f->c, "next", NULL, call);
}

/* Its first prepare succeeds: the kubelet would give the lost claims up after a minute. */
static void claims_of_lost_pods_go_after_a_boot(void **state)
{
	struct fixture *f = *state;
	struct lab_call next;

	prepared(f, "lost", "gpu-0");
	prepared(f, "anew", "gpu-1");
	prepared(f, "kept", "gpu-2");
	stop(f);
	lab_claim_delete(f->lab, "lost");
	lab_claim_delete(f->lab, "anew");
	lab_claim(f->lab, "anew", "uid-of-another", "gpu-1");
	boot(f, "boot-2");
	prepared(f, "young", "gpu-3");
	wait_for_gpu_0(f, &next);
	lab_claim_delete(f->lab, "young"); /* of this boot: the kubelet's */
	assert_true(lab_until_true(f->lab, &next.done, 20000));
	assert_int_equal(next.status, 0);
	lab_pass(f->lab, 20000);
	assert_int_equal(claims_prepared(f->c.claims), 3);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-next");
	assert_null(claims_holder(f->c.claims, "GPU-0001"));
	assert_string_equal(claims_holder(f->c.claims, "GPU-0002"), "uid-kept");
	assert_string_equal(claims_holder(f->c.claims, "GPU-0003"), "uid-young");
	assert_int_equal(gc_stats(f->gc)->released, 2);
	lab_claim_delete(f->lab, "kept"); /* seen in this boot: a pod may run by now */
	lab_pass(f->lab, 4 * MINUTE_MS);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0002"), "uid-kept");
}

static void used_after_a_boot_is_kept(void **state)
{
	struct fixture *f = *state;
	struct lab_call next;

	prepared(f, "lost", "gpu-0");
	stop(f);
	lab_claim_delete(f->lab, "lost");
	f->in_use = 1;
	boot(f, "boot-2");
	wait_for_gpu_0(f, &next);
	assert_true(lab_until_true(f->lab, &next.done, MINUTE_MS));
	assert_int_not_equal(next.status, 0);
	assert_true(f->asked > 0);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-lost");
}

/* The API server does not answer at first: that is no "gone". */
static void an_error_after_a_boot_is_no_answer(void **state)
{
	struct fixture *f = *state;
	struct err e = { "" };

	prepared(f, "kept", "gpu-0");
	stop(f);
	boot(f, "boot-2");
	assert_int_equal(
	    apiserver_fault_text(f->lab->server, "get resourceclaims status=403 times=always", &e),
	    0);
	lab_pass(f->lab, MINUTE_MS);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-kept");
	apiserver_clear(f->lab->server);
}

/* A start in the same boot has no such hurry: the first one was there. */
static void no_hurry_without_a_boot(void **state)
{
	struct fixture *f = *state;

	prepared(f, "a", "gpu-0");
	stop(f);
	boot(f, "boot-2"); /* "a" is of an earlier boot from now on */
	lab_pass(f->lab, 1000);
	stop(f);
	lab_claim_delete(f->lab, "a");
	boot(f, "boot-2");
	lab_pass(f->lab, 4 * MINUTE_MS);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(claims_that_exist_are_kept),
		TEST(one_look_is_not_enough),
		TEST(gone_twice_and_unused_is_released),
		TEST(a_monitor_in_use_is_kept),
		TEST(a_device_in_use_is_kept),
		TEST(not_knowing_is_keeping),
		TEST(it_came_back),
		TEST(another_claim_of_that_name),
		TEST(errors_are_no_answers),
		TEST(a_group_that_is_not_served_is_no_answer),
		TEST(the_kubelet_is_first),
		TEST(claims_of_lost_pods_go_after_a_boot),
		TEST(used_after_a_boot_is_kept),
		TEST(an_error_after_a_boot_is_no_answer),
		TEST(no_hurry_without_a_boot),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
