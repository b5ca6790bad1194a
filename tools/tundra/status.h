#pragma once
/* Asking the running node for its status, blocking: for commands. */
#include "core/buf.h"
#include "core/err.h"

#define STATUS_ANSWER_MAX ((size_t)64 << 20) /* 10 000 claims: about 4 MB */

/*
 * The JSON that the node on <run_folder>/status.sock answers, as a view into `answer` (initialised
 * by the caller). Waits 10 s at most. -ENOENT, -ECONNREFUSED: no node runs here; text set.
 */
int status_fetch(const char *run_folder, struct buf *answer, struct sv *body,
		 struct err *e) NODISCARD;
