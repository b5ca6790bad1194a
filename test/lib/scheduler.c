/* Pods onto nodes whose devices satisfy all their claims. */
#include <errno.h>

#include "core/mem.h"
#include "test/lib/allocator.h"
#include "test/lib/controllers_private.h"

enum { CLAIMS_MAX = 32, RESERVED_MAX = 256 };
#define PROTECTION "resource.kubernetes.io/delete-protection"

/* What is to be written when a pod fits. */
struct plan {
	const json_t *claims[CLAIMS_MAX];
	json_t *allocations[CLAIMS_MAX]; /* NULL: allocated before */
	size_t n;
};

static void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->allocations[i]);
	*p = (struct plan){ .n = 0 };
}

/* Where an allocated claim is usable: the node that its allocation names, if any. */
static bool usable_on(const json_t *claim, const char *node)
{
	const json_t *terms =
	    jx_get(claim, "status", "allocation", "nodeSelector", "nodeSelectorTerms");
	const json_t *fields = jx_get(json_array_get(terms, 0), "matchFields");
	const json_t *values = jx_get(json_array_get(fields, 0), "values");

	return !json_array_size(terms) || jx_is(json_array_get(values, 0), node);
}

static int gather_claims(struct controllers *c, const json_t *pod, struct plan *p, struct err *e)
{
	const json_t *entries = jx_get(pod, "spec", "resourceClaims");

	for (size_t i = 0; i < json_array_size(entries) && p->n < CLAIMS_MAX; i++) {
		const json_t *entry = json_array_get(entries, i), *claim = NULL;
		const char *name = controllers_claim_name(pod, entry);

		if (*name)
			claim = store_get(c->store, c->claims, jx_ns(pod), name);
		if (!claim)
			return err_set(e, -EBUSY, "claim %s does not exist",
				       *name ? name : jx_text(jx_get(entry, "name")));
		if (*jx_text(jx_get(claim, "metadata", "deletionTimestamp")))
			return err_set(e, -EBUSY, "claim %s is being deleted", name);
		if (json_array_size(jx_get(claim, "status", "reservedFor")) >= RESERVED_MAX)
			return err_set(e, -EBUSY, "claim %s is in use by too many pods", name);
		p->claims[p->n++] = claim;
	}
	return 0;
}

static int try_node(struct controllers *c, const char *node, struct plan *p, struct err *e)
{
	json_t *taken = json_array();
	int r = 0;

	for (size_t i = 0; i < p->n && !r; i++) {
		if (!jx_get(p->claims[i], "status", "allocation"))
			r = allocator_allocate(c->store, p->claims[i], node, taken,
					       &p->allocations[i], e);
		else if (!usable_on(p->claims[i], node))
			r = err_set(e, -EBUSY, "claim %s is allocated on another node",
				    jx_name(p->claims[i]));
	}
	json_decref(taken);
	for (size_t i = 0; r && i < p->n; i++) {
		json_decref(p->allocations[i]);
		p->allocations[i] = NULL;
	}
	return r;
}

static void reserve(struct controllers *c, const json_t *pod, const json_t *claim,
		    const json_t *allocation)
{
	json_t *reserved = json_deep_copy(jx_get(claim, "status", "reservedFor"));
	json_t *status = json_object(), *row = json_object();
	char *text;

	reserved = reserved ? reserved : json_array();
	jx_set_text(row, "resource", "pods");
	jx_set_text(row, "name", jx_name(pod));
	jx_set_text(row, "uid", jx_uid(pod));
	json_array_append_new(reserved, row);
	json_object_set_new(status, "reservedFor", reserved);
	if (allocation)
		json_object_set_new(status, "allocation", json_deep_copy(allocation));
	text = jx_print(status);
	store_patch_text(c->store, "resourceclaims", jx_ns(claim), jx_name(claim),
			 "{\"metadata\":{\"finalizers\":[\"" PROTECTION "\"]},\"status\":%s}",
			 text);
	mem_free(text);
	json_decref(status);
}

static void tell_device(struct controllers *c, const json_t *claim, const json_t *allocation)
{
	const json_t *results = jx_get(allocation, "devices", "results");
	struct buf names;

	if (!allocation)
		return;
	buf_init(&names, 4096);
	for (size_t i = 0; i < json_array_size(results); i++)
		buf_printf(&names, "%s%s", i ? ", " : "",
			   jx_text(jx_get(json_array_get(results, i), "device")));
	controllers_line(c, "claim %s/%s is allocated: %s", jx_ns(claim), jx_name(claim),
			 buf_cstr(&names));
	buf_done(&names);
}

static void bind_pod(struct controllers *c, const json_t *pod, const char *node,
		     const struct plan *p)
{
	char *ns = mem_strdup(jx_ns(pod)), *name = mem_strdup(jx_name(pod));

	for (size_t i = 0; i < p->n; i++) {
		tell_device(c, p->claims[i], p->allocations[i]);
		reserve(c, pod, p->claims[i], p->allocations[i]);
	}
	store_patch_text(c->store, "pods", ns, name,
			 "{\"spec\":{\"nodeName\":\"%s\"},\"status\":{\"phase\":\"Pending\","
			 "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\"}]}}",
			 node);
	mem_free(ns);
	mem_free(name);
}

static bool waits(const json_t *pod)
{
	return !*jx_text(jx_get(pod, "spec", "nodeName")) && !controllers_done(pod) &&
	       !*jx_text(jx_get(pod, "metadata", "deletionTimestamp"));
}

/* Says why a pod waits, when that is news. */
static bool tell_waiting(struct controllers *c, const json_t *pod, const char *why)
{
	const json_t *old = json_array_get(jx_get(pod, "status", "conditions"), 0);
	json_t *text;
	char *quoted;

	if (jx_is(jx_get(old, "message"), why))
		return false;
	controllers_line(c, "pod %s/%s waits: %s", jx_ns(pod), jx_name(pod), why);
	text = json_string(why);
	quoted = jx_print(text);
	store_patch_text(c->store, "pods", jx_ns(pod), jx_name(pod),
			 "{\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":"
			 "\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\","
			 "\"message\":%s}]}}",
			 quoted);
	mem_free(quoted);
	json_decref(text);
	return false; /* nobody waits for this news */
}

static bool schedule(struct controllers *c, const json_t *pod)
{
	const char *wish = jx_text(jx_get(pod, "spec", "nodeSelector", "kubernetes.io/hostname"));
	struct plan p = { .n = 0 };
	struct err e = { "no node" };
	int r = gather_claims(c, pod, &p, &e);

	for (size_t i = 0; !r && i < store_count(c->store, c->nodes); i++) {
		const char *node = jx_name(store_at(c->store, c->nodes, i));

		if ((*wish && strcmp(wish, node) != 0) || try_node(c, node, &p, &e))
			continue;
		bind_pod(c, pod, node, &p);
		plan_done(&p);
		return true;
	}
	plan_done(&p);
	return tell_waiting(c, pod, e.text);
}

static const json_t *pod_of(struct controllers *c, const char *uid)
{
	for (size_t i = 0; i < store_count(c->store, c->pods); i++)
		if (!strcmp(jx_uid(store_at(c->store, c->pods, i)), uid))
			return store_at(c->store, c->pods, i);
	return NULL;
}

void scheduler_event(struct controllers *c, const struct store_event *ev)
{
	if (ev->kind == c->pods && ev->change == STORE_ADDED)
		json_array_append_new(c->queue, json_string(jx_uid(ev->object)));
}

/* First come, first served; who has to wait holds up nobody behind. */
bool scheduler_work(struct controllers *c)
{
	for (size_t i = 0; i < json_array_size(c->queue);) {
		const json_t *pod = pod_of(c, jx_text(json_array_get(c->queue, i)));

		if (!pod || !waits(pod)) {
			json_array_remove(c->queue, i);
			continue;
		}
		if (schedule(c, pod))
			return true;
		i++;
	}
	return false;
}
