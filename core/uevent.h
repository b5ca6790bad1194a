#pragma once
/*
 * Kernel events of NETLINK_KOBJECT_UEVENT, only from the kernel (port 0) and of one subsystem.
 * The socket is injected for tests: uevent_new() takes a descriptor (uevent_open() makes the real).
 * A socket that is no netlink socket (a test's socketpair) has no sender to check.
 */
#include "core/loop.h"
#include "core/sv.h"

struct uevent {
	struct sv action;    /* "add" */
	struct sv devpath;   /* "/devices/..." */
	struct sv subsystem; /* "pci" */
	struct sv pci_slot;  /* "0000:65:00.0" */
};
struct uevent_watch;
int uevent_open(void); /* descriptor or -errno */
/*
 * Does not own `fd` (non-blocking). Events of other subsystems are dropped here. When the kernel
 * had to drop some, an event "change" of the subsystem with empty devpath and pci_slot says: look
 * anew.
 */
struct uevent_watch *uevent_new(struct loop *l, int fd, const char *subsystem,
				void (*fn)(void *arg, const struct uevent *ev), void *arg);
void uevent_free(struct uevent_watch **w);
/* 0, or -EBADMSG for what is not a kernel uevent. Views into `bytes`. */
int uevent_parse(struct sv bytes, struct uevent *out) NODISCARD;
