#pragma once
/*
 * Reading JSON. Bounds bytes, nesting and number of values before anything is allocated (a hostile
 * body costs 77 times its bytes in a tree), refuses duplicate keys, NaN and bad UTF-8, then hands
 * out typed getters that are NULL-safe: a missing or wrong-typed value gives the default.
 * No tree outlives its event: one owner, json_free() when the message is handled.
 * Refused as well: a NUL inside a string, since json_str() could not show it, and an integer beyond
 * 64 bits or a real beyond a double, since no getter could return it. 1 is JSON_INT, 1.0 and 1e0
 * are JSON_REAL.
 */
#include "core/err.h"
#include "core/sv.h"

struct json; /* a node; belongs to its root */

struct json_limits {
	size_t bytes;
	unsigned values; /* a key is none */
	unsigned depth;	 /* open brackets, <= JSON_DEPTH_MAX */
	size_t memory;	 /* of the tree, in bytes; 0 = JSON_MEMORY */
};
enum { JSON_DEPTH_MAX = 128, JSON_MEMORY = 48 << 20 };
/* One API object: 3 MiB, 200 000 values, depth 64. */
extern const struct json_limits json_limits_object;
/* An opaque configuration: 10 KiB, 1000 values, depth 16. */
extern const struct json_limits json_limits_config;

/*
 * 0, or -EINVAL / -E2BIG with the byte offset, if one place is at fault, in the text (never bytes
 * of the input: it may hold secrets). *out is owned by the caller, NULL on failure.
 */
int json_parse(struct sv text, const struct json_limits *limits, struct json **out,
	       struct err *e) NODISCARD;
/* The same, but each member of that name is checked for its nesting only and reads as 0: what a
 * peer adds to its objects and nobody here looks at costs no tree. */
int json_parse_without(struct sv text, const struct json_limits *limits, const char *name,
		       struct json **out, struct err *e) NODISCARD;
void json_free(struct json **root);

enum json_kind {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,
	JSON_REAL,
	JSON_STR,
	JSON_ARR,
	JSON_OBJ,
	JSON_NONE
};
enum json_kind json_kind(const struct json *n); /* JSON_NONE for NULL */

/* Member of an object; a path may go deeper: json_get(n, "metadata", "uid"). Ends with NULL inside.
 */
const struct json *json_get_path(const struct json *n, ...) __attribute__((sentinel));
#define json_get(n, ...) json_get_path(n, __VA_ARGS__, (const char *)NULL)
const char *json_str(const struct json *n, const char *otherwise); /* NUL-terminated */
struct sv json_sv(const struct json *n);			   /* empty unless a string */
int64_t json_i64(const struct json *n, int64_t otherwise);
double json_num(const struct json *n, double otherwise);
bool json_flag(const struct json *n, bool otherwise);
size_t json_len(const struct json *n); /* elements or members; 0 for others */
const struct json *json_at(const struct json *n, size_t i);
/* Members in document order: *pos starts NULL; false at the end. */
bool json_next(const struct json *obj, void **pos, const char **key, const struct json **value);
bool json_same(const struct json *a, const struct json *b); /* deep, order of members ignored */
