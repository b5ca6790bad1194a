/*
 * A walk over libyaml's events (never its document tree, which resolves aliases in quadratic time).
 * The nesting is kept here, so the depth is bounded before the JSON writer's own bound.
 */
#include "k8s/api/yaml.h"

#include <errno.h>
#include <yaml.h>

#include "core/jsonw.h"

struct walk {
	yaml_parser_t parser;
	yaml_event_t event; /* current, deleted before the next */
	struct jsonw w;
	struct err *e;
	unsigned depth, events;
	bool map[YAML_DEPTH_MAX + 1]; /* by depth: inside a mapping? */
	bool key;		      /* the next node is a key of the innermost mapping */
	unsigned documents;
	bool many, done;
};

static int walk_fail(struct walk *k, int code, const char *what)
{
	return err_set(k->e, code, "line %zu: %s", k->event.start_mark.line + 1, what);
}

static struct sv scalar_text(const yaml_event_t *ev)
{
	return sv_make(ev->data.scalar.value, ev->data.scalar.length);
}

static bool one_of(struct sv s, const char *const *words)
{
	for (; *words; words++)
		if (sv_eqs(s, *words))
			return true;
	return false;
}

/* Decimal, 0x, 0o and YAML 1.1's leading-zero octal (a file mode); false: not an integer. */
static bool scalar_int(struct sv s, int64_t *out)
{
	struct sv digits = s;
	bool minus = sv_starts(s, SV("-"));
	int base = 10;
	char text[24], *end;

	if (minus || sv_starts(s, SV("+")))
		digits = sv_drop(s, 1);
	if (digits.n > 2 && digits.p[0] == '0' && (digits.p[1] == 'x' || digits.p[1] == 'o')) {
		base = digits.p[1] == 'x' ? 16 : 8;
		digits = sv_drop(digits, 2);
	} else if (digits.n > 1 && digits.p[0] == '0') {
		base = 8;
	}
	if (!digits.n || !sv_copy(text, sizeof(text), digits) || text[0] == '+' || text[0] == '-' ||
	    text[0] == ' ')
		return false;
	errno = 0;
	*out = strtoll(text, &end, base);
	if (*end || errno)
		return false;
	if (minus)
		*out = -*out;
	return true;
}

/* Digits with a point or an exponent. The value is written again, in JSON's grammar. */
static bool scalar_real(struct sv s, struct walk *k)
{
	struct json *root = NULL;
	char text[64], *end, array[48];
	double v;

	if (!s.n || !sv_copy(text, sizeof(text), s) || strspn(text, "+-.0123456789eE") != s.n ||
	    !strpbrk(text, "0123456789") || !strpbrk(text, ".eE"))
		return false;
	v = strtod(text, &end);
	if (*end || v > 1e300 || v < -1e300)
		return false;
	(void)snprintf(array, sizeof(array), "[%.17g]", v);
	if (json_parse(sv_str(array), &json_limits_config, &root, NULL) < 0)
		return false;
	jsonw_json(&k->w, json_at(root, 0));
	json_free(&root);
	return true;
}

static void put_plain(struct walk *k, struct sv s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes",
					   "YES",  "on",   "On",   "ON",  NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no",  "No",
					  "NO",	   "off",   "Off",   "OFF", NULL };
	int64_t i;

	if (one_of(s, nulls))
		jsonw_null(&k->w);
	else if (one_of(s, yes))
		jsonw_bool(&k->w, true);
	else if (one_of(s, no))
		jsonw_bool(&k->w, false);
	else if (scalar_int(s, &i))
		jsonw_i64(&k->w, i);
	else if (!scalar_real(s, k))
		jsonw_sv(&k->w, s);
}

static int walk_scalar(struct walk *k)
{
	const yaml_event_t *ev = &k->event;
	const char *tag = (const char *)ev->data.scalar.tag;
	struct sv s = scalar_text(ev);

	if (tag && strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, "!") != 0)
		return walk_fail(k, -ENOTSUP, "tags are not supported");
	if (memchr(s.p, '\0', s.n))
		return walk_fail(k, -EINVAL, "a text holds a NUL");
	if (k->key) {
		jsonw_key_sv(&k->w, s);
		k->key = false;
		return 0;
	}
	if (!tag && ev->data.scalar.plain_implicit)
		put_plain(k, s);
	else
		jsonw_sv(&k->w, s);
	k->key = k->map[k->depth];
	return 0;
}

static int walk_open(struct walk *k, bool map)
{
	if (k->key)
		return walk_fail(k, -EINVAL, "a key must be a scalar");
	if (k->depth >= YAML_DEPTH_MAX)
		return walk_fail(k, -E2BIG, "nested too deeply");
	if (map)
		jsonw_obj(&k->w);
	else
		jsonw_arr(&k->w);
	k->map[++k->depth] = map;
	k->key = map;
	return 0;
}

static int walk_close(struct walk *k)
{
	must(k->depth > 0);
	jsonw_end(&k->w);
	k->depth--;
	k->key = k->map[k->depth];
	return 0;
}

static int walk_event(struct walk *k)
{
	switch (k->event.type) {
	case YAML_DOCUMENT_START_EVENT:
		if (k->documents++ && !k->many)
			return walk_fail(k, -EINVAL, "only one document is expected");
		return 0;
	case YAML_SCALAR_EVENT:
		return walk_scalar(k);
	case YAML_MAPPING_START_EVENT:
		return walk_open(k, true);
	case YAML_SEQUENCE_START_EVENT:
		return walk_open(k, false);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return walk_close(k);
	case YAML_ALIAS_EVENT:
		return walk_fail(k, -ENOTSUP, "aliases are not supported");
	case YAML_STREAM_END_EVENT:
		k->done = true;
		return 0;
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_NO_EVENT:
		return 0;
	}
	return walk_fail(k, -EINVAL, "unknown event");
}

static int walk_next(struct walk *k)
{
	int r;

	if (!yaml_parser_parse(&k->parser, &k->event))
		return err_set(k->e, -EINVAL, "line %zu: %s", k->parser.problem_mark.line + 1,
			       k->parser.problem ? k->parser.problem : "not YAML");
	if (++k->events > YAML_EVENTS_MAX)
		r = walk_fail(k, -E2BIG, "too many values");
	else
		r = walk_event(k);
	yaml_event_delete(&k->event);
	if (r == 0 && k->w.out->full)
		r = err_set(k->e, -E2BIG, "too large");
	return r;
}

static int walk_all(struct walk *k, struct sv text)
{
	int r = 0;

	if (text.n > YAML_TEXT_MAX)
		return err_set(k->e, -E2BIG, "larger than %d bytes", YAML_TEXT_MAX);
	if (!yaml_parser_initialize(&k->parser))
		return err_set(k->e, -ENOMEM, "no memory for the YAML parser");
	yaml_parser_set_input_string(&k->parser, (const unsigned char *)(text.p ? text.p : ""),
				     text.n);
	if (k->many)
		jsonw_arr(&k->w);
	while (r == 0 && !k->done)
		r = walk_next(k);
	yaml_parser_delete(&k->parser);
	if (r == 0 && k->many)
		jsonw_end(&k->w);
	else if (r == 0 && !k->documents)
		r = err_set(k->e, -EINVAL, "empty");
	return r;
}

int yaml_to_json(struct sv text, struct buf *out, struct err *e)
{
	struct walk k = { .e = e };

	jsonw_init(&k.w, out);
	return walk_all(&k, text);
}

int yaml_all_to_json(struct sv text, struct buf *out, struct err *e)
{
	struct walk k = { .e = e, .many = true };

	jsonw_init(&k.w, out);
	return walk_all(&k, text);
}
