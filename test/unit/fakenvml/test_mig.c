/* MIG: profile tables, placement rules, life of an instance, capability files. */
#include "fixture.h"

enum { ID_1G = 19, ID_1G_ME = 20, ID_1G_2MEM = 15, ID_2G = 14, ID_3G = 9, ID_4G = 5, ID_7G = 0 };

static nvmlReturn_t make(struct world *w, nvmlDevice_t d, unsigned int id, unsigned int start,
			 nvmlGpuInstance_t *gi)
{
	nvmlGpuInstancePlacement_t at[8];
	unsigned int n = 0;
	unsigned int i;

	assert_int_equal(w->fn.nvmlDeviceGetGpuInstancePossiblePlacements_v2(d, id, at, &n),
			 NVML_SUCCESS);
	for (i = 0; i < n; i++)
		if (at[i].start == start)
			return w->fn.nvmlDeviceCreateGpuInstanceWithPlacement(d, id, &at[i], gi);
	return NVML_ERROR_INVALID_ARGUMENT;
}

static struct world *mig_world(const char *make_args, nvmlDevice_t *d)
{
	struct world *w = world_new(make_args);
	nvmlReturn_t activation = NVML_ERROR_UNKNOWN;

	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	*d = world_gpu(w, 0);
	assert_int_equal(w->fn.nvmlDeviceSetMigMode(*d, 1, &activation), NVML_SUCCESS);
	assert_int_equal(activation, NVML_SUCCESS);
	return w;
}

/* Start:size of every profile, from `nvidia-smi mig -lgipp`. */
static void placements_are_those_of_hardware(void **state)
{
	static const struct {
		unsigned int id;
		unsigned int n;
		unsigned int size;
		unsigned int step;
	} want[] = { { ID_1G, 7, 1, 1 }, { ID_1G_ME, 7, 1, 1 }, { ID_1G_2MEM, 4, 2, 2 },
		     { ID_2G, 3, 2, 2 }, { ID_3G, 2, 4, 4 },	{ ID_4G, 1, 4, 4 },
		     { ID_7G, 1, 8, 8 } };
	static const char *const profiles[] = { "a100", "h100", "h200", "b200", "gb200" };
	nvmlGpuInstancePlacement_t at[8];
	char args[64];
	unsigned int n;
	unsigned int k;
	size_t p;
	size_t i;

	(void)state;
	for (p = 0; p < sizeof(profiles) / sizeof(profiles[0]); p++) {
		struct world *w;

		snprintf(args, sizeof(args), "--profile %s --count 1", profiles[p]);
		w = world_new(args);
		w->fn.nvmlInit_v2();
		for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
			/* Two calls, and with MIG mode off. */
			assert_int_equal(w->fn.nvmlDeviceGetGpuInstancePossiblePlacements_v2(
					     world_gpu(w, 0), want[i].id, NULL, &n),
					 NVML_SUCCESS);
			assert_int_equal(n, want[i].n);
			assert_int_equal(w->fn.nvmlDeviceGetGpuInstancePossiblePlacements_v2(
					     world_gpu(w, 0), want[i].id, at, &n),
					 NVML_SUCCESS);
			for (k = 0; k < n; k++) {
				assert_int_equal(at[k].start, k * want[i].step);
				assert_int_equal(at[k].size, want[i].size);
			}
		}
		world_free(w);
	}
}

static void profile_infos(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	nvmlGpuInstanceProfileInfo_v2_t v2 = { .version = nvmlGpuInstanceProfileInfo_v2 };
	nvmlGpuInstanceProfileInfo_v3_t v3 = { .version = nvmlGpuInstanceProfileInfo_v3 };
	nvmlGpuInstanceProfileInfo_t info;
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(
	    w->fn.nvmlDeviceGetGpuInstanceProfileInfo(d, NVML_GPU_INSTANCE_PROFILE_2_SLICE, &info),
	    NVML_SUCCESS);
	assert_int_equal(info.id, ID_2G);
	assert_int_equal(info.multiprocessorCount, 32);
	assert_int_equal(info.memorySizeMB, 20096);
	assert_int_equal(
	    w->fn.nvmlDeviceGetGpuInstanceProfileInfo(d, NVML_GPU_INSTANCE_PROFILE_8_SLICE, &info),
	    NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(
	    w->fn.nvmlDeviceGetGpuInstanceProfileInfo(d, NVML_GPU_INSTANCE_PROFILE_COUNT, &info),
	    NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstanceProfileInfoV(d, 4, &v2), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstanceProfileInfoV(
			     d, 4, (nvmlGpuInstanceProfileInfo_v2_t *)(void *)&v3),
			 NVML_SUCCESS);
	assert_true(v2.memorySizeMB == 81152 && v3.memorySizeMB == 81152);
	assert_string_equal(v2.name, "MIG 7g.80gb");
	assert_string_equal(v3.name, v2.name);
	v2.version = 9;
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstanceProfileInfoV(d, 4, &v2),
			 NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
	world_free(w);
}

static void mode_waits_for_a_reset_on_ampere(void **state)
{
	struct world *w = world_new("--profile a100 --count 1");
	nvmlReturn_t activation = NVML_SUCCESS;
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	unsigned int current;
	unsigned int pending;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	assert_int_equal(make(w, d, ID_1G, 0, &gi), NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlDeviceSetMigMode(d, 1, &activation), NVML_SUCCESS);
	assert_int_equal(activation, NVML_ERROR_RESET_REQUIRED);
	assert_int_equal(w->fn.nvmlDeviceGetMigMode(d, &current, &pending), NVML_SUCCESS);
	assert_int_equal(current * 10 + pending, 1);
	world_do(w, "reset --gpu 0");
	assert_int_equal(w->fn.nvmlDeviceGetMigMode(d, &current, &pending), NVML_SUCCESS);
	assert_int_equal(current * 10 + pending, 11);
	assert_int_equal(make(w, d, ID_1G, 0, &gi), NVML_SUCCESS);
	world_free(w);
}

static void mode_waits_for_idle_on_hopper(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	nvmlReturn_t activation = NVML_SUCCESS;
	nvmlDevice_t d;

	(void)state;
	w->fn.nvmlInit_v2();
	d = world_gpu(w, 0);
	world_do(w, "proc --gpu 0 --pid 1");
	assert_int_equal(w->fn.nvmlDeviceSetMigMode(d, 1, &activation), NVML_SUCCESS);
	assert_int_equal(activation, NVML_ERROR_IN_USE);
	world_do(w, "proc --gpu 0 --pid 0");
	assert_int_equal(w->fn.nvmlDeviceSetMigMode(d, 1, &activation), NVML_SUCCESS);
	assert_int_equal(activation, NVML_SUCCESS);
	world_free(w);
}

static void overlap_is_refused(void **state)
{
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	struct world *w = mig_world("--profile h100 --count 1", &d);
	nvmlGpuInstancePlacement_t odd = { 1, 2 };
	unsigned int n;

	(void)state;
	assert_int_equal(make(w, d, ID_3G, 0, &gi), NVML_SUCCESS);
	assert_int_equal(make(w, d, ID_1G, 2, &gi), NVML_ERROR_INSUFFICIENT_RESOURCES);
	assert_int_equal(make(w, d, ID_4G, 0, &gi), NVML_ERROR_INSUFFICIENT_RESOURCES);
	assert_int_equal(make(w, d, ID_7G, 0, &gi), NVML_ERROR_INSUFFICIENT_RESOURCES);
	assert_int_equal(make(w, d, ID_2G, 4, &gi), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstanceRemainingCapacity(d, ID_1G, &n),
			 NVML_SUCCESS);
	assert_int_equal(n, 1);
	assert_int_equal(make(w, d, ID_1G_ME, 6, &gi), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstanceRemainingCapacity(d, ID_1G, &n),
			 NVML_SUCCESS);
	assert_int_equal(n, 0);
	assert_int_equal(w->fn.nvmlDeviceCreateGpuInstanceWithPlacement(d, ID_2G, &odd, &gi),
			 NVML_ERROR_INVALID_ARGUMENT);
	world_free(w);
}

static void seven_small_ones_and_one_media_engine(void **state)
{
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	struct world *w = mig_world("--profile h100 --count 1", &d);
	unsigned int i;

	(void)state;
	assert_int_equal(make(w, d, ID_1G_ME, 0, &gi), NVML_SUCCESS);
	assert_int_equal(make(w, d, ID_1G_ME, 1, &gi), NVML_ERROR_INSUFFICIENT_RESOURCES);
	for (i = 1; i < 7; i++)
		assert_int_equal(w->fn.nvmlDeviceCreateGpuInstance(d, ID_1G, &gi), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceCreateGpuInstance(d, ID_1G, &gi),
			 NVML_ERROR_INSUFFICIENT_RESOURCES);
	world_free(w);
}

static void a_device_lives_and_dies(void **state)
{
	nvmlComputeInstanceInfo_t ci_info;
	nvmlComputeInstance_t ci;
	nvmlGpuInstanceInfo_t info;
	nvmlDeviceAttributes_t attributes;
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	nvmlDevice_t other;
	struct world *w = mig_world("--profile h100 --count 1", &d);
	char first[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
	char second[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
	unsigned int n;

	(void)state;
	assert_int_equal(make(w, d, ID_2G, 2, &gi), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlGpuInstanceGetInfo(gi, &info), NVML_SUCCESS);
	assert_int_equal(info.id, 4); /* 3 + 2 / 2 */
	assert_int_equal(info.profileId, ID_2G);
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(
			     gi, NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE, &ci),
			 NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlComputeInstanceGetInfo_v2(ci, &ci_info), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetUUID(ci_info.device, first, sizeof(first)),
			 NVML_SUCCESS);
	assert_memory_equal(first, "MIG-", 4);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByUUID(first, &other), NVML_SUCCESS);
	assert_ptr_equal(other, ci_info.device);
	assert_int_equal(w->fn.nvmlDeviceGetAttributes_v2(other, &attributes), NVML_SUCCESS);
	assert_int_equal(attributes.multiprocessorCount, 32);
	assert_int_equal(attributes.memorySizeMB, 20096);
	assert_int_equal(w->fn.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(other, &other),
			 NVML_SUCCESS);
	assert_ptr_equal(other, d);
	assert_int_equal(w->fn.nvmlDeviceGetMigDeviceHandleByIndex(d, 0, &other), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetMigDeviceHandleByIndex(d, 1, &other),
			 NVML_ERROR_NOT_FOUND);
	assert_int_equal(w->fn.nvmlDeviceGetMigDeviceHandleByIndex(d, 7, &other),
			 NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(ci_info.device, &n),
			 NVML_ERROR_NOT_SUPPORTED);

	assert_int_equal(w->fn.nvmlGpuInstanceDestroy(gi), NVML_ERROR_IN_USE);
	assert_int_equal(w->fn.nvmlComputeInstanceDestroy(ci), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlComputeInstanceDestroy(ci), NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlDeviceGetUUID(ci_info.device, second, sizeof(second)),
			 NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(
			     gi, NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE, &ci),
			 NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlComputeInstanceGetInfo_v2(ci, &ci_info), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetUUID(ci_info.device, second, sizeof(second)),
			 NVML_SUCCESS);
	assert_string_not_equal(first, second);
	world_free(w);
}

static void capability_files_follow(void **state)
{
	nvmlComputeInstance_t ci;
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	struct world *w = mig_world("--profile h100 --count 1", &d);

	(void)state;
	assert_int_equal(make(w, d, ID_1G, 0, &gi), NVML_SUCCESS);
	/* minor 0: 3 + 7 * 9 for GPU instance 7, one more for its compute instance 0 */
	assert_true(world_has(w, "proc/driver/nvidia/capabilities/gpu0/mig/gi7/access"));
	assert_true(world_has(w, "dev/nvidia-caps/nvidia-cap66"));
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(gi, 0, &ci), NVML_SUCCESS);
	assert_true(world_has(w, "proc/driver/nvidia/capabilities/gpu0/mig/gi7/ci0/access"));
	assert_true(world_has(w, "dev/nvidia-caps/nvidia-cap67"));
	assert_int_equal(w->fn.nvmlComputeInstanceDestroy(ci), NVML_SUCCESS);
	assert_false(world_has(w, "dev/nvidia-caps/nvidia-cap67"));
	assert_int_equal(w->fn.nvmlGpuInstanceDestroy(gi), NVML_SUCCESS);
	assert_false(world_has(w, "proc/driver/nvidia/capabilities/gpu0/mig/gi7"));
	world_free(w);
}

static void compute_instances_share_a_gpu_instance(void **state)
{
	nvmlComputeInstanceProfileInfo_t info;
	nvmlComputeInstance_t ci[2];
	nvmlGpuInstance_t gi;
	nvmlDevice_t d;
	struct world *w = mig_world("--profile b200 --count 1", &d);

	(void)state;
	assert_int_equal(make(w, d, ID_3G, 4, &gi), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, 1, 0, &info),
			 NVML_SUCCESS);
	assert_int_equal(info.sliceCount, 2);
	assert_int_equal(w->fn.nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, 3, 0, &info),
			 NVML_ERROR_NOT_SUPPORTED);
	assert_int_equal(w->fn.nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, 1, 1, &info),
			 NVML_ERROR_INVALID_ARGUMENT);
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(gi, 1, &ci[0]), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(gi, 1, &ci[1]),
			 NVML_ERROR_INSUFFICIENT_RESOURCES);
	assert_int_equal(w->fn.nvmlGpuInstanceCreateComputeInstance(gi, 0, &ci[1]), NVML_SUCCESS);
	world_free(w);
}

/* What the command line makes is what the library lists. */
static void static_mig_by_tool(void **state)
{
	struct world *w = world_new("--profile a100 --count 2");
	nvmlGpuInstance_t gi[7];
	nvmlDevice_t mig;
	unsigned int n;

	(void)state;
	world_do(w, "mig --gpu 1 14:0 19:6");
	w->fn.nvmlInit_v2();
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstances(world_gpu(w, 1), ID_2G, gi, &n),
			 NVML_SUCCESS);
	assert_int_equal(n, 1);
	assert_int_equal(w->fn.nvmlDeviceGetMigDeviceHandleByIndex(world_gpu(w, 1), 1, &mig),
			 NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetGpuInstances(world_gpu(w, 0), ID_2G, gi, &n),
			 NVML_ERROR_NOT_SUPPORTED);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placements_are_those_of_hardware),
		cmocka_unit_test(profile_infos),
		cmocka_unit_test(mode_waits_for_a_reset_on_ampere),
		cmocka_unit_test(mode_waits_for_idle_on_hopper),
		cmocka_unit_test(overlap_is_refused),
		cmocka_unit_test(seven_small_ones_and_one_media_engine),
		cmocka_unit_test(a_device_lives_and_dies),
		cmocka_unit_test(capability_files_follow),
		cmocka_unit_test(compute_instances_share_a_gpu_instance),
		cmocka_unit_test(static_mig_by_tool),
	};

	/* "Privileged" for whoever runs the tests. */
	setenv("FAKENVML_PRIVILEGED", "1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
