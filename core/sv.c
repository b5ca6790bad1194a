#include "core/sv.h"

#include <errno.h>

#include "core/mem.h"

struct sv sv_str(const char *s)
{
	return s ? (struct sv){ s, strlen(s) } : SV_NONE;
}

struct sv sv_make(const void *p, size_t n)
{
	return (struct sv){ p, n };
}

bool sv_eq(struct sv a, struct sv b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool sv_eqs(struct sv a, const char *s)
{
	return sv_eq(a, sv_str(s));
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool sv_ieq(struct sv a, struct sv b)
{
	size_t i;

	if (a.n != b.n)
		return false;
	for (i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

int sv_cmp(struct sv a, struct sv b)
{
	size_t n = MIN(a.n, b.n);
	int r = n ? memcmp(a.p, b.p, n) : 0;

	if (r)
		return r < 0 ? -1 : 1;
	return (a.n > b.n) - (a.n < b.n);
}

bool sv_starts(struct sv s, struct sv prefix)
{
	return s.n >= prefix.n && sv_eq(sv_make(s.p, prefix.n), prefix);
}

bool sv_ends(struct sv s, struct sv suffix)
{
	return s.n >= suffix.n && sv_eq(sv_drop(s, s.n - suffix.n), suffix);
}

static bool space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct sv sv_trim(struct sv s)
{
	while (s.n && space(s.p[0]))
		s = sv_drop(s, 1);
	while (s.n && space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct sv sv_drop(struct sv s, size_t n)
{
	n = MIN(n, s.n);
	return (struct sv){ n ? s.p + n : s.p, s.n - n }; /* NULL takes no offset, not even 0 */
}

struct sv sv_cut(struct sv *s, char sep)
{
	ptrdiff_t at = sv_find(*s, sep);
	struct sv head = *s;

	if (at < 0) {
		*s = sv_drop(*s, s->n);
		return head;
	}
	head.n = (size_t)at;
	*s = sv_drop(*s, head.n + 1);
	return head;
}

ptrdiff_t sv_find(struct sv s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

int sv_u64(struct sv s, uint64_t *out)
{
	uint64_t v = 0;
	bool over = false;
	size_t i;

	if (!s.n)
		return -EINVAL;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		over |= __builtin_mul_overflow(v, 10, &v);
		over |= __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
	}
	if (over)
		return -ERANGE;
	*out = v;
	return 0;
}

int sv_i64(struct sv s, int64_t *out)
{
	bool minus = s.n && s.p[0] == '-';
	uint64_t v;
	int r;

	r = sv_u64(sv_drop(s, minus ? 1 : 0), &v);
	if (r)
		return r;
	if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
		return -ERANGE;
	/* Negated while unsigned: -INT64_MIN does not exist. */
	*out = (int64_t)(minus ? 0 - v : v);
	return 0;
}

int sv_bool(struct sv s, bool *out)
{
	static const char *const yes[] = { "true", "True", "TRUE", "t", "T", "1" };
	static const char *const no[] = { "false", "False", "FALSE", "f", "F", "0" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (sv_eqs(s, yes[i]) || sv_eqs(s, no[i])) {
			*out = sv_eqs(s, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

static bool follows(struct sv s, size_t n)
{
	size_t i;

	if (s.n < n)
		return false;
	for (i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return false;
	}
	return true;
}

size_t sv_utf8(struct sv s)
{
	unsigned char a, b;

	if (!s.n)
		return 0;
	a = (unsigned char)s.p[0];
	if (a < 0x80)
		return 1;
	b = s.n > 1 ? (unsigned char)s.p[1] : 0;
	if (a >= 0xc2 && a <= 0xdf)
		return follows(s, 2) ? 2 : 0;
	/* The second byte's range keeps out overlong forms, surrogates and what is past U+10FFFF.
	 */
	if (a >= 0xe0 && a <= 0xef) {
		if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f))
			return 0;
		return follows(s, 3) ? 3 : 0;
	}
	if (a >= 0xf0 && a <= 0xf4) {
		if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f))
			return 0;
		return follows(s, 4) ? 4 : 0;
	}
	return 0;
}

char *sv_dup(struct sv s)
{
	char *p = mem_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

bool sv_copy(char *dst, size_t size, struct sv s)
{
	size_t n;

	must(size > 0);
	n = MIN(s.n, size - 1);
	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.n;
}
