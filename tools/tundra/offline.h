#pragma once
/* What the commands that work without a running driver have in common. They block. */
#include "core/conf.h"
#include "k8s/ledger_file.h"

#define OFFLINE_DRIVER "gpu.nvidia.com"

/* Rows of option tables, named as those of tundra node. */
#define OFFLINE_PLUGINS(type)                                                                      \
	{                                                                                          \
		.name = "kubelet-plugins-directory-path",                                          \
		.env = { "KUBELET_PLUGINS_DIRECTORY_PATH" }, .arg = "FOLDER",                      \
		.otherwise = "/var/lib/kubelet/plugins", .kind = CONF_STR,                         \
		.offset = offsetof(type, plugins), .help = "where plugins keep their state"        \
	}
#define OFFLINE_REGISTRY(type)                                                                     \
	{                                                                                          \
		.name = "kubelet-registrar-directory-path",                                        \
		.env = { "KUBELET_REGISTRAR_DIRECTORY_PATH" }, .arg = "FOLDER",                    \
		.otherwise = "/var/lib/kubelet/plugins_registry", .kind = CONF_STR,                \
		.offset = offsetof(type, registry), .help = "where the kubelet looks for plugins"  \
	}
#define OFFLINE_CDI(type)                                                                          \
	{                                                                                          \
		.name = "cdi-root", .env = { "CDI_ROOT" }, .arg = "FOLDER",                        \
		.otherwise = "/var/run/cdi", .kind = CONF_STR, .offset = offsetof(type, cdi),      \
		.help = "where CDI specs are"                                                      \
	}
#define OFFLINE_HELP(type)                                                                         \
	{                                                                                          \
		.name = "help", .otherwise = "false", .kind = CONF_BOOL,                           \
		.offset = offsetof(type, help), .help = "this list"                                \
	}

struct offline_command {
	const char *usage, *about; /* usage: the line's rest behind "tundra" */
	const struct conf_option *table;
	size_t n;
	size_t help; /* offset of the bool in the options struct */
};
/*
 * Reads a command's flags. 0: go on; else *code is the exit code, everything is said and nothing is
 * left to free.
 */
int offline_options(const struct offline_command *c, int argc, char **argv, void *options,
		    int *code) NODISCARD;
char *offline_folder(const char *plugins); /* the driver's; caller frees */
int offline_boot_id(char *out, size_t size, struct err *e) NODISCARD;
/*
 * -EBUSY with a text: a driver of this name serves the node, ours or another, since it listens on a
 * socket in one of the two folders.
 */
int offline_check_stopped(const char *folder, const char *registry, struct err *e) NODISCARD;
/*
 * -ENOENT with a text: claims were prepared since the last boot, and not one has its CDI spec in
 * `cdi`. Then that is another folder than the driver's, and what is done with the claims would be
 * wrong.
 */
int offline_check_cdi(const struct ledger_file *f, const char *cdi, const char *boot_id,
		      struct err *e) NODISCARD;
char *offline_spec(const char *cdi, const char *uid); /* path of a claim's CDI spec; caller frees */
/* "namespace/name", or "-" without one. */
const char *offline_name(const struct ledger_claim *c, char *out, size_t size);
/* "gpu-0,gpu-1 (admin)". */
void offline_devices(const struct ledger_claim *c, struct buf *out);
