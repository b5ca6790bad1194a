#include "test/lib/cel.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdarg.h>

#include "core/mem.h"

/* Reads and evaluates in one go: expressions are short and devices few. */

enum { LIST_MAX = 32, DEPTH_MAX = 32, TEXT_MAX = 1024 };

enum cel_kind {
	CEL_ERROR,
	CEL_BOOL,
	CEL_INT,
	CEL_TEXT,
	CEL_VERSION,
	CEL_QUANTITY,
	CEL_DEVICE,
	CEL_DOMAINS,
	CEL_MAP,
	CEL_LIST
};

struct cel_value {
	enum cel_kind kind;
	int64_t i;	   /* BOOL, INT; DOMAINS and MAP: 1 = capacity */
	__int128 quantity; /* in thousandths */
	struct sv text;	   /* TEXT, VERSION; MAP: the domain */
	const struct cel_value *items;
	size_t n;
};

struct cel {
	struct sv rest;
	const char *driver;
	const json_t *device;
	struct err *error;
	unsigned depth;
	bool broken;			 /* not understood: no operator may hide it */
	struct cel_value pool[LIST_MAX]; /* items of list literals */
	size_t pool_n;
	char scratch[TEXT_MAX]; /* of every lowerAscii() */
	size_t scratch_n;
};

static struct cel_value value_or(struct cel *c);

/* ---- values ---- */

static struct cel_value fail(struct cel *c, const char *fmt, ...) PRINTF(2, 3);
static struct cel_value fail(struct cel *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->error->text, sizeof(c->error->text), fmt, ap);
	va_end(ap);
	return (struct cel_value){ .kind = CEL_ERROR };
}

static struct cel_value broken(struct cel *c, const char *what)
{
	c->broken = true;
	return fail(c, "%s at \"%.*s\"", what, (int)MIN(c->rest.n, (size_t)20), c->rest.p);
}

static struct cel_value boolean(bool b)
{
	return (struct cel_value){ .kind = CEL_BOOL, .i = b };
}

static struct cel_value integer(int64_t i)
{
	return (struct cel_value){ .kind = CEL_INT, .i = i };
}

static struct cel_value text(enum cel_kind kind, struct sv s)
{
	return (struct cel_value){ .kind = kind, .text = s };
}

int cel_quantity(struct sv s, __int128 *milli)
{
	static const struct {
		const char *suffix;
		__int128 by; /* thousandths per unit */
	} units[] = { { "Ki", (__int128)1000 << 10 },
		      { "Mi", (__int128)1000 << 20 },
		      { "Gi", (__int128)1000 << 30 },
		      { "Ti", (__int128)1000 << 40 },
		      { "Pi", (__int128)1000 << 50 },
		      { "Ei", (__int128)1000 << 60 },
		      { "m", 1 },
		      { "", 1000 },
		      { "k", 1000000 },
		      { "M", 1000000000 },
		      { "G", 1000000000000 },
		      { "T", 1000000000000000 },
		      { "P", 1000000000000000000 },
		      { "E", (__int128)1000000000000000000 * 1000 } };
	__int128 whole = 0, scale = 1;
	bool point = false, negative = sv_starts(s, SV("-"));
	size_t i = negative;

	for (; i < s.n && (isdigit((unsigned char)s.p[i]) || (s.p[i] == '.' && !point)); i++) {
		if (s.p[i] == '.') {
			point = true;
			continue;
		}
		if (scale > 1000000000 || whole > (__int128)1 << 64)
			return -EINVAL;
		whole = whole * 10 + (s.p[i] - '0');
		scale *= point ? 10 : 1;
	}
	if (i == negative)
		return -EINVAL;
	for (size_t u = 0; u < ARRAY_LEN(units); u++) {
		if (!sv_eqs(sv_drop(s, i), units[u].suffix))
			continue;
		*milli = whole * units[u].by / scale * (negative ? -1 : 1);
		return 0;
	}
	return -EINVAL;
}

int cel_semver_cmp(struct sv a, struct sv b)
{
	for (int part = 0; part < 3; part++) {
		uint64_t x = 0, y = 0;
		struct sv p = sv_cut(&a, '.'), q = sv_cut(&b, '.');

		if (part == 2) { /* what follows a '-' or '+' does not count here */
			p = sv_cut(&p, '-');
			q = sv_cut(&q, '-');
		}
		if (sv_u64(p, &x) < 0 || sv_u64(q, &y) < 0)
			return sv_cmp(p, q);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

/* <0, 0, >0, or 2 when the two cannot be compared. */
static int compare(const struct cel_value *a, const struct cel_value *b)
{
	if (a->kind != b->kind)
		return 2;
	switch (a->kind) {
	case CEL_BOOL:
	case CEL_INT:
		return (a->i > b->i) - (a->i < b->i);
	case CEL_TEXT:
		return sv_cmp(a->text, b->text) < 0 ? -1 : sv_cmp(a->text, b->text) > 0;
	case CEL_VERSION:
		return cel_semver_cmp(a->text, b->text);
	case CEL_QUANTITY:
		return (a->quantity > b->quantity) - (a->quantity < b->quantity);
	default:
		return 2;
	}
}

/* ---- tokens ---- */

static void skip_space(struct cel *c)
{
	while (c->rest.n && isspace((unsigned char)*c->rest.p))
		c->rest = sv_drop(c->rest, 1);
}

static bool take(struct cel *c, const char *token)
{
	skip_space(c);
	if (!sv_starts(c->rest, sv_str(token)))
		return false;
	c->rest = sv_drop(c->rest, strlen(token));
	return true;
}

static struct sv take_name(struct cel *c)
{
	size_t n = 0;
	struct sv name;

	skip_space(c);
	while (n < c->rest.n && (isalnum((unsigned char)c->rest.p[n]) || c->rest.p[n] == '_'))
		n++;
	name = sv_make(c->rest.p, n);
	c->rest = sv_drop(c->rest, n);
	return name;
}

static bool take_word(struct cel *c, const char *word)
{
	struct sv before = c->rest;

	if (sv_eqs(take_name(c), word))
		return true;
	c->rest = before;
	return false;
}

static struct cel_value take_string(struct cel *c)
{
	char quote = *c->rest.p;
	size_t n = 1;
	struct sv s;

	while (n < c->rest.n && c->rest.p[n] != quote) {
		if (c->rest.p[n] == '\\')
			return broken(c, "escapes in strings are not understood");
		n++;
	}
	if (n == c->rest.n)
		return broken(c, "string without end");
	s = sv_make(c->rest.p + 1, n - 1);
	c->rest = sv_drop(c->rest, n + 1);
	return text(CEL_TEXT, s);
}

/* ---- the device ---- */

/* An attribute or capacity; NULL when the device lacks it. */
static const json_t *lookup(struct cel *c, const struct cel_value *map, struct sv name)
{
	const json_t *all = jx_get(c->device, map->i ? "capacity" : "attributes");
	char key[256];
	json_t *found;

	snprintf(key, sizeof(key), SV_FMT "/" SV_FMT, SV_ARG(map->text), SV_ARG(name));
	found = json_object_get(all, key);
	if (found || !sv_eqs(map->text, c->driver))
		return found;
	snprintf(key, sizeof(key), SV_FMT, SV_ARG(name));
	return json_object_get(all, key);
}

static struct cel_value from_json(struct cel *c, const struct cel_value *map, const json_t *n)
{
	struct cel_value v = { .kind = CEL_QUANTITY };

	if (map->i) {
		if (cel_quantity(sv_str(jx_text(jx_get(n, "value"))), &v.quantity) < 0)
			return fail(c, "no quantity: %s", jx_text(jx_get(n, "value")));
		return v;
	}
	if (jx_get(n, "string"))
		return text(CEL_TEXT, sv_str(jx_text(jx_get(n, "string"))));
	if (jx_get(n, "version"))
		return text(CEL_VERSION, sv_str(jx_text(jx_get(n, "version"))));
	if (jx_get(n, "bool"))
		return boolean(jx_true(jx_get(n, "bool")));
	if (jx_get(n, "int"))
		return integer(jx_int(jx_get(n, "int")));
	return fail(c, "an attribute of a kind that is not understood");
}

static struct cel_value member(struct cel *c, const struct cel_value *of, struct sv name)
{
	const json_t *n;

	if (of->kind == CEL_DEVICE) {
		if (sv_eqs(name, "driver"))
			return text(CEL_TEXT, sv_str(c->driver));
		if (sv_eqs(name, "allowMultipleAllocations"))
			return boolean(jx_true(jx_get(c->device, "allowMultipleAllocations")));
		if (sv_eqs(name, "attributes") || sv_eqs(name, "capacity"))
			return (struct cel_value){ .kind = CEL_DOMAINS,
						   .i = sv_eqs(name, "capacity") };
		return broken(c, "a device has no such field");
	}
	if (of->kind == CEL_DOMAINS)
		return (struct cel_value){ .kind = CEL_MAP, .i = of->i, .text = name };
	if (of->kind != CEL_MAP)
		return of->kind == CEL_ERROR ? *of : broken(c, "no members here");
	n = lookup(c, of, name);
	if (!n)
		return fail(c, "no such key: " SV_FMT, SV_ARG(name));
	return from_json(c, of, n);
}

/* ---- functions ---- */

static struct cel_value one_argument(struct cel *c)
{
	struct cel_value v;

	if (!take(c, "("))
		return broken(c, "( expected");
	v = value_or(c);
	if (!take(c, ")"))
		return broken(c, ") expected");
	return v;
}

static struct cel_value matches(struct cel *c, struct sv s, struct sv pattern)
{
	char *p = sv_dup(pattern), *subject = sv_dup(s);
	struct cel_value v;
	regex_t re;

	if (regcomp(&re, p, REG_EXTENDED | REG_NOSUB)) {
		v = fail(c, "no regular expression: %s", p);
	} else {
		v = boolean(!regexec(&re, subject, 0, NULL, 0));
		regfree(&re);
	}
	mem_free(p);
	mem_free(subject);
	return v;
}

static struct cel_value text_method(struct cel *c, struct sv name, struct sv s, struct sv arg)
{
	if (sv_eqs(name, "startsWith"))
		return boolean(sv_starts(s, arg));
	if (sv_eqs(name, "endsWith"))
		return boolean(sv_ends(s, arg));
	if (sv_eqs(name, "contains"))
		return boolean(!arg.n || memmem(s.p, s.n, arg.p, arg.n));
	if (sv_eqs(name, "matches"))
		return matches(c, s, arg);
	return broken(c, "a function that is not understood");
}

static struct cel_value lower(struct cel *c, const struct cel_value *of)
{
	char *to = c->scratch + c->scratch_n;
	size_t n = of->text.n;

	if (of->kind != CEL_TEXT)
		return fail(c, "lowerAscii() needs a string");
	if (n > sizeof(c->scratch) - c->scratch_n)
		return broken(c, "too much for lowerAscii()");
	for (size_t i = 0; i < n; i++)
		to[i] = (char)tolower((unsigned char)of->text.p[i]);
	c->scratch_n += n;
	return text(CEL_TEXT, sv_make(to, n));
}

static struct cel_value method(struct cel *c, const struct cel_value *of, struct sv name)
{
	struct cel_value arg;
	int r;

	if (sv_eqs(name, "lowerAscii"))
		return take(c, "(") && take(c, ")") ? lower(c, of) : broken(c, "() expected");
	arg = one_argument(c);
	if (of->kind == CEL_ERROR || arg.kind == CEL_ERROR)
		return (struct cel_value){ .kind = CEL_ERROR };
	r = compare(of, &arg);
	if (sv_eqs(name, "compareTo"))
		return r == 2 ? fail(c, "compareTo() of different kinds") : integer(r);
	if (sv_eqs(name, "isGreaterThan"))
		return r == 2 ? fail(c, "isGreaterThan() of different kinds") : boolean(r > 0);
	if (sv_eqs(name, "isLessThan"))
		return r == 2 ? fail(c, "isLessThan() of different kinds") : boolean(r < 0);
	if (of->kind != CEL_TEXT || arg.kind != CEL_TEXT)
		return fail(c, SV_FMT "() needs strings", SV_ARG(name));
	return text_method(c, name, of->text, arg.text);
}

static struct cel_value make(struct cel *c, struct sv name)
{
	struct cel_value arg = one_argument(c), v = { .kind = CEL_QUANTITY };

	if (arg.kind == CEL_ERROR)
		return arg;
	if (arg.kind != CEL_TEXT)
		return fail(c, SV_FMT "() needs a string", SV_ARG(name));
	if (sv_eqs(name, "semver"))
		return text(CEL_VERSION, arg.text);
	if (cel_quantity(arg.text, &v.quantity) < 0)
		return fail(c, "no quantity: " SV_FMT, SV_ARG(arg.text));
	return v;
}

/* has(a.b.c): whether the last member is there. */
static struct cel_value has(struct cel *c)
{
	struct cel_value v = one_argument(c);

	return c->broken ? v : boolean(v.kind != CEL_ERROR);
}

/* ---- grammar ---- */

static struct cel_value list(struct cel *c)
{
	struct cel_value v = { .kind = CEL_LIST, .items = &c->pool[c->pool_n] };

	while (!take(c, "]")) {
		struct cel_value item = value_or(c);

		if (item.kind == CEL_ERROR || c->pool_n == LIST_MAX)
			return broken(c, "a list that is not understood");
		c->pool[c->pool_n++] = item;
		v.n++;
		(void)take(c, ",");
	}
	return v;
}

static struct cel_value number(struct cel *c)
{
	size_t n = *c->rest.p == '-';
	struct sv digits;
	int64_t i;

	while (n < c->rest.n && isdigit((unsigned char)c->rest.p[n]))
		n++;
	digits = sv_make(c->rest.p, n);
	if (sv_i64(digits, &i) < 0)
		return broken(c, "no number");
	c->rest = sv_drop(c->rest, n);
	return integer(i);
}

static struct cel_value named(struct cel *c)
{
	struct sv name = take_name(c);

	if (sv_eqs(name, "true") || sv_eqs(name, "false"))
		return boolean(sv_eqs(name, "true"));
	if (sv_eqs(name, "device"))
		return (struct cel_value){ .kind = CEL_DEVICE };
	if (sv_eqs(name, "quantity") || sv_eqs(name, "semver"))
		return make(c, name);
	if (sv_eqs(name, "has"))
		return has(c);
	return broken(c, "not understood");
}

static struct cel_value primary(struct cel *c)
{
	struct cel_value v;

	skip_space(c);
	if (!c->rest.n)
		return broken(c, "the expression ends too early");
	if (*c->rest.p == '\'' || *c->rest.p == '"')
		return take_string(c);
	if (isdigit((unsigned char)*c->rest.p) || *c->rest.p == '-')
		return number(c);
	if (take(c, "[")) {
		v = list(c);
	} else if (take(c, "(")) {
		v = value_or(c);
		if (!take(c, ")"))
			return broken(c, ") expected");
	} else {
		v = named(c);
	}
	return v;
}

static struct cel_value postfix(struct cel *c)
{
	struct cel_value v = primary(c), key;

	while (!c->broken) {
		if (take(c, ".")) {
			struct sv name = take_name(c);

			skip_space(c);
			v = sv_starts(c->rest, SV("(")) ? method(c, &v, name) : member(c, &v, name);
		} else if (take(c, "[")) {
			key = value_or(c);
			if (key.kind != CEL_TEXT || !take(c, "]"))
				return broken(c, "a string and ] expected");
			v = member(c, &v, key.text);
		} else {
			break;
		}
	}
	return v;
}

static struct cel_value unary(struct cel *c)
{
	struct cel_value v;

	skip_space(c);
	if (sv_starts(c->rest, SV("!=")) || !take(c, "!"))
		return postfix(c);
	v = unary(c);
	if (v.kind == CEL_ERROR)
		return v;
	return v.kind == CEL_BOOL ? boolean(!v.i) : fail(c, "! needs a bool");
}

static struct cel_value contained(struct cel *c, const struct cel_value *a,
				  const struct cel_value *b)
{
	if (a->kind == CEL_ERROR || b->kind == CEL_ERROR)
		return (struct cel_value){ .kind = CEL_ERROR };
	if (b->kind == CEL_MAP && a->kind == CEL_TEXT)
		return boolean(lookup(c, b, a->text) != NULL);
	if (b->kind != CEL_LIST)
		return fail(c, "in needs a list or a map");
	for (size_t i = 0; i < b->n; i++)
		if (!compare(a, &b->items[i]))
			return boolean(true);
	return boolean(false);
}

static struct cel_value related(struct cel *c, const char *op, const struct cel_value *a,
				const struct cel_value *b)
{
	int r = compare(a, b);

	if (a->kind == CEL_ERROR || b->kind == CEL_ERROR)
		return (struct cel_value){ .kind = CEL_ERROR };
	if (!strcmp(op, "=="))
		return boolean(r == 0);
	if (!strcmp(op, "!="))
		return boolean(r != 0);
	if (r == 2)
		return fail(c, "no such overload: %s", op);
	if (op[1] == '=')
		return boolean(op[0] == '<' ? r <= 0 : r >= 0);
	return boolean(op[0] == '<' ? r < 0 : r > 0);
}

static struct cel_value relation(struct cel *c)
{
	static const char *const ops[] = { "==", "!=", "<=", ">=", "<", ">" };
	struct cel_value a = unary(c), b;

	if (c->broken)
		return a;
	if (take_word(c, "in")) {
		b = unary(c);
		return contained(c, &a, &b);
	}
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (!take(c, ops[i]))
			continue;
		b = unary(c);
		return related(c, ops[i], &a, &b);
	}
	return a;
}

/* An error gives way to a value that decides: false && error, true || error. */
static struct cel_value decide(struct cel *c, const struct cel_value *a, const struct cel_value *b,
			       bool decisive)
{
	if (a->kind == CEL_BOOL && (bool)a->i == decisive)
		return *a;
	if (b->kind == CEL_BOOL && (bool)b->i == decisive)
		return *b;
	if (a->kind == CEL_ERROR || b->kind == CEL_ERROR)
		return (struct cel_value){ .kind = CEL_ERROR };
	if (a->kind != CEL_BOOL || b->kind != CEL_BOOL)
		return fail(c, "&& and || need bools");
	return *b;
}

static struct cel_value value_and(struct cel *c)
{
	struct cel_value a = relation(c), b;

	while (!c->broken && take(c, "&&")) {
		b = relation(c);
		a = decide(c, &a, &b, false);
	}
	return a;
}

static struct cel_value value_or(struct cel *c)
{
	struct cel_value a, b;

	if (++c->depth > DEPTH_MAX)
		return broken(c, "nested too deep");
	a = value_and(c);
	while (!c->broken && take(c, "||")) {
		b = value_and(c);
		a = decide(c, &a, &b, true);
	}
	c->depth--;
	return a;
}

int cel_matches(const char *expression, const char *driver, const json_t *device, struct err *e)
{
	struct err unused;
	struct cel c = { .rest = sv_str(expression),
			 .driver = driver,
			 .device = device,
			 .error = e ? e : &unused };
	struct cel_value v = value_or(&c);

	skip_space(&c);
	if (!c.broken && c.rest.n)
		v = broken(&c, "not understood");
	if (c.broken || v.kind == CEL_ERROR)
		return -EINVAL;
	if (v.kind != CEL_BOOL)
		return err_set(e, -EINVAL, "the expression is no bool");
	return v.i ? 1 : 0;
}
