#include "transport/h2.h"

#include <errno.h>

#include "frames.h"
#include "lab.h"

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

static struct call *call_of(struct h2_stream *s)
{
	return container_of(s, struct call, stream);
}

static struct call *new_call(struct end *e)
{
	struct call *c = &e->calls[e->n++];

	must(e->n <= CALLS_MAX);
	buf_init(&c->body, 16 << 20);
	return c;
}

static struct h2_stream *on_open(void *arg)
{
	struct end *e = arg;

	return e->refuse ? NULL : &new_call(e)->stream;
}

static void on_headers(void *arg, struct h2_stream *s, const struct h2_header *h, size_t n,
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

static void on_data(void *arg, struct h2_stream *s, struct sv data)
{
	(void)arg;
	assert_true(buf_put_sv(&call_of(s)->body, data));
}

static void on_end(void *arg, struct h2_stream *s)
{
	(void)arg;
	assert_false(call_of(s)->ended);
	call_of(s)->ended = true;
}

static void on_close(void *arg, struct h2_stream *s, uint32_t code)
{
	(void)arg;
	assert_false(call_of(s)->closed);
	assert_null(s->h2);
	call_of(s)->closed = true;
	call_of(s)->code = code;
}

static void on_settings(void *arg)
{
	((struct end *)arg)->settings++;
}

static void on_goaway(void *arg, uint32_t code, struct sv text)
{
	struct end *e = arg;

	(void)text;
	e->goaways++;
	e->goaway_code = code;
}

static void on_pong(void *arg)
{
	((struct end *)arg)->pongs++;
}

static void on_output(void *arg)
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

static void end_init(struct end *e, bool client)
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

static void end_done(struct end *e)
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
static void pump(struct end *a, struct end *b, size_t step)
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

static struct call *ask(struct end *client, struct sv body)
{
	struct call *c = new_call(client);

	assert_int_equal(h2_request(client->h2, &c->stream, get, 4, !body.n), 0);
	if (body.n) {
		h2_write(&c->stream, body);
		h2_end(&c->stream, NULL, 0);
	}
	return c;
}

/* A request with a body, an answer with body and trailers, in pieces of every size. */
static void exchange(size_t step)
{
	char *body = lab_body(40000);
	struct end c, s;
	struct call *q;

	end_init(&c, true);
	end_init(&s, false);
	q = ask(&c, sv_make(body, 40000));
	pump(&c, &s, step);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.calls[0].head, ":method=GET;:scheme=http;:path=/x;:authority=h;");
	assert_true(s.calls[0].ended);
	assert_int_equal(buf_len(&s.calls[0].body), 40000);
	assert_memory_equal(buf_sv(&s.calls[0].body).p, body, 40000);
	h2_respond(&s.calls[0].stream, 200, none, 0, false);
	h2_write(&s.calls[0].stream, sv_make(body, 20000));
	pump(&s, &c, step);
	assert_string_equal(q->head, ":status=200;");
	assert_int_equal(buf_len(&q->body), 20000);
	assert_false(q->ended);
	h2_write(&s.calls[0].stream, sv_make(body + 20000, 20000));
	h2_end(&s.calls[0].stream, tail, 1);
	pump(&s, &c, step);
	assert_memory_equal(buf_sv(&q->body).p, body, 40000);
	assert_string_equal(q->tail, "grpc-status=0;");
	assert_true(q->closed && s.calls[0].closed);
	assert_int_equal(q->code, H2_NO_ERROR);
	assert_int_equal(h2_streams(c.h2) + h2_streams(s.h2), 0);
	assert_int_equal(h2_queued(c.h2) + h2_queued(s.h2), 0);
	end_done(&c);
	end_done(&s);
	mem_free(body);
}

static void test_exchange(void **state)
{
	(void)state;
	exchange(SIZE_MAX);
	exchange(1);
	exchange(2);
	exchange(7);
	exchange(16384);
}

static void test_short_forms(void **state)
{
	struct end c, s;
	struct call *q;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	/* Trailers only. */
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[0].stream, 404, tail, 1, true);
	pump(&s, &c, SIZE_MAX);
	assert_string_equal(q->head, ":status=404;grpc-status=0;");
	assert_true(q->closed && q->ended);
	/* No body but trailers; then a body without trailers; then neither. */
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[1].stream, 200, none, 0, false);
	h2_end(&s.calls[1].stream, tail, 1);
	pump(&s, &c, SIZE_MAX);
	assert_string_equal(q->tail, "grpc-status=0;");
	assert_true(q->closed && !buf_len(&q->body));
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[2].stream, 200, none, 0, false);
	h2_write(&s.calls[2].stream, SV("b"));
	h2_write(&s.calls[2].stream, SV(""));
	h2_end(&s.calls[2].stream, NULL, 0);
	pump(&s, &c, SIZE_MAX);
	lab_eq(buf_sv(&q->body), "b");
	assert_true(q->closed && !q->tail[0]);
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[3].stream, 200, none, 0, false);
	pump(&s, &c, SIZE_MAX);
	h2_end(&s.calls[3].stream, NULL, 0);
	pump(&s, &c, SIZE_MAX);
	assert_true(q->closed && q->ended);
	/* After the end everything is harmless. */
	h2_write(&q->stream, SV("late"));
	h2_end(&q->stream, NULL, 0);
	h2_reset(&q->stream, H2_CANCEL);
	h2_pause(&q->stream, true);
	h2_respond(&s.calls[3].stream, 200, none, 0, true);
	end_done(&c);
	end_done(&s);
}

/* An answer before the request's end: the client is asked to stop, and both sides close. */
static void test_early_answer(void **state)
{
	char *body = lab_body(500000);
	struct end c, s;
	struct call *q;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	q = new_call(&c);
	assert_int_equal(h2_request(c.h2, &q->stream, get, 4, false), 0);
	h2_write(&q->stream, sv_make(body, 500000));
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[0].stream, 413, none, 0, true);
	pump(&s, &c, SIZE_MAX);
	assert_string_equal(q->head, ":status=413;");
	assert_true(q->ended && q->closed && s.calls[0].closed);
	assert_int_equal(q->code, H2_NO_ERROR);
	assert_int_equal(h2_queued(c.h2), 0);
	end_done(&c);
	end_done(&s);
	mem_free(body);
}

static void test_reset(void **state)
{
	struct end c, s;
	struct call *q, *unsent;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_reset(&q->stream, H2_CANCEL);
	h2_reset(&q->stream, H2_INTERNAL_ERROR); /* the first counts */
	assert_false(q->closed);
	pump(&c, &s, SIZE_MAX);
	assert_true(q->closed && s.calls[0].closed);
	assert_int_equal(s.calls[0].code, H2_CANCEL);
	/* Reset before it was ever sent: the server hears nothing. */
	unsent = ask(&c, SV("body"));
	h2_reset(&unsent->stream, H2_CANCEL);
	pump(&c, &s, SIZE_MAX);
	assert_true(unsent->closed);
	assert_int_equal(s.n, 1);
	/* By the server, with data under way. */
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[1].stream, 200, none, 0, false);
	h2_write(&s.calls[1].stream, SV("never seen"));
	h2_reset(&s.calls[1].stream, H2_ENHANCE_YOUR_CALM);
	pump(&s, &c, SIZE_MAX);
	assert_int_equal(q->code, H2_ENHANCE_YOUR_CALM);
	assert_int_equal(h2_queued(s.h2), 0);
	end_done(&c);
	end_done(&s);
}

static void test_refused(void **state)
{
	struct end c, s;
	struct call *q;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	s.refuse = true;
	q = ask(&c, SV("body"));
	pump(&c, &s, SIZE_MAX);
	assert_int_equal(q->code, H2_REFUSED_STREAM);
	s.refuse = false;
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[0].stream, 200, none, 0, true);
	pump(&c, &s, SIZE_MAX);
	assert_true(q->ended);
	end_done(&c);
	end_done(&s);
}

/* A stream that is not read stops at its window; others on the connection go on. */
static void test_pause(void **state)
{
	char *body = lab_body(3 << 20);
	struct end c, s;
	struct call *slow, *fast;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	slow = ask(&c, SV_NONE);
	fast = ask(&c, SV_NONE);
	h2_pause(&slow->stream, true);
	pump(&c, &s, SIZE_MAX);
	h2_respond(&s.calls[0].stream, 200, none, 0, false);
	h2_respond(&s.calls[1].stream, 200, none, 0, false);
	h2_write(&s.calls[0].stream, sv_make(body, 3 << 20));
	h2_end(&s.calls[0].stream, NULL, 0);
	h2_write(&s.calls[1].stream, sv_make(body, 3 << 20));
	h2_end(&s.calls[1].stream, NULL, 0);
	pump(&s, &c, SIZE_MAX);
	assert_true(fast->closed);
	assert_int_equal(buf_len(&fast->body), 3 << 20);
	assert_int_equal(buf_len(&slow->body), WINDOW);
	assert_false(slow->ended);
	h2_pause(&slow->stream, false);
	pump(&c, &s, SIZE_MAX);
	assert_int_equal(buf_len(&slow->body), 3 << 20);
	assert_memory_equal(buf_sv(&slow->body).p, body, 3 << 20);
	assert_true(slow->closed);
	end_done(&c);
	end_done(&s);
	mem_free(body);
}

static void test_ping_and_drain(void **state)
{
	struct end c, s;
	struct call *q, *late;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	pump(&c, &s, SIZE_MAX);
	assert_int_equal(c.settings, 1);
	assert_int_equal(s.settings, 1);
	assert_int_equal(h2_peer_streams_max(c.h2), 100);
	h2_ping(c.h2);
	h2_ping(s.h2);
	pump(&c, &s, SIZE_MAX);
	assert_int_equal(c.pongs, 1);
	assert_int_equal(s.pongs, 1);
	q = ask(&c, SV_NONE);
	pump(&c, &s, SIZE_MAX);
	/* Step one: new streams still pass at the server, but the client makes none. */
	late = ask(&c, SV_NONE);
	h2_goaway_soon(s.h2);
	pump(&c, &s, SIZE_MAX);
	assert_int_equal(c.goaways, 1);
	assert_int_equal(s.n, 2);
	assert_false(late->closed);
	assert_int_equal(h2_request(c.h2, &new_call(&c)->stream, get, 4, true), -ECANCELED);
	h2_goaway(s.h2, H2_NO_ERROR);
	pump(&s, &c, SIZE_MAX);
	assert_int_equal(c.goaways, 2);
	assert_false(h2_done(s.h2));
	h2_respond(&s.calls[0].stream, 200, none, 0, true);
	h2_respond(&s.calls[1].stream, 200, none, 0, true);
	pump(&s, &c, SIZE_MAX);
	assert_true(q->ended && late->ended);
	assert_true(h2_done(s.h2) && h2_done(c.h2));
	end_done(&c);
	end_done(&s);
}

/* Streams above GOAWAY's last id were not seen: the client learns so. */
static void test_goaway_refuses(void **state)
{
	struct end c, s;
	struct call *q;

	(void)state;
	end_init(&c, true);
	end_init(&s, false);
	pump(&c, &s, SIZE_MAX);
	h2_goaway(s.h2, H2_NO_ERROR);
	q = ask(&c, SV_NONE);
	pump(&s, &c, SIZE_MAX);
	assert_int_equal(q->code, H2_REFUSED_STREAM);
	assert_int_equal(s.n, 0);
	end_done(&c);
	end_done(&s);
}

/* ---- raw frames at the server ---- */

static int feed(struct end *s, struct buf *in, uint64_t now_ms)
{
	struct err e;
	int r = h2_recv(s->h2, buf_sv(in), now_ms, &e);

	buf_clear(in);
	return r;
}

static void raw_init(struct end *s, struct buf *in, struct buf *out)
{
	end_init(s, false);
	buf_init(in, 16 << 20);
	buf_init(out, 16 << 20);
	put_hello(in);
	assert_int_equal(feed(s, in, 0), 0);
	h2_fill(s->h2, out);
	buf_clear(out);
}

static void raw_done(struct end *s, struct buf *in, struct buf *out)
{
	end_done(s);
	buf_done(in);
	buf_done(out);
}

#define REQ ":method=POST;:scheme=http;:path=/p;:authority=a"

/* The server answers a broken request with RST_STREAM(PROTOCOL_ERROR) and never shows it. */
static void test_malformed(void **state)
{
	static const char *const bad[] = { ":method=GET;:scheme=http", REQ ";Upper=x",
					   REQ ";connection=x", REQ ";:path=/", REQ ";te=x" };
	struct buf in, out;
	struct frame f;
	struct end s;
	uint32_t id;

	(void)state;
	raw_init(&s, &in, &out);
	for (id = 1; id < 2 * ARRAY_LEN(bad); id += 2) {
		put_headers(&in, id, bad[id / 2], true);
		assert_int_equal(feed(&s, &in, 0), 0);
		h2_fill(s.h2, &out);
		assert_true(find_frame(buf_sv(&out), F_RST, id, &f));
		assert_int_equal(frame_u32(&f, 0), H2_PROTOCOL_ERROR);
		buf_clear(&out);
	}
	assert_int_equal(s.n, 0);
	put_headers(&in, id, REQ ";x=y", true);
	assert_int_equal(feed(&s, &in, 0), 0);
	assert_int_equal(s.n, 1);
	raw_done(&s, &in, &out);
}

static void test_content_length(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ ";content-length=3", false);
	put_frame(&in, F_DATA, F_END_STREAM, 1, SV("abc"));
	put_headers(&in, 3, REQ ";content-length=3", false);
	put_frame(&in, F_DATA, F_END_STREAM, 3, SV("ab"));
	put_headers(&in, 5, REQ ";content-length=3", false);
	put_frame(&in, F_DATA, 0, 5, SV("abcd"));
	put_headers(&in, 7, REQ ";content-length=1", true);
	put_headers(&in, 9, REQ ";content-length=0", true);
	assert_int_equal(feed(&s, &in, 0), 0);
	h2_fill(s.h2, &out);
	assert_false(find_frame(buf_sv(&out), F_RST, 1, &f));
	assert_true(find_frame(buf_sv(&out), F_RST, 3, &f));
	assert_true(find_frame(buf_sv(&out), F_RST, 5, &f));
	assert_true(find_frame(buf_sv(&out), F_RST, 7, &f));
	assert_false(find_frame(buf_sv(&out), F_RST, 9, &f));
	assert_true(s.calls[0].ended && s.calls[4].ended);
	assert_false(s.calls[1].ended || s.calls[2].ended || s.calls[3].ended);
	raw_done(&s, &in, &out);
}

static void test_request_trailers(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, false);
	put_frame(&in, F_DATA, 0, 1, SV("abc"));
	put_headers(&in, 1, "checksum=1", true);
	put_headers(&in, 3, REQ, false);
	put_headers(&in, 3, "checksum=1", false); /* neither head nor end */
	put_headers(&in, 5, REQ, false);
	put_headers(&in, 5, ":path=/", true);
	assert_int_equal(feed(&s, &in, 0), 0);
	h2_fill(s.h2, &out);
	assert_string_equal(s.calls[0].tail, "checksum=1;");
	assert_true(s.calls[0].ended);
	assert_true(find_frame(buf_sv(&out), F_RST, 3, &f));
	assert_true(find_frame(buf_sv(&out), F_RST, 5, &f));
	assert_false(s.calls[1].ended || s.calls[2].ended);
	raw_done(&s, &in, &out);
}

static void test_big_header_list(void **state)
{
	char *big = lab_body(LIST_MAX);
	struct buf in, out, block;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	buf_init(&block, 1 << 20);
	put_fields(&block, REQ);
	put_field(&block, SV("x"), sv_make(big, LIST_MAX));
	assert_false(h2_mid_block(s.h2));
	put_frame(&in, F_HEADERS, F_END_STREAM, 1, sv_make(block.data, 16000));
	assert_int_equal(feed(&s, &in, 0), 0);
	assert_true(h2_mid_block(s.h2));
	put_frame(&in, F_CONT, F_END_HEADERS, 1, sv_drop(buf_sv(&block), 16000));
	put_headers(&in, 3, REQ, true);
	assert_int_equal(feed(&s, &in, 0), 0);
	assert_false(h2_mid_block(s.h2));
	h2_fill(s.h2, &out);
	/* 431 without a body, the owner never heard of it, and the connection lives. */
	assert_true(find_frame(buf_sv(&out), F_HEADERS, 1, &f));
	assert_true(f.flags & F_END_STREAM);
	assert_int_equal(s.n, 1);
	assert_true(s.calls[0].ended);
	buf_done(&block);
	mem_free(big);
	raw_done(&s, &in, &out);
}

/* Sends `n` of one frame at once and tells whether the server took offence. */
static bool floods(unsigned type, unsigned flags, uint32_t stream, struct sv payload, size_t n,
		   size_t per_turn)
{
	struct buf in, out;
	bool calm = false;
	struct frame f;
	struct end s;
	size_t i;

	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, false);
	assert_int_equal(feed(&s, &in, 0), 0);
	for (i = 0; i < n && !calm; i++) {
		put_frame(&in, type, flags, stream, payload);
		if (i % per_turn + 1 < per_turn && i + 1 < n)
			continue;
		calm = feed(&s, &in, 0) < 0;
		buf_clear(&out);
		h2_fill(s.h2, &out);
		calm |= find_frame(buf_sv(&out), F_GOAWAY, 0, &f) &&
			frame_u32(&f, 4) == H2_ENHANCE_YOUR_CALM;
	}
	raw_done(&s, &in, &out);
	return calm;
}

static void test_floods(void **state)
{
	struct sv eight = SV("12345678"), four = SV("\0\0\0\1"), five = SV("\0\0\0\0\1");

	(void)state;
	assert_true(floods(F_PING, 0, 0, eight, 5000, 100));
	assert_true(floods(F_PING, 0, 0, eight, 5000, 5000));
	assert_true(floods(F_PING, F_ACK, 0, eight, 5000, 100));
	assert_true(floods(0x7e, 0, 0, eight, 5000, 100)); /* a type that nobody knows */
	assert_true(floods(F_SETTINGS, 0, 0, SV_NONE, 5000, 100));
	assert_true(floods(F_DATA, 0, 1, SV_NONE, 5000, 100));
	assert_true(floods(F_WINDOW, 0, 0, four, 5000, 100));
	assert_true(floods(F_PRIORITY, 0, 7, five, 5000, 100));
	/* What a busy but sane peer sends is far from it. */
	assert_false(floods(F_PING, 0, 0, eight, 500, 1));
	assert_false(floods(F_DATA, 0, 1, SV("x"), 20000, 100));
}

/*
 * Requests beyond the limit, by a client that does not acknowledge our SETTINGS: nghttp2 answers
 * each with a reset that waits for a peer that may not read.
 */
static void test_refused_requests_flood(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;
	uint32_t id;

	(void)state;
	raw_init(&s, &in, &out);
	for (id = 1; id < 2 * 20000; id += 2)
		put_headers(&in, id, REQ, true);
	while (buf_len(&in)) {
		size_t n = MIN(buf_len(&in), (size_t)16384);
		struct err e;

		assert_int_equal(h2_recv(s.h2, sv_make(buf_sv(&in).p, n), 0, &e), 0);
		buf_take(&in, n);
	}
	assert_int_equal(s.n, 100);
	for (;;) {
		size_t before = buf_len(&out);
		struct buf piece;

		buf_init(&piece, 1 << 20);
		h2_fill(s.h2, &piece);
		assert_true(buf_put_sv(&out, buf_sv(&piece)));
		buf_done(&piece);
		if (buf_len(&out) == before)
			break;
	}
	assert_true(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	assert_int_equal(frame_u32(&f, 4), H2_ENHANCE_YOUR_CALM);
	/* A few thousand resets of 13 bytes, not 20 000. */
	assert_true(buf_len(&out) < (size_t)3000 * 13);
	raw_done(&s, &in, &out);
}

/* Interim answers without end bring a client nothing. */
static void test_interim_flood(void **state)
{
	struct buf in, out;
	struct end c;
	struct err e;
	int i;

	(void)state;
	end_init(&c, true);
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	(void)ask(&c, SV_NONE);
	h2_fill(c.h2, &out);
	put_frame(&in, F_SETTINGS, 0, 0, SV_NONE);
	for (i = 0; i < 5000; i++)
		put_headers(&in, 1, ":status=103", false);
	assert_int_equal(h2_recv(c.h2, buf_sv(&in), 0, &e), 0);
	h2_fill(c.h2, &out);
	assert_true(h2_done(c.h2));
	assert_string_equal(c.calls[0].head, "");
	buf_done(&in);
	buf_done(&out);
	end_done(&c);
}

/* A PING for each message, as grpc-go's bandwidth estimator sends them, is never a flood. */
static void test_ping_per_data(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;
	int i;

	(void)state;
	raw_init(&s, &in, &out);
	for (i = 0; i < 20000; i++) {
		if (i % 500 == 0)
			put_headers(&in, (uint32_t)(i / 500 * 2 + 1), REQ, false);
		put_frame(&in, F_DATA, 0, (uint32_t)(i / 500 * 2 + 1), SV("x"));
		put_frame(&in, F_PING, 0, 0, SV("\2\4\20\20\11\16\7\7"));
		put_frame(&in, F_WINDOW, 0, 0, SV("\0\0\0\1"));
		assert_int_equal(feed(&s, &in, 0), 0);
		h2_fill(s.h2, &out);
		assert_true(find_frame(buf_sv(&out), F_PING, 0, &f));
		assert_int_equal(f.flags, F_ACK);
		assert_memory_equal(f.payload.p, "\2\4\20\20\11\16\7\7", 8);
		assert_false(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
		buf_clear(&out);
	}
	raw_done(&s, &in, &out);
}

/* The stock of patience grows back with time. */
static void test_calm_refills(void **state)
{
	struct buf in, out;
	struct end s;
	int i, j;

	(void)state;
	raw_init(&s, &in, &out);
	for (i = 0; i < 50; i++) {
		for (j = 0; j < 90; j++)
			put_frame(&in, F_PING, 0, 0, SV("12345678"));
		assert_int_equal(feed(&s, &in, (uint64_t)i * 1000), 0);
		h2_fill(s.h2, &out);
		buf_clear(&out);
	}
	assert_int_equal(s.goaways, 0);
	assert_false(h2_done(s.h2));
	raw_done(&s, &in, &out);
}

static void test_rapid_reset(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;
	uint32_t id;

	(void)state;
	raw_init(&s, &in, &out);
	for (id = 1; id < 4000; id += 2) {
		put_headers(&in, id, REQ, false);
		put_frame(&in, F_RST, 0, id, SV("\0\0\0\10"));
		assert_int_equal(feed(&s, &in, 0), 0);
		h2_fill(s.h2, &out);
		if (h2_done(s.h2))
			break;
	}
	assert_true(id > 1000 && id < 2200);
	assert_true(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	raw_done(&s, &in, &out);
}

/* Feeds one byte at a time, then says what the server thinks of it. */
static bool refuses(struct end *s, struct buf *in, struct buf *out, unsigned type, uint32_t id,
		    struct frame *f)
{
	struct err e;
	size_t i;

	buf_clear(out);
	for (i = 0; i < buf_len(in); i++)
		assert_int_equal(h2_recv(s->h2, sv_make(in->data + i, 1), 0, &e), 0);
	buf_clear(in);
	h2_fill(s->h2, out);
	return find_frame(buf_sv(out), type, id, f);
}

static void test_closed_streams(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, true);
	put_headers(&in, 5, REQ, false);
	put_headers(&in, 7, REQ, false);
	assert_false(refuses(&s, &in, &out, F_GOAWAY, 0, &f));
	h2_respond(&s.calls[0].stream, 200, none, 0, true);
	h2_respond(&s.calls[2].stream, 200, none, 0, true); /* early: we ask for silence */
	h2_reset(&s.calls[1].stream, H2_CANCEL);
	h2_fill(s.h2, &out);
	/* What was under way to streams that we reset is ignored, trailers too. */
	put_frame(&in, F_DATA, 0, 5, SV("x"));
	put_headers(&in, 5, "a=b", true);
	put_frame(&in, F_DATA, 0, 7, SV("x"));
	put_headers(&in, 7, "a=b", true);
	assert_false(refuses(&s, &in, &out, F_RST, 5, &f));
	assert_false(find_frame(buf_sv(&out), F_RST, 7, &f));
	assert_false(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	/* DATA on a stream that ended in order is its own error. */
	put_frame(&in, F_DATA, 0, 1, SV("x"));
	assert_true(refuses(&s, &in, &out, F_RST, 1, &f));
	assert_int_equal(frame_u32(&f, 0), H2_STREAM_CLOSED);
	/* HEADERS there, or on an id that was skipped, end the connection. */
	put_headers(&in, 3, REQ, true);
	assert_true(refuses(&s, &in, &out, F_GOAWAY, 0, &f));
	assert_int_equal(frame_u32(&f, 4), H2_STREAM_CLOSED);
	assert_int_equal(s.n, 3);
	raw_done(&s, &in, &out);

	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, false);
	put_frame(&in, F_RST, 0, 1, SV("\0\0\0\10"));
	put_frame(&in, F_DATA, 0, 1, SV("x"));
	assert_true(refuses(&s, &in, &out, F_RST, 1, &f));
	assert_int_equal(frame_u32(&f, 0), H2_STREAM_CLOSED);
	assert_false(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	raw_done(&s, &in, &out);
}

/* After the last GOAWAY new streams are ignored, with all that belongs to them. */
static void test_closed_after_goaway(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, false);
	assert_false(refuses(&s, &in, &out, F_GOAWAY, 0, &f));
	h2_goaway(s.h2, H2_NO_ERROR);
	h2_fill(s.h2, &out);
	put_headers(&in, 3, REQ, false);
	put_frame(&in, F_DATA, 0, 3, SV("x"));
	put_headers(&in, 3, "a=b", true);
	put_frame(&in, F_DATA, F_END_STREAM, 1, SV("x"));
	assert_false(refuses(&s, &in, &out, F_RST, 3, &f));
	assert_false(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	assert_true(s.calls[0].ended);
	assert_int_equal(s.n, 1);
	raw_done(&s, &in, &out);
}

static void test_bad_preface(void **state)
{
	struct buf in, out;
	struct end s;

	(void)state;
	end_init(&s, false);
	buf_init(&in, 1024);
	buf_init(&out, 65536);
	buf_puts(&in, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(feed(&s, &in, 0), -EPROTO);
	raw_done(&s, &in, &out);
}

/* A frame that breaks the connection: GOAWAY, then nothing is wanted any more. */
static void test_connection_error(void **state)
{
	struct buf in, out;
	struct frame f;
	struct end s;

	(void)state;
	raw_init(&s, &in, &out);
	put_headers(&in, 1, REQ, false);
	put_frame(&in, F_DATA, 0, 0, SV("x"));
	assert_int_equal(feed(&s, &in, 0), 0);
	h2_fill(s.h2, &out);
	assert_true(find_frame(buf_sv(&out), F_GOAWAY, 0, &f));
	assert_int_equal(frame_u32(&f, 4), H2_PROTOCOL_ERROR);
	assert_true(h2_done(s.h2));
	raw_done(&s, &in, &out);
}

/* Every byte of garbage behind a good start is survived. */
static void test_garbage(void **state)
{
	struct buf in, out;
	struct end s;
	unsigned seed, i;

	(void)state;
	for (seed = 1; seed < 300; seed++) {
		unsigned x = seed * 2654435761u;

		raw_init(&s, &in, &out);
		put_headers(&in, 1, REQ, false);
		for (i = 0; i < 64; i++) {
			x = x * 1664525 + 1013904223;
			buf_putc(&in, (char)(i % 9 < 3 && i % 9 != 2 ? 0 : x >> 24));
		}
		(void)feed(&s, &in, 0);
		h2_fill(s.h2, &out);
		raw_done(&s, &in, &out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_short_forms),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_ping_and_drain),
		cmocka_unit_test(test_goaway_refuses),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_content_length),
		cmocka_unit_test(test_request_trailers),
		cmocka_unit_test(test_big_header_list),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_ping_per_data),
		cmocka_unit_test(test_interim_flood),
		cmocka_unit_test(test_refused_requests_flood),
		cmocka_unit_test(test_calm_refills),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_closed_streams),
		cmocka_unit_test(test_closed_after_goaway),
		cmocka_unit_test(test_bad_preface),
		cmocka_unit_test(test_connection_error),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
