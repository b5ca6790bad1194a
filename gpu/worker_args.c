#include "gpu/worker_args.h"

static const struct {
	const char *name;
	size_t offset;
} rows[] = {
	{ "--dev", offsetof(struct roots, dev) },
	{ "--proc", offsetof(struct roots, proc) },
	{ "--sys", offsetof(struct roots, sys) },
	{ "--proc-devices", offsetof(struct roots, proc_devices) },
	{ "--driver-root", offsetof(struct roots, driver) },
	{ "--driver-root-host", offsetof(struct roots, driver_host) },
};
_Static_assert(2 * ARRAY_LEN(rows) <= WORKER_ROOTS_ARGS, "room for a name and a value each");

void worker_args_write(const struct roots *roots, const char *out[WORKER_ROOTS_ARGS + 1])
{
	const char *value;
	size_t i, n = 0;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		memcpy(&value, (const char *)roots + rows[i].offset, sizeof(value));
		if (!value)
			continue;
		out[n++] = rows[i].name;
		out[n++] = value;
	}
	out[n] = NULL;
}

bool worker_args_read(const char *name, const char *value, struct roots *roots)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(name, rows[i].name) == 0) {
			memcpy((char *)roots + rows[i].offset, &value, sizeof(value));
			return true;
		}
	return false;
}
