#pragma once
/*
 * N operations, at most `limit` of them in flight: the shape of every measurement here. Blocks,
 * turning the loop, until all have ended.
 */
#include "core/loop.h"
#include "core/sv.h"
#include "test/bench/sample.h"

struct volley;
struct shot {
	struct volley *volley;
	size_t i;	   /* which operation */
	uint64_t began_us; /* when it was started */
	int status;	   /* for whoever started it */
	void *user;	   /* likewise */
};
struct volley {
	struct loop *loop;
	size_t n, limit;
	/* Starts operation s->i; ends it with shot_end(), never from within. */
	void (*start)(void *ctx, struct shot *s);
	void *ctx;
	struct sample *latency; /* of those that went well; may be NULL */
	const char *title;	/* NULL: nothing is told */
	/* result */
	size_t errors;
	char error[256]; /* the first */
	uint64_t us;	 /* all of it */
	/* own */
	struct shot *shots;
	size_t next, open, ended;
};

void volley_run(struct volley *v);
void shot_end(struct shot *s, const char *error); /* NULL: well */
double volley_rate(const struct volley *v);	  /* operations per second */
