#pragma once
/*
 * Containers whose C library is musl (Alpine) have no loader cache: musl reads folders from
 * /etc/ld-musl-<arch>.path, and from /lib, /usr/local/lib and /usr/lib where that is missing.
 */
#include "tools/hook/paths.h"
#include "tools/hook/root.h"

enum { MUSL_PATH_FILE_MAX = 64 * 1024 };

/*
 * "x86_64", "aarch64", or NULL when the container does not use musl. A glibc distribution that has
 * musl's loader installed as well (`glibc`) is left alone: its musl has a search path of its own.
 */
const char *musl_arch(const struct root *root, bool glibc);
/* The file's new text, malloc'ed, or NULL without memory: folders that `old` lacks go first. */
char *musl_merge(const char *old, const struct paths *folders);
/* Adds the folders to the path file of the container. */
int musl_update(const struct root *root, const char *arch, const struct paths *folders,
		struct why *why) NODISCARD;
