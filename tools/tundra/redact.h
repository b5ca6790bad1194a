#pragma once
/*
 * Takes secrets out of text that leaves the node: private keys, tokens and passwords, by what they
 * look like (PEM, JWT, well-known prefixes, user:password@ in addresses), by the name they are
 * given ("password: x", TOKEN=x, "auth": "x"), and those that are known by value. Better too much
 * than too little: certificates (public), file names, true and false stay.
 */
#include "core/buf.h"

enum { REDACT_KNOWN_MAX = 64, REDACT_KNOWN_MIN = 6 /* shorter values would hit ordinary words */ };

struct redact {
	char *known[REDACT_KNOWN_MAX]; /* ours */
	size_t known_n;
	size_t removed; /* so far */
};
void redact_init(struct redact *r);
void redact_done(struct redact *r);
/* From now on this value is taken out wherever it stands; whitespace around it does not count. */
void redact_know(struct redact *r, struct sv secret);
/* Appends `text` without its secrets; each is replaced by "[removed]". */
void redact_text(struct redact *r, struct sv text, struct buf *out);
/* Whether a value of this name is a secret: "DB_PASSWORD", "client-key-data". */
bool redact_is_secret_name(struct sv name);
