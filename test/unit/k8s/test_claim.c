/* What the kubelet may ask for, in every order: what it gets, what it is told, what is waited out.
 */
#include "test/unit/k8s/claim_world.h"

#include "core/fsx.h"

/* ---- what should happen ---- */

static void prepare_and_unprepare(void **state)
{
	struct fixture *f = *state;
	uint64_t reads = apiserver_count(f->lab->server, "get", "resourceclaims");
	struct lab_call call;
	char *spec;

	lab_claim(f->lab, "a", NULL, "gpu-1");
	prepare(f, "a", &call);
	assert_int_equal(call.n, 1);
	assert_string_equal(call.devices[0].request, "r0");
	assert_string_equal(call.devices[0].pool, LAB_NODE);
	assert_string_equal(call.devices[0].device, "gpu-1");
	assert_string_equal(call.devices[0].share_id, "");
	assert_string_equal(call.devices[0].cdi_id, "k8s.gpu.nvidia.com/claim=uid-a-gpu-1");
	assert_int_equal(apiserver_count(f->lab->server, "get", "resourceclaims"), reads + 1);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0001"), "uid-a");
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_int_equal(lab_ledger_records(f->lab), 1);
	spec = lab_cdi_text(f->lab, "uid-a");
	assert_non_null(strstr(spec, "/dev/nvidia1"));
	assert_non_null(strstr(spec, "/dev/nvidiactl"));
	assert_null(strstr(spec, "/dev/nvidia0"));
	mem_free(spec);
	unprepare(f, "a");
	assert_int_equal(f->c.errors, 0);
	assert_int_equal(f->c.reports, 2);
	expect_nothing_left(f);
}

static void repeated_prepare_answers_the_same(void **state)
{
	struct fixture *f = *state;
	struct lab_call one, two;
	unsigned batches;

	lab_claim(f->lab, "a", NULL, "gpu-0,gpu-3");
	prepare(f, "a", &one);
	batches = f->disk->calls;
	prepare(f, "a", &two);
	assert_int_equal(two.n, 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(two.devices[i].cdi_id, one.devices[i].cdi_id);
	assert_int_equal(f->disk->calls, batches); /* nothing to write */
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void repeated_prepare_repairs_the_spec(void **state)
{
	struct fixture *f = *state;
	char *path = lab_path(f->lab, "cdi/k8s.gpu.nvidia.com-claim_uid-a.yaml");
	struct lab_call call;
	char *spec;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	assert_int_equal(fsx_remove(path), 0);
	prepare(f, "a", &call);
	assert_true(lab_cdi_exists(f->lab, "uid-a"));
	assert_int_equal(fsx_replace(path, SV("{}"), 0644, 0), 0);
	prepare(f, "a", &call);
	spec = lab_cdi_text(f->lab, "uid-a");
	assert_non_null(strstr(spec, "/dev/nvidia0"));
	mem_free(spec);
	mem_free(path);
}

static void another_allocation_under_the_same_uid(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;
	char *spec;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	lab_claim(f->lab, "a", NULL, "gpu-2");
	prepare(f, "a", &call);
	assert_string_equal(call.devices[0].device, "gpu-2");
	assert_null(claims_holder(f->c.claims, "GPU-0000"));
	assert_string_equal(claims_holder(f->c.claims, "GPU-0002"), "uid-a");
	spec = lab_cdi_text(f->lab, "uid-a");
	assert_null(strstr(spec, "/dev/nvidia0"));
	mem_free(spec);
	assert_int_equal(lab_plans()->undos, 1);
	assert_int_equal(lab_ledger_records(f->lab), 1);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void several_requests_and_other_drivers(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim_json(
	    f->lab, "a", NULL,
	    "{\"devices\":{\"results\":["
	    "{\"request\":\"big/first\",\"driver\":\"gpu.nvidia.com\",\"pool\":\"node-1\","
	    "\"device\":\"gpu-0\"},"
	    "{\"request\":\"net\",\"driver\":\"nic.example.com\",\"pool\":\"elsewhere\","
	    "\"device\":\"nic-7\"},"
	    "{\"request\":\"small\",\"driver\":\"gpu.nvidia.com\",\"pool\":\"node-1\","
	    "\"device\":\"gpu-1\"}]}}");
	prepare(f, "a", &call);
	assert_int_equal(call.n, 2);
	assert_string_equal(call.devices[0].request, "big/first");
	assert_string_equal(call.devices[1].request, "small");
	assert_string_equal(call.devices[1].device, "gpu-1");
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void no_device_of_ours(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "");
	prepare(f, "a", &call);
	assert_int_equal(call.n, 0);
	assert_int_equal(lab_cdi_count(f->lab), 0); /* an empty spec is none */
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void admin_access_holds_nothing(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "user", NULL, "gpu-0");
	lab_claim(f->lab, "monitor", NULL, "gpu-0@admin,gpu-1@admin");
	lab_claim(f->lab, "later", NULL, "gpu-1");
	prepare(f, "user", &call);
	prepare(f, "monitor", &call);
	assert_int_equal(call.n, 2);
	prepare(f, "later", &call);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-user");
	assert_string_equal(claims_holder(f->c.claims, "GPU-0001"), "uid-later");
	unprepare(f, "monitor");
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-user");
	unprepare(f, "user");
	unprepare(f, "later");
	expect_nothing_left(f);
}

static void share_id_is_echoed(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0#2f1c1f1e-0000-4000-8000-000000000001");
	lab_claim(f->lab, "b", NULL, "gpu-0#2f1c1f1e-0000-4000-8000-000000000002");
	prepare(f, "a", &call);
	assert_string_equal(call.devices[0].share_id, "2f1c1f1e-0000-4000-8000-000000000001");
	prepare(f, "b", &call);
	assert_string_equal(call.devices[0].share_id, "2f1c1f1e-0000-4000-8000-000000000002");
	restart(f);
	prepare(f, "a", &call);
	assert_string_equal(call.devices[0].share_id, "2f1c1f1e-0000-4000-8000-000000000001");
	unprepare(f, "a");
	unprepare(f, "b");
	expect_nothing_left(f);
}

static void calls_for_one_claim_share_its_work(void **state)
{
	struct fixture *f = *state;
	uint64_t reads = apiserver_count(f->lab->server, "get", "resourceclaims");
	struct lab_call calls[3];

	lab_claim(f->lab, "a", NULL, "gpu-0");
	for (size_t i = 0; i < 3; i++)
		lab_prepare(&f->c, "a", NULL, &calls[i]);
	for (size_t i = 0; i < 3; i++)
		expect_ok(f, &calls[i]);
	assert_int_equal(apiserver_count(f->lab->server, "get", "resourceclaims"), reads + 1);
	assert_int_equal(lab_ledger_records(f->lab), 1);
}

static void a_hundred_prepares_take_few_writes(void **state)
{
	struct fixture *f = *state;
	static struct lab_call calls[100];
	unsigned before = f->disk->calls;

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%zu", i);
		lab_claim(f->lab, name, NULL, "gpu-0@admin");
		lab_prepare(&f->c, name, NULL, &calls[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		expect_ok(f, &calls[i]);
	assert_true(f->disk->calls - before <= 20);
	assert_int_equal(lab_ledger_records(f->lab), 100);
}

static void unknown_unprepare_succeeds(void **state)
{
	struct fixture *f = *state;
	uint64_t reads = apiserver_count(f->lab->server, "get", NULL);
	struct lab_call call;

	lab_unprepare(&f->c, "never-heard-of", NULL, &call);
	expect_ok(f, &call);
	assert_int_equal(apiserver_count(f->lab->server, "get", NULL), reads);
	expect_nothing_left(f);
}

/* ---- what cannot be ---- */

static void errors_that_are_told_at_once(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_prepare(&f->c, "missing", NULL, &call);
	expect_error(f, &call, "not found", SOON_MS);
	lab_claim(f->lab, "a", "uid-new", "gpu-0");
	lab_prepare(&f->c, "a", "uid-old", &call);
	expect_error(f, &call, "uid-new", SOON_MS);
	lab_claim(f->lab, "b", NULL, NULL);
	lab_prepare(&f->c, "b", NULL, &call);
	expect_error(f, &call, "not allocated", SOON_MS);
	lab_claim(f->lab, "c", NULL, "gpu-99");
	lab_prepare(&f->c, "c", NULL, &call);
	expect_error(f, &call, "gpu-99", SOON_MS);
	lab_claim_json(f->lab, "d", NULL,
		       "{\"devices\":{\"results\":[{\"request\":\"r\",\"driver\":"
		       "\"gpu.nvidia.com\",\"pool\":\"node-2\",\"device\":\"gpu-0\"}]}}");
	lab_prepare(&f->c, "d", NULL, &call);
	expect_error(f, &call, "node-2", SOON_MS);
	assert_int_equal(f->c.errors, 5);
	expect_nothing_left(f);
}

static void a_wrong_configuration_is_told(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim_json(
	    f->lab, "a", NULL,
	    "{\"devices\":{\"results\":[{\"request\":\"r\",\"driver\":"
	    "\"gpu.nvidia.com\",\"pool\":\"node-1\",\"device\":\"gpu-0\"}],\"config\":[{"
	    "\"source\":\"FromClaim\",\"requests\":[\"r\"],\"opaque\":{\"driver\":"
	    "\"gpu.nvidia.com\",\"parameters\":{\"apiVersion\":"
	    "\"resource.nvidia.com/v1beta1\",\"kind\":\"GpuConfig\",\"nonsense\":1}}}]}}");
	lab_prepare(&f->c, "a", NULL, &call);
	expect_error(f, &call, "nonsense", SOON_MS);
	expect_nothing_left(f);
}

static void a_gpu_in_trouble_is_refused(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	snprintf(f->lab->gpus.gpus[2].trouble, sizeof(f->lab->gpus.gpus[2].trouble),
		 "it fell off the bus");
	lab_rescan(f->lab);
	lab_claim(f->lab, "a", NULL, "gpu-2");
	lab_prepare(&f->c, "a", NULL, &call);
	expect_error(f, &call, "fell off the bus", SOON_MS);
	expect_nothing_left(f);
}

/* ---- what is waited out ---- */

static void a_held_device_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct lab_call a, b;
	const char *message = "";

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	prepare(f, "a", &a);
	lab_prepare(&f->c, "b", NULL, &b);
	lab_pass(f->lab, 1000);
	assert_false(b.done);
	assert_int_equal(claims_waiting(f->c.claims), 1);
	assert_int_equal(lab_events(f->lab, "Waiting", NULL), 0);
	lab_pass(f->lab, 2000);
	assert_int_equal(lab_events(f->lab, "Waiting", &message), 1);
	assert_non_null(strstr(message, "default/a"));
	lab_pass(f->lab, 20000);
	assert_false(b.done);
	assert_int_equal(lab_events(f->lab, "Waiting", NULL), 1);
	unprepare(f, "a");
	expect_ok(f, &b);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-b");
	assert_int_equal(claims_waiting(f->c.claims), 0);
	unprepare(f, "b");
	expect_nothing_left(f);
}

static void waiting_ends_before_the_caller_gives_up(void **state)
{
	struct fixture *f = *state;
	uint64_t began;
	struct lab_call a, b;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	prepare(f, "a", &a);
	began = loop_now_ms(f->lab->loop);
	lab_prepare(&f->c, "b", NULL, &b);
	expect_error(f, &b, "default/a", DUE_MS);
	assert_int_equal(b.status, -ETIMEDOUT);
	assert_in_range(b.done_ms - began, GIVE_UP_MS, GIVE_UP_MS + 50);
	lab_pass(f->lab, 100);
	assert_int_equal(lab_events(f->lab, "FailedPrepare", NULL), 1);
	unprepare(f, "a");
	unprepare(f, "b"); /* the kubelet calls it for what never was prepared too */
	expect_nothing_left(f);
}

static void two_waiters_one_winner(void **state)
{
	struct fixture *f = *state;
	struct lab_call a, b, c;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	lab_claim(f->lab, "c", NULL, "gpu-0");
	prepare(f, "a", &a);
	lab_prepare(&f->c, "b", NULL, &b);
	lab_prepare(&f->c, "c", NULL, &c);
	lab_pass(f->lab, 500);
	unprepare(f, "a");
	lab_pass(f->lab, 500);
	assert_true(b.done != c.done);
	unprepare(f, b.done ? "b" : "c");
	expect_ok(f, b.status ? &b : &c);
	lab_pass(f->lab, 100);
	assert_true(b.done && c.done && !b.status && !c.status);
}

static void unprepare_never_waits_for_others(void **state)
{
	struct fixture *f = *state;
	struct lab_call a, b;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0,gpu-1");
	prepare(f, "a", &a);
	lab_prepare(&f->c, "b", NULL, &b);
	lab_pass(f->lab, 500);
	unprepare(f, "b"); /* it waits for gpu-0 and must let go at once */
	assert_true(b.done);
	assert_int_equal(b.status, -ECANCELED);
	assert_null(claims_holder(f->c.claims, "GPU-0001"));
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void passing_trouble(struct fixture *f, const char *fault)
{
	struct err e = { "" };
	struct lab_call call;

	apiserver_clear(f->lab->server);
	assert_int_equal(apiserver_fault_text(f->lab->server, fault, &e), 0);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_prepare(&f->c, "a", NULL, &call);
	wait_for(f, &call, GIVE_UP_MS);
	if (call.status)
		fail_msg("%s: %s", fault, call.error);
	assert_true(apiserver_struck(f->lab->server) > 0);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void api_trouble_that_passes_is_waited_out(void **state)
{
	static const char *const faults[] = {
		"get resourceclaims status=403 times=3",
		"get resourceclaims status=401 times=2",
		"get resourceclaims status=429 retry-after=2 times=3",
		"get resourceclaims status=500 times=3",
		"get resourceclaims status=503 times=3",
		"get resourceclaims status=504 times=2",
		"get resourceclaims cut times=2",
		"get resourceclaims lose",
		"get resourceclaims reset times=2",
		"get resourceclaims refuse times=2",
		"get resourceclaims goaway times=2",
		"get resourceclaims delay=20000",
	};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		passing_trouble(*state, faults[i]);
}

static void api_trouble_that_stays_is_told(void **state)
{
	static const struct {
		const char *fault, *told;
	} rows[] = {
		{ "get resourceclaims status=403 times=always", "forbidden" },
		{ "get resourceclaims status=503 times=always", "503" },
		{ "get resourceclaims silent times=always", "" },
	};
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t began = loop_now_ms(f->lab->loop);
		struct err e = { "" };

		apiserver_clear(f->lab->server);
		assert_int_equal(apiserver_fault_text(f->lab->server, rows[i].fault, &e), 0);
		lab_prepare(&f->c, "a", NULL, &call);
		expect_error(f, &call, rows[i].told, DUE_MS);
		assert_in_range(call.done_ms - began, GIVE_UP_MS - 6000, GIVE_UP_MS + 100);
	}
	expect_nothing_left(f);
}

/* Two pods share a claim: the second's call joins the first's, and outlives its deadline. */
static void a_later_caller_has_its_own_time(void **state)
{
	struct fixture *f = *state;
	struct lab_call first, second;
	struct err e = { "" };

	assert_int_equal(
	    apiserver_fault_text(f->lab->server, "get resourceclaims silent times=always", &e), 0);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_prepare(&f->c, "a", NULL, &first);
	lab_pass(f->lab, 30000);
	lab_prepare(&f->c, "a", NULL, &second);
	expect_error(f, &first, "", DUE_MS);
	lab_pass(f->lab, 1000);
	assert_false(second.done);
	apiserver_clear(f->lab->server);
	wait_for(f, &second, GIVE_UP_MS);
	if (second.status)
		fail_msg("%s", second.error);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void an_api_server_that_is_down(void **state)
{
	struct fixture *f = *state;
	const char *message = "";
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	apiserver_down(f->lab->server);
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 15000);
	assert_false(call.done);
	assert_int_equal(claims_waiting(f->c.claims), 1);
	apiserver_up(f->lab->server);
	wait_for(f, &call, 15000);
	assert_int_equal(call.status, 0);
	lab_pass(f->lab, 15000);
	(void)lab_events(f->lab, "Waiting", &message);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void gpus_that_are_not_ready_are_waited_for(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	snprintf(f->lab->gpus.no_driver, sizeof(f->lab->gpus.no_driver), "the driver is unloaded");
	lab_rescan(f->lab);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 5000);
	if (call.done)
		fail_msg("answered: %s", call.error);
	f->lab->gpus.no_driver[0] = '\0';
	lab_rescan(f->lab);
	expect_ok(f, &call);
	unprepare(f, "a");
	expect_nothing_left(f);
}

/* ---- shutdown ---- */

static void on_idle(void *arg)
{
	*(bool *)arg = true;
}

static void shutting_down_ends_waits(void **state)
{
	struct fixture *f = *state;
	struct lab_call a, b, c;
	bool idle = false;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	prepare(f, "a", &a);
	lab_prepare(&f->c, "b", NULL, &b);
	lab_pass(f->lab, 1000);
	claims_drain(f->c.claims, on_idle, &idle);
	expect_error(f, &b, "shutting down", SOON_MS);
	assert_true(lab_until_true(f->lab, &idle, SOON_MS));
	lab_prepare(&f->c, "a", NULL, &c);
	expect_error(f, &c, "shutting down", SOON_MS);
	unprepare(f, "a"); /* this one still works */
}

static void shutting_down_finishes_what_is_in_flight(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;
	bool idle = false;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_disk_pause(f->disk, true);
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 1000);
	claims_drain(f->c.claims, on_idle, &idle);
	lab_pass(f->lab, 1000);
	assert_false(idle);
	lab_disk_pause(f->disk, false);
	expect_ok(f, &call);
	assert_true(lab_until_true(f->lab, &idle, SOON_MS));
	assert_int_equal(lab_ledger_records(f->lab), 1);
}

static void shutting_down_while_fetching(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;
	struct err e = { "" };
	bool idle = false;

	assert_int_equal(
	    apiserver_fault_text(f->lab->server, "get resourceclaims status=503 times=always", &e),
	    0);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 3000);
	claims_drain(f->c.claims, on_idle, &idle);
	expect_error(f, &call, "shutting down", SOON_MS);
	assert_true(lab_until_true(f->lab, &idle, SOON_MS));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(prepare_and_unprepare),
		TEST(repeated_prepare_answers_the_same),
		TEST(repeated_prepare_repairs_the_spec),
		TEST(another_allocation_under_the_same_uid),
		TEST(several_requests_and_other_drivers),
		TEST(no_device_of_ours),
		TEST(admin_access_holds_nothing),
		TEST(share_id_is_echoed),
		TEST(calls_for_one_claim_share_its_work),
		TEST(a_hundred_prepares_take_few_writes),
		TEST(unknown_unprepare_succeeds),
		TEST(errors_that_are_told_at_once),
		TEST(a_wrong_configuration_is_told),
		TEST(a_gpu_in_trouble_is_refused),
		TEST(a_held_device_is_waited_for),
		TEST(waiting_ends_before_the_caller_gives_up),
		TEST(two_waiters_one_winner),
		TEST(unprepare_never_waits_for_others),
		TEST(api_trouble_that_passes_is_waited_out),
		TEST(api_trouble_that_stays_is_told),
		TEST(a_later_caller_has_its_own_time),
		TEST(an_api_server_that_is_down),
		TEST(gpus_that_are_not_ready_are_waited_for),
		TEST(shutting_down_ends_waits),
		TEST(shutting_down_finishes_what_is_in_flight),
		TEST(shutting_down_while_fetching),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
