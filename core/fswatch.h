#pragma once
/*
 * inotify with paths: tells that something in a folder was made, removed, moved or its attributes
 * changed. A folder that does not exist yet is awaited through its nearest existing parent.
 * Queue overflow is told as a change with name NULL: look anew. So is the folder's own coming and
 * going, also when a parent of it was moved or removed.
 *
 * All watches of a loop share two inotify descriptors: a kernel allows 128 per user by default, for
 * all programs of a node. Nothing runs while nothing happens. Not noticed: a file system mounted
 * over the folder or unmounted from it above its root, a symbolic link in the path that is turned.
 */
#include "core/loop.h"

struct fswatch;
typedef void (*fswatch_fn)(void *arg, const char *name); /* entry name, NULL = anything */

/*
 * Tells nothing about what is there already: look once after this returned. The path is absolute.
 * -EMFILE and -ENOSPC: the kernel's limits on inotify. fn may be called several times in a turn;
 * it may not free the watch (loop_defer_free() may), but others.
 */
int fswatch_new(struct loop *l, const char *folder, fswatch_fn fn, void *arg,
		struct fswatch **out) NODISCARD;
/* Only entries that begin so are told; what concerns the whole folder always is. */
void fswatch_only(struct fswatch *w, const char *prefix);
void fswatch_free(struct fswatch **w);
