#pragma once
/*
 * Append-only journal of keyed records, each the latest truth about its key.
 *
 * Three parts: the format (core/journal_format.h, pure), the file (core/journal_disk.h, blocking,
 * in the disk worker), and here the writer (in tundra).
 *
 * One writer per file: whoever opens a journal for writing holds the lock of "<path>.lock"
 * (fsx_lock()) from before journal_open() until after journal_free(). Reading needs no lock, see
 * journal_read().
 *
 * The records of one turn of the loop are one batch: one append, one sync. While a batch is on its
 * way the next one gathers. Callbacks come in the order of their records, when it is known that the
 * record is on the disk, or that it is not and never will be. While that is not known (the disk
 * does not answer, its worker died in between, a sync failed) nothing is told and everything is
 * tried again: open the file anew and look, by sequence number, whether the batch landed; or write
 * a new file from what the owner knows. A caller that cannot wait has its own deadline and
 * journal_forget().
 */
#include "core/journal_disk.h"
#include "core/journal_format.h"
#include "core/loop.h"
#include "core/worker.h"

struct journal;
struct journal_conf {
	const char *path;    /* ledger file; its folder exists */
	const char *boot_id; /* of this boot */
	struct worker *disk; /* not owned; serves this journal and no other */
	/*
	 * Asked when a new file must be written from memory, because the old one is not to be
	 * trusted: put every record that should be there with journal_put_live(), within the call;
	 * or, if they are many, some, and say journal_image_more(): asked again in the next turn,
	 * for the others. Records that are still under way, and what is put or deleted meanwhile,
	 * follow by themselves. (Compaction of a good file is the worker's and asks nobody.)
	 */
	void (*on_compact)(void *arg, struct journal *j);
	/* The disk fails or works again (e == NULL); status and events show it. May be NULL. */
	void (*on_disk)(void *arg, const struct err *e);
	void *arg;
};
struct journal_stats {
	uint64_t batches, records, bytes; /* on disk */
	uint64_t syncs_us;		  /* writing and syncing them took, in sum */
	uint64_t compactions, failures;
	uint64_t size, live_bytes; /* of the file now */
	uint32_t live;		   /* keys */
};
/*
 * 0: on disk. Negative: is not, nothing applied: -ENOSPC (delete something, try again), -E2BIG
 * (above JOURNAL_BODY_MAX), -ENOBUFS (JOURNAL_QUEUE_MAX bytes wait for the disk already), -ENODEV
 * (opening failed). Never called from within the call that made the record.
 */
typedef void (*journal_fn)(void *arg, int status);

enum {
	JOURNAL_QUEUE_MAX = 32 << 20,	/* 30 000 records of 1 kB behind a disk that hangs */
	JOURNAL_BATCH_MAX = 1 << 20,	/* written at once; to make it takes the loop 2 ms */
	JOURNAL_COMPACT_MIN = 64 << 10, /* a smaller file is never compacted, */
	JOURNAL_COMPACT_FACTOR = 4,	/* a bigger one when this times what is alive */
	JOURNAL_DEADLINE_MS = 30000,	/* of one append or sync: slow disks under load */
	JOURNAL_OPEN_MS = 30000,	/* in which a predecessor's worker must let go */
};

/*
 * Replays: reads the file here and calls the functions of `ev` before it returns, so the file
 * should be warm or the program just starting. Then opens for writing through the worker, which
 * cuts off what is torn; ready(0) comes on the loop, or ready(negative): not opened, nothing else
 * will come; free it and begin anew (-ESTALE: someone wrote between the replay and the opening).
 * Negative: -EBADMSG, not a journal; or the file could not be read. The texts of *conf are copied.
 */
int journal_open(struct loop *l, const struct journal_conf *conf,
		 const struct journal_scan_events *ev,
		 void (*ready)(void *arg, int status, const struct journal_scan_result *r),
		 void *ready_arg, struct journal **out, struct err *e) NODISCARD;
/* Why it failed: of the last failure of opening or of the disk. */
const char *journal_reason(const struct journal *j);
/* Calls nobody. A batch that was on its way may land or not; the worker lets go of the file. */
void journal_free(struct journal **j);
/* Adds a record to this turn's batch; fn is called once it is durable (or failed). fn may be NULL.
 * The key has 1 to JOURNAL_KEY_MAX bytes. */
void journal_put(struct journal *j, struct sv key, struct sv body, journal_fn fn, void *arg);
void journal_del(struct journal *j, struct sv key, journal_fn fn, void *arg);
/* In on_compact only. */
void journal_put_live(struct journal *j, struct sv key, struct sv body);
bool journal_image_begins(const struct journal *j); /* what earlier calls put does not count */
void journal_image_more(struct journal *j);
/* Forgets callbacks of an owner that goes away. Its records are written all the same. */
void journal_forget(struct journal *j, const void *arg);
bool journal_idle(const struct journal *j); /* nothing queued or in flight */
const struct journal_stats *journal_stats(const struct journal *j);
