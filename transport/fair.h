#pragma once
/*
 * Whose place is taken when there is none left: one of the peer that holds the most, so that a
 * crowd costs only itself. Pure; used for connections and for streams that stay open.
 */
#include "core/base.h"

struct fair_place {
	uint64_t peer;	   /* sock_peer() */
	uint64_t since_ms; /* when it was last of use; the oldest goes first */
	unsigned rank;	   /* of one peer's places the lower rank goes, whatever its age */
};
/*
 * Index of the place to take for one more of `newcomer`; n > 0. Peers that hold equally many count
 * as one. *greedy: its peer has more than half of all places, or would still have more than the
 * newcomer; else only a place that is of no use should go.
 */
size_t fair_victim(const struct fair_place *v, size_t n, uint64_t newcomer, bool *greedy);
