#include "test/bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"

enum { BYTES_MAX = 64 << 10 };

int disk_init(struct disk *d, const char *folder, size_t bytes, struct err *e)
{
	must(bytes && bytes <= BYTES_MAX);
	*d = (struct disk){ .bytes = bytes, .path = mem_printf("%s/floor", folder) };
	d->fd = open(d->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	return d->fd < 0 ? err_sys(e, -errno, "cannot make %s", d->path) : 0;
}

void disk_done(struct disk *d)
{
	if (!d->path)
		return;
	if (d->fd >= 0)
		close(d->fd);
	(void)unlink(d->path);
	mem_free(d->path);
	*d = (struct disk){ 0 };
}

int disk_append(struct disk *d, struct err *e)
{
	static const char bytes[BYTES_MAX];
	int r = fsx_write_all(d->fd, sv_make(bytes, d->bytes));

	if (!r && fdatasync(d->fd) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, r, "cannot write %s", d->path) : 0;
}
