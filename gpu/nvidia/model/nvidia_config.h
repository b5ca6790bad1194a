#pragma once
/*
 * The opaque configuration that claims and classes carry for gpu.nvidia.com: group
 * resource.nvidia.com/v1beta1, decoded strictly as upstream does. A full GPU takes GpuConfig
 * without sharing, or with the sharing that every GPU has anyway (time-slicing, default interval).
 */
#include "core/err.h"
#include "gpu/device.h"

/* 0: a kind for this type of device; 1: a kind for another type, text set; -EINVAL. */
int nvidia_config_fits(const struct gpu_device *d, struct sv json, struct err *e) NODISCARD;
/* 0: `d` can have it; -EINVAL with the field or feature named. An empty view is the default. */
int nvidia_config_check(const struct gpu_device *d, struct sv json, struct err *e) NODISCARD;
