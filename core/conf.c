#include "core/conf.h"

#include <errno.h>

#include "core/buf.h"
#include "core/mem.h"

/*
 * Each option is filled once from the best source that names it. `seen` remembers where a value
 * came from, since a flag may repeat and must not be overwritten by what ranks below it.
 */
enum { HELP_COLUMN = 34, HELP_WIDTH = 100, HELP_MAX = 64 << 10 };
enum { NS_PER_MS = 1000000 };

struct parse {
	const struct conf_option *table;
	size_t n;
	char *options;
	bool *seen;
	struct err *e;
};

static void *field(const struct parse *p, const struct conf_option *o)
{
	return p->options + o->offset;
}

/* Values */

static struct sv digits(struct sv *s)
{
	struct sv head = *s;

	while (s->n && s->p[0] >= '0' && s->p[0] <= '9')
		*s = sv_drop(*s, 1);
	head.n -= s->n;
	return head;
}

static uint64_t take_unit(struct sv *s)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { /* before their own prefixes */
		      { "ns", 1 },	     { "us", 1000 },	     { "\xc2\xb5s", 1000 },
		      { "\xce\xbcs", 1000 }, { "ms", NS_PER_MS },    { "s", 1000000000u },
		      { "m", 60000000000u }, { "h", 3600000000000u }
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(units); i++) {
		if (sv_starts(*s, sv_str(units[i].name))) {
			*s = sv_drop(*s, strlen(units[i].name));
			return units[i].ns;
		}
	}
	return 0;
}

/* "1.5h" out of "1.5h30m", in nanoseconds. */
static int take_span(struct sv *s, uint64_t *ns)
{
	struct sv whole = digits(s), part = SV_NONE;
	uint64_t count = 0, fraction = 0, scale = 1, unit;
	size_t i;

	if (s->n && s->p[0] == '.') {
		*s = sv_drop(*s, 1);
		part = digits(s);
	}
	unit = take_unit(s);
	if (!unit || (!whole.n && !part.n) || (whole.n && sv_u64(whole, &count)))
		return -EINVAL;
	/* What is behind nine digits is less than a nanosecond of a second. */
	for (i = 0; i < MIN(part.n, (size_t)9); i++) {
		fraction = fraction * 10 + (uint64_t)(part.p[i] - '0');
		scale *= 10;
	}
	if (__builtin_mul_overflow(count, unit, ns))
		return -EINVAL;
	/* The product of nine digits and an hour needs more than 64 bits. */
	unit = (uint64_t)((unsigned __int128)fraction * unit / scale);
	return __builtin_add_overflow(*ns, unit, ns) ? -EINVAL : 0;
}

int conf_duration_ms(struct sv text, int64_t *ms)
{
	uint64_t total = 0, span;

	if (sv_eqs(text, "0")) {
		*ms = 0;
		return 0;
	}
	if (!text.n)
		return -EINVAL;
	while (text.n) {
		if (take_span(&text, &span) || __builtin_add_overflow(total, span, &total))
			return -EINVAL;
	}
	*ms = (int64_t)(total / NS_PER_MS + (total % NS_PER_MS ? 1 : 0));
	return 0;
}

static int wrong(const struct parse *p, const char *source, struct sv value, const char *what)
{
	return err_set(p->e, -EINVAL, "%s: \"" SV_FMT "\" %s", source,
		       SV_ARG(sv_make(value.p, MIN(value.n, (size_t)128))), what);
}

static int check_word(const struct parse *p, const struct conf_option *o, const char *source,
		      struct sv value)
{
	struct buf known;
	size_t i;
	int r;

	for (i = 0; o->words[i]; i++) {
		if (sv_eqs(value, o->words[i]))
			return 0;
	}
	buf_init(&known, 256);
	buf_puts(&known, "is not one of ");
	for (i = 0; o->words[i]; i++)
		buf_printf(&known, "%s%s", i ? ", " : "", o->words[i]);
	r = wrong(p, source, value, buf_cstr(&known));
	buf_done(&known);
	return r;
}

static int set_number(const struct parse *p, const struct conf_option *o, const char *source,
		      struct sv value)
{
	bool span = o->kind == CONF_DURATION_MS;
	char range[80];
	int64_t v;

	if (span ? conf_duration_ms(value, &v) : sv_i64(value, &v))
		return wrong(p, source, value,
			     span ? "is not a duration such as 30s or 1m30s" : "is not a number");
	if ((o->min || o->max) && (v < o->min || v > o->max)) {
		(void)snprintf(range, sizeof(range), "is not between %lld and %lld%s",
			       (long long)o->min, (long long)o->max, span ? " ms" : "");
		return wrong(p, source, value, range);
	}
	*(int64_t *)field(p, o) = v;
	return 0;
}

static int set_text(const struct parse *p, const struct conf_option *o, const char *source,
		    struct sv value)
{
	char **at = field(p, o), *old = *at;
	int r;

	r = o->words ? check_word(p, o, source, value) : 0;
	if (r)
		return r;
	if (o->kind == CONF_LIST && old && value.n)
		*at = mem_printf("%s%s" SV_FMT, old, *old ? "," : "", SV_ARG(value));
	else
		*at = sv_dup(value);
	mem_free(old);
	return 0;
}

static int set(const struct parse *p, const struct conf_option *o, const char *source,
	       struct sv value)
{
	switch (o->kind) {
	case CONF_STR:
	case CONF_LIST:
		return set_text(p, o, source, value);
	case CONF_INT:
	case CONF_DURATION_MS:
		return set_number(p, o, source, value);
	case CONF_BOOL:
		if (sv_bool(value, field(p, o)))
			return wrong(p, source, value, "is not true or false");
		return 0;
	}
	return -EINVAL;
}

/* Sources */

static size_t find(const struct parse *p, struct sv name)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		if (sv_eqs(name, p->table[i].name) ||
		    (p->table[i].alias && sv_eqs(name, p->table[i].alias)))
			break;
	}
	return i;
}

/* One flag at argv[*i]; moves *i over a separate value. */
static int take_flag(const struct parse *p, int argc, char **argv, int *i)
{
	struct sv value = sv_str(argv[*i]), name;
	const struct conf_option *o;
	char source[80];
	bool inlined;
	size_t at;

	value = sv_drop(value, sv_starts(value, SV("--")) ? 2 : 1);
	inlined = sv_find(value, '=') >= 0;
	name = sv_cut(&value, '=');
	at = find(p, name);
	if (!name.n || at == p->n)
		return err_set(p->e, -EINVAL, "unknown flag \"%.128s\"", argv[*i]);
	o = &p->table[at];
	(void)snprintf(source, sizeof(source), "%s" SV_FMT, name.n > 1 ? "--" : "-", SV_ARG(name));
	p->seen[at] = true;
	if (!inlined && o->kind == CONF_BOOL)
		value = SV("true");
	else if (!inlined && *i + 1 < argc)
		value = sv_str(argv[++*i]);
	else if (!inlined)
		return err_set(p->e, -EINVAL, "%s needs a value", source);
	return set(p, o, source, value);
}

static int take_flags(const struct parse *p, int argc, char **argv)
{
	int i, r;

	for (i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return err_set(p->e, -EINVAL, "unexpected argument \"%.128s\"", argv[i]);
		r = take_flag(p, argc, argv, &i);
		if (r)
			return r;
	}
	return 0;
}

/* What no flag has set, from the environment or else the default. */
static int take_rest(const struct parse *p, size_t at, const char *(*env)(const char *name))
{
	const struct conf_option *o = &p->table[at];
	const char *value;
	size_t i;

	for (i = 0; i < ARRAY_LEN(o->env) && o->env[i]; i++) {
		value = env(o->env[i]);
		if (value && *value)
			return set(p, o, o->env[i], sv_str(value));
	}
	if (o->otherwise)
		return set(p, o, o->name, sv_str(o->otherwise));
	if (!o->required)
		return 0;
	if (o->env[0])
		return err_set(p->e, -EINVAL, "--%s is required (or %s in the environment)",
			       o->name, o->env[0]);
	return err_set(p->e, -EINVAL, "--%s is required", o->name);
}

int conf_parse(const struct conf_option *table, size_t n, int argc, char **argv,
	       const char *(*env)(const char *name), void *options, struct err *e)
{
	struct parse p = { .table = table, .n = n, .options = options, .e = e };
	size_t i;
	int r;

	p.seen = mem_calloc(n, sizeof(*p.seen));
	r = take_flags(&p, argc, argv);
	for (i = 0; i < n && !r; i++)
		r = p.seen[i] ? 0 : take_rest(&p, i, env);
	mem_free(p.seen);
	if (r)
		conf_done(table, n, options);
	return r;
}

void conf_done(const struct conf_option *table, size_t n, void *options)
{
	struct parse p = { .options = options };
	char **at;
	size_t i;

	for (i = 0; i < n; i++) {
		if (table[i].kind != CONF_STR && table[i].kind != CONF_LIST)
			continue;
		at = field(&p, &table[i]);
		mem_free(*at);
		*at = NULL;
	}
}

/* Help */

static void pad(struct buf *out, size_t *column, size_t to)
{
	for (; *column < to; (*column)++)
		buf_putc(out, ' ');
}

static void put_flag(struct buf *out, const char *name)
{
	buf_printf(out, "%s%s", strlen(name) > 1 ? "--" : "-", name);
}

/* Words of `text` between HELP_COLUMN and HELP_WIDTH. */
static void put_wrapped(struct buf *out, size_t *column, struct sv text)
{
	struct sv word;

	while (text.n) {
		word = sv_cut(&text, ' ');
		if (*column > HELP_COLUMN && *column + 1 + word.n > HELP_WIDTH) {
			buf_putc(out, '\n');
			*column = 0;
		}
		if (*column > HELP_COLUMN) {
			buf_putc(out, ' ');
			++*column;
		}
		pad(out, column, HELP_COLUMN);
		buf_put_sv(out, word);
		*column += word.n;
	}
}

static void put_sources(struct buf *text, const struct conf_option *o)
{
	const char *join = " (";
	size_t i;

	for (i = 0; o->words && o->words[i]; i++) {
		buf_printf(text, "%s%s", i ? ", " : " (one of ", o->words[i]);
		join = "; ";
	}
	if (o->required) {
		buf_printf(text, "%srequired", join);
		join = "; ";
	}
	if (o->otherwise && *o->otherwise) {
		buf_printf(text, "%sdefault %s", join, o->otherwise);
		join = "; ";
	}
	for (i = 0; i < ARRAY_LEN(o->env) && o->env[i]; i++) {
		buf_printf(text, "%s%s", i ? " or " : join, o->env[i]);
		join = "; ";
	}
	if (*join == ';')
		buf_putc(text, ')');
}

void conf_help(const struct conf_option *table, size_t n, struct buf *out)
{
	const struct conf_option *o;
	struct buf text;
	size_t column, start;

	buf_init(&text, 4096);
	for (o = table; o < table + n; o++) {
		start = buf_len(out);
		buf_puts(out, "  ");
		if (o->alias) {
			put_flag(out, o->alias);
			buf_puts(out, ", ");
		}
		put_flag(out, o->name);
		if (o->arg)
			buf_printf(out, " %s", o->arg);
		column = buf_len(out) - start;
		if (column >= HELP_COLUMN) {
			buf_putc(out, '\n');
			column = 0;
		}
		buf_clear(&text);
		buf_puts(&text, o->help);
		put_sources(&text, o);
		put_wrapped(out, &column, buf_sv(&text));
		buf_putc(out, '\n');
	}
	buf_done(&text);
}

void conf_print_help(FILE *out, const struct conf_option *table, size_t n)
{
	struct buf text;

	buf_init(&text, HELP_MAX);
	conf_help(table, n, &text);
	(void)fputs(buf_cstr(&text), out);
	buf_done(&text);
}

const char *conf_env(const char *name)
{
	return getenv(name);
}

const char *conf_no_env(const char *name)
{
	(void)name;
	return NULL;
}
