#pragma once
/* What the API server refuses in objects of resource.k8s.io: the rules a node agent can break. */
#include "test/lib/store.h"

struct json_t;

/* For struct store_conf. */
int validate_object(void *ctx, const struct store_kind *k, const struct json_t *old,
		    const struct json_t *object, struct store_error *e);
/*
 * Feature gates that are off: their fields are dropped from a slice before it is stored, silently,
 * as the API server does. A list ending with NULL of "taints", "consumesCounters", or the name of
 * an attribute.
 */
void validate_drop(struct json_t *object, const struct store_kind *k, const char *const *members);
