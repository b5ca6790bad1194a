#include "core/list.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct item {
	int v;
	struct list node;
};

static void check(struct list *l, const char *expected)
{
	char got[32];
	size_t n = 0;

	list_for_each (i, l)
		got[n++] = (char)list_entry(i, struct item, node)->v;
	got[n] = '\0';
	assert_string_equal(got, expected);
	/* Backwards the same. */
	for (struct list *i = l->prev; i != l; i = i->prev)
		assert_int_equal(list_entry(i, struct item, node)->v, expected[--n]);
	assert_int_equal(n, 0);
}

static void pushes_and_pops(void **state)
{
	struct item a = { .v = 'a' }, b = { .v = 'b' }, c = { .v = 'c' };
	struct list l = LIST_INIT(l);

	(void)state;
	assert_true(list_empty(&l));
	assert_null(list_pop(&l));
	assert_false(list_linked(&a.node));
	list_push(&l, &b.node);
	list_push(&l, &c.node);
	list_push_front(&l, &a.node);
	check(&l, "abc");
	assert_true(list_linked(&a.node));
	list_remove(&b.node);
	check(&l, "ac");
	assert_false(list_linked(&b.node));
	list_remove(&b.node); /* again: nothing */
	check(&l, "ac");
	assert_ptr_equal(list_pop(&l), &a.node);
	assert_ptr_equal(list_pop(&l), &c.node);
	assert_true(list_empty(&l));
}

static void zeroed_node_may_be_removed(void **state)
{
	struct item a = { 0 };

	(void)state;
	list_remove(&a.node);
	assert_false(list_linked(&a.node));
}

static void body_may_remove(void **state)
{
	struct item items[] = { { .v = 'a' }, { .v = 'b' }, { .v = 'c' }, { .v = 'd' } };
	struct list l = LIST_INIT(l);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(items); i++)
		list_push(&l, &items[i].node);
	list_for_each_safe (n, &l) {
		if (list_entry(n, struct item, node)->v % 2)
			list_remove(n);
	}
	check(&l, "bd");
}

static void splices(void **state)
{
	struct item a = { .v = 'a' }, b = { .v = 'b' }, c = { .v = 'c' };
	struct list to = LIST_INIT(to), from = LIST_INIT(from);

	(void)state;
	list_push(&to, &a.node);
	list_splice(&to, &from);
	check(&to, "a");
	list_push(&from, &b.node);
	list_push(&from, &c.node);
	list_splice(&to, &from);
	check(&to, "abc");
	assert_true(list_empty(&from));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_and_pops),
		cmocka_unit_test(zeroed_node_may_be_removed),
		cmocka_unit_test(body_may_remove),
		cmocka_unit_test(splices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
