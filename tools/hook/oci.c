#include "tools/hook/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "tools/hook/json.h"

/* Reads until the document ends: a runtime may keep the pipe open behind it. */
static int read_json(int fd, const char *name, struct json_want *wants, unsigned n, size_t max,
		     struct why *why)
{
	struct json j;
	char buf[8192];
	ssize_t len;
	int r = 0;

	json_init(&j, wants, n, max);
	while (!json_complete(&j)) {
		len = read(fd, buf, sizeof(buf));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return why_sys(why, -errno, "cannot read %s", name);
		r = len ? json_feed(&j, buf, (size_t)len) : json_end(&j);
		if (r < 0)
			return why_set(why, r, "%s: byte %zu: %s", name, json_offset(&j),
				       json_error(&j));
		if (len == 0)
			break;
	}
	return 0;
}

static int open_regular(const char *path, struct why *why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return why_sys(why, -errno, "cannot open %s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return why_set(why, -EINVAL, "%s is not a regular file", path);
}

static int read_config(const char *bundle, char path[HOOK_PATH_MAX], struct why *why)
{
	char name[HOOK_PATH_MAX + 16], root[HOOK_PATH_MAX];
	struct json_want want = { .keys = { "root", "path" }, .out = root, .cap = sizeof(root) };
	auto_close int fd = -1;
	int r;

	snprintf(name, sizeof(name), "%s/config.json", bundle);
	fd = open_regular(name, why);
	if (fd < 0)
		return fd;
	r = read_json(fd, name, &want, 1, OCI_CONFIG_MAX, why);
	if (r < 0)
		return r;
	if (root[0] == '\0')
		return why_set(why, -EINVAL, "%s names no root.path", name);
	r = snprintf(path, HOOK_PATH_MAX, "%s%s%s", root[0] == '/' ? "" : bundle,
		     root[0] == '/' ? "" : "/", root);
	return r < HOOK_PATH_MAX ? 0
				 : why_set(why, -ENAMETOOLONG, "%s: root.path is too long", name);
}

int oci_root_path(const char *spec, int state_fd, char path[HOOK_PATH_MAX], struct why *why)
{
	char bundle[HOOK_PATH_MAX];
	struct json_want wants[] = {
		{ .keys = { "bundle" }, .out = bundle, .cap = sizeof(bundle) },
		{ .keys = { "root" }, .out = path, .cap = HOOK_PATH_MAX },
	};
	bool file = spec && spec[0] && strcmp(spec, "-") != 0;
	auto_close int fd = -1;
	int r;

	if (file) {
		fd = open_regular(spec, why);
		if (fd < 0)
			return fd;
	}
	r = read_json(file ? fd : state_fd, file ? spec : "the container state on standard input",
		      wants, ARRAY_LEN(wants), OCI_STATE_MAX, why);
	if (r < 0)
		return r;
	if (path[0] == '/')
		return 0;
	if (bundle[0] != '/')
		return why_set(why, -EINVAL,
			       "the container state names no bundle: is this run as an OCI hook?");
	return read_config(bundle, path, why);
}

int oci_open_root(const char *spec, int state_fd, struct root *root, struct why *why)
{
	char path[HOOK_PATH_MAX];
	int r = oci_root_path(spec, state_fd, path, why);

	if (r < 0)
		return r;
	why_debug(why, "the container's root is %s", path);
	return root_init(root, path, why);
}
