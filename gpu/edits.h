#pragma once
/*
 * What a container needs: device nodes, mounts, environment, hooks, groups. Vendors fill it, k8s
 * turns it into CDI. Paths are as the container sees them (`path`) and as the host does (`host`).
 */
#include "core/arena.h"

struct gpu_edit_node {
	const char *path, *host; /* host NULL = same */
	int64_t major, minor;	 /* -1 = unknown, the runtime stats it */
	unsigned mode;		 /* 0 = unknown */
	unsigned gid;		 /* 0 = root */
};
struct gpu_edit_mount {
	const char *host, *path;
	const char *const *options; /* ends with NULL */
};
struct gpu_edit_hook {
	const char *const
	    *args; /* of tundra-cdi-hook, args[0] = "create-symlinks" ...; ends with NULL */
};

struct gpu_edits {
	struct gpu_edit_node *nodes;
	struct gpu_edit_mount *mounts;
	const char **env; /* "NAME=value" */
	struct gpu_edit_hook *hooks;
	unsigned *gids;
	size_t nodes_n, mounts_n, env_n, hooks_n, gids_n;
	struct arena *arena; /* owns every string and array; NULL when empty */
};

/* All that one vendor's driver or one device may bring; a real driver's list takes 20 KiB. */
enum { EDITS_BYTES_MAX = 512 << 10 };

void edits_init(struct gpu_edits *e);
void edits_done(struct gpu_edits *e);
/* All copy; what is NULL in the argument stays NULL. -E2BIG beyond EDITS_BYTES_MAX. */
int edits_add_node(struct gpu_edits *e, const struct gpu_edit_node *n) NODISCARD;
int edits_add_mount(struct gpu_edits *e, const struct gpu_edit_mount *m) NODISCARD;
int edits_add_env(struct gpu_edits *e, const char *assignment) NODISCARD;
int edits_add_hook(struct gpu_edits *e, const char *const *args) NODISCARD;
int edits_add_gid(struct gpu_edits *e, unsigned gid) NODISCARD;
/* Nodes and mounts by depth, then path: outer mounts come first, and the order is repeatable. */
void edits_sort(struct gpu_edits *e);
uint64_t edits_hash(const struct gpu_edits *e); /* equal content, equal hash, across processes */
/* Adds all of `from` to `e`. -E2BIG. */
int edits_add_all(struct gpu_edits *e, const struct gpu_edits *from) NODISCARD;
/* For messages: edits_put() writes fields of gpu/proto/tlv.h; edits_get() adds to `e`. -EBADMSG. */
struct buf;
void edits_put(struct buf *b, const struct gpu_edits *e);
int edits_get(struct sv bytes, struct gpu_edits *e) NODISCARD;
