/* The kubelet's claim cache, and its checkpoint. */
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/lib/kubelet_private.h"

enum { STATE_MAX = 16 << 20 };

struct kubelet_claim *kubelet_claim_find(const struct kubelet *k, const char *ns, const char *name)
{
	list_for_each (n, &k->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		if (!strcmp(c->ns, ns) && !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

static struct kubelet_claim *claim_make(struct kubelet *k, const char *ns, const char *name,
					const char *uid)
{
	struct kubelet_claim *c = MEM_NEW(struct kubelet_claim);

	c->ns = mem_strdup(ns);
	c->name = mem_strdup(name);
	c->uid = mem_strdup(uid);
	c->drivers = json_array();
	c->pods = json_array();
	list_push(&k->claims, &c->node);
	return c;
}

static bool has_text(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (jx_is(json_array_get(list, i), text))
			return true;
	return false;
}

struct kubelet_claim *kubelet_claim_add(struct kubelet *k, const json_t *object)
{
	const json_t *results = jx_get(object, "status", "allocation", "devices", "results");
	struct kubelet_claim *c = claim_make(k, jx_ns(object), jx_name(object), jx_uid(object));

	for (size_t i = 0; i < json_array_size(results); i++) {
		const char *driver = jx_text(jx_get(json_array_get(results, i), "driver"));

		if (!has_text(c->drivers, driver))
			json_array_append_new(c->drivers, json_string(driver));
	}
	return c;
}

static void answer_done(struct kubelet_answer *a)
{
	mem_free(a->driver);
	mem_free(a->request);
	mem_free(a->pool);
	mem_free(a->device);
	mem_free(a->cdi_id);
	mem_free(a->share_id);
}

void kubelet_claim_forget(struct kubelet_claim *c)
{
	list_remove(&c->node);
	for (size_t i = 0; i < c->answers_n; i++)
		answer_done(&c->answers[i]);
	mem_free(c->answers);
	json_decref(c->drivers);
	json_decref(c->pods);
	mem_free(c->ns);
	mem_free(c->name);
	mem_free(c->uid);
	mem_free(c);
}

bool kubelet_claim_used_by(const struct kubelet_claim *c, const char *pod_uid)
{
	return has_text(c->pods, pod_uid);
}

void kubelet_claim_use(struct kubelet_claim *c, const char *pod_uid, bool used)
{
	if (used && !has_text(c->pods, pod_uid))
		json_array_append_new(c->pods, json_string(pod_uid));
	for (size_t i = json_array_size(c->pods); !used && i-- > 0;)
		if (jx_is(json_array_get(c->pods, i), pod_uid))
			json_array_remove(c->pods, i);
}

static bool same_device(const struct kubelet_answer *a, const struct kubelet_device *d)
{
	return !strcmp(a->driver, d->driver) && !strcmp(a->request, d->request) &&
	       !strcmp(a->pool, d->pool) && !strcmp(a->device, d->device) &&
	       !strcmp(a->share_id ? a->share_id : "", d->share_id ? d->share_id : "");
}

void kubelet_claim_answer(struct kubelet_claim *c, const char *driver,
			  const struct kubelet_device *d)
{
	struct kubelet_answer *a;

	for (size_t i = 0; i < c->answers_n; i++)
		if (same_device(&c->answers[i], d))
			return;
	c->answers = mem_realloc(c->answers, c->answers_n + 1, sizeof(*c->answers));
	a = &c->answers[c->answers_n++];
	*a = (struct kubelet_answer){ .driver = mem_strdup(driver),
				      .request = mem_strdup(d->request),
				      .pool = mem_strdup(d->pool),
				      .device = mem_strdup(d->device),
				      .cdi_id = mem_strdup(d->cdi_id),
				      .share_id = mem_strdup(d->share_id) };
}

/* ---- checkpoint: what survives the kubelet ---- */

void kubelet_claims_save(struct kubelet *k)
{
	json_t *all;
	struct buf text;

	if (!k->state)
		return;
	all = json_array();
	list_for_each (n, &k->claims) {
		const struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);
		json_t *row = json_object();

		jx_set_text(row, "namespace", c->ns);
		jx_set_text(row, "name", c->name);
		jx_set_text(row, "uid", c->uid);
		json_object_set_new(row, "drivers", json_deep_copy(c->drivers));
		json_object_set_new(row, "pods", json_deep_copy(c->pods));
		json_array_append_new(all, row);
	}
	buf_init(&text, STATE_MAX);
	jx_put(&text, all);
	json_decref(all);
	if (fsx_replace(k->state, buf_sv(&text), 0600, 0) < 0)
		log_error("the kubelet's checkpoint cannot be written", LOG_S("file", k->state));
	buf_done(&text);
}

void kubelet_claims_load(struct kubelet *k)
{
	struct err e = { "" };
	struct buf text;
	json_t *all = NULL;

	buf_init(&text, STATE_MAX);
	if (k->state && !fsx_read(k->state, STATE_MAX, &text))
		all = jx_parse(buf_sv(&text), &e);
	buf_done(&text);
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *row = json_array_get(all, i);
		struct kubelet_claim *c =
		    claim_make(k, jx_text(jx_get(row, "namespace")), jx_text(jx_get(row, "name")),
			       jx_text(jx_get(row, "uid")));

		json_array_extend(c->drivers, jx_get(row, "drivers"));
		json_array_extend(c->pods, jx_get(row, "pods"));
	}
	json_decref(all);
}

/* ---- claims whose pods vanished ---- */

static bool pod_known(const struct kubelet *k, const char *uid)
{
	list_for_each (n, &k->pods)
		if (!strcmp(list_entry(n, struct kubelet_pod, node)->uid, uid))
			return true;
	return false;
}

static void drop_vanished(struct kubelet *k, struct kubelet_claim *c)
{
	for (size_t i = json_array_size(c->pods); i-- > 0;)
		if (!pod_known(k, jx_text(json_array_get(c->pods, i))))
			json_array_remove(c->pods, i);
}

static void on_stale_done(void *arg, bool ok, const struct err *e)
{
	struct kubelet *k = arg;
	struct kubelet_claim *c = k->stale_rpc->claims[0];
	char *driver = mem_strdup(k->stale_rpc->driver);

	kubelet_rpc_free(&k->stale_rpc);
	c->busy = false;
	if (!ok) {
		kubelet_failed(k, "unprepare of stale claim %s/%s: %s", c->ns, c->name,
			       err_text(e));
		mem_free(driver);
		return;
	}
	for (size_t i = json_array_size(c->drivers); i-- > 0;)
		if (jx_is(json_array_get(c->drivers, i), driver))
			json_array_remove(c->drivers, i);
	mem_free(driver);
	if (!json_array_size(c->drivers) && !json_array_size(c->pods)) {
		kubelet_line(k, "unprepared stale claim %s/%s", c->ns, c->name);
		kubelet_claim_forget(c);
	}
	kubelet_claims_save(k);
	kubelet_claims_stale(k);
}

void kubelet_claims_stale(struct kubelet *k)
{
	if (k->stale_rpc)
		return;
	list_for_each_safe (n, &k->claims) {
		struct kubelet_claim *c = list_entry(n, struct kubelet_claim, node);

		drop_vanished(k, c);
		if (json_array_size(c->pods))
			continue;
		if (!json_array_size(c->drivers)) {
			kubelet_claim_forget(c);
			continue;
		}
		k->stale_rpc = kubelet_rpc_start(k, jx_text(json_array_get(c->drivers, 0)), false,
						 &c, 1, on_stale_done, k);
		if (!k->stale_rpc)
			continue;
		c->busy = true;
		return;
	}
}
