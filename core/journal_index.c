#include "core/journal_index.h"

#include "core/le.h"
#include "core/mem.h"

/* The map's key is the record's kind and key, since a META may have the same key as a PUT. */
enum { KIND = 2 };

struct entry {
	struct list node; /* in by_place */
	uint64_t at, to, size;
	size_t name_n;
	char name[];
};

void journal_index_init(struct journal_index *x)
{
	*x = (struct journal_index){ 0 };
	map_init(&x->by_key);
	list_init(&x->by_place);
	x->cursor = &x->by_place;
}

void journal_index_done(struct journal_index *x)
{
	struct list *n;

	while (x->by_place.next && (n = list_pop(&x->by_place)))
		mem_free(list_entry(n, struct entry, node));
	map_done(&x->by_key);
}

static void forget(struct journal_index *x, struct entry *e)
{
	if (!e)
		return;
	if (x->cursor == &e->node)
		x->cursor = e->node.next;
	list_remove(&e->node);
	x->bytes -= e->size;
	x->live -= le_get16(e->name) == JOURNAL_PUT;
	mem_free(e);
}

void journal_index_add(struct journal_index *x, const struct journal_record *r, uint64_t base)
{
	unsigned kind = r->kind == JOURNAL_DEL ? JOURNAL_PUT : r->kind;
	struct entry *e;

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
	/* Behind the cursor's end mark the cursor would miss it, but then it is beyond the tail. */
	list_push(&x->by_place, &e->node);
}

void journal_index_first(struct journal_index *x)
{
	x->cursor = x->by_place.next;
}

bool journal_index_next(struct journal_index *x, uint64_t tail, uint64_t to, uint64_t *at,
			uint64_t *size)
{
	struct entry *e;

	if (x->cursor == &x->by_place)
		return false;
	e = list_entry(x->cursor, struct entry, node);
	if (e->at >= tail)
		return false;
	x->cursor = e->node.next;
	e->to = to;
	*at = e->at;
	*size = e->size;
	return true;
}

void journal_index_move(struct journal_index *x, uint64_t tail, uint64_t new_tail)
{
	struct entry *e;

	list_for_each (n, &x->by_place) {
		e = list_entry(n, struct entry, node);
		must(e->at >= tail || e->to);
		e->at = e->at >= tail ? e->at - tail + new_tail : e->to;
		e->to = 0;
	}
}
