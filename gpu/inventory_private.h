#pragma once
/* What inventory.c (life, state, triggers) and inventory_merge.c (devices) share; nobody else's. */
#include "core/slab.h"
#include "gpu/inventory.h"
#include "gpu/scan.h"
#include "gpu/vendor.h"

enum {
	INV_VENDORS_MAX = 8,
	INV_DEVICES_MAX = 1024, /* of a slab: present, absent and replaced ones of all vendors */
	INV_ABSENT_MAX = 64,	/* remembered though gone; the longest gone is forgotten first */
};

struct inv_device {
	struct gpu_device d; /* first: a handle's object is the device */
	char *facts;	     /* as the worker last told them: links of a GPU that is gone count */
	size_t facts_n;
	uint64_t gone_ms;
	bool met; /* in this round's answer */
};

struct inv_vendor {
	struct inventory *inv;
	const struct gpu_vendor *vendor;
	struct scan *scan;
	enum inventory_state state;
	char reason[GPU_MSG_REASON_MAX + 1];
	unsigned failures;
	struct backoff retry_delay, reprobe_delay;
	struct loop_timer retry;   /* not ready: ask again */
	struct loop_timer reprobe; /* ready, but a GPU hangs: ask for it again */
	struct gpu_edits edits;	   /* common to its devices */
	bool known;		   /* edits are of a driver that answered */
	bool prompted;		   /* this round was asked for by an event */
};

struct inv_listener {
	struct list node;
	void (*fn)(void *arg, unsigned changed);
	void *arg;
};

struct inventory {
	struct loop *loop;
	struct roots roots;
	const struct gpu_vendor *const *table;
	bool extras, started;
	struct hotplug *hotplug;
	unsigned pci_vendors[INV_VENDORS_MAX + 1];
	int uevent_fd;
	struct inv_vendor vendors[INV_VENDORS_MAX];
	size_t vendors_n;
	struct slab *slab;
	struct list devices;
	struct list listeners;
	enum inventory_state state;
	char reason[GPU_MSG_REASON_MAX + 1];
	uint64_t since_ms;
	struct loop_task notify;
	unsigned changed; /* not told yet */
};

/* Takes a successful round over into the list of devices. True when anything differs. */
bool inventory_merge(struct inv_vendor *v, struct scan_result *r);
void inventory_forget(struct inventory *inv, struct inv_device *x);
static inline struct inv_device *inv_of(struct gpu_device *d)
{
	return container_of(d, struct inv_device, d);
}
