#pragma once
/* Measured times, in microseconds, and their quantiles. Embedded in its owner. */
#include "core/base.h"

struct sample {
	uint64_t *v;
	size_t n, size;
	bool sorted;
};

void sample_done(struct sample *s);
void sample_add(struct sample *s, uint64_t us);
/* The value below which `q` (0 to 1) of the times lie; 0 when there are none. */
uint64_t sample_at(struct sample *s, double q);
