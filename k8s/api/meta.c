#include "k8s/api/meta.h"

#include "core/jsonw.h"

static const struct {
	const char *name, *group_name;
} versions[] = {
	[API_VERSION_NONE] = { "", "" },
	[API_V1] = { "v1", "resource.k8s.io/v1" },
	[API_V1BETA2] = { "v1beta2", "resource.k8s.io/v1beta2" },
	[API_V1BETA1] = { "v1beta1", "resource.k8s.io/v1beta1" },
};

const char *api_version_name(enum api_version v)
{
	must((size_t)v < ARRAY_LEN(versions));
	return versions[v].name;
}

const char *api_version_group_name(enum api_version v)
{
	must((size_t)v < ARRAY_LEN(versions));
	return versions[v].group_name;
}

static const char *meta_text(const struct json *object, const char *field)
{
	return json_str(json_get(object, "metadata", field), "");
}

const char *meta_name(const struct json *object)
{
	return meta_text(object, "name");
}

const char *meta_namespace(const struct json *object)
{
	return meta_text(object, "namespace");
}

const char *meta_uid(const struct json *object)
{
	return meta_text(object, "uid");
}

const char *meta_rv(const struct json *object)
{
	return meta_text(object, "resourceVersion");
}

const char *meta_kind(const struct json *object)
{
	return json_str(json_get(object, "kind"), "");
}

int64_t meta_generation(const struct json *object)
{
	return json_i64(json_get(object, "metadata", "generation"), 0);
}

bool meta_deleting(const struct json *object)
{
	return *meta_text(object, "deletionTimestamp") != '\0';
}

const char *meta_annotation(const struct json *object, const char *key)
{
	return json_str(json_get(object, "metadata", "annotations", key), NULL);
}

const char *meta_owner_uid(const struct json *object, const char *kind)
{
	const struct json *owners = json_get(object, "metadata", "ownerReferences");
	const struct json *owner;

	for (size_t i = 0; i < json_len(owners); i++) {
		owner = json_at(owners, i);
		if (kind ? strcmp(json_str(json_get(owner, "kind"), ""), kind) == 0
			 : json_flag(json_get(owner, "controller"), false))
			return json_str(json_get(owner, "uid"), "");
	}
	return "";
}

/* The digits without leading zeros; p == NULL when the text is no decimal number. */
static struct sv rv_digits(const char *text)
{
	struct sv s = sv_str(text);

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return SV_NONE;
	while (s.n > 1 && s.p[0] == '0')
		s = sv_drop(s, 1);
	return s.n ? s : SV_NONE;
}

int meta_rv_cmp(const char *a, const char *b)
{
	struct sv x = rv_digits(a), y = rv_digits(b);
	int r;

	if (!x.p || !y.p)
		return META_RV_UNORDERED;
	if (x.n != y.n)
		return x.n < y.n ? -1 : 1;
	r = memcmp(x.p, y.p, x.n);
	return r < 0 ? -1 : r > 0;
}

const struct json *meta_device(const struct json *device, enum api_version v)
{
	return v == API_V1BETA1 ? json_get(device, "basic") : device;
}

const struct json *meta_request(const struct json *request, enum api_version v)
{
	if (v != API_V1BETA1)
		return json_get(request, "exactly");
	return json_len(json_get(request, "firstAvailable")) ? NULL : request;
}

void meta_device_open(struct jsonw *w, enum api_version v)
{
	if (v == API_V1BETA1)
		jsonw_kobj(w, "basic");
}

void meta_device_close(struct jsonw *w, enum api_version v)
{
	if (v == API_V1BETA1)
		jsonw_end(w);
}
