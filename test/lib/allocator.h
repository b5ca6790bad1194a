#pragma once
/*
 * Finds devices for claims on one node, as the scheduler would: counts, All, device classes, CEL
 * (see cel.h), matchAttribute and distinctAttribute, firstAvailable, adminAccess, taints without
 * tolerations, configurations of class and claim. First fit in the order of pools, slices and
 * devices. Not here: partitions, consumable capacity, network-attached devices.
 */
#include "test/lib/jx.h"
#include "test/lib/store.h"

/*
 * `taken`: array of "driver/pool/device" that others of the same round got, may be NULL; what is
 * allocated here is appended. 0 and *out (the caller's) is status.allocation; -EBUSY: not now, with
 * the reason; -EINVAL: never on this node.
 */
int allocator_allocate(struct store *s, const json_t *claim, const char *node, json_t *taken,
		       json_t **out, struct err *e) NODISCARD;
