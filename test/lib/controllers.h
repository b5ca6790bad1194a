#pragma once
/*
 * The parts of a control plane that a DRA demo needs: claims from templates, scheduling,
 * reservation and deallocation, and garbage collection by owner. They follow the store and write to
 * it directly.
 */
#include "core/loop.h"
#include "test/lib/store.h"

struct controllers;
struct controllers_conf {
	struct store *store;
	/* One line per decision, for a demo; may be NULL. */
	void (*on_line)(void *arg, const char *line);
	void *arg;
};
struct controllers *controllers_new(struct loop *l, const struct controllers_conf *conf);
void controllers_free(struct controllers **c);
