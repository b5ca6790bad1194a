/* Opaque configuration: whoever may write a ResourceClaim writes it. */
#include "gpu/nvidia/model/nvidia_config.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gpu_device gpu = { .name = "gpu-0", .kind = GPU_FULL };
	struct sv json = sv_make(data, size);
	struct err e = { "" };
	int fits, check;

	if (size == 0)
		return 0;
	fits = nvidia_config_fits(&gpu, json, &e);
	must(fits == 0 || *e.text);
	e.text[0] = '\0';
	check = nvidia_config_check(&gpu, json, &e);
	must(check == 0 || (check < 0 && *e.text));
	must(check < 0 || fits == 0);
	return 0;
}
