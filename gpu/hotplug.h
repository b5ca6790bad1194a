#pragma once
/*
 * Notices that the node's devices or drivers may have changed: entries of folders (device nodes,
 * libraries) and PCI uevents. Bursts are gathered, so that one change is one look; looks that find
 * nothing new make the next ones rarer, so that a driver which touches its own files when it is
 * asked cannot keep us busy. Folders and devices are paced apart: a folder's noise does not hide
 * that a GPU went.
 * Owner: struct inventory.
 */
#include "core/loop.h"
#include "core/roots.h"
#include "gpu/proto/messages.h"

enum {
	HOTPLUG_QUIET_MS = 250, /* after the last event of a burst */
	HOTPLUG_MOST_MS = 600,	/* after its first: followed within a second whatever comes */
	HOTPLUG_IDLE_LOOKS = 4, /* fruitless looks in a row that are still prompt */
	HOTPLUG_SLOWEST_MS = 60000,
	HOTPLUG_REARM_MS = 30000, /* a folder that cannot be watched is tried again */
	HOTPLUG_FOLDERS_MAX = 64,
};

struct hotplug;
struct hotplug_conf {
	const struct roots *roots;
	int uevent_fd; /* -1 = open the real one */
	/* PCI vendor ids that matter; ends with 0. */
	const unsigned *pci_vendors;
	/* Whether a PCI address is one of ours (its sysfs entry may be gone). */
	bool (*ours)(void *arg, struct sv pci);
	/* At once: a device of this address came, went or was rebound. A look follows. */
	void (*device)(void *arg, const char *pci);
	/* Look anew, and tell hotplug_result(). */
	void (*changed)(void *arg, const char *why);
	void *arg;
};

struct hotplug *hotplug_new(struct loop *l, const struct hotplug_conf *conf);
void hotplug_free(struct hotplug **h);
/* The folders to watch on behalf of `owner`; replaces its former ones, keeps equal ones. */
void hotplug_watch(struct hotplug *h, const void *owner, const struct gpu_watch *folders, size_t n);
/* What the look after a change found: nothing new slows down, something new speeds up. */
void hotplug_result(struct hotplug *h, bool news);
