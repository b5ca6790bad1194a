#pragma once
/*
 * From the container state that a runtime writes to a hook's standard input to the container's
 * root folder: state.root (crun), or root.path of <state.bundle>/config.json.
 */
#include "tools/hook/base.h"
#include "tools/hook/root.h"
#include "tools/hook/why.h"

enum {
	OCI_STATE_MAX = 1 << 20,  /* the state carries the annotations: 256 KiB in Kubernetes */
	OCI_CONFIG_MAX = 8 << 20, /* config.json */
};

/* `spec` is a file with the state; NULL, "" and "-" are `state_fd`. Writes the host's path. */
int oci_root_path(const char *spec, int state_fd, char path[HOOK_PATH_MAX],
		  struct why *why) NODISCARD;
/* oci_root_path() and root_init(). */
int oci_open_root(const char *spec, int state_fd, struct root *root, struct why *why) NODISCARD;
