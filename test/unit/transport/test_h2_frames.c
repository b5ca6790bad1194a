#include "transport/h2_frames.h"

#include "frames.h"
#include "lab.h"

enum { FRAMES = 4 };

/* Some frames behind a preface, and what the scanner must say of each. */
static void make(struct buf *b)
{
	put_hello(b);					 /* preface, SETTINGS */
	put_frame(b, F_HEADERS, 5, 1, SV("0123456789")); /* 10 bytes */
	put_frame(b, F_PING, 0, 0, SV("12345678"));
	put_frame(b, F_CONT, 0, 0x80000003u, SV_NONE); /* the reserved bit is not the id's */
}

static void scan(const char *bytes, size_t n, size_t step)
{
	static const struct h2_frame want[FRAMES] = { { F_SETTINGS, 0, 0, 0 },
						      { F_HEADERS, 5, 1, 10 },
						      { F_PING, 0, 0, 8 },
						      { F_CONT, 0, 3, 0 } };
	struct h2_frames f;
	struct h2_frame frame;
	size_t from = 0, seen = 0;
	struct buf out;
	bool began;

	h2_frames_init(&f, false);
	buf_init(&out, 1024);
	while (from < n) {
		struct sv in = sv_make(bytes + from, MIN(step, n - from));

		from += in.n;
		while (in.n) {
			struct sv piece = h2_frames_next(&f, &in, &frame, &began);

			buf_put_sv(&out, piece);
			if (!began)
				continue;
			/* A head is never given in pieces. */
			assert_true(piece.n >= H2_FRAME_HEAD);
			assert_true(seen < FRAMES);
			assert_memory_equal(&frame, &want[seen], sizeof(frame));
			seen++;
		}
	}
	/* Every byte passes once and in order. */
	assert_int_equal(seen, FRAMES);
	assert_int_equal(buf_len(&out), n);
	assert_memory_equal(buf_sv(&out).p, bytes, n);
	buf_done(&out);
}

static void test_split(void **state)
{
	struct buf b;
	size_t step;

	(void)state;
	buf_init(&b, 1024);
	make(&b);
	for (step = 1; step <= buf_len(&b); step++)
		scan(b.data, buf_len(&b), step);
	buf_done(&b);
}

static bool late(struct h2_frames *f, unsigned type, uint32_t id, bool open)
{
	struct h2_frame frame = { .type = type, .id = id };

	return h2_frames_is_late(f, &frame, open);
}

static void test_late(void **state)
{
	struct h2_frames f;
	uint32_t i;

	(void)state;
	h2_frames_init(&f, false);
	assert_false(late(&f, F_DATA, 1, false)); /* idle: not ours to judge */
	assert_false(late(&f, F_HEADERS, 5, false));
	assert_false(late(&f, F_DATA, 5, true));
	assert_true(late(&f, F_DATA, 5, false));
	assert_true(late(&f, F_HEADERS, 5, false));
	assert_true(late(&f, F_HEADERS, 3, false)); /* skipped ids are closed */
	assert_false(late(&f, F_RST, 3, false));    /* always allowed */
	assert_false(late(&f, F_WINDOW, 3, false));
	assert_false(late(&f, F_HEADERS, 4, false)); /* even ids are nghttp2's to refuse */
	h2_frames_note_reset(&f, 3);
	assert_false(late(&f, F_DATA, 3, false));
	assert_false(late(&f, F_HEADERS, 3, false));
	for (i = 0; i < H2_RESETS_KEPT; i++)
		h2_frames_note_reset(&f, 100 + 2 * i);
	assert_true(late(&f, F_DATA, 3, false)); /* the oldest is forgotten */
	h2_frames_note_reset(&f, 3);
	assert_false(late(&f, F_DATA, 3, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_split),
					    cmocka_unit_test(test_late) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
