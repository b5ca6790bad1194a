#pragma once
/* The frames of the child protocol; used by both ends and nobody else. */
#include "core/buf.h"

struct worker_frame {
	uint32_t length, id; /* id 0: a notice */
	uint16_t method;
	uint16_t status; /* of an answer: errno, 0 = success */
	uint32_t deadline_ms;
};
/* Sets f->length. False when `out` cannot take it; nothing is put then. */
bool worker_frame_put(struct buf *out, struct worker_frame f, struct sv body);
/*
 * The frame at the front of `in`: its size with the header (buf_take() it when done), 0 when it is
 * not whole yet, -EBADMSG when it is longer than allowed.
 */
int64_t worker_frame_peek(const struct buf *in, struct worker_frame *f, struct sv *body);
