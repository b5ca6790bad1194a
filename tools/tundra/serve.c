#include "tools/tundra/serve.h"

#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "k8s/api/client.h"
#include "k8s/conflict.h"
#include "tools/tundra/in_use.h"
#include "transport/grpc_health.h"
#include "transport/h2_client.h"
#include "transport/http.h"

/*
 * The health port is open to the network, unlike the kubelet's sockets, and a probe asks one thing
 * of a few bytes: what a stranger can make us keep is limited to that.
 */
enum { HEALTH_MESSAGE_MAX = 4096, HEALTH_STREAMS_MAX = 64 };

struct serve {
	struct loop *loop;
	struct serve_conf conf;
	char *node;
	struct http *http, *local; /* local: the status socket */
	struct grpc_health *health;
	struct grpc_server *grpc;
};

static void on_metrics(void *ctx, const char *query, struct http_reply *reply)
{
	struct serve *s = ctx;

	(void)query;
	reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_render(s->conf.metrics, reply->body);
}

/* The loop runs, or this would not be answered: that is what liveness means here. */
static void on_healthz(void *ctx, const char *query, struct http_reply *reply)
{
	(void)ctx;
	(void)query;
	buf_puts(reply->body, "ok\n");
}

static const char *const state_names[] = { "starting", "ready", "no driver", "trouble" };

/* Device readiness is told, and does not count: a node without a GPU must not hold up a rollout. */
static void on_readyz(void *ctx, const char *query, struct http_reply *reply)
{
	struct serve *s = ctx;
	enum inventory_state state = inventory_state(s->conf.inventory);

	(void)query;
	if (driver_ready(s->conf.driver, reply->body))
		buf_puts(reply->body, "ok\n");
	else
		reply->status = 503;
	buf_printf(reply->body, "devices: %s%s%s\n", state_names[state],
		   *inventory_reason(s->conf.inventory) ? ": " : "",
		   inventory_reason(s->conf.inventory));
}

static bool is_serving(void *arg)
{
	(void)arg;
	return true;
}

/* ---- status ---- */

static void status_device(struct serve *s, struct jsonw *w, const struct gpu_device *g)
{
	const char *holder = driver_holder(s->conf.driver, g->uuid);

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

static void status_workers(struct serve *s, struct jsonw *w)
{
	struct inventory_worker workers[16];
	size_t n = inventory_workers(s->conf.inventory, workers, ARRAY_LEN(workers));

	jsonw_karr(w, "workers");
	for (size_t i = 0; i < n; i++)
		status_worker(w, workers[i].role, workers[i].stats);
	status_worker(w, "disk", worker_stats(s->conf.disk));
	status_worker(w, "host", in_use_worker(s->conf.in_use));
	jsonw_end(w);
}

static void status_api(struct serve *s, struct jsonw *w)
{
	const struct h2_client_stats *st = api_connection(s->conf.api);

	jsonw_kobj(w, "api");
	jsonw_kbool(w, "connected", st->state == H2_CLIENT_UP);
	jsonw_kstr(w, "version", api_version_name(api_served(s->conf.api)));
	jsonw_ki64(w, "connects", (int64_t)st->connects);
	jsonw_ki64(w, "failures", (int64_t)st->failures);
	jsonw_ki64(w, "requests", (int64_t)st->requests);
	jsonw_kstr(w, "lastError", st->last_error);
	jsonw_end(w);
}

static void status_loop(struct serve *s, struct jsonw *w)
{
	const struct loop_stats *st = loop_stats(s->loop);

	jsonw_kobj(w, "loop");
	jsonw_ki64(w, "turns", (int64_t)st->turns);
	jsonw_ki64(w, "slowTurns", (int64_t)st->slow_turns);
	jsonw_ki64(w, "maxMicroseconds", (int64_t)st->max_us);
	jsonw_end(w);
}

static void on_status(void *ctx, const char *query, struct http_reply *reply)
{
	struct serve *s = ctx;
	struct jsonw w;

	(void)query;
	reply->content_type = "application/json";
	jsonw_init(&w, reply->body);
	jsonw_obj(&w);
	jsonw_kstr(&w, "version", version_string());
	jsonw_kstr(&w, "build", version_build());
	jsonw_kstr(&w, "node", s->node);
	jsonw_ki64(&w, "nowMs", (int64_t)loop_wall_ms(s->loop));
	jsonw_kobj(&w, "inventory");
	jsonw_kstr(&w, "state", state_names[inventory_state(s->conf.inventory)]);
	jsonw_kstr(&w, "reason", inventory_reason(s->conf.inventory));
	jsonw_karr(&w, "devices");
	list_for_each (n, inventory_devices(s->conf.inventory))
		status_device(s, &w, list_entry(n, struct gpu_device, node));
	jsonw_end(&w);
	jsonw_end(&w);
	if (conflict_reason(s->conf.conflict))
		jsonw_kstr(&w, "conflict", conflict_reason(s->conf.conflict));
	status_workers(s, &w);
	status_api(s, &w);
	status_loop(s, &w);
	jsonw_kobj(&w, "driver");
	driver_status(s->conf.driver, &w);
	jsonw_end(&w);
	jsonw_end(&w);
}

/* ---- start ---- */

static int listen_http(struct serve *s, struct err *e)
{
	const struct http_route routes[] = { { s->conf.metrics_path, on_metrics, s },
					     { "/healthz", on_healthz, s },
					     { "/readyz", on_readyz, s } };
	uint16_t port;
	int r;

	if (!s->conf.http_endpoint || !*s->conf.http_endpoint)
		return 0;
	s->http = http_new(s->loop);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		http_add(s->http, &routes[i]);
	r = http_listen(s->http, s->conf.http_endpoint, &port, e);
	if (r < 0)
		return err_wrap(e, r, "--http-endpoint=%s", s->conf.http_endpoint);
	log_info("serving metrics and probes", LOG_S("endpoint", s->conf.http_endpoint),
		 LOG_I("port", port));
	return 0;
}

static int listen_status(struct serve *s, struct err *e)
{
	const struct http_route route = { "/status", on_status, s };
	char *folder =
	    mem_strndup(s->conf.status_socket,
			(size_t)(strrchr(s->conf.status_socket, '/') - s->conf.status_socket));
	int r = fsx_mkdirs(folder, 0700);

	if (r < 0)
		r = err_sys(e, r, "cannot make the folder %s", folder);
	mem_free(folder);
	if (r < 0)
		return r;
	s->local = http_new(s->loop);
	http_add(s->local, &route);
	return http_listen_unix(s->local, s->conf.status_socket, 0600, e);
}

static int listen_health(struct serve *s, struct err *e)
{
	static const char *const names[] = { "liveness", NULL };
	struct grpc_limits limits = grpc_limits_default;
	uint16_t port = (uint16_t)s->conf.health_port;
	int r;

	if (s->conf.health_port < 0)
		return 0;
	s->health = grpc_health_new(s->loop, names, is_serving, s);
	limits.message_max = HEALTH_MESSAGE_MAX;
	limits.streams_max = HEALTH_STREAMS_MAX;
	s->grpc = grpc_server_new(s->loop, &limits);
	grpc_server_add(s->grpc, grpc_health_service(s->health));
	r = grpc_server_listen_tcp(s->grpc, "", &port, NULL, e);
	if (r < 0)
		return err_wrap(e, r, "--healthcheck-port=%d", (int)s->conf.health_port);
	log_info("serving gRPC health", LOG_I("port", port));
	return 0;
}

int serve_new(struct loop *l, const struct serve_conf *conf, struct serve **out, struct err *e)
{
	struct serve *s = MEM_NEW(struct serve);
	int r;

	s->loop = l;
	s->conf = *conf;
	s->node = mem_strdup(conf->node);
	r = listen_http(s, e);
	if (!r)
		r = listen_status(s, e);
	if (!r)
		r = listen_health(s, e);
	if (r < 0) {
		serve_free(&s);
		return r;
	}
	*out = s;
	return 0;
}

void serve_free(struct serve **sp)
{
	struct serve *s = *sp;

	if (!s)
		return;
	http_free(&s->http);
	http_free(&s->local);
	grpc_server_free(&s->grpc);
	grpc_health_free(&s->health);
	mem_free(s->node);
	mem_free(s);
	*sp = NULL;
}
