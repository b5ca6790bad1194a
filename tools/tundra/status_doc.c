#include "tools/tundra/status_doc.h"

#include "core/jsonw.h"
#include "core/mem.h"
#include "core/version.h"
#include "k8s/api/client.h"
#include "k8s/conflict.h"
#include "tools/tundra/conditions.h"
#include "tools/tundra/in_use.h"
#include "transport/h2_client.h"

enum { WORKERS_MAX = 18 };

/* ---- what is wrong ---- */

/* Facts with the arrays behind them. */
struct gathered {
	struct condition_facts facts;
	struct condition_device *devices;
	struct inventory_worker workers[WORKERS_MAX];
	struct claim_info *claims;
	size_t claims_size;
};

static void gather_devices(struct gathered *g, const struct serve_conf *c)
{
	size_t n = 0;

	list_for_each (i, inventory_devices(c->inventory))
		n++;
	g->devices = mem_calloc(n ? n : 1, sizeof(*g->devices));
	list_for_each (i, inventory_devices(c->inventory)) {
		const struct gpu_device *d = list_entry(i, struct gpu_device, node);

		g->devices[g->facts.devices_n++] = (struct condition_device){
			.name = d->name,
			.pci = d->pci,
			.trouble = d->trouble,
			.claim = driver_holder(c->driver, d->uuid),
			.present = d->present,
		};
	}
	g->facts.devices = g->devices;
}

/* All that the node has: those of the vendors, and the two of its own. */
static size_t workers_of(const struct serve_conf *c, struct inventory_worker out[WORKERS_MAX])
{
	size_t n = inventory_workers(c->inventory, out, WORKERS_MAX - 2);

	out[n++] = (struct inventory_worker){ "disk", worker_stats(c->disk) };
	out[n++] = (struct inventory_worker){ "host", in_use_worker(c->in_use) };
	return n;
}

static void gather_claim(void *arg, const struct claim_info *i)
{
	struct gathered *g = arg;

	if (!i->quarantined && !i->waiting_for)
		return;
	if (g->facts.claims_n == g->claims_size) {
		g->claims_size = MAX(g->claims_size * 2, 16);
		g->claims = mem_realloc(g->claims, g->claims_size, sizeof(*g->claims));
	}
	g->claims[g->facts.claims_n++] = *i;
	g->facts.claims = g->claims;
}

static void gather(struct gathered *g, struct loop *l, const struct serve_conf *c,
		   uint64_t started_ms)
{
	const struct h2_client_stats *api = api_connection(c->api);
	struct condition_facts *f = &g->facts;

	*g = (struct gathered){ .claims = NULL };
	driver_facts(c->driver, &f->of_driver);
	f->driver = f->of_driver.name;
	f->up_ms = loop_now_ms(l) - started_ms;
	f->inventory = inventory_state(c->inventory);
	f->inventory_reason = inventory_reason(c->inventory);
	f->inventory_ms = loop_now_ms(l) - inventory_since_ms(c->inventory);
	/* Idle is no trouble: it connects with the next request. */
	f->api_down = api->state == H2_CLIENT_WAITING ||
		      (api->state == H2_CLIENT_CONNECTING && *api->last_error);
	f->api_error = api->last_error;
	f->conflict = conflict_reason(c->conflict);
	f->events_forbidden = events_forbidden(c->events);
	f->loop = loop_stats(l);
	gather_devices(g, c);
	f->workers = g->workers;
	f->workers_n = workers_of(c, g->workers);
	driver_each_claim(c->driver, gather_claim, g);
}

static void put_condition(void *arg, const struct condition *c, const char *subject,
			  const char *detail)
{
	struct jsonw *w = arg;

	jsonw_obj(w);
	jsonw_kstr(w, "id", c->id);
	jsonw_kstr(w, "level", condition_level_name(c->level));
	jsonw_kstr(w, "symptom", c->symptom);
	jsonw_kstr(w, "subject", subject);
	jsonw_kstr(w, "detail", detail);
	jsonw_kstr(w, "seen", c->seen);
	jsonw_kstr(w, "todo", c->todo);
	jsonw_end(w);
}

static void put_conditions(struct jsonw *w, struct loop *l, const struct serve_conf *c,
			   uint64_t started_ms)
{
	struct gathered g;

	gather(&g, l, c, started_ms);
	jsonw_karr(w, "conditions");
	conditions_find(&g.facts, put_condition, w);
	jsonw_end(w);
	mem_free(g.devices);
	mem_free(g.claims);
}

/* ---- the parts ---- */

static void status_device(const struct serve_conf *c, struct jsonw *w, const struct gpu_device *g)
{
	const char *holder = driver_holder(c->driver, g->uuid);

	jsonw_obj(w);
	jsonw_kstr(w, "name", g->name);
	jsonw_kstr(w, "uuid", g->uuid);
	jsonw_kstr(w, "pci", g->pci);
	jsonw_ki64(w, "minor", g->minor);
	jsonw_kbool(w, "present", g->present);
	if (*g->trouble)
		jsonw_kstr(w, "trouble", g->trouble);
	for (size_t i = 0; i < g->attributes_n; i++)
		if (!strcmp(g->attributes[i].name, "productName"))
			jsonw_kstr(w, "product", g->attributes[i].s);
	for (size_t i = 0; i < g->capacities_n; i++)
		if (!strcmp(g->capacities[i].name, "memory"))
			jsonw_ki64(w, "memory", (int64_t)g->capacities[i].value);
	if (holder)
		jsonw_kstr(w, "claim", holder);
	jsonw_end(w);
}

static void status_worker(struct jsonw *w, const char *role, const struct worker_stats *st)
{
	static const char *const names[] = { "down", "starting", "up", "killed" };

	jsonw_obj(w);
	jsonw_kstr(w, "role", role);
	jsonw_kstr(w, "state", names[st->state]);
	jsonw_ki64(w, "pid", st->pid);
	jsonw_ki64(w, "starts", (int64_t)st->starts);
	jsonw_ki64(w, "crashes", (int64_t)st->crashes);
	jsonw_ki64(w, "timeouts", (int64_t)st->timeouts);
	jsonw_ki64(w, "stuck", (int64_t)st->abandoned);
	jsonw_ki64(w, "requests", (int64_t)st->requests);
	jsonw_end(w);
}

static void status_workers(const struct serve_conf *c, struct jsonw *w)
{
	struct inventory_worker workers[WORKERS_MAX];
	size_t n = workers_of(c, workers);

	jsonw_karr(w, "workers");
	for (size_t i = 0; i < n; i++)
		status_worker(w, workers[i].role, workers[i].stats);
	jsonw_end(w);
}

static void status_api(const struct serve_conf *c, struct jsonw *w)
{
	const struct h2_client_stats *st = api_connection(c->api);

	jsonw_kobj(w, "api");
	jsonw_kbool(w, "connected", st->state == H2_CLIENT_UP);
	jsonw_kstr(w, "version", api_version_name(api_served(c->api)));
	jsonw_ki64(w, "connects", (int64_t)st->connects);
	jsonw_ki64(w, "failures", (int64_t)st->failures);
	jsonw_ki64(w, "requests", (int64_t)st->requests);
	jsonw_kstr(w, "lastError", st->last_error);
	jsonw_end(w);
}

static void status_inventory(const struct serve_conf *c, struct jsonw *w)
{
	jsonw_kobj(w, "inventory");
	jsonw_kstr(w, "state", inventory_state_name(inventory_state(c->inventory)));
	jsonw_kstr(w, "reason", inventory_reason(c->inventory));
	jsonw_karr(w, "devices");
	list_for_each (n, inventory_devices(c->inventory))
		status_device(c, w, list_entry(n, struct gpu_device, node));
	jsonw_end(w);
	jsonw_end(w);
}

static void status_event(void *arg, const struct events_told *t)
{
	struct jsonw *w = arg;

	jsonw_obj(w);
	jsonw_ki64(w, "ms", (int64_t)t->wall_ms);
	jsonw_ki64(w, "count", (int64_t)t->count);
	jsonw_kstr(w, "type", t->type);
	jsonw_kstr(w, "reason", t->reason);
	jsonw_kstr(w, "kind", t->kind);
	jsonw_kstr(w, "namespace", t->namespace);
	jsonw_kstr(w, "name", t->name);
	jsonw_kstr(w, "message", t->message);
	jsonw_end(w);
}

static void status_loop(struct loop *l, struct jsonw *w)
{
	const struct loop_stats *st = loop_stats(l);

	jsonw_kobj(w, "loop");
	jsonw_ki64(w, "turns", (int64_t)st->turns);
	jsonw_ki64(w, "slowTurns", (int64_t)st->slow_turns);
	jsonw_ki64(w, "preemptedTurns", (int64_t)st->preempted_turns);
	jsonw_ki64(w, "maxMicroseconds", (int64_t)st->max_us);
	jsonw_ki64(w, "busyMicroseconds", (int64_t)st->busy_us);
	jsonw_karr(w, "slowCallbacks");
	for (size_t i = 0; i < st->slow_n; i++) {
		jsonw_obj(w);
		jsonw_kstr(w, "callback", st->slow[i].name);
		jsonw_ki64(w, "turns", (int64_t)st->slow[i].turns);
		jsonw_ki64(w, "maxMicroseconds", (int64_t)st->slow[i].max_us);
		jsonw_end(w);
	}
	jsonw_end(w);
	jsonw_end(w);
}

/* ---- the whole ---- */

size_t status_doc(struct loop *l, const struct serve_conf *c, uint64_t started_ms,
		  size_t claims_max, struct buf *out)
{
	size_t before = buf_len(out), stable;
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "version", version_string());
	jsonw_kstr(&w, "build", version_build());
	jsonw_kstr(&w, "node", c->node);
	put_conditions(&w, l, c, started_ms);
	status_inventory(c, &w);
	if (conflict_reason(c->conflict))
		jsonw_kstr(&w, "conflict", conflict_reason(c->conflict));
	status_workers(c, &w);
	status_api(c, &w);
	jsonw_kobj(&w, "driver");
	driver_status(c->driver, &w, claims_max);
	jsonw_end(&w);
	jsonw_karr(&w, "events");
	events_each(c->events, status_event, &w);
	jsonw_end(&w);
	stable = buf_len(out) - before;
	jsonw_ki64(&w, "nowMs", (int64_t)loop_wall_ms(l));
	jsonw_ki64(&w, "upMs", (int64_t)(loop_now_ms(l) - started_ms));
	status_loop(l, &w);
	jsonw_end(&w);
	return stable;
}
