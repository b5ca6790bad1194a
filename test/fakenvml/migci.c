/* MIG: compute instances inside a GPU instance, and the MIG devices they make. */
#include <stdio.h>
#include <string.h>

#include "test/fakenvml/mig.h"

/* Deterministic, and another one for every incarnation. FNV-1a twice over who and which. */
void mig_uuid(const struct state_gpu *g, const struct state_gi *gi, const struct state_ci *ci,
	      char out[MIG_UUID_LEN])
{
	char seed[128];
	uint64_t h[2] = { 0xcbf29ce484222325ull, 0x84222325cbf29ce4ull };
	const char *p;
	int i;

	snprintf(seed, sizeof(seed), "%s/%u/%u/%u", g->uuid, gi->id, ci->id, ci->serial);
	for (i = 0; i < 2; i++)
		for (p = seed; *p != '\0'; p++)
			h[i] = (h[i] ^ (unsigned char)*p) * 0x100000001b3ull;
	snprintf(out, MIG_UUID_LEN, "MIG-%08x-%04x-5%03x-a%03x-%012llx", (unsigned int)(h[0] >> 32),
		 (unsigned int)(h[0] >> 16 & 0xffff), (unsigned int)(h[0] & 0xfff),
		 (unsigned int)(h[1] >> 48 & 0xfff),
		 (unsigned long long)(h[1] & 0xffffffffffffull));
}

nvmlDevice_t mig_handle(const struct call *c)
{
	return handle_ptr(handle_make(HANDLE_MIG, c->slot, (uint32_t)(c->gi - c->gpu->gi),
				      (uint32_t)(c->ci - c->gi->ci), c->ci->serial));
}

static nvmlComputeInstance_t ci_handle(const struct call *c, const struct state_ci *ci)
{
	return handle_ptr(handle_make(HANDLE_CI, c->slot, (uint32_t)(c->gi - c->gpu->gi),
				      (uint32_t)(ci - c->gi->ci), ci->serial));
}

static const struct model_gi *gi_model(const struct call *c)
{
	return model_gi_by_profile(c->model, c->gi->profile);
}

static nvmlReturn_t ci_profile(const struct call *c, uint32_t profile, uint32_t eng,
			       uint32_t *slices)
{
	if (profile >= NVML_COMPUTE_INSTANCE_PROFILE_COUNT ||
	    eng != NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED)
		return NVML_ERROR_INVALID_ARGUMENT;
	*slices = model_ci_slices(profile);
	if (*slices == 0 || *slices > gi_model(c)->slices)
		return NVML_ERROR_NOT_SUPPORTED;
	return NVML_SUCCESS;
}

/* A CI's id is its profile's enum (0, 1, 2, 3, 4 on hardware). A part of a GPU instance gets the
 * SMs of that many of its slices, the whole gets all of them, engines are shared. */
static nvmlComputeInstanceProfileInfo_t ci_info(const struct call *c, uint32_t profile,
						uint32_t slices)
{
	const struct model_gi *p = gi_model(c);
	uint32_t starts[MODEL_MEM_SLICES];

	return (nvmlComputeInstanceProfileInfo_t){
		.id = profile,
		.sliceCount = slices,
		.instanceCount = model_ci_starts(slices, p->slices, starts),
		.multiprocessorCount = slices == p->slices ? p->sm : p->sm / p->slices * slices,
		.sharedCopyEngineCount = p->copy,
		.sharedDecoderCount = p->dec,
		.sharedJpegCount = p->jpeg,
		.sharedOfaCount = p->ofa,
	};
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfo(nvmlGpuInstance_t gpuInstance,
							  unsigned int profile,
							  unsigned int engProfile,
							  nvmlComputeInstanceProfileInfo_t *info)
{
	uint32_t slices;
	struct call c;
	nvmlReturn_t rc =
	    call_gi(&c, FN_nvmlGpuInstanceGetComputeInstanceProfileInfo, gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = info == NULL ? NVML_ERROR_INVALID_ARGUMENT
			  : ci_profile(&c, profile, engProfile, &slices);
	if (rc == NVML_SUCCESS)
		*info = ci_info(&c, profile, slices);
	return call_end(&c, rc, info, sizeof(*info));
}

/* v3 is v2 and one more word. */
nvmlReturn_t nvmlGpuInstanceGetComputeInstanceProfileInfoV(
    nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile,
    nvmlComputeInstanceProfileInfo_v2_t *info)
{
	nvmlComputeInstanceProfileInfo_v3_t v3;
	nvmlComputeInstanceProfileInfo_t v1;
	unsigned int version;
	uint32_t slices;
	size_t n;
	struct call c;
	nvmlReturn_t rc =
	    call_gi(&c, FN_nvmlGpuInstanceGetComputeInstanceProfileInfoV, gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = info == NULL ? NVML_ERROR_INVALID_ARGUMENT
			  : ci_profile(&c, profile, engProfile, &slices);
	if (rc != NVML_SUCCESS)
		return call_end(&c, rc, NULL, 0);
	version = info->version;
	if (version != nvmlComputeInstanceProfileInfo_v2 &&
	    version != nvmlComputeInstanceProfileInfo_v3)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	n = version == nvmlComputeInstanceProfileInfo_v3 ? sizeof(v3) : sizeof(*info);
	v1 = ci_info(&c, profile, slices);
	v3 = (nvmlComputeInstanceProfileInfo_v3_t){ .version = version };
	memcpy(&v3.id, &v1, sizeof(v1)); /* the same nine words in the same order */
	snprintf(v3.name, sizeof(v3.name), "MIG %uc.%s", slices, gi_model(&c)->name + 4);
	if (slices == gi_model(&c)->slices)
		snprintf(v3.name, sizeof(v3.name), "%s", gi_model(&c)->name);
	memcpy(info, &v3, n);
	return call_end(&c, rc, info, n);
}

static uint32_t ci_taken(const struct call *c)
{
	uint32_t bits = 0;
	uint32_t i;

	for (i = 0; i < STATE_CIS; i++)
		if (c->gi->ci[i].used)
			bits |= ((1u << c->gi->ci[i].size) - 1) << c->gi->ci[i].start;
	return bits;
}

/* Possible starts of profileId in this GI; only_free: those not taken. */
static nvmlReturn_t ci_starts(const struct call *c, uint32_t id, bool only_free,
			      uint32_t starts[MODEL_MEM_SLICES], uint32_t *n, uint32_t *slices)
{
	uint32_t all[MODEL_MEM_SLICES];
	uint32_t taken = only_free ? ci_taken(c) : 0;
	uint32_t count;
	uint32_t i;
	nvmlReturn_t rc = ci_profile(c, id, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, slices);

	if (rc != NVML_SUCCESS)
		return rc;
	count = model_ci_starts(*slices, gi_model(c)->slices, all);
	*n = 0;
	for (i = 0; i < count; i++)
		if ((taken & (((1u << *slices) - 1) << all[i])) == 0)
			starts[(*n)++] = all[i];
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceRemainingCapacity(nvmlGpuInstance_t gpuInstance,
								unsigned int profileId,
								unsigned int *count)
{
	uint32_t starts[MODEL_MEM_SLICES];
	uint32_t slices;
	struct call c;
	nvmlReturn_t rc = call_gi(&c, FN_nvmlGpuInstanceGetComputeInstanceRemainingCapacity,
				  gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = count == NULL ? NVML_ERROR_INVALID_ARGUMENT
			   : ci_starts(&c, profileId, true, starts, count, &slices);
	return call_end(&c, rc, count, sizeof(*count));
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstancePossiblePlacements(
    nvmlGpuInstance_t gpuInstance, unsigned int profileId,
    nvmlComputeInstancePlacement_t *placements, unsigned int *count)
{
	uint32_t starts[MODEL_MEM_SLICES];
	uint32_t slices;
	uint32_t n;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_gi(&c, FN_nvmlGpuInstanceGetComputeInstancePossiblePlacements,
				  gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = count == NULL ? NVML_ERROR_INVALID_ARGUMENT
			   : ci_starts(&c, profileId, false, starts, &n, &slices);
	if (rc != NVML_SUCCESS)
		return call_end(&c, rc, NULL, 0);
	for (i = 0; placements != NULL && i < n; i++)
		placements[i] = (nvmlComputeInstancePlacement_t){ starts[i], slices };
	*count = n;
	return call_end(&c, rc, count, sizeof(*count));
}

static nvmlReturn_t ci_create(enum state_fn fn, nvmlGpuInstance_t gpuInstance, uint32_t id,
			      const nvmlComputeInstancePlacement_t *at, bool fixed,
			      nvmlComputeInstance_t *out)
{
	uint32_t starts[MODEL_MEM_SLICES];
	uint32_t slices;
	uint32_t free_slot = 0;
	uint32_t n;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_gi(&c, fn, gpuInstance, CALL_WRITE | CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if (out == NULL || (fixed && at == NULL))
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	rc = ci_starts(&c, id, true, starts, &n, &slices);
	if (rc != NVML_SUCCESS)
		return call_end(&c, rc, NULL, 0);
	for (i = 0; fixed && i < n && starts[i] != at->start; i++)
		;
	while (free_slot < STATE_CIS && c.gi->ci[free_slot].used)
		free_slot++;
	if ((fixed ? i : 0) >= n || free_slot == STATE_CIS)
		return call_end(&c, NVML_ERROR_INSUFFICIENT_RESOURCES, NULL, 0);
	c.ci = &c.gi->ci[free_slot];
	*c.ci = (struct state_ci){ .used = 1,
				   .id = free_slot,
				   .profile = id,
				   .start = starts[fixed ? i : 0],
				   .size = slices,
				   .serial = ++c.gpu->next_serial };
	caps_add(call_map(), c.gpu, c.gi, c.ci);
	*out = ci_handle(&c, c.ci);
	return call_end(&c, rc, out, HANDLE_BYTES);
}

nvmlReturn_t nvmlGpuInstanceCreateComputeInstance(nvmlGpuInstance_t gpuInstance,
						  unsigned int profileId,
						  nvmlComputeInstance_t *computeInstance)
{
	return ci_create(FN_nvmlGpuInstanceCreateComputeInstance, gpuInstance, profileId, NULL,
			 false, computeInstance);
}

nvmlReturn_t nvmlGpuInstanceCreateComputeInstanceWithPlacement(
    nvmlGpuInstance_t gpuInstance, unsigned int profileId,
    const nvmlComputeInstancePlacement_t *placement, nvmlComputeInstance_t *computeInstance)
{
	return ci_create(FN_nvmlGpuInstanceCreateComputeInstanceWithPlacement, gpuInstance,
			 profileId, placement, true, computeInstance);
}

nvmlReturn_t nvmlComputeInstanceDestroy(nvmlComputeInstance_t computeInstance)
{
	uint32_t i;
	struct call c;
	nvmlReturn_t rc =
	    call_ci(&c, FN_nvmlComputeInstanceDestroy, computeInstance, CALL_WRITE | CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	for (i = 0; i < STATE_PROCS; i++)
		if (c.gpu->proc[i].pid != 0 && c.gpu->proc[i].gi == c.gi->id &&
		    c.gpu->proc[i].ci == c.ci->id)
			return call_end(&c, NVML_ERROR_IN_USE, NULL, 0);
	caps_remove(call_map(), c.gpu, c.gi, c.ci);
	c.ci->used = 0;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t gpuInstance,
						unsigned int profileId,
						nvmlComputeInstance_t *computeInstances,
						unsigned int *count)
{
	uint32_t i;
	struct call c;
	nvmlReturn_t rc =
	    call_gi(&c, FN_nvmlGpuInstanceGetComputeInstances, gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if (computeInstances == NULL || count == NULL || model_ci_slices(profileId) == 0)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*count = 0;
	for (i = 0; i < STATE_CIS; i++)
		if (c.gi->ci[i].used && c.gi->ci[i].profile == profileId)
			computeInstances[(*count)++] = ci_handle(&c, &c.gi->ci[i]);
	return call_end(&c, rc, count, sizeof(*count));
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t gpuInstance, unsigned int id,
						   nvmlComputeInstance_t *computeInstance)
{
	uint32_t i;
	struct call c;
	nvmlReturn_t rc =
	    call_gi(&c, FN_nvmlGpuInstanceGetComputeInstanceById, gpuInstance, CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if (computeInstance == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	rc = NVML_ERROR_NOT_FOUND;
	for (i = 0; i < STATE_CIS; i++)
		if (c.gi->ci[i].used && c.gi->ci[i].id == id) {
			*computeInstance = ci_handle(&c, &c.gi->ci[i]);
			rc = NVML_SUCCESS;
		}
	return call_end(&c, rc, computeInstance, HANDLE_BYTES);
}

nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t computeInstance,
					   nvmlComputeInstanceInfo_t *info)
{
	struct call c;
	nvmlReturn_t rc = call_ci(&c, FN_nvmlComputeInstanceGetInfo_v2, computeInstance, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (info == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*info = (nvmlComputeInstanceInfo_t){
		.device = mig_handle(&c),
		.gpuInstance = handle_ptr(
		    handle_make(HANDLE_GI, c.slot, (uint32_t)(c.gi - c.gpu->gi), 0, c.gi->serial)),
		.id = c.ci->id,
		.profileId = c.ci->profile,
		.placement = { c.ci->start, c.ci->size },
	};
	return call_end(&c, rc, info, sizeof(*info));
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *isMigDevice)
{
	struct call c;
	nvmlReturn_t rc =
	    call_gpu(&c, FN_nvmlDeviceIsMigDeviceHandle, device, CALL_MIG_OK | CALL_LOST_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (isMigDevice == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*isMigDevice = c.ci != NULL;
	return call_end(&c, rc, isMigDevice, sizeof(*isMigDevice));
}

/* MIG devices in index order. A destroyed instance leaves its index empty while there is room, as
 * on hardware: a caller that stops at the first hole misses devices. */
static bool mig_at(struct call *c, unsigned int index)
{
	uint32_t holes = MODEL_MIG_MAX;
	uint32_t at = 0;
	uint32_t i;

	for (i = 0; i < STATE_GIS * STATE_CIS; i++)
		if (c->gpu->gi[i / STATE_CIS].used &&
		    c->gpu->gi[i / STATE_CIS].ci[i % STATE_CIS].used)
			holes--;
	for (i = 0; i < STATE_GIS * STATE_CIS; i++) {
		c->gi = &c->gpu->gi[i / STATE_CIS];
		c->ci = &c->gi->ci[i % STATE_CIS];
		if (c->gi->used && c->ci->used) {
			if (at++ == index)
				return true;
		} else if (!c->gi->used && i % STATE_CIS == 0 && holes > 0) {
			holes--;
			at++;
		}
	}
	return false;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index,
						 nvmlDevice_t *migDevice)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetMigDeviceHandleByIndex, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c.model->gi == NULL || !c.gpu->mig_current)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	if (migDevice == NULL || index >= MODEL_MIG_MAX)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (!mig_at(&c, index))
		return call_end(&c, NVML_ERROR_NOT_FOUND, NULL, 0);
	*migDevice = mig_handle(&c);
	return call_end(&c, rc, migDevice, HANDLE_BYTES);
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t migDevice,
							  nvmlDevice_t *device)
{
	struct call c;
	nvmlReturn_t rc =
	    call_gpu(&c, FN_nvmlDeviceGetDeviceHandleFromMigDeviceHandle, migDevice, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (device == NULL || c.ci == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*device = call_gpu_handle(c.slot);
	return call_end(&c, rc, device, HANDLE_BYTES);
}

static nvmlReturn_t mig_id(enum state_fn fn, nvmlDevice_t device, unsigned int *id, bool ci)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, fn, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (id == NULL || c.ci == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*id = ci ? c.ci->id : c.gi->id;
	return call_end(&c, rc, id, sizeof(*id));
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
	return mig_id(FN_nvmlDeviceGetGpuInstanceId, device, id, false);
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
	return mig_id(FN_nvmlDeviceGetComputeInstanceId, device, id, true);
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	nvmlComputeInstanceProfileInfo_t ci;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetAttributes_v2, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (attributes == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (c.ci == NULL)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	ci = ci_info(&c, c.ci->profile, c.ci->size);
	*attributes = (nvmlDeviceAttributes_t){
		.multiprocessorCount = ci.multiprocessorCount,
		.sharedCopyEngineCount = ci.sharedCopyEngineCount,
		.sharedDecoderCount = ci.sharedDecoderCount,
		.sharedJpegCount = ci.sharedJpegCount,
		.sharedOfaCount = ci.sharedOfaCount,
		.gpuInstanceSliceCount = gi_model(&c)->slices,
		.computeInstanceSliceCount = c.ci->size,
		.memorySizeMB = gi_model(&c)->mib,
	};
	return call_end(&c, rc, attributes, sizeof(*attributes));
}
