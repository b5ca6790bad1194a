#include "tools/hook/confd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char top[] = "include " CONFD_DIR "/*.conf\n";

static int ensure_top(const struct root *root, struct why *why)
{
	auto_close int etc = root_mkdirs(root, "/etc");
	struct stat st;
	int r;

	if (etc < 0)
		return why_sys(why, etc, "cannot open /etc in the container");
	if (fstatat(etc, "ld.so.conf", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = root_put(etc, "ld.so.conf", top, sizeof(top) - 1);
	return r < 0 ? why_sys(why, r, "cannot write " CONFD_TOP " in the container") : 0;
}

/* One folder a line, malloc'ed. */
static char *lines(const struct paths *dirs, size_t *len)
{
	size_t need = 1, part;
	char *text;

	*len = 0;
	for (size_t i = 0; i < dirs->n; i++)
		need += strlen(dirs->v[i]) + 1;
	text = malloc(need);
	for (size_t i = 0; text && i < dirs->n; i++) {
		part = strlen(dirs->v[i]);
		memcpy(text + *len, dirs->v[i], part);
		text[*len + part] = '\n';
		*len += part + 1;
	}
	return text;
}

int confd_write(const struct root *root, const char *name, const struct paths *dirs,
		struct why *why)
{
	auto_close int fd = -1;
	char path[HOOK_PATH_MAX], *text;
	size_t len;
	int r;

	snprintf(path, sizeof(path), CONFD_DIR "/%s", name);
	if (dirs->n == 0 && !root_has(root, path))
		return 0;
	r = ensure_top(root, why);
	if (r < 0)
		return r;
	fd = root_mkdirs(root, CONFD_DIR);
	if (fd < 0)
		return why_sys(why, fd, "cannot open or make " CONFD_DIR " in the container");
	text = lines(dirs, &len);
	r = text ? root_put(fd, name, text, len) : -ENOMEM;
	free(text);
	return r < 0 ? why_sys(why, r, "cannot write %s in the container", path) : 0;
}
