/*
 * A gRPC server made of nothing but transport/, for foreign clients to try: grpc-go and h2spec.
 *     wire_server [--unix PATH] [--tcp] [--tls CERT KEY]
 * Prints one line per listener ("tcp 1234") and then "ready". SIGTERM drains.
 */
#include <signal.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "transport/grpc_health.h"
#include "transport/grpc_server.h"
#include "transport/tls.h"

enum { HELD_MAX = 4096, BIG_MAX = 8 * 1024 * 1024 };

struct wire {
	struct loop *loop;
	struct grpc_server *server;
	struct grpc_health *health;
	struct tls_server *tls;
	struct grpc_call *held[HELD_MAX];
	uint64_t cancels;
};

struct ticker {
	struct wire *wire;
	struct grpc_call *call;
	struct loop_timer timer;
	uint64_t left, n;
};

static uint64_t number(struct sv s)
{
	uint64_t v;

	return sv_u64(s, &v) < 0 ? 0 : v;
}

static void hold(struct wire *w, struct grpc_call *c)
{
	size_t i = 0;

	while (w->held[i])
		must(++i < HELD_MAX);
	w->held[i] = c;
}

static void let_go(struct wire *w, const struct grpc_call *c)
{
	size_t i = 0;

	while (w->held[i] != c)
		must(++i < HELD_MAX);
	w->held[i] = NULL;
}

static void on_echo(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_reply(c, message);
}

/* "<code> <text>" */
static void on_fail(void *ctx, struct grpc_call *c, struct sv message)
{
	struct sv code = sv_cut(&message, ' ');

	(void)ctx;
	grpc_call_fail(c, (enum grpc_code)number(code), SV_FMT, SV_ARG(message));
}

static void on_big(void *ctx, struct grpc_call *c, struct sv message)
{
	size_t i, n = (size_t)MIN(number(message), (uint64_t)BIG_MAX);
	char *p = mem_alloc(n);

	(void)ctx;
	for (i = 0; i < n; i++)
		p[i] = (char)('a' + i % 23);
	grpc_call_reply(c, sv_make(p, n));
	mem_free(p);
}

static void on_held_cancel(void *arg, struct grpc_call *c)
{
	struct wire *w = arg;

	w->cancels++;
	let_go(w, c);
}

static void on_hang(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)message;
	hold(ctx, c);
	grpc_call_on_cancel(c, on_held_cancel, ctx);
}

/* Answers every call that hangs, and says how many there were. */
static void on_release(void *ctx, struct grpc_call *c, struct sv message)
{
	struct wire *w = ctx;
	char text[32];
	size_t i, n = 0;

	(void)message;
	for (i = 0; i < HELD_MAX; i++)
		if (w->held[i]) {
			grpc_call_reply(w->held[i], SV("released"));
			w->held[i] = NULL;
			n++;
		}
	(void)snprintf(text, sizeof(text), "%zu", n);
	grpc_call_reply(c, sv_str(text));
}

static void on_stats(void *ctx, struct grpc_call *c, struct sv message)
{
	struct wire *w = ctx;
	size_t i, held = 0;
	char text[128];

	(void)message;
	for (i = 0; i < HELD_MAX; i++)
		held += w->held[i] != NULL;
	(void)snprintf(text, sizeof(text), "cancels=%llu held=%zu connections=%zu",
		       (unsigned long long)w->cancels, held, grpc_server_connections(w->server));
	grpc_call_reply(c, sv_str(text));
}

static void ticker_free(struct ticker *t)
{
	loop_timer_stop(&t->timer);
	loop_defer_free(t->wire->loop, t, mem_free);
}

static void on_ticker_cancel(void *arg, struct grpc_call *c)
{
	struct ticker *t = arg;

	(void)c;
	t->wire->cancels++;
	ticker_free(t);
}

static void on_ticker(void *arg)
{
	struct ticker *t = arg;
	char text[32];

	while (t->left) {
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)t->n);
		if (!grpc_call_send(t->call, sv_str(text))) {
			loop_timer_set(&t->timer, 1);
			return;
		}
		t->n++;
		t->left--;
	}
	grpc_call_fail(t->call, GRPC_OK, "%s", "");
	ticker_free(t);
}

/* As many messages as asked for, as fast as the client reads. */
static void on_stream(void *ctx, struct grpc_call *c, struct sv message)
{
	struct ticker *t = MEM_NEW(struct ticker);

	t->wire = ctx;
	t->call = c;
	t->left = number(message);
	loop_timer_init(&t->timer, t->wire->loop, on_ticker, t);
	loop_timer_set(&t->timer, 0);
	grpc_call_on_cancel(c, on_ticker_cancel, t);
}

/* Opens, says one thing and stays. */
static void on_watch(void *ctx, struct grpc_call *c, struct sv message)
{
	grpc_call_open(c);
	(void)grpc_call_send(c, message);
	hold(ctx, c);
	grpc_call_on_cancel(c, on_held_cancel, ctx);
}

static const struct grpc_method methods[] = {
	{ "/tundra.test.Wire/Echo", false, on_echo },
	{ "/tundra.test.Wire/Fail", false, on_fail },
	{ "/tundra.test.Wire/Big", false, on_big },
	{ "/tundra.test.Wire/Hang", false, on_hang },
	{ "/tundra.test.Wire/Release", false, on_release },
	{ "/tundra.test.Wire/Stats", false, on_stats },
	{ "/tundra.test.Wire/Stream", true, on_stream },
	{ "/tundra.test.Wire/Watch", true, on_watch },
};

static bool is_serving(void *arg)
{
	(void)arg;
	return true;
}

static void on_idle(void *arg)
{
	loop_stop(((struct wire *)arg)->loop);
}

static void on_term(void *arg)
{
	struct wire *w = arg;
	size_t i;

	grpc_server_drain(w->server, on_idle, w);
	grpc_health_drain(w->health);
	for (i = 0; i < HELD_MAX; i++)
		if (w->held[i] &&
		    strcmp(grpc_call_path(w->held[i]), "/tundra.test.Wire/Watch") == 0) {
			grpc_call_fail(w->held[i], GRPC_UNAVAILABLE, "shutting down");
			w->held[i] = NULL;
		}
}

static void die(const struct err *e)
{
	(void)fprintf(stderr, "wire_server: %s\n", e->text);
	exit(1);
}

static void listen_as_told(struct wire *w, int argc, char **argv)
{
	struct err e;
	uint16_t port;
	int i;

	for (i = 1; i < argc; i++) {
		port = 0;
		if (strcmp(argv[i], "--unix") == 0 && i + 1 < argc) {
			if (grpc_server_listen_unix(w->server, argv[++i], 0600, &e) < 0)
				die(&e);
		} else if (strcmp(argv[i], "--tcp") == 0) {
			if (grpc_server_listen_tcp(w->server, "127.0.0.1", &port, NULL, &e) < 0)
				die(&e);
			(void)printf("tcp %u\n", port);
		} else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
			struct tls_material m = { .cert_file = argv[i + 1],
						  .key_file = argv[i + 2] };

			i += 2;
			if (tls_server_new(&m, &w->tls, &e) < 0 ||
			    grpc_server_listen_tcp(w->server, "127.0.0.1", &port, w->tls, &e) < 0)
				die(&e);
			(void)printf("tls %u\n", port);
		} else {
			(void)fprintf(stderr, "usage: %s [--unix PATH] [--tcp] [--tls CERT KEY]\n",
				      argv[0]);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "", "liveness", NULL };
	struct grpc_service service = { methods, ARRAY_LEN(methods), NULL };
	struct wire w = { .cancels = 0 };

	mem_install();
	log_init(LOG_INFO, false, "wire_server");
	w.loop = loop_new();
	service.ctx = &w;
	w.server = grpc_server_new(w.loop, &grpc_limits_default);
	w.health = grpc_health_new(w.loop, names, is_serving, NULL);
	grpc_server_add(w.server, &service);
	grpc_server_add(w.server, grpc_health_service(w.health));
	listen_as_told(&w, argc, argv);
	loop_on_signal(w.loop, SIGTERM, on_term, &w);
	(void)puts("ready");
	(void)fflush(stdout);
	loop_run(w.loop);
	grpc_server_free(&w.server);
	grpc_health_free(&w.health);
	tls_server_free(&w.tls);
	loop_free(&w.loop);
	return 0;
}
