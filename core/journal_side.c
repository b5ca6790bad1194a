#include "core/journal_side.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/fsx.h"

int journal_write_at(int fd, uint64_t at, struct sv bytes)
{
	ssize_t n;

	while (bytes.n) {
		n = pwrite(fd, bytes.p, bytes.n, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes = sv_drop(bytes, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

int journal_read_at(int fd, uint64_t at, size_t size, struct buf *out)
{
	char *to = buf_reserve(out, size);
	size_t got = 0;
	ssize_t n;

	must(to);
	while (got < size) {
		n = pread(fd, to + got, size - got, (off_t)(at + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		got += (size_t)n;
	}
	buf_commit(out, size);
	return 0;
}

int journal_allocate(int fd, uint64_t from, uint64_t to)
{
	if (to <= from)
		return 0;
	while (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from))) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int journal_side_clear(const char *name)
{
	int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int r = 0;

	if (fd >= 0) {
		r = fsx_lock_fd(fd);
		close(fd);
	} else if (errno == ENOENT) {
		return 0;
	}
	if (r == FSX_HELD)
		return -EAGAIN;
	return fsx_remove(name);
}

int journal_side_make(struct journal_side *s, const char *name, const char *boot_id)
{
	struct buf b;
	int r;

	*s = (struct journal_side){ .fd = -1 };
	r = journal_side_clear(name);
	if (r)
		return r;
	s->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	r = fsx_lock_fd(s->fd);
	if (r == FSX_HELD)
		r = -EAGAIN;
	buf_init(&b, JOURNAL_LINE_MAX);
	journal_put_header(&b, sv_str(boot_id));
	if (!r)
		r = journal_side_write(s, buf_sv(&b));
	buf_done(&b);
	if (r)
		journal_side_drop(s, name);
	return r;
}

int journal_side_write(struct journal_side *s, struct sv bytes)
{
	int r = journal_write_at(s->fd, s->size, bytes);

	if (!r)
		s->size += bytes.n;
	return r;
}

int journal_side_publish(struct journal_side *s, const char *name, const char *path,
			 const char *folder)
{
	if (fdatasync(s->fd) || rename(name, path))
		return -errno;
	return fsx_sync_dir(folder) ? JOURNAL_SIDE_UNSURE : 0;
}

void journal_side_drop(struct journal_side *s, const char *name)
{
	if (s->fd < 0)
		return;
	(void)unlink(name);
	close(s->fd);
	*s = (struct journal_side){ .fd = -1 };
}
