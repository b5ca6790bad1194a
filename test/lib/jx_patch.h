#pragma once
/* The two ways in which a client sends part of an object. */
#include "test/lib/jx.h"

/* RFC 7396: a new tree. */
json_t *jx_merge(const json_t *target, const json_t *patch);

/*
 * Server-side apply, as far as a node agent uses it: objects merge, the lists that the API declares
 * as maps (devices of a claim's status, conditions, taints ...) merge by their keys, other values
 * are replaced. `before` is what this manager applied last (NULL = nothing): what it no longer
 * names is removed. `others` is an array of what other managers applied last.
 * Returns the new tree; NULL with the path of the conflict when another manager owns a value that
 * would change, unless `force`.
 */
json_t *jx_apply(const json_t *target, const json_t *applied, const json_t *before,
		 const json_t *others, bool force, struct err *e);
