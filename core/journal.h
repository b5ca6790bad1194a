#pragma once
/*
 * Append-only journal of keyed records, each the latest truth about its key.
 *
 * File: a header line with format version and boot id, then batches. A record is
 *   {u32 magic, u32 header crc, u64 seq, u16 kind, u16 key length, u32 body length, u32 body crc}
 *   key bytes, body bytes. The header (key included) has a CRC of its own, so a corrupt body still
 *   names the key that it quarantines. A batch ends in a commit record; what follows the last
 * commit is torn (a crash), what is wrong before it is corrupt (the disk). Bodies are opaque here;
 * their owner keeps fields it does not know. All integers little endian; the file moves between
 * hosts.
 *
 * Three parts: the format (pure), the file (blocking, in the disk worker), the writer (in tundra).
 */
#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "core/worker.h"

enum { JOURNAL_KEY_MAX = 255, JOURNAL_BODY_MAX = 256 << 10 };
enum journal_kind {
	JOURNAL_PUT = 1,    /* key -> body */
	JOURNAL_DEL = 2,    /* key is gone */
	JOURNAL_META = 3,   /* the file's own facts: boot id, writer */
	JOURNAL_COMMIT = 4, /* end of batch; body = u32 number of records */
};

/* ---- format ---- */
void journal_put_record(struct buf *b, uint64_t seq, enum journal_kind kind, struct sv key,
			struct sv body);
void journal_put_commit(struct buf *b, uint64_t seq, uint32_t records);

struct journal_scan_events {
	void (*on_put)(void *arg, struct sv key, struct sv body);
	void (*on_del)(void *arg, struct sv key);
	void (*on_corrupt)(void *arg, struct sv key); /* key empty when even that is lost */
	void (*on_meta)(void *arg, struct sv key, struct sv body);
	void *arg;
};
struct journal_scan_result {
	uint64_t seq;	      /* last committed */
	size_t good;	      /* bytes up to the last commit; what follows is torn */
	size_t live, records; /* keys alive, records read */
	uint32_t corrupt;     /* records that failed their CRC */
};
/* 0 or -EBADMSG: not a journal, or of a newer major format. Never fails on torn or corrupt records.
 */
int journal_scan(struct sv file, const struct journal_scan_events *ev,
		 struct journal_scan_result *out, struct err *e) NODISCARD;

/* ---- file: methods of the disk worker ---- */
enum journal_method { JOURNAL_M_OPEN = 1, JOURNAL_M_APPEND, JOURNAL_M_COMPACT, JOURNAL_M_RESERVE };
struct journal_disk; /* the worker's context */
struct journal_disk *journal_disk_new(void);
void journal_disk_free(struct journal_disk **d);
extern const struct worker_method journal_disk_methods[];
extern const size_t journal_disk_methods_n;

/* ---- writer ---- */
struct journal;
struct journal_conf {
	const char *path;    /* ledger file; its folder exists */
	const char *boot_id; /* of this boot */
	struct worker *disk; /* not owned */
	/* Asked when the file is due for compaction: put every live record with journal_put_live().
	 */
	void (*on_compact)(void *arg, struct journal *j);
	/* The disk fails or works again (e == NULL); status and events show it. */
	void (*on_disk)(void *arg, const struct err *e);
	void *arg;
};
struct journal_stats {
	uint64_t batches, records, bytes, syncs_us, compactions, failures;
};
typedef void (*journal_fn)(void *arg,
			   int status); /* 0: on disk; negative: is not, nothing applied */

/* Replays, then opens for writing through the worker. ready(status) comes on the loop. */
int journal_open(struct loop *l, const struct journal_conf *conf,
		 const struct journal_scan_events *ev,
		 void (*ready)(void *arg, int status, const struct journal_scan_result *r),
		 void *ready_arg, struct journal **out, struct err *e) NODISCARD;
void journal_free(struct journal **j);
/* Adds a record to this turn's batch; fn is called once it is durable (or failed). fn may be NULL.
 */
void journal_put(struct journal *j, struct sv key, struct sv body, journal_fn fn, void *arg);
void journal_del(struct journal *j, struct sv key, journal_fn fn, void *arg);
void journal_put_live(struct journal *j, struct sv key, struct sv body); /* in on_compact only */
/* Forgets callbacks of an owner that goes away. */
void journal_forget(struct journal *j, const void *arg);
bool journal_idle(const struct journal *j); /* nothing queued or in flight */
const struct journal_stats *journal_stats(const struct journal *j);
