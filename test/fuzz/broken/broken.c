/* A parser that is too slow, or leaks: what watches over the fuzz targets must say so. */
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "test/fuzz/fuzz.h"

enum { SLOW_MS = 300 };

static clock_t ms_used(void)
{
	return clock() / (CLOCKS_PER_SEC / 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	clock_t began = ms_used();
	void *volatile lost = NULL;

	if (size >= 4 && !memcmp(data, "slow", 4))
		while (ms_used() - began < SLOW_MS)
			;
	if (size >= 4 && !memcmp(data, "leak", 4))
		lost = mem_alloc(100);
	lost = NULL;
	(void)lost;
	return 0;
}
