#include "k8s/api/path.h"

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
