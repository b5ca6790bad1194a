#pragma once
/*
 * The journal's bytes, without any I/O.
 *
 * File: one header line "tundra-journal <major>.<minor> <boot id>\n", then batches. A record is
 *   {u32 magic, u32 header crc, u64 seq, u16 kind, u16 key length, u32 body length, u32 body crc}
 *   key bytes, body bytes
 * All integers are little endian; the file moves between hosts. The header (key included) has a CRC
 * of its own, so a corrupt body still names the key that it quarantines. A batch ends in a commit
 * record; what follows the last commit is torn (a crash), what is wrong before it is corrupt (the
 * disk). Bodies are opaque here; their owner keeps fields it does not know.
 *
 * The last batch is special, since nothing behind it proves that it ever reached the disk: if it is
 * damaged and one of its sectors ends in zeros, as a power cut leaves those it never wrote, the
 * batch is torn although its commit is there. Damage to the very last commit record itself looks
 * like a torn batch and is taken for one.
 *
 * Records of a kind this version does not know are passed over and kept by compaction; a newer
 * minor version may add kinds, a newer major version is refused.
 */
#include "core/buf.h"
#include "core/err.h"

enum {
	JOURNAL_KEY_MAX = 255,
	JOURNAL_BODY_MAX = 256 << 10,
	JOURNAL_HEAD = 28,			/* bytes of a record before its key */
	JOURNAL_COMMIT_SIZE = JOURNAL_HEAD + 4, /* of a commit record */
	JOURNAL_LINE_MAX = 128,			/* of the header line */
	JOURNAL_BOOT_MAX = 64,			/* of a boot id; Linux's has 36 */
	/* A replay reads the file into memory. 10 000 claims of 1 kB need 40 MB at most. */
	JOURNAL_FILE_MAX = 256 << 20,
};
enum journal_kind {
	JOURNAL_PUT = 1,    /* key -> body */
	JOURNAL_DEL = 2,    /* key is gone */
	JOURNAL_META = 3,   /* the file's own facts: "boot", "writer"; seq of what is before them */
	JOURNAL_COMMIT = 4, /* end of batch; body = u32 number of records */
};

/* Writing. A commit has the seq of the last record before it. */
void journal_put_header(struct buf *b, struct sv boot_id);
void journal_put_record(struct buf *b, uint64_t seq, enum journal_kind kind, struct sv key,
			struct sv body);
void journal_put_commit(struct buf *b, uint64_t seq, uint32_t records);

/* Reading: the state of every key, in the order in which the file last speaks of it. */
struct journal_scan_events {
	void (*on_put)(void *arg, struct sv key, struct sv body);
	void (*on_del)(void *arg, struct sv key);
	void (*on_corrupt)(void *arg, struct sv key); /* key empty when even that is lost */
	void (*on_meta)(void *arg, struct sv key, struct sv body);
	void *arg; /* every function may be NULL */
};
struct journal_scan_result {
	uint64_t seq;	      /* last committed */
	size_t good;	      /* bytes up to the last commit; what follows is torn */
	size_t live, records; /* keys alive (corrupt ones too), records read */
	uint32_t corrupt;     /* records that failed their CRC */
};
/* 0 or -EBADMSG: not a journal, or of a newer major format. Never fails on torn or corrupt records.
 */
int journal_scan(struct sv file, const struct journal_scan_events *ev,
		 struct journal_scan_result *out, struct err *e) NODISCARD;
/*
 * The same for a file that another process may be writing: needs no lock and changes nothing.
 * -ENOENT: there is none yet.
 */
int journal_read(const char *path, const struct journal_scan_events *ev,
		 struct journal_scan_result *out, struct err *e) NODISCARD;

/* Every committed record of every kind in the order of the file, superseded ones included. */
struct journal_record {
	uint64_t seq;
	unsigned kind;
	struct sv key, body;
	/* Where in the file; the header line's boot id comes as META with size 0. */
	size_t at, size;
	bool damaged; /* the body fails its CRC; with kind 0 the whole record is lost */
};
typedef void (*journal_walk_fn)(void *arg, const struct journal_record *r);
int journal_walk(struct sv file, journal_walk_fn fn, void *arg, struct journal_scan_result *out,
		 struct err *e) NODISCARD;

/* Checks that `bytes` are exactly one whole batch, and walks it (fn may be NULL). -EBADMSG. */
struct journal_batch {
	uint64_t first, last; /* seq */
	uint32_t records, puts;
};
int journal_batch_walk(struct sv bytes, journal_walk_fn fn, void *arg,
		       struct journal_batch *out) NODISCARD;
