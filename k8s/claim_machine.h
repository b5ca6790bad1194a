#pragma once
/*
 * Shared by k8s/claim.c (the machine of one claim), k8s/claim_devices.c (its devices) and
 * k8s/claims.c (the table of all); nobody else includes it.
 */
#include "core/mem.h"
#include "core/sm.h"
#include "k8s/api/client.h"
#include "k8s/claim.h"
#include "k8s/events.h"
#include "k8s/hold.h"

/*
 *  new --> fetching <--> waiting     waiting: something short-lived is in the way, no lock is held
 *   ^         ^  '---------.  |
 *   |         v            v  v
 *   |     prepared <-- applying <-- storing     storing: the intent is on its way to the disk
 *   |         |            |           |        applying: plan and CDI file
 *   '---- unpreparing <----'-----------'        new without callers --> gone
 */
enum claim_state { NEW, FETCHING, WAITING, STORING, APPLYING, PREPARED, UNPREPARING, GONE, STATES };

struct claim_call {
	struct list node; /* in claim->prepares or claim->unprepares */
	struct claim *claim;
	claim_fn fn;
	void *arg;
	uint64_t gives_up_ms; /* a wait ends then, so that its error still arrives */
	uint64_t began_us, seq;
	bool prepare;
};

struct claim {
	struct sm sm;
	struct claims *owner;
	struct list node;   /* claims->all */
	struct list repair; /* claims->repairs, when its CDI file is to be compared */
	struct list waiter; /* claims->waiters while WAITING, claims->ahead while STORING */
	char *uid, *ns, *name;
	struct list prepares, unprepares; /* of struct claim_call */
	struct ledger_claim *record;	  /* on disk, or on its way there (STORING); NULL before */
	struct allocation alloc;	  /* fresh, between the fetch and the end of the prepare */
	struct plan *plan;		  /* running or to be undone */
	struct cdi_ahead ahead;		  /* in STORING and APPLYING only */
	struct loop_task tick;
	struct loop_timer timer; /* the next deadline or telling of its callers */
	uint64_t api_call;	 /* id of the fetch, 0 = none */
	char *pod;		 /* of the last allocation, until the record has it: claim_pod() */
	char *waiting_for;	 /* NULL unless WAITING or the fetch is held up */
	uint64_t phase_us[CLAIM_PHASES], phase_began_us, wait_began_ms;
	int result;	   /* of the step that just ended; its meaning is the state's */
	struct err *error; /* of the step under way, made on first use */
	bool answered;	   /* the step's answer came; the tick takes it */
	bool deleting;	   /* UNPREPARING: the undo is done, the record is being deleted */
	bool told, quarantined;
};

struct claims {
	struct loop *loop;
	struct claims_conf conf;
	char *driver, *pool, *boot_id;
	struct ledger *ledger;
	struct hold hold;
	struct map by_uid; /* -> struct claim */
	struct list all, repairs, waiters, ahead;
	struct list *image_next; /* in all: where the image of a new ledger file goes on */
	struct loop_task ahead_task;
	bool ahead_behind;		/* its second round in this turn: the disk has its batch */
	struct loop_timer repair_timer; /* lets the loop breathe between two bites of repairs */
	size_t prepared, waiting, in_flight; /* counted: nothing here may grow with the claims */
	uint64_t calls;			     /* so far: their order */
	bool draining;
	void (*idle)(void *arg);
	void *idle_arg;
};

/* claim.c */
struct claim *claim_new(struct claims *o, const struct claim_ref *ref);
void claim_bury(struct claim *c); /* out of the table; memory goes at the end of the turn */
void claim_move(struct claim *c, enum claim_state next);
void claim_drop_record(struct claim *c); /* and what it holds */
bool claim_in_flight(const struct claim *c);
struct err *claim_error(struct claim *c);
struct events_object claim_object(const struct claim *c);

/* claim_devices.c */
enum claim_resolve { RESOLVED, RESOLVE_WAIT, RESOLVE_FAIL };
const char *claim_pod(const struct claim *c);	    /* for people to read; NULL: not known */
struct ledger_claim *claim_record(struct claim *c); /* of the fresh allocation, not resolved */
/* Gives each device its identity and checks that it can be used; else claim_error() says why. */
enum claim_resolve claim_resolve(struct claim *c, struct ledger_claim *rec);
int claim_make_plan(struct claim *c, const struct ledger_claim *rec) NODISCARD; /* c->plan */
void claim_keep_plan(struct ledger_claim *rec, const struct plan *plan);
void claim_write_ahead(struct claim *c); /* what claim_write_cdi() will only have to rename */
int claim_write_cdi(struct claim *c, struct err *e) NODISCARD; /* 0, CDI_E_WRITTEN, negative */

/* claims.c */
void claims_wake_waiting(struct claims *o);		    /* a device or the ledger became free */
void claims_write_ahead(struct claims *o, struct claim *c); /* later in this turn */
void claims_settle(struct claims *o);			    /* something in flight is over */
