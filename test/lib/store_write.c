/* What a write means: metadata that the server owns, preconditions, finalizers. */
#include <stdarg.h>
#include <time.h>

#include "core/mem.h"
#include "test/lib/jx_patch.h"
#include "test/lib/store_private.h"

enum { GENERATE_TRIES = 8, GENERATE_BASE = 58, POD_GRACE_S = 30, NAME_MAX_BYTES = 253 };

static void put_uid(struct store *s, json_t *meta)
{
	uint64_t a = loop_random(s->loop), b = loop_random(s->loop);
	char text[40];

	snprintf(text, sizeof(text), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
		 (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
		 (unsigned)(b >> 48 & 0x3fff) | 0x8000u,
		 (unsigned long long)(b & 0xffffffffffffull));
	jx_set_text(meta, "uid", text);
}

static void put_time(struct store *s, json_t *meta, const char *key)
{
	time_t t = (time_t)(loop_wall_ms(s->loop) / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jx_set_text(meta, key, text);
}

static int validate(struct store *s, const struct store_kind *k, const json_t *old,
		    const json_t *object, struct store_error *e)
{
	return s->conf.validate ? s->conf.validate(s->conf.ctx, k, old, object, e) : 0;
}

static bool has_finalizers(const json_t *object)
{
	return json_array_size(jx_get(object, "metadata", "finalizers")) > 0;
}

static bool deleting(const json_t *object)
{
	return *jx_text(jx_get(object, "metadata", "deletionTimestamp")) != '\0';
}

/* Removes what only the server writes. */
static void clean(json_t *object)
{
	json_t *meta = jx_obj(object, "metadata");

	json_object_del(meta, "managedFields");
	json_object_del(meta, "selfLink");
}

/* apiVersion and kind of storage; the front has checked or converted them. */
static void put_type(const struct store_kind *k, json_t *object)
{
	char version[96];

	snprintf(version, sizeof(version), "%s%sv1", k->group, *k->group ? "/" : "");
	jx_set_text(object, "apiVersion", version);
	jx_set_text(object, "kind", k->kind);
}

/* ---- create ---- */

static void generate_name(struct store *s, const struct store_kind *k, const char *ns,
			  json_t *object)
{
	static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
	const char *base = jx_text(jx_get(object, "metadata", "generateName"));

	for (int tries = 0; tries < GENERATE_TRIES; tries++) {
		char name[GENERATE_BASE + 6], tail[6];

		for (int i = 0; i < 5; i++)
			tail[i] = letters[loop_random(s->loop) % (sizeof(letters) - 1)];
		tail[5] = '\0';
		snprintf(name, sizeof(name), "%.*s%s", GENERATE_BASE, base, tail);
		jx_set_text(jx_obj(object, "metadata"), "name", name);
		if (!store_get(s, k, ns, name))
			return;
	}
}

static int check_new(struct store *s, const struct store_kind *k, const char *ns,
		     const json_t *object, struct store_error *e)
{
	const char *name = jx_name(object);
	const struct store_kind *spaces = store_kind(s, "", "namespaces");

	if (*jx_text(jx_get(object, "metadata", "resourceVersion")))
		return store_bad_request(
		    e, "resourceVersion should not be set on objects to be created");
	if (k->namespaced && *jx_ns(object) && strcmp(jx_ns(object), ns) != 0)
		return store_bad_request(e, "the namespace of the provided object does not match "
					    "the namespace sent on the request");
	if (k->namespaced && !store_get(s, spaces, NULL, ns))
		return store_not_found(e, spaces, ns);
	if (!*name && !*jx_text(jx_get(object, "metadata", "generateName")))
		return store_invalid(e, k, "", "FieldValueRequired", "metadata.name",
				     "name or generateName is required");
	if (strlen(name) > NAME_MAX_BYTES || strchr(name, '/'))
		return store_invalid(e, k, name, "FieldValueInvalid", "metadata.name",
				     "\"%.100s\": no valid name", name);
	return 0;
}

static void put_metadata(struct store *s, const struct store_kind *k, const char *ns,
			 json_t *object)
{
	json_t *meta = jx_obj(object, "metadata");

	if (k->namespaced)
		jx_set_text(meta, "namespace", ns);
	else
		json_object_del(meta, "namespace");
	if (!*jx_name(object))
		generate_name(s, k, ns, object);
	put_uid(s, meta);
	put_time(s, meta, "creationTimestamp");
	json_object_del(meta, "deletionTimestamp");
	if (k->generation)
		jx_set_int(meta, "generation", 1);
	else
		json_object_del(meta, "generation");
}

int store_create(struct store *s, const struct store_kind *k, const char *ns,
		 const struct json_t *object, const struct json_t **out, struct store_error *e)
{
	json_t *copy;
	int r = check_new(s, k, ns, object, e);

	if (r)
		return r;
	copy = json_deep_copy(object);
	clean(copy);
	put_type(k, copy);
	put_metadata(s, k, ns, copy);
	if (store_get(s, k, ns, jx_name(copy))) {
		r = store_failure(e, 409, "AlreadyExists", "%s%s%s \"%s\" already exists",
				  k->resource, *k->group ? "." : "", k->group, jx_name(copy));
		e->kind = k;
		snprintf(e->name, sizeof(e->name), "%s", jx_name(copy));
	}
	if (!r && k->status && strcmp(k->resource, "nodes") != 0)
		json_object_del(copy, "status"); /* only its subresource writes it; kubelets send a
						    Node's along */
	if (!r)
		r = validate(s, k, NULL, copy, e);
	if (r) {
		json_decref(copy);
		return r;
	}
	store_commit(s, k, NULL, copy);
	if (out)
		*out = copy;
	return 0;
}

/* ---- update ---- */

static int check_update(const struct store_kind *k, const json_t *old, const json_t *object,
			const char *name, struct store_error *e)
{
	const char *rv = jx_text(jx_get(object, "metadata", "resourceVersion"));
	const char *uid = jx_uid(object);

	if (*jx_name(object) && strcmp(jx_name(object), name) != 0)
		return store_bad_request(e,
					 "the name of the object (%s) does not match the name on "
					 "the URL (%s)",
					 jx_name(object), name);
	if (*uid && strcmp(uid, jx_uid(old)) != 0)
		return store_conflict(e, k, name,
				      "Precondition failed: UID in precondition: %s, UID in object "
				      "meta: %s",
				      uid, jx_uid(old));
	if (*rv && strcmp(rv, jx_text(jx_get(old, "metadata", "resourceVersion"))) != 0)
		return store_conflict(e, k, name,
				      "the object has been modified; please apply your changes to "
				      "the latest version and try again");
	return 0;
}

/* What the server keeps, whatever the client sent. */
static void keep_metadata(json_t *object, const json_t *old)
{
	static const char *const kept[] = { "name",
					    "namespace",
					    "uid",
					    "creationTimestamp",
					    "resourceVersion",
					    "generation",
					    "deletionTimestamp",
					    "deletionGracePeriodSeconds",
					    "generateName" };
	json_t *meta = jx_obj(object, "metadata");

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *v = jx_get(old, "metadata", kept[i]);

		if (v)
			json_object_set(meta, kept[i], v);
		else
			json_object_del(meta, kept[i]);
	}
}

static void take_member(json_t *to, const json_t *from, const char *key)
{
	json_t *v = jx_get(from, key);

	if (v)
		json_object_set(to, key, v);
	else
		json_object_del(to, key);
}

static json_t *merged(const struct store_kind *k, const json_t *old, const char *sub,
		      const json_t *object)
{
	json_t *copy;

	if (sub) {
		copy = json_deep_copy(old);
		take_member(copy, object, "status");
		return copy;
	}
	copy = json_deep_copy(object);
	clean(copy);
	put_type(k, copy);
	keep_metadata(copy, old);
	if (k->status)
		take_member(copy, old, "status");
	return copy;
}

/* The last finalizer of a deleted object went: so does the object. */
static void let_go(struct store *s, const struct store_kind *k, json_t *object)
{
	if (deleting(object) && !has_finalizers(object) &&
	    !jx_int(jx_get(object, "metadata", "deletionGracePeriodSeconds")))
		store_commit(s, k, object, NULL);
}

static void commit_update(struct store *s, const struct store_kind *k, json_t *old, json_t *object)
{
	int64_t generation = jx_int(jx_get(old, "metadata", "generation"));

	if (k->generation && !json_equal(jx_get(old, "spec"), jx_get(object, "spec")))
		jx_set_int(jx_obj(object, "metadata"), "generation", generation + 1);
	store_commit(s, k, old, object);
	let_go(s, k, object);
}

int store_update(struct store *s, const struct store_kind *k, const char *ns, const char *name,
		 const char *sub, const struct json_t *object, const struct json_t **out,
		 struct store_error *e)
{
	json_t *old = (json_t *)(uintptr_t)store_get(s, k, ns, name), *copy;
	int r;

	if (!old)
		return store_not_found(e, k, name);
	r = check_update(k, old, object, name, e);
	if (r)
		return r;
	copy = merged(k, old, sub, object);
	r = validate(s, k, old, copy, e);
	if (r || json_equal(copy, old)) { /* a write that changes nothing is none */
		json_decref(copy);
		if (!r && out)
			*out = old;
		return r;
	}
	commit_update(s, k, old, copy);
	if (out)
		*out = copy;
	return 0;
}

/* ---- delete ---- */

static int check_delete(const struct store_kind *k, const json_t *old, const char *name,
			const struct store_delete *how, struct store_error *e)
{
	const char *rv = jx_text(jx_get(old, "metadata", "resourceVersion"));

	if (how->uid && *how->uid && strcmp(how->uid, jx_uid(old)) != 0)
		return store_conflict(e, k, name,
				      "Precondition failed: UID in precondition: %s, UID in object "
				      "meta: %s",
				      how->uid, jx_uid(old));
	if (how->rv && *how->rv && strcmp(how->rv, rv) != 0)
		return store_conflict(e, k, name,
				      "Precondition failed: ResourceVersion in precondition: %s, "
				      "ResourceVersion in object meta: %s",
				      how->rv, rv);
	return 0;
}

static int64_t grace_of(const struct store_kind *k, const json_t *old,
			const struct store_delete *how)
{
	json_t *own = jx_get(old, "spec", "terminationGracePeriodSeconds");

	if (!k->graceful || !*jx_text(jx_get(old, "spec", "nodeName")))
		return 0;
	if (how->grace_s >= 0)
		return how->grace_s;
	return json_is_integer(own) ? jx_int(own) : POD_GRACE_S;
}

int store_delete(struct store *s, const struct store_kind *k, const char *ns, const char *name,
		 const struct store_delete *how, bool *gone, const struct json_t **out,
		 struct store_error *e)
{
	json_t *old = (json_t *)(uintptr_t)store_get(s, k, ns, name), *copy, *meta;
	int64_t grace;
	int r;

	if (!old)
		return store_not_found(e, k, name);
	r = check_delete(k, old, name, how, e);
	if (r)
		return r;
	grace = grace_of(k, old, how);
	*gone = !grace && !has_finalizers(old);
	if (out)
		*out = old;
	if (*gone) {
		store_commit(s, k, old, NULL);
		return 0;
	}
	if (deleting(old) && grace >= jx_int(jx_get(old, "metadata", "deletionGracePeriodSeconds")))
		return 0; /* asked before */
	copy = json_deep_copy(old);
	meta = jx_obj(copy, "metadata");
	if (!deleting(old))
		put_time(s, meta, "deletionTimestamp");
	jx_set_int(meta, "deletionGracePeriodSeconds", grace);
	store_commit(s, k, old, copy);
	if (out)
		*out = copy;
	return 0;
}

/* ---- for demos and tests ---- */

static const struct store_kind *kind_of_text(const struct store *s, const json_t *object)
{
	const char *version = jx_text(jx_get(object, "apiVersion"));
	const char *slash = strchr(version, '/');
	char group[96];
	const struct store_kind *k;

	snprintf(group, sizeof(group), "%.*s", slash ? (int)(slash - version) : 0, version);
	k = store_kind_of(s, group, jx_text(jx_get(object, "kind")));
	must(k);
	return k;
}

void store_put(struct store *s, const struct json_t *object)
{
	const struct store_kind *k = kind_of_text(s, object);
	const char *ns = k->namespaced ? (*jx_ns(object) ? jx_ns(object) : "default") : NULL;
	struct store_error e = { 0 };
	json_t *old, *copy;

	old = (json_t *)(uintptr_t)store_get(s, k, ns, jx_name(object));
	copy = json_deep_copy(object);
	put_type(k, copy);
	if (old) {
		keep_metadata(copy, old);
		commit_update(s, k, old, copy);
		return;
	}
	put_metadata(s, k, ns, copy);
	if (*jx_uid(object)) /* tests like to choose it */
		jx_set_text(jx_obj(copy, "metadata"), "uid", jx_uid(object));
	if (validate(s, k, NULL, copy, &e)) {
		(void)fprintf(stderr, "store_put: %s\n", e.message);
		must(false);
	}
	store_commit(s, k, NULL, copy);
}

void store_put_text(struct store *s, const char *fmt, ...)
{
	va_list ap;
	char *text;
	json_t *object;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	object = jx_make("%s", text);
	store_put(s, object);
	json_decref(object);
	mem_free(text);
}

void store_patch_text(struct store *s, const char *resource, const char *ns, const char *name,
		      const char *fmt, ...)
{
	const struct store_kind *k = store_kind(s, "resource.k8s.io", resource);
	json_t *old, *copy, *patch;
	va_list ap;
	char *text;

	k = k ? k : store_kind(s, "", resource);
	must(k);
	old = (json_t *)(uintptr_t)store_get(s, k, ns, name);
	must(old);
	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	patch = jx_make("%s", text);
	mem_free(text);
	copy = jx_merge(old, patch);
	json_decref(patch);
	keep_metadata(copy, old);
	commit_update(s, k, old, copy);
}
