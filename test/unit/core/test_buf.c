#include "core/buf.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/unit/core/dies.h"

static void queue_keeps_order(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_sv(&b).n, 0);
	assert_string_equal(buf_cstr(&b), "");
	assert_true(buf_puts(&b, "abc"));
	assert_true(buf_putc(&b, 'd'));
	assert_true(buf_put_sv(&b, SV("ef")));
	assert_true(buf_put_sv(&b, SV_NONE));
	assert_true(buf_printf(&b, "%d", 12));
	buf_take(&b, 2);
	assert_string_equal(buf_cstr(&b), "cdef12");
	assert_true(sv_eqs(buf_sv(&b), "cdef12"));
	buf_take(&b, 6);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
	buf_done(&b);
}

static void beyond_the_cap_nothing_enters(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_true(buf_puts(&b, "12345"));
	assert_false(b.full);
	assert_false(buf_puts(&b, "6789"));
	assert_true(b.full);
	assert_string_equal(buf_cstr(&b), "12345");
	assert_false(buf_printf(&b, "%s", "6789"));
	assert_null(buf_reserve(&b, 4));
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(buf_puts(&b, "678")); /* exactly the cap, and its terminator beside */
	assert_string_equal(buf_cstr(&b), "12345678");
	assert_true(b.full); /* sticky */
	buf_clear(&b);
	assert_false(b.full);
	/* A long formatting into an empty buf of a small cap. */
	assert_false(buf_printf(&b, "%0100d", 1));
	assert_int_equal(buf_len(&b), 0);
	assert_true(buf_printf(&b, "%08d", 1));
	buf_done(&b);
}

static void room_at_the_front_is_used_again(void **state)
{
	struct buf b;
	unsigned i;

	(void)state;
	buf_init(&b, 64);
	/* A thousand times the cap passes through. */
	for (i = 0; i < 64000; i++) {
		assert_true(buf_putc(&b, (char)('a' + i % 26)));
		if (i >= 63) {
			assert_int_equal(buf_sv(&b).p[0], 'a' + (i - 63) % 26);
			buf_take(&b, 1);
		}
	}
	assert_false(b.full);
	assert_true(b.size <= 64);
	buf_done(&b);
}

static void reserve_and_commit(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 10000);
	p = buf_reserve(&b, 5000);
	assert_non_null(p);
	memset(p, 'x', 5000);
	assert_int_equal(buf_len(&b), 0);
	buf_commit(&b, 10);
	assert_string_equal(buf_cstr(&b), "xxxxxxxxxx");
	buf_done(&b);
}

static void printf_at_every_room(void **state)
{
	struct buf b;
	size_t before, len;

	(void)state;
	/* Text of every length behind content of every length: fits, just fits, does not fit. */
	for (before = 0; before < 40; before++) {
		for (len = 0; len < 300; len += 7) {
			buf_init(&b, 1000);
			assert_true(buf_printf(&b, "%*s", (int)before, ""));
			assert_true(buf_printf(&b, "%0*d", (int)len + 1, 5));
			assert_int_equal(buf_len(&b), before + len + 1);
			assert_int_equal(buf_cstr(&b)[before + len], '5');
			buf_done(&b);
		}
	}
}

static void steals_and_trims(void **state)
{
	struct buf b;
	char *s;

	(void)state;
	buf_init(&b, 100);
	buf_puts(&b, "abcdef");
	buf_take(&b, 2);
	s = buf_steal(&b);
	assert_string_equal(s, "cdef");
	mem_free(s);
	assert_int_equal(buf_len(&b), 0);
	s = buf_steal(&b);
	assert_string_equal(s, "");
	mem_free(s);
	buf_puts(&b, "x");
	buf_trim(&b);
	assert_non_null(b.data); /* content stays */
	buf_take(&b, 1);
	buf_trim(&b);
	assert_null(b.data);
	assert_true(buf_puts(&b, "again"));
	buf_done(&b);
}

static void reals(void **state)
{
	static const struct {
		double v;
		const char *text;
	} rows[] = { { 0, "0" },	 { 1, "1" },	      { 0.1, "0.1" },
		     { 0.005, "0.005" }, { -2.5, "-2.5" },    { 100000, "100000" },
		     { 1e15, "1e+15" },	 { 1e300, "1e+300" }, { 1.0 / 3, "0.3333333333333333" } };
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		buf_clear(&b);
		assert_true(buf_put_real(&b, rows[i].v));
		assert_string_equal(buf_cstr(&b), rows[i].text);
	}
	buf_clear(&b);
	buf_put_real(&b, NAN);
	buf_put_real(&b, INFINITY);
	buf_put_real(&b, -INFINITY);
	assert_string_equal(buf_cstr(&b), "NaN+Inf-Inf");
	buf_done(&b);
}

static void take_too_much(void *arg)
{
	buf_take(arg, 4);
}

static void commit_too_much(void *arg)
{
	buf_commit(arg, 100000);
}

static void misuse_aborts(void **state)
{
	char said[DIES_SAID_MAX];
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_puts(&b, "abc");
	assert_true(dies(take_too_much, &b, said));
	assert_true(dies(commit_too_much, &b, said));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_keeps_order),
		cmocka_unit_test(beyond_the_cap_nothing_enters),
		cmocka_unit_test(room_at_the_front_is_used_again),
		cmocka_unit_test(reserve_and_commit),
		cmocka_unit_test(printf_at_every_room),
		cmocka_unit_test(steals_and_trims),
		cmocka_unit_test(reals),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
