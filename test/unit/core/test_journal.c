#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "test/unit/core/journal_lab.h"

/* The ordinary */

static void records_are_on_disk_when_told(void **state)
{
	struct fixture *f = *state;
	struct op *a, *b, *c;

	a = op(f, 1, "one");
	b = op(f, 2, "two");
	c = op(f, 1, "");
	assert_false(journal_idle(f->j));
	assert_false(a->told);
	until_idle(f);
	assert_true(a->told && b->told && c->told);
	assert_int_equal(a->status | b->status | c->status, 0);
	same_as_model(f);
	assert_int_equal(journal_stats(f->j)->batches, 1);
	assert_int_equal(journal_stats(f->j)->records, 3);
	assert_int_equal(journal_stats(f->j)->live, 1);
	assert_int_equal(journal_stats(f->j)->failures, 0);
	assert_int_equal(f->disk_calls, 0);
	assert_string_equal(buf_cstr(&f->methods), "A");
}

struct chain {
	struct fixture *f;
	int left;
};

static void on_chain(void *arg, int status)
{
	struct chain *c = arg;
	int i;

	assert_int_equal(status, 0);
	for (i = 0; c->left && i < 3; i++, c->left--)
		op(c->f, c->left % KEYS, "x");
}

static void a_turn_is_one_batch(void **state)
{
	struct fixture *f = *state;
	struct chain c = { .f = f, .left = 3 };
	int i;

	faults_off();
	for (i = 0; i < 100; i++)
		op(f, i % KEYS, "x");
	loop_turn(f->loop, 0);
	/* On its way; these gather for the next one. */
	for (i = 0; i < 50; i++)
		op(f, i % KEYS, "y");
	loop_turn(f->loop, 0);
	op(f, 3, "z");
	until_idle(f);
	assert_int_equal(f->told, 151);
	assert_int_equal(journal_stats(f->j)->batches, 2);
	assert_int_equal(faults.syncs, 2);
	assert_string_equal(f->model[3], "z");
	same_as_model(f);
	/* What callbacks add in one turn is one batch too. */
	journal_put(f->j, SV("chain"), SV("1"), on_chain, &c);
	until_idle(f);
	assert_int_equal(journal_stats(f->j)->batches, 4);
}

static void big_queue_is_several_batches(void **state)
{
	struct fixture *f = *state;
	char *body = mem_zalloc(JOURNAL_BODY_MAX);
	int i;

	for (i = 0; i < 40; i++)
		journal_put(f->j, SV("big"), sv_make(body, JOURNAL_BODY_MAX), NULL, NULL);
	until_idle(f);
	assert_int_equal(journal_stats(f->j)->batches, 10); /* 10 MB in steps of 1 */
	mem_free(body);
}

static void limits_are_told(void **state)
{
	struct fixture *f = *state;
	char *body = mem_zalloc(JOURNAL_BODY_MAX + 1), key[JOURNAL_KEY_MAX];
	struct op *o = MEM_NEW(struct op), *last = MEM_NEW(struct op);
	size_t i, fit = JOURNAL_QUEUE_MAX / (JOURNAL_BODY_MAX + JOURNAL_HEAD + JOURNAL_KEY_MAX);

	memset(key, 'k', sizeof(key));
	o->f = last->f = f;
	f->ops[f->ops_n++] = o;
	f->ops[f->ops_n++] = last;
	f->in_call = true;
	journal_put(f->j, SV("k"), sv_make(body, JOURNAL_BODY_MAX + 1), on_told, o);
	for (i = 0; i < fit; i++)
		journal_put(f->j, sv_make(key, sizeof(key)), sv_make(body, JOURNAL_BODY_MAX), NULL,
			    NULL);
	journal_put(f->j, sv_make(key, sizeof(key)), sv_make(body, JOURNAL_BODY_MAX), on_told,
		    last);
	f->in_call = false;
	until_idle(f);
	assert_int_equal(o->status, -E2BIG);
	assert_int_equal(last->status, -ENOBUFS);
	assert_int_equal(journal_stats(f->j)->records, fit);
	mem_free(body);
}

static void forgotten_callbacks_are_not_made(void **state)
{
	struct fixture *f = *state;
	struct op *a, *b, *c;

	a = op(f, 1, "queued");
	journal_forget(f->j, a);
	loop_turn(f->loop, 0);
	b = op(f, 2, "in flight");
	loop_turn(f->loop, 0);
	journal_forget(f->j, b);
	c = op(f, 3, "told");
	until_idle(f);
	assert_false(a->told || b->told);
	assert_true(c->told);
	/* Written they are. */
	memcpy(f->model[1], a->body, BODY);
	memcpy(f->model[2], b->body, BODY);
	same_as_model(f);
}

/* Opening */

static void opening_replays_first(void **state)
{
	struct fixture *f = *state;

	op(f, 1, "one");
	op(f, 2, "two");
	until_idle(f);
	journal_free(&f->j);
	assert_int_equal(open_journal(f), 0);
	assert_string_equal(buf_cstr(&f->text), "key-1=one key-2=two ");
	assert_int_equal(f->ready_calls, 0);
	/* Accepted before it is open. */
	op(f, 3, "early");
	until_idle(f);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, 0);
	assert_int_equal(f->opened.live, 2);
	same_as_model(f);
}

static void opening_fails_at_once_without_a_journal_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fsx_replace(f->path, SV("{}"), 0600, 0), 0);
	assert_int_equal(open_journal(f), -EBADMSG);
	assert_null(f->j);
	assert_int_equal(f->proc.starts, 0);
}

static void opening_that_cannot_succeed_is_told_once(void **state)
{
	struct fixture *f = *state;
	struct op *o;

	(void)snprintf(f->path, sizeof(f->path), "%s/none/ledger", f->root);
	assert_int_equal(open_journal(f), 0);
	o = op(f, 1, "never");
	pass_ms(f, 1000);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, -ENOENT);
	assert_non_null(strstr(journal_reason(f->j), "No such file"));
	assert_int_equal(o->status, -ENODEV);
	o = op(f, 1, "nor this");
	pass_ms(f, 100000);
	assert_int_equal(o->status, -ENODEV);
	assert_int_equal(f->ready_calls, 1);
	assert_true(journal_idle(f->j));
}

static struct journal_disk *holder(struct fixture *f)
{
	struct journal_disk *d = journal_disk_new();
	struct buf in, out;

	buf_init(&in, 1000);
	buf_init(&out, 1000);
	journal_disk_put_open(&in, f->path, "boot-1", "other", JOURNAL_ANY);
	assert_int_equal(journal_disk_methods[0].fn(d, buf_sv(&in), 0, &out), 0);
	buf_done(&in);
	buf_done(&out);
	return d;
}

static void opening_waits_for_a_dying_predecessor(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = holder(f);

	assert_int_equal(open_journal(f), 0);
	op(f, 1, "patient");
	pass_ms(f, 20000);
	assert_int_equal(f->ready_calls, 0);
	journal_disk_free(&other);
	until_idle(f);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, 0);
	same_as_model(f);
}

static void opening_does_not_wait_for_ever(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = holder(f);

	assert_int_equal(open_journal(f), 0);
	pass_ms(f, 40000);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, -EAGAIN);
	journal_disk_free(&other);
	journal_free(&f->j);
	assert_int_equal(open_journal(f), 0);
	pass_ms(f, 1000);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, 0);
}

static void write_between_replay_and_opening_is_told(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = holder(f);
	struct buf b;

	assert_int_equal(open_journal(f), 0); /* replayed now */
	buf_init(&b, 1000);
	journal_put_record(&b, 3, JOURNAL_PUT, SV("late"), SV("1"));
	journal_put_commit(&b, 3, 1);
	assert_int_equal(journal_disk_methods[1].fn(other, buf_sv(&b), 0, &f->text), 0);
	buf_done(&b);
	journal_disk_free(&other);
	pass_ms(f, 5000);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, -ESTALE);
	journal_free(&f->j);
	assert_int_equal(open_journal(f), 0);
	assert_string_equal(buf_cstr(&f->text), "late=1 ");
	pass_ms(f, 1000);
	assert_int_equal(f->ready, 0);
}

/* Says the same with fewer bytes: no reason to begin anew. */
static void compaction_between_replay_and_opening_is_fine(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = holder(f);
	struct buf b;
	uint64_t seq;

	buf_init(&b, 10000);
	for (seq = 3; seq < 20; seq++) {
		buf_clear(&b);
		journal_put_record(&b, seq, JOURNAL_PUT, SV("key-1"), SV("x"));
		journal_put_commit(&b, seq, 1);
		buf_clear(&f->text);
		assert_int_equal(journal_disk_methods[1].fn(other, buf_sv(&b), 0, &f->text), 0);
	}
	assert_int_equal(open_journal(f), 0);
	assert_string_equal(buf_cstr(&f->text), "key-1=x ");
	buf_clear(&b);
	assert_int_equal(journal_disk_methods[2].fn(other, SV_NONE, 0, &b), 0);
	buf_done(&b);
	journal_disk_free(&other);
	memcpy(f->model[1], "x", 2);
	op(f, 2, "y");
	until_idle(f);
	assert_int_equal(f->ready, 0);
	same_as_model(f);
}

static void worker_that_dies_while_opening_is_replaced(void **state)
{
	struct fixture *f = *state;

	f->fate = INPROC_DIE_AFTER;
	f->fate_at = 1;
	assert_int_equal(open_journal(f), 0);
	op(f, 1, "x");
	until_idle(f);
	assert_int_equal(f->ready_calls, 1);
	assert_int_equal(f->ready, -ESTALE); /* it had made the file: begin anew */
	journal_free(&f->j);
	assert_int_equal(open_journal(f), 0);
	op(f, 1, "x");
	until_idle(f);
	assert_int_equal(f->ready, 0);
	same_as_model(f);
}

static void freed_journal_lets_go_of_the_file(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other;

	op(f, 1, "on its way");
	loop_turn(f->loop, 0);
	journal_free(&f->j);
	pass_ms(f, 100);
	other = holder(f); /* would fail while it is held */
	journal_disk_free(&other);
	assert_int_equal(f->told, 0);
	/* A worker that is not there is not started for it. */
	worker_free(&f->disk);
}

/* Compaction */

static void garbage_is_compacted(void **state)
{
	struct fixture *f = *state;

	fill_file(f);
	until_idle(f);
	pass_ms(f, 100);
	assert_int_equal(journal_stats(f->j)->compactions, 1);
	assert_true(journal_stats(f->j)->size < 1000);
	assert_int_equal(f->images, 0); /* the worker's own business */
	same_as_model(f);
	buf_clear(&f->methods);
	op(f, 2, "x");
	until_idle(f);
	pass_ms(f, 100000);
	assert_string_equal(buf_cstr(&f->methods), "A");
}

/* 200 keys of 1 kB live, the rest garbage: pieces and batches take turns. */
static void batches_go_between_pieces(void **state)
{
	struct fixture *f = *state;
	char *body = mem_zalloc(1000), key[16];
	int i, k;

	for (k = 0; k < 5; k++) {
		for (i = 0; i < 200; i++) {
			(void)snprintf(key, sizeof(key), "big-%d", i);
			journal_put(f->j, sv_str(key), sv_make(body, 1000), NULL, NULL);
		}
		if (k < 4)
			until_idle(f);
	}
	buf_clear(&f->methods);
	/* Somebody writes all the time. */
	for (i = 0; i < 40; i++) {
		op(f, 3, "x");
		op(f, 4, i % 2 ? "" : "y");
		loop_turn(f->loop, 0);
		loop_turn(f->loop, 0);
	}
	until_idle(f);
	pass_ms(f, 100);
	assert_int_equal(journal_stats(f->j)->compactions, 1);
	/* Never two pieces in a row while a batch waits: in this test one always does. */
	assert_null(strstr(buf_cstr(&f->methods), "CCA"));
	assert_non_null(strstr(buf_cstr(&f->methods), "ACACA"));
	assert_int_equal(journal_stats(f->j)->live, 201 + (f->model[4][0] != 0));
	mem_free(body);
}

static void compaction_survives_its_worker(void **state)
{
	struct fixture *f = *state;
	struct op *a;

	f->fate = INPROC_DIE_AFTER;
	f->fate_method = JOURNAL_M_COMPACT;
	f->fate_at = 1;
	fill_file(f);
	until_idle(f);
	pass_ms(f, 100);
	a = op(f, 2, "x");
	until_idle(f);
	assert_int_equal(a->status, 0);
	same_as_model(f);
	assert_true(f->disk_ok);
}

static void failed_compaction_is_not_hurried(void **state)
{
	struct fixture *f = *state;
	size_t tries = 0, i;

	faults_fail("rename", 1, EIO);
	fill_file(f);
	until_idle(f);
	for (i = 0; i < 100; i++) {
		op(f, 2, "x");
		until_idle(f);
	}
	for (i = 0; i < buf_len(&f->methods); i++)
		tries += buf_sv(&f->methods).p[i] == 'C';
	assert_int_equal(tries, 1);
	assert_true(f->disk_ok);
	faults_off();
	pass_ms(f, 61000);
	op(f, 2, "");
	until_idle(f);
	pass_ms(f, 100);
	assert_int_equal(journal_stats(f->j)->compactions, 1);
	same_as_model(f);
}

int main(void)
{
#define T(fn)	   cmocka_unit_test_setup_teardown(fn, setup_open, teardown)
#define CLOSED(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(records_are_on_disk_when_told),
		T(a_turn_is_one_batch),
		T(big_queue_is_several_batches),
		T(limits_are_told),
		T(forgotten_callbacks_are_not_made),
		T(opening_replays_first),
		CLOSED(opening_fails_at_once_without_a_journal_there),
		CLOSED(opening_that_cannot_succeed_is_told_once),
		CLOSED(opening_waits_for_a_dying_predecessor),
		CLOSED(opening_does_not_wait_for_ever),
		CLOSED(write_between_replay_and_opening_is_told),
		CLOSED(compaction_between_replay_and_opening_is_fine),
		CLOSED(worker_that_dies_while_opening_is_replaced),
		T(freed_journal_lets_go_of_the_file),
		T(garbage_is_compacted),
		T(batches_go_between_pieces),
		T(compaction_survives_its_worker),
		T(failed_compaction_is_not_hurried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
