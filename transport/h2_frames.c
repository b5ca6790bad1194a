#include "transport/h2_frames.h"

#include <nghttp2/nghttp2.h>

void h2_frames_init(struct h2_frames *f, bool client)
{
	*f = (struct h2_frames){ .preface_left = client ? 0 : NGHTTP2_CLIENT_MAGIC_LEN };
}

static struct h2_frame read_head(const unsigned char *p)
{
	return (struct h2_frame){
		.length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
		.type = p[3],
		.flags = p[4],
		.id = (uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 |
		      p[8],
	};
}

struct sv h2_frames_next(struct h2_frames *f, struct sv *in, struct h2_frame *frame, bool *began)
{
	struct sv from = *in;
	size_t n, part;

	*began = false;
	n = MIN(f->preface_left + f->payload_left, in->n);
	if (n) {
		part = MIN(f->preface_left, n);
		f->preface_left -= part;
		f->payload_left -= n - part;
		*in = sv_drop(*in, n);
		return sv_make(from.p, n);
	}
	n = MIN(H2_FRAME_HEAD - f->head_n, in->n);
	memcpy(f->head + f->head_n, in->p, n);
	f->head_n += n;
	*in = sv_drop(*in, n);
	if (f->head_n < H2_FRAME_HEAD)
		return SV_NONE;
	f->head_n = 0;
	*frame = read_head(f->head);
	*began = true;
	f->payload_left = frame->length;
	if (n < H2_FRAME_HEAD)
		return sv_make(f->head, H2_FRAME_HEAD);
	part = MIN(f->payload_left, in->n);
	f->payload_left -= part;
	*in = sv_drop(*in, part);
	return sv_make(from.p, H2_FRAME_HEAD + part);
}

void h2_frames_note_reset(struct h2_frames *f, uint32_t id)
{
	f->resets[f->resets_n++ % H2_RESETS_KEPT] = id;
}

static bool was_reset_by_us(const struct h2_frames *f, uint32_t id)
{
	size_t i;

	for (i = 0; i < MIN(f->resets_n, (size_t)H2_RESETS_KEPT); i++)
		if (f->resets[i] == id)
			return true;
	return false;
}

bool h2_frames_is_late(struct h2_frames *f, const struct h2_frame *frame, bool open)
{
	if ((frame->type != NGHTTP2_HEADERS && frame->type != NGHTTP2_DATA) || !(frame->id & 1))
		return false;
	if (frame->id > f->last_id) {
		/* DATA on an id that was never used is nghttp2's to refuse. */
		if (frame->type == NGHTTP2_HEADERS)
			f->last_id = frame->id;
		return false;
	}
	return !open && !was_reset_by_us(f, frame->id);
}
