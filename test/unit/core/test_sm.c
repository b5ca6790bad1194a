#include "core/sm.h"

#include <setjmp.h>

#include <cmocka.h>

#include "test/unit/core/dies.h"

enum { IDLE, BUSY, DONE };

static const struct sm_conf conf[] = {
	[IDLE] = { .name = "idle", .to = SM_TO(BUSY) },
	[BUSY] = { .name = "busy", .to = SM_TO(BUSY) | SM_TO(DONE) | SM_TO(IDLE) },
	[DONE] = { .name = "done" },
};

struct machine {
	int work;
	struct sm sm;
};

static int last_prev;

static bool holds(const struct sm *sm, int prev)
{
	last_prev = prev;
	return container_of(sm, const struct machine, sm)->work == (sm_state(sm) == BUSY);
}

static void allowed_moves(void **state)
{
	struct machine m = { 0 };

	(void)state;
	sm_init(&m.sm, conf, holds, IDLE);
	assert_string_equal(sm_name(&m.sm), "idle");
	m.work = 1;
	sm_move(&m.sm, BUSY);
	assert_int_equal(sm_state(&m.sm), BUSY);
	assert_int_equal(last_prev, IDLE);
	sm_move(&m.sm, BUSY); /* to itself, since the table says so */
	m.work = 0;
	sm_move(&m.sm, DONE);
	assert_string_equal(sm_name(&m.sm), "done");
	assert_int_equal(last_prev, BUSY);
	sm_init(&m.sm, conf, NULL, IDLE);
	sm_move(&m.sm, BUSY);
}

static void illegal(void *arg)
{
	struct machine m = { 0 };

	sm_init(&m.sm, conf, holds, IDLE);
	sm_move(&m.sm, *(const int *)arg);
}

static void broken_invariant(void *arg)
{
	struct machine m = { 0 };

	(void)arg;
	sm_init(&m.sm, conf, holds, IDLE);
	sm_move(&m.sm, BUSY); /* without work */
}

static void misuse_aborts_and_says_where(void **state)
{
	static const int moves[] = { IDLE, DONE, 31, 32, -1 };
	char said[DIES_SAID_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(moves); i++) {
		int to = moves[i];

		assert_true(dies(illegal, &to, said));
		assert_non_null(strstr(said, "illegal move from idle to state "));
	}
	assert_true(dies(broken_invariant, NULL, said));
	assert_non_null(strstr(said, "invariant from idle to state 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allowed_moves),
		cmocka_unit_test(misuse_aborts_and_says_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
