/* Garbage collection by ownerReferences, background propagation. */
#include "test/lib/controllers_private.h"

/* Any kind by apiVersion and kind of a reference. */
static const json_t *owner_object(struct controllers *c, const json_t *ref, const char *ns)
{
	const char *version = jx_text(jx_get(ref, "apiVersion")), *slash = strchr(version, '/');
	const struct store_kind *k;
	const json_t *owner;
	char group[96];

	snprintf(group, sizeof(group), "%.*s", slash ? (int)(slash - version) : 0, version);
	k = store_kind_of(c->store, group, jx_text(jx_get(ref, "kind")));
	if (!k)
		return NULL;
	owner = store_get(c->store, k, k->namespaced ? ns : NULL, jx_text(jx_get(ref, "name")));
	return owner && json_equal(jx_get(owner, "metadata", "uid"), jx_get(ref, "uid")) ? owner
											 : NULL;
}

/* It has owners, and none of them is there. */
static bool orphaned(struct controllers *c, const json_t *object)
{
	const json_t *owners = jx_get(object, "metadata", "ownerReferences");

	for (size_t i = 0; i < json_array_size(owners); i++)
		if (owner_object(c, json_array_get(owners, i), jx_ns(object)))
			return false;
	return json_array_size(owners) > 0;
}

static void remove_object(struct controllers *c, const struct store_kind *k, const json_t *object)
{
	const struct store_delete how = { .uid = jx_uid(object), .grace_s = -1 };
	struct store_error e;
	bool gone;

	if (*jx_text(jx_get(object, "metadata", "deletionTimestamp")))
		return;
	if (!store_delete(c->store, k, jx_ns(object), jx_name(object), &how, &gone, NULL, &e))
		controllers_line(c, "%s %s collected: its owner is gone", k->kind, jx_name(object));
}

static bool owned_by(const json_t *object, const char *uid)
{
	const json_t *owners = jx_get(object, "metadata", "ownerReferences");

	for (size_t i = 0; i < json_array_size(owners); i++)
		if (jx_is(jx_get(json_array_get(owners, i), "uid"), uid))
			return true;
	return false;
}

static void collect_owned(struct controllers *c, const char *uid)
{
	const struct store_kind *k;

	for (size_t kind = 0; (k = store_kind_at(c->store, kind)); kind++)
		for (size_t i = store_count(c->store, k); i-- > 0;) {
			const json_t *object = store_at(c->store, k, i);

			if (owned_by(object, uid) && orphaned(c, object))
				remove_object(c, k, object);
		}
}

void collector_event(struct controllers *c, const struct store_event *ev)
{
	const json_t *now;

	if (ev->change == STORE_DELETED) {
		collect_owned(c, jx_uid(ev->object));
		return;
	}
	now = store_get(c->store, ev->kind, jx_ns(ev->object), jx_name(ev->object));
	if (now && orphaned(c, now))
		remove_object(c, ev->kind, now);
}
