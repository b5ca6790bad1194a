#include "k8s/slice.h"

#include "core/jsonw.h"
#include "core/mem.h"
#include "k8s/api/quantity.h"
#include "k8s/digest.h"

#define INDEX_DIGITS 5 /* of the name, hexadecimal: what the Go controller writes and adopts */

static uint64_t digest_i64(uint64_t h, int64_t v)
{
	return digest_bytes(h, sv_make(&v, sizeof(v)));
}

static const char *const kind_names[] = { "int", "bool", "string", "version" };

/* ---- digests: members of an object are added up, so their order does not matter ---- */

static void attribute_key(const struct gpu_attribute *a, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", a->domain, *a->domain ? "/" : "", a->name);

	must(n > 0 && (size_t)n < size);
}

static uint64_t digest_attribute(const struct gpu_attribute *a)
{
	char key[128];
	uint64_t h;

	attribute_key(a, key, sizeof(key));
	h = digest_str(digest_str(DIGEST_START, key), kind_names[a->kind]);
	if (a->kind == GPU_INT || a->kind == GPU_BOOL)
		return digest_i64(h, a->i);
	return digest_str(h, a->s);
}

static uint64_t digest_device(const struct gpu_device *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->attributes_n; i++)
		sum += digest_attribute(&d->attributes[i]);
	for (size_t i = 0; i < d->capacities_n; i++)
		sum += digest_i64(
		    digest_str(digest_str(DIGEST_START, "capacity"), d->capacities[i].name),
		    (int64_t)d->capacities[i].value);
	return digest_i64(digest_str(DIGEST_START, d->name), (int64_t)sum);
}

uint64_t slice_digest(const struct gpu_device *const *devices, size_t n)
{
	uint64_t h = DIGEST_START;

	for (size_t i = 0; i < n; i++)
		h = digest_i64(h, (int64_t)digest_device(devices[i]));
	return h;
}

static uint64_t json_attribute(const char *key, const struct json *value)
{
	uint64_t h = digest_str(DIGEST_START, key);
	const struct json *v;
	const char *kind;
	void *pos = NULL;

	while (json_next(value, &pos, &kind, &v)) {
		h = digest_str(h, kind);
		if (json_kind(v) == JSON_BOOL)
			h = digest_i64(h, json_flag(v, false));
		else if (json_kind(v) == JSON_INT)
			h = digest_i64(h, json_i64(v, 0));
		else
			h = digest_bytes(h, json_sv(v));
	}
	return h;
}

static uint64_t json_capacity(const char *key, const struct json *value)
{
	uint64_t h = digest_str(digest_str(DIGEST_START, "capacity"), key);
	const struct json *v = json_get(value, "value");
	struct quantity q;
	int64_t whole;

	if (!quantity_read(v, &q) && !quantity_i64(&q, &whole))
		return digest_i64(h, whole);
	return digest_bytes(h, json_sv(v));
}

/* Members that we never write (taints of another's hand, counters) must not look like ours. */
static uint64_t json_foreign(const struct json *device)
{
	static const char *const ours[] = { "name", "basic", "attributes", "capacity" };
	const struct json *value;
	const char *key;
	void *pos = NULL;
	uint64_t sum = 0;

	while (json_next(device, &pos, &key, &value)) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			known = known || sv_eqs(sv_str(key), ours[i]);
		if (!known)
			sum += digest_str(DIGEST_START, key);
	}
	return sum;
}

static uint64_t json_device(const struct json *device, enum api_version v)
{
	const struct json *body = meta_device(device, v), *value;
	uint64_t sum = json_foreign(device);
	const char *key;
	void *pos = NULL;

	if (body != device)
		sum += json_foreign(body);
	while (json_next(json_get(body, "attributes"), &pos, &key, &value))
		sum += json_attribute(key, value);
	pos = NULL;
	while (json_next(json_get(body, "capacity"), &pos, &key, &value))
		sum += json_capacity(key, value);
	return digest_i64(digest_bytes(DIGEST_START, json_sv(json_get(device, "name"))),
			  (int64_t)sum);
}

static uint64_t json_devices(const struct json *devices, enum api_version v)
{
	uint64_t h = DIGEST_START;

	for (size_t i = 0; i < json_len(devices); i++)
		h = digest_i64(h, (int64_t)json_device(json_at(devices, i), v));
	return h;
}

/* ---- objects ---- */

static int64_t index_of_name(const char *name)
{
	int64_t index = 0;

	for (int i = 0; i < INDEX_DIGITS; i++) {
		char c = name[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : -1;

		if (digit < 0)
			return -1;
		index = index * 16 + digit;
	}
	return name[INDEX_DIGITS] == '-' ? index : -1;
}

struct slice *slice_decode(const struct json *object, enum api_version v)
{
	const struct json *spec = json_get(object, "spec");
	const struct json *devices = json_get(spec, "devices");
	struct slice *s = MEM_NEW(struct slice);

	s->name = mem_strdup(meta_name(object));
	s->uid = mem_strdup(meta_uid(object));
	s->rv = mem_strdup(meta_rv(object));
	s->pool = mem_strdup(json_str(json_get(spec, "pool", "name"), ""));
	s->generation = json_i64(json_get(spec, "pool", "generation"), 0);
	s->count = json_i64(json_get(spec, "pool", "resourceSliceCount"), 0);
	s->index = index_of_name(s->name);
	s->digest = json_devices(devices, v);
	s->devices = json_len(devices);
	return s;
}

void slice_free(struct slice **sp)
{
	struct slice *s = *sp;

	if (!s)
		return;
	mem_free(s->name);
	mem_free(s->uid);
	mem_free(s->rv);
	mem_free(s->pool);
	mem_free(s);
	*sp = NULL;
}

static void put_attribute(struct jsonw *w, const struct gpu_attribute *a)
{
	char key[128];

	attribute_key(a, key, sizeof(key));
	jsonw_kobj(w, key);
	switch (a->kind) {
	case GPU_INT:
		jsonw_ki64(w, "int", a->i);
		break;
	case GPU_BOOL:
		jsonw_kbool(w, "bool", a->i != 0);
		break;
	case GPU_STRING:
	case GPU_VERSION:
		jsonw_kstr(w, kind_names[a->kind], a->s);
		break;
	}
	jsonw_end(w);
}

static void put_capacity(struct jsonw *w, const struct gpu_capacity *c)
{
	struct quantity q = quantity_bytes(c->value);
	char text[QUANTITY_TEXT_MAX];

	quantity_put(&q, text);
	jsonw_kobj(w, c->name);
	jsonw_kstr(w, "value", text);
	jsonw_end(w);
}

static void put_device(struct jsonw *w, const struct gpu_device *d, enum api_version v)
{
	jsonw_obj(w);
	jsonw_kstr(w, "name", d->name);
	meta_device_open(w, v);
	jsonw_kobj(w, "attributes");
	for (size_t i = 0; i < d->attributes_n; i++)
		put_attribute(w, &d->attributes[i]);
	jsonw_end(w);
	if (d->capacities_n) {
		jsonw_kobj(w, "capacity");
		for (size_t i = 0; i < d->capacities_n; i++)
			put_capacity(w, &d->capacities[i]);
		jsonw_end(w);
	}
	meta_device_close(w, v);
	jsonw_end(w);
}

static void put_metadata(struct jsonw *w, const struct slice_body *b)
{
	jsonw_kobj(w, "metadata");
	if (b->name) {
		jsonw_kstr(w, "name", b->name);
		jsonw_kstr(w, "uid", b->uid);
		jsonw_kstr(w, "resourceVersion", b->rv);
	} else {
		jsonw_key(w, "generateName");
		jsonw_fmt(w, "%0*llx-%s-%s-", INDEX_DIGITS, (unsigned long long)b->index, b->driver,
			  b->node);
	}
	/* The slice goes with its Node; controller as the Go controller sets it. */
	jsonw_karr(w, "ownerReferences");
	jsonw_obj(w);
	jsonw_kstr(w, "apiVersion", "v1");
	jsonw_kstr(w, "kind", "Node");
	jsonw_kstr(w, "name", b->node);
	jsonw_kstr(w, "uid", b->node_uid);
	jsonw_kbool(w, "controller", true);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
}

void slice_encode(const struct slice_body *b, enum api_version v, struct buf *out)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "apiVersion", api_version_group_name(v));
	jsonw_kstr(&w, "kind", "ResourceSlice");
	put_metadata(&w, b);
	jsonw_kobj(&w, "spec");
	jsonw_kstr(&w, "driver", b->driver);
	jsonw_kstr(&w, "nodeName", b->node);
	jsonw_kobj(&w, "pool");
	jsonw_kstr(&w, "name", b->pool);
	jsonw_ki64(&w, "generation", b->generation);
	jsonw_ki64(&w, "resourceSliceCount", b->count);
	jsonw_end(&w);
	if (b->n) {
		jsonw_karr(&w, "devices");
		for (size_t i = 0; i < b->n; i++)
			put_device(&w, b->devices[i], v);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	jsonw_end(&w);
}
