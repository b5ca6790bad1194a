#pragma once
/* Two ends of HTTP/2 without a socket, each noting what happened to its streams; or one end and raw
 * frames. */
#include "frames.h"
#include "lab.h"
#include "transport/h2.h"

enum { CALLS_MAX = 2048, LIST_MAX = 16 * 1024, WINDOW = 65536 };

/* One end: records what happened to each of its streams. */
struct call {
	struct h2_stream stream;
	char head[512]; /* "name=value;" of the first block */
	char tail[256];
	struct buf body;
	bool ended, closed;
	uint32_t code;
};
struct end {
	struct h2 *h2;
	struct call *calls;
	size_t n;
	unsigned settings, goaways, pongs, outputs;
	uint32_t goaway_code;
	bool refuse; /* new streams */
};

static inline struct call *call_of(struct h2_stream *s)
{
	return container_of(s, struct call, stream);
}

static inline struct call *new_call(struct end *e)
{
	struct call *c = &e->calls[e->n++];

	must(e->n <= CALLS_MAX);
	buf_init(&c->body, 16 << 20);
	return c;
}

static inline struct h2_stream *on_open(void *arg)
{
	struct end *e = arg;

	return e->refuse ? NULL : &new_call(e)->stream;
}

static inline void on_headers(void *arg, struct h2_stream *s, const struct h2_header *h, size_t n,
			      bool trailers)
{
	struct call *c = call_of(s);
	char *to = trailers ? c->tail : c->head;
	size_t size = trailers ? sizeof(c->tail) : sizeof(c->head), used = 0, i;

	(void)arg;
	for (i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(to + used, size - used, SV_FMT "=" SV_FMT ";",
					 SV_ARG(h[i].name), SV_ARG(h[i].value));
}

static inline void on_data(void *arg, struct h2_stream *s, struct sv data)
{
	(void)arg;
	assert_true(buf_put_sv(&call_of(s)->body, data));
}

static inline void on_end(void *arg, struct h2_stream *s)
{
	(void)arg;
	assert_false(call_of(s)->ended);
	call_of(s)->ended = true;
}

static inline void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
	(void)arg;
	assert_false(call_of(s)->closed);
	assert_null(s->h2);
	call_of(s)->closed = true;
	call_of(s)->code = code;
}

static inline void on_settings(void *arg)
{
	((struct end *)arg)->settings++;
}

static inline void on_goaway(void *arg, uint32_t code, struct sv text)
{
	struct end *e = arg;

	(void)text;
	e->goaways++;
	e->goaway_code = code;
}

static inline void on_pong(void *arg)
{
	((struct end *)arg)->pongs++;
}

static inline void on_output(void *arg)
{
	((struct end *)arg)->outputs++;
}

static const struct h2_events events = {
	.on_open = on_open,
	.on_headers = on_headers,
	.on_data = on_data,
	.on_end = on_end,
	.on_close = on_close,
	.on_settings = on_settings,
	.on_goaway = on_goaway,
	.on_pong = on_pong,
	.on_output = on_output,
};

static inline void end_init(struct end *e, bool client)
{
	struct h2_conf conf = { .client = client,
				.streams_max = 100,
				.stream_window = WINDOW,
				.conn_window = 1 << 20,
				.headers_max = LIST_MAX,
				.events = &events,
				.arg = e };

	*e = (struct end){ .calls = mem_calloc(CALLS_MAX, sizeof(struct call)) };
	e->h2 = h2_new(&conf);
}

static inline void end_done(struct end *e)
{
	size_t i;

	h2_abort(e->h2);
	h2_free(&e->h2);
	h2_free(&e->h2);
	for (i = 0; i < e->n; i++) {
		assert_true(e->calls[i].closed || !e->calls[i].stream.id);
		buf_done(&e->calls[i].body);
	}
	mem_free(e->calls);
}

/* Moves bytes in pieces of `step` until both are quiet. */
static inline void pump(struct end *a, struct end *b, size_t step)
{
	struct end *from = a, *to = b, *t;
	int quiet = 0;
	struct err e;
	struct buf out;

	while (quiet < 2) {
		struct sv in;

		buf_init(&out, 8 << 20);
		h2_fill(from->h2, &out);
		in = buf_sv(&out);
		quiet = in.n ? 0 : quiet + 1;
		while (in.n) {
			size_t n = MIN(step, in.n);

			/* Own memory of the very size, so that a read beyond is caught. */
			char *piece = mem_dup(in.p, n);

			assert_int_equal(h2_recv(to->h2, sv_make(piece, n), 0, &e), 0);
			mem_free(piece);
			in = sv_drop(in, n);
		}
		buf_done(&out);
		t = from;
		from = to;
		to = t;
	}
}

static const struct h2_header get[] = { { SV(":method"), SV("GET") },
					{ SV(":scheme"), SV("http") },
					{ SV(":path"), SV("/x") },
					{ SV(":authority"), SV("h") } };
static const struct h2_header tail[] = { { SV("grpc-status"), SV("0") } };
static const struct h2_header none[1];

static inline struct call *ask(struct end *client, struct sv body)
{
	struct call *c = new_call(client);

	assert_int_equal(h2_request(client->h2, &c->stream, get, 4, !body.n), 0);
	if (body.n) {
		h2_write(&c->stream, body);
		h2_end(&c->stream, NULL, 0);
	}
	return c;
}

/* ---- raw frames at the server ---- */

static inline int feed(struct end *s, struct buf *in, uint64_t now_ms)
{
	struct err e;
	int r = h2_recv(s->h2, buf_sv(in), now_ms, &e);

	buf_clear(in);
	return r;
}

static inline void raw_init(struct end *s, struct buf *in, struct buf *out)
{
	end_init(s, false);
	buf_init(in, 16 << 20);
	buf_init(out, 16 << 20);
	put_hello(in);
	assert_int_equal(feed(s, in, 0), 0);
	h2_fill(s->h2, out);
	buf_clear(out);
}

static inline void raw_done(struct end *s, struct buf *in, struct buf *out)
{
	end_done(s);
	buf_done(in);
	buf_done(out);
}

#define REQ ":method=POST;:scheme=http;:path=/p;:authority=a"
