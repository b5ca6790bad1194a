#include "test/lib/jx.h"

#include <errno.h>
#include <stdarg.h>

#include "core/mem.h"

enum { TEXT_MAX = 64 << 20 };

json_t *jx_get_path(const json_t *n, ...)
{
	const json_t *at = n;
	const char *key;
	va_list ap;

	va_start(ap, n);
	while (at && (key = va_arg(ap, const char *)))
		at = json_object_get(at, key);
	va_end(ap);
	return (json_t *)(uintptr_t)at;
}

const char *jx_text(const json_t *n)
{
	return json_is_string(n) ? json_string_value(n) : "";
}

int64_t jx_int(const json_t *n)
{
	return json_is_integer(n) ? json_integer_value(n) : 0;
}

bool jx_true(const json_t *n)
{
	return json_is_true(n);
}

bool jx_is(const json_t *n, const char *text)
{
	return json_is_string(n) && !strcmp(json_string_value(n), text);
}

json_t *jx_parse(struct sv text, struct err *e)
{
	json_error_t why;
	json_t *n = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &why);

	if (!n)
		err_set(e, -EINVAL, "%s (line %d)", why.text, why.line);
	return n;
}

json_t *jx_make(const char *fmt, ...)
{
	struct err e = { "" };
	va_list ap;
	char *text;
	json_t *n;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	n = jx_parse(sv_str(text), &e);
	if (!n) {
		(void)fprintf(stderr, "%s in:\n%s\n", e.text, text);
		must(false);
	}
	mem_free(text);
	return n;
}

static int put_piece(const char *p, size_t n, void *arg)
{
	return buf_put(arg, p, n) ? 0 : -1;
}

void jx_put(struct buf *out, const json_t *n)
{
	must(json_dump_callback(n, put_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0);
}

char *jx_print(const json_t *n)
{
	struct buf b;
	char *text;

	buf_init(&b, TEXT_MAX);
	jx_put(&b, n);
	text = buf_steal(&b);
	buf_done(&b);
	return text;
}

static json_t *made(json_t *parent, const char *key, json_t *empty)
{
	json_object_set_new(parent, key, empty);
	return empty;
}

json_t *jx_obj(json_t *parent, const char *key)
{
	json_t *n = json_object_get(parent, key);

	return json_is_object(n) ? n : made(parent, key, json_object());
}

json_t *jx_arr(json_t *parent, const char *key)
{
	json_t *n = json_object_get(parent, key);

	return json_is_array(n) ? n : made(parent, key, json_array());
}

void jx_set_text(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
	else
		json_object_del(object, key);
}

void jx_set_int(json_t *object, const char *key, int64_t value)
{
	json_object_set_new(object, key, json_integer(value));
}

const char *jx_name(const json_t *object)
{
	return jx_text(jx_get(object, "metadata", "name"));
}

const char *jx_ns(const json_t *object)
{
	return jx_text(jx_get(object, "metadata", "namespace"));
}

const char *jx_uid(const json_t *object)
{
	return jx_text(jx_get(object, "metadata", "uid"));
}
