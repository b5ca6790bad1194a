#pragma once
/*
 * What is prepared on this node, on disk. One record per claim in the journal, replayed at start.
 * A body is one JSON object; members that this version does not know are kept and written back, so
 * that an up- and a downgrade lose nothing.
 *
 * One writer: an OFD lock on "<file>.lock", behind it the journal's on the file itself. Where
 * someone removes the lock, its holder makes it anew; others leave it the time. A second instance
 * (surge upgrade) replays read-only, asks for the hand-over by writing "<file>.handover", takes the
 * lock when the first lets go, reads the tail, and only then serves. If it dies, the first takes
 * the lock again and reads the tail.
 */
#include "core/fswatch.h"
#include "core/journal.h"
#include "core/map.h"

struct ledger_device {
	char *request, *pool, *device, *share_id; /* share_id NULL without one */
	char *identity; /* of the physical GPU that is locked: vendor's UUID */
	bool admin;
};
struct ledger_claim {
	char *uid, *namespace, *name;
	char *pod; /* that it was prepared for, for people to read; NULL: not known */
	struct ledger_device *devices;
	size_t devices_n;
	uint64_t allocation; /* hash of what was allocated, for comparing with a fresh one */
	char *plan;	     /* undo list of gpu/plan, opaque bytes */
	size_t plan_n;
	char *boot_id; /* boot in which it was prepared */
	char *unknown; /* members of other versions, as ",\"x\":..." or NULL */
	uint64_t since_wall_ms;
};
void ledger_claim_free(struct ledger_claim **c);
/* Body of a record. decode: -EBADMSG with a text. */
void ledger_encode(const struct ledger_claim *c, struct buf *out);
int ledger_decode(struct sv uid, struct sv body, struct ledger_claim **out,
		  struct err *e) NODISCARD;

enum ledger_state {
	LEDGER_OPENING, /* replaying, or waiting for the lock */
	LEDGER_OPEN,	/* ours: calls are served */
	LEDGER_YIELDED, /* handed over to a newer instance; taken back if that one dies */
	LEDGER_FAILED,	/* the disk refuses; reason tells. Tried again */
};
struct ledger;
struct ledger_conf {
	const char *path; /* <plugin folder>/ledger */
	const char *boot_id;
	const char
	    *instance; /* who asks for the hand-over, new at each start; NULL: the only one */
	bool others;   /* another instance lives: a lock that is missing is being made anew */
	struct worker *disk;
	/* A claim was read from disk (at opening and again after a hand-over: replace what is
	 * known). */
	void (*on_claim)(void *arg, struct ledger_claim *c); /* takes ownership */
	void (*on_gone)(void *arg, const char *uid);
	void (*on_corrupt)(void *arg, const char *uid); /* quarantined: its Unprepare frees it */
	/* LEDGER_OPEN: replay is complete. LEDGER_YIELDED comes twice: when the hand-over begins,
	 * and when the ledger was let go. */
	void (*on_state)(void *arg, enum ledger_state s);
	/* Asked before yielding: true when nothing is in flight; else ledger_settle() is called
	 * later. */
	bool (*may_yield)(void *arg);
	/* For a new file: ledger_put_live() each claim, or some and ledger_image_more(): journal.h.
	 */
	void (*on_compact)(void *arg, struct ledger *l);
	void *arg;
};
/* -EBUSY: another has the lock, and an instance without a name cannot take over from it. */
int ledger_open(struct loop *l, const struct ledger_conf *conf, struct ledger **out,
		struct err *e) NODISCARD;
void ledger_free(struct ledger **l); /* releases the lock */
/*
 * Another instance has the lock: asks it to let go. Called once this instance is registered, so
 * that the kubelet's new calls come here before the other stops serving. No effect otherwise.
 */
void ledger_ask_handover(struct ledger *l);
enum ledger_state ledger_state(const struct ledger *l);
/* When it was read, nobody had written it in this boot yet. Stays so while this process lives. */
bool ledger_new_boot(const struct ledger *l);
const char *ledger_reason(const struct ledger *l);
/*
 * The instance that asked for it or, once the lock file tells, that has it; from when it was let go
 * until it is ours again, else NULL. on_state tells when it is another.
 */
const char *ledger_successor(const struct ledger *l);
void ledger_settle(struct ledger *l); /* what was in flight is over */
void ledger_put(struct ledger *l, const struct ledger_claim *c, journal_fn fn, void *arg);
/* In on_compact only; see core/journal.h. */
void ledger_put_live(struct ledger *l, const struct ledger_claim *c);
bool ledger_image_begins(const struct ledger *l);
void ledger_image_more(struct ledger *l);
void ledger_del(struct ledger *l, const char *uid, journal_fn fn, void *arg);
void ledger_forget(struct ledger *l, const void *arg);
const struct journal_stats *ledger_stats(const struct ledger *l);
