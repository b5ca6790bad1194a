#pragma once
/*
 * tools/fakegpu: makes and changes the fake hardware that test/fakenvml reads. One process per
 * command; the only lasting thing is the driver root:
 *
 *	ROOT/fakenvml.state		what the library answers (test/fakenvml/state.h)
 *	ROOT/usr, lib, etc, run		the driver's files
 *	ROOT/proc, sys, dev		what the kernel would show
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/fakenvml/model.h"
#include "test/fakenvml/state.h"

enum {
	NVIDIA_MAJOR = 195,
	DRM_MAJOR = 226,
	/* Dynamic on a real system; here from a range Linux hands out last. */
	IMEX_MAJOR = 507,
	CAPS_MAJOR = 508,
	UVM_MAJOR = 509,
	SWITCH_MAJOR = 510,
	NVSWITCHES = 4,
	IMEX_CHANNELS = 4,
};

struct options {
	const char *profile;
	const char *root;
	const char *dev; /* NULL: ROOT/dev */
	const char *driver;
	const char *nvlink; /* NULL: the profile's; none, switch, pairs */
	const char *lib;    /* NULL: beside the program */
	const char *gpu;
	const char *fn;
	const char *rc;
	const char *type;
	uint32_t count;
	uint32_t seed;
	uint32_t ms;
	uint32_t byte;
	uint32_t xid;
	uint32_t pid;
	uint32_t mib;
	uint32_t gi;
	uint32_t ci;
	int32_t times;
	bool mknod;
	const char **args; /* what is not an option, after the command */
	uint32_t arg_count;
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

/* files.c: making things under a folder; they die on failure. */
__attribute__((format(printf, 2, 3))) void put(const char *path, const char *fmt, ...);
void put_link(const char *path, const char *target);
void put_dirs(const char *path); /* every folder above path */
void put_copy(const char *path, const char *from);
void put_script(const char *path, const char *text);
void put_socket(const char *path);
void put_node(const char *path, bool real, uint32_t mode, uint32_t major, uint32_t minor);
void remove_tree(const char *path);
__attribute__((format(printf, 3, 4))) const char *join(char *buf, unsigned int len, const char *fmt,
						       ...);

/* elf.c: a shared object of a few hundred bytes with the given DT_SONAME. */
void put_elf(const char *path, const char *soname);

/* layout.c: which GPUs a node has; deterministic in profile, count and seed. */
void layout_gpus(struct state *st, const struct options *o);
void layout_gpu(struct state *st, uint32_t slot, uint32_t total, const char *nvlink);

/* driver.c, kernel.c: the trees. */
void driver_tree(const char *root, const struct state *st, const char *lib);
void driver_tree_remove(const char *root);
void kernel_tree(const struct state_map *m);
void kernel_driver_files(const struct state_map *m); /* /proc/driver, nvidiactl, ... */
void kernel_driver_files_remove(const struct state_map *m);
void kernel_gpu_files(const struct state_map *m, uint32_t slot); /* node, /proc, sysfs */
void kernel_gpu_files_remove(const struct state_map *m, uint32_t slot);
/* MIG instances and processes end, capability files go. */
void kernel_instances_remove(const struct state_map *m, uint32_t slot);
const char *kernel_machine(void);

/* control.c: commands on a made root. */
int cmd_fault(struct state_map *m, const struct options *o);
int cmd_clear(struct state_map *m, const struct options *o);
int cmd_event(struct state_map *m, const struct options *o);
int cmd_set(struct state_map *m, const struct options *o);
int cmd_reset(struct state_map *m, const struct options *o);
int cmd_proc(struct state_map *m, const struct options *o);
int cmd_status(struct state_map *m, const struct options *o);
uint32_t gpu_arg(const struct state_map *m, const struct options *o);
