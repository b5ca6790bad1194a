#include "core/slab.h"

#include "core/mem.h"

/*
 * Chunks of CHUNK objects that are never moved or given back; released ones form a free list by
 * index. The generation in a slot counts its releases: a handle whose generation differs is stale.
 */
enum { CHUNK = 32 };
enum { NO_SLOT = UINT32_MAX };

struct slot {
	uint32_t generation, next_free;
	bool used;
	_Alignas(16) char object[];
};

struct slab {
	size_t stride, object_size;
	char **chunks;
	uint32_t slots, max, count,
	    first_free; /* slots made, limit, alive, head of the free list */
};

struct slab *slab_new(size_t object_size, uint32_t max)
{
	struct slab *s = MEM_NEW(struct slab);

	/* An index + 1 fills the low half of a handle. */
	must(object_size > 0 && object_size < SIZE_MAX / 2 / CHUNK && max > 0 && max < NO_SLOT);
	s->object_size = object_size;
	s->stride = (sizeof(struct slot) + object_size + 15) & ~(size_t)15;
	s->max = max;
	s->first_free = NO_SLOT;
	return s;
}

void slab_free(struct slab **sp)
{
	struct slab *s = *sp;
	uint32_t i;

	if (!s)
		return;
	for (i = 0; i < s->slots; i += CHUNK)
		mem_free(s->chunks[i / CHUNK]);
	mem_free(s->chunks);
	mem_free(s);
	*sp = NULL;
}

static struct slot *at(const struct slab *s, uint32_t index)
{
	return (struct slot *)(void *)(s->chunks[index / CHUNK] + s->stride * (index % CHUNK));
}

static slab_handle handle_of(const struct slot *slot, uint32_t index)
{
	return (uint64_t)slot->generation << 32 | (index + 1);
}

static uint32_t take_slot(struct slab *s)
{
	uint32_t index = s->first_free;

	if (index != NO_SLOT) {
		s->first_free = at(s, index)->next_free;
		return index;
	}
	index = s->slots++;
	if (index % CHUNK == 0) {
		s->chunks = mem_realloc(s->chunks, index / CHUNK + 1, sizeof(*s->chunks));
		s->chunks[index / CHUNK] = mem_calloc(CHUNK, s->stride);
	}
	return index;
}

void *slab_get_new(struct slab *s, slab_handle *handle)
{
	struct slot *slot;
	uint32_t index;

	if (s->count == s->max)
		return NULL;
	index = take_slot(s);
	slot = at(s, index);
	slot->used = true;
	memset(slot->object, 0, s->object_size);
	s->count++;
	*handle = handle_of(slot, index);
	return slot->object;
}

static struct slot *find(const struct slab *s, slab_handle handle)
{
	uint32_t index = (uint32_t)handle - 1;
	struct slot *slot;

	if (index >= s->slots)
		return NULL;
	slot = at(s, index);
	return slot->used && handle_of(slot, index) == handle ? slot : NULL;
}

void *slab_get(const struct slab *s, slab_handle handle)
{
	struct slot *slot = find(s, handle);

	return slot ? slot->object : NULL;
}

void slab_release(struct slab *s, slab_handle handle)
{
	struct slot *slot = find(s, handle);

	if (!slot)
		return;
	slot->used = false;
	slot->generation++;
	slot->next_free = s->first_free;
	s->first_free = (uint32_t)handle - 1;
	s->count--;
}

uint32_t slab_count(const struct slab *s)
{
	return s->count;
}

void *slab_next(const struct slab *s, uint32_t *pos, slab_handle *handle)
{
	struct slot *slot;

	for (; *pos < s->slots; (*pos)++) {
		slot = at(s, *pos);
		if (!slot->used)
			continue;
		*handle = handle_of(slot, *pos);
		(*pos)++;
		return slot->object;
	}
	return NULL;
}
