/* One plugin of the kubelet: registration, its service connection, its calls. */
#include <stdarg.h>

#include "core/mem.h"
#include "test/lib/kubelet_private.h"
#include "third_party/kubelet/dra.pb-c.h"
#include "third_party/kubelet/registration.pb-c.h"

#define GET_INFO "/pluginregistration.Registration/GetInfo"
#define NOTIFY	 "/pluginregistration.Registration/NotifyRegistrationStatus"
#define HEALTH	 "/v1alpha1.DRAResourceHealth/NodeWatchResources"
#define V1	 "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/"
#define V1BETA1	 "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/"

enum { BACKOFF_FIRST_MS = 500, BACKOFF_CAP_MS = 122000, MESSAGE_MAX = 1 << 20 };

static void step_later(struct kubelet_plugin *p)
{
	loop_task_post(&p->step);
}

/* ---- the service connection ---- */

static void open_health(void *arg);

static void on_health_message(void *arg, struct sv message)
{
	(void)arg;
	(void)message;
}

static void on_health_end(void *arg, int code, const char *text)
{
	struct kubelet_plugin *p = arg;

	(void)text;
	p->health = NULL;
	loop_timer_set(&p->reopen, code < 0 ? KUBELET_RECONNECT_MS : KUBELET_HEALTH_MS);
}

/* The kubelet opens it whether it was advertised or not, and it keeps the connection up. */
static void open_health(void *arg)
{
	struct kubelet_plugin *p = arg;

	if (!p->service || p->health || p->kubelet->conf.no_health)
		return;
	p->kubelet->stats.health_streams++;
	p->health =
	    grpc_client_call(p->service, HEALTH, SV_NONE, 0, on_health_message, on_health_end, p);
}

static void on_service_state(void *arg, enum h2_client_state s)
{
	struct kubelet_plugin *p = arg;
	bool connected = s == H2_CLIENT_UP;

	if (connected == p->connected)
		return;
	p->connected = connected;
	kubelet_plugin_changed(p->kubelet, p->driver);
}

static void connect_service(struct kubelet_plugin *p)
{
	const struct h2_client_conf conf = { .unix_path = p->endpoint, .authority = "localhost" };

	p->service = h2_client_new(p->kubelet->loop, &conf);
	h2_client_on_state(p->service, on_service_state, p);
	open_health(p);
}

/* What is under way ends as grpc-go ends it when its connection is closed. */
static void lose_calls(struct kubelet_plugin *p)
{
	list_for_each (n, &p->kubelet->rpcs) {
		struct kubelet_rpc *r = list_entry(n, struct kubelet_rpc, node);

		if (r->plugin != p)
			continue;
		r->plugin = NULL;
		if (!r->call)
			continue;
		grpc_client_cancel(r->call);
		r->call = NULL;
		loop_task_post(&r->lost);
	}
}

static void disconnect_service(struct kubelet_plugin *p)
{
	lose_calls(p);
	loop_timer_stop(&p->reopen);
	if (p->health)
		grpc_client_cancel(p->health);
	p->health = NULL;
	h2_client_free(&p->service);
	p->connected = false;
}

/* ---- registration ---- */

static void escape(const char *path, struct buf *out)
{
	for (const char *c = path; *c; c++)
		if (*c == '/')
			buf_puts(out, "%2F");
		else
			buf_putc(out, *c);
}

static void on_call_end(void *arg, int code, const char *text)
{
	struct kubelet_plugin *p = arg;

	p->call = NULL;
	p->code = code;
	p->answered = true;
	if (code)
		snprintf(p->kubelet->stats.last_error, sizeof(p->kubelet->stats.last_error),
			 "registration of %s: code %d: %s", p->name, code, text);
	step_later(p);
}

static bool version_known(const struct kubelet_plugin *p, const char *version, bool *v1)
{
	*v1 = !strcmp(version, "v1.DRAPlugin");
	return (*v1 && !p->kubelet->conf.v1beta1) || !strcmp(version, "v1beta1.DRAPlugin");
}

/* ValidatePlugin: the text of a refusal, NULL when all is well. */
static char *validate_info(struct kubelet_plugin *p, const Pluginregistration__PluginInfo *m)
{
	bool known = false;

	if (!m->type || strcmp(m->type, "DRAPlugin") != 0)
		return mem_printf("no handler registered for plugin type: %s at socket %s",
				  m->type ? m->type : "", p->path);
	if (!m->n_supported_versions)
		return mem_strdup("empty list of supported gRPC services (aka supported versions)");
	for (size_t i = 0; i < m->n_supported_versions && !known; i++)
		known = version_known(p, m->supported_versions[i], &p->v1);
	if (!known)
		return mem_printf("none of the DRA gRPC services are supported: %s",
				  m->supported_versions[0]);
	list_for_each (n, &p->kubelet->plugins) {
		const struct kubelet_plugin *other = list_entry(n, struct kubelet_plugin, node);

		if (other != p && other->state == PLUGIN_REGISTERED &&
		    !strcmp(other->driver, p->driver) && !strcmp(other->endpoint, p->endpoint))
			return mem_printf("endpoint %s already registered for DRA driver plugin %s",
					  p->endpoint, p->driver);
	}
	return NULL;
}

static void on_info(void *arg, struct sv message)
{
	struct kubelet_plugin *p = arg;
	Pluginregistration__PluginInfo *m =
	    pluginregistration__plugin_info__unpack(NULL, message.n, (const uint8_t *)message.p);

	mem_free(p->refusal);
	mem_free(p->driver);
	mem_free(p->endpoint);
	p->driver = mem_strdup(m && m->name ? m->name : "");
	p->endpoint = mem_strdup(m && m->endpoint && *m->endpoint ? m->endpoint : p->path);
	p->refusal = m ? validate_info(p, m) : mem_strdup("GetInfo's answer is no message");
	if (m)
		pluginregistration__plugin_info__free_unpacked(m, NULL);
}

static void on_nothing(void *arg, struct sv message)
{
	(void)arg;
	(void)message;
}

static void ask(struct kubelet_plugin *p)
{
	struct h2_client_conf conf = { .unix_path = p->path,
				       .connect_ms = KUBELET_DIAL_MS,
				       .backoff_first_ms = 1000 };
	struct buf authority;

	buf_init(&authority, 1024);
	escape(p->path, &authority);
	conf.authority = buf_cstr(&authority);
	p->registrar = h2_client_new(p->kubelet->loop, &conf);
	p->state = PLUGIN_ASKED;
	p->call = grpc_client_call(p->registrar, GET_INFO, SV_NONE, KUBELET_INFO_MS, on_info,
				   on_call_end, p);
	buf_done(&authority);
}

static void tell(struct kubelet_plugin *p)
{
	Pluginregistration__RegistrationStatus m = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
	uint8_t out[4096];

	m.has_plugin_registered = !p->refusal;
	m.plugin_registered = !p->refusal;
	m.error = p->refusal;
	must(pluginregistration__registration_status__get_packed_size(&m) <= sizeof(out));
	p->state = PLUGIN_TOLD;
	p->call =
	    grpc_client_call(p->registrar, NOTIFY,
			     sv_make(out, pluginregistration__registration_status__pack(&m, out)),
			     KUBELET_NOTIFY_MS, on_nothing, on_call_end, p);
}

static void fails(struct kubelet_plugin *p)
{
	p->state = PLUGIN_FAILED;
	disconnect_service(p);
	loop_timer_set(&p->retry, backoff_next(&p->backoff, p->kubelet->loop));
}

static void info_came(struct kubelet_plugin *p)
{
	if (p->code) {
		h2_client_free(&p->registrar);
		fails(p);
		return;
	}
	if (!p->refusal)
		connect_service(p);
	tell(p);
}

static void status_told(struct kubelet_plugin *p)
{
	h2_client_free(&p->registrar);
	if (p->refusal) {
		p->kubelet->stats.refused++;
		kubelet_failed(p->kubelet, "plugin %s refused: %s", p->name, p->refusal);
	}
	if (p->code || p->refusal) {
		fails(p);
		return;
	}
	p->state = PLUGIN_REGISTERED;
	p->order = ++p->kubelet->next_order;
	p->kubelet->stats.registrations++;
	backoff_reset(&p->backoff);
	kubelet_line(p->kubelet, "registered DRA plugin %s at %s", p->driver, p->endpoint);
	kubelet_plugin_changed(p->kubelet, p->driver);
}

static void on_step(void *arg)
{
	struct kubelet_plugin *p = arg;

	if (!p->answered)
		return;
	p->answered = false;
	if (p->state == PLUGIN_ASKED)
		info_came(p);
	else if (p->state == PLUGIN_TOLD)
		status_told(p);
}

static void on_retry(void *arg)
{
	struct kubelet_plugin *p = arg;

	ask(p);
}

void kubelet_plugin_add(struct kubelet *k, const char *name, uint64_t ino, uint64_t ctime_ns)
{
	struct kubelet_plugin *p = MEM_NEW(struct kubelet_plugin);

	p->kubelet = k;
	p->name = mem_strdup(name);
	p->path = mem_printf("%s/%s", k->registry, name);
	p->ino = ino;
	p->ctime_ns = ctime_ns;
	p->seen = true;
	loop_timer_init(&p->retry, k->loop, on_retry, p);
	loop_timer_init(&p->reopen, k->loop, open_health, p);
	loop_task_init(&p->step, k->loop, LOOP_TICK, on_step, p);
	backoff_init(&p->backoff, BACKOFF_FIRST_MS, BACKOFF_CAP_MS);
	list_push(&k->plugins, &p->node);
	ask(p);
}

void kubelet_plugin_free(struct kubelet_plugin *p)
{
	struct kubelet *k = p->kubelet;
	char *driver = mem_strdup(p->state == PLUGIN_REGISTERED ? p->driver : NULL);

	if (p->call)
		grpc_client_cancel(p->call);
	h2_client_free(&p->registrar);
	disconnect_service(p);
	loop_timer_stop(&p->retry);
	loop_task_stop(&p->step);
	list_remove(&p->node);
	mem_free(p->name);
	mem_free(p->path);
	mem_free(p->driver);
	mem_free(p->endpoint);
	mem_free(p->refusal);
	mem_free(p);
	if (driver)
		kubelet_plugin_changed(k, driver);
	mem_free(driver);
}

/* The most recently registered connected instance, else the most recent one. */
struct kubelet_plugin *kubelet_plugin_of(const struct kubelet *k, const char *driver)
{
	struct kubelet_plugin *best = NULL;

	list_for_each (n, &k->plugins) {
		struct kubelet_plugin *p = list_entry(n, struct kubelet_plugin, node);

		if (p->state != PLUGIN_REGISTERED || strcmp(p->driver, driver) != 0)
			continue;
		if (!best || p->connected > best->connected ||
		    (p->connected == best->connected && p->order > best->order))
			best = p;
	}
	return best;
}

/* ---- calls ---- */

static struct kubelet_claim *claim_of(const struct kubelet_rpc *r, const char *uid)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->claims[i]->uid, uid))
			return r->claims[i];
	return NULL;
}

static void rpc_fails(struct kubelet_rpc *r, const char *fmt, ...) PRINTF(2, 3);
static void rpc_fails(struct kubelet_rpc *r, const char *fmt, ...)
{
	va_list ap;

	if (!r->ok)
		return; /* the first one is told */
	r->ok = false;
	va_start(ap, fmt);
	vsnprintf(r->error.text, sizeof(r->error.text), fmt, ap);
	va_end(ap);
}

static void tell_reply(struct kubelet_rpc *r, const struct kubelet_claim *c, const char *error,
		       int code, size_t devices)
{
	struct kubelet *k = r->kubelet;
	const struct kubelet_reply reply = { r->prepare, r->driver, c->name, c->uid,
					     error,	 code,	    devices };

	if (k->conf.on_reply)
		k->conf.on_reply(k->conf.arg, &reply);
}

static void take_devices(struct kubelet_rpc *r, struct kubelet_claim *c,
			 const Dra__PrepareResult *m)
{
	for (size_t i = 0; i < m->n_devices; i++) {
		const Dra__Device *d = m->devices[i];
		struct kubelet_device answer = {
			.driver = r->driver,
			.request = d->n_request_names ? d->request_names[0] : "",
			.pool = d->pool_name ? d->pool_name : "",
			.device = d->device_name ? d->device_name : "",
			.cdi_id = d->n_cdi_device_ids ? d->cdi_device_ids[0] : "",
			.share_id = d->share_id,
		};

		kubelet_claim_answer(c, r->driver, &answer);
	}
}

static void on_prepared(void *arg, struct sv message)
{
	struct kubelet_rpc *r = arg;
	Dra__PrepareResponse *m =
	    dra__prepare_response__unpack(NULL, message.n, (const uint8_t *)message.p);

	r->ok = r->answered = true;
	if (!m) {
		rpc_fails(r, "NodePrepareResources: the answer is no message");
		return;
	}
	for (size_t i = 0; i < m->n_claims; i++) {
		const Dra__PrepareEntry *entry = m->claims[i];
		struct kubelet_claim *c = claim_of(r, entry->key ? entry->key : "");

		if (!c) {
			rpc_fails(r,
				  "NodePrepareResources returned a claim that was not asked for");
		} else if (entry->value && entry->value->error && *entry->value->error) {
			rpc_fails(r, "NodePrepareResources failed for ResourceClaim %s: %s",
				  c->name, entry->value->error);
			tell_reply(r, c, entry->value->error, 0, 0);
		} else if (entry->value) {
			take_devices(r, c, entry->value);
			tell_reply(r, c, NULL, 0, entry->value->n_devices);
		}
	}
	if (m->n_claims < r->n)
		rpc_fails(r, "NodePrepareResources skipped %zu ResourceClaims", r->n - m->n_claims);
	dra__prepare_response__free_unpacked(m, NULL);
}

static void on_unprepared(void *arg, struct sv message)
{
	struct kubelet_rpc *r = arg;
	Dra__UnprepareResponse *m =
	    dra__unprepare_response__unpack(NULL, message.n, (const uint8_t *)message.p);

	r->ok = r->answered = true;
	if (!m) {
		rpc_fails(r, "NodeUnprepareResources: the answer is no message");
		return;
	}
	for (size_t i = 0; i < m->n_claims; i++) {
		const Dra__UnprepareEntry *entry = m->claims[i];
		struct kubelet_claim *c = claim_of(r, entry->key ? entry->key : "");
		const char *error = entry->value ? entry->value->error : NULL;

		if (!c)
			rpc_fails(r, "NodeUnprepareResources returned a claim that was not asked "
				     "for");
		else if (error && *error)
			rpc_fails(r, "NodeUnprepareResources failed for ResourceClaim %s: %s",
				  c->name, error);
		if (c)
			tell_reply(r, c, error && *error ? error : NULL, 0, 0);
	}
	if (m->n_claims < r->n)
		rpc_fails(r, "NodeUnprepareResources skipped %zu ResourceClaims",
			  r->n - m->n_claims);
	dra__unprepare_response__free_unpacked(m, NULL);
}

static void on_rpc_end(void *arg, int code, const char *text)
{
	struct kubelet_rpc *r = arg;
	struct kubelet_stats *s = &r->kubelet->stats;

	r->call = NULL;
	if (code || !r->answered) {
		r->ok = true;
		rpc_fails(r, "%s: rpc error: code = %s desc = %s",
			  r->prepare ? "NodePrepareResources" : "NodeUnprepareResources",
			  grpc_code_name(code < 0 ? GRPC_UNAVAILABLE : code), text);
		for (size_t i = 0; i < r->n; i++)
			tell_reply(r, r->claims[i], r->error.text, code, 0);
	}
	*(r->prepare ? &s->prepare_errors : &s->unprepare_errors) += !r->ok;
	if (!r->ok)
		snprintf(s->last_error, sizeof(s->last_error), "%s", r->error.text);
	r->done(r->arg, r->ok, &r->error);
}

static void on_rpc_lost(void *arg)
{
	on_rpc_end(arg, GRPC_CANCELLED, "grpc: the client connection is closing");
}

static size_t pack_claims(const struct kubelet_rpc *r, uint8_t *out)
{
	Dra__PrepareRequest m =
	    DRA__PREPARE_REQUEST__INIT; /* Unprepare's is the same on the wire */
	Dra__Claim *claims = mem_calloc(r->n + 1, sizeof(*claims));
	Dra__Claim **refs = mem_calloc(r->n + 1, sizeof(*refs));
	size_t n;

	for (size_t i = 0; i < r->n; i++) {
		dra__claim__init(&claims[i]);
		claims[i].namespace_ = r->claims[i]->ns;
		claims[i].name = r->claims[i]->name;
		claims[i].uid = r->claims[i]->uid;
		refs[i] = &claims[i];
	}
	m.n_claims = r->n;
	m.claims = refs;
	must(dra__prepare_request__get_packed_size(&m) <= MESSAGE_MAX);
	n = dra__prepare_request__pack(&m, out);
	mem_free(claims);
	mem_free(refs);
	return n;
}

struct kubelet_rpc *kubelet_rpc_start(struct kubelet *k, const char *driver, bool prepare,
				      struct kubelet_claim **claims, size_t n,
				      void (*done)(void *arg, bool ok, const struct err *e),
				      void *arg)
{
	struct kubelet_plugin *p = kubelet_plugin_of(k, driver);
	struct kubelet_rpc *r;
	uint8_t *message;
	char *path;

	if (!p)
		return NULL;
	r = MEM_NEW(struct kubelet_rpc);
	r->kubelet = k;
	r->plugin = p;
	list_push(&k->rpcs, &r->node);
	loop_task_init(&r->lost, k->loop, LOOP_TICK, on_rpc_lost, r);
	r->prepare = prepare;
	r->driver = mem_strdup(driver);
	r->claims = mem_dup(claims, n * sizeof(*claims));
	r->n = n;
	r->done = done;
	r->arg = arg;
	for (size_t i = 0; k->conf.on_call && i < n; i++)
		k->conf.on_call(k->conf.arg, prepare, claims[i]->uid);
	path = mem_printf("%s%s", p->v1 ? V1 : V1BETA1,
			  prepare ? "NodePrepareResources" : "NodeUnprepareResources");
	message = mem_alloc(MESSAGE_MAX);
	(*(prepare ? &k->stats.prepares : &k->stats.unprepares))++;
	r->call =
	    grpc_client_call(p->service, path, sv_make(message, pack_claims(r, message)),
			     k->conf.call_ms, prepare ? on_prepared : on_unprepared, on_rpc_end, r);
	mem_free(message);
	mem_free(path);
	return r;
}

static void rpc_release(void *obj)
{
	struct kubelet_rpc *r = obj;

	mem_free(r->driver);
	mem_free(r->claims);
	mem_free(r);
}

void kubelet_rpc_free(struct kubelet_rpc **rp)
{
	struct kubelet_rpc *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	if (r->call)
		grpc_client_cancel(r->call);
	list_remove(&r->node);
	loop_task_stop(&r->lost);
	loop_defer_free(r->kubelet->loop, r, rpc_release);
}
