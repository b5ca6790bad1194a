/* The table of claims over a ledger that says what it should not. */
#include "k8s/claim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/journal_format.h"
#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { SOON_MS = 1000 };

static bool ledger_is_open(void *arg)
{
	return ledger_state(claims_ledger(((struct lab_claims *)arg)->claims)) == LEDGER_OPEN;
}

/* The ledger's file, made anew with a record for each of the names, all of GPU 0. */
static void records_of_one_gpu(struct lab *lab, const char *const *names, size_t n, bool admin)
{
	struct buf file, body;

	buf_init(&file, 8 << 20);
	buf_init(&body, 1 << 16);
	journal_put_header(&file, SV("boot-1"));
	for (size_t i = 0; i < n; i++) {
		char uid[32], name[16], request[] = "r0", pool[] = LAB_NODE, boot[] = "boot-1";
		char ns[] = "default", device[] = "gpu-0", identity[] = "GPU-0000";
		struct ledger_device d = { .request = request,
					   .pool = pool,
					   .device = device,
					   .identity = identity,
					   .admin = admin };
		const struct ledger_claim c = { .uid = uid,
						.namespace = ns,
						.name = name,
						.devices = &d,
						.devices_n = 1,
						.boot_id = boot };

		snprintf(uid, sizeof(uid), "uid-%s", names[i]);
		snprintf(name, sizeof(name), "%s", names[i]);
		buf_clear(&body);
		ledger_encode(&c, &body);
		journal_put_record(&file, i + 1, JOURNAL_PUT, sv_str(uid), buf_sv(&body));
	}
	journal_put_commit(&file, n, (uint32_t)n);
	assert_int_equal(fsx_replace(lab->ledger, buf_sv(&file), 0600, 0), 0);
	buf_done(&file);
	buf_done(&body);
}

static void unprepare(struct lab_claims *c, const char *name)
{
	struct lab_call call;

	lab_unprepare(c, name, NULL, &call);
	assert_true(lab_until_true(c->lab, &call.done, SOON_MS));
	assert_int_equal(call.status, 0);
}

/* What must not be, and was: both keep their GPU, and a third claim gets it after the last. */
static void two_records_for_one_gpu(void **state)
{
	static const char *const names[] = { "a", "b" };

	(void)state;
	for (size_t first = 0; first < 2; first++) {
		struct lab *lab = lab_new(1, 1);
		struct lab_claims c;
		struct lab_call call;
		char *folder = lab_path(lab, "plugins/" LAB_DRIVER);

		assert_true(fsx_mkdirs(folder, 0755) >= 0);
		records_of_one_gpu(lab, names, 2, false);
		lab_claims_start(&c, lab, lab_disk_new(lab), "one");
		assert_true(lab_until(lab, ledger_is_open, &c, SOON_MS));
		assert_int_equal(claims_prepared(c.claims), 2);
		lab_claim(lab, "c", NULL, "gpu-0");
		lab_prepare(&c, "c", NULL, &call);
		lab_pass(lab, 500);
		unprepare(&c, names[first]);
		lab_pass(lab, 500);
		assert_false(call.done);
		unprepare(&c, names[!first]);
		assert_true(lab_until_true(lab, &call.done, SOON_MS));
		assert_string_equal(call.error, "");
		assert_string_equal(claims_holder(c.claims, "GPU-0000"), "uid-c");
		lab_claims_stop(&c);
		mem_free(folder);
		lab_free(&lab);
	}
}

/*
 * More records than a turn writes: the image of a new file takes several, and what ends meanwhile
 * is not in the file that comes of it, and nothing else is missing.
 */
static void new_file_of_many(void **state)
{
	enum { MANY = 1300 };
	struct lab *lab = lab_new(1, 1);
	struct lab_disk *disk = lab_disk_new(lab);
	struct lab_call calls[3];
	struct lab_claims c;
	char *folder _mem_free_ = lab_path(lab, "plugins/" LAB_DRIVER);
	char text[MANY][16];
	const char *names[MANY];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof(text[i]), "n%zu", i);
		names[i] = text[i];
	}
	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	records_of_one_gpu(lab, names, MANY, true);
	lab_claims_start(&c, lab, disk, "one");
	assert_true(lab_until(lab, ledger_is_open, &c, SOON_MS));
	lab_pass(lab, 10000); /* what is derived is made again */
	disk->fail = JOURNAL_UNTRUSTED;
	disk->fail_method = JOURNAL_M_APPEND;
	disk->fails = 1;
	lab_unprepare(&c, "n3", NULL, &calls[0]);
	while (!disk->failed)
		lab_turns(lab, 1);
	/* Nothing more is asked of the disk before the image is whole. */
	lab_unprepare(&c, "n1299", NULL, &calls[1]);
	lab_unprepare(&c, "n0", NULL, &calls[2]);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_true(lab_until_true(lab, &calls[i].done, 10 * SOON_MS));
		assert_string_equal(calls[i].error, "");
	}
	assert_int_equal(claims_prepared(c.claims), MANY - 3);
	lab_claims_stop(&c);
	lab_claims_start(&c, lab, lab_disk_new(lab), "one");
	assert_true(lab_until(lab, ledger_is_open, &c, SOON_MS));
	assert_int_equal(claims_prepared(c.claims), MANY - 3);
	lab_claims_stop(&c);
	lab_free(&lab);
}

/* From a disk that is not trusted any more to the first request of the new file. */
static unsigned turns_of_a_new_file(size_t records)
{
	struct lab *lab = lab_new(1, 1);
	struct lab_disk *disk = lab_disk_new(lab);
	char *folder _mem_free_ = lab_path(lab, "plugins/" LAB_DRIVER);
	char(*texts)[24] = mem_calloc(records, sizeof(*texts));
	const char **names = mem_calloc(records, sizeof(const char *));
	struct lab_claims c;
	struct lab_call call;
	unsigned turns = 0, asked;

	for (size_t i = 0; i < records; i++) {
		snprintf(texts[i], sizeof(texts[i]), "n%zu", i);
		names[i] = texts[i];
	}
	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	records_of_one_gpu(lab, names, records, true);
	lab_claims_start(&c, lab, disk, "one");
	assert_true(lab_until(lab, ledger_is_open, &c, SOON_MS));
	lab_pass(lab, 10000);
	disk->fail = JOURNAL_UNTRUSTED;
	disk->fail_method = JOURNAL_M_APPEND;
	disk->fails = 1;
	lab_unprepare(&c, "n0", NULL, &call);
	while (!disk->failed)
		lab_turns(lab, 1);
	for (asked = disk->requests; disk->requests == asked && turns < 1000; turns++)
		(void)loop_turn(lab->loop, 1000);
	assert_true(lab_until_true(lab, &call.done, 10 * SOON_MS));
	lab_claims_stop(&c);
	mem_free(texts);
	mem_free(names);
	lab_free(&lab);
	return turns;
}

/* Ten thousand records take the loop 20 ms: whoever else waits has its turn after each 500. */
static void a_new_file_is_made_in_several_turns(void **state)
{
	(void)state;
	assert_int_equal(turns_of_a_new_file(504), turns_of_a_new_file(498) + 1);
}

enum { CLAIMS = 100 };

/* All are in the ledger, and none has a spec. */
static void start_with_many(struct lab_claims *c, struct lab *lab)
{
	static char texts[CLAIMS][8];
	const char *names[CLAIMS];
	char *folder _mem_free_ = lab_path(lab, "plugins/" LAB_DRIVER);

	for (size_t i = 0; i < CLAIMS; i++) {
		snprintf(texts[i], sizeof(texts[i]), "c%zu", i);
		names[i] = texts[i];
	}
	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	records_of_one_gpu(lab, names, CLAIMS, true);
	lab_claims_start(c, lab, lab_disk_new(lab), "one");
	assert_true(lab_until(lab, ledger_is_open, c, SOON_MS));
}

/*
 * The next instance unprepares what it likes from the moment that it has the ledger: a spec that is
 * written behind that by the one before stays for ever.
 */
static void who_has_no_ledger_repairs_nothing(void **state)
{
	struct lab *lab = lab_new(1, 1);
	struct lab_claims c;
	char *handover _mem_free_ = lab_path(lab, "plugins/" LAB_DRIVER "/ledger.handover");
	size_t then;

	(void)state;
	start_with_many(&c, lab);
	assert_int_equal(fsx_replace(handover, SV("two\n"), 0600, 0), 0);
	for (int i = 0; i < 100 && ledger_is_open(&c); i++)
		lab_turns(lab, 1);
	assert_false(ledger_is_open(&c));
	then = lab_cdi_count(lab);
	assert_true(then < CLAIMS); /* it was in the middle of it */
	lab_turns(lab, 100);
	assert_int_equal(lab_cdi_count(lab), then);
	lab_claims_stop(&c);
	lab_free(&lab);
}

/* Ten thousand of them must not stop the loop: the callers of that time wait for a few. */
static void specs_are_made_anew_a_few_at_a_time(void **state)
{
	enum { AT_ONCE = 8 };
	struct lab *lab = lab_new(1, 1);
	struct lab_claims c;
	size_t before = 0, now;

	(void)state;
	start_with_many(&c, lab);
	for (int i = 0; i < CLAIMS && before < CLAIMS; i++) {
		lab_turns(lab, 1);
		now = lab_cdi_count(lab);
		assert_in_range(now, before, before + AT_ONCE);
		before = now;
	}
	assert_int_equal(before, CLAIMS);
	lab_claims_stop(&c);
	lab_free(&lab);
}

/* The ledger is open in milliseconds, the GPUs' driver may need minutes after a boot. */
static void specs_are_made_anew_when_the_gpus_come(void **state)
{
	static const char *const names[] = { "a", "b" };
	struct lab *lab = lab_new(1, 1);
	struct lab_claims c;
	char *folder _mem_free_ = lab_path(lab, "plugins/" LAB_DRIVER);

	(void)state;
	snprintf(lab->gpus.no_driver, sizeof(lab->gpus.no_driver), "not loaded yet");
	lab_rescan(lab);
	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	records_of_one_gpu(lab, names, 2, true);
	lab_claims_start(&c, lab, lab_disk_new(lab), "one");
	assert_true(lab_until(lab, ledger_is_open, &c, SOON_MS));
	lab_pass(lab, 60000);
	assert_int_equal(lab_cdi_count(lab), 0);
	lab->gpus.no_driver[0] = '\0';
	lab_rescan(lab);
	lab_pass(lab, SOON_MS);
	assert_int_equal(lab_cdi_count(lab), 2);
	lab_claims_stop(&c);
	lab_free(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_records_for_one_gpu),
		cmocka_unit_test(new_file_of_many),
		cmocka_unit_test(a_new_file_is_made_in_several_turns),
		cmocka_unit_test(who_has_no_ledger_repairs_nothing),
		cmocka_unit_test(specs_are_made_anew_a_few_at_a_time),
		cmocka_unit_test(specs_are_made_anew_when_the_gpus_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
