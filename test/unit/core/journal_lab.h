#pragma once
/*
 * The writer with a real disk part in an in-process worker, on virtual time and a real file. The
 * fixture keeps a model: what was acknowledged. At the end the file must say the same. Include it
 * in one .c file of a program, behind cmocka.
 */
#include "core/fsx.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/lib/faults.h"
#include "test/lib/inproc.h"

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
	int image_at; /* the next key of an image: two a turn, so that every test has several */
	bool disk_ok;
	struct journal_scan_result opened;
	struct buf text, methods;
	enum inproc_fate fate; /* of the request number fate_at with fate_method */
	uint16_t fate_method;
	int fate_at;
	bool in_call;
};

static inline enum inproc_fate decide(void *arg, uint16_t method)
{
	static const char letters[] = "?OACRWX";
	struct fixture *f = arg;

	buf_putc(&f->methods, letters[method]);
	if (f->fate_at && (!f->fate_method || f->fate_method == method) && --f->fate_at == 0)
		return f->fate;
	return INPROC_SERVE;
}

static inline void *ctx_new(void *arg)
{
	(void)arg;
	return journal_disk_new();
}

static inline void ctx_free(void *ctx)
{
	struct journal_disk *d = ctx;

	journal_disk_free(&d);
}

static inline void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static inline void put_state(struct fixture *f, struct journal *j)
{
	char key[16];
	int i, end;

	if (journal_image_begins(j)) {
		f->images++;
		f->image_at = 0;
	}
	end = MIN(f->image_at + 2, KEYS);
	for (i = f->image_at; i < end; i++) {
		(void)snprintf(key, sizeof(key), "key-%d", i);
		if (f->model[i][0])
			journal_put_live(j, sv_str(key), sv_str(f->model[i]));
	}
	f->image_at = end;
	if (end < KEYS)
		journal_image_more(j);
}

static inline void on_compact(void *arg, struct journal *j)
{
	put_state(arg, j);
}

static inline void on_disk(void *arg, const struct err *e)
{
	struct fixture *f = arg;

	assert_true(f->disk_ok == (e != NULL)); /* only changes are told */
	f->disk_ok = !e;
	f->disk_calls++;
	if (e)
		assert_true(strlen(e->text) > 0);
}

static inline void on_ready(void *arg, int status, const struct journal_scan_result *r)
{
	struct fixture *f = arg;

	f->ready = status;
	f->ready_calls++;
	f->opened = *r;
}

static inline void replay_put(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static inline void replay_corrupt(void *arg, struct sv key)
{
	buf_printf(arg, "!" SV_FMT " ", SV_ARG(key));
}

static inline int open_as(struct fixture *f, const char *boot)
{
	struct journal_conf conf = { .path = f->path,
				     .boot_id = boot,
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

static inline int open_journal(struct fixture *f)
{
	return open_as(f, "boot-1");
}

/* Each step of the loop while `more` says so, at most `ms` of virtual time. */
static inline void nothing(void *arg)
{
	(void)arg;
}

static inline void pass_ms(struct fixture *f, uint64_t ms)
{
	struct loop_timer t;

	loop_timer_init(&t, f->loop, nothing, NULL);
	loop_timer_set(&t, ms);
	while (loop_timer_armed(&t))
		loop_turn(f->loop, -1);
}

static inline void until_idle(struct fixture *f)
{
	int i;

	for (i = 0; !journal_idle(f->j) && i < 100000; i++)
		loop_turn(f->loop, -1);
	assert_true(journal_idle(f->j));
}

static inline void start_disk(struct fixture *f)
{
	struct worker_host host = inproc_host(&f->proc);

	f->disk = worker_new(f->loop, &host, "disk");
}

static inline int setup(void **state)
{
	static struct fixture f;

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
	start_disk(&f);
	*state = &f;
	return 0;
}

static inline int remove_entry(void *arg, const char *name)
{
	char p[600];

	(void)snprintf(p, sizeof(p), "%s/%s", (const char *)arg, name);
	return unlink(p);
}

static inline int teardown(void **state)
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
static inline int setup_open(void **state)
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

static inline void on_told(void *arg, int status)
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

static inline struct op *op(struct fixture *f, int key, const char *body)
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
static inline void same_as_model(struct fixture *f)
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

static inline void on_filled(void *arg, int status)
{
	struct fixture *f = arg;

	if (!status)
		memcpy(f->model[1], "garbage", 8);
}

/* 80 kB, of which 40 bytes are alive. */
static inline void fill_file(struct fixture *f)
{
	int i;

	for (i = 0; i < 2000; i++)
		journal_put(f->j, SV("key-1"), SV("garbage"), on_filled, f);
}
