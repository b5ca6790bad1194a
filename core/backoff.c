#include "core/backoff.h"

/* With doubling, half of it on either side leaves no gap between one try and the next: a fleet that
 * lost its server in one moment is spread over the whole of its last delay. */
enum { BACKOFF_JITTER_PERCENT = 50 };

void backoff_init(struct backoff *b, uint64_t first_ms, uint64_t cap_ms)
{
	must(first_ms > 0 && first_ms <= cap_ms && cap_ms <= UINT64_MAX / 2);
	*b = (struct backoff){ .first_ms = first_ms, .cap_ms = cap_ms, .next_ms = first_ms };
}

uint64_t backoff_next(struct backoff *b, struct loop *l)
{
	uint64_t delay = b->next_ms;

	b->next_ms = MIN(delay * 2, b->cap_ms);
	return loop_jitter(l, delay, BACKOFF_JITTER_PERCENT);
}

void backoff_reset(struct backoff *b)
{
	b->next_ms = b->first_ms;
}
