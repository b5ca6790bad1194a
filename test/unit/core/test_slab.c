#include "core/slab.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct object {
	uint64_t id;
	char fill[33];
};

static void handles_go_stale(void **state)
{
	struct slab *s = slab_new(sizeof(struct object), 10);
	slab_handle a, b;
	struct object *o;

	(void)state;
	assert_null(slab_get(s, 0));
	assert_null(slab_get(s, 1));
	o = slab_get_new(s, &a);
	assert_non_null(o);
	assert_int_not_equal(a, 0);
	assert_ptr_equal(slab_get(s, a), o);
	o->id = 7;
	memset(o->fill, 'x', sizeof(o->fill));
	slab_release(s, a);
	assert_null(slab_get(s, a));
	assert_int_equal(slab_count(s), 0);
	/* The place is used again, zeroed, under another handle. */
	assert_ptr_equal(slab_get_new(s, &b), o);
	assert_int_equal(o->id, 0);
	assert_int_equal(o->fill[32], 0);
	assert_int_not_equal(a, b);
	assert_null(slab_get(s, a));
	slab_release(s, a); /* stale: the new owner keeps it */
	assert_ptr_equal(slab_get(s, b), o);
	slab_release(s, b);
	slab_release(s, b);
	assert_int_equal(slab_count(s), 0);
	slab_release(s, 0);
	slab_release(s, UINT64_MAX);
	slab_free(&s);
	assert_null(s);
	slab_free(&s);
}

enum { MANY = 200 };

static void addresses_are_stable_and_apart(void **state)
{
	struct slab *s = slab_new(sizeof(struct object), MANY);
	struct object *o[MANY], *found;
	slab_handle h[MANY], extra;
	uint32_t pos = 0, seen = 0;
	size_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		o[i] = slab_get_new(s, &h[i]);
		assert_non_null(o[i]);
		assert_int_equal((uintptr_t)o[i] % 16, 0);
		o[i]->id = i;
		memset(o[i]->fill, (int)i, sizeof(o[i]->fill));
	}
	assert_null(slab_get_new(s, &extra));
	assert_int_equal(slab_count(s), MANY);
	for (i = 0; i < MANY; i++) {
		assert_ptr_equal(slab_get(s, h[i]), o[i]);
		assert_int_equal(o[i]->id, i);
		assert_int_equal((unsigned char)o[i]->fill[32], i);
	}
	/* The body may release what it visits. */
	while ((found = slab_next(s, &pos, &extra))) {
		assert_ptr_equal(slab_get(s, extra), found);
		seen++;
		if (found->id % 2)
			slab_release(s, extra);
	}
	assert_int_equal(seen, MANY);
	assert_int_equal(slab_count(s), MANY / 2);
	pos = seen = 0;
	while ((found = slab_next(s, &pos, &extra))) {
		assert_int_equal(found->id % 2, 0);
		seen++;
	}
	assert_int_equal(seen, MANY / 2);
	assert_non_null(slab_get_new(s, &extra));
	slab_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handles_go_stale),
		cmocka_unit_test(addresses_are_stable_and_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
