#include "gpu/nvidia/worker/nvml_query.h"

#include <errno.h>

#include "core/fsx.h"
#include "gpu/pci.h"

/* NVML_SUCCESS, the call's code, or FUNCTION_NOT_FOUND for a symbol that this library lacks. */
#define NVML_TRY(lib, fn, ...) ((lib)->fn ? (lib)->fn(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

#define UUID_CHARACTERS "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
enum { MINOR_MAX = (1 << 20) - 1 }; /* Linux has no more */

/* These are adapters of DGX stations for a monitor, never compute devices. */
static const char *const displays[] = { "DGX Display", "NVIDIA DGX Display" };

static void query_cc(const struct nvlib *lib, struct nvidia_system *s)
{
	nvmlSystemConfComputeSettings_v1_t settings = { .version =
							    nvmlSystemConfComputeSettings_v1 };
	nvmlConfComputeSystemState_t state = { 0 };

	s->cc_feature = s->cc_devtools = s->cc_multi_gpu = NVIDIA_UNKNOWN;
	if (NVML_TRY(lib, nvmlSystemGetConfComputeSettings, &settings) == NVML_SUCCESS) {
		s->cc_feature = settings.ccFeature;
		s->cc_devtools = settings.devToolsMode;
		s->cc_multi_gpu = settings.multiGpuMode;
	} else if (NVML_TRY(lib, nvmlSystemGetConfComputeState, &state) == NVML_SUCCESS) {
		s->cc_feature = state.ccFeature;
		s->cc_devtools = state.devToolsMode;
	}
}

int nvml_query_system(const struct nvlib *lib, struct nvidia_system *s, struct err *e)
{
	nvmlReturn_t rc;
	int cuda = 0;

	memset(s, 0, sizeof(*s));
	rc = lib->nvmlSystemGetDriverVersion(s->driver_version, sizeof(s->driver_version));
	if (rc != NVML_SUCCESS)
		return err_set(e, -EIO, "NVML does not tell the driver's version: %s",
			       nvlib_text(lib, rc));
	s->driver_version[sizeof(s->driver_version) - 1] = '\0';
	if (strspn(s->driver_version, "0123456789.") != strlen(s->driver_version) ||
	    !*s->driver_version) /* names of files are made of it */
		return err_set(e, -EIO, "NVML tells an unreadable driver version");
	if (NVML_TRY(lib, nvmlSystemGetCudaDriverVersion_v2, &cuda) == NVML_SUCCESS ||
	    NVML_TRY(lib, nvmlSystemGetCudaDriverVersion, &cuda) == NVML_SUCCESS)
		s->cuda_version = cuda > 0 ? (uint32_t)cuda : 0;
	query_cc(lib, s);
	return 0;
}

/* What a failure of an indispensable call means for this GPU. */
static enum gpu_query_state query_state(nvmlReturn_t rc)
{
	switch (rc) {
	case NVML_ERROR_UNINITIALIZED:
	case NVML_ERROR_DRIVER_NOT_LOADED:
	case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
		return GPU_QUERY_SESSION;
	case NVML_ERROR_TIMEOUT:
	case NVML_ERROR_IN_USE:
	case NVML_ERROR_NOT_READY:
	case NVML_ERROR_INSUFFICIENT_RESOURCES:
	case NVML_ERROR_MEMORY:
	case NVML_ERROR_UNKNOWN:
		return GPU_QUERY_RETRY;
	default:
		return GPU_QUERY_TROUBLE;
	}
}

static bool query_failed(const struct nvlib *lib, nvmlReturn_t rc, const char *what,
			 struct gpu_msg_query *m)
{
	if (rc == NVML_SUCCESS)
		return false;
	m->state = query_state(rc);
	snprintf(m->text, sizeof(m->text), "%s: %s", what, nvlib_text(lib, rc));
	return true;
}

/*
 * An optional fact is simply absent, unless the GPU or the session went away under the question.
 * What the library has and could not tell this time is marked, so that it is not taken for gone.
 */
static bool query_lost(const struct nvlib *lib, nvmlReturn_t rc, const char *what, uint32_t fact,
		       struct nvidia_gpu *g, struct gpu_msg_query *m)
{
	if (rc == NVML_ERROR_GPU_IS_LOST || rc == NVML_ERROR_RESET_REQUIRED ||
	    (rc != NVML_SUCCESS && query_state(rc) == GPU_QUERY_SESSION))
		return query_failed(lib, rc, what, m);
	if (rc != NVML_SUCCESS && rc != NVML_ERROR_NOT_SUPPORTED &&
	    rc != NVML_ERROR_FUNCTION_NOT_FOUND)
		g->untold |= fact;
	return false;
}

static bool query_identity(const struct nvlib *lib, nvmlDevice_t device, struct nvidia_gpu *g,
			   struct gpu_msg_query *m)
{
	nvmlPciInfo_t pci = { .domain = 0 };
	unsigned minor = 0;
	nvmlReturn_t rc;

	if (query_failed(lib, lib->nvmlDeviceGetPciInfo_v3(device, &pci), "PCI address", m))
		return false;
	pci.busId[sizeof(pci.busId) - 1] = pci.busIdLegacy[sizeof(pci.busIdLegacy) - 1] = '\0';
	if (pci_normalise(sv_str(*pci.busId ? pci.busId : pci.busIdLegacy), g->pci) < 0) {
		m->state = GPU_QUERY_TROUBLE;
		snprintf(m->text, sizeof(m->text), "NVML tells an unreadable PCI address");
		return false;
	}
	memcpy(m->pci, g->pci, sizeof(m->pci));
	if (query_failed(lib, lib->nvmlDeviceGetUUID(device, g->uuid, sizeof(g->uuid)), "UUID", m))
		return false;
	g->uuid[sizeof(g->uuid) - 1] = '\0';
	if (!*g->uuid || g->uuid[strspn(g->uuid, UUID_CHARACTERS)]) {
		m->state = GPU_QUERY_TROUBLE;
		snprintf(m->text, sizeof(m->text), "NVML tells an unreadable UUID");
		return false;
	}
	sv_copy(m->uuid, sizeof(m->uuid), sv_str(g->uuid));
	rc = lib->nvmlDeviceGetMinorNumber(device, &minor);
	if (rc == NVML_SUCCESS && minor > MINOR_MAX) {
		m->state = GPU_QUERY_TROUBLE;
		snprintf(m->text, sizeof(m->text), "impossible minor number %u", minor);
		return false;
	}
	if (rc == NVML_SUCCESS)
		m->minor = g->minor = minor;
	else if (rc != NVML_ERROR_NOT_SUPPORTED && rc != NVML_ERROR_FUNCTION_NOT_FOUND)
		return !query_failed(lib, rc, "minor number", m);
	return true;
}

static bool query_kind(const struct nvlib *lib, nvmlDevice_t device, struct nvidia_gpu *g,
		       struct gpu_msg_query *m)
{
	nvmlDeviceArchitecture_t architecture = NVML_DEVICE_ARCH_UNKNOWN;
	nvmlBrandType_t brand = NVML_BRAND_UNKNOWN;
	int major = 0, minor = 0;
	size_t i;

	if (query_failed(lib, lib->nvmlDeviceGetName(device, g->name, sizeof(g->name)), "name", m))
		return false;
	g->name[sizeof(g->name) - 1] = '\0';
	for (i = 0; i < ARRAY_LEN(displays); i++)
		if (strcmp(g->name, displays[i]) == 0) {
			m->state = GPU_QUERY_SKIP;
			return false;
		}
	if (query_lost(lib, lib->nvmlDeviceGetBrand(device, &brand), "brand", NVIDIA_UNTOLD_BRAND,
		       g, m) ||
	    query_lost(lib, lib->nvmlDeviceGetArchitecture(device, &architecture), "architecture",
		       NVIDIA_UNTOLD_ARCHITECTURE, g, m) ||
	    query_failed(lib, lib->nvmlDeviceGetCudaComputeCapability(device, &major, &minor),
			 "compute capability", m))
		return false;
	g->brand = (uint32_t)brand;
	g->architecture = architecture;
	g->cc_major = (uint32_t)major;
	g->cc_minor = (uint32_t)minor;
	return true;
}

static bool query_memory(const struct nvlib *lib, nvmlDevice_t device, struct nvidia_gpu *g,
			 struct gpu_msg_query *m)
{
	nvmlMemory_t memory = { 0 };
	nvmlReturn_t rc = lib->nvmlDeviceGetMemoryInfo(device, &memory);

	/* GPUs whose memory is the CPU's have none of their own to tell of. */
	if (rc == NVML_ERROR_NOT_SUPPORTED)
		return true;
	g->memory_total = memory.total;
	return !query_failed(lib, rc, "memory", m);
}

static bool query_modes(const struct nvlib *lib, nvmlDevice_t device, struct nvidia_gpu *g,
			struct gpu_msg_query *m)
{
	nvmlDeviceAddressingMode_v1_t addressing = { .version = nvmlDeviceAddressingMode_v1 };
	nvmlEnableState_t ecc = NVML_FEATURE_DISABLED, ecc_next = NVML_FEATURE_DISABLED;
	unsigned mig = 0, mig_next = 0;
	nvmlReturn_t rc;

	g->addressing = g->ecc = g->mig_mode = NVIDIA_UNKNOWN;
	rc = NVML_TRY(lib, nvmlDeviceGetAddressingMode, device, &addressing);
	if (rc == NVML_SUCCESS)
		g->addressing = addressing.value;
	if (query_lost(lib, rc, "addressing mode", NVIDIA_UNTOLD_ADDRESSING, g, m))
		return false;
	rc = NVML_TRY(lib, nvmlDeviceGetEccMode, device, &ecc, &ecc_next);
	if (rc == NVML_SUCCESS)
		g->ecc = ecc;
	if (query_lost(lib, rc, "ECC mode", NVIDIA_UNTOLD_ECC, g, m))
		return false;
	rc = NVML_TRY(lib, nvmlDeviceGetMigMode, device, &mig, &mig_next);
	if (rc == NVML_SUCCESS)
		g->mig_mode = mig;
	if (query_lost(lib, rc, "MIG mode", NVIDIA_UNTOLD_MIG, g, m))
		return false;
	rc = NVML_TRY(lib, nvmlDeviceGetSerial, device, g->serial, sizeof(g->serial));
	if (rc != NVML_SUCCESS)
		g->serial[0] = '\0';
	g->serial[sizeof(g->serial) - 1] = '\0';
	return !query_lost(lib, rc, "serial number", NVIDIA_UNTOLD_SERIAL, g, m);
}

static void query_add_peer(struct nvidia_gpu *g, nvmlPciInfo_t *pci)
{
	char peer[PCI_TEXT_MAX + 1];
	size_t i;

	pci->busId[sizeof(pci->busId) - 1] = '\0';
	if (pci_normalise(sv_str(pci->busId), peer) < 0)
		return;
	for (i = 0; i < g->peers_n; i++)
		if (strcmp(g->peers[i], peer) == 0)
			return;
	if (g->peers_n < TOPOLOGY_PEERS_MAX)
		memcpy(g->peers[g->peers_n++], peer, sizeof(peer));
}

static void query_link(const struct nvlib *lib, nvmlDevice_t device, unsigned link,
		       struct nvidia_gpu *g)
{
	nvmlIntNvLinkDeviceType_t type = NVML_NVLINK_DEVICE_TYPE_GPU;
	nvmlPciInfo_t pci = { .domain = 0 };

	/* A switch may have no address to tell: virtual machines get the GPUs without it. */
	(void)NVML_TRY(lib, nvmlDeviceGetNvLinkRemoteDeviceType, device, link, &type);
	if (type == NVML_NVLINK_DEVICE_TYPE_SWITCH)
		g->switched = true;
	else if (type == NVML_NVLINK_DEVICE_TYPE_GPU &&
		 NVML_TRY(lib, nvmlDeviceGetNvLinkRemotePciInfo_v2, device, link, &pci) ==
		     NVML_SUCCESS)
		query_add_peer(g, &pci);
}

/* Who is at the other end of each link. Whether it is up does not matter: see nvidia_remember(). */
static void query_links(const struct nvlib *lib, nvmlDevice_t device, struct nvidia_gpu *g)
{
	nvmlEnableState_t up;
	unsigned link;

	/* The state's error tells links that are down from links that there are not. */
	for (link = 0; link < NVML_NVLINK_MAX_LINKS; link++) {
		if (NVML_TRY(lib, nvmlDeviceGetNvLinkState, device, link, &up) != NVML_SUCCESS)
			return;
		query_link(lib, device, link, g);
	}
}

static void query_sysfs(const struct roots *roots, struct nvidia_gpu *g)
{
	char path[512], line[32];
	int64_t numa;
	int n;

	if (topology_path(roots->sys, g->pci, g->path) < 0) {
		g->path[0] = '\0';
		g->untold |= NVIDIA_UNTOLD_PATH;
	}
	g->numa = NVIDIA_UNKNOWN;
	n = snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/numa_node", roots->sys, g->pci);
	if (n > 0 && (size_t)n < sizeof(path) && fsx_line(path, line, sizeof(line)) == 0 &&
	    sv_i64(sv_str(line), &numa) == 0)
		g->numa = numa;
	else
		g->untold |= NVIDIA_UNTOLD_NUMA;
}

void nvml_query_gpu(const struct nvlib *lib, const struct roots *roots, uint32_t index,
		    struct nvidia_gpu *g, struct gpu_msg_query *m)
{
	nvmlDevice_t device = NULL;

	memset(g, 0, sizeof(*g));
	g->index = index;
	g->minor = m->minor = -1;
	m->state = GPU_QUERY_OK;
	if (query_failed(lib, lib->nvmlDeviceGetHandleByIndex_v2(index, &device), "no handle", m) ||
	    !query_identity(lib, device, g, m) || !query_kind(lib, device, g, m) ||
	    !query_memory(lib, device, g, m) || !query_modes(lib, device, g, m))
		return;
	query_links(lib, device, g);
	query_sysfs(roots, g);
}
