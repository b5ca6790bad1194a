/* Everything but watches: discovery, and the verbs on objects. */
#include <errno.h>

#include "core/mem.h"
#include "test/lib/apiserver_private.h"
#include "test/lib/jx_patch.h"
#include "test/lib/validate.h"

static const char version_text[] =
    "{\"major\":\"1\",\"minor\":\"36\",\"gitVersion\":\"v1.36.2+tundra-dev\","
    "\"gitCommit\":\"\",\"gitTreeState\":\"clean\",\"buildDate\":\"2026-11-21T00:00:00Z\","
    "\"goVersion\":\"none\",\"compiler\":\"gcc\",\"platform\":\"linux/amd64\"}\n";

/* ---- discovery ---- */

static void version_row(json_t *versions, const char *group, const char *version)
{
	json_t *row = json_object();
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", group, version);
	jx_set_text(row, "groupVersion", text);
	jx_set_text(row, "version", version);
	json_array_append_new(versions, row);
}

static json_t *group_object(const struct apiserver *a, const char *group)
{
	static const unsigned order[] = { VERSIONS_V1, VERSIONS_V1BETA2, VERSIONS_V1BETA1 };
	bool resource = !strcmp(group, "resource.k8s.io");
	json_t *g = json_object(), *versions;

	jx_set_text(g, "kind", "APIGroup");
	jx_set_text(g, "apiVersion", "v1");
	jx_set_text(g, "name", group);
	versions = jx_arr(g, "versions");
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (resource ? (a->conf.versions & order[i]) != 0 : order[i] == VERSIONS_V1)
			version_row(versions, group, versions_name(order[i]));
	json_object_set(g, "preferredVersion", json_array_get(versions, 0));
	return g;
}

static bool seen_before(const struct store *s, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!strcmp(store_kind_at(s, j)->group, store_kind_at(s, i)->group))
			return true;
	return false;
}

static void serve_groups(struct request *r)
{
	const struct store *s = r->server->conf.store;
	json_t *list = jx_make("{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[]}");
	const struct store_kind *k;

	for (size_t i = 0; (k = store_kind_at(s, i)); i++)
		if (*k->group && !seen_before(s, i))
			json_array_append_new(jx_arr(list, "groups"),
					      group_object(r->server, k->group));
	request_json(r, 200, list);
	json_decref(list);
}

static void resource_row(json_t *rows, const struct store_kind *k, const char *sub)
{
	static const char *const all[] = { "create", "delete", "deletecollection", "get",
					   "list",   "patch",  "update",	   "watch" };
	static const char *const few[] = { "get", "patch", "update" };
	json_t *row = json_object();
	char name[96];

	snprintf(name, sizeof(name), "%s%s", k->resource, sub);
	jx_set_text(row, "name", name);
	jx_set_text(row, "singularName", "");
	json_object_set_new(row, "namespaced", json_boolean(k->namespaced));
	jx_set_text(row, "kind", k->kind);
	for (size_t i = 0; i < (*sub ? ARRAY_LEN(few) : ARRAY_LEN(all)); i++)
		json_array_append_new(jx_arr(row, "verbs"), json_string(*sub ? few[i] : all[i]));
	json_array_append_new(rows, row);
}

static void serve_resources(struct request *r)
{
	const struct store *s = r->server->conf.store;
	json_t *list = jx_make("{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\"}");
	const struct store_kind *k;
	char gv[128];

	snprintf(gv, sizeof(gv), "%s%s%s", r->route.group, *r->route.group ? "/" : "",
		 r->route.version);
	jx_set_text(list, "groupVersion", gv);
	for (size_t i = 0; (k = store_kind_at(s, i)); i++) {
		unsigned bit = versions_bit(k, r->route.version);

		if (strcmp(k->group, r->route.group) != 0 || !bit ||
		    (!strcmp(k->group, "resource.k8s.io") && !(bit & r->server->conf.versions)))
			continue;
		resource_row(jx_arr(list, "resources"), k, "");
		if (k->status)
			resource_row(jx_arr(list, "resources"), k, "/status");
	}
	if (jx_get(list, "resources"))
		request_json(r, 200, list);
	else
		request_answer(r, 404, SV("404 page not found\n"), "text/plain; charset=utf-8");
	json_decref(list);
}

/* ---- objects: helpers ---- */

static void answer_object(struct request *r, int status, const json_t *object)
{
	json_t *shown = versions_to(r->route.kind, r->route.version_bit, object);

	request_json(r, status, shown);
	json_decref(shown);
}

/* The body as a tree of the stored version; NULL when refused. */
static json_t *body_object(struct request *r, bool whole)
{
	struct store_error e = { 0 };
	struct err why = { "" };
	char expected[128];
	json_t *body = jx_parse(buf_sv(&r->body), &why), *object;

	if (!body) {
		store_bad_request(&e,
				  "the object provided is unrecognized (must be of type %s): %s",
				  r->route.kind->kind, why.text);
		request_error(r, &e);
		return NULL;
	}
	snprintf(expected, sizeof(expected), "%s%s%s", r->route.group, *r->route.group ? "/" : "",
		 r->route.version);
	if (whole && (!jx_is(jx_get(body, "kind"), r->route.kind->kind) ||
		      !jx_is(jx_get(body, "apiVersion"), expected))) {
		store_bad_request(&e,
				  "%s in version \"%s\" cannot be handled as a %s: no kind \"%s\" "
				  "is registered for version \"%s\"",
				  jx_text(jx_get(body, "kind")), r->route.version,
				  r->route.kind->kind, jx_text(jx_get(body, "kind")),
				  jx_text(jx_get(body, "apiVersion")));
		request_error(r, &e);
		json_decref(body);
		return NULL;
	}
	object = versions_from(r->route.kind, r->route.version_bit, body);
	validate_drop(object, r->route.kind, r->server->conf.dropped);
	json_decref(body);
	return object;
}

static void method_not_allowed(struct request *r)
{
	struct store_error e = { 0 };

	store_failure(&e, 405, "MethodNotAllowed",
		      "the server does not allow this method on the requested resource");
	request_error(r, &e);
}

/* ---- get and list ---- */

static void serve_get(struct request *r)
{
	const json_t *object =
	    store_get(r->server->conf.store, r->route.kind, r->route.ns, r->route.name);
	struct store_error e = { 0 };

	if (object) {
		answer_object(r, 200, object);
		return;
	}
	store_not_found(&e, r->route.kind, r->route.name);
	request_error(r, &e);
}

/* A page: from where to where, and what matches. */
struct page {
	struct selector selector;
	uint64_t limit, rv;
	size_t start, end; /* indexes */
};

/* "<rv>:<namespace>/<name>" of the last object of the page before. */
static int continue_from(struct request *r, struct page *p, struct store_error *e)
{
	struct store *s = r->server->conf.store;
	struct sv rest = sv_str(r->route.cont), rv = sv_cut(&rest, ':'), ns;
	char *space, *name;

	if (sv_u64(rv, &p->rv) < 0 || p->rv > store_rv(s))
		return store_bad_request(e, "continue key is not valid");
	if (p->rv < store_floor(s))
		return store_expired(e, "The provided continue parameter is too old to display a "
					"consistent list result. You can start a new list without "
					"the continue parameter.");
	ns = sv_cut(&rest, '/');
	space = sv_dup(ns);
	name = sv_dup(rest);
	p->start = store_after(s, r->route.kind, space, name);
	mem_free(space);
	mem_free(name);
	return 0;
}

static int page_begin(struct request *r, struct page *p, struct store_error *e)
{
	const struct route *t = &r->route;
	int code = 0;

	*p = (struct page){ .rv = store_rv(r->server->conf.store) };
	if (t->fields)
		code = selector_fields(&p->selector, t->kind, t->fields, e);
	if (!code && t->labels)
		code = selector_labels(&p->selector, t->labels, e);
	if (!code && t->limit && *t->limit && sv_u64(sv_str(t->limit), &p->limit) < 0)
		code = store_bad_request(e, "invalid limit: %s", t->limit);
	if (!code && t->cont && *t->cont)
		code = continue_from(r, p, e);
	return code;
}

static bool page_has(const struct request *r, const struct page *p, const json_t *object)
{
	if (r->route.ns && strcmp(jx_ns(object), r->route.ns) != 0)
		return false;
	return selector_matches(&p->selector, object);
}

/* Items of a list have no type of their own. */
static void add_item(struct request *r, json_t *items, const json_t *object)
{
	json_t *shown = versions_to(r->route.kind, r->route.version_bit, object);
	json_t *item = json_copy(shown);

	json_object_del(item, "kind");
	json_object_del(item, "apiVersion");
	json_array_append_new(items, item);
	json_decref(shown);
}

static void page_fill(struct request *r, struct page *p, json_t *list)
{
	struct store *s = r->server->conf.store;
	size_t total = store_count(s, r->route.kind), taken = 0, left = 0;
	const json_t *last = NULL;
	char cont[600];

	for (size_t i = p->start; i < total; i++) {
		const json_t *object = store_at(s, r->route.kind, i);

		if (!page_has(r, p, object))
			continue;
		if (p->limit && taken == p->limit) {
			left++;
			continue;
		}
		add_item(r, jx_arr(list, "items"), object);
		last = object;
		taken++;
	}
	if (!left)
		return;
	snprintf(cont, sizeof(cont), "%llu:%s/%s", (unsigned long long)p->rv, jx_ns(last),
		 jx_name(last));
	jx_set_text(jx_obj(list, "metadata"), "continue", cont);
	if (!p->selector.n)
		jx_set_int(jx_obj(list, "metadata"), "remainingItemCount", (int64_t)left);
}

static json_t *list_object(struct request *r, uint64_t rv)
{
	json_t *list = json_object();
	char text[128];

	snprintf(text, sizeof(text), "%sList", r->route.kind->kind);
	jx_set_text(list, "kind", text);
	snprintf(text, sizeof(text), "%s%s%s", r->route.group, *r->route.group ? "/" : "",
		 r->route.version);
	jx_set_text(list, "apiVersion", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)rv);
	jx_set_text(jx_obj(list, "metadata"), "resourceVersion", text);
	jx_arr(list, "items");
	return list;
}

static void serve_list(struct request *r)
{
	struct store_error e = { 0 };
	struct page p;
	json_t *list;

	if (page_begin(r, &p, &e)) {
		request_error(r, &e);
	} else {
		list = list_object(r, p.rv);
		page_fill(r, &p, list);
		request_json(r, 200, list);
		json_decref(list);
	}
	selector_done(&p.selector);
}

/* ---- writes ---- */

static void serve_create(struct request *r)
{
	const struct json_t *made = NULL;
	struct store_error e = { 0 };
	json_t *object;

	if (r->route.kind->namespaced && !r->route.ns) {
		method_not_allowed(r);
		return;
	}
	object = body_object(r, true);
	if (!object)
		return;
	if (store_create(r->server->conf.store, r->route.kind, r->route.ns, object, &made, &e))
		request_error(r, &e);
	else
		answer_object(r, 201, made);
	json_decref(object);
}

static void put_object(struct request *r, const json_t *object, int status)
{
	const struct json_t *now = NULL;
	struct store_error e = { 0 };

	if (store_update(r->server->conf.store, r->route.kind, r->route.ns, r->route.name,
			 r->route.sub, object, &now, &e))
		request_error(r, &e);
	else
		answer_object(r, status, now);
}

static void serve_update(struct request *r)
{
	json_t *object = body_object(r, true);

	if (!object)
		return;
	put_object(r, object, 200);
	json_decref(object);
}

static void serve_merge(struct request *r, const json_t *old)
{
	json_t *patch = body_object(r, false), *object;

	if (!patch)
		return;
	object = jx_merge(old, patch);
	/* A patch without a version is for whatever is there. */
	if (!jx_get(patch, "metadata", "resourceVersion"))
		json_object_del(jx_get(object, "metadata"), "resourceVersion");
	put_object(r, object, 200);
	json_decref(object);
	json_decref(patch);
}

static void remember_applied(struct request *r, const char *uid, const json_t *patch)
{
	json_object_set_new(jx_obj(r->server->applied, uid), r->route.manager,
			    json_deep_copy(patch));
}

static json_t *others_of(struct request *r, const char *uid)
{
	json_t *others = json_array(), *value;
	const char *manager;

	json_object_foreach(json_object_get(r->server->applied, uid), manager,
			    value) if (strcmp(manager, r->route.manager) != 0)
	    json_array_append(others, value);
	return others;
}

static void apply_new(struct request *r, json_t *patch)
{
	const struct json_t *made = NULL;
	struct store_error e = { 0 };

	jx_set_text(jx_obj(patch, "metadata"), "name", r->route.name);
	if (store_create(r->server->conf.store, r->route.kind, r->route.ns, patch, &made, &e)) {
		request_error(r, &e);
		return;
	}
	remember_applied(r, jx_uid(made), patch);
	answer_object(r, 201, made);
}

static void serve_apply(struct request *r, const json_t *old)
{
	json_t *patch = body_object(r, true), *object, *others;
	struct store_error e = { 0 };
	struct err why = { "" };

	if (!patch)
		return;
	if (!r->route.manager || !*r->route.manager) {
		store_bad_request(&e, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: "
				      "Required value: is required for apply patch");
		request_error(r, &e);
	} else if (!old) {
		apply_new(r, patch);
	} else {
		others = others_of(r, jx_uid(old));
		object =
		    jx_apply(old, patch, jx_get(r->server->applied, jx_uid(old), r->route.manager),
			     others, r->route.force, &why);
		json_decref(others);
		if (!object) {
			store_failure(&e, 409, "Conflict",
				      "Apply failed with 1 conflict: conflict with another "
				      "manager: %s",
				      why.text);
			request_error(r, &e);
		} else {
			remember_applied(r, jx_uid(old), patch);
			if (!jx_get(patch, "metadata", "resourceVersion"))
				json_object_del(jx_get(object, "metadata"), "resourceVersion");
			put_object(r, object, 200);
		}
		json_decref(object);
	}
	json_decref(patch);
}

static void serve_patch(struct request *r)
{
	const json_t *old =
	    store_get(r->server->conf.store, r->route.kind, r->route.ns, r->route.name);
	const char *type = r->content_type ? r->content_type : "";
	struct store_error e = { 0 };

	if (sv_starts(sv_str(type), SV("application/apply-patch"))) {
		serve_apply(r, old);
	} else if (!old) {
		store_not_found(&e, r->route.kind, r->route.name);
		request_error(r, &e);
	} else if (sv_starts(sv_str(type), SV("application/merge-patch")) ||
		   sv_starts(sv_str(type), SV("application/strategic-merge-patch"))) {
		serve_merge(r, old);
	} else {
		store_failure(&e, 415, "UnsupportedMediaType",
			      "the body of the request was in an unknown format - accepted media "
			      "types include: application/merge-patch+json, "
			      "application/apply-patch+yaml");
		request_error(r, &e);
	}
}

static void answer_deleted(struct request *r, const json_t *object)
{
	json_t *s = jx_make("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
			    "\"status\":\"Success\"}");
	json_t *d = jx_obj(s, "details");

	jx_set_text(d, "name", jx_name(object));
	if (*r->route.kind->group)
		jx_set_text(d, "group", r->route.kind->group);
	jx_set_text(d, "kind", r->route.kind->resource);
	jx_set_text(d, "uid", jx_uid(object));
	request_json(r, 200, s);
	json_decref(s);
}

/* DeleteOptions of the body, all optional. */
static int delete_options(struct request *r, json_t **body, struct store_delete *how,
			  struct store_error *e)
{
	struct err why = { "" };
	json_t *grace;

	*how = (struct store_delete){ .grace_s = -1 };
	*body = NULL;
	if (r->route.grace && sv_i64(sv_str(r->route.grace), &how->grace_s) < 0)
		return store_bad_request(e, "invalid gracePeriodSeconds: %s", r->route.grace);
	if (!buf_len(&r->body))
		return 0;
	*body = jx_parse(buf_sv(&r->body), &why);
	if (!*body)
		return store_bad_request(e, "DeleteOptions cannot be read: %s", why.text);
	how->uid = jx_text(jx_get(*body, "preconditions", "uid"));
	how->rv = jx_text(jx_get(*body, "preconditions", "resourceVersion"));
	grace = jx_get(*body, "gracePeriodSeconds");
	if (json_is_integer(grace))
		how->grace_s = jx_int(grace);
	return 0;
}

static void serve_delete(struct request *r)
{
	const struct json_t *object = NULL;
	struct store_error e = { 0 };
	struct store_delete how;
	json_t *body;
	bool gone;

	if (delete_options(r, &body, &how, &e) ||
	    store_delete(r->server->conf.store, r->route.kind, r->route.ns, r->route.name, &how,
			 &gone, &object, &e))
		request_error(r, &e);
	else if (gone)
		answer_deleted(r, object);
	else
		answer_object(r, 200, object);
	json_decref(body);
}

static void serve_delete_all(struct request *r)
{
	struct store *s = r->server->conf.store;
	const struct store_delete how = { .grace_s = -1 };
	struct store_error e = { 0 };
	struct page p;
	json_t *list;
	bool gone;

	if (page_begin(r, &p, &e)) {
		request_error(r, &e);
		selector_done(&p.selector);
		return;
	}
	list = list_object(r, p.rv);
	for (size_t i = 0; i < store_count(s, r->route.kind);) {
		const json_t *object = store_at(s, r->route.kind, i);
		size_t before = store_count(s, r->route.kind);

		if (page_has(r, &p, object)) {
			add_item(r, jx_arr(list, "items"), object);
			(void)store_delete(s, r->route.kind, jx_ns(object), jx_name(object), &how,
					   &gone, NULL, &e);
		}
		i += store_count(s, r->route.kind) == before;
	}
	request_json(r, 200, list);
	json_decref(list);
	selector_done(&p.selector);
}

/* ---- all ---- */

static void serve_objects(struct request *r)
{
	static const struct {
		const char *verb;
		void (*fn)(struct request *r);
		bool sub;
	} table[] = { { "get", serve_get, true },
		      { "list", serve_list, false },
		      { "create", serve_create, false },
		      { "update", serve_update, true },
		      { "patch", serve_patch, true },
		      { "delete", serve_delete, false },
		      { "deletecollection", serve_delete_all, false } };
	const struct route *t = &r->route;

	if (t->sub && (strcmp(t->sub, "status") != 0 || !t->kind->status)) {
		request_answer(r, 404, SV("404 page not found\n"), "text/plain; charset=utf-8");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i].verb, t->verb) && (table[i].sub || !t->sub)) {
			table[i].fn(r);
			return;
		}
	method_not_allowed(r);
}

void request_serve(struct request *r)
{
	json_t *answer;

	switch (r->route.what) {
	case ROUTE_OBJECTS:
		serve_objects(r);
		return;
	case ROUTE_HEALTH:
		request_answer(r, 200, SV("ok"), "text/plain; charset=utf-8");
		return;
	case ROUTE_VERSION:
		request_answer(r, 200, sv_str(version_text), "application/json");
		return;
	case ROUTE_API:
		answer = jx_make("{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],"
				 "\"serverAddressByClientCIDRs\":[]}");
		request_json(r, 200, answer);
		json_decref(answer);
		return;
	case ROUTE_APIS:
		serve_groups(r);
		return;
	case ROUTE_GROUP:
		answer = group_object(r->server, r->route.group);
		request_json(r, 200, answer);
		json_decref(answer);
		return;
	case ROUTE_RESOURCES:
		serve_resources(r);
		return;
	case ROUTE_NONE:
		request_answer(r, 404, SV("404 page not found\n"), "text/plain; charset=utf-8");
		return;
	}
}
