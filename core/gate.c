#include "core/gate.h"

#include <errno.h>

#include "core/buf.h"

enum { LIST_TEXT_MAX = 256 };

static size_t find(const struct gate *table, size_t n, struct sv name)
{
	size_t i;

	for (i = 0; i < n && !sv_eqs(name, table[i].name); i++) {
	}
	return i;
}

static int unknown(const struct gate *table, size_t n, struct sv name, struct err *e)
{
	struct buf known;
	size_t i;
	int r;

	buf_init(&known, LIST_TEXT_MAX);
	for (i = 0; i < n; i++)
		buf_printf(&known, "%s%s", i ? ", " : "", table[i].name);
	r = err_set(e, -EINVAL, "unknown feature gate \"" SV_FMT "\", known are %s",
		    SV_ARG(sv_make(name.p, MIN(name.n, (size_t)64))),
		    n ? buf_cstr(&known) : "none");
	buf_done(&known);
	return r;
}

/* AllAlpha, AllBeta: weaker than a gate's own name wherever it stands, hence the first pass. */
static void set_stage(const struct gate *table, size_t n, struct sv name, bool on, bool *state)
{
	enum gate_stage stage = sv_eqs(name, "AllAlpha") ? GATE_ALPHA : GATE_BETA;
	size_t i;

	for (i = 0; i < n; i++) {
		if (table[i].stage == stage)
			state[i] = on;
	}
}

static int set_one(const struct gate *table, size_t n, struct sv name, bool on, bool *state,
		   struct err *e)
{
	size_t i = find(table, n, name);

	if (i == n)
		return unknown(table, n, name, e);
	if (table[i].absent && on)
		return err_set(e, -EINVAL, "feature gate %s cannot be enabled: not supported yet",
			       table[i].name);
	state[i] = on;
	return 0;
}

static int pass(const struct gate *table, size_t n, struct sv text, bool stages, bool *state,
		struct err *e)
{
	struct sv item, name;
	bool on;
	int r;

	while (text.n) {
		item = sv_trim(sv_cut(&text, ','));
		if (!item.n)
			continue;
		name = sv_trim(sv_cut(&item, '='));
		if (sv_bool(sv_trim(item), &on))
			return err_set(e, -EINVAL, "feature gate " SV_FMT " needs =true or =false",
				       SV_ARG(sv_make(name.p, MIN(name.n, (size_t)64))));
		if (sv_eqs(name, "AllAlpha") || sv_eqs(name, "AllBeta")) {
			if (stages)
				set_stage(table, n, name, on, state);
			continue;
		}
		r = stages ? 0 : set_one(table, n, name, on, state, e);
		if (r)
			return r;
	}
	return 0;
}

int gate_parse(const struct gate *table, size_t n, const char *text, bool *state, struct err *e)
{
	size_t i;
	int r;

	for (i = 0; i < n; i++)
		state[i] = table[i].on;
	r = pass(table, n, sv_str(text), true, state, e);
	if (!r)
		r = pass(table, n, sv_str(text), false, state, e);
	for (i = 0; i < n; i++)
		state[i] = state[i] && !table[i].absent;
	return r;
}

void gate_left_out(const struct gate *table, size_t n, const char *text, bool *left_out)
{
	size_t i;

	for (i = 0; i < n; i++)
		left_out[i] = false; /* a default asks for nothing */
	(void)!pass(table, n, sv_str(text), true, left_out, NULL);
	(void)!pass(table, n, sv_str(text), false, left_out, NULL);
	for (i = 0; i < n; i++)
		left_out[i] = left_out[i] && table[i].absent;
}
