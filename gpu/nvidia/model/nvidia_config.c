#include "gpu/nvidia/model/nvidia_config.h"

#include <errno.h>

#include "core/json.h"

#define GROUP_VERSION "resource.nvidia.com/v1beta1"

/* Which type of device a kind is for; kinds of other drivers have no row. */
static const struct {
	const char *kind, *type;
} kinds[] = {
	{ "GpuConfig", "gpu" },
	{ "MigDeviceConfig", "mig" },
	{ "VfioDeviceConfig", "vfio" },
};

static const char *config_type(const struct gpu_device *d)
{
	switch (d->kind) {
	case GPU_FULL:
		return "gpu";
	}
	must(false);
}

/* Strict decoding, upstream's words: a mistyped field must not be ignored. */
static int config_only(const struct json *obj, const char *prefix, const char *const *known,
		       struct err *e)
{
	const struct json *value;
	const char *key;
	void *pos = NULL;
	size_t i;

	while (json_next(obj, &pos, &key, &value)) {
		for (i = 0; known[i] && strcmp(known[i], key) != 0; i++)
			;
		if (!known[i])
			return err_set(e, -EINVAL, "strict decoding error: unknown field \"%s%s\"",
				       prefix, key);
	}
	return 0;
}

static int config_interval(const struct json *slicing, struct err *e)
{
	static const char *const known[] = { "interval", NULL };
	static const char *const words[] = { "Default", "Short", "Medium", "Long" };
	const struct json *n = json_get(slicing, "interval");
	const char *interval = json_str(n, NULL);
	size_t i;
	int r;

	r = config_only(slicing, "sharing.timeSlicingConfig.", known, e);
	if (r < 0)
		return r;
	if (json_kind(n) == JSON_NONE || json_kind(n) == JSON_NULL)
		return 0;
	for (i = 0; i < ARRAY_LEN(words) && interval && strcmp(words[i], interval) != 0; i++)
		;
	if (!interval || i == ARRAY_LEN(words))
		return err_set(e, -EINVAL, "unknown time-slice interval: %s",
			       interval ? interval : "not a string");
	if (i > 0)
		return err_set(e, -EINVAL,
			       "\"TimeSlicing\" is selected as the GPU sharing strategy, but the "
			       "\"TimeSlicingSettings\" feature gate is not enabled (interval %s; "
			       "only Default is served)",
			       interval);
	return 0;
}

static bool config_absent(const struct json *n)
{
	return json_kind(n) == JSON_NONE || json_kind(n) == JSON_NULL;
}

static int config_sharing(const struct json *sharing, struct err *e)
{
	static const char *const known[] = { "strategy", "timeSlicingConfig", "mpsConfig", NULL };
	const struct json *slicing = json_get(sharing, "timeSlicingConfig");
	const char *strategy = json_str(json_get(sharing, "strategy"), "");
	int r;

	if (config_absent(sharing))
		return 0;
	if (json_kind(sharing) != JSON_OBJ)
		return err_set(e, -EINVAL, "sharing: not an object");
	r = config_only(sharing, "sharing.", known, e);
	if (r < 0)
		return r;
	if (strcmp(strategy, "MPS") == 0)
		return err_set(e, -EINVAL,
			       "\"MPS\" is selected as the GPU sharing strategy, but the "
			       "\"MPSSupport\" feature gate is not enabled");
	if (strcmp(strategy, "TimeSlicing") != 0)
		return err_set(e, -EINVAL,
			       "unknown GPU sharing strategy: %s, supported GPU sharing "
			       "strategies: TimeSlicing, MPS",
			       strategy);
	if (!config_absent(json_get(sharing, "mpsConfig")))
		return err_set(e, -EINVAL, "cannot use MpsConfig with the 'TimeSlicing' strategy");
	if (config_absent(slicing))
		return 0;
	if (json_kind(slicing) != JSON_OBJ)
		return err_set(e, -EINVAL, "sharing.timeSlicingConfig: not an object");
	return config_interval(slicing, e);
}

/* Index into kinds, or -EINVAL. */
static int config_kind(const struct json *root, struct err *e)
{
	const char *version = json_str(json_get(root, "apiVersion"), "");
	const char *kind = json_str(json_get(root, "kind"), "");
	size_t i;

	if (json_kind(root) != JSON_OBJ)
		return err_set(e, -EINVAL, "opaque parameters: not an object");
	if (!*kind)
		return err_set(e, -EINVAL, "Object 'Kind' is missing in the opaque parameters");
	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0 && strcmp(version, GROUP_VERSION) == 0)
			return (int)i;
	return err_set(e, -EINVAL, "no kind \"%s\" is registered for version \"%s\"", kind,
		       version);
}

int nvidia_config_fits(const struct gpu_device *d, struct sv json, struct err *e)
{
	struct json *root;
	int kind, r;

	r = json_parse(json, &json_limits_config, &root, e);
	if (r < 0)
		return -EINVAL;
	kind = config_kind(root, e);
	json_free(&root);
	if (kind < 0)
		return kind;
	if (strcmp(kinds[kind].type, config_type(d)) == 0)
		return 0;
	return err_set(e, 1, "cannot apply %s to device \"%s\" of type \"%s\"", kinds[kind].kind,
		       d->name, config_type(d));
}

static int config_check(const struct gpu_device *d, const struct json *root, struct err *e)
{
	static const char *const known[] = { "apiVersion", "kind", "sharing", NULL };
	int kind = config_kind(root, e);
	int r;

	if (kind < 0)
		return kind;
	if (strcmp(kinds[kind].type, config_type(d)) != 0)
		return err_set(e, -EINVAL, "cannot apply %s to device \"%s\" of type \"%s\"",
			       kinds[kind].kind, d->name, config_type(d));
	r = config_only(root, "", known, e);
	if (r < 0)
		return r;
	return config_sharing(json_get(root, "sharing"), e);
}

int nvidia_config_check(const struct gpu_device *d, struct sv json, struct err *e)
{
	struct json *root;
	int r;

	if (json.n == 0)
		return 0;
	r = json_parse(json, &json_limits_config, &root, e);
	if (r < 0)
		return -EINVAL;
	r = config_check(d, root, e);
	json_free(&root);
	return r;
}
