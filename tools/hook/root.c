#include "tools/hook/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* linux/openat2.h, which musl's header folder does not have. */
struct open_how_v0 {
	uint64_t flags, mode, resolve;
};
#define HOW_NO_MAGICLINKS 0x02
#define HOW_IN_ROOT	  0x10
#define PROC_FS		  0x9fa0

#define RACES_MAX 64 /* openat2's EAGAIN: a rename beside ".." made the answer uncertain */
#define TEMPS_MAX 8  /* temporary names tried: one may be a folder of the image */

static int path_openat2(int root, const char *path)
{
	struct open_how_v0 how = { .flags = O_PATH | O_CLOEXEC,
				   .resolve = HOW_IN_ROOT | HOW_NO_MAGICLINKS };
	long fd;

	for (int i = 0; i < RACES_MAX; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

/*
 * The walk. stack[] holds a descriptor per folder from the root down, each opened from the one
 * above without following links, so ".." is a pop and can never leave the root; rest is what is
 * still to be walked, with the targets of links put in front of it.
 */
struct walk {
	int stack[ROOT_DEPTH_MAX];
	unsigned depth, links;
	char rest[2 * HOOK_PATH_MAX];
};

static void walk_pop_to(struct walk *w, unsigned depth)
{
	while (w->depth > depth)
		close(w->stack[--w->depth]);
}

static int walk_link(struct walk *w, int link)
{
	char target[HOOK_PATH_MAX];
	struct statfs fs;
	size_t rest;
	ssize_t len;

	if (++w->links > ROOT_LINKS_MAX)
		return -ELOOP;
	if (fstatfs(link, &fs) < 0)
		return -errno;
	if (fs.f_type == PROC_FS) /* may be a magic link: its text is not where it leads */
		return -ELOOP;
	len = readlinkat(link, "", target, sizeof(target) - 1);
	if (len <= 0)
		return len < 0 ? -errno : -ENOENT;
	rest = strlen(w->rest);
	if ((size_t)len + 1 + rest >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + len + 1, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)len);
	w->rest[len] = '/';
	if (target[0] == '/')
		walk_pop_to(w, 1);
	return 0;
}

static int walk_step(struct walk *w, const char *name)
{
	struct stat st;
	int fd, r;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		if (w->depth > 1)
			walk_pop_to(w, w->depth - 1);
		return 0;
	}
	if (w->depth >= ROOT_DEPTH_MAX)
		return -ENAMETOOLONG;
	fd = openat(w->stack[w->depth - 1], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (S_ISLNK(st.st_mode)) {
		r = walk_link(w, fd);
		close(fd);
		return r;
	}
	w->stack[w->depth++] = fd;
	return 0;
}

/* Cuts the next component off rest; false at the end. */
static bool walk_next(struct walk *w, char name[HOOK_NAME_MAX + 1], int *r)
{
	size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");

	if (len == 0)
		return false;
	if (len > HOOK_NAME_MAX) {
		*r = -ENAMETOOLONG;
		return false;
	}
	memcpy(name, w->rest + skip, len);
	name[len] = '\0';
	memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
	return true;
}

static int path_walk(int root, const char *path)
{
	char name[HOOK_NAME_MAX + 1];
	struct walk w = { .depth = 0 };
	int r = 0;

	if (strlen(path) >= HOOK_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(w.rest, path, strlen(path) + 1);
	w.stack[0] = fcntl(root, F_DUPFD_CLOEXEC, 0);
	if (w.stack[0] < 0)
		return -errno;
	w.depth = 1;
	while (r == 0 && walk_next(&w, name, &r))
		r = walk_step(&w, name);
	if (r == 0)
		r = w.stack[--w.depth];
	walk_pop_to(&w, 0);
	return r;
}

int root_init(struct root *root, const char *path, struct why *why)
{
	struct stat here, host;
	int r;

	*root = (struct root){ .fd = -1 };
	root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->fd < 0)
		return why_sys(why, -errno, "cannot open the container's root %s", path);
	if (fstat(root->fd, &here) < 0 || stat("/", &host) < 0) {
		r = why_sys(why, -errno, "cannot examine the container's root %s", path);
		root_done(root);
		return r;
	}
	if (here.st_dev == host.st_dev && here.st_ino == host.st_ino) {
		root_done(root);
		return why_set(why, -EINVAL,
			       "the container's root %s is the host's: nothing is changed there; "
			       "this program is a createContainer hook for a runtime",
			       path);
	}
	/* ENOSYS is an old kernel; EPERM an old seccomp filter around the runtime. */
	r = path_openat2(root->fd, ".");
	root->walk = r == -ENOSYS || r == -EPERM;
	close_fd(&r);
	return 0;
}

void root_done(struct root *root)
{
	close_fd(&root->fd);
}

int root_at(const struct root *root, const char *path)
{
	must(root->fd >= 0);
	if (path[0] == '\0')
		return -ENOENT;
	return root->walk ? path_walk(root->fd, path) : path_openat2(root->fd, path);
}

bool root_has(const struct root *root, const char *path)
{
	auto_close int fd = root_at(root, path);

	return fd >= 0;
}

static int reopen_dir(int fd)
{
	int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : dir;
}

int root_dir(const struct root *root, const char *path)
{
	auto_close int fd = root_at(root, path);

	return fd < 0 ? fd : reopen_dir(fd);
}

/* Makes one missing folder in `parent` and opens it; -ENOENT for a link that leads nowhere. */
static int make_dir(int parent, const char *name)
{
	int fd;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int root_mkdirs(const struct root *root, const char *path)
{
	char part[HOOK_PATH_MAX];
	auto_close int fd = root_at(root, "/");
	size_t at = 0, start;
	int next;

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	while (fd >= 0) {
		start = at + strspn(path + at, "/");
		if (path[start] == '\0')
			break;
		at = start + strcspn(path + start, "/");
		memcpy(part, path, at);
		part[at] = '\0';
		next = root_at(root, part);
		if (next == -ENOENT)
			next = make_dir(fd, part + start);
		close(fd);
		fd = next;
	}
	return fd < 0 ? fd : reopen_dir(fd);
}

/*
 * Opens for reading the very object that an O_PATH descriptor stands for: no path is resolved a
 * second time, so nothing can be swapped in between, and what is not a regular file is never
 * opened. /proc is the host's, as createContainer hooks run before the root is changed.
 */
static int reopen_file(int fd, struct stat *st)
{
	char link[32];
	int file;

	if (fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EMEDIUMTYPE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	file = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return file < 0 ? -errno : file;
}

int root_file(const struct root *root, const char *path, struct stat *st)
{
	auto_close int fd = root_at(root, path);

	return fd < 0 ? fd : reopen_file(fd, st);
}

ssize_t root_read_fd(int fd, char *buf, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	must(cap > 0);
	for (;;) {
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == cap)
			return -EFBIG;
	}
	buf[len] = '\0';
	return (ssize_t)len;
}

ssize_t root_read(const struct root *root, const char *path, char *buf, size_t cap)
{
	struct stat st;
	auto_close int fd = root_file(root, path, &st);

	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size >= cap)
		return -EFBIG;
	return root_read_fd(fd, buf, cap);
}

static int write_all(int fd, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* True when `name` is a regular file, seen without following links, that holds just these bytes. */
static bool holds(int dir, const char *name, const char *bytes, size_t len)
{
	char part[4096];
	struct stat st;
	auto_close int path = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	auto_close int fd = path < 0 ? -1 : reopen_file(path, &st);
	size_t at = 0;
	ssize_t n;

	if (fd < 0 || (uint64_t)st.st_size != len || (st.st_mode & 07777) != 0644)
		return false;
	while (at < len) {
		n = read(fd, part, sizeof(part));
		if (n <= 0 || (size_t)n > len - at || memcmp(part, bytes + at, (size_t)n) != 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* Fills temp `name` of `dir` and closes it. */
static int make_file(int dir, const char *name, const char *bytes, size_t len)
{
	auto_close int fd = -1;
	int r;

	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, bytes, len);
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	return r;
}

/*
 * Puts a new file (target NULL) or link under `name`. The temporary names are fixed, so what a
 * killed hook left is taken away by the next one; when two hooks meet in a folder that two
 * containers share, the loser finds its temporary gone (-ENOENT) and tries again.
 */
static int replace(int dir, const char *name, const char *target, const char *bytes, size_t len)
{
	char temp[HOOK_NAME_MAX + 1];
	int r = -EEXIST;

	if (strlen(name) + sizeof("..tundra0") > sizeof(temp))
		return -ENAMETOOLONG;
	for (int i = 0; i < TEMPS_MAX; i++) {
		snprintf(temp, sizeof(temp), ".%s.tundra%d", name, i);
		unlinkat(dir, temp, 0);
		if (target)
			r = symlinkat(target, dir, temp) < 0 ? -errno : 0;
		else
			r = make_file(dir, temp, bytes, len);
		if (r == -EEXIST)
			continue;
		if (r == 0 && renameat(dir, temp, dir, name) < 0)
			r = -errno;
		if (r == 0)
			return 0;
		unlinkat(dir, temp, 0);
		if (r != -ENOENT)
			return r;
	}
	return r;
}

/* Temporary names that an earlier hook left when it was killed and that are not needed now. */
static void sweep(int dir, const char *name)
{
	char temp[HOOK_NAME_MAX + 16];

	snprintf(temp, sizeof(temp), ".%s.tundra0", name);
	unlinkat(dir, temp, 0);
}

int root_put(int dir, const char *name, const char *bytes, size_t len)
{
	if (holds(dir, name, bytes, len)) {
		sweep(dir, name);
		return ROOT_SAME;
	}
	return replace(dir, name, NULL, bytes, len);
}

int root_link(int dir, const char *name, const char *target)
{
	char now[HOOK_PATH_MAX];
	ssize_t len;

	if (target[0] == '\0' || strlen(target) >= sizeof(now))
		return target[0] ? -ENAMETOOLONG : -EINVAL;
	len = readlinkat(dir, name, now, sizeof(now));
	if (len == (ssize_t)strlen(target) && memcmp(now, target, (size_t)len) == 0) {
		sweep(dir, name);
		return ROOT_SAME;
	}
	return replace(dir, name, target, NULL, 0);
}

int root_split(const char *path, char dir[HOOK_PATH_MAX], const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	*name = slash ? slash + 1 : path;
	if (**name == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return -EINVAL;
	if (len >= HOOK_PATH_MAX - 1 || strlen(*name) > HOOK_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0) {
		dir[0] = '/';
		len = 1;
	} else {
		memcpy(dir, path, len);
	}
	dir[len] = '\0';
	return 0;
}
