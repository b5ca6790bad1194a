#pragma once
/*
 * /proc/driver/nvidia/params tells the driver's user-space libraries, and us, whether device nodes
 * may be made ("ModifyDeviceFiles: 1"). Where several nodes share a machine's GPUs (nvkind), each
 * must be content with the nodes it was given: a copy that says 0 is mounted over the file.
 *
 * NVIDIA's chart does the same by cp, sed and mount in the container, for its value
 * maskNvidiaDriverParams; our image has none of these, and needs none.
 */
#include "core/err.h"
#include "core/sv.h"

enum { MASK_PARAMS_MAX = 16 << 10 }; /* bytes; the driver has about 30 lines */

/*
 * Covers /proc/driver/nvidia/params, and the same file below `proc_root` if that is another, for
 * this mount namespace. The copy is kept in `folder`. 0, also where device nodes are forbidden
 * already; 1: the driver has no such file (now: it may be loaded later). Needs CAP_SYS_ADMIN.
 */
int mask_params(const char *proc_root, const char *folder, struct err *e) NODISCARD;
/* Changes the line in place; false when there is none to change. */
bool mask_params_text(char *text, size_t n);
