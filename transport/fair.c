#include "transport/fair.h"

static size_t places_of(const struct fair_place *v, size_t n, uint64_t peer)
{
	size_t held = 0;

	for (size_t i = 0; i < n; i++)
		held += v[i].peer == peer;
	return held;
}

static bool goes_before(const struct fair_place *a, const struct fair_place *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->since_ms < b->since_ms;
}

size_t fair_victim(const struct fair_place *v, size_t n, uint64_t newcomer, bool *greedy)
{
	size_t best = SIZE_MAX, held = 0;

	must(n > 0);
	for (size_t i = 0; i < n; i++) {
		size_t mine = places_of(v, n, v[i].peer);

		if (mine < held || (mine == held && !goes_before(&v[i], &v[best])))
			continue;
		held = mine;
		best = i;
	}
	*greedy = held > n / 2 || held > places_of(v, n, newcomer) + 1;
	return best;
}
