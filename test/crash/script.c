#include "test/crash/script.h"

#include <errno.h>
#include <stdio.h>

#include "core/journal_format.h"
#include "core/le.h"
#include "core/mem.h"

enum kind {
	BATCH,	 /* "a300 -b": put a body of 300 bytes, delete b */
	FULL,	 /* a batch that the disk has room for only in part: refused */
	COMPACT, /* until it is done */
	PIECE,	 /* one piece of it */
	REOPEN,
};

/*
 * Sizes are such that batches begin, end and lie within sectors of 512 bytes, and that what lands
 * of a batch without room is whole records that cover a sector.
 */
static const struct {
	enum kind kind;
	const char *ops;
} steps[] = {
	/* One a line. */
	{ BATCH, "a40" },	 { BATCH, "b300 c300" },
	{ BATCH, "a900 -b d3" }, { REOPEN, "" },
	{ FULL, "e700 f100" },	 { BATCH, "e20 f70" },
	{ BATCH, "-c -d g450" }, { COMPACT, "" },
	{ BATCH, "h512 a3" },	 { FULL, "i100 n100 o100 p100 q100 r100" },
	{ BATCH, "b1400 -g" },	 { PIECE, "" },
	{ BATCH, "j80 -h" },	 { PIECE, "" },
	{ BATCH, "j81 a5 -f" },	 { COMPACT, "" },
	{ COMPACT, "" },	 { BATCH, "k33 l33 m33" },
	{ REOPEN, "" },		 { BATCH, "-a -b -e -j -k -l -m" },
	{ COMPACT, "" },	 { BATCH, "z200" },
};
enum { STEPS = ARRAY_LEN(steps), BODY_SIZE_MAX = 1600 };

unsigned script_steps(void)
{
	return STEPS;
}

static void body_of(unsigned step, size_t size, char *out)
{
	must(size >= 3 && size <= BODY_SIZE_MAX);
	memset(out, 'A' + (int)(step % 26), size);
	out[0] = (char)('0' + step / 100);
	out[1] = (char)('0' + step / 10 % 10);
	out[2] = (char)('0' + step % 10);
}

/* The next operation of a batch: true, its key and size (0 = delete). */
static bool next_op(const char **ops, int *key, size_t *size)
{
	const char *p = *ops;
	bool del;

	while (*p == ' ')
		p++;
	if (!*p)
		return false;
	del = *p == '-';
	p += del;
	*key = *p++ - 'a';
	*size = 0;
	while (*p >= '0' && *p <= '9')
		*size = *size * 10 + (size_t)(*p++ - '0');
	must(*key >= 0 && *key < SCRIPT_KEYS && del == (*size == 0));
	*ops = p;
	return true;
}

void script_model(unsigned n, struct script_state *out)
{
	const char *ops;
	unsigned i;
	size_t size;
	int key;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < n; i++) {
		if (steps[i].kind != BATCH)
			continue;
		for (ops = steps[i].ops; next_op(&ops, &key, &size);) {
			out->size[key] = (uint16_t)size;
			out->step[key] = (uint16_t)(size ? i : 0);
		}
	}
}

bool script_same(const struct script_state *a, const struct script_state *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Reading */

static void NORETURN die(const char *what, struct sv detail)
{
	fprintf(stderr, "%s: " SV_FMT "\n", what, SV_ARG(detail));
	abort();
}

static void on_put(void *arg, struct sv key, struct sv body)
{
	struct script_state *s = arg;
	char want[BODY_SIZE_MAX];
	unsigned step;
	int k;

	if (key.n != 1 || key.p[0] < 'a' || key.p[0] > 'z' || body.n < 3 || body.n > BODY_SIZE_MAX)
		die("a key or body that nobody wrote", key);
	k = key.p[0] - 'a';
	step = (unsigned)((body.p[0] - '0') * 100 + (body.p[1] - '0') * 10 + body.p[2] - '0');
	body_of(step, body.n, want);
	if (step >= STEPS || memcmp(want, body.p, body.n) != 0)
		die("a body that nobody wrote", key);
	s->step[k] = (uint16_t)step;
	s->size[k] = (uint16_t)body.n;
}

static void on_corrupt(void *arg, struct sv key)
{
	(void)arg;
	die("a crash must not look like corruption", key);
}

int script_read(const char *path, struct script_state *out)
{
	const struct journal_scan_events ev = { .on_put = on_put,
						.on_corrupt = on_corrupt,
						.arg = out };
	struct journal_scan_result r;
	struct err e = { "" };
	int code;

	memset(out, 0, sizeof(*out));
	code = journal_read(path, &ev, &r, &e);
	if (code && code != -ENOENT)
		die("a crash left no journal", sv_str(e.text));
	if (!code && r.corrupt)
		die("a crash left broken records", SV_NONE);
	return code;
}

/* Running */

struct run {
	struct journal_disk *d;
	struct journal_disk_state st;
	struct buf out;
};

static int ask(struct run *r, uint16_t method, struct sv body)
{
	size_t i;
	int code;

	for (i = 0; journal_disk_methods[i].method != method; i++)
		must(i + 1 < journal_disk_methods_n);
	buf_clear(&r->out);
	code = journal_disk_methods[i].fn(r->d, body, 1000, &r->out);
	if (!code)
		must(!journal_disk_get_state(buf_sv(&r->out), &r->st));
	return code;
}

static int ask_open(struct run *r, const char *path)
{
	struct buf b;
	int code;

	buf_init(&b, 10000);
	journal_disk_put_open(&b, path, "boot-1", "crash", JOURNAL_ANY);
	code = ask(r, JOURNAL_M_OPEN, buf_sv(&b));
	buf_done(&b);
	return code;
}

static int ask_ops(struct run *r, const char *ops, unsigned step)
{
	char body[BODY_SIZE_MAX], name;
	uint64_t seq = r->st.seq;
	uint32_t n = 0;
	struct buf b;
	size_t size;
	int key, code;

	buf_init(&b, 1 << 16);
	for (; next_op(&ops, &key, &size); n++) {
		name = (char)('a' + key);
		if (size)
			body_of(step, size, body);
		journal_put_record(&b, ++seq, size ? JOURNAL_PUT : JOURNAL_DEL, sv_make(&name, 1),
				   sv_make(body, size));
	}
	journal_put_commit(&b, seq, n);
	code = ask(r, JOURNAL_M_APPEND, buf_sv(&b));
	buf_done(&b);
	return code;
}

static int ask_batch(struct run *r, unsigned step)
{
	return ask_ops(r, steps[step].ops, step);
}

/* Small, so that there are several and batches come in between. */
static int ask_piece(struct run *r)
{
	char size[4];

	le_put32(size, 300);
	return ask(r, JOURNAL_M_COMPACT, sv_make(size, sizeof(size)));
}

static int ask_compact(struct run *r)
{
	int code;

	do
		code = ask_piece(r);
	while (!code && r->st.compacting);
	return code;
}

static int run_step(struct run *r, const char *path, unsigned step)
{
	int code;

	switch (steps[step].kind) {
	case BATCH:
		return ask_batch(r, step);
	case FULL:
		script_limit_space(true, 600);
		code = ask_batch(r, step);
		script_limit_space(false, 0);
		if (code == -ENOSPC)
			return 0;
		return code ? code : -EPROTO;
	case COMPACT:
		return ask_compact(r);
	case PIECE:
		return ask_piece(r);
	case REOPEN:
		code = ask(r, JOURNAL_M_CLOSE, SV_NONE);
		return code ? code : ask_open(r, path);
	}
	return -EPROTO;
}

int script_run(struct journal_disk *d, const char *path, struct script_progress *p)
{
	struct run r = { .d = d };
	bool again = p->opened;
	int code;

	buf_init(&r.out, 1 << 16);
	code = ask_open(&r, path);
	/* Where the torn batch was comes another one, not the same again by luck. */
	if (!code && again)
		code = ask_ops(&r, "y600 x20 y650 -x -y", 0);
	if (!code)
		p->opened = true;
	while (!code && p->done < STEPS) {
		p->begun = p->done + 1;
		code = run_step(&r, path, p->done);
		if (!code)
			p->done++;
	}
	if (code)
		fprintf(stderr, "step %u: %s: " SV_FMT "\n", p->done, strerror(-code),
			SV_ARG(buf_sv(&r.out)));
	buf_done(&r.out);
	return code;
}

bool script_holds(const char *path, struct script_progress *p)
{
	struct script_state found, done, begun;
	int r = script_read(path, &found);

	if (r == -ENOENT && p->opened)
		return fprintf(stderr, "the file is gone\n"), false;
	script_model(p->done, &done);
	script_model(MAX(p->begun, p->done), &begun);
	if (script_same(&found, &done))
		return true;
	if (!script_same(&found, &begun)) {
		fprintf(stderr, "neither the state after step %u nor after step %u\n", p->done,
			p->begun);
		return false;
	}
	p->done = p->begun;
	return true;
}

bool script_recovers(const char *path, struct script_progress p)
{
	struct journal_disk *d = journal_disk_new();
	struct script_state found, want;
	int r;

	r = script_run(d, path, &p);
	journal_disk_free(&d);
	if (r || script_read(path, &found))
		return false;
	script_model(STEPS, &want);
	if (script_same(&found, &want))
		return true;
	fprintf(stderr, "recovered, but the end is not as the model's\n");
	return false;
}
