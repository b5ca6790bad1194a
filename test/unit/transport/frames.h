#pragma once
/* Raw HTTP/2 frames: what a peer of our own making could not be made to send. */
#include "core/buf.h"

enum {
	F_DATA,
	F_HEADERS,
	F_PRIORITY,
	F_RST,
	F_SETTINGS,
	F_PUSH,
	F_PING,
	F_GOAWAY,
	F_WINDOW,
	F_CONT
};
enum { F_END_STREAM = 1, F_ACK = 1, F_END_HEADERS = 4 };
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct frame {
	unsigned type, flags;
	uint32_t stream;
	struct sv payload;
};

static inline void put_u32(struct buf *b, uint32_t v)
{
	buf_put(b, (char[]){ (char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v }, 4);
}

static inline void put_frame(struct buf *b, unsigned type, unsigned flags, uint32_t stream,
			     struct sv payload)
{
	buf_put(b,
		(char[]){ (char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n,
			  (char)type, (char)flags },
		5);
	put_u32(b, stream);
	buf_put_sv(b, payload);
}

/* One field, literal without indexing, no Huffman; lengths below 127 + 128 * 128. */
static inline void put_length(struct buf *b, size_t n)
{
	if (n < 127) {
		buf_putc(b, (char)n);
		return;
	}
	buf_putc(b, 127);
	for (n -= 127; n >= 128; n /= 128)
		buf_putc(b, (char)(n % 128 + 128));
	buf_putc(b, (char)n);
}

static inline void put_field(struct buf *b, struct sv name, struct sv value)
{
	buf_putc(b, 0);
	put_length(b, name.n);
	buf_put_sv(b, name);
	put_length(b, value.n);
	buf_put_sv(b, value);
}

/* "name=value;name=value" */
static inline void put_fields(struct buf *b, const char *text)
{
	struct sv rest = sv_str(text);

	while (rest.n) {
		struct sv field = sv_cut(&rest, ';');
		struct sv name = sv_cut(&field, '=');

		put_field(b, name, field);
	}
}

static inline void put_headers(struct buf *b, uint32_t stream, const char *text, bool end)
{
	struct buf block;

	buf_init(&block, 1 << 20);
	put_fields(&block, text);
	put_frame(b, F_HEADERS, F_END_HEADERS | (end ? F_END_STREAM : 0), stream, buf_sv(&block));
	buf_done(&block);
}

static inline void put_hello(struct buf *b)
{
	buf_puts(b, PREFACE);
	put_frame(b, F_SETTINGS, 0, 0, SV_NONE);
}

/* Takes one whole frame off *in. */
static inline bool next_frame(struct sv *in, struct frame *f)
{
	const unsigned char *p = (const unsigned char *)in->p;
	size_t n;

	if (in->n < 9)
		return false;
	n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
	if (in->n < 9 + n)
		return false;
	f->type = p[3];
	f->flags = p[4];
	f->stream =
	    (uint32_t)(p[5] & 127) << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
	f->payload = sv_make(in->p + 9, n);
	*in = sv_drop(*in, 9 + n);
	return true;
}

/* The first frame of that type on that stream; false if there is none. */
static inline bool find_frame(struct sv in, unsigned type, uint32_t stream, struct frame *f)
{
	while (next_frame(&in, f))
		if (f->type == type && f->stream == stream)
			return true;
	return false;
}

static inline uint32_t frame_u32(const struct frame *f, size_t at)
{
	const unsigned char *p = (const unsigned char *)f->payload.p + at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
