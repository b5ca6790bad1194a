#pragma once
/*
 * Header blocks: collecting one as it is decoded, and the rules of RFC 9113 8 for requests. No
 * allocation per field. nghttp2 does the same checks for responses; for requests it is told not to
 * (see h2.h), so all of them are here.
 */
#include "transport/h2.h"

/* One block at a time per connection: HTTP/2 never interleaves them. */
struct h2_fields {
	struct buf text; /* name, value, name, value ... */
	struct h2_header *v;
	size_t n, size;
	size_t list_size; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts: 32 per field on top */
	bool too_big;	  /* beyond the cap: fields are dropped from then on */
};
void h2_fields_init(struct h2_fields *f, size_t max);
void h2_fields_done(struct h2_fields *f);
void h2_fields_clear(struct h2_fields *f); /* for the next block; gives a large memory back */
void h2_fields_add(struct h2_fields *f, struct sv name, struct sv value);
/* Makes the views point at the text: once, before v is read. */
void h2_fields_seal(struct h2_fields *f);

/* True when the block is a well-formed request, or trailers. *length: content-length or -1. */
bool h2_fields_check_request(const struct h2_header *h, size_t n, int64_t *length);
bool h2_fields_check_trailers(const struct h2_header *h, size_t n);
/* The value of the first field of that name, empty view with p NULL if there is none. */
struct sv h2_fields_get(const struct h2_header *h, size_t n, struct sv name);
