#pragma once
/*
 * Kubernetes quantities ("80Gi", "1500m", 12e6), exact to 1e-9 as the API server keeps them, so
 * that values are compared by value and written in the server's canonical form.
 */
#include "core/json.h"

enum { QUANTITY_TEXT_MAX = 48 };
enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };

struct quantity {
	__int128 nanos; /* |value| <= 2^63 - 1, so times 1e9 fits */
	enum quantity_format format;
};

/* -EINVAL. Rounds away from zero to nanos, as the API server does, and clamps to +-(2^63-1). */
int quantity_parse(struct sv text, struct quantity *out) NODISCARD;
/* A JSON string or number. */
int quantity_read(const struct json *n, struct quantity *out) NODISCARD;
struct quantity quantity_bytes(uint64_t bytes); /* BinarySI; above 2^63-1 clamped */
struct quantity quantity_count(int64_t n);	/* DecimalSI */
int quantity_cmp(const struct quantity *a, const struct quantity *b);
/* The whole number, or -ERANGE when there is a fraction. */
int quantity_i64(const struct quantity *q, int64_t *out) NODISCARD;
void quantity_put(const struct quantity *q, char out[QUANTITY_TEXT_MAX]); /* canonical text */
