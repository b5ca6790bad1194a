#pragma once
/*
 * inotify with paths: tells that something in a folder was made, removed, moved or its attributes
 * changed. A folder that does not exist yet is awaited through its nearest existing parent.
 * Queue overflow is told as a change with name NULL: look anew.
 */
#include "core/loop.h"

struct fswatch;
typedef void (*fswatch_fn)(void *arg, const char *name); /* entry name, NULL = anything */

int fswatch_new(struct loop *l, const char *folder, fswatch_fn fn, void *arg,
		struct fswatch **out) NODISCARD;
/* Only entries that begin so are told; what concerns the whole folder always is. */
void fswatch_only(struct fswatch *w, const char *prefix);
void fswatch_free(struct fswatch **w);
