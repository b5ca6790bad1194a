#include "test/lib/selector.h"

#include "core/mem.h"

/* The fields that the API server indexes, per kind; all kinds have the first two. */
static const struct {
	const char *resource, *field;
} fields[] = {
	{ NULL, "metadata.name" },
	{ NULL, "metadata.namespace" },
	{ "resourceslices", "spec.driver" },
	{ "resourceslices", "spec.nodeName" },
	{ "pods", "spec.nodeName" },
	{ "pods", "status.phase" },
	{ "events", "involvedObject.name" },
	{ "events", "involvedObject.namespace" },
	{ "events", "involvedObject.uid" },
	{ "events", "involvedObject.kind" },
	{ "events", "reason" },
	{ "events", "type" },
};

static bool field_known(const struct store_kind *k, const char *field)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if ((!fields[i].resource || !strcmp(fields[i].resource, k->resource)) &&
		    !strcmp(fields[i].field, field))
			return true;
	return false;
}

static void add_value(struct selector_term *t, struct sv v)
{
	if (t->values_n < SELECTOR_VALUES_MAX)
		t->values[t->values_n++] = sv_dup(sv_trim(v));
}

static struct selector_term *add_term(struct selector *s, bool label)
{
	struct selector_term *t = &s->terms[s->n];

	if (s->n == SELECTOR_TERMS_MAX)
		return NULL;
	s->n++;
	*t = (struct selector_term){ .label = label };
	return t;
}

/* "a=b", "a==b", "a!=b" */
static bool parse_pair(struct sv text, struct selector_term *t)
{
	struct sv value = text, key = sv_cut(&value, '=');

	if (key.n == text.n)
		return false;
	t->op = SELECTOR_EQ;
	if (sv_ends(key, SV("!"))) {
		t->op = SELECTOR_NE;
		key.n--;
	}
	if (t->op == SELECTOR_EQ && sv_starts(value, SV("=")))
		value = sv_drop(value, 1);
	t->key = sv_dup(sv_trim(key));
	add_value(t, value);
	return *t->key != '\0';
}

int selector_fields(struct selector *s, const struct store_kind *k, const char *text,
		    struct store_error *e)
{
	struct sv rest = sv_str(text);

	while (rest.n) {
		struct selector_term *t = add_term(s, false);
		struct sv term = sv_cut(&rest, ',');

		if (!t || !parse_pair(term, t))
			return store_bad_request(e, "invalid field selector: " SV_FMT,
						 SV_ARG(term));
		if (!field_known(k, t->key))
			return store_bad_request(e, "field label not supported: %s", t->key);
	}
	return 0;
}

/* "a in (x,y)", "a notin (x)" */
static bool parse_set(struct sv text, struct selector_term *t)
{
	struct sv rest = text, key = sv_cut(&rest, ' '), op, list;

	rest = sv_trim(rest);
	list = rest;
	op = sv_cut(&list, '(');
	if (list.n == 0 || !sv_ends(sv_trim(list), SV(")")))
		return false;
	list = sv_trim(list);
	list.n--;
	if (sv_eqs(sv_trim(op), "in"))
		t->op = SELECTOR_IN;
	else if (sv_eqs(sv_trim(op), "notin"))
		t->op = SELECTOR_NOT_IN;
	else
		return false;
	t->key = sv_dup(sv_trim(key));
	while (list.n)
		add_value(t, sv_cut(&list, ','));
	return true;
}

static bool parse_label(struct sv term, struct selector_term *t)
{
	if (sv_find(term, '(') >= 0)
		return parse_set(term, t);
	if (sv_find(term, '=') >= 0)
		return parse_pair(term, t);
	t->op = SELECTOR_HAS;
	if (sv_starts(term, SV("!"))) {
		t->op = SELECTOR_HAS_NOT;
		term = sv_drop(term, 1);
	}
	t->key = sv_dup(sv_trim(term));
	return *t->key != '\0';
}

/* A term ends at a comma outside of parentheses. */
static struct sv cut_label(struct sv *rest)
{
	unsigned depth = 0;
	size_t i = 0;
	struct sv term;

	for (; i < rest->n; i++) {
		depth += rest->p[i] == '(';
		depth -= rest->p[i] == ')' && depth;
		if (rest->p[i] == ',' && !depth)
			break;
	}
	term = sv_make(rest->p, i);
	*rest = sv_drop(*rest, MIN(i + 1, rest->n));
	return sv_trim(term);
}

int selector_labels(struct selector *s, const char *text, struct store_error *e)
{
	struct sv rest = sv_str(text);

	while (rest.n) {
		struct selector_term *t = add_term(s, true);
		struct sv term = cut_label(&rest);

		if (!t || !parse_label(term, t))
			return store_bad_request(e, "unable to parse requirement: " SV_FMT,
						 SV_ARG(term));
	}
	return 0;
}

static const json_t *value_of(const struct selector_term *t, const json_t *object)
{
	struct sv rest = sv_str(t->key);
	const json_t *at = object;

	if (t->label)
		return jx_get(object, "metadata", "labels", t->key);
	while (rest.n && at) {
		char *part _mem_free_ = sv_dup(sv_cut(&rest, '.'));

		at = jx_get(at, part);
	}
	return at;
}

static bool one_of(const struct selector_term *t, const json_t *value)
{
	for (size_t i = 0; i < t->values_n; i++)
		if (!strcmp(t->values[i], jx_text(value)))
			return true;
	return false;
}

static bool term_matches(const struct selector_term *t, const json_t *object)
{
	const json_t *v = value_of(t, object);

	switch (t->op) {
	case SELECTOR_HAS:
		return v != NULL;
	case SELECTOR_HAS_NOT:
		return v == NULL;
	case SELECTOR_EQ:
	case SELECTOR_IN:
		return (v || !t->label) && one_of(t, v); /* an absent field is "" */
	case SELECTOR_NE:
	case SELECTOR_NOT_IN:
		return !one_of(t, v) || (!v && t->label);
	}
	return false;
}

bool selector_matches(const struct selector *s, const json_t *object)
{
	for (size_t i = 0; i < s->n; i++)
		if (!term_matches(&s->terms[i], object))
			return false;
	return true;
}

void selector_done(struct selector *s)
{
	for (size_t i = 0; i < s->n; i++) {
		mem_free(s->terms[i].key);
		for (size_t v = 0; v < s->terms[i].values_n; v++)
			mem_free(s->terms[i].values[v]);
	}
	s->n = 0;
}
