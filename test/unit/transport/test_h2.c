#include "test/unit/transport/h2_world.h"

#include <errno.h>

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

static void an_exchange_in_pieces_of_every_size(void **state)
{
	(void)state;
	exchange(SIZE_MAX);
	exchange(1);
	exchange(2);
	exchange(7);
	exchange(16384);
}

static void answers_without_body_or_trailers(void **state)
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
static void an_answer_before_the_end_of_the_request(void **state)
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

static void a_reset_closes_both_sides(void **state)
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

static void a_refused_stream_leaves_the_connection(void **state)
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
static void a_paused_stream_stops_at_its_window(void **state)
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

static void a_drain_finishes_what_runs(void **state)
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
static void streams_above_goaway_are_refused(void **state)
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

/* The server answers a broken request with RST_STREAM(PROTOCOL_ERROR) and never shows it. */
static void broken_requests_are_reset_unseen(void **state)
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

static void a_body_is_as_long_as_it_said(void **state)
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

static void trailers_end_a_request(void **state)
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

static void a_header_list_too_big_is_431(void **state)
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

static void frames_on_closed_streams_are_told_apart(void **state)
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
static void new_streams_after_goaway_are_ignored(void **state)
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

static void another_protocol_is_refused(void **state)
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
static void a_frame_that_breaks_the_connection_ends_it(void **state)
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
static void garbage_is_survived(void **state)
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
		cmocka_unit_test(an_exchange_in_pieces_of_every_size),
		cmocka_unit_test(answers_without_body_or_trailers),
		cmocka_unit_test(an_answer_before_the_end_of_the_request),
		cmocka_unit_test(a_reset_closes_both_sides),
		cmocka_unit_test(a_refused_stream_leaves_the_connection),
		cmocka_unit_test(a_paused_stream_stops_at_its_window),
		cmocka_unit_test(a_drain_finishes_what_runs),
		cmocka_unit_test(streams_above_goaway_are_refused),
		cmocka_unit_test(broken_requests_are_reset_unseen),
		cmocka_unit_test(a_body_is_as_long_as_it_said),
		cmocka_unit_test(trailers_end_a_request),
		cmocka_unit_test(a_header_list_too_big_is_431),
		cmocka_unit_test(frames_on_closed_streams_are_told_apart),
		cmocka_unit_test(new_streams_after_goaway_are_ignored),
		cmocka_unit_test(another_protocol_is_refused),
		cmocka_unit_test(a_frame_that_breaks_the_connection_ends_it),
		cmocka_unit_test(garbage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
