/*
 * chmod: sets the mode of folders in the container. Folders only: a device node or a library may
 * be the host's own, seen through a bind mount. What is not there is passed over, and so is what
 * may not be changed (a host's /dev mounted whole).
 */
#include <errno.h>
#include <string.h>

#include "tools/hook/args.h"
#include "tools/hook/hook.h"
#include "tools/hook/oci.h"
#include "tools/hook/root.h"

static int parse_mode(const char *text, mode_t *mode, struct why *why)
{
	unsigned value = 0;
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len && len <= 5; i++) {
		if (text[i] < '0' || text[i] > '7')
			len = 0;
		else
			value = value * 8 + (unsigned)(text[i] - '0');
	}
	if (len == 0 || len > 5 || value > 07777)
		return why_set(why, -EINVAL, "chmod: --mode must be an octal number up to 7777");
	*mode = (mode_t)value;
	return 0;
}

static int change(const struct root *root, const char *path, mode_t mode, struct why *why)
{
	auto_close int fd = root_dir(root, path);
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR) {
		why_debug(why, "%s is not a folder of the container", path);
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return why_sys(why, fd < 0 ? fd : -errno, "chmod: cannot open %s in the container",
			       path);
	if ((st.st_mode & 07777) == mode || fchmod(fd, mode) == 0)
		return 0;
	r = -errno;
	if (r == -EPERM || r == -EROFS) {
		why_warn(why, "the mode of %s in the container stays %o: %s", path,
			 st.st_mode & 07777, strerror(-r));
		return 0;
	}
	return why_sys(why, r, "chmod: cannot change %s in the container", path);
}

int hook_chmod(struct hook *hook, int argc, char **argv)
{
	struct args_list paths = { .n = 0 };
	const char *spec = NULL, *text = NULL;
	const struct args_opt opts[] = {
		{ "path", "FOLDER", "folder of the container; may be repeated", ARGS_LIST, &paths },
		{ "mode", "MODE", "octal mode", ARGS_TEXT, &text },
		{ "container-spec", "FILE", "read the container state from FILE", ARGS_TEXT,
		  &spec },
	};
	struct root root;
	mode_t mode = 0;
	int r = args_parse(opts, ARRAY_LEN(opts), argc, argv, &hook->why);

	if (r == ARGS_HELP) {
		args_help(opts, ARRAY_LEN(opts), argv[0], stdout);
		return HOOK_OK;
	}
	if (r == 0)
		r = parse_mode(text, &mode, &hook->why);
	if (r < 0)
		return HOOK_USAGE;
	if (oci_open_root(spec, hook->state_fd, &root, &hook->why) < 0)
		return HOOK_FAILED;
	for (size_t i = 0; i < paths.n && r == 0; i++)
		r = change(&root, paths.v[i], mode, &hook->why);
	root_done(&root);
	return r < 0 ? HOOK_FAILED : HOOK_OK;
}
