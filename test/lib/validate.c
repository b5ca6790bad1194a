#include "test/lib/validate.h"

#include <ctype.h>

#include "core/mem.h"
#include "test/lib/cel.h"
#include "test/lib/jx.h"

enum {
	DEVICES_MAX = 128,
	DEVICES_MAX_RICH = 64, /* as soon as one has taints or counters */
	FACETS_MAX = 32,
	VALUE_MAX = 64,
	LABEL_MAX = 63,
	IDENTIFIER_MAX = 32,
	RESULTS_MAX = 32,
	SUBDOMAIN_MAX = 253,
};

struct check {
	const struct store_kind *kind;
	const json_t *object;
	struct store_error *e;
};

#define BAD(c, type, field, ...)                                                                   \
	store_invalid((c)->e, (c)->kind, jx_name((c)->object), type, field, __VA_ARGS__)

static bool dns_label(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > LABEL_MAX || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-')
			return false;
	return true;
}

/* Labels with dots between them. */
static bool dns_subdomain(struct sv s, size_t max)
{
	bool good = s.n > 0 && s.n <= max && s.p[s.n - 1] != '.';

	while (good && s.n) {
		char *label _mem_free_ = sv_dup(sv_cut(&s, '.'));

		good = dns_label(label);
	}
	return good;
}

/* One or more subdomains with slashes between them. */
static bool pool_name(struct sv s)
{
	bool good = s.n > 0 && s.n <= SUBDOMAIN_MAX && s.p[s.n - 1] != '/';

	while (good && s.n)
		good = dns_subdomain(sv_cut(&s, '/'), SUBDOMAIN_MAX);
	return good;
}

static bool identifier(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > IDENTIFIER_MAX || isdigit((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return true;
}

/* "<identifier>" or "<domain>/<identifier>" */
static bool qualified_name(const char *s)
{
	const char *slash = strchr(s, '/');

	if (!slash)
		return identifier(s);
	return dns_subdomain(sv_make(s, (size_t)(slash - s)), LABEL_MAX) && identifier(slash + 1);
}

static bool number(struct sv s)
{
	if (!s.n || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isdigit((unsigned char)s.p[i]))
			return false;
	return true;
}

/* Semantic version 2.0.0: three numbers without leading zeros, then "-..." or "+...". */
static bool semver(const char *text)
{
	size_t core = strcspn(text, "-+");
	struct sv rest = sv_make(text, core), part;
	unsigned parts = 0;

	for (; rest.n; parts++) {
		part = sv_cut(&rest, '.');
		if (!number(part))
			return false;
	}
	return parts == 3 && text[core ? core - 1 : 0] != '.';
}

/* Exactly one value, of the type that its name says. Lists need a gate that is off. */
static bool one_value(const json_t *value)
{
	return json_object_size(value) == 1 &&
	       (json_is_integer(jx_get(value, "int")) || json_is_boolean(jx_get(value, "bool")) ||
		json_is_string(jx_get(value, "string")) ||
		json_is_string(jx_get(value, "version")));
}

static int check_attribute(const struct check *c, const char *field, const char *name,
			   const json_t *value)
{
	const char *text = jx_text(jx_get(value, "string"));
	const char *version = jx_text(jx_get(value, "version"));

	if (!qualified_name(name))
		return BAD(c, "FieldValueInvalid", field,
			   "\"%s\": a valid C identifier must be "
			   "used",
			   name);
	if (!one_value(value))
		return BAD(c, "FieldValueInvalid", field, "exactly one value must be specified");
	if (strlen(text) > VALUE_MAX || strlen(version) > VALUE_MAX)
		return BAD(c, "FieldValueTooLong", field, "may not be more than 64 bytes");
	if (jx_get(value, "version") && !semver(version))
		return BAD(c, "FieldValueInvalid", field,
			   "\"%s\": must be a string compatible with semver.org spec 2.0.0",
			   version);
	return 0;
}

static int check_device(const struct check *c, size_t i, const json_t *d)
{
	json_t *attributes = jx_get(d, "attributes"), *capacity = jx_get(d, "capacity"), *value;
	char field[160];
	const char *key;
	__int128 amount;
	int r;

	snprintf(field, sizeof(field), "spec.devices[%zu].name", i);
	if (!dns_label(jx_text(jx_get(d, "name"))))
		return BAD(c, "FieldValueInvalid", field,
			   "\"%.100s\": a lowercase RFC 1123 label "
			   "must consist of lower case alphanumeric characters or '-'",
			   jx_text(jx_get(d, "name")));
	snprintf(field, sizeof(field), "spec.devices[%zu]", i);
	if (json_object_size(attributes) + json_object_size(capacity) > FACETS_MAX)
		return BAD(c, "FieldValueInvalid", field,
			   "%zu: the total number of attributes and capacities must not exceed 32",
			   json_object_size(attributes) + json_object_size(capacity));
	json_object_foreach(attributes, key, value)
	{
		snprintf(field, sizeof(field), "spec.devices[%zu].attributes[%.60s]", i, key);
		r = check_attribute(c, field, key, value);
		if (r)
			return r;
	}
	json_object_foreach(capacity, key, value)
	{
		snprintf(field, sizeof(field), "spec.devices[%zu].capacity[%.60s]", i, key);
		if (!qualified_name(key) ||
		    cel_quantity(sv_str(jx_text(jx_get(value, "value"))), &amount) < 0)
			return BAD(c, "FieldValueInvalid", field, "\"%s\"", key);
	}
	return 0;
}

static bool rich(const json_t *devices)
{
	for (size_t i = 0; i < json_array_size(devices); i++)
		if (jx_get(json_array_get(devices, i), "taints") ||
		    jx_get(json_array_get(devices, i), "consumesCounters"))
			return true;
	return false;
}

static int check_devices(const struct check *c)
{
	json_t *devices = jx_get(c->object, "spec", "devices"), *seen = json_object();
	size_t n = json_array_size(devices), max = rich(devices) ? DEVICES_MAX_RICH : DEVICES_MAX;
	int r = 0;

	if (n > max)
		r = BAD(c, "FieldValueTooMany", "spec.devices", "%zu: must have at most %zu items",
			n, max);
	for (size_t i = 0; i < n && !r; i++) {
		const json_t *d = json_array_get(devices, i);
		const char *name = jx_text(jx_get(d, "name"));

		r = check_device(c, i, d);
		if (!r && json_object_get(seen, name))
			r = BAD(c, "FieldValueDuplicate", "spec.devices", "\"%s\"", name);
		json_object_set_new(seen, name, json_true());
	}
	json_decref(seen);
	return r;
}

static int check_fixed(const struct check *c, const json_t *old)
{
	static const char *const fixed[] = { "driver", "nodeName" };

	for (size_t i = 0; old && i < ARRAY_LEN(fixed); i++) {
		char field[40];

		snprintf(field, sizeof(field), "spec.%s", fixed[i]);
		if (!json_equal(jx_get(old, "spec", fixed[i]), jx_get(c->object, "spec", fixed[i])))
			return BAD(c, "FieldValueInvalid", field, "field is immutable");
	}
	if (old && strcmp(jx_text(jx_get(old, "spec", "pool", "name")),
			  jx_text(jx_get(c->object, "spec", "pool", "name"))) != 0)
		return BAD(c, "FieldValueInvalid", "spec.pool.name", "field is immutable");
	return 0;
}

static int check_slice(const struct check *c, const json_t *old)
{
	const json_t *spec = jx_get(c->object, "spec"), *pool = jx_get(spec, "pool");
	unsigned places;

	if (!*jx_text(jx_get(spec, "driver")))
		return BAD(c, "FieldValueRequired", "spec.driver", "must be set");
	if (!dns_subdomain(sv_str(jx_text(jx_get(spec, "driver"))), LABEL_MAX))
		return BAD(c, "FieldValueInvalid", "spec.driver",
			   "must be a DNS subdomain of at most 63 bytes");
	if (!pool_name(sv_str(jx_text(jx_get(pool, "name")))))
		return BAD(c, "FieldValueInvalid", "spec.pool.name",
			   "must be DNS subdomains with slashes between them");
	if (!dns_subdomain(sv_str(jx_name(c->object)), SUBDOMAIN_MAX))
		return BAD(c, "FieldValueInvalid", "metadata.name", "must be a DNS subdomain");
	if (jx_int(jx_get(pool, "resourceSliceCount")) < 1)
		return BAD(c, "FieldValueInvalid", "spec.pool.resourceSliceCount",
			   "%lld: must be greater than zero",
			   (long long)jx_int(jx_get(pool, "resourceSliceCount")));
	if (jx_int(jx_get(pool, "generation")) < 0)
		return BAD(c, "FieldValueInvalid", "spec.pool.generation",
			   "must be greater than or equal to zero");
	places = (*jx_text(jx_get(spec, "nodeName")) != '\0') +
		 (jx_get(spec, "nodeSelector") != NULL) + jx_true(jx_get(spec, "allNodes")) +
		 jx_true(jx_get(spec, "perDeviceNodeSelection"));
	if (places != 1)
		return BAD(c, "FieldValueInvalid", "spec",
			   "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
			   "`perDeviceNodeSelection` is required");
	if (jx_get(spec, "devices") && jx_get(spec, "sharedCounters"))
		return BAD(c, "FieldValueInvalid", "spec",
			   "only one of `sharedCounters` or `devices` is allowed");
	return check_fixed(c, old) ? c->e->code : check_devices(c);
}

static int check_claim(const struct check *c, const json_t *old)
{
	const json_t *had = jx_get(old, "status", "allocation");
	const json_t *has = jx_get(c->object, "status", "allocation");

	if (old && !json_equal(jx_get(old, "spec"), jx_get(c->object, "spec")))
		return BAD(c, "FieldValueInvalid", "spec", "field is immutable");
	if (had && has && !json_equal(had, has))
		return BAD(c, "FieldValueInvalid", "status.allocation", "field is immutable");
	if (json_array_size(jx_get(has, "devices", "results")) > RESULTS_MAX)
		return BAD(c, "FieldValueTooMany", "status.allocation.devices.results",
			   "must have at most 32 items");
	return 0;
}

/* core/v1: an Event lies beside what it tells of; of what has no namespace, in "default". */
static int check_event(const struct check *c)
{
	const char *about = jx_text(jx_get(c->object, "involvedObject", "namespace"));

	if (strcmp(jx_ns(c->object), *about ? about : "default") != 0)
		return BAD(c, "FieldValueInvalid", "involvedObject.namespace",
			   "\"%s\": does not match event.namespace", about);
	return 0;
}

int validate_object(void *ctx, const struct store_kind *k, const json_t *old, const json_t *object,
		    struct store_error *e)
{
	const struct check c = { k, object, e };

	(void)ctx;
	if (!strcmp(k->resource, "resourceslices"))
		return check_slice(&c, old);
	if (!strcmp(k->resource, "resourceclaims"))
		return check_claim(&c, old);
	return strcmp(k->resource, "events") ? 0 : check_event(&c);
}

/* ---- what the server does to a slice before it looks ---- */

static const char *const slice_members[] = { "apiVersion", "kind", "metadata", "spec", NULL };
static const char *const spec_members[] = { "driver",
					    "pool",
					    "nodeName",
					    "nodeSelector",
					    "allNodes",
					    "devices",
					    "perDeviceNodeSelection",
					    "sharedCounters",
					    NULL };
static const char *const pool_members[] = { "name", "generation", "resourceSliceCount", NULL };
static const char *const device_members[] = { "name",
					      "attributes",
					      "capacity",
					      "consumesCounters",
					      "nodeName",
					      "nodeSelector",
					      "allNodes",
					      "taints",
					      "bindsToNode",
					      "bindingConditions",
					      "bindingFailureConditions",
					      "allowMultipleAllocations",
					      NULL };

/* A member that the server does not know goes without a word (fieldValidation=Warn). */
static void drop_unknown(json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;
	void *tmp;

	json_object_foreach_safe(object, tmp, key, value)
	{
		const char *const *k = known;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k)
			json_object_del(object, key);
	}
}

/* "2048Mi" comes back as "2Gi": the greatest suffix that leaves a whole number. */
static void put_canonical(json_t *capacity)
{
	static const char *const suffixes[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
	struct sv rest = sv_str(jx_text(jx_get(capacity, "value")));
	size_t digits = strspn(jx_text(jx_get(capacity, "value")), "0123456789"), unit = 0;
	uint64_t n;
	char out[32];

	if (sv_u64(sv_make(rest.p, digits), &n) < 0 || !n)
		return;
	rest = sv_drop(rest, digits);
	for (unit = 1; unit < ARRAY_LEN(suffixes) && !sv_eqs(rest, suffixes[unit]); unit++)
		;
	if (unit == ARRAY_LEN(suffixes))
		return; /* decimal: as it is */
	for (; n % 1024 == 0 && unit + 1 < ARRAY_LEN(suffixes); unit++)
		n /= 1024;
	snprintf(out, sizeof(out), "%llu%s", (unsigned long long)n, suffixes[unit]);
	jx_set_text(capacity, "value", out);
}

static void as_stored(json_t *device)
{
	json_t *value;
	const char *key;

	drop_unknown(device, device_members);
	json_object_foreach(jx_get(device, "capacity"), key, value) put_canonical(value);
}

void validate_drop(json_t *object, const struct store_kind *k, const char *const *members)
{
	json_t *devices = jx_get(object, "spec", "devices");

	if (strcmp(k->resource, "resourceslices") != 0)
		return;
	drop_unknown(object, slice_members);
	drop_unknown(jx_get(object, "spec"), spec_members);
	drop_unknown(jx_get(object, "spec", "pool"), pool_members);
	for (size_t i = 0; i < json_array_size(devices); i++)
		as_stored(json_array_get(devices, i));
	for (; members && *members; members++) {
		json_object_del(jx_get(object, "spec"), *members);
		for (size_t i = 0; i < json_array_size(devices); i++) {
			json_t *d = json_array_get(devices, i);

			json_object_del(d, *members);
			json_object_del(jx_get(d, "attributes"), *members);
		}
	}
}
