#include <stdarg.h>

#include "test/lib/jx.h"
#include "test/lib/store.h"

/* Texts and reasons are those of apimachinery's api/errors. */

static void fill(struct store_error *e, int code, const char *reason, const struct store_kind *k,
		 const char *name)
{
	*e = (struct store_error){ .code = code, .reason = reason, .kind = k };
	snprintf(e->name, sizeof(e->name), "%s", name ? name : "");
}

/* "resourceclaims.resource.k8s.io", "pods" */
static void qualified(const struct store_kind *k, const char *what, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s", what, *k->group ? "." : "", k->group);
}

int store_not_found(struct store_error *e, const struct store_kind *k, const char *name)
{
	char q[128];

	fill(e, 404, "NotFound", k, name);
	qualified(k, k->resource, q, sizeof(q));
	snprintf(e->message, sizeof(e->message), "%s \"%s\" not found", q, name);
	return e->code;
}

int store_conflict(struct store_error *e, const struct store_kind *k, const char *name,
		   const char *fmt, ...)
{
	char q[128], why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fill(e, 409, "Conflict", k, name);
	qualified(k, k->resource, q, sizeof(q));
	snprintf(e->message, sizeof(e->message), "Operation cannot be fulfilled on %s \"%s\": %s",
		 q, name, why);
	return e->code;
}

int store_bad_request(struct store_error *e, const char *fmt, ...)
{
	va_list ap;

	fill(e, 400, "BadRequest", NULL, NULL);
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	return e->code;
}

int store_expired(struct store_error *e, const char *fmt, ...)
{
	va_list ap;

	fill(e, 410, "Expired", NULL, NULL);
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	return e->code;
}

static const char *words(const char *type)
{
	static const struct {
		const char *type, *words;
	} table[] = { { "FieldValueRequired", "Required value" },
		      { "FieldValueDuplicate", "Duplicate value" },
		      { "FieldValueForbidden", "Forbidden" },
		      { "FieldValueTooLong", "Too long" },
		      { "FieldValueTooMany", "Too many" },
		      { "FieldValueNotSupported", "Unsupported value" } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i].type, type))
			return table[i].words;
	return "Invalid value";
}

int store_invalid(struct store_error *e, const struct store_kind *k, const char *name,
		  const char *type, const char *field, const char *fmt, ...)
{
	char q[128], why[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	fill(e, 422, "Invalid", k, name);
	qualified(k, k->kind, q, sizeof(q));
	snprintf(e->cause, sizeof(e->cause), "%s", type);
	snprintf(e->field, sizeof(e->field), "%s", field);
	snprintf(e->detail, sizeof(e->detail), "%s: %s", words(type), why);
	snprintf(e->message, sizeof(e->message), "%s \"%s\" is invalid: %s: %s", q, name, field,
		 e->detail);
	return e->code;
}

int store_failure(struct store_error *e, int code, const char *reason, const char *fmt, ...)
{
	va_list ap;

	fill(e, code, reason, NULL, NULL);
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	return e->code;
}

static json_t *details(const struct store_error *e)
{
	json_t *d = json_object(), *cause;

	if (*e->name)
		jx_set_text(d, "name", e->name);
	if (e->kind && *e->kind->group)
		jx_set_text(d, "group", e->kind->group);
	if (e->kind)
		jx_set_text(d, "kind", *e->cause ? e->kind->kind : e->kind->resource);
	if (*e->cause) {
		cause = json_object();
		jx_set_text(cause, "reason", e->cause);
		if (*e->detail)
			jx_set_text(cause, "message", e->detail);
		if (*e->field)
			jx_set_text(cause, "field", e->field);
		json_array_append_new(jx_arr(d, "causes"), cause);
	}
	if (e->retry_after_s)
		jx_set_int(d, "retryAfterSeconds", e->retry_after_s);
	return d;
}

void store_error_put(const struct store_error *e, struct buf *out)
{
	json_t *s = json_object(), *d = details(e);

	jx_set_text(s, "kind", "Status");
	jx_set_text(s, "apiVersion", "v1");
	jx_obj(s, "metadata");
	jx_set_text(s, "status", "Failure");
	jx_set_text(s, "message", e->message);
	if (e->reason)
		jx_set_text(s, "reason", e->reason);
	if (json_object_size(d))
		json_object_set(s, "details", d);
	jx_set_int(s, "code", e->code);
	jx_put(out, s);
	json_decref(d);
	json_decref(s);
}
