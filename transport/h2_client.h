#pragma once
/*
 * HTTP/2 client: one server, one connection at a time, many requests. Connects when first needed,
 * again after a loss (backoff with jitter), opens a fresh connection after GOAWAY while the old one
 * finishes its streams, and PINGs when nothing was heard, so a dead path is noticed in 45 s.
 * Requests wait for a connection and for a free stream until their deadline. A request that the
 * server has certainly not seen (GOAWAY, REFUSED_STREAM) is sent again, unnoticed by its owner.
 * While no request is open there is no timer: a connection that dies idle is found by the next
 * request, which PINGs along with itself if the connection was silent for long.
 */
#include "core/err.h"
#include "core/loop.h"
#include "core/sv.h"
#include "transport/h2.h"

struct tls_client;
struct resolve_files;
struct h2_client;
struct h2_request;

struct h2_client_conf {
	const char *host; /* name or address (no brackets); resolved without blocking */
	uint16_t port;
	const char *unix_path;			   /* instead of host and port */
	const char *authority;			   /* :authority; NULL = host:port */
	struct tls_client *tls;			   /* NULL = prior-knowledge h2c; not owned */
	uint32_t connect_ms;			   /* 0 = 10 s */
	uint32_t ping_idle_ms, ping_timeout_ms;	   /* 0 = 30 s, 15 s */
	uint32_t backoff_first_ms, backoff_cap_ms; /* 0 = 100 ms, 10 s */
	const struct resolve_files *resolve;	   /* NULL = /etc; not owned */
};
struct h2_request_conf {
	const char *method;
	struct sv path; /* with query */
	const struct h2_header *headers;
	size_t headers_n;
	struct sv body;	     /* copied; empty = END_STREAM with the headers */
	uint64_t timeout_ms; /* until on_end at the latest; 0 = none (a watch) */
	/* on_head: final status (1xx are skipped). Views are valid during the callback. */
	void (*on_head)(void *arg, int status, const struct h2_header *headers, size_t n);
	void (*on_data)(void *arg, struct sv data);
	void (*on_trailers)(void *arg, const struct h2_header *headers, size_t n); /* may be NULL */
	/*
	 * Last callback, exactly once unless cancelled. status 0: complete. Negative: -ETIMEDOUT,
	 * -ECONNREFUSED, -ECONNRESET, -EPROTO, ...; `sent` tells whether the server may have acted.
	 * A reset by the server: -ECANCELED (CANCEL), -EBUSY (ENHANCE_YOUR_CALM), -EPROTO (others).
	 * A request that met its deadline before it found a connection gets that one's error.
	 */
	void (*on_end)(void *arg, int status, bool sent, const struct err *e);
	void *arg;
};

struct h2_client *h2_client_new(struct loop *l, const struct h2_client_conf *conf); /* copied */
void h2_client_free(struct h2_client **h); /* pending requests get no callback */
struct h2_request *h2_client_send(struct h2_client *h, const struct h2_request_conf *conf);
void h2_request_cancel(struct h2_request *r); /* RST_STREAM(CANCEL); no callback after */
/*
 * Stops and restarts reading: the peer's window for this stream stays closed meanwhile. What was
 * on its way, at most H2_CLIENT_WINDOW bytes, is still delivered.
 */
enum { H2_CLIENT_WINDOW = 256 * 1024 };
void h2_request_pause(struct h2_request *r, bool paused);
/* Finishes old streams on the present connection, new requests get a fresh one (CA rotation). */
void h2_client_renew(struct h2_client *h);

struct loop *h2_client_loop(const struct h2_client *h);

enum h2_client_state { H2_CLIENT_IDLE, H2_CLIENT_CONNECTING, H2_CLIENT_UP, H2_CLIENT_WAITING };
struct h2_client_stats {
	enum h2_client_state state;
	uint64_t connects, failures, requests, goaways;
	char last_error[256];
};
const struct h2_client_stats *h2_client_stats(const struct h2_client *h);
void h2_client_on_state(struct h2_client *h, void (*fn)(void *arg, enum h2_client_state s),
			void *arg);
