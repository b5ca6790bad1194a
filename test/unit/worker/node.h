#pragma once
/* A fake node for one test: driver root, /dev, /proc and /sys made by tools/fakegpu. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/roots.h"

struct fake_node {
	char root[64];
	char dev[80], proc[80], sys[80];
	struct roots roots;
};

/* Runs `fakegpu <args> --root <root>` and asserts that it succeeds. */
__attribute__((format(printf, 2, 3))) static inline void node_do(struct fake_node *n,
								 const char *fmt, ...)
{
	char command[1024], args[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command),
		 "'" TEST_BINARY_DIR "/bin/fakegpu' %s --root %s >%s.out 2>&1 || "
		 "{ cat %s.out >&2; exit 1; }",
		 args, n->root, n->root, n->root);
	assert_int_equal(system(command), 0);
}

/* An empty node: no driver anywhere. */
static inline struct fake_node *node_empty(void)
{
	struct fake_node *n = MEM_NEW(struct fake_node);

	snprintf(n->root, sizeof(n->root), "/tmp/tundra-node.XXXXXX");
	assert_non_null(mkdtemp(n->root));
	assert_int_equal(chmod(n->root, 0755), 0);
	snprintf(n->dev, sizeof(n->dev), "%s/dev", n->root);
	snprintf(n->proc, sizeof(n->proc), "%s/proc", n->root);
	snprintf(n->sys, sizeof(n->sys), "%s/sys", n->root);
	n->roots = (struct roots){
		.dev = n->dev, .proc = n->proc, .sys = n->sys, .driver = n->root, .driver_host = "/"
	};
	return n;
}

static inline struct fake_node *node_new(const char *make)
{
	struct fake_node *n = node_empty();

	node_do(n, "make --mknod %s", make);
	return n;
}

static inline void node_free(struct fake_node *n)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf %s %s.out", n->root, n->root);
	assert_int_equal(system(command), 0);
	mem_free(n);
}

/* A path inside the node's root. */
__attribute__((format(printf, 2, 3))) static inline const char *node_path(struct fake_node *n,
									  const char *fmt, ...)
{
	static char path[512];
	char tail[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(tail, sizeof(tail), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", n->root, tail);
	return path;
}
