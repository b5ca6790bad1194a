#pragma once
/*
 * Objects of one size behind handles {index, generation}: a handle kept too long is noticed
 * instead of reaching another object. Handle 0 is never valid. Addresses are stable.
 */
#include "core/base.h"

typedef uint64_t slab_handle; /* generation << 32 | index + 1 */

struct slab;
struct slab *slab_new(size_t object_size, uint32_t max); /* at most max objects alive */
void slab_free(struct slab **s);
/* Zeroed object, NULL when max are alive. */
void *slab_get_new(struct slab *s, slab_handle *handle);
void *slab_get(const struct slab *s, slab_handle handle); /* NULL when released */
void slab_release(struct slab *s, slab_handle handle);	  /* a stale handle is ignored */
uint32_t slab_count(const struct slab *s);
/* The next living object at or behind *pos, NULL at the end; the body may release it. */
void *slab_next(const struct slab *s, uint32_t *pos, slab_handle *handle);
