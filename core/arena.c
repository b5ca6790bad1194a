#include "core/arena.h"

#include "core/mem.h"

/*
 * A chain of blocks, the newest first. Blocks double up to BLOCK_MAX; what is larger than a quarter
 * of a block gets one of its own behind the newest, so that the newest's rest is not lost. The cap
 * counts what was asked for (rounded up), not the blocks.
 */
enum { ALIGN = 16, BLOCK_FIRST = 2048, BLOCK_MAX = 64 << 10 };

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct block *blocks; /* never NULL; the last is the first made, kept by a reset */
	size_t cap, used;
};

static struct block *new_block(size_t size, struct block *next)
{
	struct block *b = mem_alloc(sizeof(*b) + size);

	b->next = next;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *arena_new(size_t cap)
{
	struct arena *a = MEM_NEW(struct arena);

	must(cap > 0 && cap <= SIZE_MAX / 2);
	a->cap = cap;
	a->blocks = new_block(BLOCK_FIRST, NULL);
	return a;
}

void arena_free(struct arena **ap)
{
	struct arena *a = *ap;

	if (!a)
		return;
	arena_reset(a);
	mem_free(a->blocks);
	mem_free(a);
	*ap = NULL;
}

void arena_reset(struct arena *a)
{
	struct block *b;

	while (a->blocks->next) {
		b = a->blocks;
		a->blocks = b->next;
		mem_free(b);
	}
	a->blocks->used = 0;
	a->used = 0;
}

static void *take(struct arena *a, struct block *b, size_t size)
{
	void *p = b->data + b->used;

	b->used += size;
	a->used += size;
	return memset(p, 0, size);
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct block *top = a->blocks;

	/* A unique address even for nothing; the cap is far below where rounding overflows. */
	if (size > a->cap)
		return NULL;
	size = MAX((size + ALIGN - 1) & ~(size_t)(ALIGN - 1), (size_t)ALIGN);
	if (size > a->cap - a->used)
		return NULL;
	if (size <= top->size - top->used)
		return take(a, top, size);
	if (size > BLOCK_MAX / 4 && top->next) {
		top->next = new_block(size, top->next);
		return take(a, top->next, size);
	}
	a->blocks = new_block(MAX(MIN(top->size * 2, (size_t)BLOCK_MAX), size), top);
	return take(a, a->blocks, size);
}

char *arena_strdup(struct arena *a, struct sv s)
{
	char *p = s.n < a->cap ? arena_alloc(a, s.n + 1) : NULL;

	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
