#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "gpu/nvidia/model/nvidia_config.h"

#define HEAD	"{\"apiVersion\":\"resource.nvidia.com/v1beta1\",\"kind\":\"GpuConfig\""
#define SLICING "\"strategy\":\"TimeSlicing\""

static const struct gpu_device gpu = { .name = "gpu-0", .kind = GPU_FULL };

static void test_accepted(void **state)
{
	static const char *const rows[] = {
		"",
		HEAD "}",
		HEAD ",\"sharing\":null}",
		HEAD ",\"sharing\":{" SLICING "}}",
		HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":null,\"mpsConfig\":null}}",
		HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{}}}", /* crashed upstream */
		HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"interval\":null}}}",
		HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"interval\":\"Default\"}}}",
	};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		e.text[0] = '\0';
		if (nvidia_config_check(&gpu, sv_str(rows[i]), &e) != 0)
			fail_msg("%s: %s", rows[i], e.text);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *json, *says;
	} rows[] = {
		{ "{", "" },
		{ "[]", "not an object" },
		{ "{}", "'Kind' is missing" },
		{ "{\"apiVersion\":\"resource.nvidia.com/v1beta1\",\"kind\":\"Nope\"}",
		  "no kind \"Nope\" is registered for version \"resource.nvidia.com/v1beta1\"" },
		{ "{\"apiVersion\":\"resource.nvidia.com/v9\",\"kind\":\"GpuConfig\"}",
		  "no kind \"GpuConfig\" is registered for version \"resource.nvidia.com/v9\"" },
		{ "{\"kind\":\"GpuConfig\"}", "no kind" },
		{ "{\"apiVersion\":\"resource.nvidia.com/v1beta1\",\"kind\":\"MigDeviceConfig\"}",
		  "cannot apply MigDeviceConfig to device \"gpu-0\" of type \"gpu\"" },
		{ HEAD ",\"x\":1}", "strict decoding error: unknown field \"x\"" },
		{ HEAD ",\"sharing\":{" SLICING ",\"y\":1}}", "unknown field \"sharing.y\"" },
		{ HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"z\":1}}}",
		  "unknown field \"sharing.timeSlicingConfig.z\"" },
		{ HEAD ",\"sharing\":7}", "sharing: not an object" },
		{ HEAD ",\"sharing\":{}}", "unknown GPU sharing strategy: , supported GPU sharing "
					   "strategies: TimeSlicing, MPS" },
		{ HEAD ",\"sharing\":{\"strategy\":\"Magic\"}}",
		  "unknown GPU sharing strategy: Magic" },
		{ HEAD ",\"sharing\":{\"strategy\":\"MPS\"}}",
		  "\"MPS\" is selected as the GPU sharing strategy, but the \"MPSSupport\" feature "
		  "gate is not enabled" },
		{ HEAD ",\"sharing\":{" SLICING ",\"mpsConfig\":{}}}", "cannot use MpsConfig" },
		{ HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"interval\":\"Long\"}}}",
		  "\"TimeSlicing\" is selected as the GPU sharing strategy, but the "
		  "\"TimeSlicingSettings\" feature gate is not enabled" },
		{ HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"interval\":\"Huge\"}}}",
		  "unknown time-slice interval: Huge" },
		{ HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":{\"interval\":1}}}",
		  "unknown time-slice interval" },
		{ HEAD ",\"sharing\":{" SLICING ",\"timeSlicingConfig\":[]}}",
		  "sharing.timeSlicingConfig: not an object" },
		{ HEAD ",\"sharing\":null,\"sharing\":null}", "" }, /* twice */
	};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		e.text[0] = '\0';
		if (nvidia_config_check(&gpu, sv_str(rows[i].json), &e) != -EINVAL)
			fail_msg("accepted: %s", rows[i].json);
		if (!*e.text || !strstr(e.text, rows[i].says))
			fail_msg("%s says: %s", rows[i].json, e.text);
		assert_int_equal(nvidia_config_check(&gpu, sv_str(rows[i].json), NULL), -EINVAL);
	}
}

static void test_fits(void **state)
{
	static const struct {
		const char *json;
		int r;
	} rows[] = {
		{ HEAD "}", 0 },
		{ HEAD ",\"sharing\":\"whatever, its kind is what counts\"}", 0 },
		{ "{\"apiVersion\":\"resource.nvidia.com/v1beta1\",\"kind\":\"MigDeviceConfig\"}",
		  1 },
		{ "{\"apiVersion\":\"resource.nvidia.com/v1beta1\",\"kind\":\"VfioDeviceConfig\"}",
		  1 },
		{ "{\"apiVersion\":\"resource.nvidia.com/v1beta1\","
		  "\"kind\":\"ComputeDomainChannelConfig\"}",
		  -EINVAL },
		{ "null", -EINVAL },
		{ "nonsense", -EINVAL },
	};
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(nvidia_config_fits(&gpu, sv_str(rows[i].json), &e), rows[i].r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fits),
	};

	return RUN(tests);
}
