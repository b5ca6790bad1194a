/* MIG: mode, GPU instances and their placement. Compute instances and MIG devices: migci.c. */
#include "test/fakenvml/mig.h"

#include <stdio.h>
#include <string.h>

#include "test/fakenvml/call.h"

static bool gpu_busy(const struct state_gpu *g)
{
	uint32_t i;

	for (i = 0; i < STATE_GIS; i++)
		if (g->gi[i].used)
			return true;
	for (i = 0; i < STATE_PROCS; i++)
		if (g->proc[i].pid != 0)
			return true;
	return false;
}

/* MIG needs the feature, and for most calls the mode. */
static nvmlReturn_t call_mig(struct call *c, enum state_fn fn, nvmlDevice_t device,
			     unsigned int flags, bool mode)
{
	nvmlReturn_t rc = call_gpu(c, fn, device, flags);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c->model->gi == NULL || (mode && !c->gpu->mig_current))
		return call_end(c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode,
				  unsigned int *pendingMode)
{
	struct call c;
	nvmlReturn_t rc = call_mig(&c, FN_nvmlDeviceGetMigMode, device, 0, false);

	if (rc != NVML_SUCCESS)
		return rc;
	if (currentMode == NULL || pendingMode == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*currentMode = c.gpu->mig_current;
	*pendingMode = c.gpu->mig_pending;
	return call_end(&c, rc, currentMode, sizeof(*currentMode));
}

/* From Hopper on the mode changes at once if nobody uses the GPU; on Ampere it waits for a reset.
 */
nvmlReturn_t nvmlDeviceSetMigMode(nvmlDevice_t device, unsigned int mode,
				  nvmlReturn_t *activationStatus)
{
	struct call c;
	nvmlReturn_t rc =
	    call_mig(&c, FN_nvmlDeviceSetMigMode, device, CALL_WRITE | CALL_ROOT, false);

	if (rc != NVML_SUCCESS)
		return rc;
	if (mode > NVML_DEVICE_MIG_ENABLE || activationStatus == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (c.gpu->virt_mode == NVML_GPU_VIRTUALIZATION_MODE_VGPU)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	*activationStatus = NVML_SUCCESS;
	c.gpu->mig_pending = mode;
	if (mode == c.gpu->mig_current)
		return call_end(&c, rc, NULL, 0);
	if (gpu_busy(c.gpu))
		*activationStatus = NVML_ERROR_IN_USE;
	else if (c.model->arch < NVML_DEVICE_ARCH_HOPPER ||
		 c.gpu->virt_mode == NVML_GPU_VIRTUALIZATION_MODE_PASSTHROUGH)
		*activationStatus = NVML_ERROR_RESET_REQUIRED;
	else
		c.gpu->mig_current = mode;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetMaxMigDeviceCount, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (count == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*count = c.model->gi != NULL ? MODEL_MIG_MAX : 0;
	return call_end(&c, rc, count, sizeof(*count));
}

/* The profile, or why not: an unknown enum is a bad argument, a known one may not be supported. */
static nvmlReturn_t find_profile(const struct call *c, uint32_t profile,
				 const struct model_gi **out)
{
	if (profile >= NVML_GPU_INSTANCE_PROFILE_COUNT)
		return NVML_ERROR_INVALID_ARGUMENT;
	*out = model_gi_by_profile(c->model, profile);
	return *out != NULL ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned int profile,
						 nvmlGpuInstanceProfileInfo_t *info)
{
	const struct model_gi *p;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, FN_nvmlDeviceGetGpuInstanceProfileInfo, device, 0, false);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = info == NULL ? NVML_ERROR_INVALID_ARGUMENT : find_profile(&c, profile, &p);
	if (rc == NVML_SUCCESS)
		*info = (nvmlGpuInstanceProfileInfo_t){ .id = p->id,
							.sliceCount = p->slices,
							.instanceCount = p->instances,
							.multiprocessorCount = p->sm,
							.copyEngineCount = p->copy,
							.decoderCount = p->dec,
							.jpegCount = p->jpeg,
							.ofaCount = p->ofa,
							.memorySizeMB = p->mib };
	return call_end(&c, rc, info, sizeof(*info));
}

static void fill_v3(const struct model_gi *p, nvmlGpuInstanceProfileInfo_v3_t *info)
{
	*info = (nvmlGpuInstanceProfileInfo_v3_t){ .version = nvmlGpuInstanceProfileInfo_v3,
						   .id = p->id,
						   .sliceCount = p->slices,
						   .instanceCount = p->instances,
						   .multiprocessorCount = p->sm,
						   .copyEngineCount = p->copy,
						   .decoderCount = p->dec,
						   .jpegCount = p->jpeg,
						   .ofaCount = p->ofa,
						   .memorySizeMB = p->mib };
	snprintf(info->name, sizeof(info->name), "%s", p->name);
}

/* v2 and v3 are as long as each other; only the version tells which layout the caller reads. */
static nvmlReturn_t fill_v(const struct model_gi *p, nvmlGpuInstanceProfileInfo_v2_t *info)
{
	nvmlGpuInstanceProfileInfo_v3_t v3;

	fill_v3(p, &v3);
	if (info->version == nvmlGpuInstanceProfileInfo_v3) {
		memcpy(info, &v3, sizeof(v3));
		return NVML_SUCCESS;
	}
	if (info->version != nvmlGpuInstanceProfileInfo_v2)
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	*info = (nvmlGpuInstanceProfileInfo_v2_t){ .version = nvmlGpuInstanceProfileInfo_v2,
						   .id = v3.id,
						   .sliceCount = v3.sliceCount,
						   .instanceCount = v3.instanceCount,
						   .multiprocessorCount = v3.multiprocessorCount,
						   .copyEngineCount = v3.copyEngineCount,
						   .decoderCount = v3.decoderCount,
						   .jpegCount = v3.jpegCount,
						   .ofaCount = v3.ofaCount,
						   .memorySizeMB = v3.memorySizeMB };
	memcpy(info->name, v3.name, sizeof(info->name));
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoV(nvmlDevice_t device, unsigned int profile,
						  nvmlGpuInstanceProfileInfo_v2_t *info)
{
	const struct model_gi *p;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, FN_nvmlDeviceGetGpuInstanceProfileInfoV, device, 0, false);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = info == NULL ? NVML_ERROR_INVALID_ARGUMENT : find_profile(&c, profile, &p);
	if (rc == NVML_SUCCESS)
		rc = fill_v(p, info);
	return call_end(&c, rc, info, sizeof(*info));
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfoByIdV(nvmlDevice_t device, unsigned int profileId,
						      nvmlGpuInstanceProfileInfo_v2_t *info)
{
	const struct model_gi *p;
	struct call c;
	nvmlReturn_t rc =
	    call_mig(&c, FN_nvmlDeviceGetGpuInstanceProfileInfoByIdV, device, 0, false);

	if (rc != NVML_SUCCESS)
		return rc;
	p = model_gi_by_id(c.model, profileId);
	if (info == NULL)
		rc = NVML_ERROR_INVALID_ARGUMENT;
	else
		rc = p == NULL ? NVML_ERROR_NOT_SUPPORTED : fill_v(p, info);
	return call_end(&c, rc, info, sizeof(*info));
}

static nvmlReturn_t placements(enum state_fn fn, nvmlDevice_t device, unsigned int id,
			       nvmlGpuInstancePlacement_t *out, unsigned int *count, bool v2)
{
	uint32_t starts[MODEL_MEM_SLICES];
	const struct model_gi *p;
	uint32_t n;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, fn, device, CALL_ROOT, !v2);

	if (rc != NVML_SUCCESS)
		return rc;
	if (count == NULL || (out == NULL && !v2))
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	p = model_gi_by_id(c.model, id);
	if (p == NULL)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	n = model_gi_starts(p, starts);
	/* The caller's count is not read: the contract is a buffer that is large enough. */
	for (i = 0; out != NULL && i < n; i++)
		out[i] = (nvmlGpuInstancePlacement_t){ starts[i], model_gi_size(p) };
	*count = n;
	return call_end(&c, rc, count, sizeof(*count));
}

/* The old one needs a buffer, and MIG mode. */
nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements(nvmlDevice_t device, unsigned int profileId,
							nvmlGpuInstancePlacement_t *out,
							unsigned int *count)
{
	return placements(FN_nvmlDeviceGetGpuInstancePossiblePlacements, device, profileId, out,
			  count, false);
}

nvmlReturn_t nvmlDeviceGetGpuInstancePossiblePlacements_v2(nvmlDevice_t device,
							   unsigned int profileId,
							   nvmlGpuInstancePlacement_t *out,
							   unsigned int *count)
{
	return placements(FN_nvmlDeviceGetGpuInstancePossiblePlacements_v2, device, profileId, out,
			  count, true);
}

/* What the instances of a GPU take of it. */
struct taken {
	uint32_t memory; /* bit per memory slice */
	uint32_t slices;
	uint32_t copy;
	uint32_t dec;
	uint32_t jpeg;
	uint32_t ofa;
};

static uint32_t slice_bits(uint32_t start, uint32_t size)
{
	return ((1u << size) - 1) << start;
}

static void take(struct taken *t, const struct model_gi *p, uint32_t start)
{
	t->memory |= slice_bits(start, model_gi_size(p));
	t->slices += p->slices;
	t->copy += p->copy;
	t->dec += p->dec;
	t->jpeg += p->jpeg;
	t->ofa += p->ofa;
}

static struct taken taken_of(const struct call *c)
{
	struct taken t = { 0 };
	uint32_t i;

	for (i = 0; i < STATE_GIS; i++)
		if (c->gpu->gi[i].used)
			take(&t, model_gi_by_profile(c->model, c->gpu->gi[i].profile),
			     c->gpu->gi[i].start);
	return t;
}

/* Free memory slices, compute slices and media engines: the whole-GPU profile has them all. */
static bool fits(const struct call *c, const struct taken *t, const struct model_gi *p,
		 uint32_t start)
{
	const struct model_gi *all = model_gi_by_id(c->model, 0);

	return (t->memory & slice_bits(start, model_gi_size(p))) == 0 &&
	       t->slices + p->slices <= all->slices && t->copy + p->copy <= all->copy &&
	       t->dec + p->dec <= all->dec && t->jpeg + p->jpeg <= all->jpeg &&
	       t->ofa + p->ofa <= all->ofa;
}

/* How many more of p could be created now, packed from the left. */
static uint32_t remaining(const struct call *c, const struct model_gi *p)
{
	uint32_t starts[MODEL_MEM_SLICES];
	struct taken t = taken_of(c);
	uint32_t n = model_gi_starts(p, starts);
	uint32_t free_count = 0;
	uint32_t i;

	for (i = 0; i < n && free_count < p->instances; i++)
		if (fits(c, &t, p, starts[i])) {
			take(&t, p, starts[i]);
			free_count++;
		}
	return free_count;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int profileId,
						       unsigned int *count)
{
	const struct model_gi *p;
	struct call c;
	nvmlReturn_t rc =
	    call_mig(&c, FN_nvmlDeviceGetGpuInstanceRemainingCapacity, device, CALL_ROOT, true);

	if (rc != NVML_SUCCESS)
		return rc;
	p = model_gi_by_id(c.model, profileId);
	if (count == NULL)
		rc = NVML_ERROR_INVALID_ARGUMENT;
	else if (p == NULL)
		rc = NVML_ERROR_NOT_SUPPORTED;
	else
		*count = remaining(&c, p);
	return call_end(&c, rc, count, sizeof(*count));
}

/*
 * Ids seen on hardware: whole GPU 0, halves 1 and 2, quarters 3..6, eighths 7..14, so an id is the
 * node of the binary tree over the memory slices. They come back after a destroy.
 */
static uint32_t gi_id(uint32_t start, uint32_t size)
{
	return MODEL_MEM_SLICES / size - 1 + start / size;
}

static nvmlReturn_t gi_create(struct call *c, const struct model_gi *p, uint32_t start)
{
	struct taken t = taken_of(c);
	struct state_gi *gi = NULL;
	uint32_t i;

	for (i = 0; i < STATE_GIS && gi == NULL; i++)
		if (!c->gpu->gi[i].used)
			gi = &c->gpu->gi[i];
	if (gi == NULL || !fits(c, &t, p, start))
		return NVML_ERROR_INSUFFICIENT_RESOURCES;
	*gi = (struct state_gi){ .used = 1,
				 .id = gi_id(start, model_gi_size(p)),
				 .profile = p->profile,
				 .start = start,
				 .size = model_gi_size(p),
				 .serial = ++c->gpu->next_serial };
	c->gi = gi;
	caps_add(call_map(), c->gpu, gi, NULL);
	return NVML_SUCCESS;
}

static nvmlGpuInstance_t gi_handle(const struct call *c, const struct state_gi *gi)
{
	return handle_ptr(
	    handle_make(HANDLE_GI, c->slot, (uint32_t)(gi - c->gpu->gi), 0, gi->serial));
}

/* start == NVML_NO_INSTANCE: wherever it fits. */
static nvmlReturn_t create(enum state_fn fn, nvmlDevice_t device, unsigned int id,
			   const nvmlGpuInstancePlacement_t *at, nvmlGpuInstance_t *out, bool fixed)
{
	uint32_t starts[MODEL_MEM_SLICES];
	const struct model_gi *p;
	uint32_t n;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, fn, device, CALL_WRITE | CALL_ROOT, true);

	if (rc != NVML_SUCCESS)
		return rc;
	p = model_gi_by_id(c.model, id);
	if (out == NULL || p == NULL || (fixed && (at == NULL || at->size != model_gi_size(p))))
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	n = model_gi_starts(p, starts);
	rc = fixed ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_INSUFFICIENT_RESOURCES;
	for (i = 0; i < n; i++) {
		if (fixed && starts[i] != at->start)
			continue;
		rc = gi_create(&c, p, starts[i]);
		if (rc == NVML_SUCCESS)
			break;
	}
	if (rc == NVML_SUCCESS)
		*out = gi_handle(&c, c.gi);
	return call_end(&c, rc, out, HANDLE_BYTES);
}

nvmlReturn_t nvmlDeviceCreateGpuInstance(nvmlDevice_t device, unsigned int profileId,
					 nvmlGpuInstance_t *gpuInstance)
{
	return create(FN_nvmlDeviceCreateGpuInstance, device, profileId, NULL, gpuInstance, false);
}

nvmlReturn_t nvmlDeviceCreateGpuInstanceWithPlacement(nvmlDevice_t device, unsigned int profileId,
						      const nvmlGpuInstancePlacement_t *placement,
						      nvmlGpuInstance_t *gpuInstance)
{
	return create(FN_nvmlDeviceCreateGpuInstanceWithPlacement, device, profileId, placement,
		      gpuInstance, true);
}

static bool gi_busy(const struct call *c)
{
	uint32_t i;

	for (i = 0; i < STATE_CIS; i++)
		if (c->gi->ci[i].used)
			return true;
	for (i = 0; i < STATE_PROCS; i++)
		if (c->gpu->proc[i].pid != 0 && c->gpu->proc[i].gi == c->gi->id)
			return true;
	return false;
}

nvmlReturn_t nvmlGpuInstanceDestroy(nvmlGpuInstance_t gpuInstance)
{
	struct call c;
	nvmlReturn_t rc =
	    call_gi(&c, FN_nvmlGpuInstanceDestroy, gpuInstance, CALL_WRITE | CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if (gi_busy(&c))
		return call_end(&c, NVML_ERROR_IN_USE, NULL, 0);
	caps_remove(call_map(), c.gpu, c.gi, NULL);
	c.gi->used = 0;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned int profileId,
				       nvmlGpuInstance_t *gpuInstances, unsigned int *count)
{
	const struct model_gi *p;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, FN_nvmlDeviceGetGpuInstances, device, CALL_ROOT, true);

	if (rc != NVML_SUCCESS)
		return rc;
	p = model_gi_by_id(c.model, profileId);
	if (p == NULL || gpuInstances == NULL || count == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*count = 0;
	for (i = 0; i < STATE_GIS; i++)
		if (c.gpu->gi[i].used && c.gpu->gi[i].profile == p->profile)
			gpuInstances[(*count)++] = gi_handle(&c, &c.gpu->gi[i]);
	return call_end(&c, rc, count, sizeof(*count));
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id,
					  nvmlGpuInstance_t *gpuInstance)
{
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_mig(&c, FN_nvmlDeviceGetGpuInstanceById, device, CALL_ROOT, true);

	if (rc != NVML_SUCCESS)
		return rc;
	if (gpuInstance == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	rc = NVML_ERROR_NOT_FOUND;
	for (i = 0; i < STATE_GIS; i++)
		if (c.gpu->gi[i].used && c.gpu->gi[i].id == id) {
			*gpuInstance = gi_handle(&c, &c.gpu->gi[i]);
			rc = NVML_SUCCESS;
		}
	return call_end(&c, rc, gpuInstance, HANDLE_BYTES);
}

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t gpuInstance, nvmlGpuInstanceInfo_t *info)
{
	struct call c;
	nvmlReturn_t rc = call_gi(&c, FN_nvmlGpuInstanceGetInfo, gpuInstance, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (info == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*info = (nvmlGpuInstanceInfo_t){
		.device = call_gpu_handle(c.slot),
		.id = c.gi->id,
		.profileId = model_gi_by_profile(c.model, c.gi->profile)->id,
		.placement = { c.gi->start, c.gi->size },
	};
	return call_end(&c, rc, info, sizeof(*info));
}
