#include "core/metrics.h"

#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"

/*
 * A family maps its label values, joined with NULs, to a series; the same bytes in byte order give
 * the order of rendering. An update builds the key in the registry's scratch buffer, so it
 * allocates only for a new series.
 */
struct series {
	char *key;
	size_t key_n;
	double value;	 /* counter, gauge; a histogram's sum */
	double kept;	 /* counter by metrics_set(): of sources before the present one */
	uint64_t count;	 /* histogram */
	uint64_t slot[]; /* histogram: per bound, not cumulative */
};

struct metrics_family {
	struct metrics *owner;
	const struct metrics_desc *desc;
	struct map series;
	size_t labels_n;
	bool warned;
};

struct scrape {
	void (*fn)(void *arg);
	void *arg;
};

struct metrics {
	struct metrics_family **families;
	struct scrape *scrapes;
	size_t families_n, scrapes_n;
	struct buf key;
};

struct metrics *metrics_new(void)
{
	struct metrics *m = MEM_NEW(struct metrics);

	buf_init(&m->key, (size_t)METRICS_LABELS_MAX * (METRICS_VALUE_MAX + 1));
	return m;
}

static void free_series(struct series *s)
{
	mem_free(s->key);
	mem_free(s);
}

void metrics_free(struct metrics **mp)
{
	struct metrics *m = *mp;
	size_t i;

	if (!m)
		return;
	for (i = 0; i < m->families_n; i++) {
		map_for_each (e, &m->families[i]->series)
			free_series(e->value);
		map_done(&m->families[i]->series);
		mem_free(m->families[i]);
	}
	mem_free(m->families);
	mem_free(m->scrapes);
	buf_done(&m->key);
	mem_free(m);
	*mp = NULL;
}

static bool name_ok(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      (i && c >= '0' && c <= '9')))
			return false;
	}
	return i > 0;
}

static void check(const struct metrics *m, const struct metrics_desc *d)
{
	size_t i;

	must(name_ok(d->name) && d->help && !d->labels[METRICS_LABELS_MAX]);
	for (i = 0; i < m->families_n; i++)
		must(strcmp(m->families[i]->desc->name, d->name) != 0);
	for (i = 0; d->labels[i]; i++)
		must(name_ok(d->labels[i]) && strcmp(d->labels[i], "le") != 0);
	must((d->kind == METRICS_HISTOGRAM) == (d->bounds_n > 0));
	for (i = 1; i < d->bounds_n; i++)
		must(d->bounds[i - 1] < d->bounds[i]);
}

/* The series of these labels; made if `make`, unless the family is full. */
static struct series *series_of(struct metrics_family *f, const char *const *labels, bool make)
{
	struct buf *key = &f->owner->key;
	struct series *s;
	size_t i, given = 0;

	while (labels[given])
		given++;
	must(given <= f->labels_n);
	buf_clear(key);
	for (i = 0; i < f->labels_n; i++) {
		if (i < given)
			buf_put(key, labels[i], strnlen(labels[i], METRICS_VALUE_MAX));
		buf_putc(key, '\0');
	}
	s = map_get(&f->series, buf_sv(key));
	if (s || !make)
		return s;
	if (map_len(&f->series) == METRICS_SERIES_MAX) {
		if (!f->warned)
			log_warn("too many series of a metric, updates are ignored",
				 LOG_S("metric", f->desc->name));
		f->warned = true;
		return NULL;
	}
	s = mem_zalloc(sizeof(*s) + f->desc->bounds_n * sizeof(s->slot[0]));
	s->key_n = buf_len(key);
	s->key = mem_dup(buf_cstr(key), s->key_n);
	map_put(&f->series, sv_make(s->key, s->key_n), s);
	return s;
}

struct metrics_family *metrics_add(struct metrics *m, const struct metrics_desc *d)
{
	struct metrics_family *f;

	check(m, d);
	f = MEM_NEW(struct metrics_family);
	f->owner = m;
	f->desc = d;
	map_init(&f->series);
	while (d->labels[f->labels_n])
		f->labels_n++;
	m->families = mem_realloc(m->families, m->families_n + 1, sizeof(struct metrics_family *));
	m->families[m->families_n++] = f;
	/* A counter that appears at its first event hides that event from rate(). */
	if (!f->labels_n && d->kind != METRICS_GAUGE)
		series_of(f, METRICS_NO_LABELS, true);
	return f;
}

void metrics_inc(struct metrics_family *f, double by, const char *const *labels)
{
	struct series *s;

	must(f->desc->kind != METRICS_HISTOGRAM);
	must(f->desc->kind == METRICS_GAUGE || by >= 0);
	s = series_of(f, labels, true);
	if (s)
		s->value += by;
}

void metrics_set(struct metrics_family *f, double value, const char *const *labels)
{
	struct series *s;

	must(f->desc->kind != METRICS_HISTOGRAM);
	must(f->desc->kind == METRICS_GAUGE || value >= 0);
	s = series_of(f, labels, true);
	if (!s)
		return;
	if (f->desc->kind == METRICS_COUNTER) {
		if (value < s->value - s->kept)
			s->kept = s->value;
		value += s->kept;
	}
	s->value = value;
}

void metrics_observe(struct metrics_family *f, double value, const char *const *labels)
{
	const struct metrics_desc *d = f->desc;
	struct series *s;
	size_t i;

	must(d->kind == METRICS_HISTOGRAM);
	s = series_of(f, labels, true);
	if (!s)
		return;
	s->value += value;
	s->count++;
	for (i = 0; i < d->bounds_n; i++) {
		if (value <= d->bounds[i]) {
			s->slot[i]++;
			break;
		}
	}
}

void metrics_set_histogram(struct metrics_family *f, const uint64_t *counts, double sum,
			   const char *const *labels)
{
	const struct metrics_desc *d = f->desc;
	struct series *s;
	size_t i;

	must(d->kind == METRICS_HISTOGRAM);
	s = series_of(f, labels, true);
	if (!s)
		return;
	s->value = sum;
	s->count = counts[d->bounds_n];
	for (i = 0; i < d->bounds_n; i++) {
		s->slot[i] = counts[i];
		s->count += counts[i];
	}
}

void metrics_drop(struct metrics_family *f, const char *const *labels)
{
	struct series *s = series_of(f, labels, false);

	if (!s)
		return;
	map_del(&f->series, sv_make(s->key, s->key_n));
	free_series(s);
}

double metrics_value(struct metrics_family *f, const char *const *labels)
{
	const struct series *s = series_of(f, labels, false);

	if (!s)
		return 0;
	return f->desc->kind == METRICS_HISTOGRAM ? (double)s->count : s->value;
}

void metrics_on_scrape(struct metrics *m, void (*fn)(void *arg), void *arg)
{
	m->scrapes = mem_realloc(m->scrapes, m->scrapes_n + 1, sizeof(*m->scrapes));
	m->scrapes[m->scrapes_n++] = (struct scrape){ .fn = fn, .arg = arg };
}

/* Rendering */

static void put_escaped(struct buf *out, struct sv s, bool quotes)
{
	size_t n;

	for (; s.n; s = sv_drop(s, n ? n : 1)) {
		n = sv_utf8(s);
		if (!n)
			buf_puts(out, "\xef\xbf\xbd");
		else if (s.p[0] == '\\')
			buf_puts(out, "\\\\");
		else if (s.p[0] == '\n')
			buf_puts(out, "\\n");
		else if (s.p[0] == '"' && quotes)
			buf_puts(out, "\\\"");
		else
			buf_put(out, s.p, n);
	}
}

static void put_label(struct buf *out, bool *open, const char *name, struct sv value)
{
	buf_putc(out, *open ? ',' : '{');
	*open = true;
	buf_puts(out, name);
	buf_puts(out, "=\"");
	put_escaped(out, value, true);
	buf_putc(out, '"');
}

/* `le` is empty but for buckets. */
static void put_name(struct buf *out, const struct metrics_family *f, const char *suffix,
		     const struct series *s, struct sv le)
{
	struct sv rest = sv_make(s->key, s->key_n);
	bool open = false;
	size_t i;

	buf_puts(out, f->desc->name);
	buf_puts(out, suffix);
	for (i = 0; i < f->labels_n; i++)
		put_label(out, &open, f->desc->labels[i], sv_cut(&rest, '\0'));
	if (le.n)
		put_label(out, &open, "le", le);
	buf_puts(out, open ? "} " : " ");
}

static void put_count(struct buf *out, const struct metrics_family *f, const char *suffix,
		      const struct series *s, struct sv le, uint64_t count)
{
	put_name(out, f, suffix, s, le);
	buf_printf(out, "%llu\n", (unsigned long long)count);
}

static void put_histogram(struct buf *out, const struct metrics_family *f, const struct series *s)
{
	const struct metrics_desc *d = f->desc;
	uint64_t total = 0;
	struct buf bound;
	size_t i;

	buf_init(&bound, 64);
	for (i = 0; i < d->bounds_n; i++) {
		total += s->slot[i];
		buf_clear(&bound);
		buf_put_real(&bound, d->bounds[i]);
		put_count(out, f, "_bucket", s, buf_sv(&bound), total);
	}
	buf_done(&bound);
	put_count(out, f, "_bucket", s, SV("+Inf"), s->count);
	put_name(out, f, "_sum", s, SV_NONE);
	buf_put_real(out, s->value);
	buf_putc(out, '\n');
	put_count(out, f, "_count", s, SV_NONE, s->count);
}

static int by_key(const void *a, const void *b)
{
	const struct series *x = *(const struct series *const *)a;
	const struct series *y = *(const struct series *const *)b;

	return sv_cmp(sv_make(x->key, x->key_n), sv_make(y->key, y->key_n));
}

static void put_family(struct buf *out, const struct metrics_family *f)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	const struct metrics_desc *d = f->desc;
	const struct series *sorted[METRICS_SERIES_MAX];
	size_t i, n = 0;

	if (!map_len(&f->series))
		return;
	map_for_each (e, &f->series)
		sorted[n++] = e->value;
	qsort(sorted, n, sizeof(*sorted), by_key);
	buf_printf(out, "# HELP %s ", d->name);
	put_escaped(out, sv_str(d->help), false);
	buf_printf(out, "\n# TYPE %s %s\n", d->name, kinds[d->kind]);
	for (i = 0; i < n; i++) {
		if (d->kind == METRICS_HISTOGRAM) {
			put_histogram(out, f, sorted[i]);
			continue;
		}
		put_name(out, f, "", sorted[i], SV_NONE);
		buf_put_real(out, sorted[i]->value);
		buf_putc(out, '\n');
	}
}

void metrics_render(struct metrics *m, struct buf *out)
{
	size_t i;

	for (i = 0; i < m->scrapes_n; i++)
		m->scrapes[i].fn(m->scrapes[i].arg);
	for (i = 0; i < m->families_n; i++)
		put_family(out, m->families[i]);
}
