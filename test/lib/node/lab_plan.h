#pragma once
/* The vendor table of a lab: NVIDIA's model, with an operation that a test can hold and fail. */
#include "gpu/vendor.h"

extern const struct gpu_vendor *const lab_plan_vendors[];
void lab_plan_reset(void);
