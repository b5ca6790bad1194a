#pragma once
/*
 * Commands that look at a node as `tundra node` does: they take its flags and environment, to find
 * the same folders and API server, and some of their own. In a pod of the DaemonSet nothing needs
 * to be said; on a host, NODE_NAME is the host's name unless it is given.
 */
#include "core/conf.h"
#include "tools/tundra/node_options.h"

struct with_node {
	const char *name;  /* "doctor" */
	const char *about; /* a sentence or two for --help */
	const struct conf_option *own;
	size_t own_n;
	/* The exit code. `self`: this program's path. */
	int (*run)(const void *options, const char *self);
};
/*
 * Reads the flags, runs the command, returns the exit code; --help and --version are answered,
 * wrong usage is said on stderr. `options` begins with a struct node_options and is zeroed.
 */
int with_node_run(const struct with_node *c, int argc, char **argv, void *options);
