#pragma once
/*
 * The commands. Each is one file, hook_<command>.c; main() holds the table of them. A command
 * reads the container state, opens the container's root, does its one thing, and says in
 * hook->why what went wrong. All are safe to run twice: the CDI library applies a device's hooks
 * again when a device is listed twice.
 */
#include "tools/hook/base.h"
#include "tools/hook/why.h"

enum {
	HOOK_OK = 0,
	HOOK_FAILED = 1, /* exit status: the container must not start */
	HOOK_USAGE = 2,	 /* exit status: wrong flags */
};

/* Owner: main(). What comes from outside is named here, so that a test gives others. */
struct hook {
	struct why why;
	const char *version;
	int state_fd;		 /* where the container state comes from: standard input */
	const char *host_params; /* the driver's parameters on the host */
};

/* Each returns an exit status; on HOOK_FAILED and HOOK_USAGE hook->why has the line to print. */
int hook_create_symlinks(struct hook *hook, int argc, char **argv) NODISCARD;
int hook_update_ldcache(struct hook *hook, int argc, char **argv) NODISCARD;
int hook_enable_cuda_compat(struct hook *hook, int argc, char **argv) NODISCARD;
int hook_disable_device_node_modification(struct hook *hook, int argc, char **argv) NODISCARD;
int hook_chmod(struct hook *hook, int argc, char **argv) NODISCARD;
