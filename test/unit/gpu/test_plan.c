/*
 * Plans with a vendor of our own whose operations leave a trace: order, rollback, the ledger's
 * form. The inventory is never started; it lends its table of vendors.
 */
#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/mem.h"
#include "gpu/inventory.h"
#include "gpu/plan.h"
#include "gpu/proto/tlv.h"
#include "gpu/vendor.h"

static struct {
	char trace[256];
	const char *fail_at, *undo_fail_at; /* "run b" */
	bool later;			    /* operations answer when told */
	struct plan_step *pending;
	unsigned cancelled;
} world;

static int note(const char *what, struct plan_step *s, struct err *e)
{
	struct sv args = plan_step_args(s);
	char line[64];

	snprintf(line, sizeof(line), "%s " SV_FMT, what, SV_ARG(args));
	strncat(world.trace, line, sizeof(world.trace) - strlen(world.trace) - 1);
	strncat(world.trace, ", ", sizeof(world.trace) - strlen(world.trace) - 1);
	if ((world.fail_at && strcmp(line, world.fail_at) == 0) ||
	    (world.undo_fail_at && strcmp(line, world.undo_fail_at) == 0))
		return err_set(e, -EIO, "%s failed", line);
	if (!world.later)
		return 0;
	world.pending = s;
	return PLAN_PENDING;
}

static int op_run(struct plan_step *s, struct err *e)
{
	plan_step_set_result(s, SV("result"));
	return note("run", s, e);
}

static int op_undo(struct plan_step *s, struct err *e)
{
	return note("undo", s, e);
}

static void op_cancel(struct plan_step *s)
{
	assert_ptr_equal(s, world.pending);
	world.pending = NULL;
	world.cancelled++;
}

static const struct plan_op ops[] = {
	{ "make", true, op_run, op_undo, op_cancel },
	{ "look", false, op_run, NULL, NULL },
};

/* The configuration names the operations: "ab" = two of "make", with "a" and "b". */
static int vendor_plan(struct plan *p, const struct gpu_device *d, struct sv json, struct err *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < json.n && r == 0; i++)
		r = plan_add_step(p, d, &ops[json.p[i] == '?' ? 1 : 0], sv_make(json.p + i, 1), e);
	return r;
}

static const struct gpu_vendor vendor = { .name = "acme",
					  .driver = "gpu.acme.example",
					  .role = "acme",
					  .plan = vendor_plan,
					  .ops = ops,
					  .ops_n = ARRAY_LEN(ops) };
static const struct gpu_vendor *const table[] = { &vendor, NULL };
static const struct roots roots;
static const struct worker_host host; /* never asked */

static struct gpu_device device = { .vendor = &vendor,
				    .name = "acme-0",
				    .pci = "0000:01:00.0",
				    .uuid = "ACME-0",
				    .present = true };

struct fixture {
	struct loop *loop;
	struct inventory *inv;
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct inventory_conf conf = { .roots = &roots, .host = &host, .vendors = table };

	memset(&world, 0, sizeof(world));
	f->loop = loop_new_virtual(0, 1);
	f->inv = inventory_new(f->loop, &conf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	inventory_free(&f->inv);
	loop_free(&f->loop);
	mem_free(f);
	return 0;
}

static struct plan *plan_of(struct fixture *f, const char *config)
{
	struct plan *p = plan_new(f->inv);
	struct err e;

	assert_int_equal(plan_add(p, &device, sv_str(config), &e), 0);
	return p;
}

struct answer {
	unsigned calls;
	int status;
	char text[ERR_TEXT_MAX];
	struct plan *free_me;
};

static void on_done(void *arg, int status, const struct err *e)
{
	struct answer *a = arg;

	a->calls++;
	a->status = status;
	snprintf(a->text, sizeof(a->text), "%s", err_text(e));
	plan_free(&a->free_me);
}

static void test_runs_in_order(void **state)
{
	struct plan *p = plan_of(*state, "a?b");
	struct answer a = { 0 };

	assert_true(plan_needs_worker(p));
	plan_run(p, on_done, &a);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.status, 0);
	assert_string_equal(world.trace, "run a, run ?, run b, ");
	plan_undo(p, on_done, &a);
	assert_string_equal(world.trace, "run a, run ?, run b, undo b, undo a, ");
	plan_undo(p, on_done, &a); /* nothing is left */
	assert_string_equal(world.trace, "run a, run ?, run b, undo b, undo a, ");
	assert_int_equal(a.calls, 3);
	plan_free(&p);
}

static void test_empty(void **state)
{
	struct plan *p = plan_of(*state, "");
	struct answer a = { 0 };

	assert_false(plan_needs_worker(p));
	plan_run(p, on_done, &a);
	plan_undo(p, on_done, &a);
	assert_int_equal(a.calls, 2);
	assert_int_equal(a.status, 0);
	plan_free(&p);
}

/* The one that failed is undone too: it may have done half. */
static void test_failure_rolls_back(void **state)
{
	struct plan *p = plan_of(*state, "abc");
	struct answer a = { 0 };

	world.fail_at = "run b";
	plan_run(p, on_done, &a);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.status, -EIO);
	assert_string_equal(a.text, "run b failed");
	assert_string_equal(world.trace, "run a, run b, undo b, undo a, ");
	plan_free(&p);
}

static void test_failing_undo_is_said_and_repeatable(void **state)
{
	struct plan *p = plan_of(*state, "abc");
	struct answer a = { 0 };

	world.fail_at = "run c";
	world.undo_fail_at = "undo b";
	plan_run(p, on_done, &a);
	assert_int_equal(a.status, -EIO);
	assert_string_equal(a.text, "run c failed; undo of acme-0 failed: undo b failed");
	assert_string_equal(world.trace, "run a, run b, run c, undo c, undo b, undo a, ");
	world.trace[0] = '\0';
	world.undo_fail_at = NULL;
	plan_undo(p, on_done, &a);
	assert_int_equal(a.status, 0);
	assert_string_equal(world.trace, "undo b, ");
	plan_free(&p);
}

static void test_later(void **state)
{
	struct plan *p = plan_of(*state, "ab");
	struct answer a = { .free_me = p };
	struct err e = { "slow failure" };

	world.later = true;
	plan_run(p, on_done, &a);
	assert_string_equal(world.trace, "run a, ");
	plan_step_done(world.pending, 0, NULL);
	assert_string_equal(world.trace, "run a, run b, ");
	plan_step_done(world.pending, -EBUSY, &e);
	assert_int_equal(a.calls, 0);
	plan_step_done(world.pending, 0, NULL);
	plan_step_done(world.pending, 0, NULL); /* frees the plan in its callback */
	assert_string_equal(world.trace, "run a, run b, undo b, undo a, ");
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.status, -EBUSY);
	assert_string_equal(a.text, "slow failure");
}

static void test_undo_ends_a_run(void **state)
{
	struct plan *p = plan_of(*state, "ab");
	struct answer a = { 0 }, b = { 0 };

	world.later = true;
	plan_run(p, on_done, &a);
	world.later = false;
	plan_undo(p, on_done, &b);
	assert_int_equal(world.cancelled, 1);
	assert_int_equal(a.calls, 0);
	assert_int_equal(b.calls, 1);
	/* What was not run yet is undone all the same: undo is idempotent, doubt is not. */
	assert_string_equal(world.trace, "run a, undo b, undo a, ");
	plan_free(&p);
}

static void test_free_while_pending(void **state)
{
	struct plan *p = plan_of(*state, "ab");
	struct answer a = { 0 };

	world.later = true;
	plan_run(p, on_done, &a);
	plan_free(&p);
	assert_int_equal(world.cancelled, 1);
	assert_int_equal(a.calls, 0);
}

static void test_unusable_devices(void **state)
{
	struct fixture *f = *state;
	struct plan *p = plan_new(f->inv);
	struct gpu_device d = device;
	struct err e;

	d.present = false;
	assert_int_equal(plan_add(p, &d, SV("a"), &e), -ENODEV);
	assert_non_null(strstr(e.text, "acme-0 (0000:01:00.0) is no longer on this node"));
	d.present = true;
	snprintf(d.trouble, sizeof(d.trouble), "it smokes");
	assert_int_equal(plan_add(p, &d, SV("a"), &e), -ENODEV);
	assert_non_null(strstr(e.text, "it smokes"));
	plan_free(&p);
}

static void test_too_many_steps(void **state)
{
	struct fixture *f = *state;
	struct plan *p = plan_new(f->inv);
	struct err e;
	int i;

	for (i = 0; i < PLAN_STEPS_MAX; i++)
		assert_int_equal(plan_add(p, &device, SV("a"), &e), 0);
	assert_int_equal(plan_add(p, &device, SV("a"), &e), -E2BIG);
	plan_free(&p);
}

/* ---- in the ledger ---- */

static void test_ledger(void **state)
{
	struct fixture *f = *state;
	struct plan *p = plan_of(f, "ab"), *back = NULL;
	struct answer a = { 0 };
	struct buf bytes, again;
	struct err e;

	buf_init(&bytes, 1 << 16);
	buf_init(&again, 1 << 16);
	plan_encode(p, &bytes); /* the intent: nothing has run */
	assert_int_equal(plan_decode(f->inv, buf_sv(&bytes), &back, &e), 0);
	plan_undo(back, on_done, &a);
	assert_string_equal(world.trace, "undo b, undo a, ");
	plan_free(&back);

	plan_run(p, on_done, &a);
	buf_clear(&bytes);
	plan_encode(p, &bytes);
	assert_int_equal(plan_decode(f->inv, buf_sv(&bytes), &back, &e), 0);
	plan_encode(back, &again);
	assert_true(sv_eq(buf_sv(&bytes), buf_sv(&again)));
	plan_free(&back);
	plan_free(&p);
	buf_done(&bytes);
	buf_done(&again);
}

/* A newer version's fields come through an older one unharmed, at both levels. */
static void test_unknown_fields_are_kept(void **state)
{
	struct fixture *f = *state;
	struct plan *p = NULL;
	struct buf bytes, again;
	struct tlv_reader r;
	struct err e;
	uint16_t tag;
	struct sv v;
	size_t mark, found = 0;

	buf_init(&bytes, 1 << 16);
	buf_init(&again, 1 << 16);
	tlv_put_u64(&bytes, 1, 1);
	mark = tlv_open(&bytes, 2);
	tlv_put_str(&bytes, 1, "acme");
	tlv_put_str(&bytes, 200, "inner news");
	tlv_put_str(&bytes, 2, "make");
	tlv_close(&bytes, mark);
	tlv_put_str(&bytes, 300, "outer news");
	assert_int_equal(plan_decode(f->inv, buf_sv(&bytes), &p, &e), 0);
	plan_encode(p, &again);
	r = tlv_read(buf_sv(&again));
	while (tlv_next(&r, &tag, &v)) {
		if (tag == 300)
			found += sv_eqs(v, "outer news");
		if (tag == 2) {
			struct tlv_reader step = tlv_read(v);

			while (tlv_next(&step, &tag, &v))
				found += tag == 200 && sv_eqs(v, "inner news");
		}
	}
	assert_int_equal(found, 2);
	plan_free(&p);
	buf_done(&bytes);
	buf_done(&again);
}

static void refuse(struct fixture *f, struct buf *bytes, int status, const char *says)
{
	struct plan *p = NULL;
	struct err e = { "" };

	assert_int_equal(plan_decode(f->inv, buf_sv(bytes), &p, &e), status);
	assert_null(p);
	assert_non_null(strstr(e.text, says));
	buf_clear(bytes);
}

static void put_step(struct buf *b, const char *who, const char *op)
{
	size_t mark = tlv_open(b, 2);

	tlv_put_str(b, 1, who);
	tlv_put_str(b, 2, op);
	tlv_close(b, mark);
}

static void test_refused_records(void **state)
{
	struct fixture *f = *state;
	struct buf b;
	size_t mark;
	int i;

	buf_init(&b, 1 << 20);
	tlv_put_u64(&b, 1, 2);
	refuse(f, &b, -ENOTSUP, "plan of format 2");
	put_step(&b, "zorg", "make");
	refuse(f, &b, -ENOTSUP, "vendor \"zorg\"");
	put_step(&b, "acme", "explode");
	refuse(f, &b, -ENOTSUP, "operation \"explode\" of vendor acme");
	put_step(&b, NULL, NULL);
	refuse(f, &b, -ENOTSUP, "vendor \"\"");
	buf_puts(&b, "garbage");
	refuse(f, &b, -EBADMSG, "damaged");
	for (i = 0; i <= PLAN_STEPS_MAX; i++)
		put_step(&b, "acme", "make");
	refuse(f, &b, -EBADMSG, "damaged");
	mark = tlv_open(&b, 2);
	tlv_put_str(&b, 1, "acme");
	tlv_put_str(&b, 2, "make");
	tlv_put_u64(&b, 6, 99); /* a state that there is not */
	tlv_close(&b, mark);
	refuse(f, &b, -EBADMSG, "damaged");
	buf_done(&b);
}

static void test_every_cut(void **state)
{
	struct fixture *f = *state;
	struct plan *p = plan_of(f, "ab"), *back;
	struct buf bytes;
	struct err e;
	size_t n;
	char *copy;

	buf_init(&bytes, 1 << 16);
	plan_encode(p, &bytes);
	for (n = 0; n < buf_len(&bytes); n++) {
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, buf_sv(&bytes).p, n);
		back = NULL;
		if (plan_decode(f->inv, sv_make(copy, n), &back, &e) == 0)
			plan_free(&back);
		free(copy);
	}
	plan_free(&p);
	buf_done(&bytes);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_runs_in_order),
		T(test_empty),
		T(test_failure_rolls_back),
		T(test_failing_undo_is_said_and_repeatable),
		T(test_later),
		T(test_undo_ends_a_run),
		T(test_free_while_pending),
		T(test_unusable_devices),
		T(test_too_many_steps),
		T(test_ledger),
		T(test_unknown_fields_are_kept),
		T(test_refused_records),
		T(test_every_cut),
	};

	return RUN(tests);
}
