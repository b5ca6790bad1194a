#pragma once
/*
 * The container's root as a place that may be hostile. Every path is resolved by the kernel with
 * openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), so "..", absolute links and swapped folders
 * end inside the root; where openat2 is missing (Linux < 5.6, old seccomp filters) a walk of our
 * own opens one component at a time without following anything. Nothing but regular files and
 * folders is ever opened: others are seen through O_PATH only, so a FIFO does not block and a
 * device is not touched. Writes are a temporary name and a rename in one folder that is held
 * open: a reader, or a hook killed at any point, sees the old or the new, never a part.
 *
 * File systems of a container are not synced: what a power cut takes, it takes with the container.
 */
#include <sys/stat.h>

#include "tools/hook/base.h"
#include "tools/hook/why.h"

enum {
	ROOT_LINKS_MAX = 40,  /* symbolic links in one path, as the kernel's */
	ROOT_DEPTH_MAX = 128, /* folders in one path: the walk holds an fd for each */
	ROOT_SAME = 1,	      /* root_put(), root_link(): it is already so, nothing was changed */
};

/* Owner: the command, by value. */
struct root {
	int fd;
	bool walk; /* do not use openat2; a test may set it */
};

/* `path` is the host's and trusted. The host's own root is refused. */
int root_init(struct root *root, const char *path, struct why *why) NODISCARD;
void root_done(struct root *root);

/* O_PATH descriptor of what `path` leads to inside the root, or a negative errno. */
int root_at(const struct root *root, const char *path) NODISCARD;
bool root_has(const struct root *root, const char *path);
/* Readable descriptor of a folder. */
int root_dir(const struct root *root, const char *path) NODISCARD;
/* root_dir() that makes missing folders, mode 0755. */
int root_mkdirs(const struct root *root, const char *path) NODISCARD;
/* Readable descriptor of a regular file and what it is; -EMEDIUMTYPE for anything else. */
int root_file(const struct root *root, const char *path, struct stat *st) NODISCARD;
/* Contents of a regular file of at most cap - 1 bytes, NUL-terminated: its length, or -EFBIG. */
ssize_t root_read(const struct root *root, const char *path, char *buf, size_t cap) NODISCARD;
/* The same of a descriptor from root_file() or of a host file. */
ssize_t root_read_fd(int fd, char *buf, size_t cap) NODISCARD;

/*
 * Makes `name` in the folder `dir` a file (mode 0644) with these bytes. 0, ROOT_SAME when it is
 * a regular file with just these bytes already, or a negative errno.
 */
int root_put(int dir, const char *name, const char *bytes, size_t len) NODISCARD;
/* Makes `name` in the folder `dir` a symbolic link to `target`; 0, ROOT_SAME or -errno. */
int root_link(int dir, const char *name, const char *target) NODISCARD;

/* Splits "/a/b/c" into "/a/b" and "c"; -EINVAL when no name is left or it is "." or "..". */
int root_split(const char *path, char dir[HOOK_PATH_MAX], const char **name) NODISCARD;
