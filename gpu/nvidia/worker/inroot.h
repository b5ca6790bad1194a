#pragma once
/*
 * Paths inside another root folder, as a process living in that root would see them: absolute
 * symbolic links lead from the root, ".." stops at it. openat2(2) could do this, but kernels of
 * still supported distributions lack it. Not for hostile roots: what is checked may be changed
 * before it is used. The driver root belongs to the node's administrator.
 */
#include "core/sv.h"

enum { INROOT_PATH_MAX = 511 };
struct inroot_path {
	char s[INROOT_PATH_MAX + 1];
};

/* `path` below `root`: "/driver-root" + "/usr/lib". "" and "/" are the root itself. */
int inroot_join(const char *root, const char *path, struct inroot_path *out) NODISCARD;
/* The path inside the root with all links followed: begins with '/'. -ENOENT, -ELOOP ... */
int inroot_resolve(const char *root, const char *path, struct inroot_path *out) NODISCARD;
/* inroot_resolve() to something of type `type` (S_IFREG ...), 0 = any. -ENOENT for another. */
int inroot_find(const char *root, const char *path, unsigned type,
		struct inroot_path *out) NODISCARD;
