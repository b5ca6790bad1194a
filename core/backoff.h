#pragma once
/* Delays between tries: doubling from `first` to `cap` with jitter; time, not work, resets it. */
#include "core/loop.h"

struct backoff {
	uint64_t first_ms, cap_ms, next_ms;
};
void backoff_init(struct backoff *b, uint64_t first_ms, uint64_t cap_ms);
uint64_t backoff_next(struct backoff *b, struct loop *l); /* the delay to wait now, +-50 % */
void backoff_reset(struct backoff *b);
