#pragma once
/* Feature gates in Kubernetes' form, "A=true,B=false,": a static table says what exists. */
#include "core/err.h"

enum gate_stage { GATE_ALPHA, GATE_BETA, GATE_GA };
struct gate {
	const char *name;
	enum gate_stage stage;
	bool on;     /* default */
	bool absent; /* not built yet: naming it false is fine, true is an error */
};

/*
 * Sets state[i] for table[i]. AllAlpha and AllBeta are understood. -EINVAL: the text names the
 * culprit and what exists.
 */
int gate_parse(const struct gate *table, size_t n, const char *text, bool *state,
	       struct err *e) NODISCARD;
/*
 * AllAlpha=true and AllBeta=true switch on what exists. left_out[i]: table[i] is absent, and such a
 * word in `text` (which gate_parse() took) asks for it. Whoever gives the word should be told.
 */
void gate_left_out(const struct gate *table, size_t n, const char *text, bool *left_out);
