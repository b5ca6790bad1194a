#include "tools/hook/paths.h"

#include <errno.h>
#include <string.h>

void paths_init(struct paths *p)
{
	*p = (struct paths){ 0 };
}

void paths_done(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
	paths_init(p);
}

bool paths_has(const struct paths *p, const char *s)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i], s) == 0)
			return true;
	return false;
}

int paths_add(struct paths *p, const char *s)
{
	if (paths_has(p, s))
		return 0;
	if (p->n == PATHS_MAX)
		return -E2BIG;
	if (!p->v)
		p->v = calloc(PATHS_MAX, sizeof(*p->v));
	if (!p->v)
		return -ENOMEM;
	p->v[p->n] = strdup(s);
	if (!p->v[p->n])
		return -ENOMEM;
	p->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

void paths_sort(struct paths *p)
{
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), compare);
}
