#include "core/log.h"
#include "k8s/claim_machine.h"

#define DUE_DEFAULT_MS	 45000u /* the kubelet's own limit, for callers that tell none */
#define REPAIRS_PER_TURN 8u	/* CDI files compared at once: about 1 ms */
#define IMAGE_BITE	 500u	/* records of a new ledger file made in one turn: about 1 ms */
#define AHEAD_PER_TURN	 32u	/* CDI files written ahead, about 1 ms; others when it is time */
#define STORE_MARGIN_MS	 1000u	/* an Unprepare that cannot be stored answers this long before */

void claims_wake_waiting(struct claims *o)
{
	list_for_each (n, &o->waiters)
		loop_task_post(&list_entry(n, struct claim, waiter)->tick);
}

/*
 * A claim's CDI file is written while the disk works on its record, so that only a rename is left
 * for the time behind it. The records leave in the same phase of the turn as this is called: the
 * first round lets them go first.
 */
static void write_ahead(void *arg)
{
	struct claims *o = arg;
	struct list *n;

	o->ahead_behind = !o->ahead_behind;
	if (o->ahead_behind) {
		loop_task_post(&o->ahead_task);
		return;
	}
	for (unsigned i = 0; i < AHEAD_PER_TURN && (n = list_pop(&o->ahead)); i++)
		claim_write_ahead(list_entry(n, struct claim, waiter));
}

void claims_write_ahead(struct claims *o, struct claim *c)
{
	list_push(&o->ahead, &c->waiter);
	loop_task_post(&o->ahead_task);
}

void claims_settle(struct claims *o)
{
	void (*idle)(void *arg) = o->idle;

	if (o->in_flight)
		return;
	ledger_settle(o->ledger);
	if (!o->draining || !idle)
		return;
	o->idle = NULL;
	idle(o->idle_arg);
}

/* ---- the table ---- */

/* A record that was damaged told no more than the UID: the kubelet knows the rest. */
static void learn_name(struct claim *c, const struct claim_ref *ref)
{
	if (*c->name)
		return;
	mem_free(c->ns);
	mem_free(c->name);
	c->ns = mem_strdup(ref->namespace);
	c->name = mem_strdup(ref->name);
}

static struct claim_call *call_new(struct claims *o, const struct claim_ref *ref, uint64_t due_ms,
				   bool prepare, claim_fn fn, void *arg)
{
	struct claim *c = map_get(&o->by_uid, sv_str(ref->uid));
	struct claim_call *call = MEM_NEW(struct claim_call);
	uint64_t now = loop_now_ms(o->loop), left;

	if (!c)
		c = claim_new(o, ref);
	learn_name(c, ref);
	left = due_ms == UINT64_MAX ? DUE_DEFAULT_MS : due_ms > now ? due_ms - now : 0;
	call->claim = c;
	call->fn = fn;
	call->arg = arg;
	call->prepare = prepare;
	/* A caller in a hurry gets half of its time, rather than none. */
	call->gives_up_ms = now + left - MIN(prepare ? CLAIM_MARGIN_MS : STORE_MARGIN_MS, left / 2);
	call->began_us = loop_now_us(o->loop);
	call->seq = ++o->calls;
	list_push(prepare ? &c->prepares : &c->unprepares, &call->node);
	loop_task_post(&c->tick);
	return call;
}

struct claim_call *claims_prepare(struct claims *o, const struct claim_ref *ref, uint64_t due_ms,
				  claim_fn fn, void *arg)
{
	return call_new(o, ref, due_ms, true, fn, arg);
}

struct claim_call *claims_unprepare(struct claims *o, const struct claim_ref *ref, uint64_t due_ms,
				    claim_fn fn, void *arg)
{
	return call_new(o, ref, due_ms, false, fn, arg);
}

void claim_call_cancel(struct claim_call *call)
{
	list_remove(&call->node);
	loop_task_post(&call->claim->tick);
	mem_free(call);
}

/* ---- repair of CDI files, a few per turn ---- */

static void repair_one(struct claim *c)
{
	struct err e = { 0 };
	int r;

	if (sm_state(&c->sm) != PREPARED || !c->record)
		return;
	r = claim_write_cdi(c, &e);
	if (r == CDI_E_WRITTEN)
		log_info("CDI spec rebuilt", LOG_S("claim", c->name), LOG_S("uid", c->uid));
	if (r < 0)
		log_warn("CDI spec of a prepared claim cannot be rebuilt", LOG_S("claim", c->name),
			 LOG_S("uid", c->uid), LOG_S("error", err_text(&e)));
}

static void repair_some(void *arg)
{
	struct claims *o = arg;

	for (unsigned i = 0; i < REPAIRS_PER_TURN; i++) {
		struct list *n = list_pop(&o->repairs);

		if (!n)
			return;
		/* Handed over meanwhile: what is released since then must not come back. */
		if (ledger_state(o->ledger) != LEDGER_OPEN)
			continue;
		repair_one(list_entry(n, struct claim, repair));
	}
	loop_timer_set(&o->repair_timer, 0);
}

static void repair_all(struct claims *o)
{
	if (ledger_state(o->ledger) != LEDGER_OPEN ||
	    inventory_state(o->conf.inventory) != INVENTORY_READY)
		return;
	list_for_each (n, &o->all) {
		struct claim *c = list_entry(n, struct claim, node);

		if (sm_state(&c->sm) == PREPARED && !list_linked(&c->repair))
			list_push(&o->repairs, &c->repair);
	}
	loop_timer_set(&o->repair_timer, 0);
}

void claims_on_inventory(struct claims *o, unsigned changed)
{
	if (changed)
		claims_wake_waiting(o);
	repair_all(o);
}

/* ---- the ledger's news ---- */

static struct claim *find_or_new(struct claims *o, const struct claim_ref *ref)
{
	struct claim *c = map_get(&o->by_uid, sv_str(ref->uid));

	return c ? c : claim_new(o, ref);
}

static void on_claim(void *arg, struct ledger_claim *rec)
{
	struct claims *o = arg;
	struct claim_ref ref = { rec->namespace, rec->name, rec->uid };
	struct claim *c = find_or_new(o, &ref);
	size_t taken;

	claim_drop_record(c);
	c->record = rec;
	c->quarantined = false;
	taken = hold_take(&o->hold, rec->uid, rec->devices, rec->devices_n);
	if (taken)
		log_error("two prepared claims name the same GPU, it is free when both are gone",
			  LOG_S("uid", rec->uid), LOG_I("devices", taken));
	if (sm_state(&c->sm) == NEW)
		claim_move(c, PREPARED);
}

static void on_gone(void *arg, const char *uid)
{
	struct claims *o = arg;
	struct claim *c = map_get(&o->by_uid, sv_str(uid));

	if (!c)
		return;
	claim_drop_record(c);
	c->quarantined = false;
	if (sm_state(&c->sm) == PREPARED)
		claim_move(c, NEW);
	loop_task_post(&c->tick);
}

static void on_corrupt(void *arg, const char *uid)
{
	struct claims *o = arg;
	struct claim_ref ref = { "", "", uid };
	struct claim *c = find_or_new(o, &ref);
	/* The claim's name went with its record, so the node tells (our pool has its name). */
	struct events_object node = { "v1", "Node", NULL, o->pool, o->pool };

	claim_drop_record(c);
	c->quarantined = true;
	if (sm_state(&c->sm) == NEW)
		claim_move(c, PREPARED);
	log_error("ledger record is corrupt: the claim is quarantined until its unprepare",
		  LOG_S("uid", uid));
	events_warn(
	    o->conf.events, &node, "LedgerCorrupt",
	    "the record of the ResourceClaim with UID %s on this node is damaged; delete its "
	    "pods to free it",
	    uid);
}

static void on_ledger_state(void *arg, enum ledger_state s)
{
	struct claims *o = arg;

	list_for_each (n, &o->all)
		loop_task_post(&list_entry(n, struct claim, node)->tick);
	if (s == LEDGER_OPEN)
		repair_all(o);
	if (o->conf.on_ledger)
		o->conf.on_ledger(o->conf.arg);
}

static bool may_yield(void *arg)
{
	struct claims *o = arg;

	return !o->in_flight;
}

/* New claims come at the end, and one that is buried moves the place on. */
static void on_compact(void *arg, struct ledger *l)
{
	struct claims *o = arg;

	if (ledger_image_begins(l))
		o->image_next = o->all.next;
	for (size_t i = 0; i < IMAGE_BITE && o->image_next != &o->all; i++) {
		const struct claim *c = list_entry(o->image_next, struct claim, node);

		o->image_next = o->image_next->next;
		if (c->record)
			ledger_put_live(l, c->record);
	}
	if (o->image_next != &o->all)
		ledger_image_more(l);
}

/* ---- public ---- */

int claims_new(struct loop *l, const struct claims_conf *conf, struct claims **out, struct err *e)
{
	struct claims *o = MEM_NEW(struct claims);
	struct ledger_conf ledger = *conf->ledger;
	int r;

	o->loop = l;
	o->conf = *conf;
	o->driver = mem_strdup(conf->driver);
	o->pool = mem_strdup(conf->pool);
	o->boot_id = mem_strdup(ledger.boot_id);
	o->conf.ledger = NULL; /* the caller's, gone when we return */
	hold_init(&o->hold);
	map_init(&o->by_uid);
	list_init(&o->all);
	list_init(&o->repairs);
	list_init(&o->waiters);
	list_init(&o->ahead);
	loop_task_init(&o->ahead_task, l, LOOP_FLUSH, write_ahead, o);
	loop_timer_init(&o->repair_timer, l, repair_some, o);
	ledger.on_claim = on_claim;
	ledger.on_gone = on_gone;
	ledger.on_corrupt = on_corrupt;
	ledger.on_state = on_ledger_state;
	ledger.may_yield = may_yield;
	ledger.on_compact = on_compact;
	ledger.arg = o;
	r = ledger_open(l, &ledger, &o->ledger, e);
	if (r < 0) {
		claims_free(&o);
		return r;
	}
	*out = o;
	return 0;
}

static void free_calls(struct list *calls)
{
	struct list *n;

	while ((n = list_pop(calls)))
		mem_free(list_entry(n, struct claim_call, node));
}

void claims_free(struct claims **op)
{
	struct claims *o = *op;

	if (!o)
		return;
	loop_timer_stop(&o->repair_timer);
	loop_task_stop(&o->ahead_task);
	list_for_each_safe (n, &o->all) {
		struct claim *c = list_entry(n, struct claim, node);

		free_calls(&c->prepares);
		free_calls(&c->unprepares);
		claim_bury(c);
	}
	ledger_free(&o->ledger);
	hold_done(&o->hold);
	map_done(&o->by_uid);
	mem_free(o->driver);
	mem_free(o->pool);
	mem_free(o->boot_id);
	mem_free(o);
	*op = NULL;
}

void claims_drain(struct claims *o, void (*idle)(void *arg), void *arg)
{
	o->draining = true;
	o->idle = idle;
	o->idle_arg = arg;
	list_for_each (n, &o->all)
		loop_task_post(&list_entry(n, struct claim, node)->tick);
	claims_settle(o);
}

void claims_each(const struct claims *o, void (*fn)(void *arg, const struct claim_info *i),
		 void *arg)
{
	list_for_each (n, &o->all) {
		const struct claim *c = list_entry(n, struct claim, node);
		struct claim_info i = { .uid = c->uid,
					.namespace = c->ns,
					.name = c->name,
					.state = sm_name(&c->sm),
					.pod = claim_pod(c),
					.waiting_for = c->waiting_for,
					.quarantined = c->quarantined };

		if (c->record) {
			i.devices = c->record->devices;
			i.devices_n = c->record->devices_n;
			i.since_wall_ms = c->record->since_wall_ms;
			i.earlier_boot =
			    *c->record->boot_id && !sv_eqs(sv_str(o->boot_id), c->record->boot_id);
		}
		fn(arg, &i);
	}
}

size_t claims_prepared(const struct claims *o)
{
	return o->prepared;
}

size_t claims_waiting(const struct claims *o)
{
	return o->waiting;
}

const char *claims_holder(const struct claims *o, const char *identity)
{
	return hold_owner(&o->hold, identity);
}

struct ledger *claims_ledger(struct claims *o)
{
	return o->ledger;
}
