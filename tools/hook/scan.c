#include "tools/hook/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "tools/hook/elf.h"

/* One library of the folder being searched. */
struct found {
	char *name; /* in the folder */
	char *soname;
	int32_t flags;
	bool link; /* a symbolic link that stands for its SONAME or for linking (libx.so) */
	bool wins; /* settle(): the one of its SONAME, and it is there under that name */
};

/* The folder being searched. */
struct folder {
	struct scan *scan;
	const char *path;
	const char *hwcap; /* name of the glibc-hwcaps folder, or NULL */
	int fd;
	struct found *found;
	size_t n, cap;
	bool dangling; /* a link led nowhere */
};

int scan_init(struct scan *s, const struct root *root, struct ldcache *cache, struct why *why)
{
	*s = (struct scan){ .root = root, .cache = cache, .why = why };
	s->seen = calloc(SCAN_DIRS_MAX, sizeof(*s->seen));
	return s->seen ? 0 : -ENOMEM;
}

void scan_done(struct scan *s)
{
	free(s->seen);
	s->seen = NULL;
}

/* 0 the first time, 1 when it was searched under another name, -E2BIG. */
static int seen(struct scan *s, const struct stat *st)
{
	for (size_t i = 0; i < s->nseen; i++)
		if (s->seen[i].dev == st->st_dev && s->seen[i].ino == st->st_ino)
			return 1;
	if (s->nseen == SCAN_DIRS_MAX)
		return -E2BIG;
	s->seen[s->nseen].dev = st->st_dev;
	s->seen[s->nseen++].ino = st->st_ino;
	return 0;
}

static int join(char out[HOOK_PATH_MAX], const char *dir, const char *name)
{
	int len = snprintf(out, HOOK_PATH_MAX, "%s/%s", strcmp(dir, "/") ? dir : "", name);

	return len < HOOK_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t len = strlen(s), tail_len = strlen(tail);

	return len >= tail_len && strcmp(s + len - tail_len, tail) == 0;
}

/* Half-installed packages. */
static bool passing(const char *name)
{
	return ends_with(name, ".dpkg-new") || ends_with(name, ".dpkg-tmp") ||
	       ends_with(name, ".#prelink#") || strstr(name, ".#prelink#.");
}

/*
 * Is the link `name` one that stands for the library (its SONAME, or libx.so for the compiler)?
 * Any other link is an implementation of the SONAME like a file.
 */
static bool stands_for(const char *name, const char *soname)
{
	return strcmp(name, soname) == 0 ||
	       (ends_with(name, ".so") && strncmp(name, soname, strlen(name)) == 0);
}

static int keep(struct folder *f, const char *name, const struct elf_lib *lib, bool link)
{
	struct found e = { .flags = lib->flags };
	const char *soname = lib->soname[0] ? lib->soname : name;
	size_t cap = f->cap ? 2 * f->cap : 64, len = strlen(name) + 1;
	void *p;

	e.link = link && stands_for(name, soname);
	if (e.link)
		soname = name;
	if (!elf_is_library_name(soname) || strlen(soname) > ELF_SONAME_MAX)
		return 0;
	if (f->n == f->cap) {
		p = realloc(f->found, cap * sizeof(*f->found));
		if (!p)
			return -ENOMEM;
		f->found = p;
		f->cap = cap;
	}
	e.name = malloc(len + strlen(soname) + 1);
	if (!e.name)
		return -ENOMEM;
	e.soname = e.name + len;
	memcpy(e.name, name, len);
	memcpy(e.soname, soname, strlen(soname) + 1);
	f->found[f->n++] = e;
	return 0;
}

static int examine(struct folder *f, const char *name, unsigned char type)
{
	struct scan *s = f->scan;
	char path[HOOK_PATH_MAX];
	struct elf_lib lib;
	struct stat st;
	auto_close int fd = -1;
	int r;

	if (type == DT_UNKNOWN) {
		if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		type = S_ISLNK(st.st_mode) ? DT_LNK : S_ISREG(st.st_mode) ? DT_REG : DT_FIFO;
	}
	if ((type != DT_REG && type != DT_LNK) || join(path, f->path, name) < 0)
		return 0;
	if (s->files++ >= SCAN_FILES_MAX)
		return -E2BIG;
	fd = root_file(s->root, path, &st);
	f->dangling |= fd == -ENOENT && type == DT_LNK;
	if (fd < 0)
		return 0;
	r = elf_read_fd(fd, &lib);
	if (r < 0)
		why_debug(s->why, "%s: %s", path, strerror(-r));
	return r == 0 ? keep(f, name, &lib, type == DT_LNK) : 0;
}

/* By SONAME and kind; within one, first the library that wins: a file before a link, the newest. */
static int compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int r = strcmp(x->soname, y->soname);

	if (r != 0)
		return r;
	if (x->flags != y->flags)
		return x->flags < y->flags ? 1 : -1;
	if (x->link != y->link)
		return x->link ? 1 : -1;
	r = ldcache_name_cmp(y->name, x->name);
	return r ? r : strcmp(y->name, x->name);
}

/* True when both names lead to one file. */
static bool same_file(const struct folder *f, const char *a, const char *b)
{
	char path_a[HOOK_PATH_MAX], path_b[HOOK_PATH_MAX];
	auto_close int fd_a = -1, fd_b = -1;
	struct stat st_a, st_b;

	if (join(path_a, f->path, a) < 0 || join(path_b, f->path, b) < 0)
		return false;
	fd_a = root_at(f->scan->root, path_a);
	fd_b = root_at(f->scan->root, path_b);
	if (fd_a < 0 || fd_b < 0 || fstat(fd_a, &st_a) < 0 || fstat(fd_b, &st_b) < 0)
		return false;
	return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

/* Is there, when this returns, a file under the SONAME that is the library? */
static bool link_soname(struct folder *f, const struct found *e)
{
	struct why *why = f->scan->why;
	struct stat st;
	int r;

	if (strcmp(e->name, e->soname) == 0)
		return true;
	if (fstatat(f->fd, e->soname, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (same_file(f, e->soname, e->name))
			return true;
		if (!S_ISLNK(st.st_mode)) {
			why_warn(why, "%s/%s is not a symbolic link and not %s: left as it is",
				 f->path, e->soname, e->name);
			return false;
		}
	}
	r = root_link(f->fd, e->soname, e->name);
	if (r < 0) {
		why_warn(why, "cannot make the link %s/%s -> %s: %s", f->path, e->soname, e->name,
			 strerror(-r));
		return false;
	}
	f->scan->links++;
	return true;
}

/* Picks the library of each SONAME and makes the links. */
static void settle(struct folder *f)
{
	struct found *e, *last = NULL;

	if (f->n)
		qsort(f->found, f->n, sizeof(*f->found), compare);
	for (size_t i = 0; i < f->n; i++) {
		e = &f->found[i];
		/* One folder can have one file of a name: other kinds of it are out of reach. */
		if (last && strcmp(last->soname, e->soname) == 0)
			continue;
		last = e;
		/* In glibc-hwcaps folders the loader is told the file, and no links are made. */
		e->wins = f->hwcap || e->link || link_soname(f, e);
	}
}

static int publish(struct folder *f)
{
	const struct found *e;
	char path[HOOK_PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < f->n && r == 0; i++) {
		e = &f->found[i];
		if (e->wins && join(path, f->path, f->hwcap ? e->name : e->soname) == 0)
			r = ldcache_add(f->scan->cache, e->soname, path, e->flags, f->hwcap);
	}
	return r;
}

static void forget(struct folder *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->found[i].name);
	f->n = 0;
}

static int list(struct folder *f)
{
	struct dirent *e;
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		close_fd(&fd);
		return -ENOMEM;
	}
	while (r == 0 && (e = readdir(d))) {
		if (f->scan->listed++ >= SCAN_LISTED_MAX)
			r = -E2BIG;
		else if (elf_is_library_name(e->d_name) && !passing(e->d_name))
			r = examine(f, e->d_name, e->d_type);
	}
	closedir(d);
	return r;
}

/* 1 when the folder is not there or was searched before. */
static int search(struct scan *s, const char *path, const char *hwcap)
{
	struct folder f = { .scan = s, .path = path, .hwcap = hwcap };
	struct stat st;
	auto_close int fd = root_dir(s->root, path);
	size_t links;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 1;
	r = seen(s, &st);
	if (r != 0)
		return r;
	why_debug(s->why, "searching %s", path);
	f.fd = fd;
	links = s->links;
	r = list(&f);
	if (r == 0)
		settle(&f);
	/* libx.so -> libx.so.1 led nowhere until the second was made: look again. */
	if (r == 0 && f.dangling && s->links > links) {
		forget(&f);
		r = list(&f);
		if (r == 0)
			settle(&f);
	}
	if (r == 0)
		r = publish(&f);
	forget(&f);
	free(f.found);
	return r;
}

static int search_hwcaps(struct scan *s, const char *path)
{
	char dir[HOOK_PATH_MAX], sub[HOOK_PATH_MAX];
	struct dirent *e;
	DIR *d;
	int fd, r = 0;

	if (join(dir, path, "glibc-hwcaps") < 0)
		return 0;
	fd = root_dir(s->root, dir);
	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (r >= 0 && (e = readdir(d))) {
		if (s->listed++ >= SCAN_LISTED_MAX)
			r = -E2BIG;
		/* A colon cannot be named in the loader's own list of these folders. */
		else if (e->d_name[0] != '.' && !strchr(e->d_name, ':') &&
			 join(sub, dir, e->d_name) == 0)
			r = search(s, sub, e->d_name);
	}
	closedir(d);
	return r < 0 ? r : 0;
}

int scan_dir(struct scan *s, const char *path)
{
	int r = search(s, path, NULL);

	return r == 0 ? search_hwcaps(s, path) : r < 0 ? r : 0;
}
