#include "test/lib/versions.h"

#include "test/lib/jx.h"

static const struct {
	unsigned bit;
	const char *name;
} names[] = { { VERSIONS_V1, "v1" },
	      { VERSIONS_V1BETA2, "v1beta2" },
	      { VERSIONS_V1BETA1, "v1beta1" } };

unsigned versions_bit(const struct store_kind *k, const char *version)
{
	if (strcmp(k->group, "resource.k8s.io") != 0)
		return strcmp(version, "v1") ? 0 : VERSIONS_V1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i].name, version))
			return names[i].bit;
	return 0;
}

const char *versions_name(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].bit == bit)
			return names[i].name;
	return "";
}

/* Moves all members but `stay` of n into a member of their own. */
static void nest(json_t *n, const char *into, const char *const *stay)
{
	json_t *inner = json_object(), *value;
	const char *key;
	void *tmp;

	json_object_foreach_safe(n, tmp, key, value)
	{
		bool stays = false;

		for (const char *const *s = stay; *s; s++)
			stays = stays || !strcmp(*s, key);
		if (stays)
			continue;
		json_object_set(inner, key, value);
		json_object_del(n, key);
	}
	json_object_set_new(n, into, inner);
}

static void unnest(json_t *n, const char *from)
{
	json_t *inner = json_object_get(n, from);

	if (!json_is_object(inner))
		return;
	json_incref(inner);
	json_object_del(n, from);
	json_object_update(n, inner);
	json_decref(inner);
}

static void each(json_t *list, void (*fn)(json_t *item))
{
	for (size_t i = 0; i < json_array_size(list); i++)
		fn(json_array_get(list, i));
}

static void device_old(json_t *d)
{
	static const char *const stay[] = { "name", NULL };

	nest(d, "basic", stay);
}

static void device_new(json_t *d)
{
	unnest(d, "basic");
}

static void request_old(json_t *r)
{
	unnest(r, "exactly");
}

static void request_new(json_t *r)
{
	static const char *const stay[] = { "name", NULL };

	if (!json_object_get(r, "firstAvailable"))
		nest(r, "exactly", stay);
}

static json_t *requests_of(const struct store_kind *k, const json_t *object)
{
	if (!strcmp(k->resource, "resourceclaims"))
		return jx_get(object, "spec", "devices", "requests");
	if (!strcmp(k->resource, "resourceclaimtemplates"))
		return jx_get(object, "spec", "spec", "devices", "requests");
	return NULL;
}

json_t *versions_from(const struct store_kind *k, unsigned bit, const json_t *object)
{
	json_t *copy = json_deep_copy(object);

	if (bit == VERSIONS_V1BETA1) {
		each(requests_of(k, copy), request_new);
		if (!strcmp(k->resource, "resourceslices"))
			each(jx_get(copy, "spec", "devices"), device_new);
	}
	if (bit != VERSIONS_V1)
		jx_set_text(copy, "apiVersion", "resource.k8s.io/v1");
	return copy;
}

json_t *versions_to(const struct store_kind *k, unsigned bit, const json_t *object)
{
	char group_version[64];
	json_t *copy;

	if (bit == VERSIONS_V1)
		return json_incref((json_t *)(uintptr_t)object);
	copy = json_deep_copy(object);
	if (bit == VERSIONS_V1BETA1) {
		each(requests_of(k, copy), request_old);
		if (!strcmp(k->resource, "resourceslices"))
			each(jx_get(copy, "spec", "devices"), device_old);
	}
	snprintf(group_version, sizeof(group_version), "%s/%s", k->group, versions_name(bit));
	jx_set_text(copy, "apiVersion", group_version);
	return copy;
}
