#include "core/fswatch.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/sv.h"

/*
 * Every folder on the way to the watched one has a watch: the last one that exists on its entries,
 * those above only on being moved or removed themselves, which is silent otherwise. Whatever of
 * this changes, all watches are made anew on a fresh descriptor: that also drops events of folders
 * that are not ours any more.
 *
 *   watching /a/b/c, which does not exist:   /, /a: SELF    /a/b: entries, only "c" matters
 *   it was made:                             /, /a, /a/b: SELF    /a/b/c: entries, all are told
 */
enum {
	SELF = IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR,
	ENTRIES = SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB,
};
/* Deep enough for any path of ours; what is deeper has no name of PATH_MAX bytes. */
enum { DEPTH_MAX = 64 };
/* A read returns as many events as fit. */
enum { READ_SIZE = 16 << 10, READS_PER_TURN = 16 };
/* A folder that appears and vanishes while we look: once a turn is often enough. */
enum { ARM_TRIES = 8 };
/* When the kernel refuses a watch for now: its limits are shared by all of root's programs. */
enum { RETRY_MS = 2000 };

struct fswatch {
	struct loop *loop;
	char *path;
	char *only; /* prefix of the entries that matter; NULL = all */
	fswatch_fn fn;
	void *arg;
	int fd;
	struct loop_io io;
	struct loop_timer retry;
	int last; /* watch of the deepest folder that exists */
	const char
	    *next; /* the component awaited in it, in `path`; NULL: it is the folder itself */
	size_t next_n;
};

/* The path up to its i-th slash: "/", then "/a", "/a/b", ... False behind the last one. */
static bool prefix(const char *path, size_t i, char *out, size_t size, const char **rest)
{
	const char *p = path;
	size_t n = 0;

	for (; i > 0; i--) {
		while (*p == '/')
			p++;
		if (!*p)
			return false;
		while (*p && *p != '/')
			p++;
	}
	n = MAX((size_t)(p - path), (size_t)1);
	while (*p == '/')
		p++;
	*rest = p;
	return sv_copy(out, size, sv_make(path, n));
}

/*
 * Puts watches on all that exists. 0; positive: something changed meanwhile, once more; -errno. The
 * deepest one gets ENTRIES only when it is known to be the deepest, and the next component is
 * looked for again behind that: between the two it may have been made.
 */
static int arm_once(struct fswatch *w, int fd)
{
	char part[PATH_MAX], deepest[PATH_MAX] = "";
	const char *rest = w->path, *below = w->path;
	size_t i;
	int wd;

	for (i = 0; i < DEPTH_MAX && prefix(w->path, i, part, sizeof(part), &rest); i++) {
		wd = inotify_add_watch(fd, part, SELF);
		if (wd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
			break;
		if (wd < 0)
			return -errno;
		memcpy(deepest, part, sizeof(part));
		below = rest;
	}
	w->last = inotify_add_watch(fd, deepest, ENTRIES);
	if (w->last < 0)
		return errno == ENOENT || errno == ENOTDIR ? 1 : -errno;
	w->next = *below ? below : NULL;
	w->next_n = strcspn(below, "/");
	if (!w->next)
		return 0;
	/* `part` is the first folder that was missing. */
	return access(part, F_OK) == 0 && inotify_add_watch(fd, part, SELF) >= 0;
}

static void on_ready(void *arg, unsigned ready);

static void disarm(struct fswatch *w)
{
	loop_io_done(&w->io);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static int arm(struct fswatch *w)
{
	int r = 1, i, fd = -1;

	disarm(w);
	for (i = 0; r > 0 && i < ARM_TRIES; i++) {
		if (fd >= 0)
			close(fd);
		fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		r = fd < 0 ? -errno : arm_once(w, fd);
	}
	if (r) {
		if (fd >= 0)
			close(fd);
		return r < 0 ? r : -EAGAIN;
	}
	w->fd = fd;
	loop_io_init(&w->io, w->loop, fd, on_ready, w);
	loop_io_want(&w->io, LOOP_READ);
	return 0;
}

/* Makes all watches anew and has the owner look; when that fails, again later. */
static void arm_again(void *arg)
{
	struct fswatch *w = arg;
	int r = arm(w);

	if (r) {
		log_warn("cannot watch a folder, trying again", LOG_S("path", w->path),
			 LOG_S("why", strerror(-r)));
		loop_timer_set(&w->retry, RETRY_MS);
	}
	w->fn(w->arg, NULL);
}

static bool is_next(const struct fswatch *w, const struct inotify_event *e)
{
	return e->len && strlen(e->name) == w->next_n && !memcmp(e->name, w->next, w->next_n);
}

/* True: the watches no longer fit what is there. */
static bool take(struct fswatch *w, const struct inotify_event *e)
{
	if (e->mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT | IN_IGNORED))
		return true;
	if (e->mask & IN_Q_OVERFLOW) {
		/* What was lost may be about the folders above as well. */
		return true;
	}
	if (e->wd != w->last)
		return false;
	if (w->next)
		return is_next(w, e) && (e->mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB));
	if (!e->len || !w->only || sv_starts(sv_str(e->name), sv_str(w->only)))
		w->fn(w->arg, e->len ? e->name : NULL);
	return false;
}

static void on_ready(void *arg, unsigned ready)
{
	struct fswatch *w = arg;
	char b[READ_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	size_t at;
	ssize_t n;
	int i;

	(void)ready;
	for (i = 0; i < READS_PER_TURN; i++) {
		n = read(w->fd, b, sizeof(b));
		if (n <= 0)
			return;
		for (at = 0; at < (size_t)n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)(b + at);
			if (take(w, e)) {
				arm_again(w);
				return;
			}
		}
	}
}

int fswatch_new(struct loop *l, const char *folder, fswatch_fn fn, void *arg, struct fswatch **out)
{
	struct fswatch *w = MEM_NEW(struct fswatch);
	int r;

	must(folder[0] == '/');
	*w = (struct fswatch){
		.loop = l, .path = mem_strdup(folder), .fn = fn, .arg = arg, .fd = -1
	};
	loop_timer_init(&w->retry, l, arm_again, w);
	r = arm(w);
	if (r)
		fswatch_free(&w);
	*out = w;
	return r;
}

void fswatch_only(struct fswatch *w, const char *prefix)
{
	mem_free(w->only);
	w->only = mem_strdup(prefix);
}

void fswatch_free(struct fswatch **wp)
{
	struct fswatch *w = *wp;

	if (!w)
		return;
	disarm(w);
	loop_timer_stop(&w->retry);
	mem_free(w->path);
	mem_free(w->only);
	mem_free(w);
	*wp = NULL;
}
