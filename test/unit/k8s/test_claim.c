/*
 * Claims against the API server of test/lib, the journal's own methods and scripted GPUs, on
 * virtual time: what the kubelet may do, in every order, and what may fail meanwhile.
 */
#include "k8s/claim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { GPUS = 4, SOON_MS = 1000, DUE_MS = 45000, GIVE_UP_MS = DUE_MS - CLAIM_MARGIN_MS };

struct fixture {
	struct lab *lab;
	struct lab_disk *disk;
	struct lab_claims c;
};

static bool ledger_is_open(void *arg)
{
	return ledger_state(claims_ledger(((struct lab_claims *)arg)->claims)) == LEDGER_OPEN;
}

static void start(struct fixture *f)
{
	lab_claims_start(&f->c, f->lab, f->disk, "one");
	assert_true(lab_until(f->lab, ledger_is_open, &f->c, SOON_MS));
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(GPUS, 1);
	f->disk = lab_disk_new(f->lab);
	start(f);
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

/* As if the process was killed and started again. */
static void restart(struct fixture *f)
{
	lab_claims_stop(&f->c);
	lab_disk_restart(f->disk);
	start(f);
}

static void wait_for(struct fixture *f, struct lab_call *call, uint64_t ms)
{
	if (!lab_until_true(f->lab, &call->done, ms))
		fail_msg("no answer in %llu ms", (unsigned long long)ms);
}

static void expect_ok(struct fixture *f, struct lab_call *call)
{
	wait_for(f, call, SOON_MS);
	if (call->status)
		fail_msg("%s", call->error);
}

static void expect_error(struct fixture *f, struct lab_call *call, const char *part, uint64_t ms)
{
	wait_for(f, call, ms);
	assert_true(call->status < 0);
	if (!strstr(call->error, part))
		fail_msg("\"%s\" lacks \"%s\"", call->error, part);
}

static void prepare(struct fixture *f, const char *name, struct lab_call *call)
{
	lab_prepare(&f->c, name, NULL, call);
	expect_ok(f, call);
}

static void unprepare(struct fixture *f, const char *name)
{
	struct lab_call call;

	lab_unprepare(&f->c, name, NULL, &call);
	expect_ok(f, &call);
}

static size_t known_claims(struct fixture *f);

/* The promise after everything was given back. */
static void expect_nothing_left(struct fixture *f)
{
	lab_pass(f->lab, 100);
	assert_int_equal(claims_prepared(f->c.claims), 0);
	assert_int_equal(claims_waiting(f->c.claims), 0);
	assert_int_equal(known_claims(f), 0);
	assert_int_equal(lab_cdi_count(f->lab), 0);
	assert_int_equal(lab_ledger_records(f->lab), 0);
	for (int i = 0; i < GPUS; i++) {
		char identity[16];

		snprintf(identity, sizeof(identity), "GPU-%04d", i);
		assert_null(claims_holder(f->c.claims, identity));
	}
}

static void count_claim(void *arg, const struct claim_info *i)
{
	(void)i;
	(*(size_t *)arg)++;
}

static size_t known_claims(struct fixture *f)
{
	size_t n = 0;

	claims_each(f->c.claims, count_claim, &n);
	return n;
}

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

/* ---- callers that go away ---- */

/* How many turns a prepare takes here, so that the sweeps below hit each of its steps. */
static unsigned turns_of_a_prepare(struct fixture *f)
{
	struct lab_call call;
	unsigned n = 0;

	lab_claim(f->lab, "probe", NULL, "gpu-0");
	lab_prepare(&f->c, "probe", NULL, &call);
	for (; !call.done && n < 1000; n++)
		lab_turns(f->lab, 1);
	assert_true(call.done && !call.status);
	unprepare(f, "probe");
	expect_nothing_left(f);
	return n;
}

static void cancelled_at_every_step_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned turns = turns_of_a_prepare(f);
	struct lab_call call;

	assert_in_range(turns, 3, 200);
	for (unsigned at = 0; at < turns; at++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		lab_prepare(&f->c, "a", NULL, &call);
		lab_turns(f->lab, at);
		if (call.done) { /* quicker than the first time */
			unprepare(f, "a");
			break;
		}
		lab_cancel(&call);
		expect_nothing_left(f);
	}
	/* And it works afterwards. */
	prepare(f, "a", &call);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void unprepared_at_every_step_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned turns = turns_of_a_prepare(f);
	struct lab_call call, undo;

	for (unsigned at = 0; at <= turns; at++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		lab_prepare(&f->c, "a", NULL, &call);
		lab_turns(f->lab, at);
		lab_unprepare(&f->c, "a", NULL, &undo);
		expect_ok(f, &undo);
		assert_true(call.done);
		assert_true(!call.status || call.status == -ECANCELED);
		expect_nothing_left(f);
	}
}

static void one_of_two_callers_goes(void **state)
{
	struct fixture *f = *state;
	unsigned turns = turns_of_a_prepare(f);
	struct lab_call one, two;

	for (unsigned at = 0; at < turns; at++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		lab_prepare(&f->c, "a", NULL, &one);
		lab_prepare(&f->c, "a", NULL, &two);
		lab_turns(f->lab, at);
		lab_cancel(&one);
		expect_ok(f, &two); /* the other one is served all the same */
		assert_int_equal(lab_ledger_records(f->lab), 1);
		unprepare(f, "a");
		expect_nothing_left(f);
	}
}

static void cancelled_while_waiting(void **state)
{
	struct fixture *f = *state;
	struct lab_call a, b;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	prepare(f, "a", &a);
	lab_prepare(&f->c, "b", NULL, &b);
	lab_pass(f->lab, 3000);
	lab_cancel(&b);
	lab_pass(f->lab, 100);
	assert_int_equal(claims_waiting(f->c.claims), 0);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void a_slow_disk_and_a_caller_that_goes(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_disk_pause(f->disk, true);
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 5000);
	assert_false(call.done);
	/* No effect before the intent is on disk; what was written ahead no runtime reads. */
	assert_false(lab_cdi_exists(f->lab, "uid-a"));
	lab_cancel(&call);
	lab_pass(f->lab, 1000);
	lab_disk_pause(f->disk, false);
	expect_nothing_left(f);
}

static void unprepare_while_the_intent_is_being_stored(void **state)
{
	struct fixture *f = *state;
	struct lab_call call, undo;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_disk_pause(f->disk, true);
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 2000);
	lab_unprepare(&f->c, "a", NULL, &undo);
	lab_pass(f->lab, 2000);
	lab_disk_pause(f->disk, false);
	expect_ok(f, &undo);
	expect_error(f, &call, "unprepare", 1);
	assert_int_equal(lab_plans()->runs, 0);
	expect_nothing_left(f);
}

static void unprepare_while_devices_are_being_set_up(void **state)
{
	struct fixture *f = *state;
	struct lab_call call, undo;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_plans()->hold = true;
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 2000);
	assert_int_equal(lab_plans()->held_n, 1);
	lab_unprepare(&f->c, "a", NULL, &undo);
	lab_pass(f->lab, 2000);
	lab_plans_release();
	expect_ok(f, &undo);
	assert_true(call.done);
	assert_true(lab_plans()->undos > 0);
	expect_nothing_left(f);
}

static void cancelled_while_devices_are_being_set_up(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_plans()->hold = true;
	lab_prepare(&f->c, "a", NULL, &call);
	lab_pass(f->lab, 2000);
	lab_cancel(&call);
	lab_pass(f->lab, 1000);
	lab_plans_release();
	expect_nothing_left(f);
}

/* ---- what fails in the middle ---- */

static void a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	f->disk->fail = -ENOSPC;
	f->disk->fails = 1000;
	lab_prepare(&f->c, "a", NULL, &call);
	expect_error(f, &call, "No space left", DUE_MS);
	assert_true(f->disk->failed > 0);
	assert_int_equal(lab_plans()->runs, 0);
	expect_nothing_left(f);
	f->disk->fails = 0;
	lab_pass(f->lab, 60000); /* whatever the journal waits before it looks again */
	prepare(f, "a", &call);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void a_disk_that_fails_the_delete(void **state)
{
	struct fixture *f = *state;
	struct lab_call call, undo;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	f->disk->fail = -ENOSPC;
	f->disk->fails = 1000;
	lab_unprepare(&f->c, "a", NULL, &undo);
	expect_error(f, &undo, "No space left", DUE_MS);
	/* It is still held, and what its other pods need is there: the kubelet asks again. */
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	assert_true(lab_cdi_exists(f->lab, "uid-a"));
	f->disk->fails = 0;
	lab_pass(f->lab, 60000);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void the_device_refuses(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0,gpu-1");
	lab_plans()->run = -EIO;
	lab_prepare(&f->c, "a", NULL, &call);
	expect_error(f, &call, "the device refuses", SOON_MS);
	lab_plans()->run = 0;
	expect_nothing_left(f);
	prepare(f, "a", &call);
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void the_device_cannot_be_reset(void **state)
{
	struct fixture *f = *state;
	struct lab_call call, undo;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	lab_plans()->undo = -EIO;
	lab_unprepare(&f->c, "a", NULL, &undo);
	expect_error(f, &undo, "cannot be reset", SOON_MS);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	assert_int_equal(lab_ledger_records(f->lab), 1);
	lab_plans()->undo = 0;
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void no_cdi_folder(void **state)
{
	struct fixture *f = *state;
	char *away = lab_path(f->lab, "away");
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	assert_int_equal(rename(f->lab->cdi, away), 0);
	assert_int_equal(fsx_replace(f->lab->cdi, SV("in the way"), 0644, 0), 0);
	lab_prepare(&f->c, "a", NULL, &call);
	expect_error(f, &call, "cdi", SOON_MS);
	assert_int_equal(fsx_remove(f->lab->cdi), 0);
	assert_int_equal(rename(away, f->lab->cdi), 0);
	lab_pass(f->lab, 1000);
	unprepare(f, "a");
	expect_nothing_left(f);
	mem_free(away);
}

/* ---- restarts ---- */

static void prepared_claims_survive_a_restart(void **state)
{
	struct fixture *f = *state;
	struct lab_call call, other;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	prepare(f, "a", &call);
	restart(f);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	lab_prepare(&f->c, "b", NULL, &other);
	lab_pass(f->lab, 1000);
	assert_false(other.done); /* still a's */
	prepare(f, "a", &call);
	assert_string_equal(call.devices[0].device, "gpu-0");
	unprepare(f, "a");
	expect_ok(f, &other);
	unprepare(f, "b");
	expect_nothing_left(f);
}

static void a_lost_cdi_folder_is_rebuilt_at_start(void **state)
{
	struct fixture *f = *state;
	char *path = lab_path(f->lab, "cdi/k8s.gpu.nvidia.com-claim_uid-a.yaml");
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	lab_claims_stop(&f->c);
	lab_disk_restart(f->disk);
	assert_int_equal(fsx_remove(path), 0); /* a reboot empties /var/run */
	start(f);
	lab_pass(f->lab, 1000);
	assert_true(lab_cdi_exists(f->lab, "uid-a"));
	unprepare(f, "a");
	expect_nothing_left(f);
	mem_free(path);
}

static void killed_at_every_step(void **state)
{
	struct fixture *f = *state;
	unsigned turns = turns_of_a_prepare(f), recorded = 0;
	struct lab_call call;

	for (unsigned at = 0; at <= turns; at++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		lab_prepare(&f->c, "a", NULL, &call);
		lab_turns(f->lab, at);
		restart(f);
		lab_pass(f->lab, 100);
		/* No file without a record; a record means that the GPU is held. */
		recorded += lab_ledger_records(f->lab) > 0;
		assert_true(lab_cdi_count(f->lab) <= lab_ledger_records(f->lab));
		assert_true((claims_holder(f->c.claims, "GPU-0000") != NULL) ==
			    (lab_ledger_records(f->lab) > 0));
		if (at % 2) /* the kubelet asks again, or gives up */
			prepare(f, "a", &call);
		unprepare(f, "a");
		expect_nothing_left(f);
	}
	assert_true(recorded > 0 && recorded < turns);
}

static void killed_at_every_step_of_an_unprepare(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	for (unsigned at = 0; at < 12; at++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		prepare(f, "a", &call);
		lab_unprepare(&f->c, "a", NULL, &call);
		lab_turns(f->lab, at);
		restart(f);
		lab_pass(f->lab, 100);
		assert_true(lab_cdi_count(f->lab) <= lab_ledger_records(f->lab));
		unprepare(f, "a");
		expect_nothing_left(f);
	}
}

/* Flips a byte of the newest record's body. */
static void damage(struct fixture *f, const char *near)
{
	struct buf file;
	char *at;

	buf_init(&file, 1 << 20);
	assert_int_equal(fsx_read(f->lab->ledger, 1 << 20, &file), 0);
	at = memmem(file.data + file.start, buf_len(&file), near, strlen(near));
	assert_non_null(at);
	at[1] = (char)(at[1] ^ 0x20);
	assert_int_equal(fsx_replace(f->lab->ledger, buf_sv(&file), 0600, 0), 0);
	buf_done(&file);
}

static void see_quarantine(void *arg, const struct claim_info *i)
{
	*(bool *)arg = i->quarantined && !strcmp(i->uid, "uid-a");
}

static void a_corrupt_record_is_quarantined_until_unprepare(void **state)
{
	struct fixture *f = *state;
	bool quarantined = false;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	lab_claims_stop(&f->c);
	lab_disk_restart(f->disk);
	damage(f, "\"bootID\"");
	start(f);
	claims_each(f->c.claims, see_quarantine, &quarantined);
	assert_true(quarantined);
	lab_pass(f->lab, 100);
	assert_int_equal(lab_events(f->lab, "LedgerCorrupt", NULL), 1);
	unprepare(f, "a");
	quarantined = false;
	claims_each(f->c.claims, see_quarantine, &quarantined);
	assert_false(quarantined);
	expect_nothing_left(f);
	restart(f);
	expect_nothing_left(f);
}

static void a_quarantined_claim_can_be_prepared_again(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	prepare(f, "a", &call);
	lab_claims_stop(&f->c);
	lab_disk_restart(f->disk);
	damage(f, "\"bootID\"");
	start(f);
	prepare(f, "a", &call); /* the API server still knows what it was allocated */
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	restart(f);
	assert_string_equal(claims_holder(f->c.claims, "GPU-0000"), "uid-a");
	unprepare(f, "a");
	expect_nothing_left(f);
}

static void the_disk_worker_dies(void **state)
{
	struct fixture *f = *state;
	struct lab_call call;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	for (unsigned at = 0; at < 20; at++) {
		lab_prepare(&f->c, "a", NULL, &call);
		lab_turns(f->lab, at);
		lab_disk_kill(f->disk);
		wait_for(f, &call, DUE_MS);
		/* Told or waited out; in any case it works again when the worker is back. */
		lab_pass(f->lab, 60000);
		prepare(f, "a", &call);
		unprepare(f, "a");
		expect_nothing_left(f);
	}
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
		TEST(cancelled_at_every_step_leaves_nothing),
		TEST(unprepared_at_every_step_leaves_nothing),
		TEST(one_of_two_callers_goes),
		TEST(cancelled_while_waiting),
		TEST(a_slow_disk_and_a_caller_that_goes),
		TEST(unprepare_while_the_intent_is_being_stored),
		TEST(unprepare_while_devices_are_being_set_up),
		TEST(cancelled_while_devices_are_being_set_up),
		TEST(a_full_disk),
		TEST(a_disk_that_fails_the_delete),
		TEST(the_device_refuses),
		TEST(the_device_cannot_be_reset),
		TEST(no_cdi_folder),
		TEST(prepared_claims_survive_a_restart),
		TEST(a_lost_cdi_folder_is_rebuilt_at_start),
		TEST(killed_at_every_step),
		TEST(killed_at_every_step_of_an_unprepare),
		TEST(a_corrupt_record_is_quarantined_until_unprepare),
		TEST(a_quarantined_claim_can_be_prepared_again),
		TEST(the_disk_worker_dies),
		TEST(shutting_down_ends_waits),
		TEST(shutting_down_finishes_what_is_in_flight),
		TEST(shutting_down_while_fetching),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
