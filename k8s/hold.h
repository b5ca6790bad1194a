#pragma once
/*
 * Which claim holds which physical GPU exclusively. Keyed by the GPU's identity (UUID), never by
 * its index; a policy above the ledger, not its key: admin access and shares hold nothing.
 */
#include "core/map.h"
#include "k8s/ledger.h"

struct hold {
	struct map by_identity; /* -> struct hold_entry */
};
void hold_init(struct hold *h);
void hold_done(struct hold *h);
/* The UID of another claim that holds one of the devices, NULL when all are free for `uid`. */
const char *hold_blocker(const struct hold *h, const char *uid, const struct ledger_device *devices,
			 size_t n, const char **identity);
/*
 * All or nothing is the caller's: ask hold_blocker() first. A device that another claim holds stays
 * with that one and is counted in the answer; it is this claim's once the other has released it.
 * That is for the ledger's records: what is prepared is never free, in whatever order they are
 * read.
 */
size_t hold_take(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n);
void hold_release(struct hold *h, const char *uid, const struct ledger_device *devices, size_t n);
const char *hold_owner(const struct hold *h, const char *identity);
