#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/journal_format.h"
#include "core/le.h"
#include "core/mem.h"

/* What a scan told, as one text: "+a=1 -b !c @boot=x ". */
struct seen {
	struct buf text;
	struct journal_scan_result r;
	struct err e;
	int status;
};

static void on_put(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, "+" SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static void on_del(void *arg, struct sv key)
{
	buf_printf(arg, "-" SV_FMT " ", SV_ARG(key));
}

static void on_corrupt(void *arg, struct sv key)
{
	buf_printf(arg, "!" SV_FMT " ", SV_ARG(key));
}

static void on_meta(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, "@" SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static const char *scan(struct seen *s, struct sv file)
{
	const struct journal_scan_events ev = { on_put, on_del, on_corrupt, on_meta, &s->text };

	buf_clear(&s->text);
	s->e.text[0] = '\0';
	s->status = journal_scan(file, &ev, &s->r, &s->e);
	return buf_cstr(&s->text);
}

static void seen_init(struct seen *s)
{
	*s = (struct seen){ 0 };
	buf_init(&s->text, 64 << 20);
}

/* A file under construction; seq counts by itself. */
struct maker {
	struct buf b;
	uint64_t seq;
	uint32_t records;
};

static void maker_init(struct maker *m)
{
	*m = (struct maker){ 0 };
	buf_init(&m->b, 64 << 20);
	journal_put_header(&m->b, SV("boot-1"));
}

static void put(struct maker *m, const char *key, const char *body)
{
	journal_put_record(&m->b, ++m->seq, JOURNAL_PUT, sv_str(key), sv_str(body));
	m->records++;
}

static void del(struct maker *m, const char *key)
{
	journal_put_record(&m->b, ++m->seq, JOURNAL_DEL, sv_str(key), SV_NONE);
	m->records++;
}

static void commit(struct maker *m)
{
	journal_put_commit(&m->b, m->seq, m->records);
	m->records = 0;
}

static struct sv file(struct maker *m)
{
	return buf_sv(&m->b);
}

static void state_is_the_latest_of_each_key(void **state)
{
	struct maker m;
	struct seen s;

	(void)state;
	maker_init(&m);
	seen_init(&s);
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 ");
	assert_int_equal(s.status, 0);
	assert_int_equal(s.r.good, buf_len(&m.b));
	assert_int_equal(s.r.seq, 0);

	put(&m, "a", "1");
	put(&m, "b", "1");
	commit(&m);
	put(&m, "a", "2");
	del(&m, "b");
	put(&m, "c", "");
	commit(&m);
	del(&m, "c");
	put(&m, "c", "3");
	journal_put_record(&m.b, ++m.seq, JOURNAL_META, SV("boot"), SV("boot-2"));
	m.records++;
	commit(&m);
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 +a=2 -b +c=3 @boot=boot-2 ");
	assert_int_equal(s.r.seq, 8);
	assert_int_equal(s.r.records, 8);
	assert_int_equal(s.r.live, 2);
	assert_int_equal(s.r.corrupt, 0);
	assert_int_equal(s.r.good, buf_len(&m.b));
	buf_done(&m.b);
	buf_done(&s.text);
}

static void callbacks_are_optional(void **state)
{
	const struct journal_scan_events none = { 0 };
	struct journal_scan_result r;
	struct maker m;

	(void)state;
	maker_init(&m);
	put(&m, "a", "1");
	del(&m, "b");
	commit(&m);
	assert_int_equal(journal_scan(file(&m), &none, &r, NULL), 0);
	assert_int_equal(r.live, 1);
	m.b.data[m.b.start + 60] ^= 1;
	assert_int_equal(journal_scan(file(&m), &none, &r, NULL), 0);
	buf_done(&m.b);
}

static void strangers_are_refused(void **state)
{
	static const struct {
		struct sv file;
		const char *text;
	} rows[] = {
		{ { "", 0 }, "is empty" },
		{ { "x", 1 }, "is not a journal" },
		{ { "{\"a\":1}\n", 8 }, "is not a journal" },
		{ { "tundra-journal 1.0 b", 20 }, "is not a journal" },
		{ { "tundra-journal x.0 b\n", 21 }, "without a version" },
		{ { "tundra-journal \n", 16 }, "without a version" },
		{ { "tundra-journal 2.0 b\n", 21 }, "has format 2, this tundra reads format 1" },
	};
	struct seen s;
	size_t i;

	(void)state;
	seen_init(&s);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(scan(&s, rows[i].file), "");
		assert_int_equal(s.status, -EBADMSG);
		assert_non_null(strstr(s.e.text, rows[i].text));
	}
	/* A newer minor version and words behind the boot id are fine. */
	assert_string_equal(scan(&s, SV("tundra-journal 1.7 b more\n")), "@boot=b more ");
	assert_int_equal(s.status, 0);
	buf_done(&s.text);
}

/* Keys k0, k1, ... in batches of 1, 2 and 3 records. */
static void three_batches(struct maker *m, size_t ends[4])
{
	char key[16], body[48];
	int batch, i, n = 0;

	maker_init(m);
	ends[0] = buf_len(&m->b);
	for (batch = 1; batch <= 3; batch++) {
		for (i = 0; i < batch; i++, n++) {
			(void)snprintf(key, sizeof(key), "k%d", n);
			(void)snprintf(body, sizeof(body), "{\"body\":%d,\"pad\":\"%0*d\"}", n,
				       n + 1, 7);
			put(m, key, body);
		}
		commit(m);
		ends[batch] = buf_len(&m->b);
	}
}

static void every_cut_gives_whole_batches(void **state)
{
	char *whole[4], *cut;
	struct maker m;
	struct seen s;
	size_t ends[4], n;
	int batch;

	(void)state;
	seen_init(&s);
	three_batches(&m, ends);
	for (batch = 0; batch <= 3; batch++)
		whole[batch] = mem_strdup(scan(&s, sv_make(file(&m).p, ends[batch])));
	assert_non_null(strstr(whole[3], "+k5="));
	for (batch = 0, n = ends[0]; n <= ends[3]; n++) {
		if (batch < 3 && n == ends[batch + 1])
			batch++;
		/* A copy, so that reading beyond the cut is seen. */
		cut = mem_dup(file(&m).p, n);
		assert_string_equal(scan(&s, sv_make(cut, n)), whole[batch]);
		assert_int_equal(s.r.good, ends[batch]);
		assert_int_equal(s.r.corrupt, 0);
		mem_free(cut);
	}
	for (n = 0; n < ends[0]; n++) {
		scan(&s, sv_make(file(&m).p, n));
		assert_int_equal(s.status, -EBADMSG);
	}
	for (batch = 0; batch <= 3; batch++)
		mem_free(whole[batch]);
	buf_done(&m.b);
	buf_done(&s.text);
}

/* Garbage behind the last commit, as a torn write leaves it, is torn as well. */
static void garbage_behind_the_last_commit_is_torn(void **state)
{
	struct maker m;
	struct seen s;
	char *before;
	size_t ends[4];

	(void)state;
	seen_init(&s);
	three_batches(&m, ends);
	before = mem_strdup(scan(&s, file(&m)));
	put(&m, "later", "x");
	buf_puts(&m.b, "\xffTJ\xfe garbage \xff\xff");
	put(&m, "later2", "x");
	assert_string_equal(scan(&s, file(&m)), before);
	assert_int_equal(s.r.good, ends[3]);
	assert_int_equal(s.r.corrupt, 0);
	mem_free(before);
	buf_done(&m.b);
	buf_done(&s.text);
}

static void broken_body_quarantines_its_key(void **state)
{
	struct maker m;
	struct seen s;
	char *p;

	(void)state;
	seen_init(&s);
	maker_init(&m);
	put(&m, "a", "one");
	put(&m, "b", "two");
	commit(&m);
	put(&m, "c", "three");
	commit(&m);
	p = memmem(m.b.data, m.b.end, "one", 3);
	p[1] = 'N';
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 !a +b=two +c=three ");
	assert_int_equal(s.r.corrupt, 1);
	assert_int_equal(s.r.live, 3);
	/* What the key says later makes up for it. */
	put(&m, "a", "again");
	commit(&m);
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 +b=two +c=three +a=again ");
	/* In the last batch too, as long as every sector was written. */
	p = memmem(m.b.data, m.b.end, "again", 5);
	p[0] = 'A';
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 +b=two +c=three !a ");
	del(&m, "a");
	commit(&m);
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 +b=two +c=three -a ");
	assert_int_equal(s.r.live, 2);
	buf_done(&m.b);
	buf_done(&s.text);
}

static bool has_key(const struct seen *s, char mark, int n)
{
	char want[16];

	(void)snprintf(want, sizeof(want), "%ck%d", mark, n);
	return memmem(s->text.data, s->text.end, want, strlen(want)) != NULL;
}

/* Any single broken byte costs at most the record it is in; in the last commit, the last batch. */
static void every_broken_byte(void **state)
{
	static const char flips[] = { 1, '\x80', '\xff' };
	struct maker m;
	struct seen s;
	size_t ends[4], at, f;
	int i, missing, told;

	(void)state;
	seen_init(&s);
	three_batches(&m, ends);
	for (at = ends[0]; at < ends[3]; at++) {
		for (f = 0; f < sizeof(flips); f++) {
			m.b.data[at] ^= flips[f];
			scan(&s, file(&m));
			m.b.data[at] ^= flips[f];
			assert_int_equal(s.status, 0);
			missing = told = 0;
			for (i = 0; i < 6; i++) {
				missing += !has_key(&s, '+', i);
				told += has_key(&s, '!', i);
			}
			if (at >= ends[3] - JOURNAL_COMMIT_SIZE) {
				assert_int_equal(missing, 3);
				assert_int_equal(s.r.good, ends[2]);
				continue;
			}
			assert_int_equal(s.r.good, ends[3]);
			assert_true(missing <= 1);
			if (missing)
				assert_int_equal(s.r.corrupt, 1);
			if (missing && !told)
				assert_non_null(memmem(s.text.data, s.text.end, "! ", 2));
		}
	}
	buf_done(&m.b);
	buf_done(&s.text);
}

/* A power cut leaves any sectors of the last write out: never half a batch. */
static void missing_sectors_of_the_last_batch_are_torn(void **state)
{
	struct maker m;
	struct seen s;
	char body[401], key[16], *before, *after, *copy;
	size_t start, sector, first, last;
	unsigned set;
	int i, offset;

	(void)state;
	seen_init(&s);
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	/* Several positions of the batch within its sectors. */
	for (offset = 0; offset < 512; offset += 37) {
		maker_init(&m);
		put(&m, "first", body + offset % 400);
		commit(&m);
		before = mem_strdup(scan(&s, file(&m)));
		start = buf_len(&m.b);
		for (i = 0; i < 4; i++) {
			(void)snprintf(key, sizeof(key), "key-%d", i);
			put(&m, key, body);
		}
		commit(&m);
		after = mem_strdup(scan(&s, file(&m)));
		assert_string_not_equal(before, after);
		first = start / 512;
		last = (buf_len(&m.b) - 1) / 512;
		copy = mem_alloc(buf_len(&m.b));
		for (set = 0; set < 1u << (last - first + 1); set++) {
			memcpy(copy, m.b.data, buf_len(&m.b));
			for (sector = first; sector <= last; sector++) {
				size_t lo = MAX(sector * 512, start);
				size_t hi = MIN(sector * 512 + 512, buf_len(&m.b));

				if (set & 1u << (sector - first))
					memset(copy + lo, 0, hi - lo);
			}
			assert_string_equal(scan(&s, sv_make(copy, buf_len(&m.b))),
					    set ? before : after);
			assert_int_equal(s.r.corrupt, 0);
		}
		mem_free(copy);
		mem_free(before);
		mem_free(after);
		buf_done(&m.b);
	}
	buf_done(&s.text);
}

/* Headers have zeros of their own; wherever a sector ends in them, it was written. */
static void broken_last_batch_is_not_torn_by_its_own_zeros(void **state)
{
	struct maker m;
	struct seen s;
	char body[513];
	size_t pad;
	char *p;

	(void)state;
	seen_init(&s);
	for (pad = 1; pad < sizeof(body); pad++) {
		memset(body, 'x', pad);
		body[pad] = '\0';
		maker_init(&m);
		put(&m, "a", "1");
		commit(&m);
		put(&m, "pad", body);
		del(&m, "a");
		put(&m, "empty", "");
		put(&m, "b", "two");
		commit(&m);
		p = memmem(m.b.data, m.b.end, "btwo", 4);
		p[1] = 'T';
		scan(&s, file(&m));
		assert_int_equal(s.r.good, buf_len(&m.b));
		assert_int_equal(s.r.corrupt, 1);
		assert_non_null(strstr(buf_cstr(&s.text), " -a +empty= !b "));
		buf_done(&m.b);
	}
	buf_done(&s.text);
}

static void lost_sector_before_the_last_batch_is_corrupt(void **state)
{
	struct maker m;
	struct seen s;
	char body[401];

	(void)state;
	seen_init(&s);
	memset(body, 'x', 400);
	body[400] = '\0';
	maker_init(&m);
	put(&m, "a", body);
	put(&m, "b", body);
	put(&m, "c", "c");
	commit(&m);
	put(&m, "d", "d");
	commit(&m);
	memset(m.b.data + 512, 0, 256); /* end of b's body; c and the commit are whole */
	scan(&s, file(&m));
	assert_int_equal(s.r.corrupt, 1);
	assert_non_null(strstr(buf_cstr(&s.text), "!b +c=c +d=d "));
	memset(m.b.data + 256, 0, 512); /* b's header too */
	scan(&s, file(&m));
	assert_non_null(strstr(buf_cstr(&s.text), "!a ! +c=c +d=d "));
	buf_done(&m.b);
	buf_done(&s.text);
}

static void lost_commit_in_the_middle_loses_nothing(void **state)
{
	struct maker m;
	struct seen s;
	size_t ends[4];

	(void)state;
	seen_init(&s);
	three_batches(&m, ends);
	m.b.data[ends[1] - 1] ^= 1;
	scan(&s, file(&m));
	assert_int_equal(s.r.corrupt, 1);
	assert_true(has_key(&s, '+', 0) && has_key(&s, '+', 1) && has_key(&s, '+', 5));
	buf_done(&m.b);
	buf_done(&s.text);
}

/* So no JSON body can hold a record that comes to life when the one around it breaks. */
static void magic_is_no_utf8(void **state)
{
	struct maker m;

	(void)state;
	maker_init(&m);
	buf_clear(&m.b);
	put(&m, "a", "1");
	assert_int_equal((unsigned char)m.b.data[0], 0xff);
	assert_int_equal((unsigned char)m.b.data[3], 0xfe);
	buf_done(&m.b);
}

static void unknown_kinds_are_passed_over(void **state)
{
	struct maker m;
	struct seen s;

	(void)state;
	seen_init(&s);
	maker_init(&m);
	put(&m, "a", "1");
	journal_put_record(&m.b, ++m.seq, (enum journal_kind)77, SV("a"), SV("later version"));
	m.records++;
	put(&m, "b", "2");
	commit(&m);
	assert_string_equal(scan(&s, file(&m)), "@boot=boot-1 +a=1 +b=2 ");
	assert_int_equal(s.r.corrupt, 0);
	assert_int_equal(s.r.records, 3);
	buf_done(&m.b);
	buf_done(&s.text);
}

static void count_put(void *arg, const struct journal_record *r)
{
	*(size_t *)arg += r->size;
}

static void batches_are_checked_before_they_are_written(void **state)
{
	struct journal_batch got;
	struct sv batch;
	struct maker m;
	size_t size = 0, n;

	(void)state;
	maker_init(&m);
	buf_clear(&m.b);
	m.seq = 41;
	put(&m, "a", "1");
	del(&m, "b");
	commit(&m);
	batch = file(&m);
	assert_int_equal(journal_batch_walk(batch, count_put, &size, &got), 0);
	assert_int_equal(got.first, 42);
	assert_int_equal(got.last, 43);
	assert_int_equal(got.records, 2);
	assert_int_equal(got.puts, 1);
	assert_int_equal(size, batch.n - JOURNAL_COMMIT_SIZE);
	for (n = 0; n < batch.n; n++) {
		char *cut = mem_dup(batch.p, n);

		assert_int_equal(journal_batch_walk(sv_make(cut, n), NULL, NULL, &got), -EBADMSG);
		mem_free(cut);
		m.b.data[n] ^= 4;
		assert_int_equal(journal_batch_walk(batch, NULL, NULL, &got), -EBADMSG);
		m.b.data[n] ^= 4;
	}
	put(&m, "c", "1"); /* behind the commit */
	assert_int_equal(journal_batch_walk(file(&m), NULL, NULL, &got), -EBADMSG);
	buf_clear(&m.b);
	put(&m, "a", "1");
	m.seq--; /* seq does not grow */
	put(&m, "b", "1");
	commit(&m);
	assert_int_equal(journal_batch_walk(file(&m), NULL, NULL, &got), -EBADMSG);
	buf_clear(&m.b);
	commit(&m);
	assert_int_equal(journal_batch_walk(file(&m), NULL, NULL, &got), -EBADMSG);
	/* Facts take none of their own, but never an older one. */
	buf_clear(&m.b);
	put(&m, "a", "1");
	journal_put_record(&m.b, m.seq, JOURNAL_META, SV("boot"), SV("b"));
	journal_put_commit(&m.b, m.seq, 2);
	assert_int_equal(journal_batch_walk(file(&m), NULL, NULL, &got), 0);
	buf_clear(&m.b);
	journal_put_record(&m.b, UINT64_MAX, JOURNAL_PUT, SV("a"), SV("1"));
	journal_put_record(&m.b, 1, JOURNAL_META, SV("boot"), SV("b"));
	journal_put_commit(&m.b, 1, 2);
	assert_int_equal(journal_batch_walk(file(&m), NULL, NULL, &got), -EBADMSG);
	buf_done(&m.b);
}

static void limits_fit(void **state)
{
	struct maker m;
	struct seen s;
	char key[JOURNAL_KEY_MAX + 1], *body = mem_zalloc(JOURNAL_BODY_MAX + 1);

	(void)state;
	seen_init(&s);
	maker_init(&m);
	memset(key, 'k', JOURNAL_KEY_MAX);
	key[JOURNAL_KEY_MAX] = '\0';
	memset(body, 'b', JOURNAL_BODY_MAX);
	put(&m, key, body);
	commit(&m);
	scan(&s, file(&m));
	assert_int_equal(s.r.live, 1);
	assert_int_equal(s.r.good, buf_len(&m.b));
	assert_int_equal(buf_len(&s.text), 13 + 1 + JOURNAL_KEY_MAX + 1 + JOURNAL_BODY_MAX + 1);
	mem_free(body);
	buf_done(&m.b);
	buf_done(&s.text);
}

static void read_needs_no_lock(void **state)
{
	const struct journal_scan_events ev = { 0 };
	struct journal_scan_result r;
	char path[] = "/tmp/test_journal.XXXXXX";
	struct maker m;
	struct err e;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	maker_init(&m);
	put(&m, "a", "1");
	commit(&m);
	put(&m, "half", "2"); /* being written just now */
	assert_int_equal(fsx_write_all(fd, file(&m)), 0);
	assert_int_equal(fsx_lock_fd(fd), 0);
	assert_int_equal(journal_read(path, &ev, &r, &e), 0);
	assert_int_equal(r.live, 1);
	close(fd);
	assert_int_equal(fsx_replace(path, SV("?"), 0600, 0), 0);
	assert_int_equal(journal_read(path, &ev, &r, &e), -EBADMSG);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(journal_read(path, &ev, &r, &e), -ENOENT);
	buf_done(&m.b);
}

static void replay_of_10000_is_fast(void **state)
{
	const struct journal_scan_events ev = { 0 };
	struct journal_scan_result r;
	struct timespec a, b;
	struct maker m;
	char key[48], body[1001];
	double ms;
	int i;

	(void)state;
	maker_init(&m);
	memset(body, 'x', 1000);
	body[1000] = '\0';
	for (i = 0; i < 10000; i++) {
		(void)snprintf(key, sizeof(key), "00000000-0000-0000-0000-%012d", i);
		put(&m, key, body);
		commit(&m);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	assert_int_equal(journal_scan(file(&m), &ev, &r, NULL), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_int_equal(r.live, 10000);
	ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	print_message("replay of 10 000 records of 1 kB: %.1f ms of CPU\n", ms);
	/* 60 ms is the budget of a release build; sanitizers cost about ten times. */
	assert_true(ms < 600);
	buf_done(&m.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_is_the_latest_of_each_key),
		cmocka_unit_test(callbacks_are_optional),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(every_cut_gives_whole_batches),
		cmocka_unit_test(garbage_behind_the_last_commit_is_torn),
		cmocka_unit_test(broken_body_quarantines_its_key),
		cmocka_unit_test(every_broken_byte),
		cmocka_unit_test(missing_sectors_of_the_last_batch_are_torn),
		cmocka_unit_test(broken_last_batch_is_not_torn_by_its_own_zeros),
		cmocka_unit_test(lost_sector_before_the_last_batch_is_corrupt),
		cmocka_unit_test(lost_commit_in_the_middle_loses_nothing),
		cmocka_unit_test(magic_is_no_utf8),
		cmocka_unit_test(unknown_kinds_are_passed_over),
		cmocka_unit_test(batches_are_checked_before_they_are_written),
		cmocka_unit_test(limits_fit),
		cmocka_unit_test(read_needs_no_lock),
		cmocka_unit_test(replay_of_10000_is_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
