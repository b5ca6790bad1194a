#pragma once
/*
 * Device nodes of the driver: what stands under /dev, and making what the driver has but nobody
 * has made yet (the first pod of a fresh node would otherwise start without /dev/nvidia-uvm).
 */
#include "core/roots.h"
#include "gpu/edits.h"
#include "gpu/nvidia/worker/inroot.h"

struct dev_root {
	struct inroot_path see;	 /* folder that holds "dev", as we see it */
	struct inroot_path host; /* the same as the host sees it */
};

/* <driver root>/dev when that is a folder, else the node's own. */
int dev_root_find(const struct roots *roots, const char *driver_root, const char *driver_host,
		  struct dev_root *out) NODISCARD;
/* The node's own, <roots->dev>: the folder that this process and its libraries see as /dev. */
int dev_root_own(const struct roots *roots, struct dev_root *out) NODISCARD;
/*
 * Makes what is missing of nvidiactl, nvidia-modeset, nvidia-uvm and nvidia-uvm-tools, or is there
 * with the numbers of another driver, as the driver's parameters want it (ModifyDeviceFiles: 0
 * forbids). Failures show when nodes are used.
 */
void dev_nodes_make_common(const struct roots *roots, const struct dev_root *root);
void dev_nodes_make_gpu(const struct roots *roots, const struct dev_root *root, unsigned minor);

/* Adds /dev/<name>; 1 when there is no such character device. */
int dev_nodes_add(const struct dev_root *root, const char *name, struct gpu_edits *e) NODISCARD;
void dev_nodes_add_common(const struct dev_root *root, struct gpu_edits *e);
/* DRM nodes of the GPU at `pci`, with the links that name them by path. */
void dev_nodes_add_drm(const struct roots *roots, const struct dev_root *root, const char *pci,
		       struct gpu_edits *e);
