#pragma once
/*
 * Where in the journal's file the latest record of each key stands: what compaction has to copy
 * and how much of the file is alive. Owner: struct journal_disk, embedded. Costs some 120 bytes a
 * key.
 */
#include "core/journal_format.h"
#include "core/map.h"

struct journal_index {
	struct map by_key;
	uint64_t bytes; /* of all these records */
	uint32_t live;	/* keys with a PUT */
};

void journal_index_init(struct journal_index *x);
void journal_index_done(struct journal_index *x);
/* Takes a record in; `base` is the file offset of the bytes that r->at counts from. */
void journal_index_add(struct journal_index *x, const struct journal_record *r, uint64_t base);

struct journal_place {
	uint64_t at, to; /* now, and after the move */
	uint64_t size;
};
/* All places in the order of the file; caller frees. */
struct journal_place *journal_index_places(const struct journal_index *x, size_t *n);
/*
 * After compaction: what stood at places[i].at stands at places[i].to; what was added since, at
 * `tail` and beyond, moved by the same distance to `new_tail`.
 */
void journal_index_move(struct journal_index *x, const struct journal_place *places, size_t n,
			uint64_t tail, uint64_t new_tail);
