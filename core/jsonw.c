#include "core/jsonw.h"

#include "core/mem.h"

/*
 * `closer[depth - 1]` is the bracket that ends the innermost container and thereby tells its kind.
 * Every value passes through begin(), which writes the comma, the line break and the indent.
 */
void jsonw_init(struct jsonw *w, struct buf *out)
{
	*w = (struct jsonw){ .out = out };
}

/* The bracket that ends the innermost container, '\0' at the top. */
static char inside(const struct jsonw *w)
{
	if (!w->depth)
		return '\0';
	return w->closer[w->depth - 1];
}

static void new_line(struct jsonw *w)
{
	size_t n = (size_t)w->indent * w->depth;
	char *to;

	if (!w->indent)
		return;
	to = buf_reserve(w->out, n + 1);
	if (!to)
		return;
	to[0] = '\n';
	memset(to + 1, ' ', n);
	buf_commit(w->out, n + 1);
}

static void separate(struct jsonw *w)
{
	if (w->comma)
		buf_putc(w->out, ',');
	if (w->depth)
		new_line(w);
}

static void begin(struct jsonw *w)
{
	if (inside(w) == '}') {
		must(w->keyed); /* a member needs its key */
		w->keyed = false;
	} else {
		must(!w->keyed && (w->depth || !w->comma)); /* one value at the top */
		separate(w);
	}
	w->comma = true;
}

/* Nearly every byte of nearly every string. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_string(struct jsonw *w, struct sv s)
{
	static const char *const cut[] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
		['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"
	};
	size_t i = 0, from = 0, n;
	unsigned char c;

	buf_putc(w->out, '"');
	while (i < s.n) {
		c = (unsigned char)s.p[i];
		if (is_plain(c)) {
			i++;
			continue;
		}
		n = sv_utf8(sv_drop(s, i));
		if (n && c >= 0x20 && c != '"' && c != '\\') {
			i += n;
			continue;
		}
		buf_put_sv(w->out, sv_make(s.p + from, i - from));
		if (!n)
			buf_puts(w->out, "\xef\xbf\xbd");
		else if (cut[c])
			buf_puts(w->out, cut[c]);
		else
			buf_printf(w->out, "\\u%04x", c);
		from = ++i;
	}
	buf_put_sv(w->out, sv_make(s.p + from, i - from));
	buf_putc(w->out, '"');
}

static void open_with(struct jsonw *w, char open, char closer)
{
	begin(w);
	must(w->depth < JSONW_DEPTH_MAX);
	buf_putc(w->out, open);
	w->closer[w->depth++] = closer;
	w->comma = false;
}

void jsonw_obj(struct jsonw *w)
{
	open_with(w, '{', '}');
}

void jsonw_arr(struct jsonw *w)
{
	open_with(w, '[', ']');
}

void jsonw_end(struct jsonw *w)
{
	char closer = inside(w);

	must(w->depth && !w->keyed);
	w->depth--;
	if (w->comma)
		new_line(w);
	buf_putc(w->out, closer);
	w->comma = true;
}

void jsonw_key_sv(struct jsonw *w, struct sv key)
{
	must(inside(w) == '}' && !w->keyed);
	separate(w);
	put_string(w, key);
	buf_puts(w->out, w->indent ? ": " : ":");
	w->keyed = true;
}

void jsonw_key(struct jsonw *w, const char *key)
{
	must(key);
	jsonw_key_sv(w, sv_str(key));
}

static void literal(struct jsonw *w, const char *s)
{
	begin(w);
	buf_puts(w->out, s);
}

void jsonw_str(struct jsonw *w, const char *s)
{
	if (s)
		jsonw_sv(w, sv_str(s));
	else
		jsonw_null(w);
}

void jsonw_sv(struct jsonw *w, struct sv s)
{
	begin(w);
	put_string(w, s);
}

void jsonw_fmt(struct jsonw *w, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = mem_vprintf(fmt, ap);
	va_end(ap);
	jsonw_sv(w, sv_str(s));
	mem_free(s);
}

void jsonw_i64(struct jsonw *w, int64_t v)
{
	char digits[24], *p = digits + sizeof(digits);
	uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;

	begin(w);
	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (v < 0)
		*--p = '-';
	buf_put(w->out, p, (size_t)(digits + sizeof(digits) - p));
}

void jsonw_bool(struct jsonw *w, bool v)
{
	literal(w, v ? "true" : "false");
}

void jsonw_null(struct jsonw *w)
{
	literal(w, "null");
}

/* Parsed reals are finite. A point or an exponent keeps them reals for whoever reads this. */
static void put_real(struct jsonw *w, double v)
{
	struct sv text;
	size_t before;

	begin(w);
	before = buf_len(w->out);
	buf_put_real(w->out, v);
	text = sv_drop(buf_sv(w->out), before);
	if (sv_find(text, '.') < 0 && sv_find(text, 'e') < 0)
		buf_puts(w->out, ".0");
}

static void put_members(struct jsonw *w, const struct json *n)
{
	const struct json *value;
	const char *key;
	void *pos = NULL;

	jsonw_obj(w);
	while (json_next(n, &pos, &key, &value)) {
		jsonw_key(w, key);
		jsonw_json(w, value);
	}
	jsonw_end(w);
}

static void put_elements(struct jsonw *w, const struct json *n)
{
	size_t i;

	jsonw_arr(w);
	for (i = 0; i < json_len(n); i++)
		jsonw_json(w, json_at(n, i));
	jsonw_end(w);
}

/* Recursion is bounded: json_parse() let at most JSON_DEPTH_MAX levels in. */
void jsonw_json(struct jsonw *w, const struct json *n)
{
	switch (json_kind(n)) {
	case JSON_BOOL:
		jsonw_bool(w, json_flag(n, false));
		break;
	case JSON_INT:
		jsonw_i64(w, json_i64(n, 0));
		break;
	case JSON_REAL:
		put_real(w, json_num(n, 0));
		break;
	case JSON_STR:
		jsonw_sv(w, json_sv(n));
		break;
	case JSON_ARR:
		put_elements(w, n);
		break;
	case JSON_OBJ:
		put_members(w, n);
		break;
	case JSON_NULL:
	case JSON_NONE:
		jsonw_null(w);
		break;
	}
}

void jsonw_kstr(struct jsonw *w, const char *key, const char *s)
{
	jsonw_key(w, key);
	jsonw_str(w, s);
}

void jsonw_ksv(struct jsonw *w, const char *key, struct sv s)
{
	jsonw_key(w, key);
	jsonw_sv(w, s);
}

void jsonw_ki64(struct jsonw *w, const char *key, int64_t v)
{
	jsonw_key(w, key);
	jsonw_i64(w, v);
}

void jsonw_kbool(struct jsonw *w, const char *key, bool v)
{
	jsonw_key(w, key);
	jsonw_bool(w, v);
}

void jsonw_kobj(struct jsonw *w, const char *key)
{
	jsonw_key(w, key);
	jsonw_obj(w);
}

void jsonw_karr(struct jsonw *w, const char *key)
{
	jsonw_key(w, key);
	jsonw_arr(w);
}
