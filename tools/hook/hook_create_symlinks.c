/*
 * create-symlinks: as "chroot ROOT ln -sfn TARGET LINK" with the missing folders made, but inside
 * the root whatever the image contains. A link that is right already is left alone; any file in
 * its place is replaced, a folder is not.
 */
#include <errno.h>
#include <string.h>

#include "tools/hook/args.h"
#include "tools/hook/hook.h"
#include "tools/hook/oci.h"
#include "tools/hook/root.h"

/* "TARGET::LINK": where LINK starts, or NULL. */
static const char *split(const char *spec, char target[HOOK_PATH_MAX])
{
	const char *colons = strstr(spec, "::");
	size_t len = colons ? (size_t)(colons - spec) : 0;

	if (len == 0 || len >= HOOK_PATH_MAX || colons[2] == '\0' || strstr(colons + 2, "::"))
		return NULL;
	memcpy(target, spec, len);
	target[len] = '\0';
	return colons + 2;
}

static int make(const struct root *root, const char *spec, struct why *why)
{
	char target[HOOK_PATH_MAX], dir[HOOK_PATH_MAX];
	const char *link = split(spec, target), *name;
	auto_close int fd = -1;
	int r;

	must(link);
	r = root_split(link, dir, &name);
	if (r < 0)
		return why_set(why, r, "create-symlinks: \"%s\" cannot be a link's path", link);
	fd = root_mkdirs(root, dir);
	if (fd < 0)
		return why_sys(why, fd, "create-symlinks: cannot open or make %s in the container",
			       dir);
	r = root_link(fd, name, target);
	if (r == -EISDIR || r == -ENOTEMPTY)
		return why_set(
		    why, r,
		    "create-symlinks: %s in the container is a folder where a link to %s "
		    "belongs: remove it from the image",
		    link, target);
	if (r < 0)
		return why_sys(why, r, "create-symlinks: cannot link %s to %s in the container",
			       link, target);
	why_debug(why, "%s -> %s%s", link, target, r == ROOT_SAME ? " (is so already)" : "");
	return 0;
}

int hook_create_symlinks(struct hook *hook, int argc, char **argv)
{
	struct args_list links = { .n = 0 };
	const char *spec = NULL;
	char target[HOOK_PATH_MAX];
	const struct args_opt opts[] = {
		{ "link", "TARGET::LINK",
		  "make LINK in the container point to TARGET; may be repeated", ARGS_LIST,
		  &links },
		{ "container-spec", "FILE", "read the container state from FILE", ARGS_TEXT,
		  &spec },
	};
	struct root root;
	int r = args_parse(opts, ARRAY_LEN(opts), argc, argv, &hook->why);

	if (r == ARGS_HELP) {
		args_help(opts, ARRAY_LEN(opts), argv[0], stdout);
		return HOOK_OK;
	}
	/* All are looked at before the first is made. */
	for (size_t i = 0; i < links.n && r == 0; i++)
		if (!split(links.v[i], target))
			r = why_set(&hook->why, -EINVAL,
				    "create-symlinks: --link \"%s\" is not TARGET::LINK",
				    links.v[i]);
	if (r < 0)
		return HOOK_USAGE;
	if (oci_open_root(spec, hook->state_fd, &root, &hook->why) < 0)
		return HOOK_FAILED;
	for (size_t i = 0; i < links.n && r == 0; i++)
		r = make(&root, links.v[i], &hook->why);
	root_done(&root);
	return r < 0 ? HOOK_FAILED : HOOK_OK;
}
