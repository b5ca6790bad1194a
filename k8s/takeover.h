#pragma once
/*
 * NVIDIA's driver ran on this node before: its prepared claims become records of our ledger, with
 * their pods running, and its checkpoint.json is set aside. Done before the ledger is opened;
 * blocks on the disk, once in a node's life.
 *
 *   1 read the checkpoint, check all of it     nothing is changed when a claim cannot be taken over
 *   2 compare with the ledger                  nor when a GPU would have two owners
 *   3 lock the ledger, write the records       on disk
 *   4 remove CDI files of prepares never ended
 *   5 rename to checkpoint.json.taken-over     on disk; never deleted
 *
 * Killed anywhere, the next start finds the checkpoint and does what is left: records that are
 * there already are the same. The CDI files of what is taken over have our name; they are rewritten
 * when the GPUs are known, as those of any prepared claim.
 */
#include "core/err.h"

struct takeover_conf {
	const char *folder; /* plugin folder: checkpoint.json, dra.sock */
	const char *ledger; /* path */
	const char *cdi;    /* folder */
	const char *driver, *pool, *boot_id;
};
/*
 * 0: nothing is left to take over. Negative with a text of what is in the way and what to do:
 * -EEXIST: a checkpoint that cannot be taken over; -EBUSY: its driver runs, or another tundra.
 */
int takeover_run(const struct takeover_conf *conf, struct err *e) NODISCARD;
struct takeover_found {
	size_t claims, begun; /* would become records; would be dropped */
	size_t stale;	      /* claims of an earlier boot, which hold nothing */
};
/* What a takeover_run() would find, with its errors; changes nothing and asks nobody. */
int takeover_look(const struct takeover_conf *conf, struct takeover_found *out,
		  struct err *e) NODISCARD;
/*
 * Renames <path> to <path><suffix>, or <path><suffix>.2, ... if there is one, and syncs its folder.
 * A crash may undo it, never lose it. *to, if not NULL: the new name, caller frees.
 */
int takeover_set_aside(const char *path, const char *suffix, char **to, struct err *e) NODISCARD;
/* True when a process listens at <folder>/<name>, a unix socket. */
bool takeover_listens(const char *folder, const char *name);
