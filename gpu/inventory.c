#include "gpu/inventory.h"

#include <errno.h>

#include "core/log.h"
#include "core/mem.h"
#include "gpu/hotplug.h"
#include "gpu/inventory_private.h"

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MOST_MS = 60000, /* without a driver: what no watch tells (a mount) is seen by then */
	REPROBE_FIRST_MS = 10000,
	REPROBE_MOST_MS = 30 * 60000, /* of a GPU that hangs the library: each costs a process */
	FAILURES_MAX = 2,	      /* rounds without an answer before it is called trouble */
};

/* ---- state ---- */

const char *inventory_state_name(enum inventory_state state)
{
	static const char *const names[] = {
		[INVENTORY_STARTING] = "starting",
		[INVENTORY_READY] = "ready",
		[INVENTORY_NO_DRIVER] = "no driver",
		[INVENTORY_TROUBLE] = "trouble",
	};

	return names[state];
}

static void inventory_change(struct inventory *inv, unsigned what)
{
	inv->changed |= what;
	loop_task_post(&inv->notify);
}

static void inventory_notify(void *arg)
{
	struct inventory *inv = arg;
	unsigned changed = inv->changed;

	inv->changed = 0;
	list_for_each_safe (n, &inv->listeners) {
		struct inv_listener *listener = list_entry(n, struct inv_listener, node);

		listener->fn(listener->arg, changed);
	}
}

/* With several vendors a node is ready when one is and no other has still to say something. */
static const enum inventory_state state_order[] = {
	INVENTORY_STARTING,
	INVENTORY_TROUBLE,
	INVENTORY_READY,
	INVENTORY_NO_DRIVER,
};

static const struct inv_vendor *inventory_leading(const struct inventory *inv)
{
	size_t i, o;

	for (o = 0; o < ARRAY_LEN(state_order); o++)
		for (i = 0; i < inv->vendors_n; i++)
			if (inv->vendors[i].state == state_order[o])
				return &inv->vendors[i];
	must(false);
}

static void inventory_sum_up(struct inventory *inv)
{
	const struct inv_vendor *lead = inventory_leading(inv);
	const char *reason = lead->state == INVENTORY_READY ? "" : lead->reason;

	if (lead->state == inv->state && strcmp(reason, inv->reason) == 0)
		return;
	if (lead->state != inv->state) {
		inv->since_ms = loop_now_ms(inv->loop);
		log_info("inventory changed state", LOG_S("vendor", lead->vendor->name),
			 LOG_S("from", inventory_state_name(inv->state)),
			 LOG_S("to", inventory_state_name(lead->state)),
			 LOG_S("reason", lead->reason));
	}
	inv->state = lead->state;
	sv_copy(inv->reason, sizeof(inv->reason), sv_str(reason));
	inventory_change(inv, INVENTORY_CHANGED_STATE);
}

static void inv_vendor_state(struct inv_vendor *v, enum inventory_state state, const char *reason)
{
	v->state = state;
	sv_copy(v->reason, sizeof(v->reason), sv_str(reason));
	inventory_sum_up(v->inv);
}

/* ---- a round's result ---- */

/* What hung in this round sets the time anew; what was spared in it waits for the one it has. */
static void inv_plan_reprobe(struct inv_vendor *v, const struct scan_result *r)
{
	bool hung = false, tried = false, first = false;
	size_t i;

	for (i = 0; i < r->gpus_n; i++) {
		hung |= r->gpus[i].hung;
		tried |= r->gpus[i].hung && !r->gpus[i].spared;
		first |= r->gpus[i].hung && r->gpus[i].strikes == 1;
	}
	if (!hung)
		loop_timer_stop(&v->reprobe);
	if (!hung || first)
		backoff_reset(&v->reprobe_delay);
	if (tried || (hung && !loop_timer_armed(&v->reprobe)))
		loop_timer_set(&v->reprobe, backoff_next(&v->reprobe_delay, v->inv->loop));
}

/* Rounds of our own timers say nothing about whether events are worth following. */
static void inv_prompt_answered(struct inv_vendor *v, bool news)
{
	if (v->prompted)
		hotplug_result(v->inv->hotplug, news);
	v->prompted = false;
}

static void inv_ready(struct inv_vendor *v, struct scan_result *r)
{
	bool news = v->state != INVENTORY_READY;

	v->failures = 0;
	backoff_reset(&v->retry_delay);
	loop_timer_stop(&v->retry);
	if (inventory_merge(v, r)) {
		inventory_change(v->inv, INVENTORY_CHANGED_DEVICES);
		news = true;
	}
	inv_plan_reprobe(v, r);
	inv_vendor_state(v, INVENTORY_READY, r->reason);
	inv_prompt_answered(v, news);
}

static void inv_not_ready(struct inv_vendor *v, enum inventory_state state, const char *reason)
{
	bool news = v->state != state;

	loop_timer_stop(&v->reprobe);
	loop_timer_set(&v->retry, backoff_next(&v->retry_delay, v->inv->loop));
	inv_vendor_state(v, state, reason);
	inv_prompt_answered(v, news);
}

/* A single hang may pass; what is known stays published until it has happened again. */
static void inv_unreachable(struct inv_vendor *v, const struct scan_result *r)
{
	log_warn("driver could not be asked", LOG_S("vendor", v->vendor->name),
		 LOG_S("why", r->reason), LOG_I("failures", v->failures + 1));
	if (++v->failures >= FAILURES_MAX)
		inv_not_ready(v, INVENTORY_TROUBLE, r->reason);
	else
		loop_timer_set(&v->retry, backoff_next(&v->retry_delay, v->inv->loop));
}

static void inv_on_done(void *arg)
{
	struct inv_vendor *v = arg;
	struct scan_result *r = scan_result(v->scan);

	if (r->open)
		hotplug_watch(v->inv->hotplug, v, r->open->watch, r->open->watch_n);
	switch (r->outcome) {
	case SCAN_OK:
		inv_ready(v, r);
		return;
	case SCAN_NO_DRIVER:
	case SCAN_MISMATCH: /* until the update is finished nobody can use the GPUs either */
		v->failures = 0;
		inv_not_ready(v, INVENTORY_NO_DRIVER, r->reason);
		return;
	case SCAN_TROUBLE:
		inv_not_ready(v, INVENTORY_TROUBLE, r->reason);
		return;
	case SCAN_UNREACHABLE:
		inv_unreachable(v, r);
		return;
	}
	must(false);
}

/* ---- triggers ---- */

static void inv_on_timer(void *arg)
{
	struct inv_vendor *v = arg;

	scan_start(v->scan);
}

static void inv_on_reprobe(void *arg)
{
	struct inv_vendor *v = arg;

	scan_probe(v->scan);
	scan_start(v->scan);
}

static bool inventory_ours(void *arg, struct sv pci)
{
	struct inventory *inv = arg;

	list_for_each (n, &inv->devices)
		if (sv_eqs(pci, list_entry(n, struct gpu_device, node)->pci))
			return true;
	return false;
}

static void inventory_look(struct inventory *inv, const char *why, bool prompted)
{
	size_t i;

	if (!inv->started)
		return;
	log_debug("looking at the devices anew", LOG_S("why", why));
	for (i = 0; i < inv->vendors_n; i++) {
		struct inv_vendor *v = &inv->vendors[i];

		v->prompted |= prompted;
		backoff_reset(&v->retry_delay);
		scan_start(v->scan);
	}
}

static void inventory_forgive(struct inventory *inv, const char *pci)
{
	size_t i;

	for (i = 0; i < inv->vendors_n; i++)
		scan_forgive(inv->vendors[i].scan, pci);
}

static void inventory_on_device(void *arg, const char *pci)
{
	inventory_forgive(arg, pci);
}

static void inventory_on_hotplug(void *arg, const char *why)
{
	inventory_look(arg, why, true);
}

void inventory_rescan(struct inventory *inv, const char *why)
{
	inventory_forgive(inv, NULL);
	inventory_look(inv, why, false);
}

/* ---- life ---- */

static void inv_vendor_init(struct inventory *inv, const struct gpu_vendor *vendor,
			    const struct inventory_conf *conf)
{
	struct inv_vendor *v = &inv->vendors[inv->vendors_n];
	struct scan_conf scan = {
		.host = conf->host,
		.vendor = vendor,
		.open_ms = conf->open_ms ? conf->open_ms : INVENTORY_OPEN_MS,
		.query_ms = conf->query_ms ? conf->query_ms : INVENTORY_QUERY_MS,
		.on_done = inv_on_done,
		.arg = v,
	};

	v->inv = inv;
	v->vendor = vendor;
	v->scan = scan_new(inv->loop, &scan);
	backoff_init(&v->retry_delay, RETRY_FIRST_MS, RETRY_MOST_MS);
	backoff_init(&v->reprobe_delay, REPROBE_FIRST_MS, REPROBE_MOST_MS);
	loop_timer_init(&v->retry, inv->loop, inv_on_timer, v);
	loop_timer_init(&v->reprobe, inv->loop, inv_on_reprobe, v);
	edits_init(&v->edits);
	inv->pci_vendors[inv->vendors_n++] = vendor->pci_vendor;
}

struct inventory *inventory_new(struct loop *l, const struct inventory_conf *conf)
{
	struct inventory *inv = MEM_NEW(struct inventory);
	size_t i;

	inv->loop = l;
	inv->roots = *conf->roots;
	inv->extras = conf->extras;
	inv->uevent_fd = conf->uevent_fd;
	inv->table = conf->vendors ? conf->vendors : vendor_table;
	inv->slab = slab_new(sizeof(struct inv_device), INV_DEVICES_MAX);
	inv->since_ms = loop_now_ms(l);
	list_init(&inv->devices);
	list_init(&inv->listeners);
	loop_task_init(&inv->notify, l, LOOP_TICK, inventory_notify, inv);
	for (i = 0; inv->table[i]; i++) {
		must(i < INV_VENDORS_MAX);
		inv_vendor_init(inv, inv->table[i], conf);
	}
	must(inv->vendors_n > 0);
	return inv;
}

void inventory_free(struct inventory **inv)
{
	size_t i;

	if (!*inv)
		return;
	for (i = 0; i < (*inv)->vendors_n; i++) {
		struct inv_vendor *v = &(*inv)->vendors[i];

		scan_free(&v->scan);
		loop_timer_stop(&v->retry);
		loop_timer_stop(&v->reprobe);
		edits_done(&v->edits);
	}
	hotplug_free(&(*inv)->hotplug);
	loop_task_stop(&(*inv)->notify);
	list_for_each_safe (n, &(*inv)->devices)
		inventory_forget(*inv, inv_of(list_entry(n, struct gpu_device, node)));
	list_for_each_safe (n, &(*inv)->listeners) {
		list_remove(n);
		mem_free(list_entry(n, struct inv_listener, node));
	}
	slab_free(&(*inv)->slab);
	mem_free(*inv);
	*inv = NULL;
}

void inventory_start(struct inventory *inv)
{
	struct hotplug_conf conf = {
		.roots = &inv->roots,
		.uevent_fd = inv->uevent_fd,
		.pci_vendors = inv->pci_vendors,
		.ours = inventory_ours,
		.device = inventory_on_device,
		.changed = inventory_on_hotplug,
		.arg = inv,
	};
	size_t i;

	must(!inv->started);
	inv->started = true;
	inv->hotplug = hotplug_new(inv->loop, &conf);
	for (i = 0; i < inv->vendors_n; i++)
		scan_start(inv->vendors[i].scan);
}

void inventory_listen(struct inventory *inv, void (*fn)(void *arg, unsigned changed), void *arg)
{
	struct inv_listener *listener = MEM_NEW(struct inv_listener);

	listener->fn = fn;
	listener->arg = arg;
	list_push(&inv->listeners, &listener->node);
}

void inventory_unlisten(struct inventory *inv, void *arg)
{
	list_for_each_safe (n, &inv->listeners) {
		struct inv_listener *listener = list_entry(n, struct inv_listener, node);

		if (listener->arg != arg)
			continue;
		list_remove(n);
		mem_free(listener);
	}
}

/* ---- reading ---- */

enum inventory_state inventory_state(const struct inventory *inv)
{
	return inv->state;
}

const char *inventory_reason(const struct inventory *inv)
{
	return inv->reason;
}

uint64_t inventory_since_ms(const struct inventory *inv)
{
	return inv->since_ms;
}

struct list *inventory_devices(struct inventory *inv)
{
	return &inv->devices;
}

/* Of two with one name, the one that is published. */
static unsigned inventory_worth(const struct gpu_device *d)
{
	return d->present ? 1 + !*d->trouble : 0;
}

struct gpu_device *inventory_by_name(struct inventory *inv, struct sv name)
{
	struct gpu_device *best = NULL;

	list_for_each (n, &inv->devices) {
		struct gpu_device *d = list_entry(n, struct gpu_device, node);

		if (sv_eqs(name, d->name) && (!best || inventory_worth(d) > inventory_worth(best)))
			best = d;
	}
	return best;
}

struct gpu_device *inventory_by_identity(struct inventory *inv, struct sv pci, struct sv uuid)
{
	list_for_each (n, &inv->devices) {
		struct gpu_device *d = list_entry(n, struct gpu_device, node);

		if (sv_eqs(pci, d->pci) && sv_eqs(uuid, d->uuid))
			return d;
	}
	return NULL;
}

struct gpu_device *inventory_get(struct inventory *inv, slab_handle handle)
{
	struct inv_device *x = slab_get(inv->slab, handle);

	return x ? &x->d : NULL;
}

const struct gpu_edits *inventory_common_edits(struct inventory *inv,
					       const struct gpu_vendor *vendor)
{
	size_t i;

	for (i = 0; i < inv->vendors_n; i++)
		if (inv->vendors[i].vendor == vendor && inv->vendors[i].known)
			return &inv->vendors[i].edits;
	return NULL;
}

const struct gpu_vendor *const *inventory_vendors(const struct inventory *inv)
{
	return inv->table;
}

size_t inventory_workers(const struct inventory *inv, struct inventory_worker *out, size_t max)
{
	size_t i, n = MIN(inv->vendors_n, max);

	for (i = 0; i < n; i++)
		out[i] = (struct inventory_worker){ inv->vendors[i].vendor->role,
						    scan_worker(inv->vendors[i].scan) };
	return n;
}
