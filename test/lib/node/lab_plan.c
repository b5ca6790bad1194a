#include "test/lib/node/lab_plan.h"

#include <errno.h>

#include "gpu/nvidia/model/nvidia_config.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "gpu/plan.h"
#include "test/lib/node/lab.h"

/* One table for the program: plans know no test. lab_new() resets it. */
static struct lab_plans plans;

struct lab_plans *lab_plans(void)
{
	return &plans;
}

static int op_run(struct plan_step *s, struct err *e)
{
	plans.runs++;
	if (plans.hold) {
		must(plans.held_n < LAB_HELD_MAX);
		plans.held[plans.held_n++] = s;
		return PLAN_PENDING;
	}
	if (plans.run)
		return err_set(e, plans.run, "the device refuses");
	return plan_step_device(s) ? 0 : plan_step_missing(s, e);
}

static int op_undo(struct plan_step *s, struct err *e)
{
	(void)s;
	plans.undos++;
	return plans.undo ? err_set(e, plans.undo, "the device cannot be reset") : 0;
}

static void op_cancel(struct plan_step *s)
{
	for (size_t i = 0; i < plans.held_n; i++)
		if (plans.held[i] == s)
			plans.held[i] = plans.held[--plans.held_n];
}

void lab_plans_release(void)
{
	struct err e = { "the device refuses" };

	plans.hold = false;
	while (plans.held_n)
		plan_step_done(plans.held[--plans.held_n], plans.run, plans.run ? &e : NULL);
}

static const struct plan_op ops[] = {
	{ .name = "assign", .run = op_run, .undo = op_undo, .cancel = op_cancel },
};

static int lab_vendor_plan(struct plan *p, const struct gpu_device *d, struct sv json,
			   struct err *e)
{
	int r = nvidia_config_check(d, json, e);

	return r < 0 ? r : plan_add_step(p, d, &ops[0], SV_NONE, e);
}

static struct gpu_vendor vendor;
const struct gpu_vendor *const lab_plan_vendors[] = { &vendor, NULL };

void lab_plan_reset(void)
{
	plans = (struct lab_plans){ .hold = false };
	vendor = nvidia_vendor;
	vendor.plan = lab_vendor_plan;
	vendor.ops = ops;
	vendor.ops_n = ARRAY_LEN(ops);
}
