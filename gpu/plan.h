#pragma once
/*
 * What is to be done to devices for one claim: a list of undoable operations, run in order; a
 * failure undoes what was done, backwards. The list can be written to the ledger before anything
 * happens and undone from there after a crash. A full GPU is a plan of length one that asks nobody.
 */
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "gpu/device.h"

enum { PLAN_STEPS_MAX = 64 };

struct inventory;
struct plan;
typedef void (*plan_fn)(void *arg, int status, const struct err *e);

struct plan *plan_new(struct inventory *inv);
void plan_free(struct plan **p);
/*
 * Adds the operations for a device with its vendor-decoded configuration.
 * -EINVAL with a text for a config that the device cannot have; -ENODEV when it is not present.
 */
int plan_add(struct plan *p, const struct gpu_device *d, struct sv config_json,
	     struct err *e) NODISCARD;
/*
 * Whether a configuration is of the kind that belongs to this type of device, for the rules of
 * precedence: 0 yes; 1 no, it is one for another type (text set); -EINVAL not decodable.
 */
int plan_config_fits(const struct gpu_device *d, struct sv config_json, struct err *e) NODISCARD;
/*
 * Runs all operations; fn is called once, possibly before this returns, and may free the plan.
 * After a failure what ran has been undone and status is the failure's; should an undo fail too,
 * the text says so and plan_undo() may be called again.
 */
void plan_run(struct plan *p, plan_fn fn, void *arg);
/*
 * Undoes what ran (or, after plan_decode(), what may have run), backwards; every undo is
 * idempotent. Ends a run in flight, whose fn is then not called. fn may free the plan.
 */
void plan_undo(struct plan *p, plan_fn fn, void *arg);
/* Results of the run that cannot be derived again (MIG ids; none for a full GPU) are part of it. */
void plan_encode(const struct plan *p, struct buf *out);
/* -EBADMSG: damaged. -ENOTSUP: of a vendor or an operation that this version does not know. */
int plan_decode(struct inventory *inv, struct sv bytes, struct plan **out, struct err *e) NODISCARD;
bool plan_needs_worker(const struct plan *p);

/* ---- for vendors: the operations themselves ---- */

struct plan_step;
enum { PLAN_PENDING = 1, PLAN_WORD_MAX = 63, PLAN_DATA_MAX = 4096 };

/*
 * One kind of operation. Both functions return 0 (done), -errno with a text, or PLAN_PENDING: then
 * plan_step_done() is called later, once, unless `cancel` was.
 */
struct plan_op {
	const char *name; /* in the ledger: never renamed */
	bool worker;	  /* asks a worker */
	int (*run)(struct plan_step *s, struct err *e);
	int (*undo)(struct plan_step *s, struct err *e); /* idempotent; NULL = nothing to undo */
	void (*cancel)(struct plan_step *s);		 /* with PLAN_PENDING only */
};

/* One more operation on `d`, behind the others. args: copied, PLAN_DATA_MAX bytes. -E2BIG. */
int plan_add_step(struct plan *p, const struct gpu_device *d, const struct plan_op *op,
		  struct sv args, struct err *e) NODISCARD;
void plan_step_done(struct plan_step *s, int status, const struct err *e);
struct gpu_device *plan_step_device(const struct plan_step *s);	 /* NULL: gone or in trouble */
int plan_step_missing(const struct plan_step *s, struct err *e); /* -ENODEV, and why */
struct sv plan_step_args(const struct plan_step *s);
struct sv plan_step_result(const struct plan_step *s);
void plan_step_set_result(struct plan_step *s, struct sv bytes);
