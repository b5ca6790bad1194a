/* The symbol list against both libraries, and the ABI's numbers once more from another hand. */
#include "fixture.h"

static const struct symbol {
	const char *name;
	int required;
	int since;
} symbols[] = {
#define ROW(need, since, ret, name, params) { #name, NVML_##need, since },
	NVML_SYMBOLS(ROW)
#undef ROW
};
enum { SYMBOLS = sizeof(symbols) / sizeof(symbols[0]) };

static void sizes_are_the_abi(void **state)
{
	(void)state;
	assert_int_equal(sizeof(nvmlPciInfo_t), 68);
	assert_int_equal(sizeof(nvmlMemory_t), 24);
	assert_int_equal(sizeof(nvmlMemory_v2_t), 40);
	assert_int_equal(sizeof(nvmlDeviceAttributes_t), 40);
	assert_int_equal(sizeof(nvmlGpuInstanceProfileInfo_t), 48);
	assert_int_equal(sizeof(nvmlGpuInstanceProfileInfo_v2_t), 152);
	assert_int_equal(sizeof(nvmlGpuInstanceProfileInfo_v3_t), 152);
	assert_int_equal(sizeof(nvmlComputeInstanceInfo_t), 32);
	assert_int_equal(sizeof(nvmlEventData_t), 32);
	assert_int_equal(sizeof(nvmlGpuFabricInfo_t), 28);
	assert_int_equal(nvmlMemory_v2, 0x02000028);
	assert_int_equal(nvmlGpuFabricInfo_v3, 0x03000028);
	assert_int_equal(nvmlGpuInstanceProfileInfo_v3, 0x03000098);
	assert_int_equal(nvmlPlatformInfo_v2, 0x0200002c);
	assert_int_equal(nvmlDeviceAddressingMode_v1, 0x01000008);
}

static void names_are_unique(void **state)
{
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < SYMBOLS; i++)
		for (k = i + 1; k < SYMBOLS; k++)
			assert_string_not_equal(symbols[i].name, symbols[k].name);
}

static void new_library_has_all(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	size_t i;

	(void)state;
	for (i = 0; i < SYMBOLS; i++)
		if (dlsym(w->lib, symbols[i].name) == NULL)
			fail_msg("%s is missing", symbols[i].name);
	world_free(w);
}

static void library_525_has_only_its_own(void **state)
{
	struct world *w = world_new("--profile a100 --count 1 --driver 525.147.05");
	size_t i;

	(void)state;
	for (i = 0; i < SYMBOLS; i++) {
		bool has = dlsym(w->lib, symbols[i].name) != NULL;

		if (has != (symbols[i].since <= NVML_SINCE_DRIVER_525))
			fail_msg("%s: %s", symbols[i].name, has ? "too new" : "missing");
		if (symbols[i].required)
			assert_true(has);
	}
	/* Nothing of the fake's own is visible either. */
	assert_null(dlsym(w->lib, "state_open"));
	world_free(w);
}

static void library_525_says_525(void **state)
{
	struct world *w = world_new("--profile a100 --count 1 --driver 525.147.05");
	char version[NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE];
	int cuda;

	(void)state;
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlSystemGetDriverVersion(version, sizeof(version)), NVML_SUCCESS);
	assert_string_equal(version, "525.147.05");
	assert_int_equal(w->fn.nvmlSystemGetCudaDriverVersion_v2(&cuda), NVML_SUCCESS);
	assert_int_equal(cuda, 12000);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_the_abi),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(new_library_has_all),
		cmocka_unit_test(library_525_has_only_its_own),
		cmocka_unit_test(library_525_says_525),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
