#pragma once
/*
 * What the kernel says about a process and its children: memory, time, switches, disk. Each is the
 * sum over all of them; a child that ended is no longer part of it.
 */
#include "core/err.h"

#include <sys/types.h>

struct procs {
	size_t n;
	uint64_t pss_kb, private_kb; /* smaps_rollup */
	uint64_t cpu_us;	     /* on a processor, user and system */
	uint64_t voluntary, involuntary;
	uint64_t write_bytes; /* caused to be written to a disk; tmpfs does not count */
};

/* Of a process and its children; _all: of several, sorted in place, with one look at /proc. */
int procs_read_all(pid_t *roots, size_t n, struct procs *out, struct err *e) NODISCARD;
int procs_read(pid_t root, struct procs *out, struct err *e) NODISCARD;
double procs_mb(const struct procs *p); /* PSS in 10^6 bytes, as the budgets are written */
/* Each process alone, with its name, as lines on stderr. */
void procs_tell(pid_t root, const char *title);
