#include "transport/h2_server.h"

#include <errno.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "transport/fair.h"
#include "transport/sock.h"
#include "transport/stream.h"
#include "transport/tls.h"

enum {
	STREAMS_MAX = 1024,
	CONNECTIONS_MAX = 64,
	QUEUED_MAX = 16 * 1024 * 1024,
	QUEUED_ALL_MAX = 32 * 1024 * 1024, /* of all connections: each at its own would be 1 GiB */
	LISTENERS_MAX = 8,
	STREAM_WINDOW = 256 * 1024, /* a message of 4 MiB takes 16 round trips, not 64 */
	CONN_WINDOW = 1024 * 1024,
	ACCEPTS_MAX = 16,      /* per turn */
	SHY_MS = 1000,	       /* a real client says hello in a few */
	ACCEPT_PAUSE_MS = 100, /* no descriptors left: look again later instead of spinning */
};

struct listener {
	struct sock_listener sock;
	struct loop_io io;
	struct loop_timer pause;
	struct h2_server *server;
	struct tls_server *tls; /* not owned */
};

/*
 * Freed in two steps: conn_free() takes the stream away, the rest goes at the end of the turn,
 * since an event of this very connection may have asked for it.
 *
 *   HELLO -> OPEN -> NOTICE -> LEAVING -> CLOSING
 * NOTICE: the first GOAWAY is out, its PING is not back. LEAVING: the second is out, calls finish.
 * CLOSING: output drains; no calls are left. Any state may end by the peer's leave.
 */
enum conn_state { CONN_HELLO, CONN_OPEN, CONN_NOTICE, CONN_LEAVING, CONN_CLOSING };

struct conn {
	struct list node;
	struct h2_server *server;
	struct stream *stream;
	struct h2 *h2;
	struct loop_timer timer;
	uint64_t idle_since_ms, peer;
	enum conn_state state;
};

struct h2_call {
	struct h2_stream stream;
	struct conn *conn;
	void *user;
};

struct h2_server {
	struct loop *loop;
	struct h2_server_conf conf;
	struct listener *listeners[LISTENERS_MAX];
	size_t listeners_n;
	struct list conns;
	size_t conns_n, calls_n;
	size_t closing_n; /* of conns_n: have no calls and end within a second or a stall */
	bool draining;
	uint64_t warned_ms, failed_ms; /* of a crowd at the door, of a failing accept */
	void (*idle)(void *arg);
	void *idle_arg;
	struct loop_task idle_task;
	struct loop_task shed; /* connections, when unread answers are too many */
};

static void check_idle(struct h2_server *s)
{
	if (s->idle && !s->conns_n)
		loop_task_post(&s->idle_task);
}

static void on_idle_task(void *arg)
{
	struct h2_server *s = arg;
	void (*idle)(void *arg) = s->idle;

	s->idle = NULL;
	if (idle)
		idle(s->idle_arg);
}

/* Connections */

static void conn_release(void *obj)
{
	struct conn *c = obj;

	h2_free(&c->h2);
	mem_free(c);
}

static void conn_free(struct conn *c)
{
	struct h2_server *s = c->server;

	loop_timer_stop(&c->timer);
	list_remove(&c->node);
	s->conns_n--;
	if (c->state == CONN_CLOSING)
		s->closing_n--;
	stream_free(&c->stream);
	h2_abort(c->h2);
	loop_defer_free(s->loop, c, conn_release);
	check_idle(s);
}

static void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSING)
		return;
	c->state = CONN_CLOSING;
	c->server->closing_n++;
	loop_timer_stop(&c->timer);
	stream_finish(c->stream);
}

static void conn_step(struct conn *c)
{
	if (h2_done(c->h2))
		conn_close(c);
}

/* A header block that began has to end; while nothing is begun there is no timer. */
static void watch_block(struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	if (!h2_mid_block(c->h2))
		loop_timer_stop(&c->timer);
	else if (!loop_timer_armed(&c->timer))
		loop_timer_set(&c->timer, H2_SERVER_HELLO_MS);
}

static void conn_leave(struct conn *c)
{
	c->state = CONN_LEAVING;
	loop_timer_stop(&c->timer);
	h2_goaway(c->h2, H2_NO_ERROR);
}

static void on_conn_timer(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_NOTICE)
		conn_leave(c);
	else
		conn_free(c);
}

static void on_data(void *arg, struct sv data)
{
	struct conn *c = arg;
	struct err e;
	int r;

	r = h2_recv(c->h2, data, loop_now_ms(c->server->loop), &e);
	if (!c->stream) /* an event ended the server */
		return;
	if (r < 0) {
		log_debug("connection broken", LOG_S("error", e.text));
		h2_abort(c->h2);
		conn_close(c);
		return;
	}
	watch_block(c);
	if (h2_wants_write(c->h2))
		stream_kick(c->stream);
	conn_step(c);
}

static void on_fill(void *arg, struct buf *out)
{
	struct conn *c = arg;

	h2_fill(c->h2, out);
	if (c->stream)
		conn_step(c);
}

static void on_up(void *arg)
{
	struct conn *c = arg;

	if (!sv_eqs(tls_session_alpn(stream_tls(c->stream)), "h2"))
		conn_close(c);
}

static void on_stream_end(void *arg, int status, const struct err *e)
{
	struct conn *c = arg;

	if (status < 0)
		log_debug("connection lost", LOG_S("error", err_text(e)));
	conn_free(c);
}

static const struct stream_events stream_events = {
	.on_up = on_up,
	.on_data = on_data,
	.on_fill = on_fill,
	.on_end = on_stream_end,
};

/* HTTP/2 events */

static struct h2_stream *on_open(void *arg)
{
	struct conn *c = arg;
	struct h2_call *call;

	if (c->state == CONN_CLOSING)
		return NULL;
	call = MEM_NEW(struct h2_call);
	call->conn = c;
	c->server->calls_n++;
	return &call->stream;
}

static struct h2_call *call_of(struct h2_stream *s)
{
	return container_of(s, struct h2_call, stream);
}

static void on_headers(void *arg, struct h2_stream *s, const struct h2_header *h, size_t n,
		       bool trailers)
{
	const struct h2_server_conf *conf = &((struct conn *)arg)->server->conf;
	struct h2_head head = { .headers = h, .n = n };
	size_t i;

	if (trailers)
		return; /* no method of ours reads a request's trailers */
	for (i = 0; i < n && h[i].name.p[0] == ':'; i++) {
		if (sv_eqs(h[i].name, ":method"))
			head.method = h[i].value;
		else if (sv_eqs(h[i].name, ":scheme"))
			head.scheme = h[i].value;
		else if (sv_eqs(h[i].name, ":path"))
			head.path = h[i].value;
		else
			head.authority = h[i].value;
	}
	conf->events->on_head(conf->arg, call_of(s), &head);
}

static void on_body(void *arg, struct h2_stream *s, struct sv data)
{
	const struct h2_server_conf *conf = &((struct conn *)arg)->server->conf;

	conf->events->on_data(conf->arg, call_of(s), data);
}

static void on_body_end(void *arg, struct h2_stream *s)
{
	const struct h2_server_conf *conf = &((struct conn *)arg)->server->conf;

	conf->events->on_end(conf->arg, call_of(s));
}

static void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
	struct conn *c = arg;
	const struct h2_server_conf *conf = &c->server->conf;
	struct h2_call *call = call_of(s);

	(void)code;
	c->idle_since_ms = loop_now_ms(c->server->loop);
	c->server->calls_n--;
	conf->events->on_gone(conf->arg, call);
	loop_defer_free(c->server->loop, call, mem_free);
}

static void on_settings(void *arg)
{
	struct conn *c = arg;

	if (c->state != CONN_HELLO)
		return;
	c->state = CONN_OPEN;
	loop_timer_stop(&c->timer);
}

static void on_goaway(void *arg, uint32_t code, struct sv text)
{
	(void)arg;
	if (code != H2_NO_ERROR)
		log_debug("the client left", LOG_I("code", code), LOG_SV("text", text));
}

static void on_pong(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_NOTICE)
		conn_leave(c);
}

static void on_output(void *arg)
{
	struct conn *c = arg;

	stream_kick(c->stream);
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

static void conn_new(struct h2_server *s, int fd, struct tls_server *tls)
{
	struct conn *c = MEM_NEW(struct conn);
	struct h2_conf conf = {
		.streams_max = s->conf.streams_max,
		.stream_window = STREAM_WINDOW,
		.conn_window = CONN_WINDOW,
		.headers_max = H2_SERVER_HEADERS_MAX,
		.events = &h2_events,
		.arg = c,
	};

	c->server = s;
	c->idle_since_ms = loop_now_ms(s->loop);
	c->peer = sock_peer(fd);
	list_push(&s->conns, &c->node);
	s->conns_n++;
	loop_timer_init(&c->timer, s->loop, on_conn_timer, c);
	loop_timer_set(&c->timer, H2_SERVER_HELLO_MS);
	c->h2 = h2_new(&conf);
	c->stream =
	    stream_new(s->loop, fd, false, tls ? tls_server_session(tls) : NULL, &stream_events, c);
	stream_kick(c->stream);
}

/* Accepting */

/* Who has said nothing goes before who has nothing to say, and that before who is served. */
enum { RANK_SILENT, RANK_IDLE, RANK_BUSY };

static unsigned rank_of(const struct conn *c, uint64_t now)
{
	if (h2_streams(c->h2))
		return RANK_BUSY;
	if (c->state == CONN_OPEN)
		return RANK_IDLE;
	return c->state == CONN_HELLO && now - c->idle_since_ms >= SHY_MS ? RANK_SILENT : RANK_BUSY;
}

/* NULL: nobody has more than a share, and all have something to do. */
static struct conn *who_goes(const struct h2_server *s, uint64_t newcomer)
{
	size_t n = 0, at, open = s->conns_n - s->closing_n;
	struct fair_place *places = mem_calloc(open, sizeof(*places));
	struct conn **conns = mem_calloc(open, sizeof(*conns)), *victim = NULL;
	uint64_t now = loop_now_ms(s->loop);
	bool greedy;

	list_for_each (i, &s->conns) {
		struct conn *c = list_entry(i, struct conn, node);

		if (c->state == CONN_CLOSING)
			continue;
		places[n] = (struct fair_place){ c->peer, c->idle_since_ms, rank_of(c, now) };
		conns[n++] = c;
	}
	at = fair_victim(places, n, newcomer, &greedy);
	if (greedy || places[at].rank != RANK_BUSY)
		victim = conns[at];
	mem_free(places);
	mem_free(conns);
	return victim;
}

static bool make_room(struct h2_server *s, uint64_t newcomer)
{
	size_t max = s->conf.connections_max;
	struct conn *c;

	if (s->conns_n - s->closing_n < max)
		return true;
	c = who_goes(s, newcomer);
	if (!c)
		return false;
	if (c->state != CONN_OPEN || h2_streams(c->h2) || s->conns_n >= 2 * max) {
		conn_free(c);
		return true;
	}
	/* What it may be sending just now was not seen, and GOAWAY says so. */
	h2_goaway(c->h2, H2_NO_ERROR);
	conn_close(c);
	return true;
}

static bool peer_allowed(const struct h2_server *s, const struct listener *l, int fd)
{
	uid_t uid;

	if (!s->conf.root_only || !l->sock.path[0])
		return true;
	return sock_peer_uid(fd, &uid) == 0 && (uid == 0 || uid == geteuid());
}

static void turn_away(struct listener *l, int *fd, const char *why)
{
	struct h2_server *s = l->server;

	sock_close(fd);
	if (!sock_may_complain(&s->warned_ms, loop_now_ms(s->loop)))
		return;
	log_warn("a connection was turned away", LOG_S("why", why), LOG_S("socket", l->sock.path),
		 LOG_I("connections", s->conns_n));
}

static void admit(struct listener *l, int fd)
{
	struct h2_server *s = l->server;

	if (!peer_allowed(s, l, fd)) {
		turn_away(l, &fd, "the peer is not root");
	} else if (!make_room(s, sock_peer(fd))) {
		turn_away(l, &fd, "too many, all busy");
	} else {
		conn_new(s, fd, l->tls);
	}
}

static void on_acceptable(void *arg, unsigned ready)
{
	struct listener *l = arg;
	struct h2_server *s = l->server;
	int i, fd, r = 0;

	(void)ready;
	for (i = 0; i < ACCEPTS_MAX; i++) {
		r = sock_accept(&l->sock, &fd);
		if (r < 0)
			break;
		admit(l, fd);
	}
	if (r < 0 && sock_accept_exhausted(r)) {
		if (sock_may_complain(&s->failed_ms, loop_now_ms(s->loop)))
			log_error("cannot accept connections", LOG_S("error", strerror(-r)));
		loop_io_want(&l->io, 0);
		loop_timer_set(&l->pause, ACCEPT_PAUSE_MS);
	}
}

static void on_pause_over(void *arg)
{
	struct listener *l = arg;

	loop_io_want(&l->io, LOOP_READ);
}

static void listener_free(struct listener *l)
{
	loop_timer_stop(&l->pause);
	loop_io_done(&l->io);
	sock_listener_done(&l->sock);
	loop_defer_free(l->server->loop, l, mem_free);
}

static void listener_new(struct h2_server *s, const struct sock_listener *sock,
			 struct tls_server *tls)
{
	struct listener *l = MEM_NEW(struct listener);

	l->sock = *sock;
	l->server = s;
	l->tls = tls;
	loop_timer_init(&l->pause, s->loop, on_pause_over, l);
	loop_io_init(&l->io, s->loop, sock->fd, on_acceptable, l);
	loop_io_want(&l->io, LOOP_READ);
	s->listeners[s->listeners_n++] = l;
}

/* After a new one took its place: the file is not this one's any more. */
static void replace_listener(struct h2_server *s, const char *path)
{
	for (size_t i = 0; i < s->listeners_n; i++) {
		if (strcmp(s->listeners[i]->sock.path, path) != 0)
			continue;
		listener_free(s->listeners[i]);
		s->listeners[i] = s->listeners[--s->listeners_n];
		return;
	}
}

int h2_server_listen_unix(struct h2_server *s, const char *path, unsigned mode, struct err *e)
{
	struct sock_listener sock;
	int r;

	must(!s->draining);
	r = sock_listen_unix(&sock, path, mode, e);
	if (r)
		return r;
	replace_listener(s, path);
	must(s->listeners_n < LISTENERS_MAX);
	listener_new(s, &sock, NULL);
	return 0;
}

int h2_server_listen_tcp(struct h2_server *s, const char *host, uint16_t *port,
			 struct tls_server *tls, struct err *e)
{
	struct sock_listener sock;
	int r;

	must(s->listeners_n < LISTENERS_MAX && !s->draining);
	r = sock_listen_tcp(&sock, host, port, e);
	if (r == 0)
		listener_new(s, &sock, tls);
	return r;
}

void h2_server_adopt(struct h2_server *s, int fd)
{
	conn_new(s, fd, NULL);
}

/* The server */

/* All answers that wait; *most is who has most of them. */
static size_t queued_all(const struct h2_server *s, struct conn **most)
{
	size_t all = 0;

	*most = NULL;
	list_for_each (n, &s->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		all += h2_queued(c->h2);
		if (!*most || h2_queued(c->h2) > h2_queued((*most)->h2))
			*most = c;
	}
	return all;
}

static void on_shed(void *arg)
{
	struct h2_server *s = arg;
	struct conn *most;

	while (queued_all(s, &most) > QUEUED_ALL_MAX) {
		log_warn("answers that nobody reads are too many, a connection ends",
			 LOG_I("bytes", h2_queued(most->h2)));
		conn_free(most);
	}
}

struct h2_server *h2_server_new(struct loop *l, const struct h2_server_conf *conf)
{
	struct h2_server *s = MEM_NEW(struct h2_server);

	s->loop = l;
	s->conf = *conf;
	if (!s->conf.streams_max)
		s->conf.streams_max = STREAMS_MAX;
	if (!s->conf.connections_max)
		s->conf.connections_max = CONNECTIONS_MAX;
	if (!s->conf.queued_max)
		s->conf.queued_max = QUEUED_MAX;
	list_init(&s->conns);
	loop_task_init(&s->idle_task, l, LOOP_TICK, on_idle_task, s);
	loop_task_init(&s->shed, l, LOOP_TICK, on_shed, s);
	return s;
}

static void close_listeners(struct h2_server *s)
{
	while (s->listeners_n)
		listener_free(s->listeners[--s->listeners_n]);
}

void h2_server_free(struct h2_server **sp)
{
	struct h2_server *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	s->idle = NULL;
	close_listeners(s);
	while (!list_empty(&s->conns))
		conn_free(list_entry(s->conns.next, struct conn, node));
	loop_task_stop(&s->idle_task);
	loop_task_stop(&s->shed);
	loop_defer_free(s->loop, s, mem_free);
}

void h2_server_drain(struct h2_server *s, void (*idle)(void *arg), void *arg)
{
	must(!s->draining);
	s->draining = true;
	s->idle = idle;
	s->idle_arg = arg;
	close_listeners(s);
	list_for_each_safe (n, &s->conns) {
		struct conn *c = list_entry(n, struct conn, node);

		if (c->state == CONN_OPEN) {
			c->state = CONN_NOTICE;
			h2_goaway_soon(c->h2);
			h2_ping(c->h2);
			loop_timer_set(&c->timer, H2_SERVER_DRAIN_MS);
		} else if (c->state == CONN_HELLO) {
			conn_free(c);
		}
	}
	check_idle(s);
}

size_t h2_server_calls(const struct h2_server *s)
{
	return s->calls_n;
}

size_t h2_server_connections(const struct h2_server *s)
{
	return s->conns_n;
}

/* One call */

void h2_call_set_user(struct h2_call *c, void *user)
{
	c->user = user;
}

void *h2_call_user(const struct h2_call *c)
{
	return c->user;
}

void h2_call_respond(struct h2_call *c, int status, const struct h2_header *h, size_t n, bool end)
{
	h2_respond(&c->stream, status, h, n, end);
}

void h2_call_write(struct h2_call *c, struct sv data)
{
	struct h2_server *s = c->conn->server;
	struct h2 *h = c->stream.h2;
	struct conn *most;

	if (h && h2_queued(h) + data.n > s->conf.queued_max) {
		log_warn("a client reads no answers, its connection ends");
		h2_terminate(h, H2_ENHANCE_YOUR_CALM);
		h2_reset(&c->stream, H2_ENHANCE_YOUR_CALM);
		return;
	}
	h2_write(&c->stream, data);
	/* Later: its other calls may be answered just now. */
	if (h && queued_all(s, &most) > QUEUED_ALL_MAX)
		loop_task_post(&s->shed);
}

uint64_t h2_call_peer(const struct h2_call *c)
{
	return c->conn->peer;
}

size_t h2_call_queued(const struct h2_call *c)
{
	return buf_len(&c->stream.out);
}

void h2_call_end(struct h2_call *c, const struct h2_header *trailers, size_t n)
{
	h2_end(&c->stream, trailers, n);
}

void h2_call_reset(struct h2_call *c, uint32_t code)
{
	h2_reset(&c->stream, code);
}

void h2_call_pause(struct h2_call *c, bool paused)
{
	h2_pause(&c->stream, paused);
}
