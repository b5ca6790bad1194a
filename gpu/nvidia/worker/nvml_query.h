#pragma once
/* Asks NVML and sysfs about the driver and about one GPU, degrading per feature. */
#include "core/roots.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/worker/nvlib.h"
#include "gpu/proto/messages.h"

/* The driver's version is what everything else hangs on: -EIO with a text without it. */
int nvml_query_system(const struct nvlib *lib, struct nvidia_system *s, struct err *e) NODISCARD;
/*
 * GPU `index`: fills facts and m->state, text, pci, uuid, minor. Only identity is indispensable;
 * what an old library or an odd GPU does not tell is absent from the facts.
 */
void nvml_query_gpu(const struct nvlib *lib, const struct roots *roots, uint32_t index,
		    struct nvidia_gpu *g, struct gpu_msg_query *m);
