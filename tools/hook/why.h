#pragma once
/*
 * What the hook tells a human: one error line (kept here until main prints it), a bounded number
 * of warnings, and debug lines when asked for. Names that come from the container are printed
 * with control characters replaced, so a line stays one line in the runtime's log.
 * Owner: main(), one per run; everybody else borrows it.
 */
#include "tools/hook/base.h"

enum {
	WHY_TEXT_MAX = 1024,
	WHY_WARN_MAX = 20, /* a hostile root can hold thousands of odd files */
};

struct why {
	bool debug, quiet;
	unsigned warned;
	char text[WHY_TEXT_MAX];
};

/* Replaces the error text; returns `code` so that `return why_set(w, -ENOENT, ...)` reads well. */
int why_set(struct why *w, int code, const char *fmt, ...) PRINTF(3, 4);
/* why_set() with ": <strerror(-code)>" appended; code is a negative errno. */
int why_sys(struct why *w, int code, const char *fmt, ...) PRINTF(3, 4);
/* Written to stderr at once. After WHY_WARN_MAX lines a last one says that the rest is dropped. */
void why_warn(struct why *w, const char *fmt, ...) PRINTF(2, 3);
/* Written to stderr only with --debug. */
void why_debug(const struct why *w, const char *fmt, ...) PRINTF(2, 3);
/* The one error line, for main(). */
void why_print(const struct why *w);
