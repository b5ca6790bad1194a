/* Virtual time: it jumps, stands still for what is ready, and repeats by its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/core/loop_world.h"

static void virtual_clock_jumps(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a');

	(void)state;
	assert_int_equal(loop_now_ms(w->loop), 0);
	assert_int_equal(loop_wall_ms(w->loop), 1000000);
	a.again = 23;
	a.delay_ms = 3600000;
	loop_timer_init(&a.timer, w->loop, on_rearm, &a);
	loop_timer_set(&a.timer, a.delay_ms);
	assert_true(loop_turn(w->loop, 1000)); /* at most that far */
	assert_int_equal(loop_now_ms(w->loop), 1000);
	assert_string_equal(w->trace, "");
	loop_run(w->loop);
	assert_int_equal(w->n, 24);
	assert_int_equal(loop_now_ms(w->loop), 24 * 3600000);
	assert_int_equal(loop_now_us(w->loop), UINT64_C(24) * 3600000000);
	assert_int_equal(loop_wall_ms(w->loop), 1000000 + 24 * 3600000);
	loop_skew_wall(w->loop, -500000);
	assert_int_equal(loop_wall_ms(w->loop), 500000 + 24 * 3600000);
	assert_false(loop_turn(w->loop, 1000)); /* nothing left: the clock stays */
	assert_int_equal(loop_now_ms(w->loop), 24 * 3600000);
	end_world(w);
}

static void ready_descriptor_holds_the_clock(void **state)
{
	struct world *w = virtual_world();
	struct actor a = actor(w, 'a'), t = actor(w, 't');
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	a.fd = pair[0];
	loop_io_init(&a.io, w->loop, pair[0], on_io, &a);
	loop_io_want(&a.io, LOOP_READ);
	loop_timer_init(&t.timer, w->loop, on_actor, &t);
	loop_timer_set(&t.timer, 10);
	assert_int_equal(write(pair[1], "123", 3), 3);
	assert_true(loop_turn(w->loop, -1));
	assert_true(loop_turn(w->loop, -1));
	assert_true(loop_turn(w->loop, -1));
	assert_int_equal(loop_now_ms(w->loop), 0);
	assert_true(loop_turn(w->loop, -1));
	assert_string_equal(w->trace, "123t");
	loop_io_done(&a.io);
	close(pair[0]);
	close(pair[1]);
	end_world(w);
}

static void dice_repeat_by_seed(void **state)
{
	struct loop *a = loop_new_virtual(0, 7), *b = loop_new_virtual(0, 7);
	struct loop *c = loop_new_virtual(0, 8), *d = loop_new(), *e = loop_new();
	uint64_t first = loop_random(a);
	size_t i;

	(void)state;
	assert_true(loop_random(b) == first);
	assert_true(loop_random(c) != first);
	assert_true(loop_random(d) != loop_random(e));
	for (i = 0; i < 1000; i++)
		assert_true(loop_random(a) == loop_random(b));
	loop_free(&a);
	loop_free(&b);
	loop_free(&c);
	loop_free(&d);
	loop_free(&e);
}

static void jitter_stays_in_range(void **state)
{
	struct loop *l = loop_new_virtual(0, 7);
	uint64_t v, low = UINT64_MAX, high = 0;
	size_t i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		v = loop_jitter(l, 1000, 20);
		low = MIN(low, v);
		high = MAX(high, v);
	}
	assert_in_range(low, 800, 805);
	assert_in_range(high, 1195, 1200);
	assert_int_equal(loop_jitter(l, 1000, 0), 1000);
	assert_int_equal(loop_jitter(l, 0, 50), 0);
	loop_free(&l);
}

/* Ends and signals */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtual_clock_jumps),
		cmocka_unit_test(ready_descriptor_holds_the_clock),
		cmocka_unit_test(dice_repeat_by_seed),
		cmocka_unit_test(jitter_stays_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
