#include "test/bench/server.h"

#include <errno.h>

#include "core/jsonw.h"
#include "core/mem.h"
#include "k8s/api/client.h"
#include "k8s/api/identity.h"
#include "k8s/api/watch.h"
#include "transport/h2_client.h"
#include "transport/tls.h"

enum {
	MAKERS = 32, /* claims being made at once: the API server has the processors to itself */
	SLICES_MAX = 64, /* followed */
	BODY_MAX = 1 << 20,
};
#define DRIVER "gpu.nvidia.com"

struct slice {
	char name[256];
	size_t devices;
};
struct server {
	struct loop *loop;
	struct server_conf conf;
	struct api *api;
	/* bare GETs */
	struct api_config *who;
	struct identity identity;
	struct tls_client *tls;
	struct h2_client *h2;
	struct sv bearer;
	uint64_t get_bytes, got;
	/* slices */
	struct watch *watch;
	struct slice slices[SLICES_MAX];
	size_t slices_n;
	uint64_t changed_us;
	char *spec; /* of the last slice with devices, JSON */
};

/* ---- set up ---- */

static int connect_admin(struct server *s, struct err *e)
{
	struct api_config *config = NULL;
	struct api_conf conf = { .user_agent = "tundra-bench" };
	int r = api_config_file(s->conf.admin, NULL, &config, e);

	conf.config = config;
	if (!r)
		r = api_new(s->loop, &conf, &s->api, e);
	api_config_free(&config);
	return r;
}

/* The same TLS, the same user, the same one connection as the driver has. */
static int connect_bare(struct server *s, struct err *e)
{
	struct tls_material m = { 0 };
	struct h2_client_conf conf = { 0 };
	int r = api_config_file(s->conf.driver, NULL, &s->who, e);

	if (r < 0)
		return r;
	m.ca_file = s->who->ca_file;
	m.cert_file = s->who->cert_file;
	m.key_file = s->who->key_file;
	m.ca_pem = sv_str(s->who->ca_pem);
	m.cert_pem = sv_str(s->who->cert_pem);
	m.key_pem = sv_str(s->who->key_pem);
	identity_init(&s->identity, s->loop, s->who);
	r = identity_header(&s->identity, &s->bearer, e);
	if (!r)
		r = tls_client_new(&m, s->who->server_name, false, &s->tls, e);
	if (r < 0)
		return r;
	conf.host = s->who->host;
	conf.port = s->who->port;
	conf.tls = s->tls;
	s->h2 = h2_client_new(s->loop, &conf);
	return 0;
}

int server_new(struct loop *l, const struct server_conf *conf, struct server **out, struct err *e)
{
	struct server *s = MEM_NEW(struct server);
	int r;

	s->loop = l;
	s->conf = *conf;
	r = connect_admin(s, e);
	if (!r)
		r = connect_bare(s, e);
	if (r < 0)
		server_free(&s);
	*out = s;
	return r;
}

void server_free(struct server **sp)
{
	struct server *s = *sp;

	if (!s)
		return;
	watch_free(&s->watch);
	api_free(&s->api);
	h2_client_free(&s->h2);
	tls_client_free(&s->tls);
	identity_done(&s->identity);
	api_config_free(&s->who);
	mem_free(s->spec);
	mem_free(s);
	*sp = NULL;
}

/* ---- one call that is waited for ---- */

struct wait {
	bool over;
	int status;
	char text[256], rv[32];
};

static void on_done(void *arg, const struct api_result *r)
{
	struct wait *w = arg;

	w->over = true;
	w->status = r->status;
	sv_copy(w->text, sizeof(w->text), sv_str(r->error));
	sv_copy(w->rv, sizeof(w->rv), sv_str(meta_rv(r->object)));
}

static int call(struct server *s, struct api_request *r, struct wait *w, struct err *e)
{
	*w = (struct wait){ 0 };
	r->fn = on_done;
	r->arg = w;
	api_call(s->api, r);
	while (!w->over)
		must(loop_turn(s->loop, -1));
	return w->status
		   ? err_set(e, -EIO, "%s %s: %s", api_verb_name(r->verb), r->to.resource, w->text)
		   : 0;
}

/* ---- claims ---- */

struct making {
	struct server *server;
	struct bench_claim *claims;
	bool admin;
};

static void put_request(struct jsonw *w, bool admin)
{
	jsonw_kobj(w, "devices");
	jsonw_karr(w, "requests");
	jsonw_obj(w);
	jsonw_kstr(w, "name", "gpu");
	jsonw_kobj(w, "exactly");
	jsonw_kstr(w, "deviceClassName", DRIVER);
	jsonw_kstr(w, "allocationMode", "ExactCount");
	jsonw_ki64(w, "count", 1);
	if (admin)
		jsonw_kbool(w, "adminAccess", true);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
}

static void put_claim(struct buf *out, const char *name, bool admin)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "apiVersion", "resource.k8s.io/v1");
	jsonw_kstr(&w, "kind", "ResourceClaim");
	jsonw_kobj(&w, "metadata");
	jsonw_kstr(&w, "name", name);
	jsonw_end(&w);
	jsonw_kobj(&w, "spec");
	put_request(&w, admin);
	jsonw_end(&w);
	jsonw_end(&w);
}

static void put_node_selector(struct jsonw *w, const char *node)
{
	jsonw_kobj(w, "nodeSelector");
	jsonw_karr(w, "nodeSelectorTerms");
	jsonw_obj(w);
	jsonw_karr(w, "matchFields");
	jsonw_obj(w);
	jsonw_kstr(w, "key", "metadata.name");
	jsonw_kstr(w, "operator", "In");
	jsonw_karr(w, "values");
	jsonw_str(w, node);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
}

/* What the scheduler would have written. */
static void put_status(struct buf *out, const struct server_conf *conf, size_t i, bool admin)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kobj(&w, "status");
	jsonw_kobj(&w, "allocation");
	jsonw_kobj(&w, "devices");
	jsonw_karr(&w, "results");
	jsonw_obj(&w);
	jsonw_kstr(&w, "request", "gpu");
	jsonw_kstr(&w, "driver", DRIVER);
	jsonw_kstr(&w, "pool", conf->node);
	jsonw_key(&w, "device");
	jsonw_fmt(&w, "gpu-%zu", i % conf->gpus);
	if (admin)
		jsonw_kbool(&w, "adminAccess", true);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
	put_node_selector(&w, conf->node);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
}

static void on_allocated(void *arg, const struct api_result *r)
{
	shot_end(arg, r->status ? r->error : NULL);
}

static void on_made(void *arg, const struct api_result *r)
{
	struct shot *shot = arg;
	struct making *m = shot->volley->ctx;
	struct server *s = m->server;
	struct bench_claim *c = &m->claims[shot->i];
	struct api_request patch = {
		.verb = API_PATCH,
		.to = { .group = API_GROUP_RESOURCE,
			.version = "v1",
			.resource = "resourceclaims",
			.ns = s->conf.ns,
			.name = c->name,
			.sub = "status" },
		.fn = on_allocated,
		.arg = shot,
	};
	struct buf body;

	if (r->status) {
		shot_end(shot, r->error);
		return;
	}
	sv_copy(c->uid, sizeof(c->uid), sv_str(meta_uid(r->object)));
	buf_init(&body, BODY_MAX);
	put_status(&body, &s->conf, shot->i, m->admin);
	patch.body = buf_sv(&body);
	api_call(s->api, &patch);
	buf_done(&body);
}

static void start_making(void *ctx, struct shot *shot)
{
	struct making *m = ctx;
	struct api_request create = {
		.verb = API_CREATE,
		.to = { .group = API_GROUP_RESOURCE,
			.version = "v1",
			.resource = "resourceclaims",
			.ns = m->server->conf.ns },
		.fn = on_made,
		.arg = shot,
	};
	struct buf body;

	buf_init(&body, BODY_MAX);
	put_claim(&body, m->claims[shot->i].name, m->admin);
	create.body = buf_sv(&body);
	api_call(m->server->api, &create);
	buf_done(&body);
}

int server_make_claims(struct server *s, const char *kind, bool admin, struct bench_claim *claims,
		       size_t n, struct err *e)
{
	struct making m = { s, claims, admin };
	struct volley v = { .loop = s->loop,
			    .n = n,
			    .limit = MAKERS,
			    .start = start_making,
			    .ctx = &m,
			    .title = "claims made and allocated" };

	for (size_t i = 0; i < n; i++)
		(void)snprintf(claims[i].name, sizeof(claims[i].name), "%s-%zu", kind, i);
	volley_run(&v);
	return v.errors
		   ? err_set(e, -EIO, "cannot make %zu of %zu claims: %s", v.errors, n, v.error)
		   : 0;
}

/* ---- bare GETs ---- */

static void on_head(void *arg, int status, const struct h2_header *h, size_t n)
{
	struct shot *shot = arg;
	struct server_gets *g = shot->volley->ctx;

	(void)h;
	(void)n;
	shot->status = status;
	g->server->got = 0;
}

static void on_data(void *arg, struct sv data)
{
	struct shot *shot = arg;
	struct server_gets *g = shot->volley->ctx;

	g->server->got += data.n;
}

static void on_get_end(void *arg, int status, bool sent, const struct err *e)
{
	struct shot *shot = arg;
	struct server_gets *g = shot->volley->ctx;
	char text[64];

	(void)sent;
	g->server->get_bytes = g->server->got;
	(void)snprintf(text, sizeof(text), "HTTP status %d", shot->status);
	if (status)
		shot_end(shot, err_text(e));
	else
		shot_end(shot, shot->status == 200 ? NULL : text);
}

void server_start_get(void *ctx, struct shot *shot)
{
	struct server_gets *g = ctx;
	struct server *s = g->server;
	struct h2_header headers[] = { { SV("accept"), SV("application/json") },
				       { SV("user-agent"), SV("tundra-bench") },
				       { SV("authorization"), s->bearer } };
	char path[256];
	int n =
	    snprintf(path, sizeof(path), "/apis/resource.k8s.io/v1/namespaces/%s/resourceclaims/%s",
		     s->conf.ns, g->claims[shot->i].name);
	struct h2_request_conf conf = { .method = "GET",
					.path = sv_make(path, (size_t)n),
					.headers = headers,
					.headers_n = s->bearer.n ? 3 : 2,
					.timeout_ms = API_TIMEOUT_MS,
					.on_head = on_head,
					.on_data = on_data,
					.on_end = on_get_end,
					.arg = shot };

	h2_client_send(s->h2, &conf);
}

uint64_t server_get_bytes(const struct server *s)
{
	return s->get_bytes;
}

/* ---- slices ---- */

static struct slice *slice_of(struct server *s, const char *name)
{
	for (size_t i = 0; i < s->slices_n; i++)
		if (sv_eqs(sv_str(name), s->slices[i].name))
			return &s->slices[i];
	must(s->slices_n < SLICES_MAX);
	sv_copy(s->slices[s->slices_n].name, sizeof(s->slices->name), sv_str(name));
	return &s->slices[s->slices_n++];
}

static void keep_spec(struct server *s, const struct json *spec)
{
	struct buf text;
	struct jsonw w;

	buf_init(&text, BODY_MAX);
	jsonw_init(&w, &text);
	jsonw_json(&w, spec);
	mem_free(s->spec);
	s->spec = buf_steal(&text);
	buf_done(&text);
}

static void on_slice(void *arg, enum watch_type type, const struct json *object, enum api_version v)
{
	struct server *s = arg;
	const struct json *spec = json_get(object, "spec");
	struct slice *slice;

	(void)v;
	if (!sv_eqs(sv_str(json_str(json_get(spec, "nodeName"), "")), s->conf.node))
		return;
	slice = slice_of(s, meta_name(object));
	slice->devices = type == WATCH_DELETED ? 0 : json_len(json_get(spec, "devices"));
	s->changed_us = loop_now_us(s->loop);
	if (slice->devices)
		keep_spec(s, spec);
	else if (type == WATCH_DELETED)
		*slice = s->slices[--s->slices_n];
}

static void on_gone(void *arg)
{
	(void)arg; /* a bench lasts minutes, the server remembers five */
	must(false && "the watch lost its place");
}

int server_watch(struct server *s, struct err *e)
{
	struct api_request list = {
		.verb = API_LIST,
		.to = { .group = API_GROUP_RESOURCE, .version = "v1", .resource = "resourceslices" }
	};
	struct watch_conf conf = { .what = list.to, .on_event = on_slice, .on_gone = on_gone };
	struct wait w;
	int r = call(s, &list, &w, e);

	if (r < 0)
		return r;
	conf.rv = w.rv;
	conf.arg = s;
	s->watch = watch_new(s->api, &conf);
	/* What is there comes by itself once it changes; it is deleted before it matters. */
	return server_delete_slices(s, e);
}

static size_t devices_seen(const struct server *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->slices_n; i++)
		n += s->slices[i].devices;
	return n;
}

int server_await_devices(struct server *s, size_t devices, uint64_t timeout_ms, uint64_t *at_us,
			 struct err *e)
{
	uint64_t due = loop_now_us(s->loop) + timeout_ms * 1000;

	while (devices_seen(s) != devices) {
		if (loop_now_us(s->loop) > due)
			return err_set(e, -ETIMEDOUT, "%zu of %zu devices in the slices after %u s",
				       devices_seen(s), devices, (unsigned)(timeout_ms / 1000));
		loop_turn(s->loop, 100);
	}
	if (at_us)
		*at_us = s->changed_us;
	return 0;
}

int server_delete_slices(struct server *s, struct err *e)
{
	char *fields _mem_free_ = mem_printf("spec.nodeName=%s", s->conf.node);
	struct api_request del = {
		.verb = API_DELETE_ALL,
		.to = { .group = API_GROUP_RESOURCE, .version = "v1", .resource = "resourceslices" }
	};
	struct wait w;
	int r;

	del.to.fields = fields;
	r = call(s, &del, &w, e);
	return r < 0 ? r : server_await_devices(s, 0, API_TIMEOUT_MS, NULL, e);
}

int server_post_slice(struct server *s, uint64_t *us, struct err *e)
{
	struct api_request post = { .verb = API_CREATE,
				    .to = { .group = API_GROUP_RESOURCE,
					    .version = "v1",
					    .resource = "resourceslices" },
				    .fn = on_done };
	struct wait w = { 0 };
	struct buf body;
	uint64_t began, at;
	int r;

	if (!s->spec)
		return err_set(e, -ENOENT, "no slice was seen yet");
	buf_init(&body, BODY_MAX);
	buf_printf(&body,
		   "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\",\"metadata\":"
		   "{\"generateName\":\"bench-\"},\"spec\":%s}",
		   s->spec);
	post.body = buf_sv(&body);
	post.arg = &w;
	began = loop_now_us(s->loop);
	api_call(s->api, &post);
	r = server_await_devices(s, s->conf.gpus, API_TIMEOUT_MS, &at, e);
	while (!w.over)
		must(loop_turn(s->loop, -1));
	buf_done(&body);
	if (!r && w.status)
		r = err_set(e, -EIO, "cannot write a slice: %s", w.text);
	if (!r)
		*us = at - began;
	return r;
}
