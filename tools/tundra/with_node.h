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
};
enum { WITH_NODE_GO = -1 };
/*
 * `options` begins with a struct node_options and is zeroed. WITH_NODE_GO: parsed, call
 * with_node_done(); else the exit code: --help or --version was answered, or usage is wrong (said
 * on stderr). `self` becomes this program's path.
 */
int with_node_parse(const struct with_node *c, int argc, char **argv, void *options, char *self,
		    size_t self_size) NODISCARD;
void with_node_done(const struct with_node *c, void *options);
