#include "tools/tundra/serve.h"

#include <stdio.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/digest.h"
#include "tools/tundra/page.h"
#include "tools/tundra/status_doc.h"
#include "transport/grpc_health.h"
#include "transport/http.h"

/*
 * The health port is open to the network, unlike the kubelet's sockets, and a probe asks one thing
 * of a few bytes: what a stranger can make us keep is limited to that.
 */
enum { HEALTH_MESSAGE_MAX = 4096, HEALTH_STREAMS_MAX = 64 };
enum { DUMP_MAX = 16 << 20 };

struct serve {
	struct loop *loop;
	struct serve_conf conf;
	char *node;
	uint64_t started_ms;	   /* loop time */
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
	buf_printf(reply->body, "devices: %s%s%s\n", inventory_state_name(state),
		   *inventory_reason(s->conf.inventory) ? ": " : "",
		   inventory_reason(s->conf.inventory));
}

static bool is_serving(void *arg)
{
	(void)arg;
	return true;
}

/* ---- status ---- */

static void on_status(void *ctx, const char *query, struct http_reply *reply)
{
	struct serve *s = ctx;

	(void)query;
	reply->content_type = "application/json";
	(void)status_doc(s->loop, &s->conf, s->started_ms, SIZE_MAX, reply->body);
}

/* The same for the page, which anybody may ask for again and again: of bounded size. */
static void on_page_status(void *ctx, const char *query, struct http_reply *reply)
{
	struct serve *s = ctx;
	size_t stable;

	(void)query;
	reply->content_type = "application/json";
	reply->headers = page_headers;
	stable = status_doc(s->loop, &s->conf, s->started_ms, PAGE_CLAIMS_MAX, reply->body);
	snprintf(
	    reply->etag, sizeof(reply->etag), "W/\"%016llx\"",
	    (unsigned long long)digest_bytes(DIGEST_START, sv_make(buf_sv(reply->body).p, stable)));
}

/* ---- start ---- */

static int listen_http(struct serve *s, struct err *e)
{
	const struct http_route routes[] = { { s->conf.metrics_path, on_metrics, s },
					     { "/healthz", on_healthz, s },
					     { "/readyz", on_readyz, s } };
	const struct http_route status = { "/status.json", on_page_status, s };
	uint16_t port;
	int r;

	if (!s->conf.http_endpoint || !*s->conf.http_endpoint)
		return 0;
	s->http = http_new(s->loop);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		http_add(s->http, &routes[i]);
	if (s->conf.status_page) {
		http_add(s->http, &status);
		page_add(s->http);
	}
	r = http_listen(s->http, s->conf.http_endpoint, &port, e);
	if (r < 0)
		return err_wrap(e, r, "--http-endpoint=%s", s->conf.http_endpoint);
	log_info(s->conf.status_page ? "serving metrics, probes and the status page"
				     : "serving metrics and probes",
		 LOG_S("endpoint", s->conf.http_endpoint), LOG_I("port", port));
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
	s->conf.node = s->node;
	s->started_ms = loop_now_ms(l);
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

int serve_dump(struct serve *s, const char *path, struct err *e)
{
	struct buf text;
	int r;

	buf_init(&text, DUMP_MAX);
	(void)status_doc(s->loop, &s->conf, s->started_ms, PAGE_CLAIMS_MAX, &text);
	buf_putc(&text, '\n');
	r = fsx_replace(path, buf_sv(&text), 0600, 0);
	if (r < 0)
		err_sys(e, r, "cannot write %s", path);
	buf_done(&text);
	return r;
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
