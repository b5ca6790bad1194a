#include "tools/tundra/node_options.h"

#include <errno.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/sv.h"
#include "k8s/api/config.h"

#define AT(field) .offset = offsetof(struct node_options, field)

/* Upstream's program whose flags these are; the image has it as a link to us. */
#define UPSTREAM_PROGRAM "gpu-kubelet-plugin"

/*
 * Where that program's defaults differ: its chart and the GPU Operator leave some flags out and
 * mean these. (Not its limit of 5 requests a second, which is a cost and no meaning.)
 */
static const struct {
	const char *name, *otherwise;
} upstream_defaults[] = {
	{ "cdi-root", "/etc/cdi" },
	{ "nvidia-driver-root", "/" },
	{ "container-driver-root", "/driver-root" },
};

static const char *const log_formats[] = { "text", "json", NULL };

static const struct conf_option table[] = {
	{ .name = "node-name",
	  .env = { "NODE_NAME" },
	  .arg = "NAME",
	  .kind = CONF_STR,
	  AT(node_name),
	  .help = "name of this node in Kubernetes; required" },
	{ .name = "namespace",
	  .env = { "NAMESPACE" },
	  .arg = "NAME",
	  .otherwise = "default",
	  .kind = CONF_STR,
	  AT(namespace),
	  .help = "namespace tundra runs in" },
	{ .name = "pod-uid",
	  .env = { "POD_UID" },
	  .arg = "UID",
	  .kind = CONF_STR,
	  AT(pod_uid),
	  .help =
	      "makes the sockets' names unique, so that two instances can overlap in an update" },
	{ .name = "kubeconfig",
	  .env = { "KUBECONFIG" },
	  .arg = "FILE",
	  .kind = CONF_STR,
	  AT(kubeconfig),
	  .help = "how to reach the API server; without it the pod's own service account is used" },
	{ .name = "kube-api-qps",
	  .env = { "KUBE_API_QPS" },
	  .arg = "N",
	  .kind = CONF_STR,
	  AT(qps),
	  .help = "limit of requests per second to the API server; without it there is none" },
	{ .name = "kube-api-burst",
	  .env = { "KUBE_API_BURST" },
	  .arg = "N",
	  .otherwise = "10",
	  .min = 1,
	  .max = 100000,
	  .kind = CONF_INT,
	  AT(burst),
	  .help = "requests at once, with --kube-api-qps" },
	{ .name = "cdi-root",
	  .env = { "CDI_ROOT" },
	  .arg = "FOLDER",
	  .otherwise = "/var/run/cdi",
	  .kind = CONF_STR,
	  AT(cdi_root),
	  .help = "folder of the CDI specs" },
	{ .name = "nvidia-driver-root",
	  .alias = "host_driver-root",
	  .env = { "NVIDIA_DRIVER_ROOT", "HOST_DRIVER_ROOT" },
	  .arg = "FOLDER",
	  .kind = CONF_STR,
	  AT(driver_root),
	  .help =
	      "NVIDIA driver root as the host sees it; without it the usual places are searched" },
	{ .name = "container-driver-root",
	  .env = { "DRIVER_ROOT_CTR_PATH" },
	  .arg = "FOLDER",
	  .kind = CONF_STR,
	  AT(container_driver_root),
	  .help = "the same folder as this process sees it" },
	{ .name = "host-root",
	  .env = { "HOST_ROOT" },
	  .arg = "FOLDER",
	  .kind = CONF_STR,
	  AT(host_root),
	  .help = "the host's root as this process sees it; the driver is searched below it" },
	{ .name = "nvidia-cdi-hook-path",
	  .env = { "NVIDIA_CDI_HOOK_PATH" },
	  .arg = "FILE",
	  .kind = CONF_STR,
	  AT(hook_path),
	  .help =
	      "hook program as the host sees it; without it ours is copied to the plugin folder" },
	{ .name = "kubelet-registrar-directory-path",
	  .env = { "KUBELET_REGISTRAR_DIRECTORY_PATH" },
	  .arg = "FOLDER",
	  .otherwise = "/var/lib/kubelet/plugins_registry",
	  .kind = CONF_STR,
	  AT(registry),
	  .help = "where the kubelet looks for plugins" },
	{ .name = "kubelet-plugins-directory-path",
	  .env = { "KUBELET_PLUGINS_DIRECTORY_PATH" },
	  .arg = "FOLDER",
	  .otherwise = "/var/lib/kubelet/plugins",
	  .kind = CONF_STR,
	  AT(plugins),
	  .help = "where plugins keep their sockets and state" },
	{ .name = "healthcheck-port",
	  .env = { "HEALTHCHECK_PORT" },
	  .arg = "PORT",
	  .otherwise = "-1",
	  .min = -1,
	  .max = 65535,
	  .kind = CONF_INT,
	  AT(healthcheck_port),
	  .help = "TCP port of the gRPC health service; 0 = any, negative = none" },
	{ .name = "http-endpoint",
	  .env = { "HTTP_ENDPOINT" },
	  .arg = "HOST:PORT",
	  .kind = CONF_STR,
	  AT(http_endpoint),
	  .help = "serves metrics, /healthz and /readyz; empty = none" },
	{ .name = "metrics-path",
	  .env = { "METRICS_PATH" },
	  .arg = "PATH",
	  .otherwise = "/metrics",
	  .kind = CONF_STR,
	  AT(metrics_path),
	  .help = "path of the metrics" },
	{ .name = "status-page",
	  .env = { "STATUS_PAGE" },
	  .otherwise = "true",
	  .kind = CONF_BOOL,
	  AT(status_page),
	  .help = "serves a page that shows how the node is at / of --http-endpoint" },
	{ .name = "feature-gates",
	  .env = { "FEATURE_GATES" },
	  .arg = "A=true,B=false",
	  .kind = CONF_STR,
	  AT(feature_gates),
	  .help = "features to switch; those that this version lacks can only be false" },
	{ .name = "consumable-shares",
	  .env = { "CONSUMABLE_SHARES" },
	  .arg = "MODE",
	  .otherwise = "disabled",
	  .kind = CONF_STR,
	  AT(consumable_shares),
	  .help = "only \"disabled\" in this version" },
	{ .name = "extra-attributes",
	  .env = { "EXTRA_ATTRIBUTES" },
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(extra_attributes),
	  .help = "publish tundra's own attributes too: serial, NVLink island, PCIe switch, ECC, "
		  "MIG, CC" },
	{ .name = "allow-device-plugin",
	  .env = { "ALLOW_DEVICE_PLUGIN" },
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(allow_device_plugin),
	  .help =
	      "publish although a device plugin serves the same GPUs; they may be booked twice" },
	{ .name = "logging-format",
	  .env = { "LOGGING_FORMAT" },
	  .arg = "FORMAT",
	  .otherwise = "text",
	  .words = log_formats,
	  .kind = CONF_STR,
	  AT(log_format),
	  .help = "text or json" },
	{ .name = "v",
	  .env = { "LOG_VERBOSITY", "V" },
	  .arg = "N",
	  .otherwise = "4",
	  .min = 0,
	  .max = 10,
	  .kind = CONF_INT,
	  AT(verbosity),
	  .help = "0 errors and warnings, 1 to 5 normal, 6 and more debug" },
	{ .name = "run-directory",
	  .env = { "RUN_DIRECTORY" },
	  .arg = "FOLDER",
	  .otherwise = "/run/tundra",
	  .kind = CONF_STR,
	  AT(run_folder),
	  .help = "for the socket that tundra status asks" },
	{ .name = "worker-path",
	  .env = { "WORKER_PATH" },
	  .arg = "FILE",
	  .kind = CONF_STR,
	  AT(worker_path),
	  .help = "tundra-worker; without it the one beside this program" },
	{ .name = "hook-source",
	  .env = { "HOOK_SOURCE" },
	  .arg = "FILE",
	  .kind = CONF_STR,
	  AT(hook_source),
	  .help = "tundra-cdi-hook to copy; without it the one beside this program" },
	{ .name = "dev-root",
	  .env = { "DEV_ROOT" },
	  .arg = "FOLDER",
	  .otherwise = "/dev",
	  .kind = CONF_STR,
	  AT(dev_root),
	  .help = "device nodes" },
	{ .name = "proc-root",
	  .env = { "PROC_ROOT" },
	  .arg = "FOLDER",
	  .otherwise = "/proc",
	  .kind = CONF_STR,
	  AT(proc_root),
	  .help = "the host's /proc, all processes in it" },
	{ .name = "sys-root",
	  .env = { "SYS_ROOT" },
	  .arg = "FOLDER",
	  .otherwise = "/sys",
	  .kind = CONF_STR,
	  AT(sys_root),
	  .help = "sysfs" },
	{ .name = "mask-nvidia-driver-params",
	  .env = { "MASK_NVIDIA_DRIVER_PARAMS" },
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(mask_params),
	  .help = "neither tundra nor the driver's libraries in its container make device nodes; "
		  "for clusters whose nodes share a machine's GPUs (nvkind)" },
	{ .name = "alt-proc-devices-path",
	  .env = { "ALT_PROC_DEVICES_PATH" },
	  .arg = "FILE",
	  .kind = CONF_STR,
	  AT(proc_devices),
	  .help = "read instead of devices below --proc-root, for mock drivers" },
	{ .name = "help",
	  .alias = "h",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(help),
	  .help = "this list" },
	{ .name = "version",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(version),
	  .help = "the version" },
	/* Upstream's flags without a meaning here: accepted, so that its manifests run unchanged.
	 */
	{ .name = "image-name",
	  .env = { "IMAGE_NAME" },
	  .arg = "IMAGE",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed: no daemon is started from an image" },
	{ .name = "image-pull-secrets",
	  .env = { "IMAGE_PULL_SECRETS" },
	  .arg = "LIST",
	  .kind = CONF_LIST,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "image-pull-policy",
	  .env = { "IMAGE_PULL_POLICY" },
	  .arg = "POLICY",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "service-account-name",
	  .env = { "SERVICE_ACCOUNT_NAME" },
	  .arg = "NAME",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "additional-xids-to-ignore",
	  .env = { "ADDITIONAL_XIDS_TO_IGNORE" },
	  .arg = "LIST",
	  .kind = CONF_LIST,
	  AT(ignored_text),
	  .help = "accepted; health checks are not part of this version" },
	{ .name = "vmodule",
	  .env = { "VMODULE" },
	  .arg = "LIST",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "log-flush-frequency",
	  .env = { "LOG_FLUSH_FREQUENCY" },
	  .arg = "TIME",
	  .otherwise = "5s",
	  .kind = CONF_DURATION_MS,
	  AT(ignored_int),
	  .help = "accepted, not needed" },
	{ .name = "log-json-info-buffer-size",
	  .env = { "LOG_JSON_INFO_BUFFER_SIZE" },
	  .arg = "SIZE",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "log-json-split-stream",
	  .env = { "LOG_JSON_SPLIT_STREAM" },
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(ignored_bool),
	  .help = "accepted, not needed" },
	{ .name = "log-text-info-buffer-size",
	  .env = { "LOG_TEXT_INFO_BUFFER_SIZE" },
	  .arg = "SIZE",
	  .kind = CONF_STR,
	  AT(ignored_text),
	  .help = "accepted, not needed" },
	{ .name = "log-text-split-stream",
	  .env = { "LOG_TEXT_SPLIT_STREAM" },
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(ignored_bool),
	  .help = "accepted, not needed" },
};

/*
 * Upstream's gates by name. `absent`: the feature is not part of this version. Those that are on
 * upstream by default belong to its other programs and mean nothing to this one.
 */
static const struct gate gates[NODE_GATES] = {
	[GATE_TIME_SLICING] = { "TimeSlicingSettings", GATE_ALPHA, false, true },
	[GATE_MPS] = { "MPSSupport", GATE_ALPHA, false, true },
	[GATE_IMEX_DNS] = { "IMEXDaemonsWithDNSNames", GATE_BETA, true, false },
	[GATE_PASSTHROUGH] = { "PassthroughSupport", GATE_ALPHA, false, true },
	[GATE_DYNAMIC_MIG] = { "DynamicMIG", GATE_ALPHA, false, true },
	[GATE_HEALTH] = { "NVMLDeviceHealthCheck", GATE_ALPHA, false, true },
	[GATE_CLIQUES] = { "ComputeDomainCliques", GATE_BETA, true, false },
	[GATE_CRASH_ON_FABRIC] = { "CrashOnNVLinkFabricErrors", GATE_BETA, true, false },
	[GATE_METADATA] = { "DeviceMetadata", GATE_ALPHA, false, true },
	[GATE_LIST_ATTRIBUTES] = { "DRAListTypeAttributes", GATE_ALPHA, false, true },
	[GATE_FABRIC_MANAGER] = { "FabricManagerPartitioning", GATE_ALPHA, false, true },
	[GATE_HOST_IMEX] = { "HostManagedIMEXDaemon", GATE_ALPHA, false, true },
	[GATE_SHARES] = { "ConsumableShares", GATE_ALPHA, false, true },
	[GATE_CONTEXTUAL_LOGGING] = { "ContextualLogging", GATE_BETA, true, false },
	[GATE_LOGGING_ALPHA] = { "LoggingAlphaOptions", GATE_ALPHA, false, false },
	[GATE_LOGGING_BETA] = { "LoggingBetaOptions", GATE_BETA, true, false },
};

/* As upstream's default for it, "" is the same as nothing. */
static void unset_if_empty(char **text)
{
	if (!*text || **text)
		return;
	mem_free(*text);
	*text = NULL;
}

/* Watched, joined to and handed to workers, hence absolute. NULL: the default, or a search. */
static int check_folders(const struct node_options *o, struct err *e)
{
	const struct {
		const char *flag, *value;
	} folders[] = { { "cdi-root", o->cdi_root },
			{ "nvidia-driver-root", o->driver_root },
			{ "container-driver-root", o->container_driver_root },
			{ "host-root", o->host_root },
			{ "kubelet-registrar-directory-path", o->registry },
			{ "kubelet-plugins-directory-path", o->plugins },
			{ "run-directory", o->run_folder },
			{ "dev-root", o->dev_root },
			{ "proc-root", o->proc_root },
			{ "sys-root", o->sys_root },
			{ "alt-proc-devices-path", o->proc_devices } };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (folders[i].value && *folders[i].value != '/')
			return err_set(e, -EINVAL, "--%s=%s must begin with /", folders[i].flag,
				       folders[i].value);
	return 0;
}

static int check_endpoint(const char *endpoint, struct err *e)
{
	const char *colon = strrchr(endpoint, ':');
	int64_t port;

	if (colon && !sv_i64(sv_str(colon + 1), &port) && port >= 0 && port <= UINT16_MAX)
		return 0;
	return err_set(e, -EINVAL, "--http-endpoint=%s is not HOST:PORT", endpoint);
}

int node_options_check(struct node_options *o, struct err *e)
{
	int r;

	if (o->cdi_root && !*o->cdi_root) { /* as upstream has it */
		mem_free(o->cdi_root);
		o->cdi_root = mem_strdup("/var/run/cdi");
	}
	unset_if_empty(&o->hook_path);
	unset_if_empty(&o->hook_source);
	unset_if_empty(&o->worker_path);
	unset_if_empty(&o->pod_uid);
	unset_if_empty(&o->qps);
	unset_if_empty(&o->http_endpoint);
	unset_if_empty(&o->driver_root);
	unset_if_empty(&o->container_driver_root);
	unset_if_empty(&o->host_root);
	unset_if_empty(&o->proc_devices);
	if (!o->node_name || !*o->node_name)
		return err_set(
		    e, -EINVAL,
		    "--node-name (NODE_NAME) is required: the name of this node in Kubernetes");
	if (*o->consumable_shares && !sv_eqs(sv_str(o->consumable_shares), "disabled"))
		return err_set(e, -EINVAL,
			       "--consumable-shares=%s is not part of this version; only "
			       "\"disabled\" is accepted",
			       o->consumable_shares);
	if (o->qps) {
		char *end;
		double qps = strtod(o->qps, &end);

		if (!*o->qps || *end || !(qps > 0))
			return err_set(e, -EINVAL, "--kube-api-qps=%s is no positive number",
				       o->qps);
	}
	r = check_folders(o, e);
	if (!r && o->http_endpoint)
		r = check_endpoint(o->http_endpoint, e);
	if (r < 0)
		return r;
	if (o->pod_uid && strchr(o->pod_uid, '/'))
		return err_set(e, -EINVAL, "--pod-uid=%s is no UID", o->pod_uid);
	if (*o->metrics_path != '/')
		return err_set(e, -EINVAL, "--metrics-path=%s must begin with /", o->metrics_path);
	gate_left_out(gates, NODE_GATES, o->feature_gates ? o->feature_gates : "",
		      o->gates_left_out);
	return gate_parse(gates, NODE_GATES, o->feature_gates ? o->feature_gates : "", o->gates, e);
}

const struct conf_option *node_options_table(size_t *n)
{
	*n = ARRAY_LEN(table);
	return table;
}

const struct gate *node_options_gates(void)
{
	return gates;
}

/* The table with the defaults of the program that `program` names. */
static void rows_of(const char *program, struct conf_option rows[ARRAY_LEN(table)])
{
	struct sv name = sv_str(program);

	while (sv_find(name, '/') >= 0)
		(void)sv_cut(&name, '/');
	memcpy(rows, table, sizeof(table));
	if (!sv_eqs(name, UPSTREAM_PROGRAM))
		return;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (size_t k = 0; k < ARRAY_LEN(upstream_defaults); k++)
			if (!strcmp(rows[i].name, upstream_defaults[k].name))
				rows[i].otherwise = upstream_defaults[k].otherwise;
}

int node_options_parse(int argc, char **argv, const char *(*env)(const char *name),
		       struct node_options *o, struct err *e)
{
	struct conf_option rows[ARRAY_LEN(table)];
	int r;

	*o = (struct node_options){ 0 };
	rows_of(argv[0], rows);
	r = conf_parse(rows, ARRAY_LEN(rows), argc, argv, env, o, e);
	if (!r && !o->help && !o->version)
		r = node_options_check(o, e);
	if (r < 0)
		node_options_done(o);
	return r;
}

void node_options_done(struct node_options *o)
{
	conf_done(table, ARRAY_LEN(table), o);
}

static const char *first_set(const char *a, const char *b, const char *c)
{
	return a && *a ? a : b && *b ? b : c && *c ? c : "";
}

void node_options_roots(const struct node_options *o, struct roots *out)
{
	*out = (struct roots){
		.dev = o->dev_root,
		.proc = o->proc_root,
		.sys = o->sys_root,
		.proc_devices = o->proc_devices,
		/* Not told where the driver is, it is searched below the host's root. */
		.driver = first_set(o->container_driver_root, o->host_root, o->driver_root),
		.driver_host = first_set(o->driver_root, o->host_root ? "/" : "", ""),
		.plugins = o->plugins,
		.registry = o->registry,
		.cdi = o->cdi_root,
		.run = o->run_folder,
		.boot_id = "/proc/sys/kernel/random/boot_id",
	};
}

int node_options_api(const struct node_options *o, struct api_config **out, struct err *e)
{
	int r;

	if (o->kubeconfig && *o->kubeconfig)
		return api_config_file(o->kubeconfig, NULL, out, e);
	r = api_config_in_cluster(conf_env, API_CONFIG_IN_CLUSTER, out, e);
	return r == -ENOENT ? err_wrap(e, r, "not in a pod and no --kubeconfig given") : r;
}

char *node_options_device_plugins(const struct node_options *o)
{
	struct sv parent = sv_str(o->plugins);
	const char *host = o->host_root && strcmp(o->host_root, "/") != 0 ? o->host_root : "";

	while (parent.n && parent.p[parent.n - 1] == '/')
		parent.n--;
	while (parent.n && parent.p[parent.n - 1] != '/')
		parent.n--;
	return mem_printf("%s" SV_FMT "device-plugins", host, SV_ARG(parent));
}

void node_options_help(const char *program, struct buf *out)
{
	struct conf_option rows[ARRAY_LEN(table)];

	rows_of(program, rows);
	conf_help(rows, ARRAY_LEN(rows), out);
}
