#pragma once
/*
 * jansson, a little shorter, for the modules of this folder: they change trees, which core/json
 * does not. A file includes this or core/json.h, never both (two names of their enums are the
 * same). Getters are NULL-safe: what is absent or of another type reads as "", 0 or NULL.
 */
#include <jansson.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/sv.h"

/* Borrowed; the path ends with NULL inside. */
json_t *jx_get_path(const json_t *n, ...) __attribute__((sentinel));
#define jx_get(n, ...) jx_get_path(n, __VA_ARGS__, (const char *)NULL)
const char *jx_text(const json_t *n); /* "" unless a string */
int64_t jx_int(const json_t *n);
bool jx_true(const json_t *n);
/* The string is there and equal. */
bool jx_is(const json_t *n, const char *text);

/* NULL with a text; the caller's. */
json_t *jx_parse(struct sv text, struct err *e);
/* The same from a literal of a test: anything wrong aborts. */
json_t *jx_make(const char *fmt, ...) PRINTF(1, 2);
void jx_put(struct buf *out, const json_t *n);
char *jx_print(const json_t *n); /* caller frees */

/* Member access that makes what is missing: jx_obj(o, "metadata") is never NULL. */
json_t *jx_obj(json_t *parent, const char *key);
json_t *jx_arr(json_t *parent, const char *key);
void jx_set_text(json_t *object, const char *key, const char *value); /* NULL removes */
void jx_set_int(json_t *object, const char *key, int64_t value);

/* Metadata of an API object. */
const char *jx_name(const json_t *object);
const char *jx_ns(const json_t *object);
const char *jx_uid(const json_t *object);
