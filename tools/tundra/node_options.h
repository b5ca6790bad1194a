#pragma once
/* The flags of `tundra node`: upstream's gpu-kubelet-plugin's, meaning kept, and ours. */
#include "core/conf.h"
#include "core/gate.h"
#include "core/roots.h"

#define DRIVER_NAME "gpu.nvidia.com" /* the DRA driver that tundra is */

enum node_gate {
	GATE_TIME_SLICING,
	GATE_MPS,
	GATE_IMEX_DNS,
	GATE_PASSTHROUGH,
	GATE_DYNAMIC_MIG,
	GATE_HEALTH,
	GATE_CLIQUES,
	GATE_CRASH_ON_FABRIC,
	GATE_METADATA,
	GATE_LIST_ATTRIBUTES,
	GATE_FABRIC_MANAGER,
	GATE_HOST_IMEX,
	GATE_SHARES,
	GATE_CONTEXTUAL_LOGGING,
	GATE_LOGGING_ALPHA,
	GATE_LOGGING_BETA,
	NODE_GATES
};

struct node_options {
	char *node_name, *namespace, *pod_uid, *kubeconfig;
	char *cdi_root, *driver_root, *container_driver_root, *host_root, *hook_path;
	char *registry, *plugins, *run_folder, *worker_path, *hook_source;
	char *dev_root, *proc_root, *sys_root, *proc_devices;
	char *http_endpoint, *metrics_path, *feature_gates, *consumable_shares;
	char *log_format, *qps, *ignored_text;
	int64_t healthcheck_port, verbosity, burst, ignored_int;
	bool status_page, extra_attributes, allow_device_plugin, help, version, ignored_bool;
	bool mask_params;
	bool gates[NODE_GATES];
	bool gates_left_out[NODE_GATES]; /* asked for by AllAlpha or AllBeta, and absent */
};

/*
 * 0; -EINVAL with one line. On 0 with help or version set, nothing else was checked. Started by the
 * name of upstream's program (argv[0]), the flags have that program's defaults.
 */
int node_options_parse(int argc, char **argv, const char *(*env)(const char *name),
		       struct node_options *o, struct err *e) NODISCARD;
void node_options_done(struct node_options *o);
/* What a command needs that takes these flags and more: the rows, and what the rows cannot say. */
const struct conf_option *node_options_table(size_t *n);
int node_options_check(struct node_options *o, struct err *e) NODISCARD;
const struct gate *node_options_gates(void); /* NODE_GATES rows */
/* The world that these flags tell of; borrowed strings. */
void node_options_roots(const struct node_options *o, struct roots *out);
/*
 * Where the kubelet has its device plugins, as this process sees it: beside its plugins, on the
 * host. In a pod only the plugins' own folder is mounted, so ".." of it is the container's. Caller
 * frees.
 */
char *node_options_device_plugins(const struct node_options *o);
struct api_config;
/* How to reach the API server: --kubeconfig, or without it the pod's own service account. */
int node_options_api(const struct node_options *o, struct api_config **out,
		     struct err *e) NODISCARD;
struct buf;
/* `program`: argv[0], as the defaults depend on it. */
void node_options_help(const char *program, struct buf *out);
