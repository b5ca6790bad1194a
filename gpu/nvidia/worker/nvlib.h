#pragma once
/*
 * NVML loaded from a path: the table of its functions, those it lacks being NULL. Only the worker
 * process does this; a damaged or hanging library costs that process and nothing else.
 */
#include "core/err.h"
#include "third_party/nvml/nvml.h"

struct nvlib {
	void *handle; /* NULL: not open */
	NVML_SYMBOLS(NVML_MEMBER)
};

/* Loads without initialising. -ELIBBAD with a text: cannot be loaded, or too old (before 525). */
int nvlib_open(struct nvlib *lib, const char *path, struct err *e) NODISCARD;
void nvlib_close(struct nvlib *lib); /* safe on zeroed; after nvmlShutdown() */
/* "GPU is lost (15)"; static storage, valid until the next call. */
const char *nvlib_text(const struct nvlib *lib, nvmlReturn_t rc);
