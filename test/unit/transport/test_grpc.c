#include "transport/grpc.h"

#include <errno.h>

#include "lab.h"
#include "transport/h2.h"

/* Three messages, one of them empty, as one stream of bytes. */
static size_t three(char *out)
{
	static const char *const text[] = { "hello", "", "world, and more of it" };
	size_t i, n = 0;

	for (i = 0; i < 3; i++) {
		grpc_prefix((unsigned char *)out + n, strlen(text[i]));
		n += GRPC_PREFIX;
		memcpy(out + n, text[i], strlen(text[i]));
		n += strlen(text[i]);
	}
	return n;
}

static void expect_three(const size_t *cuts, size_t cuts_n, const char *bytes, size_t n)
{
	static const char *const text[] = { "hello", "", "world, and more of it" };
	struct grpc_reader r;
	size_t i, from = 0, seen = 0;

	grpc_reader_init(&r, 64);
	for (i = 0; i <= cuts_n; i++) {
		size_t to = i < cuts_n ? cuts[i] : n;
		struct sv in = sv_make(bytes + from, to - from);

		while (grpc_reader_feed(&r, &in) == GRPC_READER_MESSAGE) {
			assert_true(seen < 3);
			lab_eq(buf_sv(&r.message), text[seen++]);
		}
		assert_int_equal(in.n, 0);
		from = to;
	}
	assert_int_equal(seen, 3);
	assert_true(grpc_reader_idle(&r));
	grpc_reader_done(&r);
}

static void test_reader_split(void **state)
{
	size_t cuts[64], i, n;
	char bytes[64];

	(void)state;
	n = three(bytes);
	expect_three(NULL, 0, bytes, n);
	for (i = 1; i < n; i++)
		expect_three(&i, 1, bytes, n);
	for (i = 0; i + 1 < n; i++)
		cuts[i] = i + 1;
	expect_three(cuts, n - 1, bytes, n);
}

static void test_reader_limits(void **state)
{
	static const char big[] = { 0, 0, 0, 0, 65 }, gzip[] = { 1, 0, 0, 0, 3, 'a', 'b', 'c' };
	static const char huge[] = { 0, (char)0xff, (char)0xff, (char)0xff, (char)0xff };
	struct grpc_reader r;
	struct sv in;

	(void)state;
	grpc_reader_init(&r, 64);
	in = sv_make(big, sizeof(big));
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_TOO_BIG);
	assert_int_equal(r.want, 65);
	assert_null(r.message.data); /* nothing was reserved for the promise */
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_TOO_BIG);
	assert_false(grpc_reader_idle(&r));
	grpc_reader_done(&r);

	grpc_reader_init(&r, 64);
	in = sv_make(huge, sizeof(huge));
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_TOO_BIG);
	assert_int_equal(r.want, UINT32_MAX);
	grpc_reader_done(&r);

	grpc_reader_init(&r, 64);
	in = sv_make(gzip, sizeof(gzip));
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_COMPRESSED);
	grpc_reader_done(&r);

	/* Exactly the limit passes. */
	grpc_reader_init(&r, 3);
	in = SV("\0\0\0\0\3abc");
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_MESSAGE);
	grpc_reader_done(&r);
}

static void test_reader_middle(void **state)
{
	struct grpc_reader r;
	struct sv in = SV("\0\0\0\0\5ab");

	(void)state;
	grpc_reader_init(&r, 64);
	assert_true(grpc_reader_idle(&r));
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_MORE);
	assert_false(grpc_reader_idle(&r));
	grpc_reader_done(&r);
	grpc_reader_init(&r, 64);
	in = SV("\0\0");
	assert_int_equal(grpc_reader_feed(&r, &in), GRPC_READER_MORE);
	assert_false(grpc_reader_idle(&r));
	grpc_reader_done(&r);
}

static void test_timeout(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = { { "44999876u", 44999876 },
		     { "1n", 1 },
		     { "0n", 0 },
		     { "1000n", 1 },
		     { "1001n", 2 },
		     { "5m", 5000 },
		     { "45S", 45000000 },
		     { "2M", 120000000 },
		     { "1H", 3600000000 },
		     { "99999999H", 99999999ull * 3600000000ull } };
	static const char *const bad[] = { "",	   "S",	   "5",	   "5s",	 "-5S",
					   "+5S",  " 5S",  "5 S",  "123456789S", "5SS",
					   "0x5S", "5.5S", "1e3S", "5\xc3" };
	uint64_t us;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(grpc_timeout_parse(sv_str(good[i].text), &us), 0);
		assert_int_equal(us, good[i].us);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(grpc_timeout_parse(sv_str(bad[i]), &us), -EINVAL);
}

static void test_timeout_format(void **state)
{
	static const uint64_t ms[] = { 1, 999, 45000, 99999999, 100000000, 360000000000 };
	uint64_t us;
	char text[16];
	size_t i;

	(void)state;
	grpc_timeout_format(text, 45000);
	assert_string_equal(text, "45000m");
	for (i = 0; i < ARRAY_LEN(ms); i++) {
		grpc_timeout_format(text, ms[i]);
		assert_int_equal(grpc_timeout_parse(sv_str(text), &us), 0);
		assert_true(us <= ms[i] * 1000 && us > ms[i] * 990);
	}
	grpc_timeout_format(text, UINT64_MAX);
	assert_string_equal(text, "99999999H");
}

static void coded(struct sv in, const char *want)
{
	struct buf out, back;

	buf_init(&out, 65536);
	buf_init(&back, 65536);
	grpc_percent_encode(&out, in);
	assert_string_equal(buf_cstr(&out), want);
	grpc_percent_decode(&back, buf_sv(&out));
	assert_int_equal(buf_len(&back), in.n);
	if (in.n)
		assert_memory_equal(buf_sv(&back).p, in.p, in.n);
	buf_done(&out);
	buf_done(&back);
}

static void test_percent(void **state)
{
	struct buf out;
	char *big;

	(void)state;
	coded(SV(""), "");
	coded(SV("plain text ~"), "plain text ~");
	coded(SV("100%"), "100%25");
	coded(SV("a\nb\x7f\xc3\xbc"), "a%0Ab%7F%C3%BC");
	coded(SV("\0x"), "%00x");
	coded(SV("%%%"), "%25%25%25");

	/* Cut at the limit, and never beyond three times of it. */
	big = lab_body(3 * GRPC_TEXT_MAX);
	memset(big, '%', 3 * GRPC_TEXT_MAX);
	buf_init(&out, 3 * GRPC_TEXT_MAX);
	grpc_percent_encode(&out, sv_make(big, 3 * GRPC_TEXT_MAX));
	assert_int_equal(buf_len(&out), 3 * GRPC_TEXT_MAX);
	assert_false(out.full);
	buf_done(&out);
	mem_free(big);
}

static void test_percent_broken(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	grpc_percent_decode(&out, SV("%"));
	grpc_percent_decode(&out, SV("%4"));
	grpc_percent_decode(&out, SV("%4g%zz%41%6a"));
	assert_string_equal(buf_cstr(&out), "%%4%4g%zzAj");
	buf_done(&out);
}

static void test_codes(void **state)
{
	(void)state;
	assert_string_equal(grpc_code_name(0), "OK");
	assert_string_equal(grpc_code_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
	assert_string_equal(grpc_code_name(17), "an unknown code");
	assert_string_equal(grpc_code_name(-1), "an unknown code");
	assert_int_equal(grpc_code_of_http(404), GRPC_UNIMPLEMENTED);
	assert_int_equal(grpc_code_of_http(503), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_code_of_http(418), GRPC_UNKNOWN);
	assert_int_equal(grpc_code_of_reset(H2_REFUSED_STREAM), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_code_of_reset(H2_CANCEL), GRPC_CANCELLED);
	assert_int_equal(grpc_code_of_reset(H2_NO_ERROR), GRPC_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_split),   cmocka_unit_test(test_reader_limits),
		cmocka_unit_test(test_reader_middle),  cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_timeout_format), cmocka_unit_test(test_percent),
		cmocka_unit_test(test_percent_broken), cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
