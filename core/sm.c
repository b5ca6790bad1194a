#include "core/sm.h"

/* Names the machine's states: the line in a core file alone would not tell which machine it was.
 * An illegal `next` may lie outside the table, so it is not looked up. */
static void NORETURN broken(const struct sm *m, const char *rule, int prev, int next)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%s from %s to state %d", rule, m->conf[prev].name,
		       next);
	must_fail(text, __FILE__, __LINE__);
}

void sm_init(struct sm *m, const struct sm_conf *conf, sm_holds_fn holds, int state)
{
	must(state >= 0 && state < 32 && conf[state].name);
	*m = (struct sm){ .state = state, .conf = conf, .holds = holds };
}

void sm_move(struct sm *m, int next)
{
	int prev = m->state;

	if (next < 0 || next >= 32 || !(m->conf[prev].to & SM_TO(next)))
		broken(m, "illegal move", prev, next);
	m->state = next;
	if (m->holds && !m->holds(m, prev))
		broken(m, "invariant", prev, next);
}
