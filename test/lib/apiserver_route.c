#include "test/lib/apiserver_route.h"

#include "core/mem.h"
#include "test/lib/versions.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *decoded(struct sv s)
{
	char *out = mem_alloc(s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	out[n] = '\0';
	return out;
}

static bool is_true(const char *s)
{
	return !strcmp(s, "true") || !strcmp(s, "1");
}

static void parse_parameter(struct route *r, struct sv text)
{
	const struct {
		const char *name;
		char **text;
		bool *flag;
	} table[] = {
		{ "fieldSelector", &r->fields, NULL },
		{ "labelSelector", &r->labels, NULL },
		{ "limit", &r->limit, NULL },
		{ "continue", &r->cont, NULL },
		{ "resourceVersion", &r->rv, NULL },
		{ "resourceVersionMatch", &r->rv_match, NULL },
		{ "timeoutSeconds", &r->timeout, NULL },
		{ "fieldManager", &r->manager, NULL },
		{ "gracePeriodSeconds", &r->grace, NULL },
		{ "watch", NULL, &r->watch },
		{ "allowWatchBookmarks", NULL, &r->bookmarks },
		{ "force", NULL, &r->force },
		{ "sendInitialEvents", NULL, &r->initial },
	};
	struct sv value = text, name = sv_cut(&value, '=');
	char *v = decoded(value);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!sv_eqs(name, table[i].name))
			continue;
		if (table[i].flag) {
			*table[i].flag = is_true(v);
		} else if (!*table[i].text) {
			*table[i].text = v;
			return;
		}
	}
	mem_free(v);
}

static char *segment(struct sv *path)
{
	struct sv s = sv_cut(path, '/');

	return s.n ? decoded(s) : NULL;
}

/* [namespaces/<ns>/]<resource>[/<name>[/<sub>]] */
static void parse_objects(struct route *r, const struct store *s, unsigned versions, struct sv path)
{
	struct sv after = path, first = sv_cut(&after, '/');
	char *resource;

	if (sv_eqs(first, "namespaces")) {
		struct sv rest = after;
		char *ns = segment(&rest);

		if (ns && rest.n) { /* else the namespaces themselves */
			r->ns = ns;
			path = rest;
		} else {
			mem_free(ns);
		}
	}
	resource = segment(&path);
	r->kind = resource ? store_kind(s, r->group, resource) : NULL;
	mem_free(resource);
	r->name = segment(&path);
	r->sub = segment(&path);
	if (!r->kind || path.n)
		return;
	r->version_bit = versions_bit(r->kind, r->version);
	if (*r->group && !strcmp(r->group, "resource.k8s.io") && !(r->version_bit & versions))
		return;
	if (r->version_bit)
		r->what = ROUTE_OBJECTS;
}

static bool group_known(const struct store *s, const char *group)
{
	const struct store_kind *k;

	for (size_t i = 0; (k = store_kind_at(s, i)); i++)
		if (!strcmp(k->group, group))
			return true;
	return false;
}

static void parse_path(struct route *r, const struct store *s, unsigned versions, struct sv path)
{
	char *first = segment(&path);

	if (!first)
		return;
	if (!strcmp(first, "healthz") || !strcmp(first, "livez") || !strcmp(first, "readyz")) {
		r->what = ROUTE_HEALTH;
	} else if (!strcmp(first, "version")) {
		r->what = ROUTE_VERSION;
	} else if (!strcmp(first, "api") || !strcmp(first, "apis")) {
		bool core = !strcmp(first, "api");

		r->group = core ? mem_strdup("") : segment(&path);
		r->version = segment(&path);
		if (!r->group || (core && !r->version))
			r->what = core ? ROUTE_API : ROUTE_APIS;
		else if (!r->version)
			r->what = group_known(s, r->group) ? ROUTE_GROUP : ROUTE_NONE;
		else if (!path.n)
			r->what = group_known(s, r->group) ? ROUTE_RESOURCES : ROUTE_NONE;
		else
			parse_objects(r, s, versions, path);
	}
	mem_free(first);
}

static const char *verb_of(const struct route *r, struct sv method)
{
	if (sv_eqs(method, "GET"))
		return r->watch && !r->name ? "watch" : r->name ? "get" : "list";
	if (sv_eqs(method, "POST"))
		return r->name ? "" : "create";
	if (sv_eqs(method, "PUT"))
		return r->name ? "update" : "";
	if (sv_eqs(method, "PATCH"))
		return r->name ? "patch" : "";
	if (sv_eqs(method, "DELETE"))
		return r->name ? "delete" : "deletecollection";
	return "";
}

void route_parse(struct route *r, const struct store *s, unsigned versions, struct sv method,
		 struct sv target)
{
	struct sv query = target, path = sv_cut(&query, '?');

	*r = (struct route){ .what = ROUTE_NONE };
	while (query.n)
		parse_parameter(r, sv_cut(&query, '&'));
	if (sv_starts(path, SV("/")))
		parse_path(r, s, versions, sv_drop(path, 1));
	r->verb = verb_of(r, method);
}

void route_done(struct route *r)
{
	char **const texts[] = { &r->group,    &r->version, &r->ns,	 &r->name, &r->sub,
				 &r->fields,   &r->labels,  &r->limit,	 &r->cont, &r->rv,
				 &r->rv_match, &r->timeout, &r->manager, &r->grace };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		mem_free(*texts[i]);
		*texts[i] = NULL;
	}
}
