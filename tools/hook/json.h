#pragma once
/*
 * A JSON reader that keeps nothing but what it was asked for: a few strings at fixed key paths.
 * Bytes are pushed in, in pieces of any size; a document of megabytes costs a few hundred bytes
 * of memory. No I/O, no allocation. Owner: the caller, by value.
 *
 * Strict in grammar (numbers, literals, commas, escapes, control characters), silent about what
 * is not wanted. Bytes above 0x7f are passed on as they are: a path need not be UTF-8.
 */
#include "tools/hook/base.h"

enum {
	JSON_DEPTH_MAX = 64, /* runtimes nest config.json about 8 deep */
	JSON_KEY_MAX = 64,   /* a longer key is simply not one that we want */
	JSON_PATH_MAX = 2,   /* keys in a wanted path */
	JSON_WANT_MAX = 4,
};

/* One wanted string: keys[0] inside the top object, keys[1] (or NULL) inside that one. */
struct json_want {
	const char *keys[JSON_PATH_MAX];
	char *out;  /* caller's; NUL-terminated once `found` */
	size_t cap; /* size of out */
	size_t len;
	bool found;
};

struct json {
	struct json_want *wants;
	unsigned nwants;
	size_t bytes, bytes_max;
	unsigned depth;
	uint8_t kind[JSON_DEPTH_MAX];  /* object or array, per open container */
	uint8_t inside[JSON_PATH_MAX]; /* wants whose path leads into the object at this depth */
	uint8_t matched;	       /* wants that the present key belongs to */
	struct json_want *capture;     /* string value being kept, or NULL */
	uint8_t state, number;
	bool in_key;
	const char *literal;
	uint32_t code, high; /* \uXXXX being read; first half of a surrogate pair */
	unsigned digits;
	char key[JSON_KEY_MAX];
	size_t key_len;
	const char *error;
};

/* `wants` stays the caller's and must outlive the reader. */
void json_init(struct json *j, struct json_want *wants, unsigned nwants, size_t bytes_max);
/*
 * 0, or a negative errno with json_error() set: -EBADMSG not JSON, -EFBIG more than bytes_max,
 * -E2BIG nested too deep, -ENAMETOOLONG a wanted string does not fit, -EPROTOTYPE a wanted value
 * is not a string, -ENOTUNIQ a wanted key twice. After an error only json_error() may be called.
 */
int json_feed(struct json *j, const char *bytes, size_t len) NODISCARD;
/* The top value is complete: nothing but white space may follow. */
bool json_complete(const struct json *j);
/* No more bytes will come: -EBADMSG when the document is not complete. */
int json_end(struct json *j) NODISCARD;
/* What was wrong, for a human; byte json_offset() is where. */
const char *json_error(const struct json *j);
size_t json_offset(const struct json *j);
