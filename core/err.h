#pragma once
/*
 * Text for a human beside a return code. A caller that will show a failure (kubelet, event, user)
 * passes a struct err; the callee that knows writes it once, callers above wrap it with context.
 * Fixed size: no allocation on an error path. NULL is allowed everywhere: the text is dropped.
 */
#include "core/base.h"

enum { ERR_TEXT_MAX = 512 };

struct err {
	char text[ERR_TEXT_MAX];
};

/* Replaces the text. Returns `code` so that `return err_set(e, -ENOENT, "...")` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* err_set() with ": <strerror(-code)>" appended; code is a negative errno. */
int err_sys(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* Puts "context: " in front of the present text. Returns `code`. */
int err_wrap(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);
/* The text, or "" for NULL. */
const char *err_text(const struct err *e);
