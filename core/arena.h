#pragma once
/*
 * Memory that is released together: for what lives as long as one decoded message or one plan.
 * The arena has a cap, since what fills it often came from a peer.
 */
#include "core/sv.h"

struct arena;
struct arena *arena_new(size_t cap); /* bytes, of all that lives in it */
void arena_free(struct arena **a);
void arena_reset(struct arena *a);		  /* keeps the first block */
void *arena_alloc(struct arena *a, size_t size);  /* zeroed, 16-aligned; NULL beyond the cap */
char *arena_strdup(struct arena *a, struct sv s); /* terminated; NULL beyond the cap */
size_t arena_used(const struct arena *a);
