/* Session rules, identity, buffers, versions, and what each product supports. */
#include <fcntl.h>

#include "fixture.h"

static void init_is_counted(void **state)
{
	struct world *w = world_new("--profile h100 --count 2");
	unsigned int n;

	(void)state;
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_ERROR_UNINITIALIZED);
	assert_int_equal(w->fn.nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
	assert_int_equal(w->fn.nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlShutdown(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
	assert_int_equal(n, 2);
	assert_int_equal(w->fn.nvmlShutdown(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_ERROR_UNINITIALIZED);
	world_free(w);
}

static void a_handle_dies_with_its_session(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	nvmlDevice_t d;
	unsigned int minor;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_SUCCESS);
	w->fn.nvmlShutdown();
	w->fn.nvmlInit_v2();
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(NULL, &minor), NVML_ERROR_INVALID_ARGUMENT);
	world_free(w);
}

struct seen {
	unsigned int minor;
	unsigned int bus;
	char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
};

static void four_orders_share_no_position(void **state)
{
	struct world *w = world_new("--profile h100 --seed 7");
	struct seen s[8];
	nvmlPciInfo_t pci;
	nvmlDevice_t d;
	unsigned int i;
	unsigned int k;

	(void)state;
	w->fn.nvmlInit_v2();
	for (i = 0; i < 8; i++) {
		d = world_gpu(w, i);
		assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &s[i].minor), NVML_SUCCESS);
		assert_int_equal(w->fn.nvmlDeviceGetPciInfo_v3(d, &pci), NVML_SUCCESS);
		s[i].bus = pci.bus;
		assert_int_equal(w->fn.nvmlDeviceGetUUID(d, s[i].uuid, sizeof(s[i].uuid)),
				 NVML_SUCCESS);
	}
	for (i = 0; i < 8; i++) {
		unsigned int by_bus = 0;
		unsigned int by_uuid = 0;

		for (k = 0; k < 8; k++) {
			by_bus += s[k].bus < s[i].bus;
			by_uuid += strcmp(s[k].uuid, s[i].uuid) < 0;
		}
		assert_int_not_equal(i, s[i].minor);
		assert_int_not_equal(i, by_bus);
		assert_int_not_equal(i, by_uuid);
		assert_int_not_equal(s[i].minor, by_bus);
		assert_int_not_equal(s[i].minor, by_uuid);
		assert_int_not_equal(by_bus, by_uuid);
	}
	world_free(w);
}

static void lookups_agree(void **state)
{
	struct world *w = world_new("--profile gb200");
	char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
	nvmlPciInfo_t pci;
	nvmlDevice_t d;
	nvmlDevice_t other;
	unsigned int index;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 2);
	w->fn.nvmlDeviceGetUUID(d, uuid, sizeof(uuid));
	assert_int_equal(w->fn.nvmlDeviceGetHandleByUUID(uuid, &other), NVML_SUCCESS);
	assert_ptr_equal(d, other);
	w->fn.nvmlDeviceGetPciInfo_v3(d, &pci);
	assert_true(pci.domain != 0);
	assert_int_equal(strlen(pci.busId), 16);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &other), NVML_SUCCESS);
	assert_ptr_equal(d, other);
	assert_int_equal(w->fn.nvmlDeviceGetIndex(d, &index), NVML_SUCCESS);
	assert_int_equal(index, 2);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByUUID("GPU-none", &other), NVML_ERROR_NOT_FOUND);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByPciBusId_v2("0000:ff:00.0", &other),
			 NVML_ERROR_NOT_FOUND);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByPciBusId_v2("x", &other),
			 NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByIndex_v2(4, &other),
			 NVML_ERROR_INVALID_ARGUMENT);
	world_free(w);
}

static void small_buffers_are_refused(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	const char *name = "NVIDIA H100 80GB HBM3";
	char buf[96];
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetName(d, buf, (unsigned int)strlen(name)),
			 NVML_ERROR_INSUFFICIENT_SIZE);
	assert_int_equal(w->fn.nvmlDeviceGetName(d, buf, (unsigned int)strlen(name) + 1),
			 NVML_SUCCESS);
	assert_string_equal(buf, name);
	assert_int_equal(w->fn.nvmlDeviceGetUUID(d, NULL, 96), NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetUUID(d, buf, 4), NVML_ERROR_INSUFFICIENT_SIZE);
	world_free(w);
}

static void struct_versions_are_checked(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	nvmlMemory_v2_t memory = { .version = 0 };
	nvmlGpuFabricInfo_v3_t fabric = { .version = 7 };
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetMemoryInfo_v2(d, &memory),
			 NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
	memory.version = nvmlMemory_v2;
	assert_int_equal(w->fn.nvmlDeviceGetMemoryInfo_v2(d, &memory), NVML_SUCCESS);
	assert_true(memory.total == 81559ull << 20);
	assert_true(memory.total == memory.reserved + memory.free + memory.used);
	assert_int_equal(w->fn.nvmlDeviceGetGpuFabricInfoV(d, &fabric),
			 NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
	/* v2's struct is shorter: the byte behind it stays as it was. */
	fabric.version = nvmlGpuFabricInfo_v2;
	fabric.healthSummary = 0x5a;
	assert_int_equal(w->fn.nvmlDeviceGetGpuFabricInfoV(d, &fabric), NVML_SUCCESS);
	assert_int_equal(fabric.healthSummary, 0x5a);
	assert_int_equal(fabric.state, NVML_GPU_FABRIC_STATE_COMPLETED);
	fabric.version = nvmlGpuFabricInfo_v3;
	assert_int_equal(w->fn.nvmlDeviceGetGpuFabricInfoV(d, &fabric), NVML_SUCCESS);
	assert_int_equal(fabric.healthSummary, NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY);
	world_free(w);
}

static void a_t4_has_little(void **state)
{
	struct world *w = world_new("--profile t4 --count 1");
	nvmlDeviceAddressingMode_v1_t mode = { .version = nvmlDeviceAddressingMode_v1 };
	nvmlGpuFabricInfo_t fabric;
	nvmlEnableState_t link;
	nvmlDevice_t d;
	unsigned int n;
	unsigned int m;
	int major;
	int minor;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetMigMode(d, &n, &m), NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlDeviceGetAddressingMode(d, &mode), NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlDeviceGetGpuFabricInfo(d, &fabric), NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlDeviceGetNvLinkState(d, 0, &link), NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlDeviceGetMaxMigDeviceCount(d, &n), NVML_SUCCESS);
	assert_int_equal(n, 0);
	assert_int_equal(w->fn.nvmlDeviceGetCudaComputeCapability(d, &major, &minor), NVML_SUCCESS);
	assert_int_equal(major * 10 + minor, 75);
	world_free(w);
}

static void links_lead_to_switches_or_neighbours(void **state)
{
	struct world *w = world_new("--profile h100 --count 2");
	nvmlIntNvLinkDeviceType_t type;
	nvmlEnableState_t up;
	nvmlPciInfo_t remote;
	nvmlPciInfo_t pci;
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetNvLinkRemoteDeviceType(d, 17, &type), NVML_SUCCESS);
	assert_int_equal(type, NVML_NVLINK_DEVICE_TYPE_SWITCH);
	assert_int_equal(w->fn.nvmlDeviceGetNvLinkState(d, 18, &up), NVML_ERROR_INVALID_ARGUMENT);
	world_do(w, "set --gpu 0 links-down=1");
	assert_int_equal(w->fn.nvmlDeviceGetNvLinkState(d, 0, &up), NVML_SUCCESS);
	assert_int_equal(up, NVML_FEATURE_DISABLED);
	world_free(w);
	w = world_new("--profile l40s --count 2 --nvlink pairs");
	w->fn.nvmlInit_v2();
	assert_int_equal(w->fn.nvmlDeviceGetNvLinkRemotePciInfo_v2(world_gpu(w, 0), 0, &remote),
			 NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetPciInfo_v3(world_gpu(w, 1), &pci), NVML_SUCCESS);
	assert_string_equal(remote.busId, pci.busId);
	world_free(w);
}

static void processes_take_two_calls(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	nvmlProcessInfo_t infos[4];
	unsigned int n = 0;
	nvmlMemory_t before;
	nvmlMemory_t after;
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceGetComputeRunningProcesses_v3(d, &n, NULL), NVML_SUCCESS);
	w->fn.nvmlDeviceGetMemoryInfo(d, &before);
	world_do(w, "proc --gpu 0 --pid 42 --mib 512");
	world_do(w, "proc --gpu 0 --pid 43 --mib 1");
	assert_int_equal(w->fn.nvmlDeviceGetComputeRunningProcesses_v3(d, &n, NULL),
			 NVML_ERROR_INSUFFICIENT_SIZE);
	assert_int_equal(n, 2);
	n = 4;
	assert_int_equal(w->fn.nvmlDeviceGetComputeRunningProcesses_v3(d, &n, infos), NVML_SUCCESS);
	assert_int_equal(n, 2);
	assert_int_equal(infos[0].pid, 42);
	assert_int_equal(infos[0].gpuInstanceId, NVML_NO_INSTANCE);
	w->fn.nvmlDeviceGetMemoryInfo(d, &after);
	assert_true(after.used - before.used == 513ull << 20);
	world_free(w);
}

/* Device nodes decide what a process sees. Runs as nobody, whom modes stop. */
static int as_nobody(struct world *w)
{
	nvmlDevice_t d;
	unsigned int n;
	unsigned int i;
	int denied = 0;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 10;
	if (w->fn.nvmlInit_v2() != NVML_SUCCESS)
		return 11;
	if (w->fn.nvmlDeviceGetCount_v2(&n) != NVML_SUCCESS || n != 3)
		return 12;
	for (i = 0; i < n; i++)
		denied += w->fn.nvmlDeviceGetHandleByIndex_v2(i, &d) == NVML_ERROR_NO_PERMISSION;
	if (denied != 1)
		return 13;
	/* The state is mapped read-only here: no change gets through. */
	for (i = 0; i < n; i++)
		if (w->fn.nvmlDeviceGetHandleByIndex_v2(i, &d) == NVML_SUCCESS &&
		    w->fn.nvmlDeviceSetPersistenceMode(d, 1) != NVML_ERROR_NO_PERMISSION)
			return 14;
	return 0;
}

static void nodes_decide(void **state)
{
	struct world *w;
	char path[128];
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	w = world_new("--profile h100 --count 4");
	snprintf(path, sizeof(path), "%s/dev/nvidia0", w->root);
	unlink(path);
	snprintf(path, sizeof(path), "%s/dev/nvidia1", w->root);
	chmod(path, 0600);
	pid = fork();
	if (pid == 0)
		_exit(as_nobody(w));
	assert_int_equal(world_reap(pid), 0);
	snprintf(path, sizeof(path), "%s/dev/nvidiactl", w->root);
	unlink(path);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
	world_free(w);
}

static void no_gpu_is_an_error_unless_asked(void **state)
{
	struct world *w = world_new("--profile t4 --count 1");
	unsigned int n = 9;

	(void)state;
	world_do(w, "unplug --gpu 0");
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_ERROR_NOT_FOUND);
	assert_int_equal(w->fn.nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
	assert_int_equal(n, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_is_counted),
		cmocka_unit_test(a_handle_dies_with_its_session),
		cmocka_unit_test(four_orders_share_no_position),
		cmocka_unit_test(lookups_agree),
		cmocka_unit_test(small_buffers_are_refused),
		cmocka_unit_test(struct_versions_are_checked),
		cmocka_unit_test(a_t4_has_little),
		cmocka_unit_test(links_lead_to_switches_or_neighbours),
		cmocka_unit_test(processes_take_two_calls),
		cmocka_unit_test(nodes_decide),
		cmocka_unit_test(no_gpu_is_an_error_unless_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
