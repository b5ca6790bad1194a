#pragma once
/*
 * The ledger without a loop and without a worker, for what happens before a driver serves
 * (take-over) and for the offline commands. Blocks on the disk; who serves uses k8s/ledger.
 */
#include "k8s/ledger.h"

struct ledger_file {
	struct ledger_claim **claims; /* in byte order of UID */
	size_t claims_n;
	char **corrupt; /* UIDs whose record is damaged, in byte order; their deletion frees them */
	size_t corrupt_n;
	size_t lost; /* records damaged beyond their claim's name */
	/* Below: of one that is open for writing. */
	char *path;
	struct journal_disk *disk;
	uint64_t seq;
	int lock;
};
/* Reads what is committed, without a lock, also while a driver runs. No file: nothing in it. */
int ledger_file_read(const char *path, struct ledger_file **out, struct err *e) NODISCARD;
/*
 * Takes the lock, reads, and opens for writing. `boot_id` is of this boot. -EBUSY with a text: a
 * driver runs. `known`: NULL, or what was read before; -ESTALE when it has changed since.
 */
int ledger_file_open(const char *path, const char *boot_id, const struct ledger_file *known,
		     struct ledger_file **out, struct err *e) NODISCARD;
void ledger_file_free(struct ledger_file **f); /* releases the lock */
/* On disk when it returns 0: all of them, or (after a kill in between) the first of them. */
int ledger_file_put(struct ledger_file *f, const struct ledger_claim *const *claims, size_t n,
		    struct err *e) NODISCARD;
int ledger_file_del(struct ledger_file *f, const char *uid, struct err *e) NODISCARD;
/* NULL: it has no such claim. */
const struct ledger_claim *ledger_file_find(const struct ledger_file *f, const char *uid);
