#pragma once
/*
 * What tundra asks the role "host" of tundra-worker.
 *
 *   HOLDERS {device numbers}  ->  which processes have one of these device nodes open
 *                             <-  whether all processes of the node could be seen, and the pids
 */
#include "core/buf.h"

enum host_method { HOST_M_HOLDERS = 1 };
enum {
	HOST_DEVICES_MAX = 512, /* nodes of all GPUs of a node, DRM included */
	HOST_HOLDERS_MAX = 256, /* then the answer is "many" anyway */
	HOST_COMM_MAX = 15,	/* of a process, as the kernel keeps it */
};

struct host_device {
	uint32_t major, minor;
};
struct host_holder {
	int64_t pid;
	char name[HOST_COMM_MAX + 1];
};
struct host_holders {
	bool complete; /* false: only part of the node's processes is visible; "none" proves nothing
			*/
	size_t n;
	struct host_holder list[HOST_HOLDERS_MAX];
};

void host_put_devices(struct buf *b, const struct host_device *devices, size_t n);
int host_get_devices(struct sv bytes, struct host_device *out, size_t *n) NODISCARD; /* -EBADMSG */
void host_put_holders(struct buf *b, const struct host_holders *h);
int host_get_holders(struct sv bytes, struct host_holders *h) NODISCARD; /* -EBADMSG */
