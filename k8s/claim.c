#include "k8s/claim.h"

#include <errno.h>

#include "core/log.h"
#include "k8s/claim_machine.h"

static bool claim_holds(const struct sm *sm, int prev)
{
	const struct claim *c = container_of(sm, const struct claim, sm);

	(void)prev;
	if (sm_state(sm) == PREPARED || sm_state(sm) == APPLYING || sm_state(sm) == STORING)
		return c->record != NULL || c->quarantined;
	return true;
}

static const struct sm_conf claim_conf[STATES] = {
	[NEW] = { "new", SM_TO(FETCHING) | SM_TO(PREPARED) | SM_TO(GONE) },
	[FETCHING] = { "fetching", SM_TO(NEW) | SM_TO(WAITING) | SM_TO(STORING) | SM_TO(PREPARED) |
				       SM_TO(UNPREPARING) },
	[WAITING] = { "waiting", SM_TO(NEW) | SM_TO(FETCHING) | SM_TO(PREPARED) },
	[STORING] = { "storing",
		      SM_TO(NEW) | SM_TO(APPLYING) | SM_TO(PREPARED) | SM_TO(UNPREPARING) },
	[APPLYING] = { "applying", SM_TO(PREPARED) | SM_TO(UNPREPARING) },
	[PREPARED] = { "prepared", SM_TO(NEW) | SM_TO(FETCHING) | SM_TO(UNPREPARING) },
	[UNPREPARING] = { "unpreparing", SM_TO(NEW) | SM_TO(PREPARED) },
	[GONE] = { "gone", 0 },
};

/* ---- small helpers ---- */

bool claim_in_flight(const struct claim *c)
{
	int s = sm_state(&c->sm);

	return s == STORING || s == APPLYING || s == UNPREPARING;
}

static void phase_end(struct claim *c, enum claim_phase phase)
{
	uint64_t now = loop_now_us(c->owner->loop);

	c->phase_us[phase] += now - c->phase_began_us;
	c->phase_began_us = now;
}

static void wait_set(struct claim *c, const char *text)
{
	if (text && c->waiting_for && sv_eqs(sv_str(text), c->waiting_for))
		return;
	if (!c->waiting_for && text) {
		/* A fetch that is held up waits since it began. */
		if (sm_state(&c->sm) != FETCHING)
			c->wait_began_ms = loop_now_ms(c->owner->loop);
		c->owner->waiting++;
	}
	if (c->waiting_for && !text)
		c->owner->waiting--;
	c->told = false;
	mem_free(c->waiting_for);
	c->waiting_for = mem_strdup(text);
}

struct events_object claim_object(const struct claim *c)
{
	return (struct events_object){ .api_version = "resource.k8s.io/v1",
				       .kind = "ResourceClaim",
				       .namespace = c->ns,
				       .name = c->name,
				       .uid = c->uid };
}

struct err *claim_error(struct claim *c)
{
	if (!c->error)
		c->error = MEM_NEW(struct err);
	return c->error;
}

/* A claim at rest keeps its record and no more: there may be ten thousand. */
static void shed(struct claim *c)
{
	allocation_done(&c->alloc);
	mem_free(c->error);
	c->error = NULL;
}

void claim_move(struct claim *c, enum claim_state next)
{
	size_t was_prepared = sm_state(&c->sm) == PREPARED, was_in_flight = claim_in_flight(c);
	struct claims *o = c->owner;

	sm_move(&c->sm, (int)next);
	o->in_flight += (size_t)claim_in_flight(c) - was_in_flight;
	o->prepared += (size_t)(next == PREPARED) - was_prepared;
	if (next == WAITING)
		list_push(&o->waiters, &c->waiter);
	else
		list_remove(&c->waiter);
	if (next != STORING && next != APPLYING)
		cdi_drop_ahead(&c->ahead);
	if (next == PREPARED)
		shed(c);
}

/* With its holds, and the undo list made from it. */
void claim_drop_record(struct claim *c)
{
	if (c->record)
		hold_release(&c->owner->hold, c->uid, c->record->devices, c->record->devices_n);
	ledger_claim_free(&c->record);
	plan_free(&c->plan);
}

static uint64_t latest_give_up(const struct list *calls)
{
	uint64_t due = 0;

	list_for_each (n, calls)
		due = MAX(due, list_entry(n, struct claim_call, node)->gives_up_ms);
	return due;
}

/* ---- answering ---- */

const char *claim_pod(const struct claim *c)
{
	return c->pod ? c->pod : c->record ? c->record->pod : NULL;
}

static void report(struct claim *c, const struct claim_call *call, const char *error)
{
	struct claims *o = c->owner;
	struct claim_ref ref = { c->ns, c->name, c->uid };
	struct claim_report r = { .operation = call->prepare ? "prepare" : "unprepare",
				  .ref = &ref,
				  .pod = claim_pod(c),
				  .error = error };
	struct buf names;

	if (!o->conf.on_report)
		return;
	buf_init(&names, 4096);
	for (size_t i = 0; c->record && i < c->record->devices_n; i++)
		buf_printf(&names, "%s%s", i ? "," : "", c->record->devices[i].device);
	for (size_t i = 0; !c->record && i < c->alloc.results_n; i++)
		buf_printf(&names, "%s%s", i ? "," : "", c->alloc.results[i].device);
	r.devices = buf_cstr(&names);
	r.total_us = loop_now_us(o->loop) - call->began_us;
	memcpy(r.phase_us, c->phase_us, sizeof(r.phase_us));
	o->conf.on_report(o->conf.arg, &r);
	buf_done(&names);
}

static void answer_one(struct claim_call *call, const struct claim_answer *a)
{
	struct claim *c = call->claim;

	list_remove(&call->node);
	report(c, call, a->error);
	call->fn(call->arg, a);
	mem_free(call);
}

static void answer_error(struct claim_call *call, int status, const char *text)
{
	struct claim_answer a = { .status = status, .error = text };
	struct events_object object = claim_object(call->claim);

	events_warn(call->claim->owner->conf.events, &object,
		    call->prepare ? "FailedPrepare" : "FailedUnprepare", "%s", text);
	answer_one(call, &a);
}

static void fail_all(struct list *calls, int status, const char *text)
{
	while (!list_empty(calls))
		answer_error(list_entry(calls->next, struct claim_call, node), status, text);
}

/*
 * An Unprepare ends the prepares that came before it; one that came later is for the claim's next
 * user and follows it.
 */
static void cancel_prepares(struct claim *c)
{
	uint64_t last = 0;

	list_for_each (n, &c->unprepares)
		last = MAX(last, list_entry(n, struct claim_call, node)->seq);
	list_for_each_safe (p, &c->prepares) {
		struct claim_call *call = list_entry(p, struct claim_call, node);

		if (call->seq < last)
			answer_error(call, -ECANCELED,
				     "the kubelet asked to unprepare the claim meanwhile");
	}
}

static void answer_prepared(struct claim *c)
{
	const struct ledger_claim *rec = c->record;
	struct claim_device *devices =
	    mem_calloc(rec->devices_n ? rec->devices_n : 1, sizeof(*devices));
	struct claim_answer a = { .devices = devices, .n = rec->devices_n };
	size_t *at = mem_calloc(rec->devices_n ? rec->devices_n : 1, sizeof(*at));
	struct buf ids;

	buf_init(&ids, 64 << 10);
	for (size_t i = 0; i < rec->devices_n; i++) {
		at[i] = buf_len(&ids);
		cdi_id(c->owner->conf.cdi, rec->uid, rec->devices[i].device, &ids);
		buf_putc(&ids, '\0');
	}
	must(!ids.full);
	for (size_t i = 0; i < rec->devices_n; i++) {
		const struct ledger_device *d = &rec->devices[i];

		devices[i] = (struct claim_device){ d->request, d->pool, d->device, d->share_id,
						    buf_sv(&ids).p + at[i] };
	}
	while (!list_empty(&c->prepares))
		answer_one(list_entry(c->prepares.next, struct claim_call, node), &a);
	buf_done(&ids);
	mem_free(devices);
	mem_free(at);
}

/* What a call that cannot wait any longer is told; NULL: there is nothing that it waits for. */
static const char *held_up_by(const struct claim *c)
{
	const char *disk = ledger_reason(c->owner->ledger);
	int s = sm_state(&c->sm);

	if (s == STORING || (s == UNPREPARING && c->deleting))
		return *disk ? disk : "the ledger's disk does not answer";
	if (s == APPLYING || s == UNPREPARING)
		return "the device does not answer";
	return c->waiting_for;
}

/*
 * Ends the calls that waited as long as they can, so that they hear why. What is in flight goes on
 * without them: a prepare is undone when its record is on disk, an unprepare is done when the
 * kubelet asks again.
 */
static void expire(struct claim *c, struct list *calls)
{
	uint64_t now = loop_now_ms(c->owner->loop);
	const char *why = held_up_by(c);

	if (!why)
		return;
	list_for_each_safe (n, calls) {
		struct claim_call *call = list_entry(n, struct claim_call, node);
		char text[ERR_TEXT_MAX];

		if (call->gives_up_ms > now)
			continue;
		snprintf(text, sizeof(text), "timed out waiting: %s", why);
		answer_error(call, -ETIMEDOUT, text);
	}
}

/* ---- life ---- */

static void claim_tick(void *arg);
static void claim_on_timer(void *arg);

struct claim *claim_new(struct claims *o, const struct claim_ref *ref)
{
	struct claim *c = MEM_NEW(struct claim);

	c->owner = o;
	c->uid = mem_strdup(ref->uid);
	c->ns = mem_strdup(ref->namespace);
	c->name = mem_strdup(ref->name);
	list_init(&c->prepares);
	list_init(&c->unprepares);
	list_push(&o->all, &c->node);
	loop_task_init(&c->tick, o->loop, LOOP_TICK, claim_tick, c);
	loop_timer_init(&c->timer, o->loop, claim_on_timer, c);
	sm_init(&c->sm, claim_conf, claim_holds, NEW);
	map_put(&o->by_uid, sv_str(c->uid), c);
	return c;
}

static void claim_free(void *arg)
{
	struct claim *c = arg;

	ledger_claim_free(&c->record);
	shed(c);
	cdi_drop_ahead(&c->ahead);
	plan_free(&c->plan);
	mem_free(c->uid);
	mem_free(c->ns);
	mem_free(c->name);
	mem_free(c->pod);
	mem_free(c->waiting_for);
	mem_free(c);
}

/* Takes the claim out of the table; memory goes at the end of the turn. */
void claim_bury(struct claim *c)
{
	struct claims *o = c->owner;

	wait_set(c, NULL);
	if (c->api_call)
		api_cancel(o->conf.api, c->api_call);
	if (o->ledger)
		ledger_forget(o->ledger, c);
	plan_free(&c->plan); /* its operations know the claim */
	loop_task_stop(&c->tick);
	loop_timer_stop(&c->timer);
	list_remove(&c->repair);
	list_remove(&c->waiter);
	if (o->image_next == &c->node)
		o->image_next = c->node.next;
	list_remove(&c->node);
	map_del(&o->by_uid, sv_str(c->uid));
	loop_defer_free(o->loop, c, claim_free);
}

/* ---- prepare: fetch ---- */

static void on_fetched(void *arg, const struct api_result *r)
{
	struct claim *c = arg;

	c->api_call = 0;
	c->answered = true;
	c->result = r->status;
	allocation_done(&c->alloc);
	if (r->status)
		err_set(claim_error(c), 0, "cannot read the claim %s/%s: %s", c->ns, c->name,
			r->error);
	else
		c->result = allocation_decode(r->object, c->uid, c->owner->driver, &c->alloc,
					      claim_error(c));
	loop_task_post(&c->tick);
}

static void fetch(struct claim *c)
{
	struct claims *o = c->owner;
	uint64_t now = loop_now_ms(o->loop), due = latest_give_up(&c->prepares);
	struct api_request get = {
		.verb = API_GET,
		.to = { .group = API_GROUP_RESOURCE,
			.resource = "resourceclaims",
			.ns = c->ns,
			.name = c->name },
		.timeout_ms = due > now ? due - now : 1,
		.retry = API_RETRY_WAIT,
		.fn = on_fetched,
		.arg = c,
	};

	wait_set(c, NULL);
	c->wait_began_ms = now;
	c->answered = false;
	if (sm_state(&c->sm) != FETCHING)
		claim_move(c, FETCHING);
	c->api_call = api_call(o->conf.api, &get);
}

static void start_prepare(struct claim *c)
{
	memset(c->phase_us, 0, sizeof(c->phase_us));
	c->phase_began_us = loop_now_us(c->owner->loop);
	fetch(c);
}

/* ---- unprepare ---- */

static void on_plan(void *arg, int status, const struct err *e)
{
	struct claim *c = arg;

	c->answered = true;
	c->result = status;
	if (status < 0)
		*claim_error(c) = *e;
	loop_task_post(&c->tick);
}

/* The answer of the ledger, when storing and when deleting. */
static void on_durable(void *arg, int status)
{
	struct claim *c = arg;

	c->answered = true;
	c->result = status;
	if (status < 0)
		err_sys(claim_error(c), status, "cannot write the ledger");
	loop_task_post(&c->tick);
}

static void start_unprepare(struct claim *c)
{
	struct claims *o = c->owner;
	const struct ledger_claim *rec = c->record;

	wait_set(c, NULL);
	claim_move(c, UNPREPARING);
	c->answered = c->deleting = false;
	memset(c->phase_us, 0, sizeof(c->phase_us));
	c->phase_began_us = loop_now_us(o->loop);
	if (!c->plan && rec && rec->plan_n &&
	    plan_decode(o->conf.inventory, sv_make(rec->plan, rec->plan_n), &c->plan,
			claim_error(c)) < 0)
		log_error(
		    "undo list of a claim is unreadable, its devices are released as they are",
		    LOG_S("claim", c->uid), LOG_S("error", err_text(claim_error(c))));
	if (c->plan)
		plan_undo(c->plan, on_plan, c);
	else
		on_plan(c, 0, NULL);
}

/*
 * It stays on disk and held: the kubelet asks again. Until then it takes the claim for prepared and
 * starts other pods of it without asking (kubelet 1.36), so the CDI file comes back.
 */
static void unprepare_failed(struct claim *c)
{
	struct err e = { 0 };

	if (c->deleting && c->record && claim_write_cdi(c, &e) < 0)
		log_warn("CDI spec of a claim that could not be unprepared is not written back",
			 LOG_S("claim", c->name), LOG_S("uid", c->uid),
			 LOG_S("error", err_text(&e)));
	fail_all(&c->unprepares, c->result, err_text(claim_error(c)));
	fail_all(&c->prepares, c->result, err_text(claim_error(c)));
	claim_move(c, PREPARED);
	claims_settle(c->owner);
}

/* Nothing of the claim is left: on the device, in the CDI folder, on disk. */
static void unprepare_done(struct claim *c)
{
	struct claims *o = c->owner;
	struct claim_answer ok = { 0 };

	phase_end(c, CLAIM_PHASE_STORE);
	cancel_prepares(c); /* those for which something else was undone first */
	while (!list_empty(&c->unprepares))
		answer_one(list_entry(c->unprepares.next, struct claim_call, node), &ok);
	claim_drop_record(c);
	c->quarantined = false;
	claim_move(c, NEW);
	claims_wake_waiting(o);
	claims_settle(o);
	loop_task_post(&c->tick);
}

static void tick_unpreparing(struct claim *c)
{
	if (!c->answered)
		return;
	c->answered = false;
	if (c->result >= 0 && c->deleting) {
		unprepare_done(c);
		return;
	}
	if (c->result >= 0) {
		phase_end(c, CLAIM_PHASE_APPLY);
		c->result = cdi_remove(c->owner->conf.cdi, c->uid, claim_error(c));
	}
	if (c->result < 0) {
		unprepare_failed(c);
		return;
	}
	c->deleting = true;
	ledger_del(c->owner->ledger, c->uid, on_durable, c);
}

/* ---- prepare: from the fetch to the reply ---- */

/* Back to where the claim was before this prepare: on disk or unknown. */
static void prepare_ends(struct claim *c)
{
	wait_set(c, NULL);
	if (c->api_call)
		api_cancel(c->owner->conf.api, c->api_call);
	c->api_call = 0;
	claim_move(c, c->record || c->quarantined ? PREPARED : NEW);
	loop_task_post(&c->tick);
}

static void prepare_fails(struct claim *c, int status)
{
	fail_all(&c->prepares, status, err_text(claim_error(c)));
	prepare_ends(c);
}

static bool shutting_down(struct claim *c)
{
	if (!c->owner->draining)
		return false;
	err_wrap(claim_error(c), 0, "tundra is shutting down while waiting");
	prepare_fails(c, -ESHUTDOWN);
	return true;
}

static void prepare_waits(struct claim *c)
{
	if (shutting_down(c))
		return;
	wait_set(c, err_text(claim_error(c)));
	claim_move(c, WAITING);
}

static bool same_devices(const struct ledger_claim *a, const struct ledger_claim *b)
{
	if (a->allocation != b->allocation || a->devices_n != b->devices_n)
		return false;
	for (size_t i = 0; i < a->devices_n; i++)
		if (!sv_eqs(sv_str(a->devices[i].identity), b->devices[i].identity))
			return false;
	return true;
}

/* Prepared before, and the same is wanted: the answer is the same, and what it names is there. */
static void verify(struct claim *c)
{
	int r;

	phase_end(c, CLAIM_PHASE_WAIT);
	r = claim_write_cdi(c, claim_error(c));
	if (r < 0) {
		prepare_fails(c, r);
		return;
	}
	if (r == CDI_E_WRITTEN)
		log_warn("CDI spec of a prepared claim was missing or differed, written anew",
			 LOG_S("claim", c->name), LOG_S("uid", c->uid));
	phase_end(c, CLAIM_PHASE_APPLY);
	wait_set(c, NULL);
	claim_move(c, PREPARED);
	answer_prepared(c);
	loop_task_post(&c->tick);
}

static void store_intent(struct claim *c, struct ledger_claim *rec)
{
	struct claims *o = c->owner;

	claim_keep_plan(rec, c->plan);
	(void)hold_take(&o->hold, c->uid, rec->devices, rec->devices_n);
	ledger_claim_free(&c->record);
	c->record = rec;
	mem_free(c->pod); /* the record has it */
	c->pod = NULL;
	c->answered = false;
	wait_set(c, NULL);
	phase_end(c, CLAIM_PHASE_WAIT);
	claim_move(c, STORING);
	ledger_put(o->ledger, rec, on_durable, c);
	claims_write_ahead(o, c);
}

/* True when something short-lived is in the way of `rec`; c->error says what. */
static bool blocked(struct claim *c, const struct ledger_claim *rec)
{
	struct claims *o = c->owner;
	const char *identity, *uid;
	const struct claim *other;

	if (ledger_state(o->ledger) != LEDGER_OPEN) {
		err_set(claim_error(c), 0, "the ledger is not open: %s", ledger_reason(o->ledger));
		return true;
	}
	uid = hold_blocker(&o->hold, c->uid, rec->devices, rec->devices_n, &identity);
	if (!uid)
		return false;
	other = map_get(&o->by_uid, sv_str(uid));
	err_set(claim_error(c), 0, "GPU %s is still prepared for claim %s/%s (%s)", identity,
		other ? other->ns : "?", other ? other->name : "?", uid);
	return true;
}

static void decide(struct claim *c)
{
	struct ledger_claim *rec = claim_record(c);
	enum claim_resolve resolved = claim_resolve(c, rec);

	if (resolved == RESOLVE_FAIL) {
		ledger_claim_free(&rec);
		prepare_fails(c, -ENODEV);
		return;
	}
	if (resolved == RESOLVE_WAIT || blocked(c, rec)) {
		ledger_claim_free(&rec);
		prepare_waits(c);
		return;
	}
	/* With a plan, an Unprepare failed half-way: what is left of it is undone first. */
	if (c->record && !c->plan && same_devices(c->record, rec)) {
		ledger_claim_free(&rec);
		verify(c);
		return;
	}
	if (c->record) {
		log_info("claim was allocated anew or undone in part, the rest is undone first",
			 LOG_S("claim", c->name), LOG_S("uid", c->uid));
		ledger_claim_free(&rec);
		start_unprepare(c);
		return;
	}
	if (claim_make_plan(c, rec) < 0) {
		ledger_claim_free(&rec);
		plan_free(&c->plan);
		prepare_fails(c, -EINVAL);
		return;
	}
	store_intent(c, rec);
}

/* Before anything is on its way to the disk: do the callers still want it? */
static bool still_wanted(struct claim *c)
{
	bool gone = list_empty(&c->prepares), undo = !list_empty(&c->unprepares);

	cancel_prepares(c);
	if (gone || undo)
		prepare_ends(c);
	return !gone && !undo;
}

static void tick_fetching(struct claim *c)
{
	if (!still_wanted(c))
		return;
	if (!c->answered && c->waiting_for) {
		err_set(claim_error(c), 0, "%s", c->waiting_for);
		(void)shutting_down(c);
	}
	if (!c->answered)
		return;
	c->answered = false;
	phase_end(c, CLAIM_PHASE_FETCH);
	/* It lasted as long as its first callers could wait; one that came later has time left. */
	if (c->result == -ETIMEDOUT && latest_give_up(&c->prepares) > loop_now_ms(c->owner->loop)) {
		expire(c, &c->prepares);
		fetch(c);
		return;
	}
	if (c->result) {
		prepare_fails(c, c->result < 0 ? c->result : -ENOENT);
		return;
	}
	mem_free(c->pod);
	c->pod = mem_strdup(c->alloc.pod);
	decide(c);
}

static void tick_waiting(struct claim *c)
{
	struct ledger_claim *rec;
	bool waits;

	if (!still_wanted(c) || shutting_down(c))
		return;
	rec = claim_record(c);
	waits = claim_resolve(c, rec) == RESOLVE_WAIT || blocked(c, rec);
	ledger_claim_free(&rec);
	if (waits) {
		wait_set(c, err_text(claim_error(c)));
		return;
	}
	/* What was allocated when the wait began may have changed since. */
	phase_end(c, CLAIM_PHASE_WAIT);
	fetch(c);
}

static void tick_storing(struct claim *c)
{
	struct claims *o = c->owner;

	if (!c->answered)
		return;
	c->answered = false;
	phase_end(c, CLAIM_PHASE_STORE);
	if (c->result < 0) {
		claim_drop_record(c);
		prepare_fails(c, c->result);
		claims_wake_waiting(o);
		claims_settle(o);
		return;
	}
	c->quarantined = false; /* the damaged record has a successor */
	if (list_empty(&c->prepares) || !list_empty(&c->unprepares)) {
		cancel_prepares(c);
		start_unprepare(c);
		return;
	}
	claim_move(c, APPLYING);
	plan_run(c->plan, on_plan, c);
}

static void tick_applying(struct claim *c)
{
	if (!c->answered)
		return;
	c->answered = false;
	if (c->result >= 0)
		c->result = claim_write_cdi(c, claim_error(c));
	phase_end(c, CLAIM_PHASE_APPLY);
	if (c->result < 0)
		fail_all(&c->prepares, c->result, err_text(claim_error(c)));
	if (list_empty(&c->prepares) || !list_empty(&c->unprepares)) {
		cancel_prepares(c);
		start_unprepare(c);
		return;
	}
	plan_free(&c->plan); /* the record has it */
	claim_move(c, PREPARED);
	answer_prepared(c);
	claims_settle(c->owner);
	loop_task_post(&c->tick);
}

/* ---- at rest ---- */

static bool ledger_in_the_way(struct claim *c)
{
	struct claims *o = c->owner;

	if (ledger_state(o->ledger) == LEDGER_OPEN) {
		wait_set(c, NULL);
		return false;
	}
	if (list_empty(&c->prepares) && list_empty(&c->unprepares)) {
		wait_set(c, NULL);
		return true;
	}
	err_set(claim_error(c), 0, "the ledger is not open: %s", ledger_reason(o->ledger));
	if (!o->draining) {
		wait_set(c, err_text(claim_error(c)));
		return true;
	}
	err_wrap(claim_error(c), 0, "tundra is shutting down while waiting");
	fail_all(&c->prepares, -ESHUTDOWN, err_text(claim_error(c)));
	fail_all(&c->unprepares, -ESHUTDOWN, err_text(claim_error(c)));
	wait_set(c, NULL);
	return true;
}

static void tick_new(struct claim *c)
{
	struct claim_answer ok = { 0 };

	if (ledger_in_the_way(c))
		return;
	cancel_prepares(c);
	/* Never prepared, or already gone: the kubelet may ask for either, and it is no error. */
	while (!list_empty(&c->unprepares))
		answer_one(list_entry(c->unprepares.next, struct claim_call, node), &ok);
	if (c->owner->draining)
		fail_all(&c->prepares, -ESHUTDOWN, "tundra is shutting down");
	if (!list_empty(&c->prepares)) {
		start_prepare(c);
		return;
	}
	claim_move(c, GONE);
	claim_bury(c);
}

static void tick_prepared(struct claim *c)
{
	if (ledger_in_the_way(c))
		return;
	if (!list_empty(&c->unprepares)) {
		cancel_prepares(c);
		start_unprepare(c);
		return;
	}
	if (c->owner->draining)
		fail_all(&c->prepares, -ESHUTDOWN, "tundra is shutting down");
	if (!list_empty(&c->prepares))
		start_prepare(c);
}

/* ---- time ---- */

static void tell_wait(struct claim *c)
{
	struct claims *o = c->owner;
	struct events_object object = claim_object(c);
	const char *trouble = c->api_call ? api_trouble(o->conf.api, c->api_call) : "";

	if (loop_now_ms(o->loop) < c->wait_began_ms + CLAIM_TELL_MS)
		return;
	if (sm_state(&c->sm) == FETCHING && !c->answered)
		wait_set(c, *trouble ? trouble : "the API server does not answer");
	if (!c->waiting_for || c->told)
		return;
	c->told = true;
	events_note(o->conf.events, &object, "Waiting", "%s", c->waiting_for);
	log_info("claim waits", LOG_S("claim", c->name), LOG_S("namespace", c->ns),
		 LOG_S("uid", c->uid), LOG_S("for", c->waiting_for));
}

static void arm_timer(struct claim *c)
{
	uint64_t now = loop_now_ms(c->owner->loop), due = UINT64_MAX;

	if (sm_state(&c->sm) == FETCHING && !c->told)
		due = c->wait_began_ms + CLAIM_TELL_MS;
	if (c->waiting_for || claim_in_flight(c)) {
		list_for_each (n, &c->prepares)
			due = MIN(due, list_entry(n, struct claim_call, node)->gives_up_ms);
		list_for_each (n, &c->unprepares)
			due = MIN(due, list_entry(n, struct claim_call, node)->gives_up_ms);
	}
	if (c->waiting_for && !c->told)
		due = MIN(due, c->wait_began_ms + CLAIM_TELL_MS);
	if (due == UINT64_MAX)
		loop_timer_stop(&c->timer);
	else
		loop_timer_set(&c->timer, due > now ? due - now : 0);
}

static void claim_on_timer(void *arg)
{
	struct claim *c = arg;

	tell_wait(c);
	expire(c, &c->prepares);
	expire(c, &c->unprepares);
	loop_task_post(&c->tick);
}

static void claim_tick(void *arg)
{
	struct claim *c = arg;

	switch ((enum claim_state)sm_state(&c->sm)) {
	case NEW:
		tick_new(c);
		break;
	case FETCHING:
		tick_fetching(c);
		break;
	case WAITING:
		tick_waiting(c);
		break;
	case STORING:
		tick_storing(c);
		break;
	case APPLYING:
		tick_applying(c);
		break;
	case PREPARED:
		tick_prepared(c);
		break;
	case UNPREPARING:
		tick_unpreparing(c);
		break;
	case GONE:
	case STATES:
		break;
	}
	if (sm_state(&c->sm) != GONE)
		arm_timer(c);
}
