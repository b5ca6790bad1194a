/*
 * Claims that are cut short, at every step: callers go away, disks and devices fail, the process is
 * killed. Nothing is lost, and nothing is left.
 */
#include "test/unit/k8s/claim_world.h"

#include "core/fsx.h"
#include "core/journal_disk.h"

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
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
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
