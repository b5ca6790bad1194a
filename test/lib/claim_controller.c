/* Claims from templates, their reservations, deallocation and end. */
#include "core/mem.h"
#include "test/lib/controllers_private.h"

static json_t *claim_of_template(const json_t *template, const json_t *pod, const json_t *entry)
{
	const char *entry_name = jx_text(jx_get(entry, "name"));
	json_t *claim = json_object(), *meta = jx_obj(claim, "metadata"), *owner = json_object();
	const json_t *labels = jx_get(template, "spec", "metadata", "labels");
	char base[320];

	jx_set_text(claim, "apiVersion", "resource.k8s.io/v1");
	jx_set_text(claim, "kind", "ResourceClaim");
	snprintf(base, sizeof(base), "%.200s-%.60s-", jx_name(pod), entry_name);
	jx_set_text(meta, "generateName", base);
	jx_set_text(jx_obj(meta, "annotations"), "resource.kubernetes.io/pod-claim-name",
		    entry_name);
	if (labels)
		json_object_set_new(meta, "labels", json_deep_copy(labels));
	jx_set_text(owner, "apiVersion", "v1");
	jx_set_text(owner, "kind", "Pod");
	jx_set_text(owner, "name", jx_name(pod));
	jx_set_text(owner, "uid", jx_uid(pod));
	json_object_set_new(owner, "controller", json_true());
	json_object_set_new(owner, "blockOwnerDeletion", json_true());
	json_array_append_new(jx_arr(meta, "ownerReferences"), owner);
	json_object_set_new(claim, "spec", json_deep_copy(jx_get(template, "spec", "spec")));
	return claim;
}

static bool make_claim(struct controllers *c, const json_t *pod, const json_t *entry)
{
	const char *template = jx_text(jx_get(entry, "resourceClaimTemplateName"));
	const json_t *object, *made = NULL;
	json_t *claim, *statuses, *row;
	struct store_error e;
	char *text;
	int r;

	if (!*template || *controllers_claim_name(pod, entry))
		return false;
	object = store_get(c->store, c->templates, jx_ns(pod), template);
	if (!object)
		return false;
	claim = claim_of_template(object, pod, entry);
	r = store_create(c->store, c->claims, jx_ns(pod), claim, &made, &e);
	json_decref(claim);
	if (r)
		return false;
	statuses = json_deep_copy(jx_get(pod, "status", "resourceClaimStatuses"));
	statuses = statuses ? statuses : json_array();
	row = json_object();
	jx_set_text(row, "name", jx_text(jx_get(entry, "name")));
	jx_set_text(row, "resourceClaimName", jx_name(made));
	json_array_append_new(statuses, row);
	text = jx_print(statuses);
	store_patch_text(c->store, "pods", jx_ns(pod), jx_name(pod),
			 "{\"status\":{\"resourceClaimStatuses\":%s}}", text);
	mem_free(text);
	json_decref(statuses);
	return true;
}

static bool make_claims(struct controllers *c, const json_t *pod)
{
	const json_t *entries = jx_get(pod, "spec", "resourceClaims");

	if (controllers_done(pod) || *jx_text(jx_get(pod, "metadata", "deletionTimestamp")))
		return false;
	for (size_t i = 0; i < json_array_size(entries); i++)
		if (make_claim(c, pod, json_array_get(entries, i)))
			return true;
	return false;
}

/* ---- reservations ---- */

static bool still_there(struct controllers *c, const json_t *claim, const json_t *consumer)
{
	const json_t *pod =
	    store_get(c->store, c->pods, jx_ns(claim), jx_text(jx_get(consumer, "name")));

	return pod && json_equal(jx_get(pod, "metadata", "uid"), jx_get(consumer, "uid")) &&
	       !controllers_done(pod);
}

static json_t *valid_consumers(struct controllers *c, const json_t *claim)
{
	const json_t *list = jx_get(claim, "status", "reservedFor");
	json_t *valid = json_array();

	for (size_t i = 0; i < json_array_size(list); i++)
		if (still_there(c, claim, json_array_get(list, i)))
			json_array_append(valid, json_array_get(list, i));
	return valid;
}

static bool release(struct controllers *c, const json_t *claim)
{
	json_t *valid = valid_consumers(c, claim);
	size_t left = json_array_size(valid);
	char *text = jx_print(valid);
	bool changed = left < json_array_size(jx_get(claim, "status", "reservedFor"));

	if (left && changed)
		store_patch_text(c->store, "resourceclaims", jx_ns(claim), jx_name(claim),
				 "{\"status\":{\"reservedFor\":%s}}", text);
	if (!left && jx_get(claim, "status", "allocation")) {
		controllers_line(c, "claim %s/%s is deallocated", jx_ns(claim), jx_name(claim));
		store_patch_text(c->store, "resourceclaims", jx_ns(claim), jx_name(claim),
				 "{\"metadata\":{\"finalizers\":null},\"status\":{\"reservedFor\":"
				 "null,\"allocation\":null,\"devices\":null}}");
		changed = true;
	}
	mem_free(text);
	json_decref(valid);
	return changed;
}

/* A claim of a template goes when its pod is done. */
static bool end_generated(struct controllers *c, const json_t *claim)
{
	const json_t *owners = jx_get(claim, "metadata", "ownerReferences");
	const struct store_delete how = { .uid = jx_uid(claim), .grace_s = -1 };
	struct store_error e;
	const json_t *pod;
	bool gone;

	if (!json_array_size(owners) || *jx_text(jx_get(claim, "metadata", "deletionTimestamp")))
		return false;
	pod = store_get(c->store, c->pods, jx_ns(claim),
			jx_text(jx_get(json_array_get(owners, 0), "name")));
	if (!pod || !controllers_done(pod))
		return false;
	return !store_delete(c->store, c->claims, jx_ns(claim), jx_name(claim), &how, &gone, NULL,
			     &e);
}

bool claim_controller_work(struct controllers *c)
{
	for (size_t i = 0; i < store_count(c->store, c->pods); i++)
		if (make_claims(c, store_at(c->store, c->pods, i)))
			return true;
	for (size_t i = 0; i < store_count(c->store, c->claims); i++)
		if (end_generated(c, store_at(c->store, c->claims, i)) ||
		    release(c, store_at(c->store, c->claims, i)))
			return true;
	return false;
}
