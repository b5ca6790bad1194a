#pragma once
/*
 * HTTP/2 server: listeners, connections, and requests as calls that are answered now or later.
 * Knows nothing of gRPC: grpc_server sits on it, and so may any other HTTP/2 service.
 *
 * A connection must finish TLS, preface and SETTINGS in time and must not leave a header block
 * half sent. At connections_max the peer that holds most makes room for a newcomer (fair.h): with
 * one that has said nothing for a second, else with the one that is idle for longest, and with one
 * that is served only when it holds more than its share.
 * Idle connections have no timer: a kubelet keeps one open for days.
 */
#include "core/loop.h"
#include "transport/h2.h"

struct tls_server;
struct h2_server;
struct h2_call;

struct h2_head {
	struct sv method, scheme, path, authority;
	const struct h2_header *headers; /* all of them, pseudo fields too */
	size_t n;
};
/* Views are valid during the event. Events may call everything of this header. */
struct h2_server_events {
	void (*on_head)(void *arg, struct h2_call *c, const struct h2_head *head);
	void (*on_data)(void *arg, struct h2_call *c, struct sv data);
	void (*on_end)(void *arg, struct h2_call *c); /* the request is complete */
	/* Last event of every call that had on_head: answered, reset or lost. Then c is gone. */
	void (*on_gone)(void *arg, struct h2_call *c);
};
struct h2_server_conf {
	unsigned streams_max, connections_max; /* 0 = 1024 per connection, 64 */
	bool root_only;			       /* unix sockets: the peer's uid is 0 or ours */
	/* Answers of one connection that its peer does not read; beyond, it ends. 0 = 16 MiB. Of
	 * all together 32 MiB. */
	size_t queued_max;
	const struct h2_server_events *events;
	void *arg;
};
enum {
	H2_SERVER_HEADERS_MAX = 16 * 1024,
	H2_SERVER_HELLO_MS = 10000, /* TLS, preface and SETTINGS; later: one header block */
	H2_SERVER_DRAIN_MS = 1000,  /* for the PING between the two GOAWAYs */
};

struct h2_server *h2_server_new(struct loop *l, const struct h2_server_conf *conf);
void h2_server_free(struct h2_server **s); /* closes at once; on_gone for every call */
int h2_server_listen_unix(struct h2_server *s, const char *path, unsigned mode,
			  struct err *e) NODISCARD;
/* As grpc_server_listen_tcp(). */
int h2_server_listen_tcp(struct h2_server *s, const char *host, uint16_t *port,
			 struct tls_server *tls, struct err *e) NODISCARD;
void h2_server_adopt(struct h2_server *s, int fd); /* a connected socket, plain */
/*
 * No new connections, GOAWAY in two steps; idle(arg) once all calls ended, their answers were
 * written and the connections are closed.
 */
void h2_server_drain(struct h2_server *s, void (*idle)(void *arg), void *arg);
size_t h2_server_calls(const struct h2_server *s);
size_t h2_server_connections(const struct h2_server *s);

/* ---- one call; harmless once its stream is over ---- */
void h2_call_set_user(struct h2_call *c, void *user);
void *h2_call_user(const struct h2_call *c);
/* `end`: no body. Else h2_call_write() any number of times, then h2_call_end(). */
void h2_call_respond(struct h2_call *c, int status, const struct h2_header *h, size_t n, bool end);
void h2_call_write(struct h2_call *c, struct sv data); /* copied */
uint64_t h2_call_peer(const struct h2_call *c);	       /* sock_peer() of its connection */
size_t h2_call_queued(const struct h2_call *c);	       /* written and not yet taken */
void h2_call_end(struct h2_call *c, const struct h2_header *trailers, size_t n);
void h2_call_reset(struct h2_call *c, uint32_t code);
void h2_call_pause(struct h2_call *c, bool paused); /* the request's body */
