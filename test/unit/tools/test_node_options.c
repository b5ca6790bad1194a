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

static int parse(const char *const *args, const char *const *env, struct node_options *o,
		 struct err *e)
{
	char *argv[ARGS_MAX] = { (char *)(uintptr_t) "node" };
	int argc = 1;

	for (; args && args[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc - 1];
	environment = env;
	return node_options_parse(argc, argv, from_test, o, e);
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
	node_options_help(&text);
	assert_non_null(strstr(buf_cstr(&text), "--kubelet-plugins-directory-path"));
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
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(help_and_version_need_nothing_else),
		cmocka_unit_test(device_plugins_are_looked_for_on_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
