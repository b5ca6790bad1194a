#include "test/bench/kubelet.h"

#include <errno.h>

#include "core/mem.h"
#include "third_party/kubelet/dra.pb-c.h"
#include "third_party/kubelet/registration.pb-c.h"
#include "transport/grpc_client.h"
#include "transport/h2_client.h"

enum { CALL_MS = 45000 }; /* the kubelet's own limit */

struct kubelet {
	struct loop *loop;
	char *ns, *endpoint;
	struct h2_client *driver;
};

/* One call that is waited for. */
struct wait {
	struct kubelet *kubelet;
	bool over;
	int code;
	char text[256];
};

struct kubelet *kubelet_new(struct loop *l, const char *ns)
{
	struct kubelet *k = MEM_NEW(struct kubelet);

	k->loop = l;
	k->ns = mem_strdup(ns);
	return k;
}

void kubelet_forget(struct kubelet *k)
{
	h2_client_free(&k->driver);
	mem_free(k->endpoint);
	k->endpoint = NULL;
}

void kubelet_free(struct kubelet **kp)
{
	struct kubelet *k = *kp;

	if (!k)
		return;
	kubelet_forget(k);
	mem_free(k->ns);
	mem_free(k);
	*kp = NULL;
}

/* ---- registration ---- */

static void on_info(void *arg, struct sv message)
{
	struct wait *w = arg;
	Pluginregistration__PluginInfo *m =
	    pluginregistration__plugin_info__unpack(NULL, message.n, (const uint8_t *)message.p);

	if (!m)
		return;
	mem_free(w->kubelet->endpoint);
	w->kubelet->endpoint = mem_strdup(m->endpoint);
	pluginregistration__plugin_info__free_unpacked(m, NULL);
}

static void on_nothing(void *arg, struct sv message)
{
	(void)arg;
	(void)message;
}

static void on_end(void *arg, int code, const char *text)
{
	struct wait *w = arg;

	w->over = true;
	w->code = code;
	sv_copy(w->text, sizeof(w->text), sv_str(text));
}

static int ask(struct kubelet *k, struct h2_client *h, const char *method, struct sv message,
	       grpc_message_fn on_message, struct err *e)
{
	char *path _mem_free_ = mem_printf("/pluginregistration.Registration/%s", method);
	struct wait w = { .kubelet = k };

	grpc_client_call(h, path, message, CALL_MS, on_message, on_end, &w);
	while (!w.over)
		must(loop_turn(k->loop, -1));
	return w.code ? err_set(e, -EIO, "%s: code %d %s", method, w.code, w.text) : 0;
}

int kubelet_register(struct kubelet *k, const char *registrar, uint64_t *us, struct err *e)
{
	Pluginregistration__RegistrationStatus ok = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
	struct h2_client_conf conf = { .unix_path = registrar, .authority = "localhost" };
	struct h2_client *h = h2_client_new(k->loop, &conf);
	uint8_t message[16];
	size_t n;
	int r;

	kubelet_forget(k);
	ok.has_plugin_registered = ok.plugin_registered = 1;
	n = pluginregistration__registration_status__pack(&ok, message);
	r = ask(k, h, "GetInfo", SV_NONE, on_info, e);
	if (!r && !k->endpoint)
		r = err_set(e, -EPROTO, "GetInfo: no endpoint");
	if (!r) {
		*us = loop_now_us(k->loop);
		r = ask(k, h, "NotifyRegistrationStatus", sv_make(message, n), on_nothing, e);
	}
	h2_client_free(&h);
	if (!r) {
		conf.unix_path = k->endpoint;
		k->driver = h2_client_new(k->loop, &conf);
	}
	return r;
}

/* ---- prepare and unprepare ---- */

static void on_prepared(void *arg, struct sv message)
{
	struct shot *s = arg;
	Dra__PrepareResponse *m =
	    dra__prepare_response__unpack(NULL, message.n, (const uint8_t *)message.p);

	s->status = 1;
	if (m && m->n_claims == 1 && m->claims[0]->value) {
		const Dra__PrepareResult *r = m->claims[0]->value;

		s->status = r->n_devices == 1 ? 0 : 1;
		if (r->error && *r->error) {
			s->status = 1;
			s->user = mem_strdup(r->error);
		}
	}
	if (m)
		dra__prepare_response__free_unpacked(m, NULL);
}

static void on_unprepared(void *arg, struct sv message)
{
	struct shot *s = arg;
	Dra__UnprepareResponse *m =
	    dra__unprepare_response__unpack(NULL, message.n, (const uint8_t *)message.p);

	s->status = 1;
	if (m && m->n_claims == 1 && m->claims[0]->value) {
		const char *error = m->claims[0]->value->error;

		s->status = error && *error ? 1 : 0;
		s->user = s->status ? mem_strdup(error) : NULL;
	}
	if (m)
		dra__unprepare_response__free_unpacked(m, NULL);
}

static void on_call_end(void *arg, int code, const char *text)
{
	struct shot *s = arg;
	char *error = s->user;

	if (code)
		shot_end(s, *text ? text : grpc_code_name(code));
	else
		shot_end(s, !s->status ? NULL : error ? error : "an answer without the claim");
	mem_free(error);
}

void kubelet_start(void *ctx, struct shot *s)
{
	struct kubelet_work *w = ctx;
	const struct bench_claim *c = &w->claims[s->i];
	Dra__PrepareRequest m = DRA__PREPARE_REQUEST__INIT; /* both requests look the same */
	Dra__Claim claim = DRA__CLAIM__INIT, *list = &claim;
	uint8_t message[512];

	claim.namespace_ = w->kubelet->ns;
	claim.uid = (char *)(uintptr_t)c->uid;
	claim.name = (char *)(uintptr_t)c->name;
	m.n_claims = 1;
	m.claims = &list;
	must(dra__prepare_request__get_packed_size(&m) <= sizeof(message));
	s->status = 1;
	grpc_client_call(w->kubelet->driver,
			 w->unprepare
			     ? "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources"
			     : "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources",
			 sv_make(message, dra__prepare_request__pack(&m, message)), CALL_MS,
			 w->unprepare ? on_unprepared : on_prepared, on_call_end, s);
}
