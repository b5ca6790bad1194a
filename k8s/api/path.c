#include "k8s/api/path.h"

#include "core/jsonw.h"
#include "core/mem.h"

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void api_put_escaped(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (is_unreserved(*s))
			buf_putc(out, *s);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
	}
}

static void put_segment(struct buf *out, const char *s)
{
	buf_putc(out, '/');
	/* "." and ".." cannot be escaped and would change the path's meaning. */
	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		buf_puts(out, "%00");
	else
		api_put_escaped(out, s);
}

/* Returns the separator for the next parameter. */
static char put_parameter(struct buf *out, char separator, const char *key, const char *value)
{
	if (!value)
		return separator;
	buf_putc(out, separator);
	buf_puts(out, key);
	buf_putc(out, '=');
	api_put_escaped(out, value);
	return '&';
}

static void put_group(struct buf *out, const struct api_target *t, size_t *version_at)
{
	if (*t->group) {
		buf_puts(out, "/apis");
		put_segment(out, t->group);
	} else {
		buf_puts(out, "/api");
	}
	if (t->version) {
		put_segment(out, t->version);
		return;
	}
	must(strcmp(t->group, API_GROUP_RESOURCE) == 0);
	buf_putc(out, '/');
	*version_at = buf_len(out);
}

void path_put(struct buf *out, const char *prefix, const struct api_target *t,
	      const struct path_options *o, size_t *version_at)
{
	char separator = '?';

	*version_at = SIZE_MAX;
	buf_puts(out, prefix);
	if (t->raw) {
		buf_puts(out, t->raw);
	} else {
		put_group(out, t, version_at);
		if (t->ns) {
			buf_puts(out, "/namespaces");
			put_segment(out, t->ns);
		}
		put_segment(out, t->resource);
		if (t->name)
			put_segment(out, t->name);
		if (t->sub)
			put_segment(out, t->sub);
	}
	separator = put_parameter(out, separator, "fieldSelector", t->fields);
	separator = put_parameter(out, separator, "labelSelector", t->labels);
	separator = put_parameter(out, separator, "fieldManager", o->field_manager);
	separator = put_parameter(out, separator, "force", o->force ? "true" : NULL);
	if (t->query && *t->query) {
		buf_putc(out, separator);
		buf_puts(out, t->query);
	}
}

const char *api_verb_name(enum api_verb v)
{
	static const char *const names[API_VERBS] = {
		[API_GET] = "GET",	 [API_LIST] = "LIST",
		[API_CREATE] = "CREATE", [API_UPDATE] = "UPDATE",
		[API_PATCH] = "PATCH",	 [API_APPLY] = "APPLY",
		[API_DELETE] = "DELETE", [API_DELETE_ALL] = "DELETE_ALL",
		[API_WATCH] = "WATCH",
	};

	must(v < API_VERBS);
	return names[v];
}

const char *path_method(enum api_verb v)
{
	static const char *const methods[API_VERBS] = {
		[API_GET] = "GET",	 [API_LIST] = "GET",	      [API_CREATE] = "POST",
		[API_UPDATE] = "PUT",	 [API_PATCH] = "PATCH",	      [API_APPLY] = "PATCH",
		[API_DELETE] = "DELETE", [API_DELETE_ALL] = "DELETE", [API_WATCH] = "GET",
	};

	return methods[v];
}

const char *path_content_type(enum api_verb v)
{
	if (v == API_PATCH)
		return "application/merge-patch+json";
	return v == API_APPLY ? "application/apply-patch+yaml" : "application/json";
}

void api_put_preconditions(struct buf *out, const char *uid, const char *rv)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "kind", "DeleteOptions");
	jsonw_kstr(&w, "apiVersion", "v1");
	if (uid || rv)
		jsonw_kobj(&w, "preconditions");
	if (uid)
		jsonw_kstr(&w, "uid", uid);
	if (rv)
		jsonw_kstr(&w, "resourceVersion", rv);
	if (uid || rv)
		jsonw_end(&w);
	jsonw_end(&w);
}

void api_target_copy(struct api_target *t)
{
	t->group = mem_strdup(t->group);
	t->version = mem_strdup(t->version);
	t->resource = mem_strdup(t->resource);
	t->ns = mem_strdup(t->ns);
	t->name = mem_strdup(t->name);
	t->sub = mem_strdup(t->sub);
	t->fields = mem_strdup(t->fields);
	t->labels = mem_strdup(t->labels);
	t->query = mem_strdup(t->query);
	t->raw = mem_strdup(t->raw);
}

/* Only what api_target_copy() made comes here, so the memory is ours in spite of const. */
static void drop(const char **s)
{
	mem_free((void *)(uintptr_t)*s);
	*s = NULL;
}

void api_target_done(struct api_target *t)
{
	drop(&t->group);
	drop(&t->version);
	drop(&t->resource);
	drop(&t->ns);
	drop(&t->name);
	drop(&t->sub);
	drop(&t->fields);
	drop(&t->labels);
	drop(&t->query);
	drop(&t->raw);
}
