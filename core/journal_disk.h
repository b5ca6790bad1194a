#pragma once
/*
 * The journal's file: blocking methods of the disk worker, and how their bodies look.
 *
 * One file is open at a time. While it is, this process holds an OFD lock on the file itself, not
 * only the instance's "<path>.lock" above: a predecessor's worker that was killed in the middle of
 * a write, perhaps stuck in the kernel, keeps that lock until it is really gone, so its last system
 * call can never land in what a successor has already read. The side file of a compaction is locked
 * too.
 *
 * Compaction copies live records, as they are, from the file to "<path>.compact", one piece a call,
 * so that batches pass in between; when nearly everything is copied a call replaces the file, and
 * those behind it free the old one. Each piece is synced, so the last sync is short. A call
 * therefore delays a batch by one flush and 64 kB of writing (or twice what came in since the last
 * piece), the one that replaces by two flushes, those that free by 1 MB's pages and blocks; with
 * 10 000 claims of 1 kB as with ten.
 *
 * Space: a PUT needs room for itself and leaves a reserve allocated behind the end of the file
 * (JOURNAL_RESERVE, and for each live key enough to delete it); other records may use the reserve.
 * So a full disk refuses what takes, before a byte is written, and still lets everything go.
 */
#include <errno.h>

#include "core/journal_format.h"
#include "core/worker.h"

enum journal_method {
	JOURNAL_M_OPEN = 1, /* journal_disk_put_open() */
	JOURNAL_M_APPEND,   /* one batch with its commit; landed already (by seq) is success */
	JOURNAL_M_COMPACT,  /* one piece, of u32 bytes if given; begins by itself, and is done when
			       .compacting is false */
	JOURNAL_M_RESERVE,  /* is there room again? */
	JOURNAL_M_REWRITE,  /* enum journal_rewrite, then bytes: the owner's own image */
	JOURNAL_M_CLOSE,    /* lets go of the lock */
};
/* REWRITE makes a new file when the old one is not to be trusted; nothing is read from that. */
enum journal_rewrite {
	JOURNAL_REWRITE_BEGIN, /* journal_disk_put_open() */
	JOURNAL_REWRITE_DATA,  /* whole batches, cut anywhere */
	JOURNAL_REWRITE_END,   /* sync, replace, open */
};
/* Answers beside plain errno: -ENOSPC: nothing was written, delete something or try again;
 * -EAGAIN: another process still writes the file; -ENOTCONN: OPEN comes first; -ESTALE (above);
 * -EBADMSG: no journal; and this one: after a failed write or sync nobody knows what is on the
 * disk. */
#define JOURNAL_UNTRUSTED (-EUCLEAN)

enum {
	JOURNAL_RESERVE = 64 << 10,
	JOURNAL_RESERVE_PER_KEY = 128, /* a DEL record with a UID, its share of the commit */
	JOURNAL_PIECE = 64 << 10,
	JOURNAL_STATE_SIZE = 37,
};

/*
 * `seq`: what a scan found before (0 without a file); -ESTALE when the file says otherwise, since
 * someone wrote in between. JOURNAL_ANY: whatever is there.
 */
#define JOURNAL_ANY UINT64_MAX
void journal_disk_put_open(struct buf *b, const char *path, const char *boot_id, const char *writer,
			   uint64_t seq);
/* Every successful answer. */
struct journal_disk_state {
	uint64_t seq; /* last one on disk */
	uint64_t size, live_bytes;
	uint32_t live;	  /* keys */
	uint32_t sync_us; /* what the write and its sync took */
	bool compacting;  /* a piece is left to copy */
	uint32_t corrupt; /* damaged records in the file, found at OPEN */
};
int journal_disk_get_state(struct sv answer, struct journal_disk_state *out) NODISCARD;

struct journal_disk; /* the worker's context */
struct journal_disk *journal_disk_new(void);
void journal_disk_free(struct journal_disk **d);
extern const struct worker_method journal_disk_methods[];
extern const size_t journal_disk_methods_n;
