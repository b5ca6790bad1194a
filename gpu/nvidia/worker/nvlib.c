#include "gpu/nvidia/worker/nvlib.h"

#include <dlfcn.h>
#include <errno.h>

#define NVLIB_ROW(need, since, ret, symbol, params)                                                \
	{ #symbol, offsetof(struct nvlib, symbol), NVML_##need },
static const struct {
	const char *name;
	size_t offset; /* of its pointer in struct nvlib */
	bool required;
} symbols[] = { NVML_SYMBOLS(NVLIB_ROW) };

/* The name of an indispensable symbol that is not there, or NULL. */
static const char *nvlib_resolve(struct nvlib *lib)
{
	const char *missing = NULL;
	void *symbol;
	size_t i;

	for (i = 0; i < ARRAY_LEN(symbols); i++) {
		symbol = dlsym(lib->handle, symbols[i].name);
		memcpy((char *)lib + symbols[i].offset, &symbol, sizeof(symbol));
		if (!symbol && symbols[i].required && !missing)
			missing = symbols[i].name;
	}
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
