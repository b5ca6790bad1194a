#pragma once
/* What a request line means. Pure. */
#include "core/sv.h"
#include "test/lib/store.h"

enum route_what {
	ROUTE_NONE, /* "404 page not found" */
	ROUTE_OBJECTS,
	ROUTE_HEALTH, /* /healthz, /livez, /readyz */
	ROUTE_VERSION,
	ROUTE_API,	 /* /api */
	ROUTE_APIS,	 /* /apis */
	ROUTE_GROUP,	 /* /apis/<group> */
	ROUTE_RESOURCES, /* /api/v1, /apis/<group>/<version> */
};
struct route {
	enum route_what what;
	const struct store_kind *kind;
	const char *verb;			 /* "get" ...; "" when the method is not allowed */
	char *group, *version, *ns, *name, *sub; /* NULL where the path has none */
	unsigned version_bit;
	/* parameters; NULL = not given */
	char *fields, *labels, *limit, *cont, *rv, *rv_match, *timeout, *manager, *grace;
	bool watch, bookmarks, force, initial;
};
void route_parse(struct route *r, const struct store *s, unsigned versions, struct sv method,
		 struct sv target);
void route_done(struct route *r);
