#pragma once
/*
 * Another agent that gives out the same GPUs: a device plugin serving an extended resource such as
 * nvidia.com/gpu. Two such agents book a GPU twice, since neither sees the other's pods. Noticed by
 * the node's capacity and by the plugin's socket in the kubelet's device-plugins folder.
 */
#include "core/loop.h"

struct api;
struct events;
struct conflict;
struct conflict_conf {
	const char *node;     /* name of the Node */
	const char *resource; /* "nvidia.com/gpu" */
	const char *folder;   /* /var/lib/kubelet/device-plugins; need not exist */
	const char *socket;   /* how the plugin's socket begins: "nvidia" */
	struct api *api;
	struct events *events; /* may be NULL */
	bool allowed;	       /* told, but nothing is held back */
	/* reason NULL: no other agent (any more). Called for the first answer and each change. */
	void (*on_change)(void *arg, const char *reason);
	void *arg;
};
struct conflict *conflict_new(struct loop *l, const struct conflict_conf *conf);
void conflict_free(struct conflict **c);
const char *conflict_reason(const struct conflict *c); /* NULL: none known */
