#include "k8s/node.h"

#include <errno.h>

#include "core/fswatch.h"
#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/digest.h"
#include "k8s/leftovers.h"
#include "k8s/takeover.h"
#include "transport/sock.h"

#define START_GRACE_MS	 30000u /* existing slices stay this long while the GPUs are not ready */
#define UNLOAD_GRACE_MS	 5000u	/* and this long when the vendor's driver goes away */
#define REGISTERING_MS	 5000u	/* the kubelet connects before it confirms, or a moment later */
#define RESTORE_MS	 200u	/* whoever empties the plugin folder may not be done yet */
#define RESTORE_AGAIN_MS 5000u

struct driver {
	struct loop *loop;
	struct driver_conf conf;
	char *name, *node, *folder, *socket, *registrar, *ledger_path, *hook_path, *held;
	char *withdrawn; /* why nothing is offered, NULL: all is */
	char *hook_copy; /* NULL: the hook is not ours */
	struct cdi *cdi;
	struct claims *claims;
	struct plugin *plugin;
	struct grpc_server *server;
	struct registration *registration;
	struct publisher *publisher;
	struct gc *gc;
	struct leftovers *leftovers;
	struct pool_source source;
	const struct gpu_device **published; /* scratch for the source */
	size_t published_max;
	struct loop_timer grace; /* ends the time in which not ready keeps the slices */
	struct fswatch *watch;	 /* of the plugin folder */
	struct loop_timer restore;
	uint64_t gone_ms; /* loop time the GPUs became not ready, while `gone` */
	bool gone, was_ready, emptied, draining, has_ledger;
	void (*drained)(void *arg);
	void *drained_arg;
};

/* ---- where the devices come from ---- */

static uint64_t grace_ms(const struct driver *d)
{
	return d->was_ready ? UNLOAD_GRACE_MS : START_GRACE_MS;
}

/* A driver that is there and does not answer keeps its GPUs: they may well work. */
static void note_gone(struct driver *d)
{
	enum inventory_state state = inventory_state(d->conf.inventory);
	bool gone = state != INVENTORY_READY && !(state == INVENTORY_TROUBLE && d->was_ready);

	if (gone && !d->gone)
		d->gone_ms = loop_now_ms(d->loop);
	d->gone = gone;
}

static bool keeps_slices(struct driver *d)
{
	uint64_t now = loop_now_ms(d->loop);

	if (!d->gone)
		return true;
	if (now - d->gone_ms >= grace_ms(d))
		return false;
	loop_timer_set(&d->grace, d->gone_ms + grace_ms(d) - now);
	return true;
}

static void tell_emptied(struct driver *d)
{
	struct events_object node = { "v1", "Node", NULL, d->node, d->node };
	const char *why = inventory_reason(d->conf.inventory);

	if (d->emptied)
		return;
	d->emptied = true;
	log_error("the GPUs are not ready: the published slices are emptied",
		  LOG_S("driver", d->name), LOG_S("why", why));
	events_warn(d->conf.events, &node, "GPUsNotReady", "%s publishes no devices: %s", d->name,
		    why);
}

static int source_devices(void *ctx, const struct gpu_device *const **out, size_t *n)
{
	struct driver *d = ctx;
	size_t used = 0;

	*out = d->published;
	*n = 0;
	if (d->withdrawn)
		return 0;
	if (inventory_state(d->conf.inventory) != INVENTORY_READY) {
		if (keeps_slices(d))
			return POOL_NOT_READY;
		tell_emptied(d);
		return 0;
	}
	list_for_each (i, inventory_devices(d->conf.inventory)) {
		const struct gpu_device *g = list_entry(i, struct gpu_device, node);

		if (!g->present || *g->trouble)
			continue;
		if (used == d->published_max) {
			d->published_max = used ? used * 2 : 16;
			d->published =
			    mem_realloc(d->published, d->published_max, sizeof(*d->published));
		}
		d->published[used++] = g;
	}
	*out = d->published;
	*n = used;
	return 0;
}

static void on_grace(void *arg)
{
	struct driver *d = arg;

	publisher_changed(d->publisher);
}

static const struct gpu_vendor *vendor_of(struct inventory *inv)
{
	struct list *devices = inventory_devices(inv);

	return list_empty(devices) ? NULL
				   : list_entry(devices->next, struct gpu_device, node)->vendor;
}

static void on_inventory(void *arg, unsigned changed)
{
	struct driver *d = arg;
	struct inventory *inv = d->conf.inventory;
	const struct gpu_vendor *vendor = vendor_of(inv);

	note_gone(d);
	if (inventory_state(inv) == INVENTORY_READY) {
		d->was_ready = true;
		d->emptied = false;
		loop_timer_stop(&d->grace);
		cdi_set_common(d->cdi, vendor ? inventory_common_edits(inv, vendor) : NULL);
	}
	claims_on_inventory(d->claims, changed);
	publisher_changed(d->publisher);
}

/* ---- what the parts tell ---- */

enum { REPORT_TEXTS = 7, REPORT_FIELDS = REPORT_TEXTS + CLAIM_PHASES + 2 };

/* Three digits, since a phase takes less than one; no floating point, five times per claim. */
static void put_ms(char *text, size_t size, uint64_t us)
{
	snprintf(text, size, "%llu.%03u", (unsigned long long)(us / 1000), (unsigned)(us % 1000));
}

/* One line per operation. */
static void log_report(const struct driver *d, const struct claim_report *r)
{
	static const char *const keys[CLAIM_PHASES] = { "fetch_ms", "wait_ms", "store_ms",
							"apply_ms" };
	struct log_field f[REPORT_FIELDS] = {
		LOG_S("driver", d->name),     LOG_S("operation", r->operation),
		LOG_S("claim", r->ref->name), LOG_S("namespace", r->ref->namespace),
		LOG_S("uid", r->ref->uid),    LOG_S("pod", r->pod),
		LOG_S("devices", r->devices),
	};
	char ms[CLAIM_PHASES + 1][24];
	size_t n = REPORT_TEXTS;

	for (size_t i = 0; i < CLAIM_PHASES; i++) {
		put_ms(ms[i], sizeof(ms[i]), r->phase_us[i]);
		f[n++] = LOG_S(keys[i], ms[i]);
	}
	put_ms(ms[CLAIM_PHASES], sizeof(ms[0]), r->total_us);
	f[n++] = LOG_S("total_ms", ms[CLAIM_PHASES]);
	if (r->error)
		f[n++] = LOG_S("error", r->error);
	log_write(r->error ? LOG_ERROR : LOG_INFO,
		  r->error ? "claim operation failed" : "claim operation done", f, n);
}

static void on_report(void *arg, const struct claim_report *r)
{
	struct driver *d = arg;

	stats_report(d->conf.stats, d->name, r);
	if (log_on(r->error ? LOG_ERROR : LOG_INFO))
		log_report(d, r);
}

/* Who cannot serve a claim publishes nothing; of two instances, one does. */
static void update_hold(struct driver *d)
{
	if (d->publisher)
		publisher_hold(d->publisher,
			       d->held || ledger_state(claims_ledger(d->claims)) != LEDGER_OPEN);
}

/* "<folder>/<name>-<instance><end>"; the instance's digest where a long folder leaves no room. */
static char *socket_path(const char *folder, const char *name, const char *instance,
			 const char *end)
{
	char *path;

	if (!instance)
		return mem_printf("%s/%s%s", folder, name, end);
	path = mem_printf("%s/%s-%s%s", folder, name, instance, end);
	if (strlen(path) <= SOCK_PATH_MAX)
		return path;
	mem_free(path);
	return mem_printf("%s/%s-%016llx%s", folder, name,
			  (unsigned long long)digest_str(DIGEST_START, instance), end);
}

/* Whoever has the ledger, each time that it gets it. */
static void tidy_up(struct driver *d)
{
	bool has = ledger_state(claims_ledger(d->claims)) == LEDGER_OPEN;

	if (has && !d->has_ledger)
		leftovers_begin(d->leftovers);
	if (!has)
		leftovers_stop(d->leftovers);
	d->has_ledger = has;
}

static void on_ledger(void *arg)
{
	struct driver *d = arg;
	const char *successor = ledger_successor(claims_ledger(d->claims));
	char *socket = successor ? socket_path(d->folder, "dra", successor, ".sock") : NULL;

	update_hold(d);
	tidy_up(d);
	plugin_relay(d->plugin, socket);
	mem_free(socket);
}

static bool is_registered(void *arg)
{
	struct driver *d = arg;

	if (!d->registration || registration_state(d->registration) != REGISTRATION_DONE)
		return false;
	return grpc_server_connections(d->server) > 0 ||
	       loop_now_ms(d->loop) - registration_confirmed_ms(d->registration) < REGISTERING_MS;
}

static void on_registration(void *arg, enum registration_state s)
{
	struct driver *d = arg;
	struct events_object node = { "v1", "Node", NULL, d->node, d->node };

	if (s == REGISTRATION_REFUSED)
		events_warn(d->conf.events, &node, "RegistrationRefused", "%s: %s", d->name,
			    registration_reason(d->registration));
	if (s != REGISTRATION_DONE)
		return;
	ledger_ask_handover(claims_ledger(d->claims));
	publisher_changed(d->publisher);
}

static void on_publish(void *arg, bool ok)
{
	struct driver *d = arg;

	if (!ok)
		stats_publish_failed(d->conf.stats, d->name);
}

/* ---- start ---- */

/* NVIDIA's driver served this node before: what it prepared is ours before anything is given away.
 */
static int take_over(struct driver *d, struct err *e)
{
	struct takeover_conf conf = { .folder = d->folder,
				      .ledger = d->ledger_path,
				      .cdi = d->conf.roots->cdi,
				      .driver = d->name,
				      .pool = d->node,
				      .boot_id = d->conf.boot_id };

	return takeover_run(&conf, e);
}

static int copy_hook(struct driver *d, struct err *e)
{
	int r = fsx_copy(d->conf.hook_source, d->hook_copy, 0755);

	return r < 0 ? err_sys(e, r, "cannot copy %s to %s", d->conf.hook_source, d->hook_copy) : 0;
}

static int install_hook(struct driver *d, struct err *e)
{
	char *copy = mem_printf("%s/tundra-cdi-hook", d->folder);

	d->hook_path = mem_strdup(d->conf.hook_path ? d->conf.hook_path : copy);
	if (d->conf.hook_source) {
		d->hook_copy = copy;
		return copy_hook(d, e);
	}
	mem_free(copy);
	return 0;
}

static void name_files(struct driver *d)
{
	const struct roots *roots = d->conf.roots;
	const char *instance = d->conf.instance;

	d->folder = mem_printf("%s/%s", roots->plugins, d->name);
	d->ledger_path = mem_printf("%s/ledger", d->folder);
	d->socket = socket_path(d->folder, "dra", instance, ".sock");
	d->registrar = socket_path(roots->registry, d->name, instance, "-reg.sock");
}

/* The other folder than the ledger's: whoever empties that one leaves these. */
static int on_registrar(void *arg, const char *name)
{
	const struct driver *d = arg;
	struct sv s = sv_str(name);

	return sv_starts(s, sv_str(d->name)) && sv_ends(s, SV("-reg.sock")) &&
	       takeover_listens(d->conf.roots->registry, name);
}

static int start_claims(struct driver *d, struct err *e)
{
	struct ledger_conf ledger = { .path = d->ledger_path,
				      .boot_id = d->conf.boot_id,
				      .instance = d->conf.instance,
				      .others =
					  d->conf.instance &&
					  fsx_list(d->conf.roots->registry, on_registrar, d) > 0,
				      .disk = d->conf.disk };
	struct cdi_conf cdi = { .root = d->conf.roots->cdi,
				.driver = d->name,
				.hook = d->hook_path };
	struct claims_conf claims = { .driver = d->name,
				      .pool = d->node,
				      .api = d->conf.api,
				      .inventory = d->conf.inventory,
				      .events = d->conf.events,
				      .ledger = &ledger,
				      .on_report = on_report,
				      .on_ledger = on_ledger,
				      .arg = d };

	d->cdi = cdi_new(&cdi);
	claims.cdi = d->cdi;
	return claims_new(d->loop, &claims, &d->claims, e);
}

static void name_leftovers(struct driver *d)
{
	const struct roots *roots = d->conf.roots;
	const struct leftovers_place places[] = { { d->folder, "dra", ".sock", d->socket },
						  { roots->registry, d->name, "-reg.sock",
						    d->registrar },
						  { roots->cdi, NULL, NULL, NULL } };

	d->leftovers = leftovers_new(d->loop, places, ARRAY_LEN(places));
}

static int listen_service(struct driver *d, struct err *e)
{
	int r = grpc_server_listen_unix(d->server, d->socket, 0600, e);

	return r < 0 ? err_wrap(e, r, "DRA service socket") : 0;
}

/* ---- an emptied plugin folder ---- */

static bool is_complete(const struct driver *d)
{
	return fsx_exists(d->socket) && (!d->hook_copy || fsx_exists(d->hook_copy));
}

/* The kubelet would find no service, the runtime no hook; the ledger looks after itself. */
static void on_restore(void *arg)
{
	struct driver *d = arg;
	struct err e = { 0 };
	int r = 0;

	if (d->draining || is_complete(d))
		return;
	log_warn("files of the plugin folder were removed, they are made anew",
		 LOG_S("folder", d->folder));
	r = fsx_mkdirs(d->folder, 0750);
	if (r < 0)
		r = err_sys(&e, r, "cannot make the plugin folder %s", d->folder);
	if (!r && d->hook_copy && !fsx_exists(d->hook_copy))
		r = copy_hook(d, &e);
	if (!r && !fsx_exists(d->socket))
		r = listen_service(d, &e);
	if (r >= 0)
		return;
	log_error("the plugin folder cannot be restored", LOG_S("error", err_text(&e)));
	loop_timer_set(&d->restore, RESTORE_AGAIN_MS);
}

/* A newcomer's, who may die of its start, again and again, and leave one each time. */
static bool is_socket_of_another(const struct driver *d, const char *name)
{
	char *path = mem_printf("%s/%s", d->folder, name);
	bool is = sv_ends(sv_str(name), SV(".sock")) && *name != '.' &&
		  strcmp(path, d->socket) != 0 && fsx_exists(path);

	mem_free(path);
	return is;
}

static void on_folder(void *arg, const char *name)
{
	struct driver *d = arg;

	if (!d->draining && !is_complete(d))
		loop_timer_set(&d->restore, RESTORE_MS);
	if (name && d->has_ledger && is_socket_of_another(d, name))
		leftovers_begin(d->leftovers);
}

static int watch_folder(struct driver *d, struct err *e)
{
	int r = fswatch_new(d->loop, d->folder, on_folder, d, &d->watch);

	return r < 0 ? err_sys(e, r, "cannot watch %s", d->folder) : 0;
}

/* ---- the parts ---- */

/* The service listens before the kubelet can hear of it. */
static int start_servers(struct driver *d, struct err *e)
{
	struct registration_conf reg = { .driver = d->name,
					 .endpoint = d->socket,
					 .socket = d->registrar,
					 .on_state = on_registration,
					 .arg = d };
	const struct grpc_service *services;
	struct grpc_limits limits = grpc_limits_default;
	size_t n;
	int r;

	limits.root_only = true;
	d->plugin = plugin_new(d->loop, d->claims);
	d->server = grpc_server_new(d->loop, &limits);
	services = plugin_services(d->plugin, &n);
	for (size_t i = 0; i < n; i++)
		grpc_server_add(d->server, &services[i]);
	r = listen_service(d, e);
	if (r < 0)
		return r;
	r = registration_new(d->loop, &reg, &d->registration, e);
	return r < 0 ? err_wrap(e, r, "registration socket") : 0;
}

static void start_publisher(struct driver *d)
{
	struct publisher_conf pub = { .driver = d->name,
				      .node = d->node,
				      .pool = d->node,
				      .api = d->conf.api,
				      .events = d->conf.events,
				      .registered = is_registered,
				      .on_publish = on_publish,
				      .arg = d };
	struct gc_conf gc = { .api = d->conf.api,
			      .claims = d->claims,
			      .events = d->conf.events,
			      .inventory = d->conf.inventory,
			      .in_use = d->conf.in_use,
			      .who = d->conf.in_use_who,
			      .ctx = d->conf.in_use_ctx };

	pub.source = (struct pool_source){ source_devices, d };
	d->publisher = publisher_new(d->loop, &pub);
	update_hold(d);
	publisher_start(d->publisher);
	d->gc = gc_new(d->loop, &gc);
}

int driver_new(struct loop *l, const struct driver_conf *conf, struct driver **out, struct err *e)
{
	struct driver *d = MEM_NEW(struct driver);
	int r;

	d->loop = l;
	d->conf = *conf;
	d->name = mem_strdup(conf->name);
	d->node = mem_strdup(conf->node);
	name_files(d);
	name_leftovers(d);
	loop_timer_init(&d->grace, l, on_grace, d);
	loop_timer_init(&d->restore, l, on_restore, d);
	stats_driver(conf->stats, d->name);
	r = fsx_mkdirs(d->folder, 0750);
	if (r < 0)
		r = err_sys(e, r, "cannot make the plugin folder %s", d->folder);
	if (!r)
		r = take_over(d, e);
	if (!r)
		r = install_hook(d, e);
	if (!r)
		r = start_claims(d, e);
	if (!r) {
		start_publisher(d); /* before the registration, whose news it takes */
		r = start_servers(d, e);
	}
	if (!r)
		r = watch_folder(d, e);
	if (r < 0) {
		driver_free(&d);
		return err_wrap(e, r, "driver %s", conf->name);
	}
	inventory_listen(conf->inventory, on_inventory, d);
	on_inventory(d, INVENTORY_CHANGED_STATE);
	*out = d;
	return 0;
}

void driver_free(struct driver **dp)
{
	struct driver *d = *dp;

	if (!d)
		return;
	inventory_unlisten(d->conf.inventory, d);
	loop_timer_stop(&d->grace);
	loop_timer_stop(&d->restore);
	fswatch_free(&d->watch);
	registration_free(&d->registration);
	grpc_server_free(&d->server);
	plugin_free(&d->plugin);
	gc_free(&d->gc);
	leftovers_free(&d->leftovers);
	publisher_free(&d->publisher);
	claims_free(&d->claims);
	cdi_free(&d->cdi);
	mem_free(d->published);
	mem_free(d->name);
	mem_free(d->node);
	mem_free(d->folder);
	mem_free(d->socket);
	mem_free(d->registrar);
	mem_free(d->ledger_path);
	mem_free(d->hook_path);
	mem_free(d->hook_copy);
	mem_free(d->held);
	mem_free(d->withdrawn);
	mem_free(d);
	*dp = NULL;
}

/* ---- stop ---- */

/* The kubelet hangs up when the registration goes: not before its calls have their answers. */
static void on_server_idle(void *arg)
{
	struct driver *d = arg;

	registration_free(&d->registration);
	if (d->drained)
		d->drained(d->drained_arg);
	d->drained = NULL;
}

static void on_claims_idle(void *arg)
{
	struct driver *d = arg;

	grpc_server_drain(d->server, on_server_idle, d);
}

void driver_drain(struct driver *d, void (*done)(void *arg), void *arg)
{
	d->drained = done;
	d->drained_arg = arg;
	d->draining = true;
	plugin_drain(d->plugin);
	claims_drain(d->claims, on_claims_idle, d);
}

/* ---- what it says of itself ---- */

bool driver_ready(const struct driver *d, struct buf *reasons)
{
	bool ready = true;

	if (d->draining) {
		buf_printf(reasons, "%s: shutting down\n", d->name);
		return false;
	}
	if (registration_state(d->registration) != REGISTRATION_DONE) {
		buf_printf(reasons, "%s: %s\n", d->name, registration_reason(d->registration));
		ready = false;
	}
	if (ledger_state(claims_ledger(d->claims)) != LEDGER_OPEN) {
		buf_printf(reasons, "%s: ledger: %s\n", d->name,
			   ledger_reason(claims_ledger(d->claims)));
		ready = false;
	}
	return ready;
}

void driver_hold_publishing(struct driver *d, const char *reason)
{
	mem_free(d->held);
	d->held = mem_strdup(reason);
	update_hold(d);
}

void driver_withdraw(struct driver *d, const char *reason)
{
	mem_free(d->withdrawn);
	d->withdrawn = mem_strdup(reason);
	publisher_changed(d->publisher);
}

const char *driver_holder(const struct driver *d, const char *identity)
{
	return claims_holder(d->claims, identity);
}

/* Two rounds over the claims: those that somebody may look for, then the prepared ones. */
struct claims_status {
	struct jsonw *w;
	size_t room, total;
	bool calm;
};

static bool is_calm(const struct claim_info *i)
{
	return !i->quarantined && !strcmp(i->state, "prepared");
}

static void status_claim(void *arg, const struct claim_info *i)
{
	struct claims_status *s = arg;
	struct jsonw *w = s->w;

	if (is_calm(i) != s->calm)
		return;
	s->total++;
	if (!s->room)
		return;
	s->room--;
	jsonw_obj(w);
	jsonw_kstr(w, "uid", i->uid);
	jsonw_kstr(w, "namespace", i->namespace);
	jsonw_kstr(w, "name", i->name);
	jsonw_kstr(w, "state", i->quarantined ? "quarantined" : i->state);
	if (i->pod)
		jsonw_kstr(w, "pod", i->pod);
	if (i->waiting_for)
		jsonw_kstr(w, "waitingFor", i->waiting_for);
	jsonw_ki64(w, "sinceMs", (int64_t)i->since_wall_ms);
	jsonw_karr(w, "devices");
	for (size_t k = 0; k < i->devices_n; k++) {
		jsonw_obj(w);
		jsonw_kstr(w, "request", i->devices[k].request);
		jsonw_kstr(w, "device", i->devices[k].device);
		jsonw_kstr(w, "uuid", i->devices[k].identity);
		if (i->devices[k].admin)
			jsonw_kbool(w, "adminAccess", true);
		jsonw_end(w);
	}
	jsonw_end(w);
	jsonw_end(w);
}

static void status_publisher(const struct driver *d, struct jsonw *w)
{
	const struct publisher_stats *p = publisher_stats(d->publisher);

	jsonw_kobj(w, "publisher");
	jsonw_kbool(w, "synced", p->synced);
	jsonw_ki64(w, "slices", (int64_t)p->slices);
	jsonw_ki64(w, "devices", (int64_t)p->devices);
	jsonw_ki64(w, "generation", p->generation);
	jsonw_ki64(w, "lastPublishMs", (int64_t)p->last_publish_wall_ms);
	jsonw_ki64(w, "failures", (int64_t)p->failures);
	jsonw_kstr(w, "lastError", p->last_error);
	if (d->held || d->withdrawn)
		jsonw_kstr(w, "held", d->held ? d->held : d->withdrawn);
	jsonw_end(w);
}

static const char *ledger_name(enum ledger_state s)
{
	static const char *const names[] = { "opening", "open", "yielded", "failed" };

	return names[s];
}

void driver_status(struct driver *d, struct jsonw *w, size_t claims_max)
{
	struct claims_status claims = { .w = w, .room = claims_max };
	const struct plugin_stats *calls = plugin_stats(d->plugin);
	struct ledger *ledger = claims_ledger(d->claims);

	jsonw_kstr(w, "name", d->name);
	jsonw_kbool(w, "registered",
		    d->registration && registration_state(d->registration) == REGISTRATION_DONE);
	if (d->registration && *registration_reason(d->registration))
		jsonw_kstr(w, "registration", registration_reason(d->registration));
	jsonw_kstr(w, "socket", d->socket);
	jsonw_kobj(w, "kubelet");
	jsonw_ki64(w, "lastCallMs", (int64_t)calls->last_call_wall_ms);
	jsonw_kstr(w, "lastMethod", calls->last_method);
	jsonw_ki64(w, "inflight", (int64_t)calls->inflight);
	jsonw_end(w);
	jsonw_kobj(w, "ledger");
	jsonw_kstr(w, "state", ledger_name(ledger_state(ledger)));
	jsonw_kstr(w, "reason", ledger_reason(ledger));
	jsonw_ki64(w, "batches", (int64_t)ledger_stats(ledger)->batches);
	jsonw_ki64(w, "bytes", (int64_t)ledger_stats(ledger)->bytes);
	jsonw_end(w);
	status_publisher(d, w);
	jsonw_karr(w, "claims");
	claims_each(d->claims, status_claim, &claims);
	claims.calm = true;
	claims_each(d->claims, status_claim, &claims);
	jsonw_end(w);
	jsonw_ki64(w, "claimsTotal", (int64_t)claims.total);
}

void driver_facts(const struct driver *d, struct driver_facts *f)
{
	struct ledger *ledger = claims_ledger(d->claims);

	*f = (struct driver_facts){
		.name = d->name,
		.draining = d->draining,
		.registration_reason = "",
		.ledger = ledger_state(ledger),
		.ledger_reason = ledger_reason(ledger),
		.publisher = publisher_stats(d->publisher),
		.held = d->held,
		.withdrawn = d->withdrawn,
	};
	if (!d->registration)
		return;
	f->registration = registration_state(d->registration);
	f->registration_reason = registration_reason(d->registration);
}

void driver_each_claim(const struct driver *d, void (*fn)(void *arg, const struct claim_info *i),
		       void *arg)
{
	claims_each(d->claims, fn, arg);
}

struct device_count {
	size_t devices;
};

static void count_devices(void *arg, const struct claim_info *i)
{
	((struct device_count *)arg)->devices += i->devices_n;
}

void driver_scrape(struct driver *d)
{
	const struct plugin_stats *calls = plugin_stats(d->plugin);
	struct device_count count = { 0 };

	claims_each(d->claims, count_devices, &count);
	stats_prepared(d->conf.stats, d->name, d->node, count.devices, claims_prepared(d->claims),
		       claims_waiting(d->claims));
	stats_published(d->conf.stats, d->name, publisher_stats(d->publisher));
	stats_kubelet(d->conf.stats, d->name, calls->last_call_wall_ms,
		      d->registration && registration_state(d->registration) == REGISTRATION_DONE);
	stats_ledger(d->conf.stats, d->name, ledger_stats(claims_ledger(d->claims)),
		     cdi_bytes_written(d->cdi));
	stats_inflight(d->conf.stats, d->name, "prepare", calls->preparing);
	stats_inflight(d->conf.stats, d->name, "unprepare", calls->inflight - calls->preparing);
}
