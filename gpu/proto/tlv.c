#include "gpu/proto/tlv.h"

#include <errno.h>

enum { TLV_HEAD = 6 };

static void tlv_put_head(struct buf *b, uint16_t tag, uint32_t n)
{
	uint8_t head[TLV_HEAD];
	size_t i;

	head[0] = (uint8_t)tag;
	head[1] = (uint8_t)(tag >> 8);
	for (i = 0; i < 4; i++)
		head[2 + i] = (uint8_t)(n >> (8 * i));
	buf_put(b, head, sizeof(head));
}

void tlv_put(struct buf *b, uint16_t tag, struct sv bytes)
{
	must(bytes.n <= UINT32_MAX);
	tlv_put_head(b, tag, (uint32_t)bytes.n);
	buf_put_sv(b, bytes);
}

void tlv_put_str(struct buf *b, uint16_t tag, const char *s)
{
	if (s)
		tlv_put(b, tag, sv_str(s));
}

void tlv_put_u64(struct buf *b, uint16_t tag, uint64_t v)
{
	uint8_t bytes[8];
	size_t n;

	for (n = 0; v; v >>= 8)
		bytes[n++] = (uint8_t)v;
	tlv_put(b, tag, sv_make(bytes, n));
}

/* Zigzag, so that -1 takes one byte. */
void tlv_put_i64(struct buf *b, uint16_t tag, int64_t v)
{
	tlv_put_u64(b, tag, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

size_t tlv_open(struct buf *b, uint16_t tag)
{
	tlv_put_head(b, tag, 0);
	return buf_len(b);
}

void tlv_close(struct buf *b, size_t mark)
{
	size_t n, i;

	if (b->full)
		return; /* what did not fit was dropped: the owner sees `full` */
	must(mark >= TLV_HEAD && mark <= buf_len(b));
	n = buf_len(b) - mark;
	must(n <= UINT32_MAX);
	for (i = 0; i < 4; i++)
		b->data[b->start + mark - 4 + i] = (char)(uint8_t)(n >> (8 * i));
}

struct tlv_reader tlv_read(struct sv bytes)
{
	return (struct tlv_reader){ .rest = bytes };
}

bool tlv_next(struct tlv_reader *r, uint16_t *tag, struct sv *value)
{
	const uint8_t *p = (const uint8_t *)r->rest.p;
	uint32_t n;

	if (r->bad || r->rest.n == 0)
		return false;
	if (r->rest.n < TLV_HEAD) {
		r->bad = true;
		return false;
	}
	n = (uint32_t)p[2] | (uint32_t)p[3] << 8 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 24;
	if (n > r->rest.n - TLV_HEAD) {
		r->bad = true;
		return false;
	}
	*tag = (uint16_t)(p[0] | p[1] << 8);
	*value = sv_make(p + TLV_HEAD, n);
	r->rest = sv_drop(r->rest, TLV_HEAD + (size_t)n);
	return true;
}

int tlv_done(const struct tlv_reader *r)
{
	return r->bad ? -EBADMSG : 0;
}

int tlv_u64(struct sv value, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (value.n > 8)
		return -EBADMSG;
	for (i = value.n; i > 0; i--)
		v = v << 8 | (uint8_t)value.p[i - 1];
	*out = v;
	return 0;
}

int tlv_i64(struct sv value, int64_t *out)
{
	uint64_t v;
	int r;

	r = tlv_u64(value, &v);
	if (r < 0)
		return r;
	*out = (int64_t)((v >> 1) ^ (v & 1 ? UINT64_MAX : 0));
	return 0;
}

int tlv_text(struct sv value, char *out, size_t size)
{
	if (value.n >= size || (value.n && memchr(value.p, 0, value.n)))
		return -EBADMSG;
	if (value.n)
		memcpy(out, value.p, value.n);
	out[value.n] = '\0';
	return 0;
}

static void tlv_put_field(struct buf *b, const struct tlv_field *f, const char *at)
{
	switch (f->kind) {
	case TLV_U32:
		if (*(const uint32_t *)(const void *)at)
			tlv_put_u64(b, f->tag, *(const uint32_t *)(const void *)at);
		return;
	case TLV_I64:
		if (*(const int64_t *)(const void *)at)
			tlv_put_i64(b, f->tag, *(const int64_t *)(const void *)at);
		return;
	case TLV_U64:
		if (*(const uint64_t *)(const void *)at)
			tlv_put_u64(b, f->tag, *(const uint64_t *)(const void *)at);
		return;
	case TLV_BOOL:
		if (*(const bool *)at)
			tlv_put_u64(b, f->tag, 1);
		return;
	case TLV_TEXT:
		if (*at)
			tlv_put_str(b, f->tag, at);
		return;
	}
	must(false);
}

void tlv_put_fields(struct buf *b, const struct tlv_field *table, size_t n, const void *from)
{
	size_t i;

	for (i = 0; i < n; i++)
		tlv_put_field(b, &table[i], (const char *)from + table[i].offset);
}

static int tlv_get_u32(struct sv value, uint32_t *out)
{
	uint64_t v;
	int r;

	r = tlv_u64(value, &v);
	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return -EBADMSG;
	*out = (uint32_t)v;
	return 0;
}

static int tlv_get_bool(struct sv value, bool *out)
{
	uint64_t v;
	int r;

	r = tlv_u64(value, &v);
	if (r == 0)
		*out = v != 0;
	return r;
}

int tlv_get_field(const struct tlv_field *table, size_t n, uint16_t tag, struct sv value,
		  void *into)
{
	void *at;
	size_t i;

	for (i = 0; i < n && table[i].tag != tag; i++)
		;
	if (i == n)
		return 1;
	at = (char *)into + table[i].offset;
	switch (table[i].kind) {
	case TLV_U32:
		return tlv_get_u32(value, at);
	case TLV_I64:
		return tlv_i64(value, at);
	case TLV_U64:
		return tlv_u64(value, at);
	case TLV_BOOL:
		return tlv_get_bool(value, at);
	case TLV_TEXT:
		return tlv_text(value, at, table[i].size);
	}
	must(false);
}
