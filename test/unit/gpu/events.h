#pragma once
/* What tests of inventory and hotplug make happen: time passes, the kernel tells of a device. */
#include "test/unit/gpu/unit.h"

#include <sys/socket.h>

#include "core/loop.h"

static inline void on_passed(void *arg)
{
	*(bool *)arg = true;
}

/* Lets `ms` of virtual time pass, and all that happens in it. */
static inline void pass_ms(struct loop *l, uint64_t ms)
{
	struct loop_timer timer;
	bool passed = false;

	loop_timer_init(&timer, l, on_passed, &passed);
	loop_timer_set(&timer, ms);
	while (!passed)
		loop_turn(l, -1);
}

/* Takes the place of the kernel's socket: [0] is ours, [1] the tested module's. */
static inline void uevents_open(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			 0);
}

static inline void uevents_tell(const int pair[2], const char *pci)
{
	char bytes[256];
	int n = snprintf(bytes, sizeof(bytes),
			 "change@/devices/x%cACTION=change%cDEVPATH=/devices/x%cSUBSYSTEM=pci%c"
			 "PCI_SLOT_NAME=%s",
			 0, 0, 0, 0, pci);

	assert_int_equal(send(pair[0], bytes, (size_t)n + 1, 0), n + 1);
}
