#pragma once
/*
 * The reactor's privileges: none. No capability in any set, no_new_privs, and the system calls of
 * this table. Workers come from the spawner, which is started before. Files and folders that the
 * reactor writes belong to root, which it stays.
 */
#include <sys/types.h>

#include "core/confine.h"

extern const struct confine_group reactor_calls[]; /* beside confine_basics */

/* For good; the spawner is the one process that may still be signalled. What the kernel refuses is
 * logged. */
void privileges_drop(pid_t spawner);
