/*
 * One inotify descriptor per watched folder. Watched is the folder itself, or, while it is not
 * there, its nearest existing parent, whose every event is a reason to try again. Both are told as
 * "look anew" (name NULL) when the folder comes or goes, since what happened in between is not
 * known.
 */
#include "core/fswatch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/sv.h"

#define FOLDER_EVENTS                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |        \
	 IN_MOVE_SELF | IN_ONLYDIR)
#define PARENT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define READ_BYTES    16384

struct fswatch {
	struct loop *loop;
	struct loop_io io;
	struct loop_task tell; /* callbacks come from here, so that the owner may free us in one */
	char *folder;
	char *only; /* prefix of the entries that matter; NULL = all */
	fswatch_fn fn;
	void *arg;
	char *name; /* the one entry that changed since the last telling */
	int fd, wd;
	bool on_folder; /* the folder itself is watched, not a parent */
	bool anew;	/* more than one entry did, or nobody knows which */
};

static void note_anew(struct fswatch *w)
{
	w->anew = true;
	loop_task_post(&w->tell);
}

static void note_name(struct fswatch *w, const char *name)
{
	if (w->name && strcmp(w->name, name) != 0) {
		note_anew(w);
		return;
	}
	if (!w->name)
		w->name = mem_strdup(name);
	loop_task_post(&w->tell);
}

/* Watches the folder or its nearest existing parent. -errno when not even "/" can be watched. */
static int attach(struct fswatch *w)
{
	char *path _mem_free_ = mem_strdup(w->folder);
	int old = w->wd;

	w->on_folder = true;
	w->wd = inotify_add_watch(w->fd, path, FOLDER_EVENTS);
	while (w->wd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		char *slash = strrchr(path, '/');

		if (!slash || !path[1])
			return -ENOENT;
		slash[slash == path] = '\0';
		w->on_folder = false;
		w->wd = inotify_add_watch(w->fd, path, PARENT_EVENTS);
	}
	if (w->wd < 0)
		return -errno;
	if (old >= 0 && old != w->wd)
		(void)inotify_rm_watch(w->fd, old);
	return 0;
}

/* A parent may have been made between two looks, so look until nothing changes. */
static int settle(struct fswatch *w)
{
	bool was = w->on_folder && w->wd >= 0;
	int before, r;

	do {
		before = w->wd;
		r = attach(w);
	} while (!r && !w->on_folder && w->wd != before);
	if (!r && (was != w->on_folder || w->wd != before))
		note_anew(w);
	return r;
}

static void on_event(struct fswatch *w, const struct inotify_event *ev, bool *moved)
{
	if (ev->mask & IN_Q_OVERFLOW) {
		note_anew(w);
		*moved = true;
		return;
	}
	if (ev->wd != w->wd)
		return; /* of a watch that was left */
	if (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
		if (w->on_folder)
			note_anew(w);
		if (ev->mask & IN_IGNORED)
			w->wd = -1;
		*moved = true;
		return;
	}
	if (!w->on_folder)
		*moved = true;
	else if (ev->len && (!w->only || sv_starts(sv_str(ev->name), sv_str(w->only))))
		note_name(w, ev->name);
}

static void on_readable(void *arg, unsigned ready)
{
	char bytes[READ_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct fswatch *w = arg;
	bool moved = false;
	ssize_t n;

	(void)ready;
	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(bytes + at);

			on_event(w, ev, &moved);
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
	if (moved)
		(void)settle(w);
}

static void on_tell(void *arg)
{
	struct fswatch *w = arg;
	bool anew = w->anew;
	char *name = w->name;

	w->name = NULL;
	w->anew = false;
	if (name)
		loop_defer_free(w->loop, name, mem_free); /* fn may free the watch */
	w->fn(w->arg, anew ? NULL : name);
}

int fswatch_new(struct loop *l, const char *folder, fswatch_fn fn, void *arg, struct fswatch **out)
{
	struct fswatch *w;
	int r;

	must(folder[0] == '/');
	w = MEM_NEW(struct fswatch);
	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	w->wd = -1;
	w->folder = mem_strdup(folder);
	loop_task_init(&w->tell, l, LOOP_TICK, on_tell, w);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = w->fd < 0 ? -errno : attach(w);
	if (r < 0) {
		fswatch_free(&w);
		return r;
	}
	loop_io_init(&w->io, l, w->fd, on_readable, w);
	loop_io_want(&w->io, LOOP_READ);
	*out = w;
	return 0;
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
	loop_task_stop(&w->tell);
	loop_io_done(&w->io);
	if (w->fd >= 0)
		close(w->fd);
	mem_free(w->name);
	mem_free(w->only);
	mem_free(w->folder);
	mem_free(w);
	*wp = NULL;
}
