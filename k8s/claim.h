#pragma once
/*
 * Claims of one driver: a state machine per claim UID, the locks on physical GPUs, and the waits.
 *
 *   new -> fetching -> waiting <-> fetching      (something short-lived is in the way)
 *                   -> storing -> applying -> prepared       intent on disk, then effects
 *   any of these -> unpreparing -> gone                       Unprepare, deadline, cancellation
 *
 * Order of a prepare: intent with its undo list -> on disk -> effects (plan, CDI file) -> reply.
 * A repeated call fetches the claim and compares it with the ledger: the same -> verify and repair,
 * another -> undo the old, prepare the new. Calls for one claim share its machine; when the last
 * caller has gone before the reply, the work is undone. Unprepare never waits for another claim.
 *
 * Waits last until the caller's deadline minus CLAIM_MARGIN_MS: a device held by another claim, an
 * API server that cannot answer, a worker that restarts, a ledger that is handed over. A wait holds
 * no lock, is told in an Event after CLAIM_TELL_MS, and ends with an error at shutdown.
 */
#include "gpu/inventory.h"
#include "gpu/plan.h"
#include "k8s/allocation.h"
#include "k8s/cdi.h"
#include "k8s/ledger.h"

enum { CLAIM_MARGIN_MS = 5000, CLAIM_TELL_MS = 2000 };

struct api;
struct events;
struct claims;
struct claim;

struct claim_ref {
	const char *namespace, *name, *uid;
};
enum claim_phase {
	CLAIM_PHASE_FETCH,
	CLAIM_PHASE_WAIT,
	CLAIM_PHASE_STORE,
	CLAIM_PHASE_APPLY,
	CLAIM_PHASES
};

/* One device of the answer; views are valid during the callback. */
struct claim_device {
	const char *request, *pool, *device, *share_id; /* share_id may be NULL */
	const char *cdi_id;
};
struct claim_answer {
	int status;	   /* 0 or negative errno */
	const char *error; /* for the user, NULL when 0 */
	const struct claim_device *devices;
	size_t n;
};
typedef void (*claim_fn)(void *arg, const struct claim_answer *answer);
struct claim_call; /* one caller's interest in one claim */

/* Told after each finished operation, for logs and metrics. */
struct claim_report {
	const char *operation; /* "prepare", "unprepare" */
	const struct claim_ref *ref;
	const char *pod;     /* may be NULL */
	const char *devices; /* "gpu-0,gpu-1" */
	const char *error;   /* NULL = done */
	uint64_t phase_us[CLAIM_PHASES], total_us;
};
struct claims_conf {
	const char *driver, *pool;
	struct api *api;
	struct inventory *inventory;
	struct cdi *cdi;
	struct events *events;		  /* may be NULL */
	const struct ledger_conf *ledger; /* path, boot_id, instance, disk are used */
	void (*on_report)(void *arg, const struct claim_report *r);
	void (*on_ledger)(void *arg); /* its state or successor */
	void *arg;
};

/* Opens the ledger; calls that arrive before it is open wait for it. */
int claims_new(struct loop *l, const struct claims_conf *conf, struct claims **out,
	       struct err *e) NODISCARD;
void claims_free(struct claims **op);
/* `due_ms`: loop time at which the caller gives up, UINT64_MAX = 45 s from now. fn is called once,
   never before this returns. */
struct claim_call *claims_prepare(struct claims *o, const struct claim_ref *ref, uint64_t due_ms,
				  claim_fn fn, void *arg);
struct claim_call *claims_unprepare(struct claims *o, const struct claim_ref *ref, uint64_t due_ms,
				    claim_fn fn, void *arg);
void claim_call_cancel(struct claim_call *call); /* the caller has gone; no callback after */
void claims_on_inventory(struct claims *o, unsigned changed); /* repair files, wake waits */
/* Ends every wait with an error and takes no new work; idle(arg) when nothing is in flight. */
void claims_drain(struct claims *o, void (*idle)(void *arg), void *arg);

/* For status, metrics and garbage collection. */
struct claim_info {
	const char *uid, *namespace, *name, *state;
	const char *pod; /* that it was prepared for last; NULL: not yet known */
	const struct ledger_device *devices;
	size_t devices_n;
	uint64_t since_wall_ms;
	const char *waiting_for; /* NULL when not waiting */
	bool quarantined;
	bool earlier_boot; /* it was prepared before the last boot of the node */
};
void claims_each(const struct claims *o, void (*fn)(void *arg, const struct claim_info *i),
		 void *arg);
size_t claims_prepared(const struct claims *o);
size_t claims_waiting(const struct claims *o);
/* UID of the claim that holds this physical GPU, NULL when free. */
const char *claims_holder(const struct claims *o, const char *identity);
struct ledger *claims_ledger(struct claims *o);
