#pragma once
/*
 * ResourceSlices in plain C: what should be there (from a pool_source), what the API server has,
 * and whether they mean the same. Limits of the API (resource.k8s.io/v1): 128 devices a slice, 64
 * as soon as one has a taint; we split at 64 always, since the first taint would otherwise
 * reshuffle a pool.
 */
#include "core/buf.h"
#include "core/json.h"
#include "gpu/device.h"

enum { SLICE_DEVICES_MAX = 64, SLICE_ENTRIES_MAX = 32 };

/* Where a driver's pools come from: devices in publishing order. */
struct pool_source {
	/*
	 * 0 and the devices to publish (views, valid until the next turn); POOL_NOT_READY: what is
	 * published stays. Called when the publisher was told that something changed.
	 */
	int (*devices)(void *ctx, const struct gpu_device ***out, size_t *n);
	void *ctx;
};
enum { POOL_NOT_READY = 1 };

/* One slice of the API server, kept by the publisher. */
struct slice {
	char *name, *uid, *version; /* metadata */
	char *pool;
	int64_t generation, count;
	int64_t index;	 /* from the name, -1 = not ours to keep */
	uint64_t digest; /* of the devices as they mean, not as they are spelled */
};
struct slice *slice_decode(const struct json *object); /* NULL when it is no slice */
void slice_free(struct slice **s);
/* Digest of the devices in an API object; equal to slice_digest_devices() when they mean the same.
 */
uint64_t slice_digest_json(const struct json *object);
uint64_t slice_digest_devices(const struct gpu_device *const *devices, size_t n);
/* Body of a create (name NULL: generateName) or of an update (name, uid and version given). */
struct slice_body {
	const char *api_version; /* "resource.k8s.io/v1" ... */
	const char *driver, *node, *node_uid, *pool;
	const char *name, *uid, *version;
	int64_t generation, count, index;
	const struct gpu_device *const *devices;
	size_t n;
};
void slice_encode(const struct slice_body *b, struct buf *out);
