#pragma once
/* Where the world is mounted. One struct, handed down from main, so that a test gives another
 * world. */
#include "core/base.h"

struct roots {
	const char *dev;     /* /dev */
	const char *proc;    /* /proc */
	const char *devices; /* majors of device nodes; NULL = <proc>/devices */
	const char *sys;     /* /sys */
	const char
	    *driver; /* driver root as this process sees it, e.g. /driver-root; "" = find it */
	const char *driver_host; /* the same folder as the host sees it, e.g. / */
	const char *plugins;	 /* /var/lib/kubelet/plugins */
	const char *registry;	 /* /var/lib/kubelet/plugins_registry */
	const char *cdi;	 /* /var/run/cdi */
	const char *run;	 /* our own sockets: /run/tundra */
	const char *boot_id;	 /* file, /proc/sys/kernel/random/boot_id */
};
