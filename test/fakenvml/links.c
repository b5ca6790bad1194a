/* How GPUs are connected: PCIe, NVLink, GPU fabric, CPU link, topology. */
#include <stdio.h>
#include <string.h>

#include "test/fakenvml/call.h"

static nvmlReturn_t pcie(enum state_fn fn, nvmlDevice_t device, unsigned int *out, bool width)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, fn, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (out == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	*out = width ? c.model->pcie_width : c.model->pcie_gen;
	return call_end(&c, rc, out, sizeof(*out));
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int *currLinkGen)
{
	return pcie(FN_nvmlDeviceGetCurrPcieLinkGeneration, device, currLinkGen, false);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int *currLinkWidth)
{
	return pcie(FN_nvmlDeviceGetCurrPcieLinkWidth, device, currLinkWidth, true);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *maxLinkGen)
{
	return pcie(FN_nvmlDeviceGetMaxPcieLinkGeneration, device, maxLinkGen, false);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int *maxLinkWidth)
{
	return pcie(FN_nvmlDeviceGetMaxPcieLinkWidth, device, maxLinkWidth, true);
}

/* Length of the path to the bridge above a GPU's own port. */
static size_t bridge_len(const struct state_gpu *g)
{
	const char *port = strrchr(g->upstream, '/');

	return port != NULL ? (size_t)(port - g->upstream) : 0;
}

/* From the sysfs paths: the deepest bridge both hang under. */
nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2,
						 nvmlGpuTopologyLevel_t *pathInfo)
{
	const struct state_gpu *a;
	const struct state_gpu *b;
	size_t root;
	struct call c;
	nvmlReturn_t rc;

	/* The second handle first: it is only looked at, the first one's call is kept open. */
	rc = call_gpu(&c, FN_nvmlDeviceGetTopologyCommonAncestor, device2, 0);
	if (rc != NVML_SUCCESS)
		return rc;
	b = c.gpu;
	call_end(&c, rc, NULL, 0);
	rc = call_gpu(&c, FN_nvmlDeviceGetTopologyCommonAncestor, device1, 0);
	if (rc != NVML_SUCCESS)
		return rc;
	a = c.gpu;
	if (pathInfo == NULL || a == b)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	root = strcspn(a->upstream, "/");
	if (bridge_len(a) > root && bridge_len(a) == bridge_len(b) &&
	    strncmp(a->upstream, b->upstream, bridge_len(a)) == 0)
		*pathInfo = NVML_TOPOLOGY_SINGLE;
	else if (strncmp(a->upstream, b->upstream, root + 1) == 0)
		*pathInfo = NVML_TOPOLOGY_HOSTBRIDGE;
	else if (a->numa == b->numa && a->numa >= 0)
		*pathInfo = NVML_TOPOLOGY_NODE;
	else
		*pathInfo = NVML_TOPOLOGY_SYSTEM;
	return call_end(&c, rc, pathInfo, sizeof(*pathInfo));
}

/* Opens a call about one NVLink; NOT_SUPPORTED without NVLink, INVALID_ARGUMENT past the last. */
static nvmlReturn_t call_link(struct call *c, enum state_fn fn, nvmlDevice_t device,
			      unsigned int link, const void *out)
{
	nvmlReturn_t rc = call_gpu(c, fn, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c->gpu->link_count == 0)
		rc = NVML_ERROR_NOT_SUPPORTED;
	else if (link >= c->gpu->link_count || out == NULL)
		rc = NVML_ERROR_INVALID_ARGUMENT;
	return rc == NVML_SUCCESS ? rc : call_end(c, rc, NULL, 0);
}

static bool link_up(const struct call *c, unsigned int link)
{
	return (c->gpu->links_down >> link & 1) == 0;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link,
				      nvmlEnableState_t *isActive)
{
	struct call c;
	nvmlReturn_t rc = call_link(&c, FN_nvmlDeviceGetNvLinkState, device, link, isActive);

	if (rc != NVML_SUCCESS)
		return rc;
	*isActive = link_up(&c, link) ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
	return call_end(&c, rc, isActive, sizeof(*isActive));
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link,
					unsigned int *version)
{
	struct call c;
	nvmlReturn_t rc = call_link(&c, FN_nvmlDeviceGetNvLinkVersion, device, link, version);

	if (rc != NVML_SUCCESS)
		return rc;
	*version = c.model->link_version != 0 ? c.model->link_version : 4;
	return call_end(&c, rc, version, sizeof(*version));
}

/* Links of a GPU on a baseboard lead to its NVSwitches in turn: bus 0x05.. as in an HGX H100. */
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link,
						 nvmlPciInfo_t *pci)
{
	struct state_gpu remote = { .bus = 0x05 + link % 4 };
	struct call c;
	nvmlReturn_t rc = call_link(&c, FN_nvmlDeviceGetNvLinkRemotePciInfo_v2, device, link, pci);

	if (rc != NVML_SUCCESS)
		return rc;
	if (!link_up(&c, link))
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	if (c.gpu->link_peer < STATE_GPUS)
		remote = c.st->gpu[c.gpu->link_peer];
	*pci =
	    (nvmlPciInfo_t){ .domain = remote.domain, .bus = remote.bus, .device = remote.device };
	pci->pciDeviceId = c.gpu->link_peer < STATE_GPUS ? c.model->pci_id : 0x22a310de;
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0",
		 remote.domain & 0xffff, remote.bus & 0xff, remote.device & 0x1f);
	state_bdf(&remote, true, pci->busId, sizeof(pci->busId));
	return call_end(&c, rc, pci, sizeof(*pci));
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
						 nvmlIntNvLinkDeviceType_t *pNvLinkDeviceType)
{
	nvmlIntNvLinkDeviceType_t *out = pNvLinkDeviceType;
	struct call c;
	nvmlReturn_t rc = call_link(&c, FN_nvmlDeviceGetNvLinkRemoteDeviceType, device, link, out);

	if (rc != NVML_SUCCESS)
		return rc;
	if (!link_up(&c, link))
		*out = NVML_NVLINK_DEVICE_TYPE_UNKNOWN;
	else if (c.gpu->link_peer < STATE_GPUS)
		*out = NVML_NVLINK_DEVICE_TYPE_GPU;
	else
		*out = NVML_NVLINK_DEVICE_TYPE_SWITCH;
	return call_end(&c, rc, out, sizeof(*out));
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *gpuFabricInfo)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetGpuFabricInfo, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (gpuFabricInfo == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (!c.model->fabric)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	memcpy(gpuFabricInfo->clusterUuid, c.gpu->cluster, sizeof(c.gpu->cluster));
	gpuFabricInfo->status = (nvmlReturn_t)c.gpu->fabric_status;
	gpuFabricInfo->cliqueId = c.gpu->clique;
	gpuFabricInfo->state = (unsigned char)c.gpu->fabric_state;
	return call_end(&c, rc, gpuFabricInfo, sizeof(*gpuFabricInfo));
}

static unsigned char fabric_summary(const struct state_gpu *g)
{
	return g->fabric_health == NVML_GPU_FABRIC_HEALTH_MASK_CLEAR
		   ? NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY
		   : NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo)
{
	nvmlGpuFabricInfoV_t *f = gpuFabricInfo;
	size_t n;
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetGpuFabricInfoV, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (f == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	if (f->version != nvmlGpuFabricInfo_v2 && f->version != nvmlGpuFabricInfo_v3)
		return call_end(&c, NVML_ERROR_ARGUMENT_VERSION_MISMATCH, NULL, 0);
	if (!c.model->fabric)
		return call_end(&c, NVML_ERROR_NOT_SUPPORTED, NULL, 0);
	memcpy(f->clusterUuid, c.gpu->cluster, sizeof(c.gpu->cluster));
	f->status = (nvmlReturn_t)c.gpu->fabric_status;
	f->cliqueId = c.gpu->clique;
	f->state = (unsigned char)c.gpu->fabric_state;
	f->healthMask = c.gpu->fabric_health;
	n = sizeof(nvmlGpuFabricInfo_v2_t);
	if (f->version == nvmlGpuFabricInfo_v3) { /* v2's struct ends before this field */
		f->healthSummary = fabric_summary(c.gpu);
		n = sizeof(nvmlGpuFabricInfo_v3_t);
	}
	return call_end(&c, rc, f, n);
}

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, nvmlC2cModeInfo_v1_t *c2cModeInfo)
{
	struct call c;
	nvmlReturn_t rc = call_gpu(&c, FN_nvmlDeviceGetC2cModeInfoV, device, 0);

	if (rc != NVML_SUCCESS)
		return rc;
	if (c2cModeInfo == NULL)
		return call_end(&c, NVML_ERROR_INVALID_ARGUMENT, NULL, 0);
	c2cModeInfo->isC2cEnabled = c.model->c2c;
	return call_end(&c, rc, c2cModeInfo, sizeof(*c2cModeInfo));
}
