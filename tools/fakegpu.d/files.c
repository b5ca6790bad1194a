#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/fakegpu.d/fakegpu.h"

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("fakegpu: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

const char *join(char *buf, unsigned int len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, len, fmt, ap);
	va_end(ap);
	if (n < 0 || (unsigned int)n >= len)
		die("path too long: %s", buf);
	return buf;
}

void put_dirs(const char *path)
{
	char buf[1024];
	char *p;

	join(buf, sizeof(buf), "%s", path);
	for (p = buf + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(buf, 0755) < 0 && errno != EEXIST)
			die("mkdir %s: %s", buf, strerror(errno));
		*p = '/';
	}
}

void put(const char *path, const char *fmt, ...)
{
	va_list ap;
	FILE *f;

	put_dirs(path);
	f = fopen(path, "we");
	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	if (fclose(f) != 0)
		die("%s: %s", path, strerror(errno));
}

void put_link(const char *path, const char *target)
{
	put_dirs(path);
	unlink(path);
	if (symlink(target, path) < 0)
		die("symlink %s: %s", path, strerror(errno));
}

/* Written beside and renamed: a process that has the old library mapped keeps it whole. */
void put_copy(const char *path, const char *from)
{
	char tmp[1024];
	char buf[65536];
	ssize_t n;
	int in;
	int out;

	put_dirs(path);
	join(tmp, sizeof(tmp), "%s.new", path);
	in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		die("%s: %s", from, strerror(errno));
	out = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (out < 0)
		die("%s: %s", tmp, strerror(errno));
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			die("%s: %s", tmp, strerror(errno));
	close(in);
	if (n < 0 || close(out) < 0 || rename(tmp, path) < 0)
		die("%s: %s", path, strerror(errno));
}

void put_script(const char *path, const char *text)
{
	put(path, "%s", text);
	if (chmod(path, 0755) < 0)
		die("chmod %s: %s", path, strerror(errno));
}

/* A socket's place in the file system with nobody behind it. mknod needs no path limit of 108
 * bytes and no process. */
void put_socket(const char *path)
{
	put_dirs(path);
	unlink(path);
	if (mknod(path, S_IFSOCK | 0777, 0) < 0)
		die("socket %s: %s", path, strerror(errno));
}

void put_node(const char *path, bool real, uint32_t mode, uint32_t major, uint32_t minor)
{
	struct stat sb;
	int fd;

	put_dirs(path);
	if (!real) {
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		fchmod(fd, mode);
		close(fd);
		return;
	}
	if (lstat(path, &sb) == 0) {
		if (S_ISCHR(sb.st_mode) && sb.st_rdev == makedev(major, minor))
			return;
		if (!S_ISREG(sb.st_mode) || sb.st_size != 0)
			die("%s is there and is not ours; choose another --dev-dir", path);
		unlink(path);
	}
	if (mknod(path, S_IFCHR | mode, makedev(major, minor)) < 0)
		die("mknod %s: %s (needs root)", path, strerror(errno));
	chmod(path, mode); /* whatever the umask took */
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
	(void)sb;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void remove_tree(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		die("cannot remove %s: %s", path, strerror(errno));
}
