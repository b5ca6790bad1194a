#pragma once
/*
 * A growing byte queue with a cap: bytes enter at the end and leave at the front.
 * Invariant: start <= end <= size <= cap. The owner embeds it; buf_done() releases.
 * A put beyond the cap sets `full` and is dropped whole; callers that face a peer check it.
 */
#include <stdarg.h>

#include "core/sv.h"

struct buf {
	char *data;
	size_t start, end, size, cap;
	bool full; /* something did not fit; sticky until buf_clear() */
};

void buf_init(struct buf *b, size_t cap);
void buf_done(struct buf *b);
void buf_clear(struct buf *b); /* empties, keeps the memory */
void buf_trim(struct buf *b);  /* gives spare memory back when empty */
size_t buf_len(const struct buf *b);
struct sv buf_sv(const struct buf *b); /* valid until the next change */
bool buf_put(struct buf *b, const void *p, size_t n);
bool buf_put_sv(struct buf *b, struct sv s);
bool buf_puts(struct buf *b, const char *s);
bool buf_putc(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
bool buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);
/* The shortest decimal form that reads back as the same double; "NaN", "+Inf", "-Inf". */
bool buf_put_real(struct buf *b, double v);
/* Room for n bytes at the end, NULL beyond the cap; buf_commit() makes them part of the queue. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_take(struct buf *b, size_t n); /* drops n bytes from the front */
const char *buf_cstr(struct buf *b);	/* NUL-terminated content, valid until the next change */
char *buf_steal(struct buf *b);		/* NUL-terminated content, caller frees; b is empty after */
