/*
 * Stands before every fuzz target, whose function CMake gives the name fuzz_target(): an input may
 * take LIMIT_MS of processor time, so that a busy machine is no finding. Other limit, for an
 * emulator: TUNDRA_FUZZ_MS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test/fuzz/fuzz.h"

enum { LIMIT_MS = 100 };

int fuzz_target(const uint8_t *data, size_t size);

static long now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *other = getenv("TUNDRA_FUZZ_MS");
	long limit = other ? strtol(other, NULL, 10) : LIMIT_MS, ms = now_ms();
	int r = fuzz_target(data, size);

	ms = now_ms() - ms;
	if (ms <= limit)
		return r;
	(void)fprintf(stderr, "an input of %zu bytes took %ld ms of processor time, not %ld\n",
		      size, ms, limit);
	exit(EXIT_FAILURE); /* libFuzzer takes that for a crash, and keeps the input */
}
