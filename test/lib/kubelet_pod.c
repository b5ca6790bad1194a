/* Pods of the kubelet: their claims are prepared before they run and unprepared when they end. */
#include <stdarg.h>

#include "core/mem.h"
#include "test/lib/kubelet_private.h"

enum { CLAIMS_MAX = 64 };

static const struct store_kind *kind(const struct kubelet *k, const char *group,
				     const char *resource)
{
	return store_kind(k->conf.store, group, resource);
}

static const json_t *object_of(const struct kubelet_pod *pod)
{
	const json_t *object =
	    store_get(pod->kubelet->conf.store, kind(pod->kubelet, "", "pods"), pod->ns, pod->name);

	return object && !strcmp(jx_uid(object), pod->uid) ? object : NULL;
}

static void set_phase(struct kubelet_pod *pod, const char *phase)
{
	if (object_of(pod))
		store_patch_text(pod->kubelet->conf.store, "pods", pod->ns, pod->name,
				 "{\"status\":{\"phase\":\"%s\"}}", phase);
}

static void tell(struct kubelet_pod *pod, const char *reason, const char *text)
{
	struct kubelet *k = pod->kubelet;
	json_t *event = json_object(), *about;
	char name[320];

	snprintf(name, sizeof(name), "%.200s.%08llx", pod->name, (unsigned long long)++k->serial);
	jx_set_text(event, "apiVersion", "v1");
	jx_set_text(event, "kind", "Event");
	jx_set_text(jx_obj(event, "metadata"), "name", name);
	jx_set_text(jx_obj(event, "metadata"), "namespace", pod->ns);
	about = jx_obj(event, "involvedObject");
	jx_set_text(about, "kind", "Pod");
	jx_set_text(about, "namespace", pod->ns);
	jx_set_text(about, "name", pod->name);
	jx_set_text(about, "uid", pod->uid);
	jx_set_text(event, "type", "Warning");
	jx_set_text(event, "reason", reason);
	jx_set_text(event, "message", text);
	jx_set_text(jx_obj(event, "source"), "component", "kubelet");
	store_put(k->conf.store, event);
	json_decref(event);
}

/* ---- prepare ---- */

static void fails(struct kubelet_pod *pod, const char *fmt, ...) PRINTF(2, 3);
static void fails(struct kubelet_pod *pod, const char *fmt, ...)
{
	struct kubelet *k = pod->kubelet;
	char text[700], full[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(full, sizeof(full), "Failed to prepare dynamic resources: %s", text);
	kubelet_failed(k, "pod %s/%s: %s", pod->ns, pod->name, text);
	tell(pod, "FailedPrepareDynamicResources", full);
	pod->state = POD_WAITING;
	loop_timer_set(&pod->timer,
		       k->conf.sync_ms + loop_random(k->loop) % (k->conf.sync_ms / 2 + 1));
}

/* The name of the claim behind an entry of spec.resourceClaims; "" when there is none (yet). */
static const char *claim_name(const json_t *pod, const json_t *entry)
{
	const json_t *made = jx_get(pod, "status", "resourceClaimStatuses");

	if (*jx_text(jx_get(entry, "resourceClaimName")))
		return jx_text(jx_get(entry, "resourceClaimName"));
	for (size_t i = 0; i < json_array_size(made); i++)
		if (jx_is(jx_get(json_array_get(made, i), "name"), jx_text(jx_get(entry, "name"))))
			return jx_text(jx_get(json_array_get(made, i), "resourceClaimName"));
	return "";
}

static bool reserved_for(const json_t *claim, const char *pod_uid)
{
	const json_t *list = jx_get(claim, "status", "reservedFor");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (jx_is(jx_get(json_array_get(list, i), "uid"), pod_uid))
			return true;
	return false;
}

static const json_t *usable_claim(struct kubelet_pod *pod, const char *name)
{
	struct kubelet *k = pod->kubelet;
	const json_t *claim = NULL;
	const struct kubelet_claim *cached = kubelet_claim_find(k, pod->ns, name);

	if (*name)
		claim = store_get(k->conf.store, kind(k, "resource.k8s.io", "resourceclaims"),
				  pod->ns, name);
	if (!claim)
		fails(pod, "resource claim %s/%s not found or not created yet", pod->ns, name);
	else if (!reserved_for(claim, pod->uid))
		fails(pod, "pod %s (%s) is not allowed to use resource claim %s (%s)", pod->name,
		      pod->uid, name, jx_uid(claim));
	else if (!jx_get(claim, "status", "allocation"))
		fails(pod, "resource claim %s is not allocated", name);
	else if (cached && strcmp(cached->uid, jx_uid(claim)) != 0)
		fails(pod,
		      "old ResourceClaim with same name %s and different UID %s still exists "
		      "(previous pod force-deleted?!)",
		      name, cached->uid);
	else if (cached && cached->busy)
		fails(pod, "resource claim %s is being unprepared", name);
	else
		return claim;
	return NULL;
}

static bool drivers_registered(struct kubelet_pod *pod, const json_t *claim)
{
	const json_t *results = jx_get(claim, "status", "allocation", "devices", "results");

	for (size_t i = 0; i < json_array_size(results); i++) {
		const char *driver = jx_text(jx_get(json_array_get(results, i), "driver"));

		if (!kubelet_plugin_of(pod->kubelet, driver)) {
			fails(pod, "DRA driver %s is not registered", driver);
			return false;
		}
	}
	return true;
}

/* All claims of the pod into the cache; false when it failed. */
static bool take_claims(struct kubelet_pod *pod, const json_t *object)
{
	struct kubelet *k = pod->kubelet;
	const json_t *entries = jx_get(object, "spec", "resourceClaims"), *claims[CLAIMS_MAX];
	size_t n = json_array_size(entries);

	must(n <= CLAIMS_MAX);
	for (size_t i = 0; i < n; i++) {
		claims[i] = usable_claim(pod, claim_name(object, json_array_get(entries, i)));
		if (!claims[i] || !drivers_registered(pod, claims[i]))
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		struct kubelet_claim *c = kubelet_claim_find(k, pod->ns, jx_name(claims[i]));

		kubelet_claim_use(c ? c : kubelet_claim_add(k, claims[i]), pod->uid, true);
	}
	if (n)
		kubelet_claims_save(k); /* before any call, so that Unprepare will come */
	return true;
}

static size_t claims_for(const struct kubelet_pod *pod, const char *driver, bool prepare,
			 struct kubelet_claim **out)
{
	size_t n = 0;

	list_for_each (i, &pod->kubelet->claims) {
		struct kubelet_claim *c = list_entry(i, struct kubelet_claim, node);
		bool mine = false;

		for (size_t d = 0; d < json_array_size(c->drivers); d++)
			mine = mine || jx_is(json_array_get(c->drivers, d), driver);
		if (!mine || !kubelet_claim_used_by(c, pod->uid) || (prepare && c->prepared))
			continue;
		must(n < CLAIMS_MAX);
		out[n++] = c;
	}
	return n;
}

/* Every driver of the pod's claims, in a random order. */
static void list_drivers(struct kubelet_pod *pod)
{
	json_decref(pod->drivers);
	pod->drivers = json_array();
	list_for_each (i, &pod->kubelet->claims) {
		const struct kubelet_claim *c = list_entry(i, struct kubelet_claim, node);

		for (size_t d = 0;
		     kubelet_claim_used_by(c, pod->uid) && d < json_array_size(c->drivers); d++) {
			json_t *name = json_array_get(c->drivers, d);
			size_t n = json_array_size(pod->drivers), at = 0;
			bool there = false;

			for (size_t j = 0; j < n; j++)
				there = there || json_equal(json_array_get(pod->drivers, j), name);
			at = n ? loop_random(pod->kubelet->loop) % (n + 1) : 0;
			if (!there)
				json_array_insert(pod->drivers, at, name);
		}
	}
}

static void runs(struct kubelet_pod *pod)
{
	struct kubelet *k = pod->kubelet;
	const json_t *object = object_of(pod);
	const char *seconds =
	    jx_text(jx_get(object, "metadata", "annotations", "tundra.dev/seconds"));
	uint64_t s;

	list_for_each (n, &k->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		if (kubelet_claim_used_by(c, pod->uid))
			c->prepared = true;
	}
	pod->state = POD_RUNNING;
	kubelet_line(k, "pod %s/%s runs", pod->ns, pod->name);
	set_phase(pod, "Running");
	if (*seconds && !sv_u64(sv_str(seconds), &s))
		loop_timer_set(&pod->timer, s * 1000);
}

static void next_driver(struct kubelet_pod *pod);

static void on_prepared(void *arg, bool ok, const struct err *e)
{
	struct kubelet_pod *pod = arg;
	char *driver = mem_strdup(pod->rpc->driver);

	kubelet_rpc_free(&pod->rpc);
	if (!ok)
		fails(pod, "prepare dynamic resources: %s", err_text(e));
	else
		next_driver(pod);
	mem_free(driver);
	if (pod->ending)
		loop_task_post(&pod->step);
}

static void next_driver(struct kubelet_pod *pod)
{
	struct kubelet_claim *claims[CLAIMS_MAX];

	while (json_array_size(pod->drivers)) {
		char *driver = mem_strdup(jx_text(json_array_get(pod->drivers, 0)));
		size_t n = claims_for(pod, driver, true, claims);

		json_array_remove(pod->drivers, 0);
		if (n)
			pod->rpc = kubelet_rpc_start(pod->kubelet, driver, true, claims, n,
						     on_prepared, pod);
		if (n && !pod->rpc)
			fails(pod, "DRA driver %s is not registered", driver);
		mem_free(driver);
		if (n)
			return;
	}
	runs(pod);
}

static void prepare(struct kubelet_pod *pod)
{
	const json_t *object = object_of(pod);

	pod->state = POD_PREPARING;
	if (!object || !take_claims(pod, object))
		return;
	list_drivers(pod);
	next_driver(pod);
}

/* ---- unprepare ---- */

static void release_claims(struct kubelet_pod *pod)
{
	list_for_each_safe (n, &pod->kubelet->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		if (!kubelet_claim_used_by(c, pod->uid))
			continue;
		kubelet_claim_use(c, pod->uid, false);
		if (!json_array_size(c->pods))
			kubelet_claim_forget(c);
	}
	kubelet_claims_save(pod->kubelet);
}

static void pod_free(void *arg)
{
	struct kubelet_pod *pod = arg;

	json_decref(pod->drivers);
	mem_free(pod->ns);
	mem_free(pod->name);
	mem_free(pod->uid);
	mem_free(pod);
}

static void pod_bury(struct kubelet_pod *pod)
{
	kubelet_rpc_free(&pod->rpc);
	loop_timer_stop(&pod->timer);
	loop_task_stop(&pod->step);
	list_remove(&pod->node);
	loop_defer_free(pod->kubelet->loop, pod, pod_free);
}

static bool deleting(const json_t *object)
{
	return *jx_text(jx_get(object, "metadata", "deletionTimestamp")) != '\0';
}

/* The last step of a graceful deletion is the kubelet's. */
static void delete_object(struct kubelet *k, const json_t *object)
{
	const struct store_delete how = { .uid = jx_uid(object), .grace_s = 0 };
	struct store_error e;
	bool gone;

	(void)store_delete(k->conf.store, kind(k, "", "pods"), jx_ns(object), jx_name(object), &how,
			   &gone, NULL, &e);
}

static void ended(struct kubelet_pod *pod)
{
	struct kubelet *k = pod->kubelet;
	const json_t *object = object_of(pod);

	release_claims(pod);
	pod->state = POD_DONE;
	kubelet_line(k, "pod %s/%s ended", pod->ns, pod->name);
	if (object && deleting(object))
		delete_object(k, object);
	else
		set_phase(pod, "Succeeded");
	if (!object_of(pod))
		pod_bury(pod);
}

/*
 * Nobody may count on a claim that is being unprepared. The kubelet up to 1.36 lets a second pod in
 * (kubernetes #140527); a node agent can do nothing about that, so the later one is shown here.
 * What is prepared stays so until all of it is given back: after a failure the next pod is not
 * prepared again.
 */
static void mark_busy(struct kubelet_pod *pod, bool busy)
{
	list_for_each (n, &pod->kubelet->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		if (kubelet_claim_used_by(c, pod->uid))
			c->busy = busy;
	}
}

/*
 * What others use too is let go before any call, as in unprepareResources(): of two pods that end
 * together, the one that looks last is alone and unprepares.
 */
static void leave_shared(struct kubelet_pod *pod)
{
	list_for_each (n, &pod->kubelet->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		if (json_array_size(c->pods) > 1)
			kubelet_claim_use(c, pod->uid, false);
	}
}

static void stop_fails(struct kubelet_pod *pod, const char *text)
{
	struct kubelet *k = pod->kubelet;

	mark_busy(pod, false);
	kubelet_failed(k, "pod %s/%s cannot end: %s", pod->ns, pod->name, text);
	loop_timer_set(&pod->timer,
		       k->conf.sync_ms + loop_random(k->loop) % (k->conf.sync_ms / 2 + 1));
}

static void stop_next(struct kubelet_pod *pod);

static void on_unprepared(void *arg, bool ok, const struct err *e)
{
	struct kubelet_pod *pod = arg;

	kubelet_rpc_free(&pod->rpc);
	if (ok)
		stop_next(pod);
	else
		stop_fails(pod, err_text(e));
}

static void stop_next(struct kubelet_pod *pod)
{
	struct kubelet_claim *claims[CLAIMS_MAX];

	while (json_array_size(pod->drivers)) {
		char *driver = mem_strdup(jx_text(json_array_get(pod->drivers, 0)));
		size_t n = claims_for(pod, driver, false, claims);

		json_array_remove(pod->drivers, 0);
		if (n)
			pod->rpc = kubelet_rpc_start(pod->kubelet, driver, false, claims, n,
						     on_unprepared, pod);
		if (n && !pod->rpc) {
			char text[160];

			snprintf(text, sizeof(text), "DRA driver %.100s is not registered", driver);
			stop_fails(pod, text);
		}
		mem_free(driver);
		if (n)
			return;
	}
	ended(pod);
}

static void unprepare(struct kubelet_pod *pod)
{
	leave_shared(pod);
	mark_busy(pod, true);
	list_drivers(pod);
	stop_next(pod);
}

/* What a kubelet that starts would learn from the container runtime. */
static void set_terminated(struct kubelet_pod *pod)
{
	if (object_of(pod))
		store_patch_text(
		    pod->kubelet->conf.store, "pods", pod->ns, pod->name,
		    "{\"status\":{\"containerStatuses\":[{\"name\":\"main\",\"state\":{"
		    "\"terminated\":{\"exitCode\":0}}}]}}");
}

static bool is_terminated(const json_t *object)
{
	const json_t *list = jx_get(object, "status", "containerStatuses");

	return jx_get(json_array_get(list, 0), "state", "terminated") != NULL;
}

static void stop(struct kubelet_pod *pod)
{
	if (pod->state == POD_RUNNING)
		set_terminated(pod);
	kubelet_rpc_free(&pod->rpc); /* the sync of a pod that is to end is cancelled */
	loop_timer_stop(&pod->timer);
	pod->state = POD_STOPPING;
	unprepare(pod);
}

/* ---- what happens to pods ---- */

static void on_step(void *arg)
{
	struct kubelet_pod *pod = arg;

	if (pod->state == POD_DONE) {
		if (pod->ending && object_of(pod))
			delete_object(pod->kubelet, object_of(pod));
		if (pod->gone)
			pod_bury(pod);
		return;
	}
	if (pod->gone && (pod->state == POD_WAITING || pod->state == POD_RUNNING ||
			  pod->state == POD_PREPARING)) {
		/* Deleted by force: its worker ends it, the reconciler frees what is left. */
		stop(pod);
		return;
	}
	if (pod->ending && pod->state != POD_STOPPING)
		stop(pod);
	else if (pod->state == POD_WAITING && !loop_timer_armed(&pod->timer))
		prepare(pod);
}

static void on_timer(void *arg)
{
	struct kubelet_pod *pod = arg;

	if (pod->state == POD_RUNNING) {
		stop(pod);
	} else if (pod->state == POD_STOPPING) {
		unprepare(pod);
	} else {
		loop_task_post(&pod->step);
	}
}

static struct kubelet_pod *find(const struct kubelet *k, const char *uid)
{
	list_for_each (n, &k->pods) {
		struct kubelet_pod *pod = list_entry(n, struct kubelet_pod, node);

		if (!strcmp(pod->uid, uid))
			return pod;
	}
	return NULL;
}

static void pod_seen(struct kubelet *k, const json_t *object)
{
	const char *phase = jx_text(jx_get(object, "status", "phase"));
	struct kubelet_pod *pod = find(k, jx_uid(object));

	if (!pod && (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))) {
		if (deleting(object))
			delete_object(k, object);
		return;
	}
	if (!pod) {
		pod = MEM_NEW(struct kubelet_pod);
		pod->kubelet = k;
		pod->ns = mem_strdup(jx_ns(object));
		pod->name = mem_strdup(jx_name(object));
		pod->uid = mem_strdup(jx_uid(object));
		/* Found running by a kubelet that starts: its sandbox is there, nothing to do. */
		pod->state = !strcmp(phase, "Running") && !k->rebooted ? POD_RUNNING : POD_WAITING;
		loop_timer_init(&pod->timer, k->loop, on_timer, pod);
		loop_task_init(&pod->step, k->loop, LOOP_TICK, on_step, pod);
		list_push(&k->pods, &pod->node);
		if (is_terminated(object)) {
			pod->state = POD_STOPPING;
			loop_timer_set(&pod->timer, 0);
		}
	}
	pod->ending = deleting(object);
	loop_task_post(&pod->step);
}

static void on_pod(void *arg, const struct store_event *ev)
{
	struct kubelet *k = arg;
	struct kubelet_pod *pod;

	if (strcmp(jx_text(jx_get(ev->object, "spec", "nodeName")), k->node) != 0)
		return;
	if (ev->change != STORE_DELETED) {
		pod_seen(k, ev->object);
		return;
	}
	pod = find(k, jx_uid(ev->object));
	if (!pod)
		return;
	pod->gone = pod->ending = true;
	loop_task_post(&pod->step);
}

void kubelet_pods_start(struct kubelet *k)
{
	const struct store_kind *pods = kind(k, "", "pods");

	for (size_t i = 0; i < store_count(k->conf.store, pods); i++) {
		const json_t *object = store_at(k->conf.store, pods, i);

		if (!strcmp(jx_text(jx_get(object, "spec", "nodeName")), k->node))
			pod_seen(k, object);
	}
	k->pod_watch = store_watch(k->conf.store, pods, store_rv(k->conf.store), on_pod, k);
}

void kubelet_pods_stop(struct kubelet *k)
{
	store_unwatch(&k->pod_watch);
	list_for_each_safe (n, &k->pods)
		pod_bury(list_entry(n, struct kubelet_pod, node));
}

void kubelet_sync(struct kubelet *k)
{
	list_for_each (n, &k->pods) {
		struct kubelet_pod *pod = list_entry(n, struct kubelet_pod, node);

		if (pod->state == POD_WAITING) {
			loop_timer_stop(&pod->timer);
			loop_task_post(&pod->step);
		} else if (pod->state == POD_STOPPING && !pod->rpc) {
			loop_timer_set(&pod->timer, 0);
		}
	}
}

size_t kubelet_pods(const struct kubelet *k, const char *phase)
{
	static const char *const names[] = { [POD_WAITING] = "Pending",
					     [POD_PREPARING] = "Pending",
					     [POD_RUNNING] = "Running",
					     [POD_STOPPING] = "Running",
					     [POD_DONE] = "Succeeded" };
	size_t count = 0;

	list_for_each (n, &k->pods)
		count +=
		    !phase || !strcmp(phase, names[list_entry(n, struct kubelet_pod, node)->state]);
	return count;
}

bool kubelet_pod_runs(const struct kubelet *k, const char *ns, const char *name)
{
	list_for_each (n, &k->pods) {
		const struct kubelet_pod *pod = list_entry(n, struct kubelet_pod, node);

		if (!strcmp(pod->ns, ns) && !strcmp(pod->name, name))
			return pod->state == POD_RUNNING;
	}
	return false;
}
