#include "transport/h2_client.h"

#include <errno.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/mem.h"
#include "transport/dial.h"
#include "transport/stream.h"
#include "transport/tls.h"

enum {
	CONNECT_MS = 10000,
	PING_IDLE_MS = 30000,
	PING_TIMEOUT_MS = 15000,
	BACKOFF_FIRST_MS = 100,
	BACKOFF_CAP_MS = 10000,
	/* Never the limit: every stream's window together is far above what one server sends. */
	CONN_WINDOW = 64 * 1024 * 1024,
	HEADERS_MAX = 64 * 1024, /* of one answer */
	STREAMS_MAX = 1000,	 /* when the server says no number, or a huge one */
	/* Connections that finish their streams after GOAWAY; the oldest beyond is cut. */
	OLD_MAX = 8,
	/* A server that refuses streams over and over is not asked for ever. */
	RETRIES_MAX = 5,
};

struct h2_request {
	struct h2_stream stream;
	struct list node; /* in the client's queue, or in its list of sent ones */
	struct h2_client *client;
	struct link *link;	     /* NULL while queued */
	struct h2_request_conf conf; /* views and headers point behind this struct */
	struct loop_timer timer;
	uint64_t due_us; /* of the timer, by loop_now_us(); 0: none */
	unsigned retries;
	bool paused;
	bool over; /* the owner knows, or cancelled: only the stream's end is awaited */
};

/*
 * One connection.   DIALLING -> SHAKING (transport stands, SETTINGS awaited) -> UP -> RETIRED
 * RETIRED: no new requests; ends when its streams have.
 */
enum link_state { LINK_DIALLING, LINK_SHAKING, LINK_UP, LINK_RETIRED };

struct link {
	struct list node; /* among the old ones, once retired */
	struct h2_client *client;
	struct dial *dial;
	struct stream *stream;
	struct h2 *h2;
	struct loop_timer timer; /* PING */
	uint64_t heard_ms, up_ms;
	uint64_t finished; /* requests that got an answer here */
	enum link_state state;
	bool pinged;
	int status; /* why it ended */
};

struct h2_client {
	struct loop *loop;
	struct h2_client_conf conf; /* strings are copies */
	char *authority;
	struct link *link; /* the one for new requests, or NULL */
	struct list old;
	size_t old_n;
	struct list queue, sent;
	struct loop_task pump, tell;
	struct loop_timer timer; /* connect deadline, or the wait before the next try */
	struct backoff backoff;
	int last_status;
	struct h2_client_stats stats;
	enum h2_client_state told;
	void (*on_state)(void *arg, enum h2_client_state s);
	void *on_state_arg;
	bool dead; /* freed, perhaps inside a callback of ours: nothing is posted or armed */
};

static void link_free(struct link *k, int status);
static void link_failed(struct link *k, int status, const struct err *e);

static void set_state(struct h2_client *h, enum h2_client_state s)
{
	h->stats.state = s;
	if (s != h->told && !h->dead)
		loop_task_post(&h->tell);
}

static void pump_soon(struct h2_client *h)
{
	if (!h->dead)
		loop_task_post(&h->pump);
}

/* The next connection is not made before a while. */
static void hold_off(struct h2_client *h)
{
	if (h->dead)
		return;
	loop_timer_set(&h->timer, backoff_next(&h->backoff, h->loop));
	set_state(h, H2_CLIENT_WAITING);
}

static void on_tell(void *arg)
{
	struct h2_client *h = arg;

	if (h->told == h->stats.state)
		return;
	h->told = h->stats.state;
	if (h->on_state)
		h->on_state(h->on_state_arg, h->told);
}

/* Requests */

static struct h2_request *request_of(struct h2_stream *s)
{
	return container_of(s, struct h2_request, stream);
}

static void request_release(struct h2_request *r)
{
	loop_timer_stop(&r->timer);
	list_remove(&r->node);
	loop_defer_free(r->client->loop, r, mem_free);
}

/* Tells the owner. The stream, if there is one, is reset and keeps the object until it is over. */
static void request_end(struct h2_request *r, int status, bool sent, const struct err *e)
{
	loop_timer_stop(&r->timer);
	r->over = true;
	if (r->stream.h2)
		h2_reset(&r->stream, H2_CANCEL);
	else
		request_release(r);
	r->conf.on_end(r->conf.arg, status, sent, e);
}

static void on_request_timer(void *arg)
{
	struct h2_request *r = arg;
	struct h2_client *h = r->client;
	struct err e;

	if (r->link || h->last_status == 0) {
		(void)err_set(&e, -ETIMEDOUT,
			      r->link ? "no complete answer in time"
				      : "no connection and free stream in time");
		request_end(r, -ETIMEDOUT, r->link != NULL, &e);
		return;
	}
	(void)err_set(&e, h->last_status, "%s", h->stats.last_error);
	request_end(r, h->last_status, false, &e);
}

static struct sv keep(char **p, struct sv s)
{
	char *at = *p;

	if (s.n)
		memcpy(at, s.p, s.n);
	*p += s.n;
	return sv_make(at, s.n);
}

enum { PSEUDO_N = 4 };

/* The request and all it needs for being sent, perhaps twice, in one piece of memory. */
static struct h2_request *request_new(struct h2_client *h, const struct h2_request_conf *conf)
{
	size_t n = conf->headers_n + PSEUDO_N, i;
	size_t text = strlen(conf->method) + conf->path.n + conf->body.n;
	struct h2_request *r;
	struct h2_header *v;
	char *p;

	for (i = 0; i < conf->headers_n; i++)
		text += conf->headers[i].name.n + conf->headers[i].value.n;
	r = mem_alloc(sizeof(*r) + n * sizeof(*v) + text);
	*r = (struct h2_request){ .client = h, .conf = *conf };
	v = (struct h2_header *)(r + 1);
	p = (char *)(v + n);
	v[0] = (struct h2_header){ SV(":method"), keep(&p, sv_str(conf->method)) };
	v[1] = (struct h2_header){ SV(":scheme"), h->conf.tls ? SV("https") : SV("http") };
	v[2] = (struct h2_header){ SV(":path"), keep(&p, conf->path) };
	v[3] = (struct h2_header){ SV(":authority"), sv_str(h->authority) };
	for (i = 0; i < conf->headers_n; i++) {
		v[PSEUDO_N + i].name = keep(&p, conf->headers[i].name);
		v[PSEUDO_N + i].value = keep(&p, conf->headers[i].value);
	}
	r->conf.headers = v;
	r->conf.headers_n = n;
	r->conf.body = keep(&p, conf->body);
	r->conf.method = NULL;
	loop_timer_init(&r->timer, h->loop, on_request_timer, r);
	return r;
}

struct h2_request *h2_client_send(struct h2_client *h, const struct h2_request_conf *conf)
{
	struct h2_request *r = request_new(h, conf);

	h->stats.requests++;
	list_push(&h->queue, &r->node);
	if (conf->timeout_ms) {
		loop_timer_set(&r->timer, conf->timeout_ms);
		r->due_us = loop_now_us(h->loop) + 1000ull * conf->timeout_ms;
	}
	pump_soon(h);
	return r;
}

void h2_request_cancel(struct h2_request *r)
{
	must(!r->over);
	loop_timer_stop(&r->timer);
	r->over = true;
	if (r->stream.h2)
		h2_reset(&r->stream, H2_CANCEL);
	else
		request_release(r);
}

void h2_request_pause(struct h2_request *r, bool paused)
{
	r->paused = paused;
	if (r->stream.h2)
		h2_pause(&r->stream, paused);
}

/* HTTP/2 events of a link */

static int status_of(struct err *e, uint32_t code)
{
	switch (code) {
	case H2_CANCEL:
		return err_set(e, -ECANCELED, "the server cancelled the request");
	case H2_ENHANCE_YOUR_CALM:
		return err_set(e, -EBUSY, "the server asks for calm");
	case H2_REFUSED_STREAM:
		return err_set(e, -ECONNREFUSED, "the server refuses requests");
	default:
		return err_set(e, -EPROTO, "the server reset the request (HTTP/2 code %u)", code);
	}
}

/* Certainly not seen by the server: back to the front of the queue. */
static bool retry(struct h2_request *r, uint32_t code)
{
	if (code != H2_REFUSED_STREAM || r->stream.got_head || r->retries >= RETRIES_MAX)
		return false;
	r->retries++;
	r->link = NULL;
	list_remove(&r->node);
	list_push_front(&r->client->queue, &r->node);
	pump_soon(r->client);
	return true;
}

/*
 * A server that is told the deadline (grpc-timeout) cancels at the same moment, and in a turn
 * sockets come before timers. Timers know whole milliseconds.
 */
static bool cancelled_as_due(const struct h2_request *r, uint32_t code)
{
	return code == H2_CANCEL && r->due_us && loop_now_us(r->client->loop) + 1000 >= r->due_us;
}

static void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
	struct h2_request *r = request_of(s);
	struct link *k = arg;
	struct err e;
	int status;

	pump_soon(k->client); /* a stream is free */
	if (r->over) {
		request_release(r);
	} else if (s->in_end && (code == H2_NO_ERROR || code == H2_CODE_LOST)) {
		k->finished++;
		request_end(r, 0, true, NULL);
	} else if (code == H2_CODE_LOST) {
		status = k->status < 0 ? k->status : -ECONNRESET;
		(void)err_sys(&e, status, "connection lost");
		request_end(r, status, true, &e);
	} else if (cancelled_as_due(r, code)) {
		on_request_timer(r);
	} else if (!retry(r, code)) {
		status = status_of(&e, code);
		request_end(r, status, code != H2_REFUSED_STREAM, &e);
	}
}

static void on_headers(void *arg, struct h2_stream *s, const struct h2_header *v, size_t n,
		       bool trailers)
{
	struct h2_request *r = request_of(s);
	uint64_t status = 0;
	size_t i;

	(void)arg;
	if (r->over)
		return;
	if (trailers) {
		if (r->conf.on_trailers)
			r->conf.on_trailers(r->conf.arg, v, n);
		return;
	}
	for (i = 0; i < n; i++)
		if (sv_eqs(v[i].name, ":status") && sv_u64(v[i].value, &status) < 0)
			status = 0;
	if (r->conf.on_head)
		r->conf.on_head(r->conf.arg, (int)MIN(status, (uint64_t)999), v, n);
}

static void on_body(void *arg, struct h2_stream *s, struct sv data)
{
	struct h2_request *r = request_of(s);

	(void)arg;
	if (!r->over && r->conf.on_data)
		r->conf.on_data(r->conf.arg, data);
}

/* An answer may be complete while our body is not: then the rest is not wanted. */
static void on_body_end(void *arg, struct h2_stream *s)
{
	(void)arg;
	if (!s->out_end || buf_len(&s->out))
		h2_reset(s, H2_NO_ERROR);
}

static struct h2_stream *on_open(void *arg)
{
	(void)arg;
	return NULL; /* no server push */
}

static void on_settings(void *arg)
{
	struct link *k = arg;
	struct h2_client *h = k->client;

	if (k->state == LINK_SHAKING) {
		k->state = LINK_UP;
		k->up_ms = loop_now_ms(h->loop);
		h->stats.connects++;
		h->last_status = 0;
		h->stats.last_error[0] = '\0';
		loop_timer_stop(&h->timer);
		set_state(h, H2_CLIENT_UP);
	}
	pump_soon(h); /* more streams may be allowed now */
}

static bool lived_long(const struct link *k)
{
	const struct h2_client *h = k->client;

	return loop_now_ms(h->loop) - k->up_ms >= h->backoff.cap_ms;
}

/* New requests go elsewhere, streams here go on. */
static void retire(struct link *k)
{
	struct h2_client *h = k->client;

	if (k->state != LINK_UP)
		return;
	if (lived_long(k))
		backoff_reset(&h->backoff); /* its end will not be looked at */
	k->state = LINK_RETIRED;
	h->link = NULL;
	list_push(&h->old, &k->node);
	h->old_n++;
	set_state(h, H2_CLIENT_IDLE);
	pump_soon(h);
	if (h->old_n > OLD_MAX)
		link_free(list_entry(h->old.next, struct link, node), -ECONNRESET);
}

/* As retire(). One that was of no use must not be followed by the next at once. */
static void give_up(struct link *k)
{
	bool useless = k->state == LINK_UP && !k->finished && !lived_long(k);

	retire(k);
	if (useless)
		hold_off(k->client);
}

static void on_goaway(void *arg, uint32_t code, struct sv text)
{
	struct link *k = arg;
	struct h2_client *h = k->client;

	h->stats.goaways++;
	if (code != H2_NO_ERROR)
		log_warn("the server ends the connection", LOG_S("server", h->authority),
			 LOG_I("code", code), LOG_SV("text", text));
	give_up(k);
}

static void on_pong(void *arg)
{
	(void)arg; /* heard_ms says it all */
}

static void on_output(void *arg)
{
	struct link *k = arg;

	stream_kick(k->stream);
}

static const struct h2_events h2_events = {
	.on_open = on_open,
	.on_headers = on_headers,
	.on_data = on_body,
	.on_end = on_body_end,
	.on_close = on_close,
	.on_settings = on_settings,
	.on_goaway = on_goaway,
	.on_pong = on_pong,
	.on_output = on_output,
};

/* PING: only while streams are open */

static uint32_t or_default(uint32_t v, uint32_t d)
{
	return v ? v : d;
}

static void watch_path(struct link *k)
{
	const struct h2_client_conf *conf = &k->client->conf;
	uint64_t now = loop_now_ms(k->client->loop);
	uint32_t idle = or_default(conf->ping_idle_ms, PING_IDLE_MS);

	if (!h2_streams(k->h2)) {
		loop_timer_stop(&k->timer);
		k->pinged = false;
	} else if (!loop_timer_armed(&k->timer)) {
		k->pinged = now - k->heard_ms >= idle;
		if (k->pinged)
			h2_ping(k->h2);
		loop_timer_set(&k->timer, k->pinged
					      ? or_default(conf->ping_timeout_ms, PING_TIMEOUT_MS)
					      : idle);
	}
}

static void on_ping_timer(void *arg)
{
	struct link *k = arg;
	const struct h2_client_conf *conf = &k->client->conf;
	uint64_t silent = loop_now_ms(k->client->loop) - k->heard_ms;
	uint32_t idle = or_default(conf->ping_idle_ms, PING_IDLE_MS);
	uint32_t timeout = or_default(conf->ping_timeout_ms, PING_TIMEOUT_MS);
	struct err e;

	if (!h2_streams(k->h2))
		return;
	if (k->pinged && silent >= timeout) {
		(void)err_set(&e, -ETIMEDOUT, "no answer to PING in %u ms", timeout);
		link_failed(k, -ETIMEDOUT, &e);
		return;
	}
	k->pinged = silent >= idle;
	if (k->pinged)
		h2_ping(k->h2);
	loop_timer_set(&k->timer, k->pinged ? timeout : idle - silent);
}

/* Stream events of a link */

static void link_done(struct link *k)
{
	/* GOAWAY went both ways and no stream is left, or our own TERM. */
	if (k->stream && h2_done(k->h2))
		stream_finish(k->stream);
}

static void on_data(void *arg, struct sv data)
{
	struct link *k = arg;
	struct err e;
	int r;

	k->heard_ms = loop_now_ms(k->client->loop);
	k->pinged = false;
	r = h2_recv(k->h2, data, k->heard_ms, &e);
	if (!k->stream) /* an event ended the client or this link */
		return;
	if (r < 0) {
		link_failed(k, r, &e);
		return;
	}
	if (h2_wants_write(k->h2))
		stream_kick(k->stream);
	watch_path(k);
	link_done(k);
}

static void on_fill(void *arg, struct buf *out)
{
	struct link *k = arg;

	h2_fill(k->h2, out);
	if (!k->stream)
		return;
	watch_path(k);
	link_done(k);
}

static void on_stream_end(void *arg, int status, const struct err *e)
{
	struct link *k = arg;
	struct err closed;

	if (status == 0) {
		status = -ECONNRESET;
		e = &closed;
		(void)err_set(&closed, status, "the server closed the connection");
	}
	link_failed(k, status, e);
}

static const struct stream_events stream_events = {
	.on_data = on_data, /* never on_up: it came while dialling */
	.on_fill = on_fill,
	.on_end = on_stream_end,
};

/* Dialling */

static void on_dialled(void *arg, int status, struct stream *stream, const struct err *e)
{
	struct link *k = arg;
	struct err no_h2;

	k->dial = NULL;
	if (status < 0) {
		link_failed(k, status, e);
		return;
	}
	k->stream = stream;
	if (stream_tls(stream) && !sv_eqs(tls_session_alpn(stream_tls(stream)), "h2")) {
		(void)err_set(&no_h2, -EPROTO, "the server does not speak HTTP/2");
		link_failed(k, -EPROTO, &no_h2);
		return;
	}
	k->state = LINK_SHAKING;
	k->heard_ms = loop_now_ms(k->client->loop);
	stream_kick(k->stream);
}

static void link_new(struct h2_client *h)
{
	struct link *k = MEM_NEW(struct link);
	struct h2_conf conf = {
		.client = true,
		.stream_window = H2_CLIENT_WINDOW,
		.conn_window = CONN_WINDOW,
		.headers_max = HEADERS_MAX,
		.events = &h2_events,
		.arg = k,
	};
	uint32_t ms = or_default(h->conf.connect_ms, CONNECT_MS);
	struct dial_target target;

	must(!h->link);
	h->link = k;
	k->client = h;
	k->h2 = h2_new(&conf);
	loop_timer_init(&k->timer, h->loop, on_ping_timer, k);
	loop_timer_set(&h->timer, ms);
	set_state(h, H2_CLIENT_CONNECTING);
	target = (struct dial_target){ .host = h->conf.host,
				       .port = h->conf.port,
				       .unix_path = h->conf.unix_path,
				       .tls = h->conf.tls,
				       .resolve = h->conf.resolve,
				       .limit_ms = ms };
	k->dial = dial_start(h->loop, &target, &stream_events, on_dialled, k);
}

static void link_release(void *obj)
{
	struct link *k = obj;

	h2_free(&k->h2);
	mem_free(k);
}

/* Ends the requests on it with `status`. */
static void link_free(struct link *k, int status)
{
	struct h2_client *h = k->client;

	k->status = status;
	if (k->state == LINK_RETIRED) {
		list_remove(&k->node);
		h->old_n--;
	} else {
		must(h->link == k);
		h->link = NULL;
		loop_timer_stop(&h->timer);
		set_state(h, H2_CLIENT_IDLE);
	}
	dial_cancel(&k->dial);
	loop_timer_stop(&k->timer);
	stream_free(&k->stream);
	h2_abort(k->h2);
	loop_defer_free(h->loop, k, link_release);
}

static void note_failure(struct h2_client *h, int status, const struct err *e)
{
	struct sv where = sv_str(h->conf.unix_path ? h->conf.unix_path : h->authority);

	h->last_status = status;
	h->stats.failures++;
	(void)snprintf(h->stats.last_error, sizeof(h->stats.last_error), SV_FMT ": %s",
		       SV_ARG(where), e ? err_text(e) : strerror(-status));
}

/* Nobody lost anything by its end. One that never was of use to those who wait is not idle. */
static bool is_idle(const struct link *k)
{
	return k->state == LINK_UP && !h2_streams(k->h2) &&
	       (k->finished || lived_long(k) || list_empty(&k->client->queue));
}

/* The connection is over. Only one that somebody waits for, or that failed, costs a wait. */
static void link_failed(struct link *k, int status, const struct err *e)
{
	struct h2_client *h = k->client;
	bool current = h->link == k, idle = is_idle(k);

	/* A server may close what nobody uses. */
	if (current && !idle)
		note_failure(h, status, e);
	if (k->state == LINK_UP && lived_long(k))
		backoff_reset(&h->backoff);
	link_free(k, status);
	if (current && !idle)
		hold_off(h);
	pump_soon(h);
}

static void on_client_timer(void *arg)
{
	struct h2_client *h = arg;
	struct err e;

	if (h->link) {
		(void)err_set(&e, -ETIMEDOUT, "no connection after %u ms",
			      or_default(h->conf.connect_ms, CONNECT_MS));
		link_failed(h->link, -ETIMEDOUT, &e);
		return;
	}
	set_state(h, H2_CLIENT_IDLE);
	pump_soon(h);
}

/* The pump: queue -> streams */

static bool start(struct link *k, struct h2_request *r)
{
	bool end = !r->conf.body.n;

	if (h2_request(k->h2, &r->stream, r->conf.headers, r->conf.headers_n, end) < 0) {
		/* Refused by a GOAWAY, ours for what it did included, or its ids are used up. */
		give_up(k);
		h2_goaway(k->h2, H2_NO_ERROR);
		return false;
	}
	r->link = k;
	list_remove(&r->node);
	list_push(&k->client->sent, &r->node);
	if (!end) {
		h2_write(&r->stream, r->conf.body);
		h2_end(&r->stream, NULL, 0);
	}
	if (r->paused)
		h2_pause(&r->stream, true);
	return true;
}

static void on_pump(void *arg)
{
	struct h2_client *h = arg;
	struct link *k = h->link;
	size_t max;

	if (list_empty(&h->queue)) {
		if (k && k->state == LINK_UP)
			watch_path(k);
		return;
	}
	if (!k) {
		if (!loop_timer_armed(&h->timer))
			link_new(h);
		return;
	}
	if (k->state != LINK_UP)
		return;
	max = MIN(h2_peer_streams_max(k->h2), (uint32_t)STREAMS_MAX);
	while (!list_empty(&h->queue) && h2_streams(k->h2) < max)
		if (!start(k, list_entry(h->queue.next, struct h2_request, node)))
			return;
	watch_path(k);
}

/* The client */

static char *make_authority(const struct h2_client_conf *c)
{
	if (c->authority)
		return mem_strdup(c->authority);
	if (c->unix_path)
		return mem_strdup("localhost");
	if (strchr(c->host, ':') && c->host[0] != '[')
		return mem_printf("[%s]:%u", c->host, c->port);
	return mem_printf("%s:%u", c->host, c->port);
}

struct h2_client *h2_client_new(struct loop *l, const struct h2_client_conf *conf)
{
	struct h2_client *h = MEM_NEW(struct h2_client);

	must(conf->unix_path || conf->host);
	h->loop = l;
	h->conf = *conf;
	h->conf.host = mem_strdup(conf->host);
	h->conf.unix_path = mem_strdup(conf->unix_path);
	h->conf.authority = NULL;
	h->authority = make_authority(conf);
	list_init(&h->old);
	list_init(&h->queue);
	list_init(&h->sent);
	loop_task_init(&h->pump, l, LOOP_TICK, on_pump, h);
	loop_task_init(&h->tell, l, LOOP_TICK, on_tell, h);
	loop_timer_init(&h->timer, l, on_client_timer, h);
	backoff_init(&h->backoff, or_default(conf->backoff_first_ms, BACKOFF_FIRST_MS),
		     or_default(conf->backoff_cap_ms, BACKOFF_CAP_MS));
	return h;
}

static void client_release(void *obj)
{
	struct h2_client *h = obj;

	mem_free((char *)(uintptr_t)h->conf.host);
	mem_free((char *)(uintptr_t)h->conf.unix_path);
	mem_free(h->authority);
	mem_free(h);
}

void h2_client_free(struct h2_client **hp)
{
	struct h2_client *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	h->dead = true;
	h->on_state = NULL;
	while (!list_empty(&h->queue))
		request_release(list_entry(h->queue.next, struct h2_request, node));
	list_for_each (n, &h->sent) {
		struct h2_request *r = list_entry(n, struct h2_request, node);

		loop_timer_stop(&r->timer);
		r->over = true;
	}
	if (h->link)
		link_free(h->link, -ECANCELED);
	while (!list_empty(&h->old))
		link_free(list_entry(h->old.next, struct link, node), -ECANCELED);
	loop_timer_stop(&h->timer);
	loop_task_stop(&h->pump);
	loop_task_stop(&h->tell);
	loop_defer_free(h->loop, h, client_release);
}

void h2_client_renew(struct h2_client *h)
{
	struct link *k = h->link;

	if (!k)
		return;
	if (k->state == LINK_UP) {
		retire(k);
		h2_goaway(k->h2, H2_NO_ERROR);
	} else {
		link_free(k, -ECANCELED);
	}
	pump_soon(h);
}

struct loop *h2_client_loop(const struct h2_client *h)
{
	return h->loop;
}

const struct h2_client_stats *h2_client_stats(const struct h2_client *h)
{
	return &h->stats;
}

void h2_client_on_state(struct h2_client *h, void (*fn)(void *arg, enum h2_client_state s),
			void *arg)
{
	h->on_state = fn;
	h->on_state_arg = arg;
}
