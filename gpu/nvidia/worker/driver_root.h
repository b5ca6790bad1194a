#pragma once
/*
 * Where an NVIDIA driver's files may be on a node: under the host's root, in the driver container
 * of the GPU Operator, in the places of GKE, WSL, Talos and NixOS. Candidates come in a fixed
 * order; the caller tries to load each and goes on when one is not of the running driver.
 */
#include "core/buf.h"
#include "core/roots.h"
#include "gpu/nvidia/worker/inroot.h"
#include "gpu/proto/messages.h"

enum { DRIVER_DIRS_MAX = 20 };

struct driver_layout {
	const char *name;		   /* for people */
	const char *sub;		   /* its root below the one that was given */
	const char *libs[DRIVER_DIRS_MAX]; /* where libnvidia-ml.so.1 may be; ends with NULL */
	const char *bins[DRIVER_DIRS_MAX]; /* besides the usual; ends with NULL */
	bool wsl;
};

struct driver_root {
	const struct driver_layout *layout;
	struct inroot_path root; /* as we see it */
	struct inroot_path host; /* as the host sees it */
	struct inroot_path lib;	 /* libnvidia-ml.so.1 inside it, links followed */
};

struct driver_search {
	const struct roots *roots;
	size_t base, layout;
};

struct driver_search driver_search_new(const struct roots *roots);
/* The next place that holds the library; false when there is none (left). */
bool driver_search_next(struct driver_search *s, struct driver_root *out);
/* "libnvidia-ml.so.1 is in none of: host /driver-root{,/usr/lib64,...}; ..." */
void driver_search_text(const struct roots *roots, struct buf *out);
/* Folders whose change may mean that a driver arrived. */
size_t driver_search_watch(const struct roots *roots, struct gpu_watch *out, size_t max);
