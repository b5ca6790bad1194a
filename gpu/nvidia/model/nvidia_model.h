#pragma once
/*
 * NVIDIA in tundra: turns the worker's facts into device names, attributes and capacities, exactly
 * as NVIDIA's own DRA driver publishes them, and adds ours behind the `extras` switch.
 */
#include "gpu/vendor.h"

/*
 * Domain of our own attributes. ".internal" is reserved for private use: nobody else can own this
 * name, and no vendor's later attribute can collide with it, as an unqualified name could.
 */
#define NVIDIA_EXTRA_DOMAIN    "tundra.internal"
#define NVIDIA_STANDARD_DOMAIN "resource.kubernetes.io"

extern const struct gpu_vendor nvidia_vendor;

void nvidia_model(struct sv system, struct gpu_found *found, size_t n, bool extras);
