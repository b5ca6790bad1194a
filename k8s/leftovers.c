#include "k8s/leftovers.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/fsx.h"
#include "core/list.h"
#include "core/log.h"
#include "core/mem.h"
#include "transport/sock.h"

enum { SUSPECTS_MAX = 1024 }; /* more are for the next start */

struct place {
	char *folder, *begin, *end;
};

struct suspect {
	struct list node;
	char *path;
	uint64_t ino;
};

struct leftovers {
	struct loop *loop;
	struct place *places;
	size_t n;
	struct list suspects;
	size_t suspects_n;
	struct loop_timer timer;
};

/* ---- what is left ---- */

/* Nobody listens. Anything but a refusal may be someone who is busy. */
static bool is_dead(const char *path)
{
	struct sock_addr a;
	int fd = -1, r = sock_addr_unix(&a, path, NULL);

	if (r < 0)
		return false;
	r = sock_connect(&a, &fd);
	sock_close(&fd);
	return r == -ECONNREFUSED;
}

static bool is_ours(const struct place *p, const char *name)
{
	struct sv s = sv_str(name), begin = sv_str(p->begin);

	if (s.n < begin.n || !begin.n)
		return false;
	/* transport/sock: the first character is a dot until it listens. */
	if (*name != *p->begin && *name != '.')
		return false;
	return sv_starts(sv_drop(s, 1), sv_drop(begin, 1)) && sv_ends(s, sv_str(p->end));
}

static bool is_left(const struct place *p, const char *name, const char *path,
		    const struct stat *st)
{
	if (fsx_is_temp(name))
		return S_ISREG(st->st_mode);
	return p->begin && S_ISSOCK(st->st_mode) && is_ours(p, name) && is_dead(path);
}

/* ---- the first look ---- */

struct look {
	struct leftovers *owner;
	const struct place *place;
};

static int suspect(void *arg, const char *name)
{
	const struct look *look = arg;
	struct leftovers *l = look->owner;
	char *path = mem_printf("%s/%s", look->place->folder, name);
	struct suspect *s;
	struct stat st;

	if (l->suspects_n == SUSPECTS_MAX || lstat(path, &st) < 0 ||
	    !is_left(look->place, name, path, &st)) {
		mem_free(path);
		return 0;
	}
	s = MEM_NEW(struct suspect);
	s->path = path;
	s->ino = (uint64_t)st.st_ino;
	list_push(&l->suspects, &s->node);
	l->suspects_n++;
	return 0;
}

static void forget(struct leftovers *l)
{
	struct list *n;

	while ((n = list_pop(&l->suspects))) {
		struct suspect *s = list_entry(n, struct suspect, node);

		mem_free(s->path);
		mem_free(s);
	}
	l->suspects_n = 0;
}

void leftovers_begin(struct leftovers *l)
{
	forget(l);
	for (size_t i = 0; i < l->n; i++) {
		struct look look = { l, &l->places[i] };
		int r = fsx_list(l->places[i].folder, suspect, &look);

		if (r < 0 && r != -ENOENT)
			log_warn("folder cannot be read", LOG_S("folder", l->places[i].folder),
				 LOG_S("error", strerror(-r)));
	}
	if (l->suspects_n)
		loop_timer_set(&l->timer, LEFTOVERS_MS);
}

/* ---- the second ---- */

/* A socket may have been made anew, under a new inode, or answer by now. */
static void remove_left(const struct suspect *s)
{
	struct stat st;
	int r;

	if (lstat(s->path, &st) < 0 || (uint64_t)st.st_ino != s->ino)
		return;
	if (S_ISSOCK(st.st_mode) && !is_dead(s->path))
		return;
	r = fsx_remove(s->path);
	if (r < 0)
		log_warn("what a killed instance left cannot be removed", LOG_S("file", s->path),
			 LOG_S("error", strerror(-r)));
	else
		log_info("removed what a killed instance left", LOG_S("file", s->path));
}

static void on_timer(void *arg)
{
	struct leftovers *l = arg;

	list_for_each (n, &l->suspects)
		remove_left(list_entry(n, struct suspect, node));
	forget(l);
}

void leftovers_stop(struct leftovers *l)
{
	loop_timer_stop(&l->timer);
	forget(l);
}

/* ---- life ---- */

struct leftovers *leftovers_new(struct loop *loop, const struct leftovers_place *places, size_t n)
{
	struct leftovers *l = MEM_NEW(struct leftovers);

	l->loop = loop;
	l->n = n;
	l->places = mem_calloc(n ? n : 1, sizeof(*l->places));
	for (size_t i = 0; i < n; i++)
		l->places[i] =
		    (struct place){ mem_strdup(places[i].folder), mem_strdup(places[i].begin),
				    mem_strdup(places[i].end) };
	list_init(&l->suspects);
	loop_timer_init(&l->timer, loop, on_timer, l);
	return l;
}

void leftovers_free(struct leftovers **lp)
{
	struct leftovers *l = *lp;

	if (!l)
		return;
	leftovers_stop(l);
	for (size_t i = 0; i < l->n; i++) {
		mem_free(l->places[i].folder);
		mem_free(l->places[i].begin);
		mem_free(l->places[i].end);
	}
	mem_free(l->places);
	mem_free(l);
	*lp = NULL;
}
