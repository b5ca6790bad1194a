/*
 * disable-device-node-modification: /proc/driver/nvidia/params tells the driver's user-space
 * libraries that they may make device nodes. In the container a copy that says no is mounted
 * over it, read-only.
 *
 * The copy is made on a tmpfs of a mount namespace of our own, cloned as a detached mount, and
 * put in place by one move_mount(): killed anywhere, the hook leaves either nothing or all, and
 * no folder or file is made in the container. createContainer hooks run in the container's mount
 * namespace, before its root is changed, so the mount stays with the container.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "tools/hook/args.h"
#include "tools/hook/hook.h"
#include "tools/hook/oci.h"
#include "tools/hook/root.h"

#define PARAMS "/proc/driver/nvidia/params"

/* linux/mount.h, which musl's header folder does not have. */
#define TREE_CLONE	1u
#define TREE_CLOEXEC	((unsigned)O_CLOEXEC)
#define MOVE_FROM_EMPTY 0x04u
#define MOVE_TO_EMPTY	0x40u

enum { PARAMS_MAX = 16 * 1024 }; /* the driver has about 30 lines */

/* Turns the line "ModifyDeviceFiles: 1" into "...: 0"; false when there is no such line. */
static bool forbid(char *text)
{
	static const char yes[] = "ModifyDeviceFiles: 1";
	char *line = text;

	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, yes, sizeof(yes) - 1) == 0 &&
		    (line[sizeof(yes) - 1] == '\n' || line[sizeof(yes) - 1] == '\0')) {
			line[sizeof(yes) - 2] = '0';
			return true;
		}
	}
	return false;
}

/* A tmpfs over our own view of /proc with the file in it, as a detached read-only mount. */
static int make_tree(const char *text, struct why *why)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	auto_close int fd = -1;
	long tree;

	if (mount(NULL, "/proc", NULL, MS_PRIVATE, NULL) < 0 ||
	    mount("tundra-cdi-hook", "/proc", "tmpfs", flags, "size=128k,nr_inodes=8,mode=0555") <
		0)
		return why_sys(why, -errno, "cannot mount a tmpfs for " PARAMS);
	fd = open("/proc/params", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    fchmod(fd, 0444) < 0)
		return why_sys(why, -errno, "cannot write the copy of " PARAMS);
	close_fd(&fd);
	if (mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
		return why_sys(why, -errno, "cannot make the copy of " PARAMS " read-only");
	tree = syscall(SYS_open_tree, AT_FDCWD, "/proc/params", TREE_CLONE | TREE_CLOEXEC);
	if (tree < 0)
		return why_sys(why, -errno,
			       "cannot clone the copy of " PARAMS
			       " (Linux 5.2 or newer is needed)");
	return (int)tree;
}

/* Mounts a file with `text` over the file behind `target`. */
static int cover(int target, const char *text, struct why *why)
{
	auto_close int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	auto_close int tree = -1;

	if (ns < 0 || unshare(CLONE_NEWNS) < 0)
		return why_sys(why, -errno, "cannot make a mount namespace for " PARAMS);
	tree = make_tree(text, why);
	if (setns(ns, CLONE_NEWNS) < 0)
		return why_sys(why, -errno, "cannot return to the container's mount namespace");
	if (tree < 0)
		return tree;
	if (syscall(SYS_move_mount, tree, "", target, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY) < 0)
		return why_sys(why, -errno, "cannot mount over " PARAMS " in the container");
	return 0;
}

/* Length of the host's file after the change, 0 when nothing has to be changed. */
static ssize_t read_host(const char *path, char *text, size_t cap, struct why *why)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t len;

	if (fd < 0 && errno == ENOENT)
		return 0;
	len = fd < 0 ? -errno : root_read_fd(fd, text, cap);
	if (len < 0)
		return why_sys(why, (int)len, "cannot read %s", path);
	return forbid(text) ? len : 0;
}

static int disable(const struct root *root, const char *text, struct why *why)
{
	auto_close int target = root_at(root, PARAMS);
	char now[PARAMS_MAX] = "";
	ssize_t len;

	if (target == -ENOENT || target == -ENOTDIR) {
		why_debug(why, "the container has no " PARAMS);
		return 0;
	}
	if (target < 0)
		return why_sys(why, target, "cannot open " PARAMS " in the container");
	len = root_read(root, PARAMS, now, sizeof(now));
	if (len < 0)
		return why_sys(why, (int)len, "cannot read " PARAMS " in the container");
	if (!forbid(now)) {
		why_debug(why, PARAMS " in the container forbids it already");
		return 0;
	}
	return cover(target, text, why);
}

int hook_disable_device_node_modification(struct hook *hook, int argc, char **argv)
{
	const char *spec = NULL;
	const struct args_opt opts[] = {
		{ "container-spec", "FILE", "read the container state from FILE", ARGS_TEXT,
		  &spec },
	};
	char text[PARAMS_MAX] = "";
	struct root root;
	ssize_t len;
	int r = args_parse(opts, ARRAY_LEN(opts), argc, argv, &hook->why);

	if (r == ARGS_HELP) {
		args_help(opts, ARRAY_LEN(opts), argv[0], stdout);
		return HOOK_OK;
	}
	if (r < 0)
		return HOOK_USAGE;
	len = read_host(hook->host_params, text, sizeof(text), &hook->why);
	if (len <= 0)
		return len < 0 ? HOOK_FAILED : HOOK_OK;
	if (oci_open_root(spec, hook->state_fd, &root, &hook->why) < 0)
		return HOOK_FAILED;
	r = disable(&root, text, &hook->why);
	root_done(&root);
	return r < 0 ? HOOK_FAILED : HOOK_OK;
}
