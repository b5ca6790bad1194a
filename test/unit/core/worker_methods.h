#pragma once
/* Methods of workers that never answer, for tests whose workers are the test's own program. */
#include <unistd.h>

#include "core/worker.h"

static inline int do_hang(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	while (pause() < 0) {
	}
	return 0;
}

static inline int do_crash(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	_exit(3);
}
