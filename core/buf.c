#include "core/buf.h"

#include <math.h>

#include "core/mem.h"

/*
 * One allocation of size + 1 bytes, so that a terminator always fits behind the content. Consumed
 * bytes at the front are reused by moving the rest down once they outweigh it: each byte moves a
 * constant number of times on average.
 */
enum { BUF_FIRST = 255 }; /* with the terminator powers of two, which malloc likes */

void buf_init(struct buf *b, size_t cap)
{
	must(cap > 0 && cap < SIZE_MAX);
	*b = (struct buf){ .cap = cap };
}

void buf_done(struct buf *b)
{
	mem_free(b->data);
	*b = (struct buf){ .cap = b->cap };
}

void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
	b->full = false;
}

void buf_trim(struct buf *b)
{
	if (b->start != b->end)
		return;
	mem_free(b->data);
	b->data = NULL;
	b->start = b->end = b->size = 0;
}

size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

struct sv buf_sv(const struct buf *b)
{
	return b->data ? sv_make(b->data + b->start, buf_len(b)) : SV_NONE;
}

static void grow(struct buf *b, size_t need)
{
	size_t size = b->size ? b->size : MIN(BUF_FIRST, b->cap);

	while (size < need)
		size = size >= b->cap / 2 ? b->cap : size * 2 + 1;
	b->data = mem_realloc(b->data, size + 1, 1);
	b->size = size;
}

static void move_down(struct buf *b)
{
	if (!b->start)
		return;
	must(b->data);
	memmove(b->data, b->data + b->start, buf_len(b));
	b->end -= b->start;
	b->start = 0;
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (n > b->cap - len) {
		b->full = true;
		return NULL;
	}
	if (b->data && n <= b->size - b->end)
		return b->data + b->end;
	/* The second reason: near the cap only the front is left to give. */
	if (b->start >= len || n > b->cap - b->end)
		move_down(b);
	if (!b->data || n > b->size - b->end)
		grow(b, b->end + n);
	return b->data + b->end;
}

void buf_commit(struct buf *b, size_t n)
{
	must(n <= b->size - b->end);
	b->end += n;
}

bool buf_put(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);

	if (!to)
		return false;
	if (n)
		memcpy(to, p, n);
	buf_commit(b, n);
	return true;
}

bool buf_put_sv(struct buf *b, struct sv s)
{
	return buf_put(b, s.p, s.n);
}

bool buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

bool buf_putc(struct buf *b, char c)
{
	return buf_put(b, &c, 1);
}

bool buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->data ? b->size - b->end : 0;
	va_list again;
	char *to;
	int n;

	va_copy(again, ap);
	/* Into the spare room first: most lines fit, and then this is the only formatting. */
	n = vsnprintf(room ? b->data + b->end : NULL, room ? room + 1 : 0, fmt, ap);
	must(n >= 0);
	if ((size_t)n > room || !room) {
		to = buf_reserve(b, (size_t)n);
		if (to)
			(void)vsnprintf(to, (size_t)n + 1, fmt, again);
	} else {
		to = b->data + b->end;
	}
	va_end(again);
	if (!to)
		return false;
	buf_commit(b, (size_t)n);
	return true;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return ok;
}

bool buf_put_real(struct buf *b, double v)
{
	char text[40];
	int digits;

	if (isnan(v))
		return buf_puts(b, "NaN");
	if (isinf(v))
		return buf_puts(b, v > 0 ? "+Inf" : "-Inf");
	/* 17 digits always suffice; nobody sets a locale with another decimal point. */
	for (digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	return buf_puts(b, text);
}

void buf_take(struct buf *b, size_t n)
{
	must(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

const char *buf_cstr(struct buf *b)
{
	if (!b->data)
		return "";
	b->data[b->end] = '\0';
	return b->data + b->start;
}

char *buf_steal(struct buf *b)
{
	size_t len = buf_len(b);
	char *p = b->data ? b->data : mem_alloc(1);

	if (len && b->start)
		memmove(p, p + b->start, len);
	p[len] = '\0';
	*b = (struct buf){ .cap = b->cap };
	return p;
}
