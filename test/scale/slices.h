#pragma once
/* An admin's view of the ResourceSlices of many nodes: which are published with all their devices.
 */
#include "core/err.h"
#include "core/loop.h"

/* A label selector that fits every slice: report.py knows our requests by it. */
#define SLICES_MARK "!tundra-scale"

struct slices;
/* Nodes whose names begin with `prefix` count, with one slice of `devices` devices. */
int slices_new(struct loop *l, const char *kubeconfig, const char *prefix, size_t devices,
	       struct slices **out, struct err *e) NODISCARD;
void slices_free(struct slices **s);
size_t slices_nodes(const struct slices *s);	 /* published just now */
uint64_t slices_last_us(const struct slices *s); /* loop_now_us() of the latest change */
