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
	char *folder, *name, *end, *own;
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
	unsigned looks;
	struct loop_timer timer;
};

/* ---- what is left ---- */

/* <name><end> or <name>-...<end>, behind what stands for the first character. */
static bool is_ours(const struct place *p, const char *name)
{
	struct sv s = sv_drop(sv_str(name), 1), rest;

	if (!*name || !sv_starts(s, sv_drop(sv_str(p->name), 1)))
		return false;
	rest = sv_drop(s, strlen(p->name) - 1);
	return sv_ends(rest, sv_str(p->end)) && (rest.n == strlen(p->end) || *rest.p == '-');
}

static bool is_socket(const struct place *p, const char *name, bool hidden)
{
	return p->name && *name == (hidden ? '.' : *p->name) && is_ours(p, name);
}

static bool is_own(const struct place *p, const char *path)
{
	return p->own && !strcmp(path, p->own);
}

static void remove_left(const char *path)
{
	int r = fsx_remove(path);

	if (r < 0)
		log_warn("what a killed instance left cannot be removed", LOG_S("file", path),
			 LOG_S("error", strerror(-r)));
	else
		log_info("removed what a killed instance left", LOG_S("file", path));
}

/* ---- one look ---- */

struct look {
	struct leftovers *owner;
	const struct place *place;
};

static void suspect(struct leftovers *l, const char *path, bool socket)
{
	struct suspect *s;
	struct stat st;

	if (l->suspects_n == SUSPECTS_MAX || lstat(path, &st) < 0 ||
	    (socket ? !sock_unix_is_dead(path) : !S_ISREG(st.st_mode)))
		return;
	s = MEM_NEW(struct suspect);
	s->path = mem_strdup(path);
	s->ino = (uint64_t)st.st_ino;
	list_push(&l->suspects, &s->node);
	l->suspects_n++;
}

static int on_entry(void *arg, const char *name)
{
	const struct look *look = arg;
	const struct place *p = look->place;
	char *path = mem_printf("%s/%s", p->folder, name);

	if (fsx_is_temp(name))
		suspect(look->owner, path, false);
	else if (is_socket(p, name, true))
		suspect(look->owner, path, true);
	else if (is_socket(p, name, false) && !is_own(p, path) && sock_unix_is_dead(path))
		remove_left(path);
	mem_free(path);
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

/* A socket may have been made anew, under a new inode, or answer by now. */
static bool is_left(const struct suspect *s)
{
	struct stat st;

	return lstat(s->path, &st) == 0 && (uint64_t)st.st_ino == s->ino &&
	       (!S_ISSOCK(st.st_mode) || sock_unix_is_dead(s->path));
}

static void look_around(struct leftovers *l)
{
	list_for_each (n, &l->suspects) {
		const struct suspect *s = list_entry(n, struct suspect, node);

		if (is_left(s))
			remove_left(s->path);
	}
	forget(l);
	for (size_t i = 0; i < l->n; i++) {
		struct look look = { l, &l->places[i] };
		int r = fsx_list(l->places[i].folder, on_entry, &look);

		if (r < 0 && r != -ENOENT)
			log_warn("folder cannot be read", LOG_S("folder", l->places[i].folder),
				 LOG_S("error", strerror(-r)));
	}
	if (++l->looks < LEFTOVERS_LOOKS)
		loop_timer_set(&l->timer, LEFTOVERS_MS);
}

static void on_timer(void *arg)
{
	look_around(arg);
}

void leftovers_begin(struct leftovers *l)
{
	leftovers_stop(l);
	l->looks = 0;
	look_around(l);
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
		    (struct place){ mem_strdup(places[i].folder), mem_strdup(places[i].name),
				    mem_strdup(places[i].end), mem_strdup(places[i].own) };
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
		mem_free(l->places[i].name);
		mem_free(l->places[i].end);
		mem_free(l->places[i].own);
	}
	mem_free(l->places);
	mem_free(l);
	*lp = NULL;
}
