#include "test/sim/files.h"

#include <ftw.h>
#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/faults.h"

enum { IMAGES = 16, IMAGE_MAX = 8 << 20, FOLDERS = 8, ENTRIES = 32, OURS_MAX = 1024 };

/* A file as it was at its last sync. The oldest makes room: of ledgers there are one or two. */
struct image {
	uint64_t ino, at;
	char *bytes;
	size_t n;
};
static struct image images[IMAGES];

/* A folder's names as they were at its last sync. */
struct entry {
	char name[256];
	uint64_t ino;
	bool socket;
};
struct folder {
	uint64_t ino;
	struct entry entries[ENTRIES];
	size_t n;
};
static struct folder folders[FOLDERS];
static size_t folders_n;
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

static struct folder *folder_of(uint64_t ino)
{
	for (size_t i = 0; i < folders_n; i++)
		if (folders[i].ino == ino)
			return &folders[i];
	return NULL;
}

struct names {
	struct folder *folder;
	int fd;
};

static int keep_name(void *arg, const char *name)
{
	struct names *names = arg;
	struct folder *f = names->folder;
	struct stat st;

	must(f->n < ENTRIES && fstatat(names->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
	f->entries[f->n].ino = (uint64_t)st.st_ino;
	f->entries[f->n].socket = S_ISSOCK(st.st_mode);
	must(sv_copy(f->entries[f->n].name, sizeof(f->entries[f->n].name), sv_str(name)));
	f->n++;
	return 0;
}

static void keep_names(int fd, uint64_t ino)
{
	struct names names = { folder_of(ino), fd };
	char path[64];

	if (!names.folder) {
		must(folders_n < FOLDERS);
		names.folder = &folders[folders_n++];
	}
	names.folder->ino = ino;
	names.folder->n = 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(fsx_list(path, keep_name, &names) == 0);
}

static void keep(int fd)
{
	struct image *image;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		keep_names(fd, (uint64_t)st.st_ino);
	if (!S_ISREG(st.st_mode) || st.st_size > IMAGE_MAX)
		return;
	image = image_for((uint64_t)st.st_ino);
	mem_free(image->bytes);
	*image = (struct image){ .ino = (uint64_t)st.st_ino, .at = ++syncs };
	image->bytes = mem_alloc((size_t)st.st_size + 1);
	n = pread(fd, image->bytes, (size_t)st.st_size, 0);
	must(n >= 0);
	image->n = (size_t)n;
}

/* ---- a process that dies ---- */

static struct {
	unsigned who, at, calls;
	bool dead;
} victim;
static unsigned fd_owner[OURS_MAX]; /* number of the node that opened it, + 1; 0 = nobody */
static unsigned caller;		    /* of the call that is being made, likewise */

static unsigned owner_of(const char *path)
{
	const char *by = strstr(path, "/by-");

	return by ? (unsigned)strtoul(by + strlen("/by-"), NULL, 10) + 1 : 0;
}

static bool stops(const char *call, int fd, const char *path)
{
	(void)call;
	if (path)
		caller = owner_of(path);
	else
		caller = fd >= 0 && fd < OURS_MAX ? fd_owner[fd] : 0;
	return victim.dead && caller == victim.who + 1;
}

static void lives_on(void)
{
	if (victim.dead || caller != victim.who + 1)
		return;
	if (++victim.calls == victim.at)
		victim.dead = true;
}

void files_kill(unsigned who, unsigned n)
{
	victim.who = who;
	victim.at = n;
	victim.calls = 0;
	victim.dead = false;
}

void files_die(void)
{
	victim.dead = true;
}

bool files_dead(void)
{
	return victim.dead;
}

void files_buried(void)
{
	victim.dead = false;
}

unsigned files_death_calls(void)
{
	return victim.calls;
}

static void after(const char *call, int fd)
{
	changes++;
	if (strstr(call, "sync") && fd >= 0)
		keep(fd);
	lives_on();
}

void files_begin(void)
{
	for (size_t i = 0; i < IMAGES; i++)
		mem_free(images[i].bytes);
	memset(images, 0, sizeof(images));
	changes = syncs = 0;
	folders_n = 0;
	memset(&victim, 0, sizeof(victim));
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

	if (faults_stops("open", -1, path) || (mine && hit("open", path)))
		return -1;
	fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	if (fd >= 0 && fd < OURS_MAX) {
		ours[fd] = mine;
		fd_owner[fd] = owner_of(path);
	}
	if (fd >= 0 && (flags & O_CREAT))
		lives_on();
	return fd;
}

int close(int fd)
{
	if (fd >= 0 && fd < OURS_MAX) {
		ours[fd] = false;
		fd_owner[fd] = 0;
	}
	return (int)syscall(SYS_close, fd);
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

/* The result of a call that faults_stops() was asked about. */
static long lived(long r)
{
	if (r >= 0)
		lives_on();
	return r;
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (faults_stops("write", fd, NULL) || (is_ours(fd) && hit("write", "")))
		return -1;
	return lived(syscall(SYS_write, fd, p, n));
}

/* Nobody is told anything in the rest of a turn in which somebody died: see files_kill(). */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
	if (victim.dead) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

int fchmod(int fd, mode_t mode)
{
	if (faults_stops("fchmod", fd, NULL) || (is_ours(fd) && hit("fchmod", "")))
		return -1;
	return (int)lived(syscall(SYS_fchmod, fd, mode));
}

int chmod(const char *path, mode_t mode)
{
	if (faults_stops("chmod", -1, path) || (counts(path) && hit("chmod", path)))
		return -1;
	return (int)lived(syscall(SYS_fchmodat, AT_FDCWD, path, mode));
}

int mkdir(const char *path, mode_t mode)
{
	if (faults_stops("mkdir", -1, path) || (counts(path) && hit("mkdir", path)))
		return -1;
	return (int)lived(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int bind(int fd, const struct sockaddr *a, socklen_t n)
{
	const char *path = a->sa_family == AF_UNIX ? ((const struct sockaddr_un *)a)->sun_path : "";

	if (faults_stops("bind", -1, path) || (counts(path) && hit("bind", path)))
		return -1;
	return (int)lived(syscall(SYS_bind, fd, a, n));
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
	faults.stops = stops;
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

/* ---- loss of power ---- */

struct loss {
	const char *folder;
	const struct folder *synced; /* NULL: it never was */
	enum files_loss how;
};

static const struct image *image_of(uint64_t ino)
{
	for (size_t i = 0; i < IMAGES; i++)
		if (images[i].bytes && images[i].ino == ino)
			return &images[i];
	return NULL;
}

static void put(const char *path, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && !fsx_write_all(fd, sv_make(bytes, n)));
	close(fd);
}

static void lose_content(const struct loss *l, const char *path, const struct stat *st)
{
	const struct image *image = image_of((uint64_t)st->st_ino);
	size_t synced = image ? image->n : 0, kept = synced;
	struct buf now;

	if (image && l->how != FILES_TORN) {
		put(path, image->bytes, image->n);
		return;
	}
	buf_init(&now, IMAGE_MAX);
	must(fsx_read(path, IMAGE_MAX, &now) == 0);
	if (l->how == FILES_TORN && buf_len(&now) > synced)
		kept = synced + (buf_len(&now) - synced) / 2;
	/* What was synced and is overwritten does not occur: logs grow, others are replaced. */
	put(path, buf_len(&now) ? buf_sv(&now).p : "", MIN(kept, buf_len(&now)));
	buf_done(&now);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool is_synced(const struct loss *l, const char *name, uint64_t ino)
{
	for (size_t i = 0; l->synced && i < l->synced->n; i++)
		if (!strcmp(l->synced->entries[i].name, name))
			return l->synced->entries[i].ino == ino;
	return false;
}

static int lose_entry(void *arg, const char *name)
{
	const struct loss *l = arg;
	char *path _mem_free_ = mem_printf("%s/%s", l->folder, name);
	struct stat st;

	must(lstat(path, &st) == 0);
	if (l->how == FILES_OLDEST && !is_synced(l, name, (uint64_t)st.st_ino))
		must(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	else if (S_ISDIR(st.st_mode))
		files_power_loss(path, l->how);
	else if (S_ISREG(st.st_mode))
		lose_content(l, path, &st);
	return 0;
}

/* Names that were synced and are not there, or lead to another file by now. */
static void bring_back(const struct loss *l)
{
	for (size_t i = 0; l->synced && i < l->synced->n; i++) {
		const struct entry *e = &l->synced->entries[i];
		const struct image *image = image_of(e->ino);
		char *path _mem_free_ = mem_printf("%s/%s", l->folder, e->name);

		if (fsx_exists(path))
			continue;
		if (e->socket)
			must(mknod(path, S_IFSOCK | 0600, 0) == 0);
		else
			put(path, image ? image->bytes : "", image ? image->n : 0);
	}
}

static int settle(void *arg, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", (const char *)arg, name);
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0);
	keep(fd);
	close(fd);
	return 0;
}

void files_power_loss(const char *folder, enum files_loss how)
{
	struct stat st;
	struct loss l = { .folder = folder, .how = how };
	int fd;

	must(stat(folder, &st) == 0);
	l.synced = folder_of((uint64_t)st.st_ino);
	if (how != FILES_NEWEST)
		must(fsx_list(folder, lose_entry, &l) == 0);
	if (how == FILES_OLDEST)
		bring_back(&l);
	/* What is there now is on the disk. */
	must(fsx_list(folder, settle, (void *)(uintptr_t)folder) == 0);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0);
	keep(fd);
	close(fd);
	changes++;
}
