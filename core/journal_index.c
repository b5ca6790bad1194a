#include "core/journal_index.h"

#include "core/le.h"
#include "core/mem.h"

/* The map's key is the record's kind and key, since a META may have the same key as a PUT. */
enum { KIND = 2 };

struct entry {
	uint64_t at, size;
	size_t name_n;
	char name[];
};

void journal_index_init(struct journal_index *x)
{
	*x = (struct journal_index){ 0 };
	map_init(&x->by_key);
}

void journal_index_done(struct journal_index *x)
{
	map_for_each (e, &x->by_key)
		mem_free(e->value);
	map_done(&x->by_key);
	*x = (struct journal_index){ 0 };
}

static void forget(struct journal_index *x, struct entry *e)
{
	if (!e)
		return;
	x->bytes -= e->size;
	x->live -= le_get16(e->name) == JOURNAL_PUT;
	mem_free(e);
}

void journal_index_add(struct journal_index *x, const struct journal_record *r, uint64_t base)
{
	struct entry *e;
	unsigned kind = r->kind == JOURNAL_DEL ? JOURNAL_PUT : r->kind;

	if (r->kind == 0 || r->kind == JOURNAL_COMMIT || r->size == 0)
		return;
	e = mem_alloc(sizeof(*e) + KIND + r->key.n);
	*e = (struct entry){ .at = base + r->at, .size = r->size, .name_n = KIND + r->key.n };
	le_put16(e->name, (uint16_t)kind);
	memcpy(e->name + KIND, r->key.p, r->key.n);
	if (r->kind == JOURNAL_DEL) {
		forget(x, map_del(&x->by_key, sv_make(e->name, e->name_n)));
		mem_free(e);
		return;
	}
	x->bytes += e->size;
	x->live += kind == JOURNAL_PUT;
	forget(x, map_put(&x->by_key, sv_make(e->name, e->name_n), e));
}

static int by_at(const void *a, const void *b)
{
	const struct journal_place *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

struct journal_place *journal_index_places(const struct journal_index *x, size_t *n)
{
	struct journal_place *all = mem_calloc(map_len(&x->by_key), sizeof(*all));
	const struct entry *e;

	*n = 0;
	map_for_each (slot, &x->by_key) {
		e = slot->value;
		all[(*n)++] = (struct journal_place){ .at = e->at, .size = e->size };
	}
	qsort(all, *n, sizeof(*all), by_at);
	return all;
}

void journal_index_move(struct journal_index *x, const struct journal_place *places, size_t n,
			uint64_t tail, uint64_t new_tail)
{
	const struct journal_place *p;
	struct journal_place want;
	struct entry *e;

	map_for_each (slot, &x->by_key) {
		e = slot->value;
		if (e->at >= tail) {
			e->at = e->at - tail + new_tail;
			continue;
		}
		want.at = e->at;
		p = bsearch(&want, places, n, sizeof(*places), by_at);
		must(p);
		e->at = p->to;
	}
}
