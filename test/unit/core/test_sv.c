#include "core/sv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"

static void compares(void **state)
{
	(void)state;
	assert_true(sv_eq(SV("ab"), SV("ab")));
	assert_false(sv_eq(SV("ab"), SV("aB")));
	assert_false(sv_eq(SV("ab"), SV("abc")));
	assert_true(sv_eq(SV_NONE, SV("")));
	assert_true(sv_eqs(SV_NONE, NULL));
	assert_true(sv_eqs(SV("x"), "x"));
	assert_true(sv_ieq(SV("Content-TYPE"), SV("content-type")));
	assert_false(sv_ieq(SV("a["), SV("a{"))); /* differ by the case bit, are no letters */
	assert_false(sv_ieq(SV("a"), SV("ab")));
	assert_int_equal(sv_cmp(SV("a"), SV("b")), -1);
	assert_int_equal(sv_cmp(SV("ab"), SV("a")), 1);
	assert_int_equal(sv_cmp(SV("a"), SV("ab")), -1);
	assert_int_equal(sv_cmp(SV("a"), SV("a")), 0);
	assert_int_equal(sv_cmp(SV_NONE, SV("")), 0);
	assert_int_equal(sv_cmp(SV("\xff"), SV("a")), 1); /* bytes are unsigned */
}

static void affixes(void **state)
{
	(void)state;
	assert_true(sv_starts(SV("abc"), SV("ab")));
	assert_true(sv_starts(SV("abc"), SV_NONE));
	assert_false(sv_starts(SV("a"), SV("ab")));
	assert_true(sv_ends(SV("abc"), SV("bc")));
	assert_true(sv_ends(SV("abc"), SV("")));
	assert_false(sv_ends(SV("c"), SV("bc")));
	assert_true(sv_ends(SV_NONE, SV_NONE));
}

static void cuts(void **state)
{
	struct sv s = SV("a,bc,,d");

	(void)state;
	assert_true(sv_eqs(sv_cut(&s, ','), "a"));
	assert_true(sv_eqs(sv_cut(&s, ','), "bc"));
	assert_true(sv_eqs(sv_cut(&s, ','), ""));
	assert_true(sv_eqs(sv_cut(&s, ','), "d"));
	assert_int_equal(s.n, 0);
	assert_int_equal(sv_cut(&s, ',').n, 0);
	s = SV("a,");
	assert_true(sv_eqs(sv_cut(&s, ','), "a"));
	assert_int_equal(s.n, 0);
	s = SV_NONE;
	assert_int_equal(sv_cut(&s, ',').n, 0);
}

static void trims_drops_finds(void **state)
{
	(void)state;
	assert_true(sv_eqs(sv_trim(SV(" \t\r\n\v\fx y\n ")), "x y"));
	assert_int_equal(sv_trim(SV("  ")).n, 0);
	assert_int_equal(sv_trim(SV_NONE).n, 0);
	assert_true(sv_eqs(sv_drop(SV("abc"), 1), "bc"));
	assert_int_equal(sv_drop(SV("abc"), 9).n, 0);
	assert_int_equal(sv_drop(SV_NONE, 9).n, 0);
	assert_int_equal(sv_find(SV("abc"), 'c'), 2);
	assert_int_equal(sv_find(SV("abc"), 'x'), -1);
	assert_int_equal(sv_find(SV_NONE, 'x'), -1);
}

static void unsigned_numbers(void **state)
{
	uint64_t v = 99;

	(void)state;
	assert_int_equal(sv_u64(SV("0"), &v), 0);
	assert_true(v == 0);
	assert_int_equal(sv_u64(SV("18446744073709551615"), &v), 0);
	assert_true(v == UINT64_MAX);
	v = 99;
	assert_int_equal(sv_u64(SV("18446744073709551616"), &v), -ERANGE);
	assert_int_equal(sv_u64(SV("99999999999999999999999"), &v), -ERANGE);
	/* What is no number is not out of range, however long. */
	assert_int_equal(sv_u64(SV("99999999999999999999999x"), &v), -EINVAL);
	assert_int_equal(sv_u64(SV(""), &v), -EINVAL);
	assert_int_equal(sv_u64(SV_NONE, &v), -EINVAL);
	assert_int_equal(sv_u64(SV("-1"), &v), -EINVAL);
	assert_int_equal(sv_u64(SV("+1"), &v), -EINVAL);
	assert_int_equal(sv_u64(SV(" 1"), &v), -EINVAL);
	assert_int_equal(sv_u64(SV("1 "), &v), -EINVAL);
	assert_int_equal(sv_u64(SV("0x1"), &v), -EINVAL);
	assert_true(v == 99); /* a failure leaves it alone */
}

static void signed_numbers(void **state)
{
	int64_t v = 99;

	(void)state;
	assert_int_equal(sv_i64(SV("-9223372036854775808"), &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(sv_i64(SV("9223372036854775807"), &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(sv_i64(SV("-0"), &v), 0);
	assert_true(v == 0);
	assert_int_equal(sv_i64(SV("9223372036854775808"), &v), -ERANGE);
	assert_int_equal(sv_i64(SV("-9223372036854775809"), &v), -ERANGE);
	assert_int_equal(sv_i64(SV("-"), &v), -EINVAL);
	assert_int_equal(sv_i64(SV("--1"), &v), -EINVAL);
	assert_int_equal(sv_i64(SV("+1"), &v), -EINVAL);
}

static void bools(void **state)
{
	static const char *const yes[] = { "true", "True", "TRUE", "t", "T", "1" };
	static const char *const bad[] = { "", "yes", "truee", "tRUE", "2", " true" };
	bool b = false;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(yes); i++) {
		b = false;
		assert_int_equal(sv_bool(sv_str(yes[i]), &b), 0);
		assert_true(b);
	}
	assert_int_equal(sv_bool(SV("F"), &b), 0);
	assert_false(b);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sv_bool(sv_str(bad[i]), &b), -EINVAL);
}

/* Every code point, encoded by the rule, and the classes of broken sequences. */
static void utf8(void **state)
{
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xe0\x9f\xbf",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xff",
					   "\xc3(",
					   "\xe2\x82(" };
	unsigned c;
	size_t i, n, cut;
	char s[4];

	(void)state;
	for (c = 0; c <= 0x10ffff; c++) {
		if (c < 0x80) {
			s[0] = (char)c;
			n = 1;
		} else if (c < 0x800) {
			s[0] = (char)(0xc0 | c >> 6);
			n = 2;
		} else if (c < 0x10000) {
			s[0] = (char)(0xe0 | c >> 12);
			n = 3;
		} else {
			s[0] = (char)(0xf0 | c >> 18);
			n = 4;
		}
		for (i = 1; i < n; i++)
			s[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
		assert_int_equal(sv_utf8(sv_make(s, n)), c >= 0xd800 && c < 0xe000 ? 0 : n);
		for (cut = 0; cut < n; cut++)
			assert_int_equal(sv_utf8(sv_make(s, cut)), 0);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sv_utf8(sv_str(bad[i])), 0);
}

static void copies(void **state)
{
	char *s = sv_dup(SV("a\0b"));
	char small[4] = "zzz";

	(void)state;
	assert_memory_equal(s, "a\0b", 4);
	mem_free(s);
	s = sv_dup(SV_NONE);
	assert_string_equal(s, "");
	mem_free(s);
	assert_true(sv_copy(small, sizeof(small), SV("abc")));
	assert_string_equal(small, "abc");
	assert_false(sv_copy(small, sizeof(small), SV("wxyz")));
	assert_string_equal(small, "wxy");
	assert_true(sv_copy(small, 1, SV_NONE));
	assert_string_equal(small, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares),
		cmocka_unit_test(affixes),
		cmocka_unit_test(cuts),
		cmocka_unit_test(trims_drops_finds),
		cmocka_unit_test(unsigned_numbers),
		cmocka_unit_test(signed_numbers),
		cmocka_unit_test(bools),
		cmocka_unit_test(utf8),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
