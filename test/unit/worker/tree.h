#pragma once
/* A hand-made root folder: files, links and nodes by path, gone at the end. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/fsx.h"

struct tree {
	char root[64];
};

static inline void tree_init(struct tree *t)
{
	snprintf(t->root, sizeof(t->root), "/tmp/tundra-tree.XXXXXX");
	assert_non_null(mkdtemp(t->root));
}

static inline void tree_done(struct tree *t)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", t->root);
	assert_int_equal(system(command), 0);
}

/* The path of `name` in the tree; makes the folders above it. Overwritten by the next call. */
static inline const char *tree_at(struct tree *t, const char *name)
{
	static char path[512];
	char folder[512];

	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	assert_int_equal(fsx_mkdirs(folder, 0755), 0);
	return path;
}

static inline void tree_file(struct tree *t, const char *name, const char *content)
{
	FILE *f = fopen(tree_at(t, name), "w");

	assert_non_null(f);
	fputs(content, f);
	fclose(f);
}

static inline void tree_link(struct tree *t, const char *name, const char *target)
{
	assert_int_equal(symlink(target, tree_at(t, name)), 0);
}

static inline void tree_dir(struct tree *t, const char *name)
{
	assert_int_equal(fsx_mkdirs(tree_at(t, name), 0755), 0);
}

static inline void tree_node(struct tree *t, const char *name, unsigned major, unsigned minor,
			     unsigned mode)
{
	const char *at = tree_at(t, name);

	assert_int_equal(mknod(at, S_IFCHR | mode, makedev(major, minor)), 0);
	assert_int_equal(chmod(at, mode), 0);
}
