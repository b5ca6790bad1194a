/*
 * Reading a journal. The first byte says whether the rest is a file as it is, or a recipe: records
 * with good checksums, which mutation alone never finds, and what is then broken in them.
 *
 * What must hold for every file that is one: the part called good reads the same alone, and with a
 * batch appended behind it in any case.
 */
#include "core/journal_format.h"
#include "test/fuzz/fuzz.h"

enum { SECTOR = 512, FILE_MAX = 64 << 10 };

struct told {
	struct buf text;
	struct sv file;
};

static void inside(const struct told *t, struct sv s)
{
	must(!s.n || (s.p >= t->file.p && s.p + s.n <= t->file.p + t->file.n));
}

static void tell(struct told *t, char mark, struct sv key, struct sv body)
{
	inside(t, key);
	buf_putc(&t->text, mark);
	buf_put_sv(&t->text, key);
	buf_putc(&t->text, '\0');
	buf_put_sv(&t->text, body);
	buf_putc(&t->text, '\0');
}

static void on_put(void *arg, struct sv key, struct sv body)
{
	inside(arg, body);
	must(key.n);
	tell(arg, '+', key, body);
}

static void on_del(void *arg, struct sv key)
{
	tell(arg, '-', key, SV_NONE);
}

static void on_corrupt(void *arg, struct sv key)
{
	tell(arg, '!', key, SV_NONE);
}

static void on_meta(void *arg, struct sv key, struct sv body)
{
	struct told *t = arg;

	/* The header line's key is no part of the file. */
	buf_putc(&t->text, '@');
	buf_put_sv(&t->text, key);
	buf_put_sv(&t->text, body);
	inside(t, body);
}

static int scan(struct told *t, struct sv file, struct journal_scan_result *r)
{
	const struct journal_scan_events ev = { on_put, on_del, on_corrupt, on_meta, t };
	struct err e = { "" };
	int code;

	t->file = file;
	buf_clear(&t->text);
	code = journal_scan(file, &ev, r, &e);
	must(code == 0 || (code == -74 && *err_text(&e) && !buf_len(&t->text)));
	return code;
}

/* The next byte of the recipe, 0 at its end. */
static uint8_t take(struct sv *s)
{
	uint8_t b;

	if (!s->n)
		return 0;
	b = (uint8_t)s->p[0];
	*s = sv_drop(*s, 1);
	return b;
}

static struct sv take_bytes(struct sv *s, size_t n)
{
	struct sv out = *s;

	out.n = MIN(out.n, n);
	*s = sv_drop(*s, out.n);
	return out;
}

static size_t place(struct sv *s, size_t n)
{
	size_t v = take(s);

	return n ? (v << 8 | take(s)) % n : 0;
}

static void one_op(struct sv *s, struct buf *b, uint64_t *seq, uint32_t *records)
{
	struct sv key = SV("abcdefgh"), rest;
	size_t at;

	switch (take(s) % 8) {
	case 0:
	case 1:
		key.n = take(s) % 8 + 1;
		at = take(s);
		rest = take_bytes(s, at);
		journal_put_record(b, ++*seq, JOURNAL_PUT, key, rest);
		++*records;
		return;
	case 2:
		key.n = take(s) % 8 + 1;
		journal_put_record(b, ++*seq, JOURNAL_DEL, key, SV_NONE);
		++*records;
		return;
	case 3:
		journal_put_record(b, ++*seq, (enum journal_kind)(3 + take(s) % 6 * 2), key,
				   SV("x"));
		++*records;
		return;
	case 4:
		journal_put_commit(b, *seq + 1, *records);
		*records = 0;
		return;
	case 5:
		at = place(s, buf_len(b));
		b->data[b->start + at] ^= (char)(take(s) | 1);
		return;
	case 6:
		at = place(s, buf_len(b)) / SECTOR * SECTOR;
		memset(b->data + b->start + at, 0, MIN((size_t)SECTOR, buf_len(b) - at));
		return;
	default:
		at = take(s) % 40;
		buf_put_sv(b, take_bytes(s, at));
		return;
	}
}

static void cook(struct sv recipe, struct buf *b)
{
	uint64_t seq = 0;
	uint32_t records = 0;

	journal_put_header(b, SV("boot"));
	while (recipe.n && buf_len(b) < FILE_MAX - 1024)
		one_op(&recipe, b, &seq, &records);
}

static void check(struct sv file)
{
	struct told first, again;
	struct journal_scan_result r, r2;
	struct buf longer;

	buf_init(&first.text, 1 << 20);
	buf_init(&again.text, 1 << 20);
	buf_init(&longer, 4 * FILE_MAX);
	if (scan(&first, file, &r) == 0) {
		must(r.good <= file.n && r.live <= r.records);
		must(scan(&again, sv_make(file.p, r.good), &r2) == 0);
		/* A damaged batch that was followed by a torn one is now the last: it may have
		 * become torn itself, as nothing proves any more that it was once whole. */
		must(r2.good == r.good ? sv_eq(buf_sv(&first.text), buf_sv(&again.text))
				       : r2.good < r.good && r.corrupt > 0);
		buf_put(&longer, file.p, r.good);
		journal_put_record(&longer, r.seq == UINT64_MAX ? r.seq : r.seq + 1, JOURNAL_META,
				   SV("new"), SV("n"));
		journal_put_commit(&longer, r.seq == UINT64_MAX ? r.seq : r.seq + 1, 1);
		must(scan(&again, buf_sv(&longer), &r2) == 0);
		must(r2.good == buf_len(&longer) && r2.corrupt == r.corrupt);
		buf_puts(&first.text, "@newn");
		must(sv_eq(buf_sv(&first.text), buf_sv(&again.text)));
	}
	buf_done(&first.text);
	buf_done(&again.text);
	buf_done(&longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make(data, MIN(size, (size_t)FILE_MAX));
	struct journal_batch batch;
	struct buf b;

	if (take(&in) % 2 == 0) {
		check(in);
		(void)!journal_batch_walk(in, NULL, NULL, &batch);
		return 0;
	}
	buf_init(&b, 2 * FILE_MAX);
	cook(in, &b);
	check(buf_sv(&b));
	buf_done(&b);
	return 0;
}
