#include "transport/grpc_server.h"

#include <errno.h>

#include "core/map.h"
#include "core/mem.h"
#include "transport/h2_server.h"

enum {
	MESSAGE_MAX = 4 * 1024 * 1024, /* grpc-go's own default */
	STREAMS_MAX = 1024,
	CONNECTIONS_MAX = 64,
	/* Half-received requests of all calls together: streams_max of them at message_max would
	 * be gigabytes. */
	BUFFERED_MAX = 32 * 1024 * 1024,
	READ_MS = 30000,   /* for a request to arrive whole, once its head is here */
	UNREAD_MS = 60000, /* for an answer to be taken by the peer */
	/* On a stream: a peer that reads is never that far behind. */
	UNSENT_MAX = 256 * 1024,
};

const struct grpc_limits grpc_limits_default = {
	.message_max = MESSAGE_MAX,
	.streams_max = STREAMS_MAX,
	.connections_max = CONNECTIONS_MAX,
	.root_only = true,
};

/*
 *   READING -> READY -> RUNNING -> ANSWERED
 *      |         |         +-> GONE (the peer left; on_cancel is due)
 *      +---------+-> ANSWERED (refused by us)
 * The method is called, and on_cancel too, from a task: never inside the HTTP/2 machinery.
 */
enum call_state { CALL_READING, CALL_READY, CALL_RUNNING, CALL_ANSWERED, CALL_GONE };

struct grpc_call {
	struct list todo;
	struct grpc_server *server;
	struct h2_call *h2; /* NULL once its stream is over */
	const struct grpc_method *method;
	void *ctx;
	struct grpc_reader reader;
	size_t buffered; /* our part of the server's sum */
	struct loop_timer timer;
	uint64_t due_ms;
	void (*cancel)(void *arg, struct grpc_call *c);
	void *cancel_arg;
	enum call_state state;
	bool has_message, opened;
	bool foreign; /* no gRPC at all: answered as HTTP when its request is complete */
};

struct registered {
	struct grpc_method method;
	void *ctx;
};

struct grpc_server {
	struct loop *loop;
	struct h2_server *h2;
	struct grpc_limits limits;
	struct map methods; /* path -> struct registered, owned */
	struct list todo;
	struct loop_task tick;
	size_t buffered;
};

#define H(n, v)                                                                                    \
	{                                                                                          \
		{ n, sizeof(n) - 1 },                                                              \
		{                                                                                  \
			v, sizeof(v) - 1                                                           \
		}                                                                                  \
	}
static const struct h2_header head_ok[] = { H("content-type", "application/grpc") };
static const struct h2_header tail_ok[] = { H("grpc-status", "0") };

/* Calls */

static void drop_message(struct grpc_call *c)
{
	c->server->buffered -= c->buffered;
	c->buffered = 0;
	grpc_reader_done(&c->reader);
}

static void call_release(struct grpc_call *c)
{
	loop_timer_stop(&c->timer);
	list_remove(&c->todo);
	drop_message(c);
	loop_defer_free(c->server->loop, c, mem_free);
}

static void call_todo(struct grpc_call *c)
{
	if (list_linked(&c->todo))
		return;
	list_push(&c->server->todo, &c->todo);
	loop_task_post(&c->server->tick);
}

/* No more to do than to let the peer take the answer: until its deadline, and never for long. */
static void call_answered(struct grpc_call *c)
{
	uint64_t now = loop_now_ms(c->server->loop);

	if (c->state == CALL_GONE) {
		c->state = CALL_ANSWERED; /* the tick releases it */
		return;
	}
	c->state = CALL_ANSWERED;
	drop_message(c);
	loop_timer_set(&c->timer,
		       c->due_ms > now ? MIN(c->due_ms - now, (uint64_t)UNREAD_MS) : UNREAD_MS);
}

static void end_with(struct grpc_call *c, int http, enum grpc_code code, struct sv text)
{
	struct h2_header h[4] = { H("content-type", "application/grpc") };
	char digits[8];
	struct buf coded;
	size_t n = 1;

	if (!c->h2) {
		call_answered(c);
		return;
	}
	buf_init(&coded, 3 * (size_t)GRPC_TEXT_MAX); /* each byte may become three */
	grpc_percent_encode(&coded, text);
	(void)snprintf(digits, sizeof(digits), "%d", (int)code);
	h[n++] = (struct h2_header){ SV("grpc-status"), sv_str(digits) };
	if (text.n)
		h[n++] = (struct h2_header){ SV("grpc-message"), buf_sv(&coded) };
	if (code == GRPC_UNIMPLEMENTED)
		h[n++] = (struct h2_header)H("grpc-accept-encoding", "identity");
	if (c->opened)
		h2_call_end(c->h2, h + 1, n - 1);
	else
		h2_call_respond(c->h2, http, h, n, true);
	buf_done(&coded);
	call_answered(c);
}

static void vfail(struct grpc_call *c, int http, enum grpc_code code, const char *fmt, va_list ap)
    PRINTF(4, 0);

static void vfail(struct grpc_call *c, int http, enum grpc_code code, const char *fmt, va_list ap)
{
	char text[GRPC_TEXT_MAX];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	must(n >= 0);
	end_with(c, http, code, sv_make(text, MIN((size_t)n, sizeof(text) - 1)));
}

static void refuse(struct grpc_call *c, int http, enum grpc_code code, const char *fmt, ...)
    PRINTF(4, 5);

static void refuse(struct grpc_call *c, int http, enum grpc_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfail(c, http, code, fmt, ap);
	va_end(ap);
}

static void on_timer(void *arg)
{
	struct grpc_call *c = arg;

	switch (c->state) {
	case CALL_READING:
	case CALL_READY:
		refuse(c, 200, GRPC_DEADLINE_EXCEEDED, "the request did not arrive in time");
		break;
	case CALL_RUNNING:
		refuse(c, 200, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
		if (c->cancel)
			c->cancel(c->cancel_arg, c);
		break;
	case CALL_ANSWERED:
		if (c->h2)
			h2_call_reset(c->h2, H2_CANCEL);
		break;
	case CALL_GONE:
		break;
	}
}

static void arm(struct grpc_call *c, uint64_t at_most_ms)
{
	uint64_t now = loop_now_ms(c->server->loop);
	uint64_t left = c->due_ms > now ? c->due_ms - now : 0;

	if (c->due_ms != UINT64_MAX || at_most_ms != UINT64_MAX)
		loop_timer_set(&c->timer, MIN(left, at_most_ms));
}

static void run(struct grpc_call *c)
{
	c->state = CALL_RUNNING;
	loop_timer_stop(&c->timer);
	arm(c, UINT64_MAX);
	c->method->on_call(c->ctx, c, buf_sv(&c->reader.message));
	if (c->state == CALL_RUNNING)
		drop_message(c);
}

static void on_tick(void *arg)
{
	struct grpc_server *s = arg;
	struct list *n;

	while ((n = list_pop(&s->todo))) {
		struct grpc_call *c = list_entry(n, struct grpc_call, todo);

		if (c->state == CALL_READING) {
			arm(c, READ_MS);
			continue;
		}
		if (c->state == CALL_READY) {
			run(c);
			continue;
		}
		if (c->state == CALL_GONE && c->cancel)
			c->cancel(c->cancel_arg, c);
		if (!c->h2)
			call_release(c);
	}
}

/* Requests */

static bool is_grpc(struct sv content_type)
{
	struct sv base = SV("application/grpc");

	if (!content_type.p || !sv_starts(content_type, base))
		return false;
	return content_type.n == base.n || content_type.p[base.n] == '+' ||
	       content_type.p[base.n] == ';';
}

struct wanted {
	struct sv content_type, timeout, encoding;
};

static struct wanted read_head(const struct h2_head *head)
{
	struct wanted w = { .content_type = SV_NONE };
	size_t i;

	for (i = 0; i < head->n; i++) {
		struct sv name = head->headers[i].name;

		if (sv_eqs(name, "content-type"))
			w.content_type = head->headers[i].value;
		else if (sv_eqs(name, "grpc-timeout"))
			w.timeout = head->headers[i].value;
		else if (sv_eqs(name, "grpc-encoding"))
			w.encoding = head->headers[i].value;
	}
	return w;
}

static bool knows_service(const struct grpc_server *s, struct sv service)
{
	map_for_each (e, &s->methods) {
		struct sv path = e->key;

		if (path.n > service.n + 1 && path.p[service.n + 1] == '/' &&
		    sv_eq(sv_make(path.p + 1, service.n), service))
			return true;
	}
	return false;
}

/* The texts are grpc-go's: people search for them. */
static void refuse_path(struct grpc_call *c, struct sv path)
{
	struct sv rest = path.n && path.p[0] == '/' ? sv_drop(path, 1) : path;
	size_t cut = rest.n;
	struct sv service;

	while (cut && rest.p[cut - 1] != '/')
		cut--;
	if (!cut) {
		refuse(c, 200, GRPC_UNIMPLEMENTED, "malformed method name: \"" SV_FMT "\"",
		       SV_ARG(path));
		return;
	}
	service = sv_make(rest.p, cut - 1);
	if (knows_service(c->server, service))
		refuse(c, 200, GRPC_UNIMPLEMENTED, "unknown method " SV_FMT " for service " SV_FMT,
		       SV_ARG(sv_drop(rest, cut)), SV_ARG(service));
	else
		refuse(c, 200, GRPC_UNIMPLEMENTED, "unknown service " SV_FMT, SV_ARG(service));
}

static void check_head(struct grpc_call *c, const struct h2_head *head)
{
	struct wanted w = read_head(head);
	const struct registered *r;
	uint64_t us;

	if (!is_grpc(w.content_type)) {
		c->foreign = true;
		return;
	}
	if (!sv_eqs(head->method, "POST")) {
		refuse(c, 405, GRPC_INTERNAL,
		       "Received a HEADERS frame with :method \"" SV_FMT "\" which should be POST",
		       SV_ARG(head->method));
		return;
	}
	if (w.timeout.p) {
		if (grpc_timeout_parse(w.timeout, &us) < 0) {
			refuse(c, 400, GRPC_INTERNAL, "malformed grpc-timeout: \"" SV_FMT "\"",
			       SV_ARG(w.timeout));
			return;
		}
		c->due_ms = loop_now_ms(c->server->loop) + us / 1000;
	}
	r = map_get(&c->server->methods, head->path);
	if (!r) {
		refuse_path(c, head->path);
		return;
	}
	if (w.encoding.n && !sv_eqs(w.encoding, "identity")) {
		refuse(c, 200, GRPC_UNIMPLEMENTED,
		       "grpc: Decompressor is not installed for grpc-encoding \"" SV_FMT "\"",
		       SV_ARG(w.encoding));
		return;
	}
	c->method = &r->method;
	c->ctx = r->ctx;
}

static void on_head(void *arg, struct h2_call *h2, const struct h2_head *head)
{
	struct grpc_server *s = arg;
	struct grpc_call *c = MEM_NEW(struct grpc_call);

	c->server = s;
	c->h2 = h2;
	c->due_ms = UINT64_MAX;
	grpc_reader_init(&c->reader, s->limits.message_max);
	loop_timer_init(&c->timer, s->loop, on_timer, c);
	h2_call_set_user(h2, c);
	check_head(c, head);
	if (c->state == CALL_READING)
		call_todo(c);
}

/* One message and no more is what unary and server-streaming methods take. */
static void feed(struct grpc_call *c, struct sv data)
{
	int r = grpc_reader_feed(&c->reader, &data);

	if (r == GRPC_READER_COMPRESSED)
		refuse(c, 200, GRPC_INTERNAL,
		       "grpc: compressed flag set with identity or empty encoding");
	else if (r == GRPC_READER_TOO_BIG)
		refuse(c, 200, GRPC_RESOURCE_EXHAUSTED,
		       "grpc: received message larger than max (%u vs. %zu)", c->reader.want,
		       c->reader.max);
	else if (r == GRPC_READER_MESSAGE)
		c->has_message = true;
	if (c->state == CALL_READING && data.n)
		refuse(c, 200, GRPC_INTERNAL, "more than one message in a request");
}

static void on_data(void *arg, struct h2_call *h2, struct sv data)
{
	struct grpc_call *c = h2_call_user(h2);
	struct grpc_server *s = arg;

	if (c->state != CALL_READING || c->foreign || !data.n)
		return;
	if (c->has_message) {
		refuse(c, 200, GRPC_INTERNAL, "more than one message in a request");
		return;
	}
	feed(c, data);
	if (c->state != CALL_READING)
		return;
	s->buffered += data.n;
	c->buffered += data.n;
	if (s->buffered > BUFFERED_MAX)
		refuse(c, 200, GRPC_RESOURCE_EXHAUSTED, "too many large requests at once");
}

/* A browser, curl or a wrong client: something that a person can read. */
static void answer_foreign(struct grpc_call *c)
{
	static const struct h2_header head[] = { H("content-type", "text/plain; charset=utf-8") };

	h2_call_respond(c->h2, 415, head, ARRAY_LEN(head), false);
	h2_call_write(c->h2, SV("This is a gRPC server: content-type must be application/grpc.\n"));
	h2_call_end(c->h2, NULL, 0);
	call_answered(c);
}

static void on_end(void *arg, struct h2_call *h2)
{
	struct grpc_call *c = h2_call_user(h2);

	(void)arg;
	if (c->state != CALL_READING)
		return;
	if (c->foreign) {
		answer_foreign(c);
		return;
	}
	if (!c->has_message) {
		refuse(c, 200, GRPC_INTERNAL,
		       grpc_reader_idle(&c->reader) ? "the request has no message"
						    : "unexpected EOF");
		return;
	}
	c->state = CALL_READY;
	call_todo(c);
}

static void on_gone(void *arg, struct h2_call *h2)
{
	struct grpc_call *c = h2_call_user(h2);

	(void)arg;
	c->h2 = NULL;
	loop_timer_stop(&c->timer);
	if (c->state == CALL_RUNNING) {
		c->state = CALL_GONE;
		call_todo(c);
	} else {
		call_release(c);
	}
}

static const struct h2_server_events events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_gone = on_gone,
};

/* The server */

struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_limits *limits)
{
	struct grpc_server *s = MEM_NEW(struct grpc_server);
	struct h2_server_conf conf = {
		.streams_max = limits->streams_max,
		.connections_max = limits->connections_max,
		.root_only = limits->root_only,
		.events = &events,
		.arg = s,
	};

	s->loop = l;
	s->limits = *limits;
	if (!s->limits.message_max)
		s->limits.message_max = MESSAGE_MAX;
	map_init(&s->methods);
	list_init(&s->todo);
	loop_task_init(&s->tick, l, LOOP_TICK, on_tick, s);
	s->h2 = h2_server_new(l, &conf);
	return s;
}

static void server_release(void *obj)
{
	struct grpc_server *s = obj;

	map_for_each (e, &s->methods)
		mem_free(e->value);
	map_done(&s->methods);
	mem_free(s);
}

void grpc_server_free(struct grpc_server **sp)
{
	struct grpc_server *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	h2_server_free(&s->h2);
	/* What is left to do is to tell the methods. */
	on_tick(s);
	loop_task_stop(&s->tick);
	loop_defer_free(s->loop, s, server_release);
}

void grpc_server_add(struct grpc_server *s, const struct grpc_service *service)
{
	size_t i;

	for (i = 0; i < service->n; i++) {
		struct registered *r = MEM_NEW(struct registered);

		r->method = service->methods[i];
		r->ctx = service->ctx;
		must(!map_put(&s->methods, sv_str(r->method.path), r));
	}
}

int grpc_server_listen_unix(struct grpc_server *s, const char *path, unsigned mode, struct err *e)
{
	return h2_server_listen_unix(s->h2, path, mode, e);
}

int grpc_server_listen_tcp(struct grpc_server *s, const char *host, uint16_t *port,
			   struct tls_server *tls, struct err *e)
{
	return h2_server_listen_tcp(s->h2, host, port, tls, e);
}

void grpc_server_adopt(struct grpc_server *s, int fd)
{
	h2_server_adopt(s->h2, fd);
}

void grpc_server_drain(struct grpc_server *s, void (*idle)(void *arg), void *arg)
{
	h2_server_drain(s->h2, idle, arg);
}

size_t grpc_server_calls(const struct grpc_server *s)
{
	return h2_server_calls(s->h2);
}

size_t grpc_server_connections(const struct grpc_server *s)
{
	return h2_server_connections(s->h2);
}

/* One call */

uint64_t grpc_call_due_ms(const struct grpc_call *c)
{
	return c->due_ms;
}

const char *grpc_call_path(const struct grpc_call *c)
{
	return c->method->path;
}

uint64_t grpc_call_peer(const struct grpc_call *c)
{
	return c->h2 ? h2_call_peer(c->h2) : 0;
}

void grpc_call_on_cancel(struct grpc_call *c, void (*fn)(void *arg, struct grpc_call *c), void *arg)
{
	c->cancel = fn;
	c->cancel_arg = arg;
}

static void write_message(struct grpc_call *c, struct sv message)
{
	unsigned char prefix[GRPC_PREFIX];

	grpc_prefix(prefix, message.n);
	h2_call_write(c->h2, sv_make(prefix, sizeof(prefix)));
	h2_call_write(c->h2, message);
}

void grpc_call_open(struct grpc_call *c)
{
	must(c->state == CALL_RUNNING || c->state == CALL_GONE);
	if (c->opened)
		return;
	c->opened = true;
	if (c->h2)
		h2_call_respond(c->h2, 200, head_ok, ARRAY_LEN(head_ok), false);
}

void grpc_call_reply(struct grpc_call *c, struct sv message)
{
	must((c->state == CALL_RUNNING || c->state == CALL_GONE) && !c->method->streams);
	grpc_call_open(c);
	if (c->h2) {
		write_message(c, message);
		h2_call_end(c->h2, tail_ok, ARRAY_LEN(tail_ok));
	}
	call_answered(c);
}

void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *fmt, ...)
{
	va_list ap;

	must(c->state == CALL_RUNNING || c->state == CALL_GONE);
	va_start(ap, fmt);
	vfail(c, 200, code, fmt, ap);
	va_end(ap);
}

bool grpc_call_send(struct grpc_call *c, struct sv message)
{
	must((c->state == CALL_RUNNING || c->state == CALL_GONE) && c->method->streams);
	grpc_call_open(c);
	if (!c->h2)
		return true; /* on_cancel is on its way */
	if (h2_call_queued(c->h2) > UNSENT_MAX)
		return false;
	write_message(c, message);
	return true;
}
