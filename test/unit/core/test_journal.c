#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <dirent.h>

#include "core/fsx.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/lib/faults.h"
#include "test/lib/inproc.h"

/*
 * The writer with a real disk part in an in-process worker, on virtual time and a real file. The
 * fixture keeps a model: what was acknowledged. At the end the file must say the same.
 */
enum { KEYS = 64, BODY = 32 };

struct op {
	struct fixture *f;
	int key;
	char body[BODY]; /* "" = delete */
	int status;
	bool told;
};

struct fixture {
	struct loop *loop;
	struct inproc proc;
	struct worker *disk;
	struct journal *j;
	char path[128], root[64];
	char model[KEYS][BODY]; /* acknowledged */
	struct op *ops[4096];
	size_t ops_n;
	size_t told; /* in order: ops[told] is next */
	int ready, ready_calls, disk_calls, images;
	bool disk_ok;
	struct journal_scan_result opened;
	struct buf text, methods;
	enum inproc_fate fate; /* of the request number fate_at with fate_method */
	uint16_t fate_method;
	int fate_at;
	bool in_call;
};

static enum inproc_fate decide(void *arg, uint16_t method)
{
	static const char letters[] = "?OACRWX";
	struct fixture *f = arg;

	buf_putc(&f->methods, letters[method]);
	if (f->fate_at && (!f->fate_method || f->fate_method == method) && --f->fate_at == 0)
		return f->fate;
	return INPROC_SERVE;
}

static void *ctx_new(void *arg)
{
	(void)arg;
	return journal_disk_new();
}

static void ctx_free(void *ctx)
{
	struct journal_disk *d = ctx;

	journal_disk_free(&d);
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static void put_state(struct fixture *f, struct journal *j)
{
	char key[16];
	int i;

	f->images++;
	for (i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "key-%d", i);
		if (f->model[i][0])
			journal_put_live(j, sv_str(key), sv_str(f->model[i]));
	}
}

static void on_compact(void *arg, struct journal *j)
{
	put_state(arg, j);
}

static void on_disk(void *arg, const struct err *e)
{
	struct fixture *f = arg;

	assert_true(f->disk_ok == (e != NULL)); /* only changes are told */
	f->disk_ok = !e;
	f->disk_calls++;
	if (e)
		assert_true(strlen(e->text) > 0);
}

static void on_ready(void *arg, int status, const struct journal_scan_result *r)
{
	struct fixture *f = arg;

	f->ready = status;
	f->ready_calls++;
	f->opened = *r;
}

static void replay_put(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static void replay_corrupt(void *arg, struct sv key)
{
	buf_printf(arg, "!" SV_FMT " ", SV_ARG(key));
}

static int open_journal(struct fixture *f)
{
	struct journal_conf conf = { .path = f->path,
				     .boot_id = "boot-1",
				     .disk = f->disk,
				     .on_compact = on_compact,
				     .on_disk = on_disk,
				     .arg = f };
	struct journal_scan_events ev = { .on_put = replay_put,
					  .on_corrupt = replay_corrupt,
					  .arg = &f->text };
	struct err e = { "" };

	buf_clear(&f->text);
	f->ready_calls = 0;
	f->disk_ok = true;
	return journal_open(f->loop, &conf, &ev, on_ready, f, &f->j, &e);
}

/* Each step of the loop while `more` says so, at most `ms` of virtual time. */
static void nothing(void *arg)
{
	(void)arg;
}

static void pass_ms(struct fixture *f, uint64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, f->loop, nothing, NULL);
	loop_timer_set(&t, ms);
	while (loop_timer_armed(&t))
		loop_turn(f->loop, -1);
}

static void until_idle(struct fixture *f)
{
	int i;

	for (i = 0; !journal_idle(f->j) && i < 100000; i++)
		loop_turn(f->loop, -1);
	assert_true(journal_idle(f->j));
}

static int setup(void **state)
{
	static struct fixture f;
	struct worker_host host;

	faults_off();
	log_capture(swallow, NULL);
	f = (struct fixture){ .loop = loop_new_virtual(1000000, 7) };
	(void)snprintf(f.root, sizeof(f.root), "/tmp/test_journal.XXXXXX");
	if (!mkdtemp(f.root))
		return -1;
	(void)snprintf(f.path, sizeof(f.path), "%s/ledger", f.root);
	buf_init(&f.text, 1 << 20);
	buf_init(&f.methods, 1 << 20);
	f.proc = (struct inproc){ .loop = f.loop,
				  .methods = journal_disk_methods,
				  .methods_n = journal_disk_methods_n,
				  .ctx_new = ctx_new,
				  .ctx_free = ctx_free,
				  .fate = decide,
				  .arg = &f };
	host = inproc_host(&f.proc);
	f.disk = worker_new(f.loop, &host, "disk");
	*state = &f;
	return 0;
}

static int remove_entry(void *arg, const char *name)
{
	char p[600];

	(void)snprintf(p, sizeof(p), "%s/%s", (const char *)arg, name);
	return unlink(p);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	size_t i;

	faults_off();
	journal_free(&f->j);
	journal_free(&f->j);
	worker_free(&f->disk);
	for (i = 0; i < f->ops_n; i++)
		mem_free(f->ops[i]);
	buf_done(&f->text);
	buf_done(&f->methods);
	loop_free(&f->loop);
	log_capture(NULL, NULL);
	return fsx_list(f->root, remove_entry, f->root) ?: rmdir(f->root);
}

/* A fixture whose journal is open. */
static int setup_open(void **state)
{
	struct fixture *f;

	if (setup(state))
		return -1;
	f = *state;
	if (open_journal(f))
		return -1;
	while (!f->ready_calls)
		loop_turn(f->loop, -1);
	buf_clear(&f->methods);
	return f->ready;
}

static void on_told(void *arg, int status)
{
	struct op *o = arg;
	struct fixture *f = o->f;

	assert_false(f->in_call);
	assert_false(o->told);
	o->told = true;
	o->status = status;
	f->told++;
	if (!status)
		memcpy(f->model[o->key], o->body, BODY);
}

static struct op *op(struct fixture *f, int key, const char *body)
{
	struct op *o = MEM_NEW(struct op);
	char name[16];

	must(f->ops_n < ARRAY_LEN(f->ops));
	f->ops[f->ops_n++] = o;
	o->f = f;
	o->key = key;
	(void)snprintf(o->body, BODY, "%s", body);
	(void)snprintf(name, sizeof(name), "key-%d", key);
	f->in_call = true;
	if (body[0])
		journal_put(f->j, sv_str(name), sv_str(o->body), on_told, o);
	else
		journal_del(f->j, sv_str(name), on_told, o);
	f->in_call = false;
	return o;
}

/* The file against the model. */
static void same_as_model(struct fixture *f)
{
	struct journal_scan_events ev = { .on_put = replay_put,
					  .on_corrupt = replay_corrupt,
					  .arg = &f->text };
	struct journal_scan_result r;
	struct err e = { "" };
	char want[64];
	size_t i, n = 0;

	buf_clear(&f->text);
	if (journal_read(f->path, &ev, &r, &e))
		fail_msg("%s", e.text);
	assert_int_equal(r.corrupt, 0);
	for (i = 0; i < KEYS; i++) {
		if (!f->model[i][0])
			continue;
		n++;
		(void)snprintf(want, sizeof(want), "key-%zu=%s ", i, f->model[i]);
		if (!strstr(buf_cstr(&f->text), want))
			fail_msg("%s is not in: %s", want, buf_cstr(&f->text));
	}
	assert_int_equal(r.live, n);
}

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
	assert_int_equal(journal_stats(f->j)->batches, 3); /* 10 MB in steps of 4 */
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
	journal_disk_put_open(&in, f->path, "boot-1", "other", JOURNAL_ANY, JOURNAL_ANY);
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

/* Compaction */

static void on_filled(void *arg, int status)
{
	struct fixture *f = arg;

	if (!status)
		memcpy(f->model[1], "garbage", 8);
}

/* 80 kB, of which 40 bytes are alive. */
static void fill_file(struct fixture *f)
{
	int i;

	for (i = 0; i < 2000; i++)
		journal_put(f->j, SV("key-1"), SV("garbage"), on_filled, f);
}

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
		CLOSED(worker_that_dies_while_opening_is_replaced),
		T(freed_journal_lets_go_of_the_file),
		T(batch_survives_its_worker),
		T(caller_need_not_wait_for_a_hanging_disk),
		T(failed_sync_is_answered_with_a_new_file),
		T(rewrite_survives_its_worker),
		T(removed_file_comes_back),
		T(removed_file_is_missed_by_a_new_worker),
		T(full_disk_fails_puts_only),
		T(garbage_is_compacted),
		T(batches_go_between_pieces),
		T(compaction_survives_its_worker),
		T(failed_compaction_is_not_hurried),
		cmocka_unit_test(every_failing_call_ends_well),
		cmocka_unit_test_teardown(random_lives, tell_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
