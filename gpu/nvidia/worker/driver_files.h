#pragma once
/*
 * Which of the driver's files every container with a GPU gets, and the hooks that make its linker
 * find them: libraries, programs, firmware, configuration, sockets. Read anew whenever the driver
 * is: nothing is kept that could be of another driver.
 */
#include "core/err.h"
#include "gpu/edits.h"
#include "gpu/nvidia/worker/driver_root.h"

struct driver_files {
	const struct roots *roots;
	const struct driver_root *where;
	const char *version; /* of the loaded driver: "580.65.06" */
};

/*
 * Adds mounts, environment and hooks; device nodes are dev_nodes.c's. *libdir is the folder of the
 * driver's libraries, inside the root. -ENOENT with a text when the driver's main library is not
 * there: a half-installed driver, or another's root; a container would start and fail.
 */
int driver_files_add(const struct driver_files *f, struct gpu_edits *e, struct inroot_path *libdir,
		     struct err *err) NODISCARD;
