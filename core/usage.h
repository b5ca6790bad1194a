#pragma once
/*
 * What this process takes from the machine, as the kernel counts it. Read when somebody asks (a
 * scrape); nothing is kept or polled. /proc is the process's own, whatever roots the node was
 * given.
 */
#include "core/base.h"

struct usage {
	double cpu_s; /* user and system, without child processes */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds; /* max: the soft limit; UINT64_MAX = none */
};
/* What could not be read is 0, and the first reason is returned. */
int usage_read(struct usage *u) NODISCARD;
/* When this process began, in Unix seconds; 0 if that cannot be read. */
double usage_started(void);
