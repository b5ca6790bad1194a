#pragma once
/*
 * HTTP/2 as bytes in, bytes out: the glue around nghttp2 that server and client share. It owns
 * what must be the same on both ends: limits and flood guards, header blocks as arrays, the rules
 * for fields, bodies queued per stream, flow control, GOAWAY and PING.
 *
 *   bytes -> h2_recv() -> h2_events          h2_respond(), h2_write() ... -> h2_fill() -> bytes
 *
 * nghttp2 forbids sending and receiving inside its callbacks. Every function here except h2_recv(),
 * h2_fill() and h2_free() may be called inside an event.
 *
 * Header validation of requests is ours, because grpc-go dials a unix socket with the raw path as
 * :authority, which nghttp2's own check refuses.
 */
#include "core/buf.h"
#include "core/err.h"
#include "core/list.h"
#include "core/sv.h"

struct h2;

struct h2_header {
	struct sv name, value; /* name lower case */
};

/* HTTP/2 error codes (RFC 9113 7), as much as we speak of them. */
enum h2_code {
	H2_NO_ERROR = 0,
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_STREAM_CLOSED = 5,
	H2_REFUSED_STREAM = 7,
	H2_CANCEL = 8,
	H2_ENHANCE_YOUR_CALM = 11,
	H2_CODE_LOST = 0x10000, /* ours: the connection ended first */
};

/* One exchange, embedded in its owner, which keeps it until on_close. Zeroed by h2. */
struct h2_stream {
	struct h2 *h2; /* NULL before and after */
	struct list node;
	struct h2_header *trailers; /* one allocation with its text */
	size_t trailers_n;
	struct buf out;	     /* body not yet in frames */
	uint64_t body_n;     /* bytes of body received */
	int64_t length;	     /* content-length, -1 = not said */
	uint64_t unconsumed; /* while paused: window not given back */
	int32_t id;
	bool got_head, out_end, parked, in_end, reset, paused, has_source;
};

struct h2_events {
	/* Server: a request begins. Returns the stream in a new object; NULL refuses it. */
	struct h2_stream *(*on_open)(void *arg);
	/* A whole header block, valid during the call. `trailers`: not the first final one. */
	void (*on_headers)(void *arg, struct h2_stream *s, const struct h2_header *h, size_t n,
			   bool trailers);
	void (*on_data)(void *arg, struct h2_stream *s, struct sv data);
	void (*on_end)(void *arg, struct h2_stream *s); /* the peer's END_STREAM */
	/* Last event of a stream, always; `code` an enum h2_code or any other number on the wire.
	 */
	void (*on_close)(void *arg, struct h2_stream *s, uint32_t code);
	void (*on_settings)(void *arg); /* the peer's; the first completes the connection */
	void (*on_goaway)(void *arg, uint32_t code, struct sv text);
	void (*on_pong)(void *arg);
	void (*on_output)(void *arg); /* something to fill, outside of h2_recv() */
};

struct h2_conf {
	bool client;
	uint32_t streams_max;		     /* that the peer may open (server) */
	uint32_t stream_window, conn_window; /* bytes the peer may send ahead; 0 = 65535 */
	size_t headers_max;		     /* of one header list as RFC 9113 counts it */
	const struct h2_events *events;
	void *arg;
};

struct h2 *h2_new(const struct h2_conf *conf); /* its preface waits in h2_fill() */
/* on_close(H2_CODE_LOST) for every stream, nothing else. Then h2_free() may follow. */
void h2_abort(struct h2 *h);
void h2_free(struct h2 **h); /* no stream may be left */

/* Negative: broken beyond a GOAWAY, close. */
int h2_recv(struct h2 *h, struct sv in, uint64_t now_ms, struct err *e) NODISCARD;
void h2_fill(struct h2 *h, struct buf *out); /* up to about 64 KiB */
bool h2_wants_write(const struct h2 *h);
bool h2_done(const struct h2 *h);      /* neither reads nor writes any more */
bool h2_mid_block(const struct h2 *h); /* a header block has begun and not ended */
size_t h2_streams(const struct h2 *h);
size_t h2_queued(const struct h2 *h); /* body bytes of all streams that wait for frames */

/* ---- streams ---- */
void h2_respond(struct h2_stream *s, int status, const struct h2_header *h, size_t n, bool end);
/* Client: opens a stream. -ECANCELED when the connection takes no more (GOAWAY). */
int h2_request(struct h2 *h, struct h2_stream *s, const struct h2_header *headers, size_t n,
	       bool end) NODISCARD;
void h2_write(struct h2_stream *s, struct sv data);			      /* copied */
void h2_end(struct h2_stream *s, const struct h2_header *trailers, size_t n); /* copied */
void h2_reset(struct h2_stream *s, uint32_t code); /* only on_close follows */
void h2_pause(struct h2_stream *s, bool paused);   /* keeps the peer's window shut */

/* ---- the connection ---- */
void h2_goaway_soon(struct h2 *h); /* step one of a drain: "open no more", all ids still served */
void h2_goaway(struct h2 *h, uint32_t code);	/* step two: what came so far is finished */
void h2_terminate(struct h2 *h, uint32_t code); /* GOAWAY, then no more of anything */
void h2_ping(struct h2 *h);			/* on_pong answers */
uint32_t h2_peer_streams_max(const struct h2 *h);
