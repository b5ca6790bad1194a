/* The role in this process, asked as worker_serve() asks it, against fake hardware. */
#include "test/unit/worker/node.h"

#include <sys/sysmacros.h>

#include "core/buf.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/worker/nvml_role.h"
#include "gpu/proto/messages.h"
#include "test/unit/worker/edits_print.h"

static struct nvml_role *role;
static struct gpu_msg_open opened;
static struct gpu_msg_query queried;
static struct nvidia_gpu gpu;
static struct nvidia_system driver;

static void ask(enum gpu_method method, struct sv body, struct buf *out, int expect)
{
	size_t i;

	buf_init(out, 1 << 20);
	for (i = 0; i < nvml_role_methods_n; i++)
		if (nvml_role_methods[i].method == (uint16_t)method) {
			assert_int_equal(nvml_role_methods[i].fn(role, body, 1000, out), expect);
			return;
		}
	fail();
}

static void open_driver(enum gpu_open_state expect)
{
	struct buf out;

	gpu_msg_open_done(&opened);
	ask(GPU_M_OPEN, SV_NONE, &out, 0);
	assert_int_equal(gpu_msg_get_open(buf_sv(&out), &opened), 0);
	if (opened.state != (uint32_t)expect)
		fail_msg("state %u: %s", opened.state, opened.text);
	if (expect == GPU_OPEN_READY)
		assert_int_equal(nvidia_system_get(opened.facts, &driver), 0);
	buf_done(&out);
}

static void query(uint32_t index, enum gpu_query_state expect)
{
	struct buf body, out;

	gpu_msg_query_done(&queried);
	buf_init(&body, 64);
	gpu_msg_put_index(&body, index);
	ask(GPU_M_QUERY, buf_sv(&body), &out, 0);
	assert_int_equal(gpu_msg_get_query(buf_sv(&out), &queried), 0);
	if (queried.state != (uint32_t)expect)
		fail_msg("state %u: %s", queried.state, queried.text);
	if (expect == GPU_QUERY_OK)
		assert_int_equal(nvidia_gpu_get(queried.facts, &gpu), 0);
	buf_done(&body);
	buf_done(&out);
}

static void close_driver(void)
{
	struct buf out;

	ask(GPU_M_CLOSE, SV_NONE, &out, 0);
	buf_done(&out);
}

static void finish(struct fake_node *n)
{
	gpu_msg_open_done(&opened);
	gpu_msg_query_done(&queried);
	nvml_role_free(&role);
	node_free(n);
}

static struct fake_node *begin(const char *make)
{
	struct fake_node *n = make ? node_new(make) : node_empty();

	role = nvml_role_new(&n->roots);
	return n;
}

static bool watched(const char *folder, const char *prefix)
{
	size_t i;

	for (i = 0; i < opened.watch_n; i++)
		if (strcmp(opened.watch[i].folder, folder) == 0 &&
		    strcmp(opened.watch[i].prefix, prefix) == 0)
			return true;
	return false;
}

static void test_facts(void **state)
{
	struct fake_node *n = begin("--profile h100 --count 8");
	bool minors[8] = { false };
	struct buf text;
	uint32_t i;
	char line[64];

	(void)state;
	open_driver(GPU_OPEN_READY);
	assert_int_equal(opened.count, 8);
	assert_int_equal(opened.seen_n, 8);
	assert_string_equal(driver.driver_version, "580.65.06");
	assert_int_equal(driver.cuda_version, 13000);
	assert_true(watched(n->dev, "nvidia"));
	assert_true(watched(node_path(n, "usr/lib/x86_64-linux-gnu"), "libnvidia") ||
		    watched(node_path(n, "usr/lib/aarch64-linux-gnu"), "libnvidia"));
	assert_true(watched(node_path(n, "dev/dri"), ""));
	for (i = 0; i < 8; i++) {
		query(i, GPU_QUERY_OK);
		assert_string_equal(gpu.pci, queried.pci);
		assert_string_equal(gpu.uuid, queried.uuid);
		assert_int_equal(gpu.index, i);
		assert_in_range(queried.minor, 0, 7);
		minors[queried.minor] = true;
		assert_string_equal(gpu.name, "NVIDIA H100 80GB HBM3");
		assert_int_equal(gpu.brand, 14);
		assert_int_equal(gpu.architecture, 9);
		assert_int_equal(gpu.cc_major * 10 + gpu.cc_minor, 90);
		assert_true(gpu.memory_total > 79ull << 30);
		assert_int_equal(gpu.mig_mode, 0);
		assert_int_equal(gpu.ecc, 1);
		assert_true(gpu.switched);
		assert_true(gpu.numa == 0 || gpu.numa == 1);
		assert_true(strncmp(gpu.path, "pci0000:", 8) == 0);
		/* Its node is the one of its minor number, whatever its index. */
		buf_init(&text, 1 << 16);
		edits_print(&queried.edits, &text);
		snprintf(line, sizeof(line), "node /dev/nvidia%d 195:%d ", (int)queried.minor,
			 (int)queried.minor);
		assert_non_null(strstr(buf_cstr(&text), line));
		assert_non_null(strstr(buf_cstr(&text), "node /dev/dri/renderD"));
		assert_non_null(strstr(buf_cstr(&text), "hook create-symlinks --link ../card"));
		buf_done(&text);
	}
	for (i = 0; i < 8; i++)
		assert_true(minors[i]);
	query(8, GPU_QUERY_TROUBLE); /* there is no ninth */
	finish(n);
}

static void test_links(void **state)
{
	struct fake_node *n = begin("--profile a100 --count 4 --nvlink pairs");
	uint32_t i;

	(void)state;
	open_driver(GPU_OPEN_READY);
	for (i = 0; i < 4; i++) {
		query(i, GPU_QUERY_OK);
		assert_false(gpu.switched);
		assert_int_equal(gpu.peers_n, 1); /* a dozen links, one neighbour */
	}
	/* Some links down: the others still tell. */
	node_do(n, "set --gpu 0 links-down=3");
	query(0, GPU_QUERY_OK);
	assert_int_equal(gpu.peers_n, 1);
	finish(n);
}

/* Old cards, old drivers: less is told, nothing fails. */
static void test_525(void **state)
{
	struct fake_node *n = begin("--profile t4 --count 1 --driver 525.147.05");

	(void)state;
	open_driver(GPU_OPEN_READY);
	query(0, GPU_QUERY_OK);
	assert_string_equal(gpu.name, "Tesla T4");
	assert_int_equal(gpu.addressing, NVIDIA_UNKNOWN);
	assert_int_equal(gpu.mig_mode, NVIDIA_UNKNOWN);
	assert_false(gpu.switched);
	assert_int_equal(gpu.peers_n, 0);
	finish(n);
}

static void test_every_profile(void **state)
{
	static const char *const profiles[] = { "h100",	 "a100", "h200", "b200",
						"gb200", "l40s", "t4" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		char make[64];
		struct fake_node *n;

		snprintf(make, sizeof(make), "--profile %s --count 2", profiles[i]);
		n = begin(make);
		open_driver(GPU_OPEN_READY);
		query(0, GPU_QUERY_OK);
		query(1, GPU_QUERY_OK);
		assert_true(*gpu.name && gpu.architecture >= 6 && gpu.memory_total);
		finish(n);
	}
}

static void test_optional_parts_fail(void **state)
{
	static const char *const functions[] = {
		"nvmlDeviceGetSerial",
		"nvmlDeviceGetEccMode",
		"nvmlDeviceGetMigMode",
		"nvmlDeviceGetAddressingMode",
		"nvmlDeviceGetBrand",
		"nvmlDeviceGetArchitecture",
		"nvmlDeviceGetNvLinkRemotePciInfo_v2",
		"nvmlSystemGetConfComputeState",
		"nvmlSystemGetConfComputeSettings",
		"nvmlSystemGetCudaDriverVersion_v2",
		"nvmlDeviceGetNvLinkRemoteDeviceType",
	};
	struct fake_node *n = begin("--profile h100 --count 1");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		node_do(n, "fault fail --rc NOT_SUPPORTED --fn %s", functions[i]);
	node_do(n, "fault fail --rc NOT_SUPPORTED --fn nvmlDeviceGetMemoryInfo");
	open_driver(GPU_OPEN_READY);
	query(0, GPU_QUERY_OK);
	assert_string_equal(gpu.serial, "");
	assert_int_equal(gpu.ecc, NVIDIA_UNKNOWN);
	assert_int_equal(gpu.memory_total, 0);
	assert_int_equal(driver.cc_feature, NVIDIA_UNKNOWN);
	finish(n);
}

static void test_failures_are_classed(void **state)
{
	static const struct {
		const char *rc, *fn;
		enum gpu_query_state state;
	} rows[] = {
		{ "GPU_IS_LOST", "nvmlDeviceGetHandleByIndex_v2", GPU_QUERY_TROUBLE },
		{ "GPU_IS_LOST", "nvmlDeviceGetSerial", GPU_QUERY_TROUBLE },
		{ "NO_PERMISSION", "nvmlDeviceGetUUID", GPU_QUERY_TROUBLE },
		{ "UNKNOWN", "nvmlDeviceGetUUID", GPU_QUERY_RETRY },
		{ "TIMEOUT", "nvmlDeviceGetMemoryInfo", GPU_QUERY_RETRY },
		{ "UNINITIALIZED", "nvmlDeviceGetMemoryInfo", GPU_QUERY_SESSION },
		{ "UNINITIALIZED", "nvmlDeviceGetEccMode", GPU_QUERY_SESSION },
		{ "LIB_RM_VERSION_MISMATCH", "nvmlDeviceGetName", GPU_QUERY_SESSION },
	};
	struct fake_node *n = begin("--profile h100 --count 1");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		node_do(n, "fault fail --rc %s --fn %s", rows[i].rc, rows[i].fn);
		open_driver(GPU_OPEN_READY);
		query(0, rows[i].state);
		assert_true(*queried.text);
		node_do(n, "clear");
	}
	close_driver();
	query(0, GPU_QUERY_SESSION); /* nothing is open */
	finish(n);
}

static void test_reload_under_us(void **state)
{
	struct fake_node *n = begin("--profile h100 --count 1");

	(void)state;
	open_driver(GPU_OPEN_READY);
	query(0, GPU_QUERY_OK);
	node_do(n, "reload --driver 590.44.01");
	query(0, GPU_QUERY_SESSION);
	open_driver(GPU_OPEN_READY);
	assert_string_equal(driver.driver_version, "590.44.01");
	query(0, GPU_QUERY_OK);
	node_do(n, "unload");
	open_driver(GPU_OPEN_NO_DRIVER);
	assert_non_null(strstr(opened.text, "unloaded from the kernel"));
	node_do(n, "load");
	open_driver(GPU_OPEN_READY);
	finish(n);
}

/* Not loaded when we come: the library is asked, which may load it, and says what it finds. */
static void test_not_loaded_from_the_start(void **state)
{
	struct fake_node *n = begin("--profile h100 --count 1");

	(void)state;
	node_do(n, "unload");
	open_driver(GPU_OPEN_NO_DRIVER);
	assert_non_null(strstr(opened.text, "NVML error 9"));
	finish(n);
}

/* What could not be had this time is told apart from what there is not. */
static void test_untold(void **state)
{
	struct fake_node *n = begin("--profile h100 --count 1");

	(void)state;
	node_do(n, "fault fail --rc TIMEOUT --fn nvmlDeviceGetEccMode");
	node_do(n, "fault fail --rc UNKNOWN --fn nvmlDeviceGetSerial");
	node_do(n, "fault fail --rc NOT_SUPPORTED --fn nvmlDeviceGetMigMode");
	open_driver(GPU_OPEN_READY);
	query(0, GPU_QUERY_OK);
	assert_int_equal(gpu.untold, NVIDIA_UNTOLD_ECC | NVIDIA_UNTOLD_SERIAL);
	node_do(n, "clear");
	query(0, GPU_QUERY_OK);
	assert_int_equal(gpu.untold, 0);
	finish(n);
}

static void test_no_driver(void **state)
{
	struct fake_node *n = begin(NULL);

	(void)state;
	open_driver(GPU_OPEN_NO_DRIVER);
	assert_non_null(strstr(opened.text, "libnvidia-ml.so.1 was looked for in"));
	assert_non_null(strstr(opened.text, n->root));
	assert_true(opened.watch_n > 3);
	query(0, GPU_QUERY_SESSION);
	finish(n);
}

/* A library that is none, or of another driver: the next place is tried, and the reason is told. */
static void test_wrong_libraries(void **state)
{
	struct fake_node *n = begin(NULL);
	char command[512];

	(void)state;
	snprintf(command, sizeof(command),
		 "mkdir -p %s/usr/lib64 && echo text >%s/usr/lib64/libnvidia-ml.so.1", n->root,
		 n->root);
	assert_int_equal(system(command), 0);
	open_driver(GPU_OPEN_TROUBLE);
	assert_non_null(strstr(opened.text, "cannot be loaded"));
	/* Neither is the second; each is named, and so is where else there was nothing. */
	snprintf(command, sizeof(command),
		 "mkdir -p %s/run/opengl-driver/lib && "
		 "echo text >%s/run/opengl-driver/lib/libnvidia-ml.so.1",
		 n->root, n->root);
	assert_int_equal(system(command), 0);
	open_driver(GPU_OPEN_TROUBLE);
	assert_non_null(strstr(opened.text, "/usr/lib64/libnvidia-ml.so.1 cannot be loaded"));
	assert_non_null(strstr(opened.text, "/opengl-driver/lib/libnvidia-ml.so.1 cannot be"));
	assert_non_null(strstr(opened.text, "(driver container)"));
	/* The driver container is right; the host's file does not hide it. */
	snprintf(command, sizeof(command), "mkdir -p %s/run/nvidia/driver", n->root);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command),
		 "'" TEST_BINARY_DIR "/bin/fakegpu' make --mknod --profile t4 --count 1 "
		 "--root %s/run/nvidia/driver >/dev/null",
		 n->root);
	assert_int_equal(system(command), 0);
	open_driver(GPU_OPEN_READY);
	assert_non_null(strstr(opened.text, "(driver container)"));
	assert_null(strstr(opened.text, "cannot be loaded"));
	assert_non_null(opened.edits.nodes[0].host);
	assert_true(strncmp(opened.edits.nodes[0].host, "/run/nvidia/driver/dev/", 23) == 0);
	finish(n);
}

static void test_missing_library_file(void **state)
{
	struct fake_node *n = begin("--profile t4 --count 1");
	char command[256];

	(void)state;
	snprintf(command, sizeof(command), "rm %s/usr/lib/*/libcuda.so.580.65.06", n->root);
	assert_int_equal(system(command), 0);
	open_driver(GPU_OPEN_TROUBLE);
	assert_non_null(strstr(opened.text, "libcuda.so.580.65.06 is not in"));
	finish(n);
}

/* A fresh node: the driver is loaded and nobody has made the nodes yet. */
static void test_nodes_are_made(void **state)
{
	struct fake_node *n = begin("--profile h100 --count 2");
	struct stat st;

	(void)state;
	assert_int_equal(unlink(node_path(n, "dev/nvidia0")), 0);
	assert_int_equal(unlink(node_path(n, "dev/nvidiactl")), 0);
	assert_int_equal(unlink(node_path(n, "dev/nvidia-uvm")), 0);
	open_driver(GPU_OPEN_READY);
	assert_int_equal(opened.count, 2);
	assert_int_equal(opened.edits.nodes_n, 4);
	query(0, GPU_QUERY_OK);
	query(1, GPU_QUERY_OK);
	assert_int_equal(stat(node_path(n, "dev/nvidia0"), &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(195, 0));
	finish(n);
}

static void test_garbage_request(void **state)
{
	struct fake_node *n = begin("--profile t4 --count 1");
	struct buf out;

	(void)state;
	ask(GPU_M_QUERY, SV("what?"), &out, -74);
	buf_done(&out);
	finish(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_525),
		cmocka_unit_test(test_every_profile),
		cmocka_unit_test(test_optional_parts_fail),
		cmocka_unit_test(test_failures_are_classed),
		cmocka_unit_test(test_reload_under_us),
		cmocka_unit_test(test_not_loaded_from_the_start),
		cmocka_unit_test(test_untold),
		cmocka_unit_test(test_no_driver),
		cmocka_unit_test(test_wrong_libraries),
		cmocka_unit_test(test_missing_library_file),
		cmocka_unit_test(test_nodes_are_made),
		cmocka_unit_test(test_garbage_request),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: device nodes are made\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
