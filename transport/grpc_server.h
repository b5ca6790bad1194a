#pragma once
/*
 * gRPC over our HTTP/2 server: unary and server-streaming methods, deadlines, cancellation,
 * trailers-only errors. Owner: whoever made it; calls belong to their connection and are handed to
 * the method, which answers now or later, exactly once.
 */
#include "core/err.h"
#include "core/loop.h"
#include "core/sv.h"
#include "transport/grpc.h"

struct tls_server;
struct grpc_server;
struct grpc_call;

struct grpc_method {
	const char *path; /* "/package.Service/Method" */
	bool streams;	  /* answers with any number of messages */
	/* `message` is valid during the call only. */
	void (*on_call)(void *ctx, struct grpc_call *call, struct sv message);
};
/* A table and its context: several services share one server. */
struct grpc_service {
	const struct grpc_method *methods;
	size_t n;
	void *ctx;
};
struct grpc_limits {
	size_t message_max; /* bytes, 4 MiB */
	unsigned streams_max, connections_max;
	bool root_only; /* unix sockets: the peer's uid must be ours or 0 (SO_PEERCRED); default */
};
extern const struct grpc_limits grpc_limits_default;

struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_limits *limits);
void grpc_server_free(struct grpc_server **s); /* closes at once; calls end as cancelled */
void grpc_server_add(struct grpc_server *s, const struct grpc_service *service); /* copied */
/*
 * Unix: binds a dot-named socket, listens, renames: it appears ready. An old socket file is
 * replaced; the file is removed by free only while it is still ours (same inode). Again for a path
 * that it listens on: the file is made anew (someone removed it), connections stay.
 */
int grpc_server_listen_unix(struct grpc_server *s, const char *path, unsigned mode,
			    struct err *e) NODISCARD;
/* host "" = any; port 0 = chosen, *port tells. tls may be NULL; not owned. */
int grpc_server_listen_tcp(struct grpc_server *s, const char *host, uint16_t *port,
			   struct tls_server *tls, struct err *e) NODISCARD;
void grpc_server_adopt(struct grpc_server *s, int fd); /* a connected socket, now the server's */
/*
 * No new connections, GOAWAY in two steps; idle(arg) when the last call ended and its answer was
 * written. Streams are ended by their owners.
 */
void grpc_server_drain(struct grpc_server *s, void (*idle)(void *arg), void *arg);
size_t grpc_server_calls(const struct grpc_server *s);
size_t grpc_server_connections(const struct grpc_server *s);

/* ---- one call ---- */
/* Monotonic loop time at which the peer gives up; UINT64_MAX without grpc-timeout. */
uint64_t grpc_call_due_ms(const struct grpc_call *c);
const char *grpc_call_path(const struct grpc_call *c);
uint64_t grpc_call_peer(const struct grpc_call *c); /* sock_peer(); while it is not over */
/*
 * Called when the peer went away first (reset, deadline, connection lost): the call is dead after
 * it and must not be answered. Not called once the answer was given.
 */
void grpc_call_on_cancel(struct grpc_call *c, void (*fn)(void *arg, struct grpc_call *c),
			 void *arg);
/* Ends a unary call with its message (copied). */
void grpc_call_reply(struct grpc_call *c, struct sv message);
/* Ends a call with an error; the text is percent-encoded. On a stream: GRPC_OK ends it well. */
void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *fmt, ...) PRINTF(3, 4);
/* Stream: headers at once, so that the peer knows it is open. */
void grpc_call_open(struct grpc_call *c);
/* Stream: one message (copied). false: too much unread at the peer, not queued. */
bool grpc_call_send(struct grpc_call *c, struct sv message);
