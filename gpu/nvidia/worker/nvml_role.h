#pragma once
/*
 * The role "nvml" of tundra-worker: OPEN finds and loads the driver's library, QUERY tells about
 * one GPU, CLOSE lets go of everything. See gpu/proto/messages.h.
 */
#include "core/roots.h"
#include "core/worker.h"

struct nvml_role;
struct nvml_role *nvml_role_new(const struct roots *roots); /* roots must outlive it */
void nvml_role_free(struct nvml_role **r);
extern const struct worker_method nvml_role_methods[];
extern const size_t nvml_role_methods_n;
