#pragma once
/*
 * The served versions of resource.k8s.io. Stored is v1; v1beta2 differs in its name alone, v1beta1
 * nests a device in "basic" and has no "exactly" in a request.
 */
#include "test/lib/store.h"

struct json_t;

enum { VERSIONS_V1 = 1, VERSIONS_V1BETA2 = 2, VERSIONS_V1BETA1 = 4 };

/* The bit of a version's name; 0 = unknown. Other groups have "v1" alone. */
unsigned versions_bit(const struct store_kind *k, const char *version);
/* A new tree each. from: as a client of that version wrote it -> v1; to: the way back. */
struct json_t *versions_from(const struct store_kind *k, unsigned bit, const struct json_t *object);
struct json_t *versions_to(const struct store_kind *k, unsigned bit, const struct json_t *object);
const char *versions_name(unsigned bit); /* "v1" */
