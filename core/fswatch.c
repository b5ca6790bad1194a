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
 * this changes, all of them are made anew.
 *
 *   watching /a/b/c, which does not exist:   /, /a: SELF    /a/b: entries, only "c" matters
 *   it was made:                             /, /a, /a/b: SELF    /a/b/c: entries, all are told
 *
 * All watches of a loop share two inotify descriptors, one per mask: the kernel keeps one mask per
 * descriptor and folder, so "/run" as somebody's parent and as somebody's folder must not meet on
 * one. A kernel watch goes when its last user does; events that are still queued for it then find
 * nobody, and its number is not given out again soon (the kernel counts them up).
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

/* PARENTS: every folder on the way, SELF. FOLDER: the deepest that exists, ENTRIES. */
enum { PARENTS, FOLDER, QUEUES };

struct hub;
struct queue {
	struct hub *hub;
	int fd;
	struct loop_io io;
};
/* What the watches of one loop share. Owner: they together, it goes with the last. */
struct hub {
	struct loop *loop;
	struct list watches;
	struct list *next; /* of the round that is under way */
	struct queue queues[QUEUES];
};

/* Kernel watches, by their numbers. */
struct held {
	int parents[DEPTH_MAX + 1]; /* and a folder that was made meanwhile */
	size_t n;
	int folder; /* the deepest folder that exists; -1 = none */
};

struct fswatch {
	struct list node; /* in the hub's watches */
	struct hub *hub;
	char *path;
	char *only; /* prefix of the entries that matter; NULL = all */
	fswatch_fn fn;
	void *arg;
	struct loop_timer retry;
	bool refused; /* said so; not again with each try */
	struct held held;
	/* The component awaited in held.folder, in `path`; NULL: that is the folder itself. */
	const char *next;
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

static int add(struct fswatch *w, int queue, const char *path)
{
	int wd = inotify_add_watch(w->hub->queues[queue].fd, path,
				   queue == PARENTS ? (uint32_t)SELF : (uint32_t)ENTRIES);

	if (wd < 0)
		return -errno;
	if (queue == PARENTS)
		w->held.parents[w->held.n++] = wd;
	else
		w->held.folder = wd;
	return wd;
}

/*
 * Puts watches on all that exists. 0; positive: something changed meanwhile, once more; -errno. The
 * deepest one gets ENTRIES only when it is known to be the deepest, and the next component is
 * looked for again behind that: between the two it may have been made.
 */
static int arm_once(struct fswatch *w)
{
	char part[PATH_MAX], deepest[PATH_MAX] = "";
	const char *rest = w->path, *below = w->path;
	size_t i;
	int r;

	for (i = 0; i < DEPTH_MAX && prefix(w->path, i, part, sizeof(part), &rest); i++) {
		r = add(w, PARENTS, part);
		if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
			break;
		if (r < 0)
			return r;
		memcpy(deepest, part, sizeof(part));
		below = rest;
	}
	r = add(w, FOLDER, deepest);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? 1 : r;
	w->next = *below ? below : NULL;
	w->next_n = strcspn(below, "/");
	if (!w->next)
		return 0;
	/* `part` is the first folder that was missing. */
	return access(part, F_OK) == 0 && add(w, PARENTS, part) >= 0;
}

static bool holds(const struct fswatch *w, int queue, int wd)
{
	size_t i;

	if (queue == FOLDER)
		return w->held.folder == wd;
	for (i = 0; i < w->held.n; i++)
		if (w->held.parents[i] == wd)
			return true;
	return false;
}

/* Gives back what nobody uses any more. The kernel has dropped a removed folder's by itself. */
static void give_back(struct hub *h, int queue, int wd)
{
	list_for_each (n, &h->watches)
		if (holds(list_entry(n, struct fswatch, node), queue, wd))
			return;
	(void)inotify_rm_watch(h->queues[queue].fd, wd);
}

static void disarm(struct fswatch *w, const struct held *before)
{
	size_t i;

	for (i = 0; i < before->n; i++)
		give_back(w->hub, PARENTS, before->parents[i]);
	if (before->folder >= 0)
		give_back(w->hub, FOLDER, before->folder);
}

static int arm(struct fswatch *w)
{
	struct held before;
	int r = 1, i;

	for (i = 0; r > 0 && i < ARM_TRIES; i++) {
		before = w->held;
		w->held = (struct held){ .folder = -1 };
		r = arm_once(w);
		disarm(w, &before);
	}
	if (!r)
		return 0;
	before = w->held;
	w->held = (struct held){ .folder = -1 };
	disarm(w, &before);
	return r < 0 ? r : -EAGAIN;
}

/* Makes all watches anew and has the owner look; when that fails, again later. */
static void arm_again(void *arg)
{
	struct fswatch *w = arg;
	int r = arm(w);

	if (r && !w->refused)
		log_warn("cannot watch a folder, looking at it again and again",
			 LOG_S("path", w->path), LOG_S("why", strerror(-r)),
			 LOG_I("every_ms", RETRY_MS));
	else if (!r && w->refused)
		log_info("folder is watched again", LOG_S("path", w->path));
	w->refused = r;
	if (r)
		loop_timer_set(&w->retry, RETRY_MS);
	w->fn(w->arg, NULL);
}

static bool is_next(const struct fswatch *w, const struct inotify_event *e)
{
	return e->len && strlen(e->name) == w->next_n && !memcmp(e->name, w->next, w->next_n);
}

/* True: the watches no longer fit what is there. */
static bool take(struct fswatch *w, int queue, const struct inotify_event *e)
{
	if (e->mask & IN_Q_OVERFLOW)
		return true; /* what was lost may be about anything */
	if (!holds(w, queue, e->wd))
		return false;
	if (e->mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT | IN_IGNORED))
		return true;
	if (queue == PARENTS)
		return false;
	if (w->next)
		return is_next(w, e) && (e->mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB));
	if (!e->len || !w->only || sv_starts(sv_str(e->name), sv_str(w->only)))
		w->fn(w->arg, e->len ? e->name : NULL);
	return false;
}

/* A callback may make watches, and free others than its own. */
static void tell_all(struct hub *h, int queue, const struct inotify_event *e)
{
	struct list *n;

	for (n = h->watches.next; n != &h->watches; n = h->next) {
		struct fswatch *w = list_entry(n, struct fswatch, node);

		h->next = n->next;
		if (take(w, queue, e))
			arm_again(w);
	}
}

static void on_ready(void *arg, unsigned ready)
{
	struct queue *q = arg;
	char b[READ_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	size_t at;
	ssize_t n;
	int i;

	(void)ready;
	for (i = 0; i < READS_PER_TURN; i++) {
		n = read(q->fd, b, sizeof(b));
		if (n <= 0)
			return;
		for (at = 0; at < (size_t)n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)(b + at);
			tell_all(q->hub, (int)(q - q->hub->queues), e);
		}
	}
}

/* ---- the hub ---- */

static void hub_free(struct hub *h)
{
	size_t i;

	*loop_shared(h->loop, LOOP_SHARED_FSWATCH) = NULL;
	for (i = 0; i < QUEUES; i++) {
		loop_io_done(&h->queues[i].io);
		if (h->queues[i].fd >= 0)
			close(h->queues[i].fd);
	}
	mem_free(h);
}

static int hub_of(struct loop *l, struct hub **out)
{
	void **place = loop_shared(l, LOOP_SHARED_FSWATCH);
	struct hub *h = *place;
	int i, r = 0;

	*out = h;
	if (h)
		return 0;
	h = MEM_NEW(struct hub);
	h->loop = l;
	list_init(&h->watches);
	for (i = 0; i < QUEUES; i++) {
		struct queue *q = &h->queues[i];

		q->hub = h;
		q->fd = r < 0 ? -1 : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (q->fd < 0) {
			r = r < 0 ? r : -errno;
			continue;
		}
		loop_io_init(&q->io, l, q->fd, on_ready, q);
		loop_io_want(&q->io, LOOP_READ);
	}
	if (r < 0) {
		hub_free(h);
		return r;
	}
	*place = *out = h;
	return 0;
}

static void leave_hub(struct fswatch *w)
{
	struct held before = w->held;
	struct hub *h = w->hub;

	if (h->next == &w->node)
		h->next = w->node.next;
	list_remove(&w->node);
	disarm(w, &before);
	if (list_empty(&h->watches))
		hub_free(h);
}

/* ---- public ---- */

int fswatch_new(struct loop *l, const char *folder, fswatch_fn fn, void *arg, struct fswatch **out)
{
	struct fswatch *w;
	struct hub *h;
	int r = hub_of(l, &h);

	must(folder[0] == '/');
	*out = NULL;
	if (r < 0)
		return r;
	w = MEM_NEW(struct fswatch);
	*w = (struct fswatch){
		.hub = h, .path = mem_strdup(folder), .fn = fn, .arg = arg, .held.folder = -1
	};
	loop_timer_init(&w->retry, l, arm_again, w);
	list_push(&h->watches, &w->node);
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
	leave_hub(w);
	loop_timer_stop(&w->retry);
	mem_free(w->path);
	mem_free(w->only);
	mem_free(w);
	*wp = NULL;
}
