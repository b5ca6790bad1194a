/* What a peer may send of frames that bring nothing: where patience ends, and with whom it does
 * not. */
#include "test/unit/transport/h2_world.h"

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

static void floods_end_the_connection(void **state)
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
static void resets_of_refused_requests_are_counted(void **state)
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
static void interim_answers_without_end_are_a_flood(void **state)
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
static void a_ping_for_each_message_is_no_flood(void **state)
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
static void patience_grows_back(void **state)
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

static void rapid_resets_end_the_connection(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floods_end_the_connection),
		cmocka_unit_test(resets_of_refused_requests_are_counted),
		cmocka_unit_test(interim_answers_without_end_are_a_flood),
		cmocka_unit_test(a_ping_for_each_message_is_no_flood),
		cmocka_unit_test(patience_grows_back),
		cmocka_unit_test(rapid_resets_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
