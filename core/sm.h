#pragma once
/*
 * State machine: a table of allowed moves and an invariant that is checked after each.
 * Only sm_move() writes `state`. An illegal move is a programmer's error and aborts.
 */
#include "core/base.h"

#define SM_TO(s) (1u << (s))

struct sm;
struct sm_conf {
	const char *name;
	uint32_t to; /* SM_TO(..) | SM_TO(..) */
};
typedef bool (*sm_holds_fn)(const struct sm *sm, int prev);

struct sm {
	int state;
	const struct sm_conf *conf;
	sm_holds_fn holds;
};

void sm_init(struct sm *m, const struct sm_conf *conf, sm_holds_fn holds, int state);
void sm_move(struct sm *m, int next);

static inline int sm_state(const struct sm *m)
{
	return m->state;
}
static inline const char *sm_name(const struct sm *m)
{
	return m->conf[m->state].name;
}
