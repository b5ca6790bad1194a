#pragma once
/* What the API server refuses in objects of resource.k8s.io: the rules a node agent can break. */
#include "test/lib/store.h"

struct json_t;

/* For struct store_conf. */
int validate_object(void *ctx, const struct store_kind *k, const struct json_t *old,
		    const struct json_t *object, struct store_error *e);
/*
 * What the API server does silently to a slice before it is stored: members that it does not know
 * are dropped, quantities get their canonical form, and the fields of feature gates that are off
 * are dropped: a list ending with NULL of "taints", "consumesCounters", or the name of an
 * attribute.
 */
void validate_drop(struct json_t *object, const struct store_kind *k, const char *const *members);
