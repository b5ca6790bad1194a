#include "transport/grpc.h"

#include <errno.h>

#include "transport/h2.h"

const char *grpc_code_name(int code)
{
	static const char *const names[] = {
		"OK",
		"Canceled",
		"Unknown",
		"InvalidArgument",
		"DeadlineExceeded",
		"NotFound",
		"AlreadyExists",
		"PermissionDenied",
		"ResourceExhausted",
		"FailedPrecondition",
		"Aborted",
		"OutOfRange",
		"Unimplemented",
		"Internal",
		"Unavailable",
		"DataLoss",
		"Unauthenticated",
	};

	if (code < 0 || (size_t)code >= ARRAY_LEN(names))
		return "an unknown code";
	return names[code];
}

enum grpc_code grpc_code_of_http(int status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

enum grpc_code grpc_code_of_reset(uint32_t h2_code)
{
	switch (h2_code) {
	case H2_REFUSED_STREAM:
	case H2_CODE_LOST:
		return GRPC_UNAVAILABLE;
	case H2_CANCEL:
		return GRPC_CANCELLED;
	case H2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case 12: /* INADEQUATE_SECURITY */
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

void grpc_prefix(unsigned char out[GRPC_PREFIX], size_t message_n)
{
	must(message_n <= UINT32_MAX);
	out[0] = 0;
	out[1] = (unsigned char)(message_n >> 24);
	out[2] = (unsigned char)(message_n >> 16);
	out[3] = (unsigned char)(message_n >> 8);
	out[4] = (unsigned char)message_n;
}

void grpc_reader_init(struct grpc_reader *r, size_t max)
{
	*r = (struct grpc_reader){ .max = max };
	buf_init(&r->message, max ? max : 1);
}

void grpc_reader_done(struct grpc_reader *r)
{
	buf_done(&r->message);
}

static bool prefix_whole(struct grpc_reader *r, struct sv *in)
{
	const unsigned char *p = r->prefix;

	while (r->prefix_n < GRPC_PREFIX && in->n) {
		r->prefix[r->prefix_n++] = (unsigned char)in->p[0];
		*in = sv_drop(*in, 1);
	}
	if (r->prefix_n < GRPC_PREFIX)
		return false;
	r->want = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	return true;
}

int grpc_reader_feed(struct grpc_reader *r, struct sv *in)
{
	size_t n;

	if (r->prefix_n == GRPC_PREFIX && buf_len(&r->message) == r->want) {
		r->prefix_n = 0;
		buf_clear(&r->message);
	}
	if (!prefix_whole(r, in))
		return GRPC_READER_MORE;
	if (r->prefix[0])
		return GRPC_READER_COMPRESSED;
	if (r->want > r->max)
		return GRPC_READER_TOO_BIG;
	n = MIN(in->n, r->want - buf_len(&r->message));
	must(buf_put(&r->message, in->p, n));
	*in = sv_drop(*in, n);
	return buf_len(&r->message) == r->want ? GRPC_READER_MESSAGE : GRPC_READER_MORE;
}

bool grpc_reader_idle(const struct grpc_reader *r)
{
	return !r->prefix_n || (r->prefix_n == GRPC_PREFIX && !r->prefix[0] && r->want <= r->max &&
				buf_len(&r->message) == r->want);
}

int grpc_timeout_parse(struct sv s, uint64_t *us)
{
	static const struct {
		char unit;
		uint64_t us;
	} units[] = {
		{ 'H', 3600000000 }, { 'M', 60000000 }, { 'S', 1000000 }, { 'm', 1000 }, { 'u', 1 }
	};
	uint64_t v;
	size_t i;

	if (s.n < 2 || s.n > 9 || sv_u64(sv_make(s.p, s.n - 1), &v) < 0)
		return -EINVAL;
	if (s.p[s.n - 1] == 'n') {
		*us = (v + 999) / 1000;
		return 0;
	}
	for (i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == s.p[s.n - 1]) {
			*us = v * units[i].us; /* 8 digits of hours fit */
			return 0;
		}
	return -EINVAL;
}

void grpc_timeout_format(char out[16], uint64_t ms)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = { { 'm', 1 }, { 'S', 1000 }, { 'M', 60000 }, { 'H', 3600000 } };
	size_t i = 0;

	/* The finest unit with at most eight digits. */
	while (i + 1 < ARRAY_LEN(units) && ms / units[i].ms > 99999999)
		i++;
	(void)snprintf(out, 16, "%llu%c",
		       (unsigned long long)MIN(ms / units[i].ms, (uint64_t)99999999),
		       units[i].unit);
}

void grpc_percent_encode(struct buf *out, struct sv text)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t i, from = 0;
	unsigned char c;

	text.n = MIN(text.n, (size_t)GRPC_TEXT_MAX);
	for (i = 0; i < text.n; i++) {
		c = (unsigned char)text.p[i];
		if (c >= 0x20 && c <= 0x7e && c != '%')
			continue;
		buf_put(out, text.p + from, i - from);
		buf_put(out, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
		from = i + 1;
	}
	buf_put(out, text.p + from, text.n - from);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is not a proper escape stays as it is: the text is for people. */
void grpc_percent_decode(struct buf *out, struct sv text)
{
	size_t i;

	for (i = 0; i < text.n; i++) {
		if (text.p[i] == '%' && i + 2 < text.n && hex_value(text.p[i + 1]) >= 0 &&
		    hex_value(text.p[i + 2]) >= 0) {
			buf_putc(out,
				 (char)(hex_value(text.p[i + 1]) << 4 | hex_value(text.p[i + 2])));
			i += 2;
		} else {
			buf_putc(out, text.p[i]);
		}
	}
}
