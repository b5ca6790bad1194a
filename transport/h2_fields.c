#include "transport/h2_fields.h"

#include <nghttp2/nghttp2.h>

#include "core/mem.h"

enum {
	FIELD_OVERHEAD = 32, /* RFC 9113 6.5.2 */
	FIELDS_FIRST = 16,
	TEXT_KEEP = 4096, /* memory kept between blocks */
};

void h2_fields_init(struct h2_fields *f, size_t max)
{
	*f = (struct h2_fields){ .v = NULL };
	buf_init(&f->text, max);
}

void h2_fields_done(struct h2_fields *f)
{
	buf_done(&f->text);
	mem_free(f->v);
	f->v = NULL;
	f->n = f->size = 0;
}

void h2_fields_clear(struct h2_fields *f)
{
	if (f->text.size > TEXT_KEEP)
		h2_fields_done(f);
	buf_clear(&f->text);
	f->n = f->list_size = 0;
	f->too_big = false;
}

void h2_fields_add(struct h2_fields *f, struct sv name, struct sv value)
{
	f->list_size += name.n + value.n + FIELD_OVERHEAD;
	if (f->list_size > f->text.cap)
		f->too_big = true;
	if (f->too_big)
		return;
	if (f->n == f->size) {
		f->size = f->size ? f->size * 2 : FIELDS_FIRST;
		f->v = mem_realloc(f->v, f->size, sizeof(*f->v));
	}
	must(buf_put_sv(&f->text, name) && buf_put_sv(&f->text, value));
	f->v[f->n++] = (struct h2_header){ { NULL, name.n }, { NULL, value.n } };
}

void h2_fields_seal(struct h2_fields *f)
{
	struct sv text = buf_sv(&f->text);
	const char *p = text.p ? text.p : "";
	size_t i;

	for (i = 0; i < f->n; i++) {
		f->v[i].name.p = p;
		p += f->v[i].name.n;
		f->v[i].value.p = p;
		p += f->v[i].value.n;
	}
}

static const uint8_t *bytes(struct sv s)
{
	return (const uint8_t *)s.p;
}

/* Fields that speak of one connection; HTTP/2 has frames for that. */
static bool is_connection_field(struct sv name)
{
	static const char *const banned[] = { "connection", "keep-alive", "proxy-connection",
					      "transfer-encoding", "upgrade" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(banned); i++)
		if (sv_eqs(name, banned[i]))
			return true;
	return false;
}

static bool check_regular(const struct h2_header *h)
{
	if (!nghttp2_check_header_name(bytes(h->name), h->name.n) ||
	    !nghttp2_check_header_value(bytes(h->value), h->value.n))
		return false;
	if (is_connection_field(h->name))
		return false;
	return !sv_eqs(h->name, "te") || sv_ieq(h->value, SV("trailers"));
}

/*
 * What names a host, and what grpc-go puts there for a unix socket: the path, percent-encoded or,
 * in old releases, raw. Visible ASCII without the characters that open a quotation or a comment.
 */
static bool check_authority(struct sv s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"<>\\^`{|}#", s.p[i]))
			return false;
	return true;
}

enum pseudo { METHOD = 1, SCHEME = 2, PATH = 4, AUTHORITY = 8 };

static unsigned pseudo_of(struct sv name)
{
	if (sv_eqs(name, ":method"))
		return METHOD;
	if (sv_eqs(name, ":scheme"))
		return SCHEME;
	if (sv_eqs(name, ":path"))
		return PATH;
	return sv_eqs(name, ":authority") ? AUTHORITY : 0;
}

static bool check_pseudo(unsigned which, struct sv value)
{
	switch (which) {
	case METHOD:
		return nghttp2_check_method(bytes(value), value.n) != 0;
	case PATH:
		return value.n && nghttp2_check_path(bytes(value), value.n) &&
		       (value.p[0] == '/' || sv_eqs(value, "*"));
	case SCHEME:
		return value.n && nghttp2_check_header_value(bytes(value), value.n);
	case AUTHORITY:
		return check_authority(value);
	default:
		return false;
	}
}

/* CONNECT names a host only; everything else says what is asked for and how. */
static bool has_what_it_needs(unsigned seen, struct sv method)
{
	if (sv_eqs(method, "CONNECT"))
		return (seen & (AUTHORITY | SCHEME | PATH)) == AUTHORITY;
	return (seen & (METHOD | SCHEME | PATH)) == (METHOD | SCHEME | PATH);
}

static bool check_length(struct sv value, int64_t *length)
{
	int64_t v;

	if (sv_i64(value, &v) < 0 || v < 0 || (*length >= 0 && *length != v))
		return false;
	*length = v;
	return true;
}

bool h2_fields_check_request(const struct h2_header *h, size_t n, int64_t *length)
{
	struct sv method = SV_NONE;
	unsigned seen = 0, which;
	size_t i;

	*length = -1;
	for (i = 0; i < n && h[i].name.n && h[i].name.p[0] == ':'; i++) {
		which = pseudo_of(h[i].name);
		if (!which || seen & which || !check_pseudo(which, h[i].value))
			return false;
		seen |= which;
		if (which == METHOD)
			method = h[i].value;
	}
	if (!has_what_it_needs(seen, method))
		return false;
	for (; i < n; i++) {
		/* A pseudo field behind a regular one fails here, by its colon. */
		if (!h[i].name.n || h[i].name.p[0] == ':' || !check_regular(&h[i]))
			return false;
		if (sv_eqs(h[i].name, "content-length") && !check_length(h[i].value, length))
			return false;
	}
	return true;
}

bool h2_fields_check_trailers(const struct h2_header *h, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!h[i].name.n || h[i].name.p[0] == ':' || !check_regular(&h[i]))
			return false;
	return true;
}

struct sv h2_fields_get(const struct h2_header *h, size_t n, struct sv name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (sv_eq(h[i].name, name))
			return h[i].value;
	return SV_NONE;
}
