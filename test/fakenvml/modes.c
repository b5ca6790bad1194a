/* Switches and counters of a GPU: compute mode, persistence, ECC, processes, virtualization,
 * confidential computing. MIG mode is in mig.c. */
#include "test/fakenvml/call.h"

nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device,
					     nvmlGpuVirtualizationMode_t *pVirtualMode)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetVirtualizationMode, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (pVirtualMode == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*pVirtualMode = (nvmlGpuVirtualizationMode_t)c.gpu->virt_mode;
	return call_end(&c, rc, pVirtualMode, sizeof(*pVirtualMode));
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetComputeMode, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (mode == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*mode = (nvmlComputeMode_t)c.gpu->compute_mode;
	return call_end(&c, rc, mode, sizeof(*mode));
}

/* With MIG on, the mode belongs to MIG devices: the GPU's own handle is refused. */
nvmlReturn_t nvmlDeviceSetComputeMode(nvmlDevice_t device, nvmlComputeMode_t mode)
{
	struct call c;
	nvmlReturn_t rc =
	    call_gpu(&c, FN_nvmlDeviceSetComputeMode, device, CALL_WRITE | CALL_MIG_OK | CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if ((unsigned int)mode > NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)
		rc = NVML_ERROR_INVALID_ARGUMENT;
	else if (mode == NVML_COMPUTEMODE_EXCLUSIVE_THREAD || (c.gpu->mig_current && c.ci == NULL))
		rc = NVML_ERROR_NOT_SUPPORTED;
	else
		c.gpu->compute_mode = mode;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetPersistenceMode, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (mode == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*mode = (nvmlEnableState_t)c.gpu->persistence;
	return call_end(&c, rc, mode, sizeof(*mode));
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t mode)
{
	struct call c;
	nvmlReturn_t rc =
	    call_gpu(&c, FN_nvmlDeviceSetPersistenceMode, device, CALL_WRITE | CALL_ROOT);

	if (rc != NVML_SUCCESS)
		return rc;
	if ((unsigned int)mode > NVML_FEATURE_ENABLED)
		rc = NVML_ERROR_INVALID_ARGUMENT;
	else
		c.gpu->persistence = mode;
	return call_end(&c, rc, NULL, 0);
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current,
				  nvmlEnableState_t *pending)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetEccMode, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (current == NULL || pending == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (!c.model->ecc)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	*current = (nvmlEnableState_t)c.gpu->ecc_current;
	*pending = (nvmlEnableState_t)c.gpu->ecc_pending;
	return call_end(&c, rc, current, sizeof(*current));
}

/* Row remapping came with Ampere. */
nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrRows,
				       unsigned int *uncRows, unsigned int *isPending,
				       unsigned int *failureOccurred)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetRemappedRows, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (corrRows == NULL || uncRows == NULL || isPending == NULL || failureOccurred == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (c.model->arch < NVML_DEVICE_ARCH_AMPERE)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	*corrRows = 0;
	*uncRows = c.gpu->remap_pending != 0;
	*isPending = c.gpu->remap_pending;
	*failureOccurred = c.gpu->remap_failed;
	return call_end(&c, rc, failureOccurred, sizeof(*failureOccurred));
}

/* NVML's two-call rule: too small says how many are needed; none running is success. */
static nvmlReturn_t processes(enum state_fn fn, nvmlDevice_t device, unsigned int *infoCount,
			      nvmlProcessInfo_t *infos, bool listed)
{
	uint32_t room;
	uint32_t n = 0;
	uint32_t i;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, fn, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (infoCount == NULL || (*infoCount > 0 && infos == NULL))
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	room = *infoCount;
	for (i = 0; listed && i < STATE_PROCS; i++) {
		const struct state_proc *p = &c.gpu->proc[i];

		if (p->pid == 0 || (c.gi != NULL && p->gi != c.gi->id))
			continue;
		if (n < room)
			infos[n] = (nvmlProcessInfo_t){ .pid = p->pid,
							.usedGpuMemory = (uint64_t)p->mib << 20,
							.gpuInstanceId = p->gi,
							.computeInstanceId = p->ci };
		n++;
	}
	*infoCount = n;
	if (n > room)
		rc = NVML_ERROR_INSUFFICIENT_SIZE;
	return call_end(&c, rc, infoCount, sizeof(*infoCount));
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount,
						     nvmlProcessInfo_t *infos)
{
	return processes(FN_nvmlDeviceGetComputeRunningProcesses_v3, device, infoCount, infos,
			 true);
}

/* No MPS server runs on fake hardware. */
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device,
							unsigned int *infoCount,
							nvmlProcessInfo_t *infos)
{
	return processes(FN_nvmlDeviceGetMPSComputeRunningProcesses_v3, device, infoCount, infos,
			 false);
}

static bool node_has_cc(const struct call *c)
{
	uint32_t slot;

	return call_slot_by_index(0, &slot) == NVML_SUCCESS &&
	       model_get(c->st->gpu[slot].model)->cc;
}

nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlSystemGetConfComputeState, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (state == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (!node_has_cc(&c))
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	state->environment = c.st->cc_environment;
	state->ccFeature = c.st->cc_feature;
	state->devToolsMode = c.st->cc_devtools;
	return call_end(&c, rc, state, sizeof(*state));
}

nvmlReturn_t nvmlSystemGetConfComputeCapabilities(nvmlConfComputeSystemCaps_t *capabilities)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlSystemGetConfComputeCapabilities, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (capabilities == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (!node_has_cc(&c))
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	capabilities->cpuCaps = c.st->cc_environment != 0;
	capabilities->gpusCaps = 1;
	return call_end(&c, rc, capabilities, sizeof(*capabilities));
}

nvmlReturn_t nvmlSystemGetConfComputeSettings(nvmlSystemConfComputeSettings_v1_t *settings)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlSystemGetConfComputeSettings, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (settings == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (settings->version != nvmlSystemConfComputeSettings_v1)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	if (!node_has_cc(&c))
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	settings->environment = c.st->cc_environment;
	settings->ccFeature = c.st->cc_feature;
	settings->devToolsMode = c.st->cc_devtools;
	settings->multiGpuMode = c.st->cc_multigpu;
	return call_end(&c, rc, settings, sizeof(*settings));
}
