#include "core/fsx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { CHUNK = 64 << 10, PAGE = 4096, LINE_FILE_MAX = 4096, TEMP_TRIES = 16, LOCK_TRIES = 16 };
/* '.', 16 hex digits, ".tmp", NUL */
enum { TEMP_NAME = 1 + 16 + 4 + 1 };

/* Reading */

/* How much to ask for: all of a file that tells its size in one read, one byte more than allowed to
 * tell "as big as allowed" from "too big", and no more than the buffer takes. */
static size_t read_want(int fd, size_t max, size_t got, const struct buf *out)
{
	struct stat st;
	size_t size = 0, want;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		size = (size_t)st.st_size;
	want = size > got ? size - got + 1 : (size_t)PAGE;
	want = MIN(want, max - got + 1);
	return MIN(want, out->cap - buf_len(out));
}

static int read_all(int fd, size_t max, struct buf *out)
{
	size_t got = 0, want;
	char beyond;
	ssize_t n;

	for (;;) {
		want = read_want(fd, max, got, out);
		n = read(fd, want ? buf_reserve(out, want) : &beyond, want ? want : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return 0;
		got += (size_t)n;
		if (got > max || !want)
			return -EFBIG;
		buf_commit(out, (size_t)n);
	}
}

int fsx_read_fd(int fd, size_t max, struct buf *out)
{
	size_t before = buf_len(out);
	int r;

	must(max < SIZE_MAX);
	r = read_all(fd, max, out);
	if (r)
		out->end = out->start + before;
	return r;
}

int fsx_read_at(int dirfd, const char *path, size_t max, struct buf *out)
{
	int fd, r;

	/* O_NONBLOCK: a fifo someone put there must not stop us. */
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	r = fsx_read_fd(fd, max, out);
	close(fd);
	return r;
}

int fsx_read(const char *path, size_t max, struct buf *out)
{
	return fsx_read_at(AT_FDCWD, path, max, out);
}

int fsx_line(const char *path, char *out, size_t size)
{
	struct buf b;
	struct sv text, line;
	int r;

	must(size > 0);
	out[0] = '\0';
	buf_init(&b, LINE_FILE_MAX + 1);
	r = fsx_read(path, LINE_FILE_MAX, &b);
	if (!r) {
		text = buf_sv(&b);
		line = sv_trim(sv_cut(&text, '\n'));
		if (!sv_copy(out, size, line))
			r = -EFBIG;
	}
	if (r)
		out[0] = '\0';
	buf_done(&b);
	return r;
}

bool fsx_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

int fsx_readlink(const char *path, char *out, size_t size)
{
	ssize_t n;

	must(size > 0);
	n = readlink(path, out, size);
	if (n < 0) {
		out[0] = '\0';
		return -errno;
	}
	if ((size_t)n == size) {
		out[0] = '\0';
		return -ENAMETOOLONG;
	}
	out[n] = '\0';
	return 0;
}

/* Writing */

int fsx_write_all(int fd, struct sv content)
{
	ssize_t n;

	while (content.n) {
		n = write(fd, content.p, content.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* never for files; better than a busy loop */
		content = sv_drop(content, (size_t)n);
	}
	return 0;
}

/* Folder of a path, "." when there is none. False: too long, or nothing behind the last slash. */
static bool folder_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	struct sv folder = SV(".");

	if (slash == path)
		folder = SV("/");
	else if (slash)
		folder = sv_make(path, (size_t)(slash - path));
	return (slash ? slash[1] : path[0]) && sv_copy(out, size, folder);
}

struct temp {
	char path[PATH_MAX], folder[PATH_MAX];
	int fd;
};

/* The name is random and not made from the target's: two processes that replace one file must not
 * write into the same temporary one, and the target's name may already be as long as allowed. */
static int temp_open(const char *path, struct temp *t)
{
	uint64_t dice;
	int i, n;

	t->fd = -1;
	if (!folder_of(path, t->folder, sizeof(t->folder)))
		return strlen(path) < sizeof(t->folder) ? -EISDIR : -ENAMETOOLONG;
	for (i = 0; i < TEMP_TRIES; i++) {
		if (getrandom(&dice, sizeof(dice), 0) != (ssize_t)sizeof(dice))
			return -EIO;
		n = snprintf(t->path, sizeof(t->path), "%s/.%016llx.tmp", t->folder,
			     (unsigned long long)dice);
		if (n < 0 || (size_t)n >= sizeof(t->path))
			return -ENAMETOOLONG;
		t->fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (t->fd >= 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* Ends what temp_open() began: `r` is how the writing went. The file stays if all is well. */
static int temp_close(struct temp *t, unsigned mode, unsigned flags, int r)
{
	if (t->fd < 0)
		return r;
	/* Not by open(): the umask is not ours to trust. */
	if (!r && fchmod(t->fd, (mode_t)mode))
		r = -errno;
	if (!r && (flags & FSX_SYNC) && fdatasync(t->fd))
		r = -errno;
	/* A file system may tell only now that the data did not fit. */
	if (close(t->fd) && !r)
		r = -errno;
	if (r)
		(void)unlink(t->path);
	return r;
}

static int temp_rename(struct temp *t, const char *path, unsigned flags)
{
	int r;

	if (rename(t->path, path)) {
		r = -errno;
		(void)unlink(t->path);
		return r;
	}
	return flags & FSX_SYNC ? fsx_sync_dir(t->folder) : 0;
}

int fsx_replace(const char *path, struct sv content, unsigned mode, unsigned flags)
{
	struct temp t;
	int r;

	r = temp_open(path, &t);
	if (!r)
		r = fsx_write_all(t.fd, content);
	r = temp_close(&t, mode, flags, r);
	return r ? r : temp_rename(&t, path, flags);
}

int fsx_stage(const char *path, struct sv content, unsigned mode, char *temp, size_t size)
{
	struct temp t;
	int r;

	r = temp_open(path, &t);
	if (!r)
		r = strlen(t.path) < size ? fsx_write_all(t.fd, content) : -ENAMETOOLONG;
	r = temp_close(&t, mode, 0, r);
	if (!r)
		(void)sv_copy(temp, size, sv_str(t.path));
	return r;
}

bool fsx_is_temp(const char *name)
{
	return strlen(name) == TEMP_NAME - 1 && name[0] == '.' &&
	       strspn(name + 1, "0123456789abcdef") == 16 && !strcmp(name + 17, ".tmp");
}

static int copy_bytes(int from, int to)
{
	char *chunk = mem_alloc(CHUNK);
	ssize_t n;
	int r = 0;

	for (;;) {
		n = read(from, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : 0;
			break;
		}
		r = fsx_write_all(to, sv_make(chunk, (size_t)n));
		if (r)
			break;
	}
	mem_free(chunk);
	return r;
}

int fsx_copy(const char *from, const char *to, unsigned mode)
{
	struct temp t;
	int fd, r;

	fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	r = temp_open(to, &t);
	if (!r)
		r = copy_bytes(fd, t.fd);
	r = temp_close(&t, mode, 0, r);
	if (!r)
		r = temp_rename(&t, to, 0);
	close(fd);
	return r;
}

int fsx_remove(const char *path)
{
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* Folders */

static int make_one(const char *path, mode_t mode)
{
	struct stat st;
	int e;

	if (mkdir(path, mode) == 0)
		return 0;
	e = errno;
	/* EROFS and EACCES are no matter either for what is there already. */
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return -e;
}

int fsx_mkdirs(const char *path, unsigned mode)
{
	char part[PATH_MAX];
	size_t i;
	int r;

	if (!sv_copy(part, sizeof(part), sv_str(path)))
		return -ENAMETOOLONG;
	if (!part[0])
		return -ENOENT;
	for (i = 1; part[i]; i++) {
		if (part[i] != '/' || part[i - 1] == '/')
			continue;
		part[i] = '\0';
		r = make_one(part, (mode_t)mode);
		if (r)
			return r;
		part[i] = '/';
	}
	return make_one(part, (mode_t)mode);
}

int fsx_sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) ? -errno : 0;
	close(fd);
	return r;
}

static int by_bytes(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int read_names(DIR *dir, char ***names, size_t *count)
{
	struct dirent *entry;
	size_t size = 0;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (*count == FSX_LIST_MAX)
			return -EFBIG;
		if (*count == size) {
			size = MAX(size * 2, (size_t)32);
			*names = mem_realloc(*names, size, sizeof(**names));
		}
		(*names)[(*count)++] = mem_strdup(entry->d_name);
	}
}

int fsx_list(const char *path, int (*fn)(void *arg, const char *name), void *arg)
{
	char **names = NULL;
	size_t count = 0, i;
	DIR *dir;
	int r;

	dir = opendir(path);
	if (!dir)
		return -errno;
	r = read_names(dir, &names, &count);
	closedir(dir);
	if (!r && count)
		qsort(names, count, sizeof(*names), by_bytes);
	for (i = 0; !r && i < count; i++)
		r = fn(arg, names[i]);
	for (i = 0; i < count; i++)
		mem_free(names[i]);
	mem_free(names);
	return r;
}

/* Locks */

int fsx_lock_fd(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	while (fcntl(fd, F_OFD_SETLK, &lock)) {
		if (errno == EAGAIN || errno == EACCES)
			return FSX_HELD;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

bool fsx_names(const char *path, int fd)
{
	struct stat named, ours;

	return stat(path, &named) == 0 && fstat(fd, &ours) == 0 && named.st_ino == ours.st_ino &&
	       named.st_dev == ours.st_dev;
}

static int lock_once(const char *path, int *fd)
{
	int r;

	*fd = -1;
	r = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r < 0)
		return -errno;
	*fd = r;
	r = fsx_lock_fd(*fd);
	if (r) {
		close(*fd);
		*fd = -1;
	}
	return r;
}

int fsx_lock(const char *path, int *fd)
{
	int r = 0;

	for (int i = 0; i < LOCK_TRIES; i++) {
		r = lock_once(path, fd);
		if (r || fsx_names(path, *fd))
			return r;
		/* Removed between our opening and locking: another may have locked its successor.
		 */
		close(*fd);
		*fd = -1;
	}
	return FSX_HELD;
}
