#pragma once
/*
 * The arguments by which tundra hands its `struct roots` to tundra-worker: written and read from
 * one table, so that both sides see the same world.
 */
#include "core/roots.h"
#include "core/sv.h"

enum { WORKER_ROOTS_ARGS = 16 };

/* For worker_exec_new(): "--dev", roots->dev, ...; borrowed strings, ends with NULL. */
void worker_args_write(const struct roots *roots, const char *out[WORKER_ROOTS_ARGS + 1]);
/* One "--name value" pair into *roots. False: not one of these. */
bool worker_args_read(const char *name, const char *value, struct roots *roots);
