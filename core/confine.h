#pragma once
/*
 * What a process may still do, given up for good: capabilities (capabilities(7)) and system calls
 * (seccomp(2); amd64 and arm64). What a call may do is a table of groups, each with its reason; the
 * first row that fits a call decides.
 *
 * A call that no list names is answered ENOSYS where a list is all there is: as on an older kernel,
 * so a libc that tries a newer call falls back to one it used before. Nothing is ever killed for a
 * call. What is dangerous is answered EPERM. The kernel's log names each refusal (type=1326).
 */
#include <linux/filter.h>

#include "core/base.h"

/* Which calls of that number: compared are the low 32 bits of argument `arg` with `value`. */
enum confine_test {
	CONFINE_ANY,
	CONFINE_EQUALS,
	CONFINE_HAS, /* one of the bits of `value` at least */
	CONFINE_SELF /* the pid of the process that is confined */
};
/* Without pointers, so that the tables are shared and not relocated in each process. */
struct confine_call {
	char name[20]; /* "" ends the calls of a group */
	int16_t nr;    /* -1: this architecture has no such call */
	uint8_t test;  /* enum confine_test */
	uint8_t arg;
	uint32_t value;
};
struct confine_group {
	const char *name; /* NULL ends a list */
	const char *why;
	int error; /* 0: allowed; else the errno of the answer */
	const struct confine_call *calls;
};

/* What nothing of ours ever needs, and who took us over would. First in every filter. */
extern const struct confine_group confine_dangerous[];
/* Memory, time, signals, its own end: what any C program does. */
extern const struct confine_group confine_basics[];
/* No memory becomes code: not for who loads libraries. Stands before confine_basics. */
extern const struct confine_group confine_no_code[];

/*
 * Drops from the bounding, permitted, inheritable and ambient sets what `keep` (bits by number)
 * lacks; the effective set is what is left, or nothing. Not root: nothing to lose. What the kernel
 * refuses is logged: less is not worse than before.
 */
void confine_caps(uint64_t keep, bool effective);
/*
 * no_new_privs, then a filter of confine_dangerous and the n lists (first wins); `rest` is the
 * errno of what none names, 0: allowed. Filters add up; the strictest answer counts. A kernel
 * without seccomp is logged.
 */
void confine_calls(const struct confine_group *const *lists, size_t n, int rest);

/* The program of a filter of exactly these lists, not installed. Returns its instructions. */
enum { CONFINE_PROGRAM_MAX = 1024 };
size_t confine_program(const struct confine_group *const *lists, size_t n, int rest,
		       struct sock_filter out[CONFINE_PROGRAM_MAX]);
