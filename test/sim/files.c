#include "test/sim/files.h"

#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/mem.h"
#include "test/lib/faults.h"

enum { IMAGES = 8, IMAGE_MAX = 8 << 20 };

/* A file as it was at its last sync. The oldest makes room: of ledgers there are one or two. */
struct image {
	uint64_t ino, at;
	char *bytes;
	size_t n;
};
static struct image images[IMAGES];
static uint64_t changes, syncs;
static bool were_failing, count_all;
static char failed[96];

static struct image *image_for(uint64_t ino)
{
	struct image *oldest = &images[0];

	for (size_t i = 0; i < IMAGES; i++) {
		if (images[i].ino == ino)
			return &images[i];
		if (images[i].at < oldest->at)
			oldest = &images[i];
	}
	return oldest;
}

static void keep(int fd)
{
	struct image *image;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > IMAGE_MAX)
		return;
	image = image_for((uint64_t)st.st_ino);
	mem_free(image->bytes);
	*image = (struct image){ .ino = (uint64_t)st.st_ino, .at = ++syncs };
	image->bytes = mem_alloc((size_t)st.st_size + 1);
	n = pread(fd, image->bytes, (size_t)st.st_size, 0);
	must(n >= 0);
	image->n = (size_t)n;
}

static void after(const char *call, int fd)
{
	changes++;
	if (strstr(call, "sync") && fd >= 0)
		keep(fd);
}

void files_begin(void)
{
	for (size_t i = 0; i < IMAGES; i++)
		mem_free(images[i].bytes);
	memset(images, 0, sizeof(images));
	changes = syncs = 0;
	count_all = false;
	failed[0] = '\0';
	were_failing = false;
	files_well();
}

uint64_t files_changes(void)
{
	return changes;
}

uint64_t files_syncs(void)
{
	return syncs;
}

void files_durable(const char *path, struct buf *out)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	for (size_t i = 0; i < IMAGES; i++)
		if (images[i].bytes && images[i].ino == (uint64_t)st.st_ino)
			buf_put(out, images[i].bytes, images[i].n);
}

/* ---- calls beyond those of test/lib/faults.h ---- */

enum { OURS_MAX = 1024 };
static bool ours[OURS_MAX]; /* descriptors of files in the folders that count */

static bool counts(const char *path)
{
	return count_all && (strstr(path, "/plugins") || strstr(path, "/cdi"));
}

static bool hit(const char *call, const char *path)
{
	bool is_hit = faults_hit(call);

	if (is_hit)
		snprintf(failed, sizeof(failed), "%s %s", call, path);
	return is_hit;
}

static bool is_ours(int fd)
{
	return count_all && fd >= 0 && fd < OURS_MAX && ours[fd];
}

/* Reading is the model's too, and so are the folders that it lists. */
static int open_call(int dir, const char *path, int flags, mode_t mode)
{
	bool mine = counts(path) && (flags & (O_WRONLY | O_RDWR));
	int fd;

	if (mine && hit("open", path))
		return -1;
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd >= 0 && fd < OURS_MAX)
		ours[fd] = mine;
	return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_call(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_call(dir, path, flags, mode);
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (is_ours(fd) && hit("write", ""))
		return -1;
	return syscall(SYS_write, fd, p, n);
}

int fchmod(int fd, mode_t mode)
{
	if (is_ours(fd) && hit("fchmod", ""))
		return -1;
	return (int)syscall(SYS_fchmod, fd, mode);
}

int chmod(const char *path, mode_t mode)
{
	if (counts(path) && hit("chmod", path))
		return -1;
	return (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
	if (counts(path) && hit("mkdir", path))
		return -1;
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int bind(int fd, const struct sockaddr *a, socklen_t n)
{
	const char *path = a->sa_family == AF_UNIX ? ((const struct sockaddr_un *)a)->sun_path : "";

	if (counts(path) && hit("bind", path))
		return -1;
	return (int)syscall(SYS_bind, fd, a, n);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (counts(path) && !strstr(path, "_registry") && hit("inotify_add_watch", path))
		return -1;
	return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

void files_count_all(void)
{
	count_all = true;
	faults.spare_sockets = false;
	faults.calls = 0;
}

int files_calls(void)
{
	return faults.calls;
}

const char *files_failed(void)
{
	return failed;
}

/* ---- */

void files_well(void)
{
	faults_off();
	faults.on = faults.spare_sockets = true;
	faults.after = after;
}

bool files_failing(void)
{
	return faults.fail_at || faults.limited;
}

bool files_were_failing(void)
{
	bool was = were_failing;

	were_failing = files_failing();
	return was;
}

void files_fail(const char *call, int n, int code)
{
	files_well();
	failed[0] = '\0';
	were_failing = true;
	faults.fail_on = call;
	faults.fail_at = n;
	faults.code = code;
}

void files_full(size_t bytes)
{
	files_well();
	were_failing = true;
	faults.limited = true;
	faults.space = bytes;
}
