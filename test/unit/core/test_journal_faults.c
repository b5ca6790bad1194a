#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "test/unit/core/journal_lab.h"

/* When things break */

static void batch_survives_its_worker(void **state)
{
	static const enum inproc_fate fates[] = { INPROC_DIE_BEFORE, INPROC_DIE_AFTER,
						  INPROC_HANG };
	struct fixture *f = *state;
	uint64_t began, batches;
	size_t i;

	for (i = 0; i < ARRAY_LEN(fates); i++) {
		struct op *a, *b, *c;

		op(f, 0, "settled");
		until_idle(f);
		f->fate = fates[i];
		f->fate_method = JOURNAL_M_APPEND;
		f->fate_at = 1;
		began = loop_now_ms(f->loop);
		a = op(f, 1, "one");
		b = op(f, 2, i ? "" : "two");
		loop_turn(f->loop, 0);
		c = op(f, 3, "next batch");
		until_idle(f);
		assert_true(a->told && b->told && c->told);
		assert_int_equal(a->status | b->status | c->status, 0);
		same_as_model(f);
		if (fates[i] == INPROC_HANG)
			assert_true(loop_now_ms(f->loop) - began >= JOURNAL_DEADLINE_MS);
		else
			assert_true(loop_now_ms(f->loop) - began < 1000);
	}
	/* One lost process is not worth an alarm, a hanging disk is. */
	assert_int_equal(f->disk_calls, 2);
	assert_true(f->disk_ok);
	batches = journal_stats(f->j)->batches;
	assert_true(batches >= 7);
	assert_int_equal(f->images, 0);
}

static void caller_need_not_wait_for_a_hanging_disk(void **state)
{
	struct fixture *f = *state;
	struct op *a;

	f->fate = INPROC_HANG;
	f->fate_at = 1;
	a = op(f, 1, "x");
	pass_ms(f, 5000);
	journal_forget(f->j, a);
	until_idle(f);
	assert_false(a->told);
	memcpy(f->model[1], a->body, BODY);
	same_as_model(f);
}

static void failed_sync_is_answered_with_a_new_file(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;
	struct op *a, *b;

	op(f, 0, "old");
	until_idle(f);
	assert_int_equal(stat(f->path, &before), 0);
	faults_fail("fdatasync", 1, EIO);
	a = op(f, 1, "one");
	loop_turn(f->loop, 0);
	b = op(f, 0, "");
	pass_ms(f, 10);
	assert_false(f->disk_ok);
	assert_false(a->told || b->told); /* nobody knows yet */
	pass_ms(f, 60000);
	assert_false(a->told || b->told);
	assert_true(f->images >= 3); /* tried again and again, on fresh files */
	faults_off();
	until_idle(f);
	assert_int_equal(a->status | b->status, 0);
	assert_true(f->disk_ok);
	assert_int_equal(f->disk_calls, 2);
	assert_int_equal(stat(f->path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	same_as_model(f);
	op(f, 5, "goes on");
	until_idle(f);
	same_as_model(f);
}

static void rewrite_survives_its_worker(void **state)
{
	static const enum inproc_fate fates[] = { INPROC_DIE_BEFORE, INPROC_DIE_AFTER };
	struct fixture *f = *state;
	struct op *a;
	size_t i;
	int at;

	for (i = 0; i < ARRAY_LEN(fates); i++) {
		for (at = 1; at <= 3; at++) { /* BEGIN, DATA, END */
			op(f, 0, "old");
			until_idle(f);
			faults_fail("fdatasync", 1, EIO);
			a = op(f, 1, at & 1 ? "one" : "");
			pass_ms(f, 10);
			faults_off();
			f->fate = fates[i];
			f->fate_method = JOURNAL_M_REWRITE;
			f->fate_at = at;
			until_idle(f);
			assert_int_equal(f->fate_at, 0);
			assert_int_equal(a->status, 0);
			same_as_model(f);
		}
	}
}

static void removed_file_comes_back(void **state)
{
	struct fixture *f = *state;
	struct op *a;

	op(f, 1, "one");
	op(f, 2, "two");
	until_idle(f);
	unlink(f->path);
	a = op(f, 3, "three");
	until_idle(f);
	assert_int_equal(a->status, 0);
	same_as_model(f);
	assert_true(f->disk_ok);
}

/* Removed, and the worker died: the next one finds an empty place. */
static void removed_file_is_missed_by_a_new_worker(void **state)
{
	struct fixture *f = *state;
	struct op *a;

	op(f, 1, "one");
	until_idle(f);
	unlink(f->path);
	f->fate = INPROC_DIE_BEFORE;
	f->fate_at = 1;
	a = op(f, 2, "two");
	until_idle(f);
	assert_int_equal(a->status, 0);
	assert_true(f->images > 0);
	same_as_model(f);
}

/*
 * A full disk kept the new boot out of the file. Now a batch is lost with its worker, the next one
 * writes the boot and is lost too: what it wrote is no proof that the batch landed.
 */
static void facts_written_late_are_not_taken_for_a_batch(void **state)
{
	struct fixture *f = *state;
	struct op *a;

	op(f, 0, "old");
	until_idle(f);
	journal_free(&f->j);
	worker_free(&f->disk);
	start_disk(f);
	faults.limited = true; /* and nothing is left */
	assert_int_equal(open_as(f, "boot-2"), 0);
	while (!f->ready_calls)
		loop_turn(f->loop, -1);
	assert_int_equal(f->ready, 0);
	faults_off();
	f->fate = INPROC_DIE_BEFORE;
	f->fate_method = JOURNAL_M_APPEND;
	f->fate_at = 1;
	a = op(f, 1, "one");
	while (f->fate_at)
		loop_turn(f->loop, -1);
	f->fate = INPROC_DIE_AFTER;
	f->fate_method = JOURNAL_M_OPEN;
	f->fate_at = 1;
	until_idle(f);
	assert_int_equal(f->fate_at, 0);
	assert_int_equal(a->status, 0);
	same_as_model(f);
}

static void full_disk_fails_puts_only(void **state)
{
	struct fixture *f = *state;
	struct op *p1, *p2, *d;
	int i;

	op(f, 0, "old");
	op(f, 1, "old");
	until_idle(f);
	faults_fail("fallocate", 1, ENOSPC);
	for (i = 0; f->disk_ok && i < 100000; i++) { /* until the last step of growing is used up */
		journal_put(f->j, SV("key-9"), SV("fill"), NULL, NULL);
		until_idle(f);
	}
	assert_false(f->disk_ok);
	assert_non_null(strstr(journal_reason(f->j), "No space left"));
	memcpy(f->model[9], "fill", 5);
	p1 = op(f, 2, "refused");
	d = op(f, 0, "");
	p2 = op(f, 1, "refused too");
	until_idle(f);
	assert_int_equal(p1->status, -ENOSPC);
	assert_int_equal(p2->status, -ENOSPC);
	assert_int_equal(d->status, 0);
	assert_false(f->disk_ok); /* a DEL proves nothing */
	same_as_model(f);
	pass_ms(f, 60000);
	assert_false(f->disk_ok);
	assert_int_equal(f->disk_calls, 1);
	/* Space returns: known without anybody asking, within seconds. */
	faults_off();
	pass_ms(f, 6000);
	assert_true(f->disk_ok);
	p1 = op(f, 2, "accepted");
	until_idle(f);
	assert_int_equal(p1->status, 0);
	same_as_model(f);
	/* And then nothing ticks any more. */
	buf_clear(&f->methods);
	pass_ms(f, 600000);
	assert_string_equal(buf_cstr(&f->methods), "");
}

/* Everything at once */

/* Each call that can fail, once, under a load that also compacts. */
static void every_failing_call_ends_well(void **state)
{
	static const int codes[] = { EIO, ENOSPC };
	int at, calls = 0, step;
	size_t c, i;

	(void)state;
	for (c = 0; c < ARRAY_LEN(codes); c++) {
		for (at = 1; at == 1 || calls >= at; at++) {
			void *s = NULL;
			struct fixture *f;

			assert_int_equal(setup_open(&s), 0);
			f = s;
			fill_file(f);
			until_idle(f);
			faults_fail(NULL, at, codes[c]);
			for (step = 0; step < 6; step++) {
				op(f, step, "x");
				op(f, (step + 1) % 6, step % 2 ? "" : "y");
				loop_turn(f->loop, 0);
				loop_turn(f->loop, 0);
			}
			until_idle(f);
			calls = faults.calls;
			faults_off();
			for (i = 0; i < f->ops_n; i++)
				assert_true(f->ops[i]->status == 0 || f->ops[i]->status == -ENOSPC);
			op(f, 7, "last");
			until_idle(f);
			assert_int_equal(f->ops[f->ops_n - 1]->status, 0);
			assert_true(f->disk_ok);
			same_as_model(f);
			assert_int_equal(teardown(&s), 0);
		}
		assert_true(at > 10);
	}
}

static uint32_t dice(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % n;
}

/* One life with random records, random deaths and random failures. */
static void live(uint32_t seed)
{
	static const char *const calls[] = { "pwrite",	  "fdatasync", "fsync", "rename",
					     "fallocate", "ftruncate", NULL };
	struct fixture *f;
	void *s = NULL;
	char body[BODY];
	int step, i;

	assert_int_equal(setup_open(&s), 0);
	f = s;
	for (step = 0; step < 60; step++) {
		for (i = (int)dice(&seed, 6); i > 0; i--) {
			(void)snprintf(body, sizeof(body), "%d.%d", step, i);
			op(f, (int)dice(&seed, KEYS), dice(&seed, 3) ? body : "");
		}
		if (dice(&seed, 20) == 0)
			fill_file(f);
		if (dice(&seed, 5) == 0) {
			f->fate = (enum inproc_fate)(1 + dice(&seed, 3));
			f->fate_method = 0;
			f->fate_at = 1 + (int)dice(&seed, 4);
		}
		if (dice(&seed, 5) == 0)
			faults_fail(calls[dice(&seed, ARRAY_LEN(calls))], 1 + (int)dice(&seed, 5),
				    dice(&seed, 2) ? EIO : ENOSPC);
		for (i = (int)dice(&seed, 12); i > 0; i--)
			loop_turn(f->loop, 50);
		if (dice(&seed, 3) == 0)
			faults_off();
		if (dice(&seed, 40) == 0)
			(void)unlink(f->path);
	}
	faults_off();
	f->fate_at = 0;
	until_idle(f);
	pass_ms(f, 200000);
	assert_int_equal(f->told, f->ops_n);
	assert_true(f->disk_ok);
	same_as_model(f);
	assert_int_equal(teardown(&s), 0);
}

static uint32_t seed_now;

static void random_lives(void **state)
{
	const char *env = getenv("TEST_SEED");
	uint32_t from = env ? (uint32_t)strtoul(env, NULL, 10) : 1, n = env ? 1 : 80;

	(void)state;
	for (seed_now = from; seed_now < from + n; seed_now++)
		live(seed_now * 2654435761u);
	seed_now = 0;
}

static int tell_seed(void **state)
{
	(void)state;
	if (seed_now)
		print_message("again: TEST_SEED=%u\n", seed_now);
	return 0;
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup_open, teardown)
	const struct CMUnitTest tests[] = {
		T(batch_survives_its_worker),
		T(caller_need_not_wait_for_a_hanging_disk),
		T(failed_sync_is_answered_with_a_new_file),
		T(rewrite_survives_its_worker),
		T(removed_file_comes_back),
		T(removed_file_is_missed_by_a_new_worker),
		T(facts_written_late_are_not_taken_for_a_batch),
		T(full_disk_fails_puts_only),
		cmocka_unit_test(every_failing_call_ends_well),
		cmocka_unit_test_teardown(random_lives, tell_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
