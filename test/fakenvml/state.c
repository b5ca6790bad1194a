#include "test/fakenvml/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void state_dirname(const char *path, char *out, size_t len)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(out, len, ".");
	else
		snprintf(out, len, "%.*s", (int)(slash - path), path);
}

static int state_map_fd(struct state_map *m, int prot)
{
	struct stat sb;
	void *p;

	if (fstat(m->fd, &sb) < 0)
		return -errno;
	if (sb.st_size != (off_t)sizeof(struct state))
		return -EPROTO;
	p = mmap(NULL, sizeof(struct state), prot, MAP_SHARED, m->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->st = p;
	m->dev = sb.st_dev;
	m->ino = sb.st_ino;
	return 0;
}

int state_open(struct state_map *m, const char *path)
{
	int prot = PROT_READ | PROT_WRITE;
	int r;

	*m = (struct state_map){ .writable = true };
	m->fd = open(path, O_RDWR | O_CLOEXEC);
	if (m->fd < 0 && (errno == EROFS || errno == EACCES)) {
		prot = PROT_READ;
		m->writable = false;
		m->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (m->fd < 0)
		return -errno;
	state_dirname(path, m->dir, sizeof(m->dir));
	r = state_map_fd(m, prot);
	if (r == 0 && (m->st->magic != STATE_MAGIC || m->st->layout != STATE_LAYOUT ||
		       m->st->size != sizeof(struct state)))
		r = -EPROTO;
	if (r < 0)
		state_close(m);
	return r;
}

int state_create(struct state_map *m, const char *path)
{
	int r;

	*m = (struct state_map){ .writable = true };
	/* A new inode: a process that maps the old file keeps an unchanging world. */
	unlink(path);
	m->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (m->fd < 0)
		return -errno;
	state_dirname(path, m->dir, sizeof(m->dir));
	r = ftruncate(m->fd, sizeof(struct state)) < 0 ? -errno : 0;
	if (r == 0)
		r = state_map_fd(m, PROT_READ | PROT_WRITE);
	if (r < 0) {
		state_close(m);
		return r;
	}
	m->st->magic = STATE_MAGIC;
	m->st->layout = STATE_LAYOUT;
	m->st->size = sizeof(struct state);
	m->st->next_event = 1;
	m->st->next_fault = 1;
	return 0;
}

void state_close(struct state_map *m)
{
	if (m->st != NULL)
		munmap(m->st, sizeof(struct state));
	if (m->fd >= 0)
		close(m->fd);
	m->st = NULL;
	m->fd = -1;
}

void state_lock(const struct state_map *m, enum state_lock_kind kind)
{
	while (flock(m->fd, kind == STATE_EXCLUSIVE ? LOCK_EX : LOCK_SH) < 0 && errno == EINTR)
		;
}

void state_unlock(const struct state_map *m)
{
	flock(m->fd, LOCK_UN);
}

uint32_t state_seen(const struct state *st)
{
	return __atomic_load_n(&st->wake, __ATOMIC_ACQUIRE);
}

void state_sleep(const struct state *st, uint32_t seen, uint64_t ms)
{
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
			       .tv_nsec = (long)(ms % 1000) * 1000000 };

	syscall(SYS_futex, &st->wake, FUTEX_WAIT, seen, ms == UINT64_MAX ? NULL : &ts, NULL, 0);
}

void state_wake(struct state *st)
{
	__atomic_add_fetch(&st->wake, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &st->wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void state_path(const struct state_map *m, const char *base, const char *leaf, char *out,
		unsigned int len)
{
	if (base[0] == '/')
		snprintf(out, len, "%s/%s", base, leaf);
	else
		snprintf(out, len, "%s/%s/%s", m->dir, base, leaf);
}

#define STATE_NAME(need, since, ret, name, params) #name,
static const char *const state_names[FN_NR] = { NVML_SYMBOLS(STATE_NAME) };

const char *state_fn_name(uint32_t fn)
{
	return fn < FN_NR ? state_names[fn] : "*";
}

uint32_t state_fn_find(const char *name)
{
	uint32_t i;

	for (i = 0; i < FN_NR; i++)
		if (strcmp(state_names[i], name) == 0)
			return i;
	return FN_ANY;
}

void state_bdf(const struct state_gpu *g, bool nvml, char *out, unsigned int len)
{
	snprintf(out, len, nvml ? "%08X:%02X:%02X.0" : "%04x:%02x:%02x.0", g->domain, g->bus,
		 g->device);
}

/* The driver's own numbering (mig-minors): config 1, monitor 2, then per GPU 15 GPU instances of
 * one node each plus 8 for their compute instances. */
uint32_t state_cap_minor(uint32_t gpu_minor, uint32_t gi, uint32_t ci)
{
	return 3 + gpu_minor * 135 + gi * 9 + (ci == NVML_NO_INSTANCE ? 0 : 1 + ci);
}
