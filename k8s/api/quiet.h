#pragma once
/* Says which of many equal complaints may be logged: the first, then one per window. */
#include "core/sv.h"

enum { QUIET_SLOTS = 32, QUIET_WINDOW_MS = 60000 };
struct quiet {
	struct {
		uint64_t hash, since_ms;
		unsigned held; /* not logged since then */
	} slots[QUIET_SLOTS];
};

/*
 * May this be logged now? *held: how many equal ones were kept back since the last. When all slots
 * are taken the oldest is forgotten, so the worst is a line too many.
 */
bool quiet_pass(struct quiet *q, struct sv what, uint64_t now_ms, unsigned *held);
