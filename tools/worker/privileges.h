#pragma once
/*
 * What a worker may do: each role keeps the capabilities that its row names and loses all others,
 * for good (bounding set, no_new_privs).
 */
#include "core/base.h"

/* False: no such role. What the kernel refuses is logged: less is not worse than before. */
bool privileges_keep(const char *role);
