/*
 * enable-cuda-compat: an image may carry CUDA's forward compatibility libraries. When their major
 * version is above the host driver's, their folder is put before the driver's in the search path,
 * by a file in /etc/ld.so.conf.d that the update-ldcache hook behind this one reads. When it is
 * not (the host was upgraded and a container is started again), an earlier file is emptied.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/hook/args.h"
#include "tools/hook/confd.h"
#include "tools/hook/hook.h"
#include "tools/hook/oci.h"
#include "tools/hook/root.h"

#define COMPAT_DIR "/usr/local/cuda/compat"
#define LIBCUDA	   "libcuda.so."

/* The major number of "580.65.06", or -1. */
static int major_of(const char *version)
{
	int major = 0;
	size_t len = strspn(version, "0123456789");

	if (len == 0 || len > 6 || (version[len] != '.' && version[len] != '\0'))
		return -1;
	for (size_t i = 0; i < len; i++)
		major = major * 10 + (version[i] - '0');
	return major;
}

/* Major version of the one libcuda.so.<a>.<b> in the folder; 0 for none or for several. */
static int compat_major(const struct root *root, const char *path, struct why *why)
{
	struct dirent *e;
	struct stat st;
	const char *version;
	unsigned count = 0;
	int major = 0, fd = root_dir(root, path);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		close_fd(&fd);
		return 0;
	}
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, LIBCUDA, strlen(LIBCUDA)) != 0)
			continue;
		version = e->d_name + strlen(LIBCUDA);
		if (!strchr(version, '.') || major_of(version) < 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		major = major_of(version);
		count++;
	}
	closedir(d);
	if (count > 1)
		why_warn(why, "%s in the container has %u versions of libcuda.so: none is used",
			 path, count);
	return count == 1 ? major : 0;
}

static int enable(const struct root *root, const char *path, int host, struct why *why)
{
	int compat = compat_major(root, path, why), r = 0;
	struct paths dirs;

	paths_init(&dirs);
	why_debug(why, "CUDA compatibility libraries: %d, host driver: %d", compat, host);
	if (compat > host)
		r = paths_add(&dirs, path);
	if (r == 0)
		r = confd_write(root, CONFD_COMPAT, &dirs, why);
	paths_done(&dirs);
	return r;
}

int hook_enable_cuda_compat(struct hook *hook, int argc, char **argv)
{
	const char *spec = NULL, *driver = "", *cuda = "", *path = COMPAT_DIR;
	const struct args_opt opts[] = {
		{ "host-driver-version", "VERSION", "the host's driver; without it nothing is done",
		  ARGS_TEXT, &driver },
		{ "host-cuda-version", "VERSION", "accepted; the driver's version decides",
		  ARGS_TEXT, &cuda },
		{ "cuda-compat-container-root", "FOLDER",
		  "where the container has the libraries (default " COMPAT_DIR ")", ARGS_TEXT,
		  &path },
		{ "container-spec", "FILE", "read the container state from FILE", ARGS_TEXT,
		  &spec },
	};
	struct root root;
	int host, r = args_parse(opts, ARRAY_LEN(opts), argc, argv, &hook->why);

	if (r == ARGS_HELP) {
		args_help(opts, ARRAY_LEN(opts), argv[0], stdout);
		return HOOK_OK;
	}
	if (r < 0)
		return HOOK_USAGE;
	if (driver[0] == '\0')
		return HOOK_OK;
	host = major_of(driver);
	if (host < 0 || path[0] != '/' || strpbrk(path, "\n#=")) {
		why_set(&hook->why, -EINVAL, "enable-cuda-compat: \"%s\" is not a %s",
			host < 0 ? driver : path, host < 0 ? "driver version" : "folder's path");
		return HOOK_USAGE;
	}
	if (oci_open_root(spec, hook->state_fd, &root, &hook->why) < 0)
		return HOOK_FAILED;
	r = enable(&root, path, host, &hook->why);
	root_done(&root);
	return r < 0 ? HOOK_FAILED : HOOK_OK;
}
