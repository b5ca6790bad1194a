#include "test/bench/sample.h"

#include "core/mem.h"

enum { FIRST_SIZE = 256 };

void sample_done(struct sample *s)
{
	mem_free(s->v);
	*s = (struct sample){ 0 };
}

void sample_add(struct sample *s, uint64_t us)
{
	if (s->n == s->size) {
		s->size = s->size ? s->size * 2 : FIRST_SIZE;
		s->v = mem_realloc(s->v, s->size, sizeof(*s->v));
	}
	s->v[s->n++] = us;
	s->sorted = false;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t sample_at(struct sample *s, double q)
{
	size_t i;

	if (!s->n)
		return 0;
	if (!s->sorted)
		qsort(s->v, s->n, sizeof(*s->v), by_value);
	s->sorted = true;
	i = (size_t)(q * (double)s->n);
	return s->v[MIN(i, s->n - 1)];
}
