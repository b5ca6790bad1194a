#pragma once
/*
 * Tag-length-value: the encoding of what tundra and its workers tell each other, and of plans in
 * the ledger. A field is {u16 tag, u32 length, bytes}, little endian; integers take their
 * significant bytes only; a struct is a field whose bytes are fields. An unknown tag is skipped by
 * readers of messages and kept by the plan, so either side may be newer.
 * Readers take nothing on trust: a length beyond the view makes the reader `bad`, for good.
 */
#include "core/buf.h"

struct tlv_reader {
	struct sv rest;
	bool bad;
};

void tlv_put(struct buf *b, uint16_t tag, struct sv bytes);
void tlv_put_str(struct buf *b, uint16_t tag, const char *s); /* NULL writes nothing */
void tlv_put_u64(struct buf *b, uint16_t tag, uint64_t v);
void tlv_put_i64(struct buf *b, uint16_t tag, int64_t v);
/* Opens a nested field; what is put until tlv_close() of the returned mark is inside it. */
size_t tlv_open(struct buf *b, uint16_t tag);
void tlv_close(struct buf *b, size_t mark);

struct tlv_reader tlv_read(struct sv bytes);
/* The next field; false at the end and for a malformed rest: tlv_done() tells which. */
bool tlv_next(struct tlv_reader *r, uint16_t *tag, struct sv *value);
int tlv_done(const struct tlv_reader *r) NODISCARD; /* 0, -EBADMSG */
int tlv_u64(struct sv value, uint64_t *out) NODISCARD;
int tlv_i64(struct sv value, int64_t *out) NODISCARD;
/* Copies into `out`; -EBADMSG when it does not fit or holds a NUL. */
int tlv_text(struct sv value, char *out, size_t size) NODISCARD;

/* A flat struct as a table: one row per member, the same for both directions. */
enum tlv_kind { TLV_U32, TLV_I64, TLV_U64, TLV_BOOL, TLV_TEXT };
struct tlv_field {
	uint16_t tag;
	enum tlv_kind kind;
	size_t offset, size; /* size: of a TLV_TEXT's array */
};
#define TLV_FIELD(t, k, type, member)                                                              \
	{                                                                                          \
		.tag = (t), .kind = (k), .offset = offsetof(type, member),                         \
		.size = sizeof(((type *)0)->member)                                                \
	}
/* Zero and "" are not written: absent reads as zero. */
void tlv_put_fields(struct buf *b, const struct tlv_field *table, size_t n, const void *from);
/* 0: stored; 1: no such tag in the table; -EBADMSG. */
int tlv_get_field(const struct tlv_field *table, size_t n, uint16_t tag, struct sv value,
		  void *into) NODISCARD;
