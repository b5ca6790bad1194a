#include "transport/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/mem.h"
#include "transport/fair.h"
#include "transport/sock.h"

/*
 * evhttp accepts, parses and closes by itself; it knows neither a limit of connections nor of a
 * request's whole time, only of the silence between two bytes. So we keep a register of the
 * connections it made, and end one by shutdown(), which evhttp sees as the peer's end.
 *
 * evhttp does not say when it closes one. A socket's inode number does: the entry is over when its
 * descriptor is closed or belongs to another socket.
 */
enum {
	CONNECTIONS_MAX = 64,
	HEADERS_MAX = 8192,
	BODY_OUT_MAX = 16 * 1024 * 1024, /* a page of metrics has 100 kB */
	/* Of what a client sends ahead: evhttp reads on while an answer is being written. */
	INPUT_MAX = 2 * HEADERS_MAX,
	SILENCE_S = 10,
	/* From accept, or from the last answer, to the next whole request: the allowed silence
	 * before it and then 10 s for it. */
	REQUEST_MS = 20000,
	/* Of one turn: who comes with a crowd is heard before the crowd has taken its place. */
	ACCEPTS_MAX = 16,
	ACCEPT_PAUSE_MS = 100, /* out of descriptors */
	SHY_MS = 1000,	       /* a client that wants something asks sooner */
	ROUTES_MAX = 16,
	LISTENERS_MAX = 4,
};

/*
 * evhttp's listener spins when descriptors run out, and its error callback cannot tell whose it is.
 * So it is enabled for one turn at a time, when our own watch of the same descriptor says so.
 */
struct listener {
	struct http *http;
	struct sock_listener sock;
	struct evconnlistener *ev; /* owned by evhttp */
	struct loop_io io;
	struct loop_timer shut; /* end of evhttp's turn, or of a pause */
	size_t accepted_before;
	bool open;
};

struct entry {
	int fd;
	ino_t ino;
	uint64_t since_ms, peer;
};

struct http {
	struct loop *loop;
	struct evhttp *ev;
	struct http_route routes[ROUTES_MAX];
	size_t routes_n;
	struct listener listeners[LISTENERS_MAX];
	size_t listeners_n;
	struct entry entries[CONNECTIONS_MAX];
	size_t entries_n;
	struct bufferevent *fresh[CONNECTIONS_MAX]; /* held, from evhttp's accept to our task */
	size_t fresh_n;
	struct loop_task task;
	struct loop_timer sweep;
	size_t accepted;
	uint64_t warned_ms, failed_ms; /* of a crowd, of a failing accept */
};

/* The register of connections */

static bool is_alive(const struct entry *e)
{
	struct stat st;

	return fstat(e->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == e->ino;
}

static void forget_closed(struct http *h)
{
	size_t i;

	for (i = h->entries_n; i-- > 0;)
		if (!is_alive(&h->entries[i]))
			h->entries[i] = h->entries[--h->entries_n];
}

static void on_sweep(void *arg)
{
	struct http *h = arg;
	uint64_t now = loop_now_ms(h->loop);
	size_t i;

	forget_closed(h);
	for (i = 0; i < h->entries_n; i++)
		if (now - h->entries[i].since_ms >= REQUEST_MS)
			(void)shutdown(h->entries[i].fd, SHUT_RDWR);
	if (h->entries_n)
		loop_timer_set(&h->sweep, REQUEST_MS / 4);
}

/* Of the peer with most connections the one whose accept or last whole request is longest ago. */
static void make_room(struct http *h, uint64_t newcomer)
{
	struct fair_place places[CONNECTIONS_MAX];
	bool greedy;
	size_t i;

	for (i = 0; i < h->entries_n; i++)
		places[i] = (struct fair_place){ h->entries[i].peer, h->entries[i].since_ms, 0 };
	i = fair_victim(places, h->entries_n, newcomer, &greedy);
	if (!greedy && loop_now_ms(h->loop) - places[i].since_ms < SHY_MS)
		return;
	(void)shutdown(h->entries[i].fd, SHUT_RDWR);
	h->entries[i] = h->entries[--h->entries_n];
}

static void turn_away(struct http *h, int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
	if (sock_may_complain(&h->warned_ms, loop_now_ms(h->loop)))
		log_warn("too many HTTP connections", LOG_I("connections", h->entries_n));
}

static void enter(struct http *h, int fd)
{
	struct stat st;

	if (h->entries_n == CONNECTIONS_MAX)
		forget_closed(h);
	if (h->entries_n == CONNECTIONS_MAX)
		make_room(h, sock_peer(fd));
	if (h->entries_n == CONNECTIONS_MAX || fstat(fd, &st) < 0) {
		turn_away(h, fd);
		return;
	}
	h->entries[h->entries_n++] =
	    (struct entry){ fd, st.st_ino, loop_now_ms(h->loop), sock_peer(fd) };
	if (!loop_timer_armed(&h->sweep))
		loop_timer_set(&h->sweep, REQUEST_MS / 4);
}

static void on_task(void *arg)
{
	struct http *h = arg;
	bufferevent_data_cb read_cb;
	struct bufferevent *bev;

	while (h->fresh_n) {
		bev = h->fresh[--h->fresh_n];
		/* Given up by evhttp at once: it has no callbacks any more, its descriptor may be
		 * another's. */
		bufferevent_getcb(bev, &read_cb, NULL, NULL, NULL);
		if (read_cb)
			enter(h, bufferevent_getfd(bev));
		(void)bufferevent_decref(bev);
	}
}

/* evhttp would accept as long as anybody comes. */
static void pause_accepting(struct http *h)
{
	for (size_t i = 0; i < h->listeners_n; i++)
		if (h->listeners[i].open &&
		    h->accepted - h->listeners[i].accepted_before >= ACCEPTS_MAX)
			(void)evconnlistener_disable(h->listeners[i].ev);
}

/* evhttp asks for each connection's bufferevent: the only word it gives of a new one. */
static struct bufferevent *on_accepted(struct event_base *base, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct http *h = arg;

	must(bev);
	bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
	if (h->fresh_n == CONNECTIONS_MAX)
		on_task(h);
	h->accepted++;
	pause_accepting(h);
	bufferevent_incref(bev);
	h->fresh[h->fresh_n++] = bev;
	loop_task_post(&h->task);
	return bev;
}

static void note_request(struct http *h, struct evhttp_request *req)
{
	int fd = bufferevent_getfd(
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(req)));
	size_t i;

	for (i = 0; i < h->entries_n; i++)
		if (h->entries[i].fd == fd)
			h->entries[i].since_ms = loop_now_ms(h->loop);
}

/* Requests */

static void free_body(const void *data, size_t n, void *arg)
{
	(void)n;
	(void)arg;
	mem_free((void *)(uintptr_t)data);
}

static struct sv weak(struct sv tag)
{
	return sv_starts(tag, SV("W/")) ? sv_drop(tag, 2) : tag;
}

/* RFC 9110 13.1.2: a list or "*", compared weakly. Our tags hold no comma. */
static bool has_already(struct evhttp_request *req, const struct http_reply *reply)
{
	const char *list =
	    evhttp_find_header(evhttp_request_get_input_headers(req), "If-None-Match");
	struct sv rest, tag;

	if (!*reply->etag || reply->status != 200 || !list)
		return false;
	for (rest = sv_str(list); rest.n;) {
		tag = sv_trim(sv_cut(&rest, ','));
		if (sv_eqs(tag, "*") || sv_eq(weak(tag), weak(sv_str(reply->etag))))
			return true;
	}
	return false;
}

static void put_headers(struct evkeyvalq *headers, const struct http_reply *reply)
{
	const char *const *more = reply->headers;

	must(evhttp_add_header(headers, "Content-Type", reply->content_type) == 0);
	must(evhttp_add_header(headers, "X-Content-Type-Options", "nosniff") == 0);
	if (*reply->etag)
		must(evhttp_add_header(headers, "ETag", reply->etag) == 0);
	for (; more && more[0]; more += 2)
		must(evhttp_add_header(headers, more[0], more[1]) == 0);
}

static void send_reply(struct evhttp_request *req, const struct http_reply *reply)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	size_t n = buf_len(reply->body);
	char length[24];

	put_headers(headers, reply);
	if (has_already(req, reply)) {
		evhttp_send_reply(req, 304, NULL, NULL);
		return;
	}
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
		/* evhttp would send the body along. */
		(void)snprintf(length, sizeof(length), "%zu", n);
		must(evhttp_add_header(headers, "Content-Length", length) == 0);
		n = 0;
	}
	if (n)
		must(evbuffer_add_reference(out, buf_steal(reply->body), n, free_body, NULL) == 0);
	evhttp_send_reply(req, reply->status, NULL, NULL);
}

static const struct http_route *find_route(const struct http *h, const char *path)
{
	size_t i;

	for (i = 0; i < h->routes_n; i++)
		if (strcmp(h->routes[i].path, path) == 0)
			return &h->routes[i];
	return NULL;
}

/*
 * Nobody has a reason to send a body, and evhttp and a proxy in front of it may disagree on where
 * one ends (RFC 9112 11.2): what follows is not taken for a request.
 */
static bool announces_body(struct evhttp_request *req)
{
	const struct evkeyval *kv;

	for (kv = evhttp_request_get_input_headers(req)->tqh_first; kv; kv = kv->next.tqe_next)
		if (!strcasecmp(kv->key, "Transfer-Encoding") ||
		    (!strcasecmp(kv->key, "Content-Length") && strcmp(kv->value, "0") != 0))
			return true;
	return false;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
	struct http_reply reply = { .status = 200, .content_type = "text/plain; charset=utf-8" };
	const struct http_route *route;
	struct http *h = arg;
	struct buf body;

	loop_foreign_begin(h->loop);
	note_request(h, req);
	buf_init(&body, BODY_OUT_MAX);
	reply.body = &body;
	route = path ? find_route(h, path) : NULL;
	if (announces_body(req)) {
		reply.status = 400;
		buf_puts(&body, "a request here has no body\n");
		must(evhttp_add_header(evhttp_request_get_output_headers(req), "Connection",
				       "close") == 0);
	} else if (route) {
		route->fn(route->ctx, query ? query : "", &reply);
	} else {
		reply.status = 404;
		buf_puts(&body, "not found\n");
	}
	if (body.full) {
		log_error("an HTTP answer was too long", LOG_S("path", path));
		reply.status = 500;
		buf_clear(&body);
	}
	send_reply(req, &reply);
	buf_done(&body);
	loop_foreign_end(h->loop, route ? route->path : "http.c:not found");
}

/* Listening */

static void on_acceptable(void *arg, unsigned ready)
{
	struct listener *l = arg;

	(void)ready;
	loop_io_want(&l->io, 0);
	l->open = true;
	l->accepted_before = l->http->accepted;
	(void)evconnlistener_enable(l->ev);
	loop_timer_set(&l->shut, 1); /* a whole turn later: due now would run in this one */
}

static void on_shut(void *arg)
{
	struct listener *l = arg;
	struct http *h = l->http;

	if (!l->open || h->accepted != l->accepted_before) {
		loop_io_want(&l->io, LOOP_READ);
	} else {
		/* Out of descriptors, or the client left again. */
		if (sock_may_complain(&h->failed_ms, loop_now_ms(h->loop)))
			log_warn("an HTTP connection could not be accepted, is a descriptor free?");
		loop_timer_set(&l->shut, ACCEPT_PAUSE_MS);
	}
	l->open = false;
	(void)evconnlistener_disable(l->ev);
}

/* `arg` is evhttp's own, so on_shut() complains, which knows whose it is. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
	(void)arg;
	(void)evconnlistener_disable(ev);
}

static void add_listener(struct http *h, const struct sock_listener *sock)
{
	struct listener *l = &h->listeners[h->listeners_n++];

	l->http = h;
	l->sock = *sock;
	l->ev = evconnlistener_new(loop_base(h->loop), NULL, NULL,
				   LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, sock->fd);
	must(l->ev && evhttp_bind_listener(h->ev, l->ev));
	evconnlistener_set_error_cb(l->ev, on_accept_error);
	(void)evconnlistener_disable(l->ev);
	loop_timer_init(&l->shut, h->loop, on_shut, l);
	loop_io_init(&l->io, h->loop, sock->fd, on_acceptable, l);
	loop_io_want(&l->io, LOOP_READ);
}

/* "host:port", ":port", "[v6]:port". */
static int parse_endpoint(const char *endpoint, char *host, size_t size, uint16_t *port,
			  struct err *e)
{
	const char *colon = strrchr(endpoint, ':');
	uint64_t v;

	if (!colon || sv_u64(sv_str(colon + 1), &v) < 0 || v > UINT16_MAX ||
	    !sv_copy(host, size, sv_make(endpoint, (size_t)(colon - endpoint))))
		return err_set(e, -EINVAL, "%s is not host:port", endpoint);
	*port = (uint16_t)v;
	return 0;
}

int http_listen(struct http *h, const char *endpoint, uint16_t *port, struct err *e)
{
	struct sock_listener sock;
	uint16_t chosen;
	char host[128];
	int r;

	must(h->listeners_n < LISTENERS_MAX);
	r = parse_endpoint(endpoint, host, sizeof(host), &chosen, e);
	if (r < 0)
		return r;
	r = sock_listen_tcp(&sock, host, &chosen, e);
	if (r < 0)
		return r;
	if (port)
		*port = chosen;
	add_listener(h, &sock);
	return 0;
}

int http_listen_unix(struct http *h, const char *path, unsigned mode, struct err *e)
{
	struct sock_listener sock;
	int r;

	must(h->listeners_n < LISTENERS_MAX);
	r = sock_listen_unix(&sock, path, mode, e);
	if (r == 0)
		add_listener(h, &sock);
	return r;
}

/* The whole */

struct http *http_new(struct loop *l)
{
	struct http *h = MEM_NEW(struct http);

	h->loop = l;
	h->ev = evhttp_new(loop_base(l));
	must(h->ev);
	evhttp_set_gencb(h->ev, on_request, h);
	evhttp_set_bevcb(h->ev, on_accepted, h);
	evhttp_set_allowed_methods(h->ev, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->ev, HEADERS_MAX);
	evhttp_set_max_body_size(h->ev, 0);
	evhttp_set_timeout(h->ev, SILENCE_S);
	loop_task_init(&h->task, l, LOOP_TICK, on_task, h);
	loop_timer_init(&h->sweep, l, on_sweep, h);
	return h;
}

static void release(void *obj)
{
	struct http *h = obj;

	evhttp_free(h->ev); /* with its listeners and connections */
	mem_free(h);
}

void http_free(struct http **hp)
{
	struct http *h = *hp;
	size_t i;

	*hp = NULL;
	if (!h)
		return;
	loop_task_stop(&h->task);
	loop_timer_stop(&h->sweep);
	while (h->fresh_n)
		(void)bufferevent_decref(h->fresh[--h->fresh_n]);
	for (i = 0; i < h->listeners_n; i++) {
		loop_timer_stop(&h->listeners[i].shut);
		loop_io_done(&h->listeners[i].io);
		(void)evconnlistener_disable(h->listeners[i].ev);
		h->listeners[i].sock.fd = -1; /* evhttp closes it */
		sock_listener_done(&h->listeners[i].sock);
	}
	loop_defer_free(h->loop, h, release);
}

void http_add(struct http *h, const struct http_route *route)
{
	must(h->routes_n < ROUTES_MAX);
	h->routes[h->routes_n++] = *route;
}
