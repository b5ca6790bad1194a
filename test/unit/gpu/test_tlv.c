#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "gpu/proto/tlv.h"

struct thing {
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	bool flag;
	char text[8];
};
static const struct tlv_field fields[] = {
	TLV_FIELD(1, TLV_U32, struct thing, u32),   TLV_FIELD(2, TLV_I64, struct thing, i64),
	TLV_FIELD(3, TLV_U64, struct thing, u64),   TLV_FIELD(4, TLV_BOOL, struct thing, flag),
	TLV_FIELD(5, TLV_TEXT, struct thing, text),
};

static int read_all(struct sv bytes, struct thing *t)
{
	struct tlv_reader r = tlv_read(bytes);
	uint16_t tag;
	struct sv v;
	int got = 0;

	memset(t, 0, sizeof(*t));
	while (got >= 0 && tlv_next(&r, &tag, &v))
		got = tlv_get_field(fields, ARRAY_LEN(fields), tag, v, t);
	return got < 0 ? got : tlv_done(&r);
}

static void test_there_and_back(void **state)
{
	static const struct thing rows[] = {
		{ 0, 0, 0, false, "" },
		{ 1, -1, 1, true, "x" },
		{ UINT32_MAX, INT64_MIN, UINT64_MAX, true, "sevench" },
		{ 0x80, INT64_MAX, 1ull << 56, false, "ü" },
	};
	struct thing t;
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 4096);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&b);
		tlv_put_fields(&b, fields, ARRAY_LEN(fields), &rows[i]);
		assert_int_equal(read_all(buf_sv(&b), &t), 0);
		assert_int_equal(t.u32, rows[i].u32);
		assert_true(t.i64 == rows[i].i64 && t.u64 == rows[i].u64 && t.flag == rows[i].flag);
		assert_string_equal(t.text, rows[i].text);
	}
	buf_done(&b);
}

/* A message cut anywhere is either shorter by whole fields or malformed; never read beyond. */
static void test_every_cut(void **state)
{
	const struct thing whole = { 300, -300, 70000, true, "cut" };
	struct thing t;
	struct buf b;
	size_t n, good = 0;
	char *copy;

	(void)state;
	buf_init(&b, 4096);
	tlv_put_fields(&b, fields, ARRAY_LEN(fields), &whole);
	for (n = 0; n <= buf_len(&b); n++) {
		copy = malloc(n ? n : 1); /* so that the sanitizer sees the end */
		assert_non_null(copy);
		memcpy(copy, buf_sv(&b).p, n);
		if (read_all(sv_make(copy, n), &t) == 0)
			good++;
		free(copy);
	}
	assert_int_equal(good, ARRAY_LEN(fields) + 1);
	buf_done(&b);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
		{ "\1\0\377\377\377\377", 6 },		   /* length beyond all */
		{ "\1\0\5\0\0\0\1\1\1\1\1", 11 },	   /* u32 of five bytes */
		{ "\3\0\11\0\0\0\1\1\1\1\1\1\1\1\1", 15 }, /* u64 of nine */
		{ "\5\0\10\0\0\0abcdefgh", 14 },	   /* text without room for its end */
		{ "\5\0\3\0\0\0a\0b", 9 },		   /* NUL inside */
		{ "\1\0\1\0\0", 5 },			   /* half a head */
	};
	struct thing t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(read_all(sv_make(rows[i].bytes, rows[i].n), &t), -EBADMSG);
	assert_int_equal(read_all(SV("\x63\0\2\0\0\0zz\1\0\1\0\0\0\7"), &t), 0); /* unknown tag */
	assert_int_equal(t.u32, 7);
}

static void test_nesting(void **state)
{
	struct tlv_reader outer, inner;
	struct buf b;
	uint16_t tag;
	struct sv v;
	size_t a, c;

	(void)state;
	buf_init(&b, 4096);
	tlv_put_u64(&b, 9, 1);
	buf_take(&b, 3); /* a queue whose start is not its memory's */
	buf_take(&b, buf_len(&b));
	a = tlv_open(&b, 1);
	tlv_put_str(&b, 2, "in");
	c = tlv_open(&b, 3);
	tlv_close(&b, c);
	tlv_close(&b, a);
	tlv_put_str(&b, 4, NULL); /* nothing */
	tlv_put_str(&b, 5, "");
	outer = tlv_read(buf_sv(&b));
	assert_true(tlv_next(&outer, &tag, &v));
	assert_int_equal(tag, 1);
	inner = tlv_read(v);
	assert_true(tlv_next(&inner, &tag, &v) && tag == 2 && sv_eqs(v, "in"));
	assert_true(tlv_next(&inner, &tag, &v) && tag == 3 && v.n == 0);
	assert_false(tlv_next(&inner, &tag, &v));
	assert_true(tlv_next(&outer, &tag, &v) && tag == 5 && v.n == 0);
	assert_false(tlv_next(&outer, &tag, &v));
	assert_int_equal(tlv_done(&outer), 0);
	buf_done(&b);
}

/* A full buffer drops what does not fit; closing must not write into what is not there. */
static void test_full(void **state)
{
	struct buf b;
	size_t mark;

	(void)state;
	buf_init(&b, 20);
	mark = tlv_open(&b, 1);
	tlv_put_str(&b, 2, "does not fit into this at all");
	tlv_close(&b, mark);
	assert_true(b.full);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_malformed),      cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_full),
	};

	return RUN(tests);
}
