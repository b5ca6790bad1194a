#pragma once
/*
 * Every attribute and capacity that a GPU can be published with: names, types and what they mean.
 * For the reference page; a test holds it against what nvidia_model() really gives.
 */
#include "gpu/device.h"

struct nvidia_attribute {
	const char *domain, *name; /* domain "": the driver's own, gpu.nvidia.com */
	enum gpu_value_kind kind;
	bool capacity, extra;	    /* extra: only with --extra-attributes */
	const char *about, *absent; /* absent: when it is left out; "" = never */
};
extern const struct nvidia_attribute nvidia_attributes[];
extern const size_t nvidia_attributes_n;
