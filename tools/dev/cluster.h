#pragma once
/*
 * The development cluster, put together: API server, controllers and one kubelet per node, below
 * one folder:
 *
 *     DIR/kubeconfig                     for tundra node, kubectl and others
 *     DIR/<node>/plugins_registry        where that node's kubelet looks for plugins
 *     DIR/<node>/plugins, cdi, run       made for the driver, which is told by its flags
 */
#include "core/err.h"
#include "core/loop.h"
#include "test/lib/apiserver.h"
#include "test/lib/kubelet.h"

enum { CLUSTER_NODES_MAX = 1000 };

struct cluster;
struct cluster_conf {
	const char *dir, *node; /* several nodes: <node>-0, <node>-1 ... */
	size_t nodes;
	bool tls;
	uint16_t port;	       /* 0 = chosen */
	const char *faults;    /* "a,b": see apiserver_fault_text(); NULL = none */
	const char *manifests; /* files, comma between them; NULL = none */
	uint64_t sync_ms;      /* of the kubelets, 0 = as the real one */
	/* who: "kubelet", "scheduler", "api" */
	void (*on_line)(void *arg, const char *who, const char *line);
	bool trace; /* tell each request too */
	void *arg;
};
int cluster_new(struct loop *l, const struct cluster_conf *conf, struct cluster **out,
		struct err *e) NODISCARD;
void cluster_free(struct cluster **c);

struct store *cluster_store(struct cluster *c);
struct apiserver *cluster_api(struct cluster *c);
const char *cluster_url(const struct cluster *c);
size_t cluster_nodes(const struct cluster *c);
struct kubelet *cluster_kubelet(const struct cluster *c, size_t node);
const char *cluster_node_name(const struct cluster *c, size_t node);
const char *cluster_node_folder(const struct cluster *c, size_t node);
