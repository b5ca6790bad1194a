/* Claims and Events of a lab's API server. Knows jansson, so nothing that reads core/json. */
#include "test/lib/node/lab_objects.h"
#include "core/mem.h"
#include "test/lib/jx.h"

static void put_result(json_t *results, struct sv text)
{
	json_t *r = json_object();
	struct sv rest = text, name;
	char *request, *device;

	request = mem_printf("r%zu", json_array_size(results));
	if (sv_find(text, '=') >= 0) {
		mem_free(request);
		request = sv_dup(sv_cut(&rest, '='));
	}
	text = rest;
	name = sv_cut(&rest, '@');
	if (rest.n)
		json_object_set_new(r, "adminAccess", json_true());
	rest = name;
	name = sv_cut(&rest, '#');
	if (rest.n) {
		char *share = sv_dup(rest);

		jx_set_text(r, "shareID", share);
		mem_free(share);
	}
	device = sv_dup(name);
	jx_set_text(r, "request", request);
	jx_set_text(r, "driver", "gpu.nvidia.com");
	jx_set_text(r, "pool", "node-1");
	jx_set_text(r, "device", device);
	json_array_append_new(results, r);
	mem_free(request);
	mem_free(device);
}

char *lab_allocation_text(const char *devices)
{
	json_t *allocation = json_object();
	json_t *results = jx_arr(jx_obj(allocation, "devices"), "results");
	struct sv rest = sv_str(devices);
	char *text;

	while (rest.n)
		put_result(results, sv_cut(&rest, ','));
	text = jx_print(allocation);
	json_decref(allocation);
	return text;
}

void lab_put_claim(struct store *s, const char *name, const char *uid, const char *allocation)
{
	store_put_text(
	    s,
	    "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
	    "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"%s\"},"
	    "\"spec\":{\"devices\":{\"requests\":[]}},\"status\":{%s%s%s\"reservedFor\":["
	    "{\"resource\":\"pods\",\"name\":\"pod-%s\",\"uid\":\"pod-uid-%s\"}]}}",
	    name, uid, allocation ? "\"allocation\":" : "", allocation ? allocation : "",
	    allocation ? "," : "", name, name);
}

void lab_delete_claim(struct store *s, const char *name)
{
	const struct store_kind *k = store_kind(s, "resource.k8s.io", "resourceclaims");
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	must(!store_delete(s, k, "default", name, &how, &gone, NULL, &e) && gone);
}

static const struct store_kind *kind_of(struct store *s, const char *resource)
{
	const struct store_kind *k = store_kind(s, "resource.k8s.io", resource);

	return k ? k : store_kind(s, "", resource);
}

size_t lab_count_objects(struct store *s, const char *resource)
{
	return store_count(s, kind_of(s, resource));
}

char *lab_object_text(struct store *s, const char *resource, size_t i)
{
	const json_t *object = store_at(s, kind_of(s, resource), i);

	must(object);
	return jx_print(object);
}

void lab_delete_object(struct store *s, const char *resource, const char *name)
{
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	must(!store_delete(s, kind_of(s, resource), NULL, name, &how, &gone, NULL, &e) && gone);
}

size_t lab_count_events(struct store *s, const char *reason, const char **message)
{
	const struct store_kind *k = store_kind(s, "", "events");
	size_t n = 0;

	for (size_t i = 0; i < store_count(s, k); i++) {
		const json_t *ev = store_at(s, k, i);

		if (!jx_is(jx_get(ev, "reason"), reason))
			continue;
		n++;
		if (message)
			*message = jx_text(jx_get(ev, "message"));
	}
	return n;
}

void lab_forget_events(struct store *s)
{
	const struct store_kind *k = kind_of(s, "events");
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	while (store_count(s, k)) {
		const json_t *ev = store_at(s, k, 0);

		must(!store_delete(s, k, jx_ns(ev), jx_name(ev), &how, &gone, NULL, &e) && gone);
	}
}

void lab_delete_pod(struct store *s, const char *name, bool force)
{
	const struct store_delete how = { .grace_s = force ? 0 : -1 };
	struct store_error e;
	bool gone;

	(void)store_delete(s, store_kind(s, "", "pods"), "default", name, &how, &gone, NULL, &e);
}

const char *lab_phase_of_pod(struct store *s, const char *name)
{
	const json_t *pod = store_get(s, store_kind(s, "", "pods"), "default", name);
	const char *phase = jx_text(jx_get(pod, "status", "phase"));

	return pod && !*phase ? "Pending" : phase;
}

void lab_end_claim(struct store *s, const char *name)
{
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e;
	bool gone;

	(void)store_delete(s, kind_of(s, "resourceclaims"), "default", name, &how, &gone, NULL, &e);
}

size_t lab_count_published(struct store *s)
{
	const struct store_kind *k = kind_of(s, "resourceslices");
	size_t n = 0;

	for (size_t i = 0; i < store_count(s, k); i++)
		n += json_array_size(jx_get(store_at(s, k, i), "spec", "devices"));
	return n;
}

bool lab_uuid_published(struct store *s, size_t i, char *out, size_t size)
{
	const struct store_kind *k = kind_of(s, "resourceslices");

	for (size_t at = 0; at < store_count(s, k); at++) {
		const json_t *devices = jx_get(store_at(s, k, at), "spec", "devices");
		size_t n = json_array_size(devices);

		if (i < n) {
			snprintf(out, size, "%s",
				 jx_text(jx_get(json_array_get(devices, i), "attributes", "uuid",
						"string")));
			return true;
		}
		i -= n;
	}
	return false;
}

char *lab_allocated_devices(struct store *s, const char *name)
{
	const json_t *claim = store_get(s, kind_of(s, "resourceclaims"), "default", name);
	const json_t *results = jx_get(claim, "status", "allocation", "devices", "results");
	struct buf list;
	char *text;

	buf_init(&list, 4096);
	for (size_t i = 0; i < json_array_size(results); i++)
		buf_printf(&list, "%s%s", i ? "," : "",
			   jx_text(jx_get(json_array_get(results, i), "device")));
	text = mem_strdup(buf_cstr(&list));
	buf_done(&list);
	return text;
}

void lab_delete_objects(struct store *s, const char *resource)
{
	while (store_count(s, kind_of(s, resource)))
		lab_delete_object(s, resource, jx_name(store_at(s, kind_of(s, resource), 0)));
}
