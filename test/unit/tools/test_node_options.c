/* The flags of tundra node against upstream's gpu-kubelet-plugin: facts/nvidia-upstream.md 1.3-1.5.
 */
#include "tools/tundra/node_options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/buf.h"
#include "core/mem.h"

enum { ARGS_MAX = 64 };

static const char *const *environment; /* "NAME=value", ends with NULL */

static const char *from_test(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; environment && environment[i]; i++)
		if (!strncmp(environment[i], name, n) && environment[i][n] == '=')
			return environment[i] + n + 1;
	return NULL;
}

static int parse_as(const char *program, const char *const *args, const char *const *env,
		    struct node_options *o, struct err *e)
{
	char *argv[ARGS_MAX] = { (char *)(uintptr_t)program };
	int argc = 1;

	for (; args && args[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc - 1];
	environment = env;
	return node_options_parse(argc, argv, from_test, o, e);
}

static int parse(const char *const *args, const char *const *env, struct node_options *o,
		 struct err *e)
{
	return parse_as("node", args, env, o, e);
}

static void expect_options(const char *const *args, const char *const *env, struct node_options *o)
{
	struct err e = { "" };

	if (parse(args, env, o, &e))
		fail_msg("%s", e.text);
}

static void refused(const char *arg, const char *env, const char *told)
{
	const char *args[] = { "--node-name=n", arg, NULL }, *vars[] = { env, NULL };
	struct node_options o;
	struct err e = { "" };

	if (parse(args, vars, &o, &e) != -EINVAL)
		fail_msg("taken: %s %s", arg ? arg : "", env ? env : "");
	if (!strstr(e.text, told))
		fail_msg("\"%s\" lacks \"%s\"", e.text, told);
	assert_null(strchr(e.text, '\n'));
}

static void expect_upstreams(const struct node_options *o)
{
	assert_string_equal(o->node_name, "n");
	assert_string_equal(o->namespace, "gpus");
	assert_string_equal(o->kubeconfig, "/k");
	assert_string_equal(o->qps, "7.5");
	assert_int_equal(o->burst, 20);
	assert_string_equal(o->cdi_root, "/cdi");
	assert_string_equal(o->driver_root, "/run/nvidia/driver");
	assert_string_equal(o->container_driver_root, "/driver-root");
	assert_string_equal(o->host_root, "/host-root");
	assert_string_equal(o->hook_path, "/usr/bin/nvidia-cdi-hook");
	assert_string_equal(o->registry, "/r");
	assert_string_equal(o->plugins, "/p");
	assert_int_equal(o->healthcheck_port, 51516);
	assert_string_equal(o->http_endpoint, ":8080");
	assert_string_equal(o->metrics_path, "/m");
	assert_string_equal(o->consumable_shares, "disabled");
	assert_string_equal(o->log_format, "json");
	assert_int_equal(o->verbosity, 6);
}

static void every_flag_of_upstream(void **state)
{
	static const char *const args[] = { "--node-name=n",
					    "--namespace=gpus",
					    "--kubeconfig=/k",
					    "--kube-api-qps=7.5",
					    "--kube-api-burst=20",
					    "--cdi-root=/cdi",
					    "--nvidia-driver-root=/run/nvidia/driver",
					    "--container-driver-root=/driver-root",
					    "--host-root=/host-root",
					    "--nvidia-cdi-hook-path=/usr/bin/nvidia-cdi-hook",
					    "--image-name=i",
					    "--image-pull-secrets=a,b",
					    "--image-pull-policy=Always",
					    "--service-account-name=s",
					    "--kubelet-registrar-directory-path=/r",
					    "--kubelet-plugins-directory-path=/p",
					    "--healthcheck-port=51516",
					    "--additional-xids-to-ignore=13,x,31",
					    "--http-endpoint=:8080",
					    "--metrics-path=/m",
					    "--consumable-shares=disabled",
					    "--feature-gates=DynamicMIG=false,MPSSupport=false,",
					    "--logging-format=json",
					    "-v",
					    "6",
					    "--vmodule=a=1",
					    "--log-flush-frequency=5s",
					    "--log-json-info-buffer-size=0",
					    "--log-json-split-stream=false",
					    "--log-text-info-buffer-size=0",
					    "--log-text-split-stream",
					    NULL };
	static const char *const alias[] = { "--node-name=n", "--host_driver-root", "/d", NULL };
	struct node_options o;

	(void)state;
	expect_options(args, NULL, &o);
	expect_upstreams(&o);
	node_options_done(&o);
	expect_options(alias, NULL, &o);
	assert_string_equal(o.driver_root, "/d");
	node_options_done(&o);
}

static void every_environment_name_of_upstream(void **state)
{
	static const char *const env[] = {
		"NODE_NAME=n",
		"NAMESPACE=gpus",
		"KUBECONFIG=/k",
		"KUBE_API_QPS=7.5",
		"KUBE_API_BURST=20",
		"CDI_ROOT=/cdi",
		"NVIDIA_DRIVER_ROOT=/run/nvidia/driver",
		"DRIVER_ROOT_CTR_PATH=/driver-root",
		"HOST_ROOT=/host-root",
		"NVIDIA_CDI_HOOK_PATH=/usr/bin/nvidia-cdi-hook",
		"IMAGE_NAME=i",
		"IMAGE_PULL_SECRETS=a,b",
		"IMAGE_PULL_POLICY=Always",
		"SERVICE_ACCOUNT_NAME=s",
		"KUBELET_REGISTRAR_DIRECTORY_PATH=/r",
		"KUBELET_PLUGINS_DIRECTORY_PATH=/p",
		"HEALTHCHECK_PORT=51516",
		"ADDITIONAL_XIDS_TO_IGNORE=13",
		"HTTP_ENDPOINT=:8080",
		"METRICS_PATH=/m",
		"CONSUMABLE_SHARES=disabled",
		"FEATURE_GATES=ComputeDomainCliques=true,DynamicMIG=false,",
		"LOGGING_FORMAT=json",
		"LOG_VERBOSITY=6",
		"VMODULE=a=1",
		"LOG_FLUSH_FREQUENCY=5s",
		"LOG_JSON_INFO_BUFFER_SIZE=0",
		"LOG_JSON_SPLIT_STREAM=false",
		"LOG_TEXT_INFO_BUFFER_SIZE=0",
		"LOG_TEXT_SPLIT_STREAM=false",
		"ALT_PROC_DEVICES_PATH=/alt",
		NULL
	};
	static const char *const other[] = { "NODE_NAME=n", "HOST_DRIVER_ROOT=/d", NULL };
	struct node_options o;

	(void)state;
	expect_options(NULL, env, &o);
	expect_upstreams(&o);
	assert_string_equal(o.proc_devices, "/alt");
	node_options_done(&o);
	expect_options(NULL, other, &o);
	assert_string_equal(o.driver_root, "/d");
	node_options_done(&o);
}

static void defaults_and_empty_values(void **state)
{
	static const char *const args[] = { "--node-name=n",	    "--nvidia-driver-root=",
					    "--http-endpoint=",	    "--nvidia-cdi-hook-path=",
					    "--kube-api-qps=",	    "--feature-gates=",
					    "--consumable-shares=", NULL };
	static const char *const env[] = { "CDI_ROOT=", "HEALTHCHECK_PORT=", "POD_UID=", NULL };
	struct node_options o;

	(void)state;
	expect_options(args, env, &o);
	assert_string_equal(o.namespace, "default");
	assert_string_equal(o.cdi_root, "/var/run/cdi");
	assert_string_equal(o.registry, "/var/lib/kubelet/plugins_registry");
	assert_string_equal(o.plugins, "/var/lib/kubelet/plugins");
	assert_string_equal(o.metrics_path, "/metrics");
	assert_int_equal(o.healthcheck_port, -1);
	assert_null(o.driver_root); /* searched */
	assert_null(o.http_endpoint);
	assert_null(o.hook_path);
	assert_null(o.qps); /* upstream's 5 a second would cost 200 ms a claim */
	assert_null(o.pod_uid);
	assert_false(o.gates[GATE_DYNAMIC_MIG] || o.gates[GATE_MPS] || o.gates[GATE_HEALTH]);
	assert_true(o.gates[GATE_CLIQUES]); /* on upstream; another program's */
	node_options_done(&o);
}

#define FIELD(name) .at = offsetof(struct node_options, name)

/*
 * Every flag of the plugin: facts/nvidia-upstream.md 1.3, 1.4, 1.5, 1.10. `by_default` is
 * upstream's, where ours is the same; `why_not` says why it is not.
 */
static const struct upstream_flag {
	const char *flag, *env, *value; /* value: one that upstream takes */
	const char *by_default, *why_not;
	size_t at; /* of the field; 0: taken without a meaning */
	enum conf_kind kind;
} upstream_flags[] = {
	{ "node-name", "NODE_NAME", "node-7", NULL, "required", FIELD(node_name) },
	{ "namespace", "NAMESPACE", "gpus", "default",
	  .at = offsetof(struct node_options, namespace) },
	{ "kubeconfig", "KUBECONFIG", "/k", NULL, "in-cluster", FIELD(kubeconfig) },
	{ "kube-api-qps", "KUBE_API_QPS", "7.5", NULL, "a limit costs, none is needed",
	  FIELD(qps) },
	{ "kube-api-burst", "KUBE_API_BURST", "20", "10", NULL, FIELD(burst), CONF_INT },
	{ "cdi-root", "CDI_ROOT", "/c", "/etc/cdi", NULL, FIELD(cdi_root) },
	{ "nvidia-driver-root", "NVIDIA_DRIVER_ROOT", "/run/nvidia/driver", "/", NULL,
	  FIELD(driver_root) },
	{ "host_driver-root", "HOST_DRIVER_ROOT", "/run/nvidia/driver", "/", NULL,
	  FIELD(driver_root) },
	{ "container-driver-root", "DRIVER_ROOT_CTR_PATH", "/d", "/driver-root", NULL,
	  FIELD(container_driver_root) },
	{ "host-root", "HOST_ROOT", "/host", NULL, "not mounted by its chart", FIELD(host_root) },
	{ "nvidia-cdi-hook-path", "NVIDIA_CDI_HOOK_PATH", "/usr/bin/nvidia-cdi-hook", NULL,
	  "none: the image's own", FIELD(hook_path) },
	{ .flag = "image-name", .env = "IMAGE_NAME", .value = "registry.k8s.io/x:v1" },
	{ .flag = "image-pull-secrets", .env = "IMAGE_PULL_SECRETS", .value = "a,b" },
	{ .flag = "image-pull-policy", .env = "IMAGE_PULL_POLICY", .value = "IfNotPresent" },
	{ .flag = "service-account-name", .env = "SERVICE_ACCOUNT_NAME", .value = "s" },
	{ "kubelet-registrar-directory-path", "KUBELET_REGISTRAR_DIRECTORY_PATH", "/r",
	  "/var/lib/kubelet/plugins_registry", NULL, FIELD(registry) },
	{ "kubelet-plugins-directory-path", "KUBELET_PLUGINS_DIRECTORY_PATH", "/p",
	  "/var/lib/kubelet/plugins", NULL, FIELD(plugins) },
	{ "healthcheck-port", "HEALTHCHECK_PORT", "51516", "-1", NULL, FIELD(healthcheck_port),
	  CONF_INT },
	{ .flag = "additional-xids-to-ignore",
	  .env = "ADDITIONAL_XIDS_TO_IGNORE",
	  .value = "13,x,31" },
	{ "http-endpoint", "HTTP_ENDPOINT", ":8080", NULL, "none", FIELD(http_endpoint) },
	{ "metrics-path", "METRICS_PATH", "/m", "/metrics", NULL, FIELD(metrics_path) },
	{ "consumable-shares", "CONSUMABLE_SHARES", "disabled", "disabled", NULL,
	  FIELD(consumable_shares) },
	{ "feature-gates", "FEATURE_GATES", "DynamicMIG=false,", NULL, "none",
	  FIELD(feature_gates) },
	{ "logging-format", "LOGGING_FORMAT", "json", "text", NULL, FIELD(log_format) },
	{ "v", "V", "6", NULL, "4: the levels are other ones", FIELD(verbosity), CONF_INT },
	{ .flag = "vmodule", .env = "VMODULE", .value = "a=1" },
	{ .flag = "log-flush-frequency", .env = "LOG_FLUSH_FREQUENCY", .value = "5s" },
	{ .flag = "log-json-info-buffer-size", .env = "LOG_JSON_INFO_BUFFER_SIZE", .value = "0" },
	{ .flag = "log-json-split-stream", .env = "LOG_JSON_SPLIT_STREAM", .value = "false" },
	{ .flag = "log-text-info-buffer-size", .env = "LOG_TEXT_INFO_BUFFER_SIZE", .value = "0" },
	{ .flag = "log-text-split-stream", .env = "LOG_TEXT_SPLIT_STREAM", .value = "false" },
	/* Not flags there: environment of its chart. */
	{ "alt-proc-devices-path", "ALT_PROC_DEVICES_PATH", "/alt", NULL, "none",
	  FIELD(proc_devices) },
	{ "mask-nvidia-driver-params", "MASK_NVIDIA_DRIVER_PARAMS", "true", "false", NULL,
	  FIELD(mask_params), CONF_BOOL },
};

static void value_of(const struct node_options *o, const struct upstream_flag *f, char out[128])
{
	const char *p = (const char *)o + f->at;
	int64_t number;
	char *text;

	if (f->kind == CONF_BOOL) {
		snprintf(out, 128, "%s", *(const bool *)p ? "true" : "false");
	} else if (f->kind == CONF_INT) {
		memcpy(&number, p, sizeof(number));
		snprintf(out, 128, "%lld", (long long)number);
	} else {
		memcpy(&text, p, sizeof(text));
		snprintf(out, 128, "%s", text ? text : "(none)");
	}
}

/* The meaning is kept by flag and by environment, and so is the default, by upstream's name. */
static void as_upstream_has_it(const struct upstream_flag *f)
{
	bool named = !strcmp(f->flag, "node-name"), meant = f->at || named;
	char flag[128], env[128], got[128];
	const char *by_flag[] = { "--node-name=n", flag, NULL }, *none[] = { NULL };
	const char *by_env[] = { named ? env : "NODE_NAME=n", env, NULL };
	const char *alone[] = { "NODE_NAME=n", NULL };
	const struct {
		const char *const *args, *const *vars;
		const char *want;
	} runs[] = { { by_flag, none, f->value },
		     { none, by_env, f->value },
		     { none, alone, named ? "n" : f->by_default } };

	snprintf(flag, sizeof(flag), "-%s%s=%s", strlen(f->flag) > 1 ? "-" : "", f->flag, f->value);
	snprintf(env, sizeof(env), "%s=%s", f->env, f->value);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct node_options o;
		struct err e = { "" };

		if (parse_as("/usr/bin/gpu-kubelet-plugin", runs[i].args, runs[i].vars, &o, &e))
			fail_msg("%s: %s", f->flag, e.text);
		value_of(&o, f, got);
		node_options_done(&o);
		if (meant && runs[i].want && strcmp(got, runs[i].want) != 0)
			fail_msg("%s: \"%s\", upstream has \"%s\"", f->flag, got, runs[i].want);
	}
}

static void what_upstream_takes_is_taken_by_its_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(upstream_flags); i++)
		as_upstream_has_it(&upstream_flags[i]);
}

static void an_empty_cdi_root_is_the_usual_one(void **state)
{
	static const char *const args[] = { "--node-name=n", "--cdi-root=", NULL };
	struct node_options o;
	struct err e = { "" };

	(void)state;
	assert_int_equal(parse_as("gpu-kubelet-plugin", args, NULL, &o, &e), 0);
	assert_string_equal(o.cdi_root, "/var/run/cdi");
	node_options_done(&o);
}

/* The driver is where upstream's chart mounts it, though no variable of it says so. */
static void roots_are_those_of_upstreams_chart(void **state)
{
	static const char *const env[] = { "NODE_NAME=n", "NVIDIA_DRIVER_ROOT=/run/nvidia/driver",
					   NULL };
	struct node_options o;
	struct roots roots;
	struct err e = { "" };

	(void)state;
	assert_int_equal(parse_as("gpu-kubelet-plugin", NULL, env, &o, &e), 0);
	node_options_roots(&o, &roots);
	assert_string_equal(roots.driver, "/driver-root");
	assert_string_equal(roots.driver_host, "/run/nvidia/driver");
	node_options_done(&o);
}

static void gates_that_a_stage_cannot_enable_are_told(void **state)
{
	static const char *const env[] = { "NODE_NAME=n", "FEATURE_GATES=AllAlpha=true,", NULL };
	struct node_options o;

	(void)state;
	expect_options(NULL, env, &o);
	assert_true(o.gates_left_out[GATE_DYNAMIC_MIG] && o.gates_left_out[GATE_HEALTH]);
	assert_false(o.gates_left_out[GATE_CLIQUES] || o.gates[GATE_DYNAMIC_MIG]);
	node_options_done(&o);
}

static void what_is_refused(void **state)
{
	static const char *const absent[] = { "TimeSlicingSettings",   "MPSSupport",
					      "PassthroughSupport",    "DynamicMIG",
					      "NVMLDeviceHealthCheck", "DeviceMetadata",
					      "DRAListTypeAttributes", "FabricManagerPartitioning",
					      "HostManagedIMEXDaemon", "ConsumableShares" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		char env[128];

		snprintf(env, sizeof(env), "FEATURE_GATES=%s=true", absent[i]);
		refused(NULL, env, absent[i]);
	}
	refused("--feature-gates=NoSuchGate=false", NULL, "NoSuchGate");
	refused("--consumable-shares=memory", NULL, "consumable-shares");
	refused("--no-such-flag", NULL, "no-such-flag");
	refused("positional", NULL, "positional");
	refused("--healthcheck-port=x", NULL, "healthcheck-port");
	refused("--healthcheck-port=65536", NULL, "healthcheck-port");
	refused("--kube-api-qps=-1", NULL, "kube-api-qps");
	refused("--kube-api-qps=1x", NULL, "kube-api-qps");
	refused("--http-endpoint=8080", NULL, "http-endpoint");
	refused("--metrics-path=metrics", NULL, "metrics-path");
	refused("--cdi-root=cdi", NULL, "cdi-root");
	refused("--logging-format=xml", NULL, "xml");
	refused("--pod-uid=a/b", NULL, "pod-uid");
	refused("--node-name=", NULL, "node-name");
	refused(NULL, "KUBE_API_BURST=0", "KUBE_API_BURST");
}

static void help_and_version_need_nothing_else(void **state)
{
	static const char *const args[] = { "--help", NULL }, *const version[] = { "--version",
										   NULL };
	struct node_options o;
	struct buf text;

	(void)state;
	expect_options(args, NULL, &o);
	assert_true(o.help);
	node_options_done(&o);
	expect_options(version, NULL, &o);
	assert_true(o.version);
	node_options_done(&o);
	buf_init(&text, 64 << 10);
	node_options_help("tundra", &text);
	assert_non_null(strstr(buf_cstr(&text), "--kubelet-plugins-directory-path"));
	assert_non_null(strstr(buf_cstr(&text), "/var/run/cdi"));
	assert_null(strstr(buf_cstr(&text), "/etc/cdi"));
	buf_clear(&text);
	node_options_help("/usr/bin/gpu-kubelet-plugin", &text);
	assert_non_null(strstr(buf_cstr(&text), "/etc/cdi"));
	buf_done(&text);
}

static void expect_device_plugins(const char *host, const char *plugins, const char *folder)
{
	const char *args[] = {
		"--node-name=n", "--host-root", host, "--kubelet-plugins-directory-path",
		plugins,	 NULL
	};
	struct node_options o;
	char *found;

	expect_options(args, NULL, &o);
	found = node_options_device_plugins(&o);
	assert_string_equal(found, folder);
	mem_free(found);
	node_options_done(&o);
}

static void device_plugins_are_looked_for_on_the_host(void **state)
{
	(void)state;
	expect_device_plugins("", "/var/lib/kubelet/plugins", "/var/lib/kubelet/device-plugins");
	expect_device_plugins("/", "/var/lib/kubelet/plugins/", "/var/lib/kubelet/device-plugins");
	expect_device_plugins("/host-root", "/var/lib/k0s/kubelet/plugins",
			      "/host-root/var/lib/k0s/kubelet/device-plugins");
	expect_device_plugins("", "/plugins", "/device-plugins");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flag_of_upstream),
		cmocka_unit_test(every_environment_name_of_upstream),
		cmocka_unit_test(defaults_and_empty_values),
		cmocka_unit_test(what_upstream_takes_is_taken_by_its_name),
		cmocka_unit_test(an_empty_cdi_root_is_the_usual_one),
		cmocka_unit_test(roots_are_those_of_upstreams_chart),
		cmocka_unit_test(gates_that_a_stage_cannot_enable_are_told),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(help_and_version_need_nothing_else),
		cmocka_unit_test(device_plugins_are_looked_for_on_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
