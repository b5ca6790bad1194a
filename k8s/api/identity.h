#pragma once
/*
 * The bearer token: from text, or from a file that the kubelet replaces. The file is looked at
 * again only when a request is made and the last look is older than a minute, so nothing runs at
 * rest; after a 401 at once.
 */
#include "core/err.h"
#include "core/loop.h"
#include "core/sv.h"
#include "k8s/api/config.h"

enum {
	IDENTITY_REREAD_MS = 60000, /* as client-go: a token is rotated long before it ends */
	IDENTITY_FORCED_MS = 1000,  /* a storm of 401s reads the file once a second */
};

struct identity {
	struct loop *loop;
	const struct api_config *config; /* not owned */
	char *header;			 /* "Bearer ...", NULL = none (yet) */
	uint64_t read_ms;
	uint64_t generation; /* counts changes of the token */
	bool tried;
};

void identity_init(struct identity *i, struct loop *l, const struct api_config *c);
void identity_done(struct identity *i);
/*
 * The authorization header's value, empty when no token is configured. A file that cannot be read
 * keeps the last token; negative only when there never was one.
 */
int identity_header(struct identity *i, struct sv *out, struct err *e) NODISCARD;
/* The server refused generation `used`. True: there is another token now. */
bool identity_refused(struct identity *i, uint64_t used);
