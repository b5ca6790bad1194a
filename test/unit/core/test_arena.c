#include "core/arena.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool zero(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && !p[i]; i++) {
	}
	return i == n;
}

static void pieces_do_not_overlap(void **state)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 100, 2000, 2048, 5000, 70000, 3, 40000, 8 };
	char *p[ARRAY_LEN(sizes)];
	struct arena *a = arena_new(1 << 20);
	size_t i, j, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			p[i] = arena_alloc(a, sizes[i]);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			assert_true(zero(p[i], sizes[i]));
			memset(p[i], (int)i + 1, sizes[i]);
		}
		for (i = 0; i < ARRAY_LEN(sizes); i++) {
			for (j = 0; j < sizes[i]; j++)
				assert_int_equal(p[i][j], i + 1);
		}
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void cap_holds(void **state)
{
	struct arena *a = arena_new(1000);
	size_t n = 0;

	(void)state;
	assert_null(arena_alloc(a, 1001));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 15));
	assert_null(arena_strdup(a, sv_make("", SIZE_MAX)));
	while (arena_alloc(a, 10))
		n++;
	assert_int_equal(n, 1000 / 16);
	assert_true(arena_used(a) <= 1000);
	arena_reset(a);
	assert_non_null(arena_alloc(a, 900));
	arena_free(&a);
}

static void nothing_has_an_address(void **state)
{
	struct arena *a = arena_new(64);
	void *p = arena_alloc(a, 0), *q = arena_alloc(a, 0);

	(void)state;
	assert_non_null(p);
	assert_non_null(q);
	assert_ptr_not_equal(p, q);
	arena_free(&a);
}

static void strings_are_terminated(void **state)
{
	struct arena *a = arena_new(1000);

	(void)state;
	assert_string_equal(arena_strdup(a, sv_make("abcdef", 3)), "abc");
	assert_string_equal(arena_strdup(a, SV_NONE), "");
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(cap_holds),
		cmocka_unit_test(nothing_has_an_address),
		cmocka_unit_test(strings_are_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
