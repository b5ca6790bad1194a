#pragma once
/*
 * What every file of the hook needs. The hook is static musl and links nothing of core/, so the
 * few words it shares with the rest of the house are repeated here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NODISCARD	  __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a)	  (sizeof(a) / sizeof((a)[0]))

/* A programmer's error. Always on: a hook that is wrong must stop before it writes. */
#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "tundra-cdi-hook: bug: %s:%d: %s\n", __FILE__, __LINE__,   \
				#cond);                                                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum {
	HOOK_PATH_MAX = 4096, /* as the kernel's, terminator included */
	HOOK_NAME_MAX = 255,  /* one path component */
};

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A descriptor of this scope; -1 or a negative errno is none. */
#define auto_close __attribute__((cleanup(close_fd)))
