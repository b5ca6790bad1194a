#pragma once
/*
 * Every NVML function tundra may call, once: X(need, since, ret, name, params).
 *
 *  need   REQUIRED: without it the library is refused. OPTIONAL: the pointer stays NULL and the
 *         caller does what facts/nvml.md 2 says (fallback, or the feature is absent). "Symbol
 *         absent" and "returned FUNCTION_NOT_FOUND" mean the same.
 *  since  first CUDA header that declares it, major * 100 + minor, an upper bound: 1101 is "11.1
 *         or older". Driver 525 is 1200, and only what it has may be REQUIRED.
 *
 * From the list come the prototypes below, the worker's table (NVML_MEMBER), the export list of
 * test/fakenvml's 525 library and the tests. clang-format would fold the table.
 */
/* clang-format off */
#define NVML_SYMBOLS(X) \
	/* life; init is counted, every init wants its shutdown */ \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlInit_v2, (void)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlInitWithFlags, (unsigned int flags)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlShutdown, (void)) \
	X(OPTIONAL, 1101, const char *, nvmlErrorString, (nvmlReturn_t result)) \
	/* versions; CUDA's is major * 1000 + minor * 10 */ \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlSystemGetDriverVersion, (char *version, unsigned int length)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlSystemGetNVMLVersion, (char *version, unsigned int length)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlSystemGetCudaDriverVersion, (int *cudaDriverVersion)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlSystemGetCudaDriverVersion_v2, (int *cudaDriverVersion)) \
	/* finding GPUs; ByUUID takes GPU-... and MIG-... */ \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetCount_v2, (unsigned int *deviceCount)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetHandleByIndex_v2, (unsigned int index, nvmlDevice_t *device)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetHandleByUUID, (const char *uuid, nvmlDevice_t *device)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetHandleByPciBusId_v2, (const char *pciBusId, nvmlDevice_t *device)) \
	/* identity */ \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetName, (nvmlDevice_t device, char *name, unsigned int length)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetUUID, (nvmlDevice_t device, char *uuid, unsigned int length)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetMinorNumber, (nvmlDevice_t device, unsigned int *minorNumber)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetPciInfo_v3, (nvmlDevice_t device, nvmlPciInfo_t *pci)) \
	X(OPTIONAL, 1204, nvmlReturn_t, nvmlDeviceGetPciInfoExt, (nvmlDevice_t device, nvmlPciInfoExt_v1_t *pci)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetIndex, (nvmlDevice_t device, unsigned int *index)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetSerial, (nvmlDevice_t device, char *serial, unsigned int length)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetBoardPartNumber, (nvmlDevice_t device, char *partNumber, unsigned int length)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetBrand, (nvmlDevice_t device, nvmlBrandType_t *type)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetArchitecture, (nvmlDevice_t device, nvmlDeviceArchitecture_t *arch)) \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetCudaComputeCapability, (nvmlDevice_t device, int *major, int *minor)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetVirtualizationMode, (nvmlDevice_t device, nvmlGpuVirtualizationMode_t *pVirtualMode)) \
	X(OPTIONAL, 1202, nvmlReturn_t, nvmlDeviceGetModuleId, (nvmlDevice_t device, unsigned int *moduleId)) \
	X(OPTIONAL, 1204, nvmlReturn_t, nvmlDeviceGetNumaNodeId, (nvmlDevice_t device, unsigned int *node)) \
	X(OPTIONAL, 1208, nvmlReturn_t, nvmlDeviceGetPlatformInfo, (nvmlDevice_t device, nvmlPlatformInfo_t *platformInfo)) \
	/* memory */ \
	X(REQUIRED, 1101, nvmlReturn_t, nvmlDeviceGetMemoryInfo, (nvmlDevice_t device, nvmlMemory_t *memory)) \
	X(OPTIONAL, 1107, nvmlReturn_t, nvmlDeviceGetMemoryInfo_v2, (nvmlDevice_t device, nvmlMemory_v2_t *memory)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetBAR1MemoryInfo, (nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory)) \
	X(OPTIONAL, 1300, nvmlReturn_t, nvmlDeviceGetAddressingMode, (nvmlDevice_t device, nvmlDeviceAddressingMode_v1_t *mode)) \
	/* MIG: mode and profiles. A profile argument is the enum, a profileId the .id of its info */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetMigMode, (nvmlDevice_t device, unsigned int *currentMode, unsigned int *pendingMode)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceSetMigMode, (nvmlDevice_t device, unsigned int mode, nvmlReturn_t *activationStatus)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetMaxMigDeviceCount, (nvmlDevice_t device, unsigned int *count)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstanceProfileInfo, (nvmlDevice_t device, unsigned int profile, nvmlGpuInstanceProfileInfo_t *info)) \
	X(OPTIONAL, 1107, nvmlReturn_t, nvmlDeviceGetGpuInstanceProfileInfoV, (nvmlDevice_t device, unsigned int profile, nvmlGpuInstanceProfileInfo_v2_t *info)) \
	X(OPTIONAL, 1300, nvmlReturn_t, nvmlDeviceGetGpuInstanceProfileInfoByIdV, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstanceProfileInfo_v2_t *info)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstancePossiblePlacements, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstancePlacement_t *placements, unsigned int *count)) \
	X(OPTIONAL, 1104, nvmlReturn_t, nvmlDeviceGetGpuInstancePossiblePlacements_v2, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstancePlacement_t *placements, unsigned int *count)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstanceRemainingCapacity, (nvmlDevice_t device, unsigned int profileId, unsigned int *count)) \
	/* MIG: GPU instances */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceCreateGpuInstance, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstance_t *gpuInstance)) \
	X(OPTIONAL, 1102, nvmlReturn_t, nvmlDeviceCreateGpuInstanceWithPlacement, (nvmlDevice_t device, unsigned int profileId, const nvmlGpuInstancePlacement_t *placement, nvmlGpuInstance_t *gpuInstance)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceDestroy, (nvmlGpuInstance_t gpuInstance)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstances, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstance_t *gpuInstances, unsigned int *count)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstanceById, (nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *gpuInstance)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceGetInfo, (nvmlGpuInstance_t gpuInstance, nvmlGpuInstanceInfo_t *info)) \
	/* MIG: compute instances */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceGetComputeInstanceProfileInfo, (nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile, nvmlComputeInstanceProfileInfo_t *info)) \
	X(OPTIONAL, 1107, nvmlReturn_t, nvmlGpuInstanceGetComputeInstanceProfileInfoV, (nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile, nvmlComputeInstanceProfileInfo_v2_t *info)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceGetComputeInstanceRemainingCapacity, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, unsigned int *count)) \
	X(OPTIONAL, 1200, nvmlReturn_t, nvmlGpuInstanceGetComputeInstancePossiblePlacements, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstancePlacement_t *placements, unsigned int *count)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceCreateComputeInstance, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstance_t *computeInstance)) \
	X(OPTIONAL, 1200, nvmlReturn_t, nvmlGpuInstanceCreateComputeInstanceWithPlacement, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, const nvmlComputeInstancePlacement_t *placement, nvmlComputeInstance_t *computeInstance)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlComputeInstanceDestroy, (nvmlComputeInstance_t computeInstance)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceGetComputeInstances, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstance_t *computeInstances, unsigned int *count)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlGpuInstanceGetComputeInstanceById, (nvmlGpuInstance_t gpuInstance, unsigned int id, nvmlComputeInstance_t *computeInstance)) \
	X(OPTIONAL, 1102, nvmlReturn_t, nvmlComputeInstanceGetInfo_v2, (nvmlComputeInstance_t computeInstance, nvmlComputeInstanceInfo_t *info)) \
	/* MIG: devices */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceIsMigDeviceHandle, (nvmlDevice_t device, unsigned int *isMigDevice)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetMigDeviceHandleByIndex, (nvmlDevice_t device, unsigned int index, nvmlDevice_t *migDevice)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetDeviceHandleFromMigDeviceHandle, (nvmlDevice_t migDevice, nvmlDevice_t *device)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetGpuInstanceId, (nvmlDevice_t device, unsigned int *id)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetComputeInstanceId, (nvmlDevice_t device, unsigned int *id)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetAttributes_v2, (nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)) \
	/* modes and state */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetComputeMode, (nvmlDevice_t device, nvmlComputeMode_t *mode)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceSetComputeMode, (nvmlDevice_t device, nvmlComputeMode_t mode)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetPersistenceMode, (nvmlDevice_t device, nvmlEnableState_t *mode)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceSetPersistenceMode, (nvmlDevice_t device, nvmlEnableState_t mode)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetEccMode, (nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetRemappedRows, (nvmlDevice_t device, unsigned int *corrRows, unsigned int *uncRows, unsigned int *isPending, unsigned int *failureOccurred)) \
	X(OPTIONAL, 1107, nvmlReturn_t, nvmlDeviceGetComputeRunningProcesses_v3, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos)) \
	X(OPTIONAL, 1107, nvmlReturn_t, nvmlDeviceGetMPSComputeRunningProcesses_v3, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos)) \
	X(OPTIONAL, 1202, nvmlReturn_t, nvmlSystemGetConfComputeState, (nvmlConfComputeSystemState_t *state)) \
	X(OPTIONAL, 1202, nvmlReturn_t, nvmlSystemGetConfComputeCapabilities, (nvmlConfComputeSystemCaps_t *capabilities)) \
	X(OPTIONAL, 1204, nvmlReturn_t, nvmlSystemGetConfComputeSettings, (nvmlSystemConfComputeSettings_v1_t *settings)) \
	/* links and topology; FabricInfoV takes v2 or v3 by .version */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetCurrPcieLinkGeneration, (nvmlDevice_t device, unsigned int *currLinkGen)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetCurrPcieLinkWidth, (nvmlDevice_t device, unsigned int *currLinkWidth)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetMaxPcieLinkGeneration, (nvmlDevice_t device, unsigned int *maxLinkGen)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetMaxPcieLinkWidth, (nvmlDevice_t device, unsigned int *maxLinkWidth)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetTopologyCommonAncestor, (nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuTopologyLevel_t *pathInfo)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetNvLinkState, (nvmlDevice_t device, unsigned int link, nvmlEnableState_t *isActive)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetNvLinkVersion, (nvmlDevice_t device, unsigned int link, unsigned int *version)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetNvLinkRemotePciInfo_v2, (nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci)) \
	X(OPTIONAL, 1104, nvmlReturn_t, nvmlDeviceGetNvLinkRemoteDeviceType, (nvmlDevice_t device, unsigned int link, nvmlIntNvLinkDeviceType_t *pNvLinkDeviceType)) \
	X(OPTIONAL, 1200, nvmlReturn_t, nvmlDeviceGetGpuFabricInfo, (nvmlDevice_t device, nvmlGpuFabricInfo_t *gpuFabricInfo)) \
	X(OPTIONAL, 1204, nvmlReturn_t, nvmlDeviceGetGpuFabricInfoV, (nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo)) \
	X(OPTIONAL, 1203, nvmlReturn_t, nvmlDeviceGetC2cModeInfoV, (nvmlDevice_t device, nvmlC2cModeInfo_v1_t *c2cModeInfo)) \
	/* events */ \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlEventSetCreate, (nvmlEventSet_t *set)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceGetSupportedEventTypes, (nvmlDevice_t device, unsigned long long *eventTypes)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlDeviceRegisterEvents, (nvmlDevice_t device, unsigned long long eventTypes, nvmlEventSet_t set)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlEventSetWait, (nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlEventSetWait_v2, (nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)) \
	X(OPTIONAL, 1101, nvmlReturn_t, nvmlEventSetFree, (nvmlEventSet_t set))
/* clang-format on */

#define NVML_SINCE_DRIVER_525 1200
#define NVML_REQUIRED	      1
#define NVML_OPTIONAL	      0

/** The prototypes, exported by whoever defines them (only test/fakenvml does). */
#ifndef NVML_EXPORT
#define NVML_EXPORT __attribute__((visibility("default")))
#endif
#define NVML_PROTOTYPE(need, since, ret, name, params) NVML_EXPORT ret name params;
NVML_SYMBOLS(NVML_PROTOTYPE)
#undef NVML_PROTOTYPE

/** One member per symbol: struct { NVML_SYMBOLS(NVML_MEMBER) } is the dlopen table. */
#define NVML_MEMBER(need, since, ret, name, params) ret(*name) params;

#define NVML_CHECK_NEED(need, since, ret, name, params)                                            \
	_Static_assert(!NVML_##need || (since) <= NVML_SINCE_DRIVER_525, #name " is not in 525");
NVML_SYMBOLS(NVML_CHECK_NEED)
#undef NVML_CHECK_NEED
