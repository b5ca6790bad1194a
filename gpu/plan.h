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
/* Runs all operations; fn is called once, possibly before this returns. */
void plan_run(struct plan *p, plan_fn fn, void *arg);
/* Undoes what ran (or, after plan_decode(), what may have run), backwards; every undo is
 * idempotent. */
void plan_undo(struct plan *p, plan_fn fn, void *arg);
/* Results of the run that cannot be derived again (MIG ids; none for a full GPU) are part of it. */
void plan_encode(const struct plan *p, struct buf *out);
int plan_decode(struct inventory *inv, struct sv bytes, struct plan **out, struct err *e) NODISCARD;
bool plan_needs_worker(const struct plan *p);
