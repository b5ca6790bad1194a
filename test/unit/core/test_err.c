#include "core/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/sv.h"
#include "test/unit/core/dies.h"

static void sets_and_returns_code(void **state)
{
	struct err e = { "old" };

	(void)state;
	assert_int_equal(err_set(&e, -ENOENT, "no %s", "claim"), -ENOENT);
	assert_string_equal(e.text, "no claim");
	assert_int_equal(err_set(&e, 7, "positive"), 7);
	assert_string_equal(err_text(&e), "positive");
}

static void null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_sys(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_wrap(NULL, -EIO, "x"), -EIO);
	assert_string_equal(err_text(NULL), "");
}

static void sys_appends_reason(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_sys(&e, -ENOENT, "open %s", "/x"), -ENOENT);
	assert_string_equal(e.text, "open /x: No such file or directory");
	assert_int_equal(err_sys(&e, -4000, "odd"), -4000);
	assert_string_equal(e.text, "odd: error 4000");
}

static void wrap_puts_context_in_front(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, -EINVAL, "bad digit");
	assert_int_equal(err_wrap(&e, -EINVAL, "claim %d", 3), -EINVAL);
	err_wrap(&e, -EINVAL, "prepare");
	assert_string_equal(e.text, "prepare: claim 3: bad digit");
	e.text[0] = '\0';
	err_wrap(&e, -EINVAL, "alone");
	assert_string_equal(e.text, "alone");
}

static void text_may_be_its_own_argument(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, -EIO, "inner");
	err_set(&e, -EIO, "outer (%s)", e.text);
	assert_string_equal(e.text, "outer (inner)");
	err_wrap(&e, -EIO, "%s", e.text);
	assert_string_equal(e.text, "outer (inner): outer (inner)");
}

static void long_text_is_cut_at_a_character(void **state)
{
	char text[2 * ERR_TEXT_MAX + 1];
	struct err e;
	struct sv rest;
	size_t i, n;

	(void)state;
	/* Two-byte characters, at an odd and an even offset: one of them meets the cut. */
	for (i = 0; i < 2; i++) {
		memset(text, 'a', i);
		for (n = i; n + 2 < sizeof(text); n += 2)
			memcpy(text + n, "\xc3\xa9", 2);
		text[n] = '\0';
		err_set(&e, -EIO, "start");
		err_wrap(&e, -EIO, "%s", text);
		n = strlen(e.text);
		assert_in_range(n, ERR_TEXT_MAX - 4, ERR_TEXT_MAX - 1);
		for (rest = sv_str(e.text); rest.n; rest = sv_drop(rest, sv_utf8(rest)))
			assert_int_not_equal(sv_utf8(rest), 0);
	}
}

static void keep_true(void *arg)
{
	must(arg);
	_exit(3);
}

static void must_says_where_and_aborts(void **state)
{
	char said[DIES_SAID_MAX];

	(void)state;
	assert_true(dies(keep_true, NULL, said));
	assert_non_null(strstr(said, "must(arg)"));
	assert_non_null(strstr(said, "test_err.c:"));
	assert_false(dies(keep_true, said, said));
}

static void sys_wants_a_negative_code(void *arg)
{
	err_sys(arg, 5, "x");
}

static void sys_refuses_a_positive_code(void **state)
{
	char said[DIES_SAID_MAX];

	(void)state;
	assert_true(dies(sys_wants_a_negative_code, NULL, said));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_and_returns_code),
		cmocka_unit_test(null_is_allowed),
		cmocka_unit_test(sys_appends_reason),
		cmocka_unit_test(wrap_puts_context_in_front),
		cmocka_unit_test(text_may_be_its_own_argument),
		cmocka_unit_test(long_text_is_cut_at_a_character),
		cmocka_unit_test(must_says_where_and_aborts),
		cmocka_unit_test(sys_refuses_a_positive_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
