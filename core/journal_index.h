#pragma once
/*
 * Where in the journal's file the latest record of each key stands: what compaction has to copy
 * and how much of the file is alive. Owner: struct journal_disk, embedded. Costs some 150 bytes a
 * key.
 */
#include "core/journal_format.h"
#include "core/list.h"
#include "core/map.h"

struct journal_index {
	struct map by_key;
	struct list by_place; /* the order of the file: what is new is always last */
	struct list *cursor;  /* of a compaction: the next one to copy */
	uint64_t bytes;	      /* of all these records */
	uint32_t live;	      /* keys with a PUT */
};

void journal_index_init(struct journal_index *x);
void journal_index_done(struct journal_index *x);
/* Takes a record in; `base` is the file offset of the bytes that r->at counts from. */
void journal_index_add(struct journal_index *x, const struct journal_record *r, uint64_t base);

/*
 * Compaction, while records come and go: first() puts the cursor at the beginning; next() gives the
 * record there, notes that it is copied to `to` and goes on, false when what follows stands at
 * `tail` or beyond. When all up to there is copied, move() makes the copies the places, and shifts
 * what was added since from `tail` to `new_tail`.
 */
void journal_index_first(struct journal_index *x);
bool journal_index_next(struct journal_index *x, uint64_t tail, uint64_t to, uint64_t *at,
			uint64_t *size);
void journal_index_move(struct journal_index *x, uint64_t tail, uint64_t new_tail);
