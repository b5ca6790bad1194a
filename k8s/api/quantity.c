/*
 * text = [sign] digits [. digits] suffix. The decimal point is first moved by the suffix's power of
 * ten, so that integer and fraction are plain digit runs; each is then scaled by the power of two.
 */
#include "k8s/api/quantity.h"

#include <errno.h>

enum {
	TEXT_MAX = 256,	      /* bytes of a quantity; the server's own are below 30 */
	FRACTION_DIGITS = 18, /* exact: 10^18 * 2^60 < 2^127; later digits only round up */
	EXPONENT_MAX = 64,    /* beyond this everything is clamped or rounded to one nano */
	NANO_DIGITS = 9,
	NANOS = 1000000000, /* in one: 10^NANO_DIGITS */
};
typedef unsigned __int128 u128;

static const u128 nanos_max = (u128)INT64_MAX * NANOS;

static const struct {
	const char *text;
	int power10, power2;
} suffixes[] = {
	{ "", 0, 0 },	 { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },
	{ "k", 3, 0 },	 { "M", 6, 0 },	  { "G", 9, 0 },   { "T", 12, 0 },
	{ "P", 15, 0 },	 { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
	{ "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
};

/* What parsing finds before the arithmetic. `digits` are those of integer and fraction. */
struct scan {
	char digits[TEXT_MAX];
	int n, point; /* digits, and how many of them stand before the point */
	int power2;
	bool negative;
	enum quantity_format format;
};

static int scan_exponent(struct sv s, struct scan *out)
{
	uint64_t value;
	bool minus = sv_starts(s, SV("-"));
	int r;

	if (minus || sv_starts(s, SV("+")))
		s = sv_drop(s, 1);
	r = sv_u64(s, &value);
	if (r < 0)
		return -EINVAL;
	value = MIN(value, 2 * (uint64_t)TEXT_MAX);
	out->point += minus ? -(int)value : (int)value;
	out->format = QUANTITY_EXPONENT;
	return 0;
}

static int scan_suffix(struct sv s, struct scan *out)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (!sv_eqs(s, suffixes[i].text))
			continue;
		out->point += suffixes[i].power10;
		out->power2 = suffixes[i].power2;
		out->format = out->power2 ? QUANTITY_BINARY : QUANTITY_DECIMAL;
		return 0;
	}
	if (s.p[0] == 'e' || s.p[0] == 'E')
		return scan_exponent(sv_drop(s, 1), out);
	return -EINVAL;
}

static int scan_text(struct sv s, struct scan *out)
{
	bool point = false;
	size_t i;

	if (s.n >= TEXT_MAX)
		return -EINVAL;
	out->negative = sv_starts(s, SV("-"));
	if (out->negative || sv_starts(s, SV("+")))
		s = sv_drop(s, 1);
	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && !point) {
			point = true;
			out->point = out->n;
		} else if (s.p[i] >= '0' && s.p[i] <= '9') {
			out->digits[out->n++] = s.p[i];
		} else {
			break;
		}
	}
	if (!out->n)
		return -EINVAL;
	if (!point)
		out->point = out->n;
	return scan_suffix(sv_drop(s, i), out);
}

/* Digit at position i counted from the first one; zeros are implied on both sides. */
static unsigned scan_digit(const struct scan *s, int i)
{
	return i >= 0 && i < s->n ? (unsigned)(s->digits[i] - '0') : 0;
}

/* Integer part * 2^power2, or anything above INT64_MAX when it does not fit. */
static u128 scan_integer(const struct scan *s)
{
	u128 v = 0;

	for (int i = 0; i < s->point; i++) {
		v = v * 10 + scan_digit(s, i);
		if (v > INT64_MAX)
			return v;
	}
	return v << s->power2;
}

/* Fraction * 2^power2 in nanos, rounded up; may exceed 10^9 because of the power of two. */
static u128 scan_fraction(const struct scan *s)
{
	const u128 per_nano = 1000000000u; /* 10^(FRACTION_DIGITS - NANO_DIGITS) */
	u128 v = 0;
	bool rest = false;

	for (int i = s->point; i < s->point + FRACTION_DIGITS; i++)
		v = v * 10 + scan_digit(s, i);
	for (int i = MAX(s->point + FRACTION_DIGITS, 0); i < s->n; i++)
		rest = rest || s->digits[i] != '0';
	v <<= s->power2;
	return v / per_nano + (v % per_nano || rest);
}

int quantity_parse(struct sv text, struct quantity *out)
{
	struct scan s = { .n = 0 };
	u128 integer, nanos = nanos_max;
	int r;

	r = scan_text(text, &s);
	if (r < 0)
		return r;
	integer = scan_integer(&s);
	if (integer <= INT64_MAX)
		nanos = MIN(integer * NANOS + scan_fraction(&s), nanos_max);
	out->nanos = s.negative ? -(__int128)nanos : (__int128)nanos;
	out->format = s.format;
	return 0;
}

int quantity_read(const struct json *n, struct quantity *out)
{
	char text[40];

	switch (json_kind(n)) {
	case JSON_STR:
		return quantity_parse(json_sv(n), out);
	case JSON_INT:
		*out = quantity_count(json_i64(n, 0));
		return 0;
	case JSON_REAL:
		(void)snprintf(text, sizeof(text), "%.17g", json_num(n, 0));
		return quantity_parse(sv_str(text), out);
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_ARR:
	case JSON_OBJ:
	case JSON_NONE:
		break;
	}
	return -EINVAL;
}

struct quantity quantity_bytes(uint64_t bytes)
{
	return (struct quantity){ .nanos = (__int128)MIN(bytes, (uint64_t)INT64_MAX) * NANOS,
				  .format = QUANTITY_BINARY };
}

struct quantity quantity_count(int64_t n)
{
	/* The smallest int64 has no positive twin; the server clamps to the same bound. */
	return (struct quantity){ .nanos = (__int128)MAX(n, -INT64_MAX) * NANOS,
				  .format = QUANTITY_DECIMAL };
}

int quantity_cmp(const struct quantity *a, const struct quantity *b)
{
	return a->nanos < b->nanos ? -1 : a->nanos > b->nanos;
}

int quantity_i64(const struct quantity *q, int64_t *out)
{
	if (q->nanos % NANOS)
		return -ERANGE;
	*out = (int64_t)(q->nanos / NANOS);
	return 0;
}

/* Whole numbers of up to 28 digits: printf has no format for them. */
static char *put_integer(__int128 v, char *out)
{
	u128 rest = v < 0 ? (u128)-v : (u128)v;
	char digits[QUANTITY_TEXT_MAX];
	int n = 0;

	do
		digits[n++] = (char)('0' + (int)(rest % 10));
	while (rest /= 10);
	if (v < 0)
		*out++ = '-';
	while (n)
		*out++ = digits[--n];
	*out = '\0';
	return out;
}

/* Decimal: the largest power of 1000 that leaves no fraction. */
static void put_decimal(__int128 nanos, enum quantity_format format, char *out)
{
	static const char *const si[] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
	int power = -NANO_DIGITS;

	while (nanos % 1000 == 0 && power < 18) {
		nanos /= 1000;
		power += 3;
	}
	out = put_integer(nanos, out);
	if (format != QUANTITY_EXPONENT)
		(void)snprintf(out, 4, "%s", si[(power + NANO_DIGITS) / 3]);
	else if (power)
		(void)snprintf(out, 8, "e%d", power);
}

static void put_binary(__int128 whole, char *out)
{
	static const char *const iec[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
	size_t power = 0;

	while (whole % 1024 == 0 && power + 1 < ARRAY_LEN(iec)) {
		whole /= 1024;
		power++;
	}
	out = put_integer(whole, out);
	(void)snprintf(out, 4, "%s", iec[power]);
}

void quantity_put(const struct quantity *q, char out[QUANTITY_TEXT_MAX])
{
	__int128 whole = q->nanos / NANOS;

	if (!q->nanos)
		(void)snprintf(out, QUANTITY_TEXT_MAX, "0");
	else if (q->format == QUANTITY_BINARY && q->nanos % NANOS == 0 &&
		 (whole >= 1024 || whole <= -1024))
		put_binary(whole, out);
	else /* small or fractional binary values are shown in SI, as the server does */
		put_decimal(q->nanos, q->format == QUANTITY_BINARY ? QUANTITY_DECIMAL : q->format,
			    out);
}
