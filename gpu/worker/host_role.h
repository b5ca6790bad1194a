#pragma once
/* The role "host" of tundra-worker: looks at the node's processes. See gpu/proto/host.h. */
#include "core/roots.h"
#include "core/worker.h"

struct host_role;
struct host_role *host_role_new(const struct roots *roots); /* roots must outlive it */
void host_role_free(struct host_role **h);
extern const struct worker_method host_role_methods[];
extern const size_t host_role_methods_n;
