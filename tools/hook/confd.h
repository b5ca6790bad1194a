#pragma once
/*
 * The files that hooks leave in /etc/ld.so.conf.d, so that an ldconfig run later in the container
 * still finds the folders. The names sort as NVIDIA's do (00-compat-*, 00-nvcr-*): CUDA's
 * compatibility libraries before the driver's, both before the distribution's.
 */
#include "tools/hook/paths.h"
#include "tools/hook/root.h"

#define CONFD_TOP    "/etc/ld.so.conf"
#define CONFD_DIR    "/etc/ld.so.conf.d"
#define CONFD_COMPAT "00-compat-tundra.conf"
#define CONFD_DRIVER "00-nvcr-tundra.conf"

/*
 * Makes CONFD_DIR/<name> list `dirs`, one a line, and /etc/ld.so.conf where there is none.
 * An empty list makes no file, but empties one that an earlier run made.
 */
int confd_write(const struct root *root, const char *name, const struct paths *dirs,
		struct why *why) NODISCARD;
