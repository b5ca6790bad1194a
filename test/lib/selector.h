#pragma once
/* Field and label selectors of lists and watches. */
#include "test/lib/jx.h"
#include "test/lib/store.h"

enum { SELECTOR_TERMS_MAX = 16, SELECTOR_VALUES_MAX = 16 };

enum selector_op {
	SELECTOR_EQ,
	SELECTOR_NE,
	SELECTOR_IN,
	SELECTOR_NOT_IN,
	SELECTOR_HAS,
	SELECTOR_HAS_NOT
};
struct selector_term {
	char *key, *values[SELECTOR_VALUES_MAX];
	size_t values_n;
	enum selector_op op;
	bool label;
};
struct selector {
	struct selector_term terms[SELECTOR_TERMS_MAX];
	size_t n;
};
/* Adds the terms of "a=b,c!=d" (fields) or of labels; 0 or 400 with *e. */
int selector_fields(struct selector *s, const struct store_kind *k, const char *text,
		    struct store_error *e);
int selector_labels(struct selector *s, const char *text, struct store_error *e);
bool selector_matches(const struct selector *s, const json_t *object);
void selector_done(struct selector *s);
