#include "core/json.h"

#include <errno.h>
#include <stdarg.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/map.h"
#include "core/mem.h"

/* jansson's enum has two names of ours; only its type codes are wanted here. */
#define JSON_NULL JANSSON_NULL
#define JSON_REAL JANSSON_REAL
#include <jansson.h>
#undef JSON_NULL
#undef JSON_REAL

/*
 * Two passes. The first walks the tokens without memory and bounds bytes, values and depth; the
 * second is jansson, under an allocation quota for what a count of values does not see. `struct
 * json` is json_t by another name, so that no header of ours drags jansson in.
 */
const struct json_limits json_limits_object = { .bytes = 3 << 20, .values = 200000, .depth = 64 };
const struct json_limits json_limits_config = { .bytes = 10 << 10, .values = 1000, .depth = 16 };

/*
 * Measured: API objects need 6 to 12 times their bytes in a tree, `[{},{},...]` many times more.
 * The ceiling is what the largest object that etcd takes (1.5 MiB) needs with room to spare.
 */
enum { QUOTA_BASE = 64 << 10, QUOTA_PER_BYTE = 40 };

/* Pass one */

enum expect { VALUE, FIRST_VALUE, KEY, FIRST_KEY, COLON, AFTER };

struct scan {
	struct sv text;
	size_t at;
	const struct json_limits *limits;
	struct err *e;
	unsigned values, depth;
	char closer[JSON_DEPTH_MAX];
	enum expect expect;
	/* json_parse_without() */
	const char *without; /* NULL = keep all */
	struct buf *kept;    /* the text but for what is left out; empty while nothing was */
	size_t copied, left_from;
	unsigned left_depth;
	bool leaves_next, leaving;
};

static int wrong(const struct scan *s, const char *what)
{
	return err_set(s->e, -EINVAL, "JSON: %s at byte %zu", what, s->at);
}

static int scan_string(struct scan *s)
{
	unsigned char c;

	for (s->at++; s->at < s->text.n; s->at++) {
		c = (unsigned char)s->text.p[s->at];
		if (c == '"') {
			s->at++;
			return 0;
		}
		if (c < 0x20)
			return wrong(s, "control character in a string");
		if (c == '\\')
			s->at++;
	}
	s->at = s->text.n;
	return wrong(s, "string without end");
}

/* A number or a literal: its letters only, jansson judges the word. */
static int scan_word(struct scan *s)
{
	size_t start = s->at;
	char c;

	for (; s->at < s->text.n; s->at++) {
		c = s->text.p[s->at];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' ||
		      c == '.' || c == 'E'))
			break;
	}
	return s->at > start ? 0 : wrong(s, "no value");
}

static int scan_open(struct scan *s, char c)
{
	if (s->depth == s->limits->depth)
		return err_set(s->e, -E2BIG, "JSON: nested deeper than %u at byte %zu",
			       s->limits->depth, s->at);
	s->closer[s->depth++] = c == '{' ? '}' : ']';
	s->expect = c == '{' ? FIRST_KEY : FIRST_VALUE;
	s->at++;
	return 0;
}

static int scan_value(struct scan *s, char c)
{
	if (s->leaves_next) {
		s->leaves_next = false;
		s->leaving = true;
		s->left_from = s->at;
		s->left_depth = s->depth;
	}
	if (++s->values > s->limits->values)
		return err_set(s->e, -E2BIG, "JSON: more than %u values at byte %zu",
			       s->limits->values, s->at);
	if (c == '{' || c == '[')
		return scan_open(s, c);
	s->expect = AFTER;
	return c == '"' ? scan_string(s) : scan_word(s);
}

/* Between a key's quotes; one that is spelled with escapes is kept. */
static bool is_left_out(const struct scan *s, size_t from, size_t to)
{
	return s->without && !s->leaving &&
	       sv_eqs(sv_make(s->text.p + from, to - from), s->without);
}

static int scan_key(struct scan *s, char c)
{
	size_t from = s->at + 1;
	int r;

	if (c != '"')
		return wrong(s, "no key");
	s->expect = COLON;
	r = scan_string(s);
	s->leaves_next = !r && is_left_out(s, from, s->at - 1);
	return r;
}

/* The value is over. "0" is as short as a value can be, so the text never grows. */
static void leave_out(struct scan *s)
{
	s->leaving = false;
	buf_put(s->kept, s->text.p + s->copied, s->left_from - s->copied);
	buf_putc(s->kept, '0');
	s->copied = s->at;
}

static int scan_after(struct scan *s, char c)
{
	if (!s->depth)
		return wrong(s, "text behind the value");
	if (c == s->closer[s->depth - 1])
		s->depth--;
	else if (c == ',')
		s->expect = s->closer[s->depth - 1] == '}' ? KEY : VALUE;
	else
		return wrong(s, "neither a comma nor the closing bracket");
	s->at++;
	return 0;
}

static int scan_token(struct scan *s, char c)
{
	/* An empty object or array. */
	if ((s->expect == FIRST_KEY && c == '}') || (s->expect == FIRST_VALUE && c == ']')) {
		s->expect = AFTER;
		return scan_after(s, c);
	}
	switch (s->expect) {
	case VALUE:
	case FIRST_VALUE:
		return scan_value(s, c);
	case KEY:
	case FIRST_KEY:
		return scan_key(s, c);
	case COLON:
		if (c != ':')
			return wrong(s, "no colon");
		s->at++;
		s->expect = VALUE;
		return 0;
	case AFTER:
		return scan_after(s, c);
	}
	return -EINVAL;
}

static int scan(struct sv text, const struct json_limits *limits, const char *without,
		struct buf *kept, struct err *e)
{
	struct scan s = { .text = text,
			  .limits = limits,
			  .e = e,
			  .expect = VALUE,
			  .without = without,
			  .kept = kept };
	char c;
	int r;

	must(limits->depth <= JSON_DEPTH_MAX);
	if (text.n > limits->bytes)
		return err_set(e, -E2BIG, "JSON: %zu bytes, the limit is %zu", text.n,
			       limits->bytes);
	while (s.at < text.n) {
		c = text.p[s.at];
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			s.at++;
			continue;
		}
		r = scan_token(&s, c);
		if (r)
			return r;
		if (s.leaving && s.expect == AFTER && s.depth == s.left_depth)
			leave_out(&s);
	}
	if (s.expect != AFTER || s.depth)
		return wrong(&s, "end of text inside a value");
	if (s.copied)
		buf_put(kept, text.p + s.copied, text.n - s.copied);
	return 0;
}

/* Pass two */

/*
 * A tree lies in an arena of its own: freed as one, and nothing of it stands between what lives
 * longer. What jansson frees while it reads stays until then, and counts. A tree has one owner, so
 * that jansson's count of references has nothing to count: in the root it is the arena's address.
 */
enum { STATIC_NODE = -1 };   /* jansson's count in true, false and null, which are nobody's */
static struct arena *filled; /* while jansson reads */
static bool quota_hit;	     /* jansson does not always say that it was memory it lacked */

static void *tree_alloc(size_t n)
{
	void *p = arena_alloc(filled, n);

	if (!p)
		quota_hit = true;
	return p;
}

static void tree_keep(void *p)
{
	(void)p;
}

static bool is_static(const json_t *root)
{
	return root->refcount == (size_t)STATIC_NODE;
}

static void tree_free(const json_t *root)
{
	struct arena *a;

	if (!root || is_static(root))
		return;
	a = (struct arena *)(uintptr_t)root->refcount;
	arena_free(&a);
}

static const char *reason(enum json_error_code code)
{
	switch (code) {
	case json_error_duplicate_key:
		return "duplicate key";
	case json_error_invalid_utf8:
		return "invalid UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "NUL in a string";
	case json_error_numeric_overflow:
		return "number out of range";
	default:
		return "invalid token";
	}
}

static json_t *load(struct sv text, json_error_t *error)
{
	json_malloc_t old_alloc;
	json_free_t old_free;
	json_t *root;

	/* A no-op but for the first time: keeps jansson from opening /dev/urandom. */
	json_object_seed((size_t)map_hash(SV("jansson")) | 1);
	quota_hit = false;
	json_get_alloc_funcs(&old_alloc, &old_free);
	json_set_alloc_funcs(tree_alloc, tree_keep);
	root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error);
	json_set_alloc_funcs(old_alloc, old_free);
	return root;
}

static int build(struct sv text, size_t memory, struct json **out, struct err *e)
{
	size_t quota = MIN((size_t)QUOTA_BASE + text.n * QUOTA_PER_BYTE,
			   memory ? memory : (size_t)JSON_MEMORY);
	json_error_t error;
	json_t *root;

	filled = arena_new(quota);
	root = load(text, &error);
	*out = (struct json *)root;
	if (root && !is_static(root))
		root->refcount = (size_t)(uintptr_t)filled;
	else
		arena_free(&filled);
	filled = NULL;
	if (root)
		return 0;
	if (quota_hit)
		return err_set(e, -E2BIG, "JSON: needs more than %zu bytes of memory", quota);
	return err_set(e, -EINVAL, "JSON: %s at byte %d", reason(json_error_code(&error)),
		       error.position);
}

int json_parse_without(struct sv text, const struct json_limits *limits, const char *name,
		       struct json **out, struct err *e)
{
	struct buf kept;
	int r;

	*out = NULL;
	buf_init(&kept, text.n + 1);
	r = scan(text, limits, name, &kept, e);
	if (!r)
		r = build(buf_len(&kept) ? buf_sv(&kept) : text, limits->memory, out, e);
	buf_done(&kept);
	return r;
}

int json_parse(struct sv text, const struct json_limits *limits, struct json **out, struct err *e)
{
	return json_parse_without(text, limits, NULL, out, e);
}

/* jansson's getters take no const, but change nothing. */
static json_t *node(const struct json *n)
{
	return (json_t *)(uintptr_t)n;
}

static const struct json *ours(const json_t *n)
{
	return (const struct json *)n;
}

void json_free(struct json **root)
{
	tree_free(node(*root));
	*root = NULL;
}

enum json_kind json_kind(const struct json *n)
{
	static const enum json_kind kinds[] = {
		[JSON_OBJECT] = JSON_OBJ,  [JSON_ARRAY] = JSON_ARR,    [JSON_STRING] = JSON_STR,
		[JSON_INTEGER] = JSON_INT, [JANSSON_REAL] = JSON_REAL, [JSON_TRUE] = JSON_BOOL,
		[JSON_FALSE] = JSON_BOOL,  [JANSSON_NULL] = JSON_NULL,
	};

	return n ? kinds[json_typeof(node(n))] : JSON_NONE;
}

const struct json *json_get_path(const struct json *n, ...)
{
	const char *key;
	va_list ap;

	va_start(ap, n);
	while (n && (key = va_arg(ap, const char *)))
		n = ours(json_object_get(node(n), key));
	va_end(ap);
	return n;
}

const char *json_str(const struct json *n, const char *otherwise)
{
	return json_kind(n) == JSON_STR ? json_string_value(node(n)) : otherwise;
}

struct sv json_sv(const struct json *n)
{
	if (json_kind(n) != JSON_STR)
		return SV_NONE;
	return sv_make(json_string_value(node(n)), json_string_length(node(n)));
}

int64_t json_i64(const struct json *n, int64_t otherwise)
{
	return json_kind(n) == JSON_INT ? json_integer_value(node(n)) : otherwise;
}

double json_num(const struct json *n, double otherwise)
{
	enum json_kind kind = json_kind(n);

	return kind == JSON_INT || kind == JSON_REAL ? json_number_value(node(n)) : otherwise;
}

bool json_flag(const struct json *n, bool otherwise)
{
	return json_kind(n) == JSON_BOOL ? json_is_true(node(n)) : otherwise;
}

size_t json_len(const struct json *n)
{
	switch (json_kind(n)) {
	case JSON_ARR:
		return json_array_size(node(n));
	case JSON_OBJ:
		return json_object_size(node(n));
	default:
		return 0;
	}
}

const struct json *json_at(const struct json *n, size_t i)
{
	return json_kind(n) == JSON_ARR ? ours(json_array_get(node(n), i)) : NULL;
}

bool json_next(const struct json *obj, void **pos, const char **key, const struct json **value)
{
	if (json_kind(obj) != JSON_OBJ)
		return false;
	*pos = *pos ? json_object_iter_next(node(obj), *pos) : json_object_iter(node(obj));
	if (!*pos)
		return false;
	*key = json_object_iter_key(*pos);
	*value = ours(json_object_iter_value(*pos));
	return true;
}

bool json_same(const struct json *a, const struct json *b)
{
	return a == b || (a && b && json_equal(node(a), node(b)));
}
