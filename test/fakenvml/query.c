/* Library-wide calls, finding GPUs, and everything a GPU answers about itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/fakenvml/call.h"
#include "test/fakenvml/mig.h"

nvmlReturn_t nvmlInit_v2(void)
{
	return call_init(FN_nvmlInit_v2, 0);
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
	return call_init(FN_nvmlInitWithFlags, flags);
}

nvmlReturn_t nvmlShutdown(void)
{
	return call_shutdown();
}

const char *nvmlErrorString(nvmlReturn_t result)
{
	static const char *const text[] = {
		"Success",
		"Uninitialized",
		"Invalid Argument",
		"Not Supported",
		"Insufficient Permissions",
		"Already Initialized",
		"Not Found",
		"Insufficient Size",
		"Insufficient External Power",
		"Driver Not Loaded",
		"Timeout",
		"Interrupt Request Issue",
		"NVML Shared Library Not Found",
		"Function Not Found",
		"Corrupted infoROM",
		"GPU is lost",
		"GPU requires reset",
		"The operating system has blocked the request",
		"RM has detected an NVML/RM version mismatch.",
		"In use by another client",
		"Insufficient Memory",
		"No data",
		"ECC not supported with vGPU",
		"Insufficient Resources",
		"Frequency Not Supported",
		"Argument version mismatch",
		"Deprecated",
		"Not Ready",
		"GPU not found",
		"Invalid State",
		"Reset type not supported",
	};

	if ((unsigned int)result < sizeof(text) / sizeof(text[0]))
		return text[result];
	return "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlSystemGetDriverVersion, 0);

	return rc != NVML_SUCCESS ? rc : call_end_str(&c, c.st->driver_version, version, length);
}

/* NVML's own version is CUDA's major before the driver's: "13.580.65.06". */
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
	struct call c;
	char text[64];
	nvmlReturn_t rc = call_begin(&c, FN_nvmlSystemGetNVMLVersion, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	snprintf(text, sizeof(text), "%d.%s", c.st->cuda_version / 1000, c.st->driver_version);
	return call_end_str(&c, text, version, length);
}

static nvmlReturn_t cuda_version(enum state_fn fn, int *out)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, fn, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (out == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*out = c.st->cuda_version;
	return call_end(&c, rc, out, sizeof(*out));
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *cudaDriverVersion)
{
	return cuda_version(FN_nvmlSystemGetCudaDriverVersion, cudaDriverVersion);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *cudaDriverVersion)
{
	return cuda_version(FN_nvmlSystemGetCudaDriverVersion_v2, cudaDriverVersion);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount)
{
	struct call c;
	nvmlReturn_t rc = call_begin(&c, FN_nvmlDeviceGetCount_v2, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (deviceCount == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*deviceCount = call_visible();
	return call_end(&c, rc, deviceCount, sizeof(*deviceCount));
}

/* A handle to a GPU this process may talk to and that still answers. */
static nvmlReturn_t grant(const struct call *c, uint32_t slot, nvmlDevice_t *device)
{
	const struct state_gpu *g = &c->st->gpu[slot];
	nvmlReturn_t rc = call_gpu_access(slot);

	if (rc != NVML_SUCCESS)
		return rc;
	if (g->lost || !g->present)
		return NVML_ERROR_GPU_IS_LOST;
	*device = call_gpu_handle(slot);
	return NVML_SUCCESS;
}

/* Ends a look-up: the slot is known, so a fault of that GPU can strike. */
static nvmlReturn_t look_up(struct call *c, nvmlReturn_t rc, uint32_t slot, nvmlDevice_t *device)
{
	if (rc != NVML_SUCCESS)
		return call_end(c, rc, NULL, 0);
	c->slot = slot;
	c->gpu = &c->st->gpu[slot];
	rc = call_admit(c, CALL_LOST_OK);
	if (rc != NVML_SUCCESS)
		return rc;
	return call_end(c, grant(c, slot, device), device, HANDLE_BYTES);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
	struct call c;
	uint32_t slot = 0;
	nvmlReturn_t rc = call_enter(&c, FN_nvmlDeviceGetHandleByIndex_v2, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = device == NULL ? NVML_ERROR_INVALID_ARGUMENT : call_slot_by_index(index, &slot);
	return look_up(&c, rc, slot, device);
}

/* One hexadecimal field and the character that ends it. */
static bool hex_field(const char **p, char end, uint32_t *out)
{
	char *stop;

	*out = (uint32_t)strtoul(*p, &stop, 16);
	if (stop == *p || *stop != end)
		return false;
	*p = stop + (end != '\0');
	return true;
}

static nvmlReturn_t by_pci(const struct call *c, const char *id, uint32_t *slot)
{
	uint32_t domain;
	uint32_t bus;
	uint32_t dev;
	uint32_t fn;
	uint32_t i;

	if (!hex_field(&id, ':', &domain) || !hex_field(&id, ':', &bus) ||
	    !hex_field(&id, '.', &dev) || !hex_field(&id, '\0', &fn))
		return NVML_ERROR_INVALID_ARGUMENT;
	for (i = 0; call_slot_by_index(i, slot) == NVML_SUCCESS; i++) {
		const struct state_gpu *g = &c->st->gpu[*slot];

		if (g->domain == domain && g->bus == bus && g->device == dev && fn == 0)
			return NVML_SUCCESS;
	}
	return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, nvmlDevice_t *device)
{
	struct call c;
	uint32_t slot = 0;
	nvmlReturn_t rc = call_enter(&c, FN_nvmlDeviceGetHandleByPciBusId_v2, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = NVML_ERROR_INVALID_ARGUMENT;
	if (pciBusId != NULL && device != NULL)
		rc = by_pci(&c, pciBusId, &slot);
	return look_up(&c, rc, slot, device);
}

static bool mig_by_uuid(struct call *c, const char *uuid)
{
	char text[MIG_UUID_LEN];
	uint32_t slot;
	uint32_t i;
	uint32_t k;

	for (i = 0; call_slot_by_index(i, &slot) == NVML_SUCCESS; i++)
		for (k = 0; k < STATE_GIS * STATE_CIS; k++) {
			c->slot = slot;
			c->gpu = &c->st->gpu[slot];
			c->gi = &c->gpu->gi[k / STATE_CIS];
			c->ci = &c->gi->ci[k % STATE_CIS];
			if (!c->gi->used || !c->ci->used)
				continue;
			mig_uuid(c->gpu, c->gi, c->ci, text);
			if (strcmp(text, uuid) == 0)
				return true;
		}
	return false;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	struct call c;
	uint32_t slot = 0;
	uint32_t i;
	nvmlReturn_t rc = call_enter(&c, FN_nvmlDeviceGetHandleByUUID, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (uuid == NULL || device == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	for (i = 0; call_slot_by_index(i, &slot) == NVML_SUCCESS; i++)
		if (strcmp(c.st->gpu[slot].uuid, uuid) == 0)
			return look_up(&c, rc, slot, device);
	if (!mig_by_uuid(&c, uuid))
		return call_end(&c, NVML_ERROR_NOT_FOUND, NULL, 0);
	rc = call_admit(&c, 0);
	if (rc != NVML_SUCCESS)
		return rc;
	*device = mig_handle(&c);
	return call_end(&c, rc, device, HANDLE_BYTES);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
	char text[MIG_UUID_LEN];
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetUUID, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c.ci == NULL)
		return call_end_str(&c, c.gpu->uuid, uuid, length);
	mig_uuid(c.gpu, c.gi, c.ci, text);
	return call_end_str(&c, text, uuid, length);
}

/* GPU getters of one number: the value or why there is none. */
typedef nvmlReturn_t (*number_fn)(const struct call *c, unsigned int *out);

static nvmlReturn_t number(enum state_fn fn, nvmlDevice_t device, unsigned int flags,
			   unsigned int *out, number_fn get)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, fn, device, flags);

	if (rc != NVML_SUCCESS)
		return rc;
	rc = out == NULL ? NVML_ERROR_INVALID_ARGUMENT : get(&c, out);
	return call_end(&c, rc, out, sizeof(*out));
}

static nvmlReturn_t get_index(const struct call *c, unsigned int *out)
{
	return call_index_of_slot(c->slot, out) ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

static nvmlReturn_t get_minor(const struct call *c, unsigned int *out)
{
	*out = c->gpu->minor;
	return NVML_SUCCESS;
}

static nvmlReturn_t get_arch(const struct call *c, unsigned int *out)
{
	*out = c->model->arch;
	return NVML_SUCCESS;
}

static nvmlReturn_t get_module(const struct call *c, unsigned int *out)
{
	*out = c->gpu->module_id;
	return c->model->module ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

/* The NUMA node the GPU's own memory is, which only a coherent CPU link makes one. */
static nvmlReturn_t get_memory_node(const struct call *c, unsigned int *out)
{
	*out = 2 + c->slot;
	return c->model->c2c ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
	return number(FN_nvmlDeviceGetIndex, device, 0, index, get_index);
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minorNumber)
{
	return number(FN_nvmlDeviceGetMinorNumber, device, 0, minorNumber, get_minor);
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *arch)
{
	return number(FN_nvmlDeviceGetArchitecture, device, CALL_MIG_OK, arch, get_arch);
}

nvmlReturn_t nvmlDeviceGetModuleId(nvmlDevice_t device, unsigned int *moduleId)
{
	return number(FN_nvmlDeviceGetModuleId, device, 0, moduleId, get_module);
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
	return number(FN_nvmlDeviceGetNumaNodeId, device, 0, node, get_memory_node);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
	const struct model_gi *p;
	char text[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetName, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c.gi == NULL)
		return call_end_str(&c, c.model->name, name, length);
	p = model_gi_by_profile(c.model, c.gi->profile);
	snprintf(text, sizeof(text), "%s %s", c.model->name, p != NULL ? p->name : "MIG");
	return call_end_str(&c, text, name, length);
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetSerial, device, 0);

	return rc != NVML_SUCCESS ? rc : call_end_str(&c, c.gpu->serial, serial, length);
}

nvmlReturn_t nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *partNumber,
					  unsigned int length)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetBoardPartNumber, device, 0);

	return rc != NVML_SUCCESS ? rc : call_end_str(&c, c.model->part, partNumber, length);
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *type)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetBrand, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (type == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*type = (nvmlBrandType_t)c.model->brand;
	return call_end(&c, rc, type, sizeof(*type));
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetCudaComputeCapability, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (major == NULL || minor == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*major = c.model->cc_major;
	*minor = c.model->cc_minor;
	return call_end(&c, rc, major, sizeof(*major));
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetPciInfo_v3, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (pci == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*pci = (nvmlPciInfo_t){ .domain = c.gpu->domain,
				.bus = c.gpu->bus,
				.device = c.gpu->device,
				.pciDeviceId = c.model->pci_id,
				.pciSubSystemId = c.model->pci_sub_id };
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0",
		 c.gpu->domain & 0xffff, c.gpu->bus & 0xff, c.gpu->device & 0x1f);
	state_bdf(c.gpu, true, pci->busId, sizeof(pci->busId));
	return call_end(&c, rc, pci, sizeof(*pci));
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_v1_t *pci)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetPciInfoExt, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (pci == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (pci->version != nvmlPciInfoExt_v1)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	*pci = (nvmlPciInfoExt_v1_t){ .version = nvmlPciInfoExt_v1,
				      .domain = c.gpu->domain,
				      .bus = c.gpu->bus,
				      .device = c.gpu->device,
				      .pciDeviceId = c.model->pci_id,
				      .pciSubSystemId = c.model->pci_sub_id,
				      .baseClass = 0x03,
				      .subClass = 0x02 };
	state_bdf(c.gpu, true, pci->busId, sizeof(pci->busId));
	return call_end(&c, rc, pci, sizeof(*pci));
}

/* total, and what the listed processes use; a driver reserves some of the total for itself. */
static void memory_of(const struct call *c, uint64_t *total, uint64_t *reserved, uint64_t *used)
{
	const struct model_gi *p;
	uint64_t mib = c->model->mib;
	uint32_t i;

	*reserved = (mib * 6 / 1000) << 20;
	if (c->gi != NULL) {
		p = model_gi_by_profile(c->model, c->gi->profile);
		mib = p != NULL ? p->mib : 0;
		*reserved = 0;
	}
	*total = mib << 20;
	*used = 0;
	for (i = 0; i < STATE_PROCS; i++) {
		const struct state_proc *proc = &c->gpu->proc[i];

		if (proc->pid != 0 && (c->gi == NULL || proc->gi == c->gi->id))
			*used += (uint64_t)proc->mib << 20;
	}
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
	uint64_t total;
	uint64_t reserved;
	uint64_t used;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetMemoryInfo, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (memory == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	memory_of(&c, &total, &reserved, &used);
	*memory = (nvmlMemory_t){ .total = total,
				  .free = total - reserved - used,
				  .used = reserved + used };
	return call_end(&c, rc, memory, sizeof(*memory));
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
	uint64_t total;
	uint64_t reserved;
	uint64_t used;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetMemoryInfo_v2, device, CALL_MIG_OK);

	if (rc != NVML_SUCCESS)
		return rc;
	if (memory == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (memory->version != nvmlMemory_v2)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	memory_of(&c, &total, &reserved, &used);
	memory->total = total;
	memory->reserved = reserved;
	memory->free = total - reserved - used;
	memory->used = used;
	return call_end(&c, rc, memory, sizeof(*memory));
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetBAR1MemoryInfo, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (bar1Memory == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	bar1Memory->bar1Total = (uint64_t)c.model->bar1_mib << 20;
	bar1Memory->bar1Used = 1ull << 20;
	bar1Memory->bar1Free = bar1Memory->bar1Total - bar1Memory->bar1Used;
	return call_end(&c, rc, bar1Memory, sizeof(*bar1Memory));
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_v1_t *mode)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetAddressingMode, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (mode == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (mode->version != nvmlDeviceAddressingMode_v1)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	if (c.gpu->addressing == MODEL_ADDRESSING_NONE)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	mode->value = c.gpu->addressing;
	return call_end(&c, rc, mode, sizeof(*mode));
}

nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *platformInfo)
{
	nvmlPlatformInfo_t *p = platformInfo;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetPlatformInfo, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (p == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (p->version != nvmlPlatformInfo_v1 && p->version != nvmlPlatformInfo_v2)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	if (!c.model->platform)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	/* v1 and v2 have the same layout under other names. */
	memset(p->ibGuid, 0, sizeof(p->ibGuid));
	memset(p->chassisSerialNumber, 0, sizeof(p->chassisSerialNumber));
	memcpy(p->chassisSerialNumber, "1820124410001", 13);
	p->slotNumber = 24;
	p->trayIndex = 14;
	p->hostId = 1;
	p->peerType = 1;
	p->moduleId = (unsigned char)c.gpu->module_id;
	return call_end(&c, rc, p, sizeof(*p));
}
