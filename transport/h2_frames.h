#pragma once
/*
 * Where HTTP/2 frames begin in the bytes that arrive, ahead of nghttp2, for two reasons.
 *
 * nghttp2 can answer frames on closed streams as RFC 9113 5.1 wants only for closed streams that it
 * remembers, 224 bytes each and as many as may be open at once. The server here judges by the head:
 * a stream whose id was used up and that is not open is closed. What a client sent before it
 * learned of our reset is ignored.
 *
 * And Debian's nghttp2 takes each piece of a CONTINUATION's head for a frame of its own and ends
 * the connection at the ninth: heads are given to it whole.
 */
#include "core/sv.h"

enum {
	H2_FRAME_HEAD = 9,
	H2_RESETS_KEPT = 128, /* our last resets, of which the peer may not know yet */
};

struct h2_frames {
	unsigned char head[H2_FRAME_HEAD];
	size_t preface_left, head_n, payload_left;
	uint32_t last_id; /* highest stream that the client opened */
	uint32_t resets[H2_RESETS_KEPT];
	size_t resets_n;
};
struct h2_frame {
	unsigned type, flags;
	uint32_t id;
	size_t length;
};

void h2_frames_init(struct h2_frames *f, bool client);
/*
 * The next bytes for nghttp2, moved off *in: preface, the rest of a payload, or a whole head with
 * what is there of its payload. Empty: more is needed. *began: a frame begins in these bytes.
 */
struct sv h2_frames_next(struct h2_frames *f, struct sv *in, struct h2_frame *frame, bool *began);
void h2_frames_note_reset(struct h2_frames *f, uint32_t id);
/* Server: is this frame for a stream that is over? `open`: nghttp2 knows the stream. */
bool h2_frames_is_late(struct h2_frames *f, const struct h2_frame *frame, bool open);
