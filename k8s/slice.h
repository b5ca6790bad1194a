#pragma once
/*
 * ResourceSlices in plain C: what should be there (from a pool_source), what the API server has,
 * and whether they mean the same. Limits of the API (resource.k8s.io/v1): 128 devices a slice, 64
 * as soon as one has a taint; we split at 64 always, since the first taint would otherwise
 * reshuffle a pool.
 */
#include "core/buf.h"
#include "gpu/device.h"
#include "k8s/api/meta.h"

enum { SLICE_DEVICES_MAX = 64 };

/* Where a driver's pools come from: devices in publishing order. */
struct pool_source {
	/*
	 * 0 and the devices to publish (views, valid until the next turn); POOL_NOT_READY: what is
	 * published stays. Called when the publisher was told that something changed.
	 */
	int (*devices)(void *ctx, const struct gpu_device *const **out, size_t *n);
	void *ctx;
};
enum { POOL_NOT_READY = 1 };

/* A slice as the API server has it. */
struct slice {
	char *name, *uid, *rv, *pool;
	int64_t generation, count; /* of the pool */
	int64_t index;		   /* from the name; -1: the name has none */
	uint64_t digest;	   /* of the devices, as they mean, not as they are spelled */
	size_t devices;
};
/* Never NULL: what is absent or wrong in the object reads as empty. */
struct slice *slice_decode(const struct json *object, enum api_version v);
void slice_free(struct slice **s);
/* Equal for equal meaning: order of members, of quantities' spelling and of the version do not
 * matter. */
uint64_t slice_digest(const struct gpu_device *const *devices, size_t n);

/* Body of a create (name NULL) or of an update (name, uid and rv given). */
struct slice_body {
	const char *driver, *node, *node_uid, *pool;
	const char *name, *uid, *rv;
	int64_t generation, count, index;
	const struct gpu_device *const *devices;
	size_t n;
};
void slice_encode(const struct slice_body *b, enum api_version v, struct buf *out);
