#pragma once
/*
 * Work in a process of its own, with a limit: what may hang or crash costs its answer and nothing
 * else. For commands, which have nothing else to do meanwhile.
 */
#include "core/buf.h"

enum {
	BOUNDED_LATE =
	    1,	      /* the time is over; the process was killed, or left behind if it is stuck */
	BOUNDED_DIED, /* ended by a signal or with a code */
};
/*
 * Forks; fn(arg, fd) writes its answer to fd and returns. What was written until then is appended
 * to `out`, up to its cap, whatever the result. `quiet`: the process has no stderr.
 * *status: for BOUNDED_DIED, as of waitpid(). 0, BOUNDED_*, or negative: no process could be made.
 */
int bounded_run(void (*fn)(void *arg, int fd), void *arg, uint32_t limit_ms, bool quiet,
		struct buf *out, int *status) NODISCARD;
