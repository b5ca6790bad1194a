#pragma once
/*
 * Searches library folders as ldconfig does: the newest library of each SONAME goes into the
 * cache, and a link SONAME -> library is made where it is missing or wrong. Unlike ldconfig it
 * never removes a link, never replaces a file by one, and lists only what is there.
 */
#include "tools/hook/ldcache.h"
#include "tools/hook/root.h"

enum {
	SCAN_DIRS_MAX = 2048,	   /* glibc-hwcaps folders included */
	SCAN_FILES_MAX = 65536,	   /* libraries examined in one run */
	SCAN_LISTED_MAX = 1 << 20, /* directory entries looked at in one run */
};

/* Owner: the command, by value. */
struct scan {
	const struct root *root;
	struct ldcache *cache;
	struct why *why;
	struct {
		dev_t dev;
		ino_t ino;
	} * seen; /* folders searched: /lib and /usr/lib are often one */
	size_t nseen;
	size_t files, listed, links;
};

int scan_init(struct scan *s, const struct root *root, struct ldcache *cache,
	      struct why *why) NODISCARD;
void scan_done(struct scan *s);
/*
 * Searches `path` and its glibc-hwcaps folders. A folder that is missing or was searched before is
 * passed over. Negative errno only for want of memory or past a limit.
 */
int scan_dir(struct scan *s, const char *path) NODISCARD;
