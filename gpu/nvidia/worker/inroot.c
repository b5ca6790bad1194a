#include "gpu/nvidia/worker/inroot.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INROOT_LINKS_MAX = 40 }; /* as the kernel */

int inroot_join(const char *root, const char *path, struct inroot_path *out)
{
	size_t n = strlen(root);
	int r;

	while (n && root[n - 1] == '/')
		n--;
	while (*path == '/')
		path++;
	r = snprintf(out->s, sizeof(out->s), "%.*s/%s", (int)n, root, path);
	if (r < 0 || (size_t)r >= sizeof(out->s))
		return -ENAMETOOLONG;
	while (r > 1 && out->s[r - 1] == '/')
		out->s[--r] = '\0';
	return 0;
}

struct inroot_walk {
	const char *root;
	struct inroot_path done, todo; /* resolved so far; still to go */
	unsigned links;
};

/* Puts a link's target in front of what is still to go. */
static int inroot_follow(struct inroot_walk *w, const struct inroot_path *at)
{
	char target[INROOT_PATH_MAX + 1], rest[INROOT_PATH_MAX + 1];
	ssize_t n;
	int r;

	if (++w->links > INROOT_LINKS_MAX)
		return -ELOOP;
	n = readlink(at->s, target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	if (*target == '/')
		w->done.s[0] = '\0';
	memcpy(rest, w->todo.s, sizeof(rest));
	r = snprintf(w->todo.s, sizeof(w->todo.s), "%s/%s", target, rest);
	return r < 0 || (size_t)r >= sizeof(w->todo.s) ? -ENAMETOOLONG : 0;
}

static int inroot_step(struct inroot_walk *w, struct sv part)
{
	struct inroot_path inside, at;
	struct stat st;
	char *slash;
	int r;

	if (part.n == 0 || sv_eqs(part, "."))
		return 0;
	if (sv_eqs(part, "..")) {
		slash = strrchr(w->done.s, '/');
		if (slash)
			*slash = '\0';
		return 0;
	}
	r = snprintf(inside.s, sizeof(inside.s), "%s/" SV_FMT, w->done.s, SV_ARG(part));
	if (r < 0 || (size_t)r >= sizeof(inside.s))
		return -ENAMETOOLONG;
	r = inroot_join(w->root, inside.s, &at);
	if (r < 0)
		return r;
	if (lstat(at.s, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return inroot_follow(w, &at);
	w->done = inside;
	return 0;
}

int inroot_resolve(const char *root, const char *path, struct inroot_path *out)
{
	struct inroot_walk w = { .root = root };
	struct inroot_path now;
	struct sv rest;
	struct sv part;
	int r = 0;

	if (!sv_copy(w.todo.s, sizeof(w.todo.s), sv_str(path)))
		return -ENAMETOOLONG;
	while (r == 0 && *w.todo.s) {
		now = w.todo;
		rest = sv_str(now.s);
		part = sv_cut(&rest, '/');
		sv_copy(w.todo.s, sizeof(w.todo.s), rest);
		r = inroot_step(&w, part);
	}
	if (r < 0)
		return r;
	if (!*w.done.s)
		w.done.s[0] = '/', w.done.s[1] = '\0';
	*out = w.done;
	return 0;
}

int inroot_find(const char *root, const char *path, unsigned type, struct inroot_path *out)
{
	struct inroot_path at;
	struct stat st;
	int r;

	r = inroot_resolve(root, path, out);
	if (r == 0)
		r = inroot_join(root, out->s, &at);
	if (r < 0)
		return r;
	if (lstat(at.s, &st) < 0)
		return -errno;
	return type && (st.st_mode & S_IFMT) != type ? -ENOENT : 0;
}
