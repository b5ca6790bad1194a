#pragma once
/*
 * Kernel events of NETLINK_KOBJECT_UEVENT, only from the kernel (port 0) and of one subsystem.
 * The socket is injected for tests: uevent_new() takes a descriptor (uevent_open() makes the real).
 */
#include "core/loop.h"
#include "core/sv.h"

struct uevent {
	struct sv action, devpath, subsystem,
	    pci_slot; /* "add", "/devices/...", "pci", "0000:65:00.0" */
};
struct uevent_watch;
int uevent_open(void); /* descriptor or -errno */
struct uevent_watch *uevent_new(struct loop *l, int fd, const char *subsystem,
				void (*fn)(void *arg, const struct uevent *ev), void *arg);
void uevent_free(struct uevent_watch **w);
/* 0, or -EBADMSG for what is not a kernel uevent. Views into `bytes`. */
int uevent_parse(struct sv bytes, struct uevent *out) NODISCARD;
