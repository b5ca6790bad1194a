#pragma once
/* How long turns of the driver's loop took, by its own watchdog. */
#include "core/err.h"

/* Asks `tundra status` of the driver whose run folder this is, and prints figures loop.*. */
int turns_tell(const char *programs, const char *run_folder, struct err *e) NODISCARD;
