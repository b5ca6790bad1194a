#pragma once
/* Where the world is mounted: one struct, handed down from main, so that a test gives another. */
#include "core/base.h"

struct roots {
	const char *dev;	  /* /dev */
	const char *proc;	  /* /proc */
	const char *sys;	  /* /sys */
	const char *proc_devices; /* instead of <proc>/devices, for mock drivers; NULL */
	/* Driver root as this process sees it ("/driver-root"; "" = find it), and as the host does.
	 */
	const char *driver, *driver_host;
	const char *plugins;  /* /var/lib/kubelet/plugins */
	const char *registry; /* /var/lib/kubelet/plugins_registry */
	const char *cdi;      /* /var/run/cdi */
	const char *run;      /* our own sockets: /run/tundra */
	const char *boot_id;  /* file, /proc/sys/kernel/random/boot_id */
};
