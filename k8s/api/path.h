#pragma once
/*
 * What a request line is made of: method, content type and :path. Names and selectors are
 * percent-encoded, the version is left open if it must be discovered.
 */
#include "core/buf.h"
#include "k8s/api/client.h"

/* More query parameters of one request; 0 and NULL are left out. */
struct path_options {
	const char *field_manager;
	bool force;
};

/*
 * Appends the path. *version_at: where "v1" must still be inserted (a target whose version is
 * discovered), or SIZE_MAX when the path is whole.
 */
void path_put(struct buf *out, const char *prefix, const struct api_target *t,
	      const struct path_options *o, size_t *version_at);

const char *path_method(enum api_verb v);	/* HTTP method */
const char *path_content_type(enum api_verb v); /* of its body, unless the caller knows better */
