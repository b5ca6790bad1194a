#pragma once
/*
 * The roles of tundra-worker and what each may do: the one table that the worker obeys, tundra's
 * doctor and docs tell of, and tests compare with /proc.
 */
#include "core/confine.h"

enum { WORKER_ROLE_CAPS = 3 };
struct worker_cap {
	const char *name; /* "CAP_MKNOD"; NULL ends the list */
	const char *why;
	uint8_t cap; /* CAP_MKNOD */
};
struct worker_role {
	const char *name, *does;
	struct worker_cap caps[WORKER_ROLE_CAPS + 1];
	/* What it may call beside confine_basics; NULL: all but confine_dangerous, `calls_why`. */
	const struct confine_group *calls;
	const char *calls_why;
};
extern const struct worker_role worker_roles[];
extern const size_t worker_roles_n;

const struct worker_role *worker_role_find(const char *name); /* NULL: no such role */
uint64_t worker_role_caps(const struct worker_role *r);	      /* bits by number */

/*
 * The spawner, from which all workers come: what it keeps is in no effect in it, only permitted, so
 * that it can be handed on.
 */
#define WORKER_SPAWNER "spawner"
extern const struct worker_cap worker_spawner_caps[]; /* its own; NULL name ends */
uint64_t worker_spawner_keeps(void);

/* Gives up, for good, all that the role's row does not name. */
void worker_role_confine(const struct worker_role *r);
/* The same for the spawner. What is dangerous is refused to all who come from it. */
void worker_spawner_confine(void);
