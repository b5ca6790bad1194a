#include "gpu/nvidia/worker/nvlib.h"

#include <dlfcn.h>
#include <errno.h>

#define NVLIB_RESOLVE(need, since, ret, symbol, params)                                            \
	*(void **)(void *)&lib->symbol = dlsym(lib->handle, #symbol);                              \
	if (!lib->symbol && NVML_##need && !missing)                                               \
		missing = #symbol;

static const char *nvlib_resolve(struct nvlib *lib)
{
	const char *missing = NULL;

	NVML_SYMBOLS(NVLIB_RESOLVE)
	return missing;
}

int nvlib_open(struct nvlib *lib, const char *path, struct err *e)
{
	const char *missing;

	memset(lib, 0, sizeof(*lib));
	/* Local: its symbols are reached by the table only, so two versions never mix. */
	lib->handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!lib->handle)
		return err_set(e, -ELIBBAD, "%s cannot be loaded: %s", path, dlerror());
	missing = nvlib_resolve(lib);
	if (!missing)
		return 0;
	nvlib_close(lib);
	return err_set(e, -ELIBBAD, "%s lacks %s: the oldest driver served is 525", path, missing);
}

void nvlib_close(struct nvlib *lib)
{
	if (lib->handle)
		dlclose(lib->handle);
	memset(lib, 0, sizeof(*lib));
}

const char *nvlib_text(const struct nvlib *lib, nvmlReturn_t rc)
{
	static char text[128];
	const char *said = lib->nvmlErrorString ? lib->nvmlErrorString(rc) : NULL;

	snprintf(text, sizeof(text), "%s (NVML error %d)", said ? said : "no text", (int)rc);
	return text;
}
