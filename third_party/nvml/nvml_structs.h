#pragma once
/* Structs of the NVML ABI; included by nvml.h only. Sizes and offsets were printed by a compiled
 * program from the 13.3 header (facts/nvml.md 3) and are asserted field by field. */

#define NVML_AT(type, field, at, bytes)                                                            \
	_Static_assert(offsetof(type, field) == (at), #type "." #field);                           \
	_Static_assert(sizeof(((type *)0)->field) == (bytes), #type "." #field)
#define NVML_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)

/** What .version must hold before the call, else ARGUMENT_VERSION_MISMATCH. */
#define NVML_STRUCT_VERSION(type, v) ((unsigned int)(sizeof(type) | ((v) << 24)))

NVML_SIZE(nvmlReturn_t, 4);
NVML_SIZE(nvmlEnableState_t, 4);
NVML_SIZE(nvmlComputeMode_t, 4);
NVML_SIZE(nvmlBrandType_t, 4);
NVML_SIZE(nvmlGpuVirtualizationMode_t, 4);
NVML_SIZE(nvmlIntNvLinkDeviceType_t, 4);
NVML_SIZE(nvmlGpuTopologyLevel_t, 4);
NVML_SIZE(nvmlDevice_t, 8);

/** nvmlDeviceGetPciInfo_v3. busId is "%08X:%02X:%02X.0"; ids are device << 16 | vendor. */
typedef struct nvmlPciInfo_st {
	char busIdLegacy[NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE];
	unsigned int domain;
	unsigned int bus;
	unsigned int device;
	unsigned int pciDeviceId;
	unsigned int pciSubSystemId;
	char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
} nvmlPciInfo_t;
NVML_SIZE(nvmlPciInfo_t, 68);
NVML_AT(nvmlPciInfo_t, busIdLegacy, 0, 16);
NVML_AT(nvmlPciInfo_t, domain, 16, 4);
NVML_AT(nvmlPciInfo_t, bus, 20, 4);
NVML_AT(nvmlPciInfo_t, device, 24, 4);
NVML_AT(nvmlPciInfo_t, pciDeviceId, 28, 4);
NVML_AT(nvmlPciInfo_t, pciSubSystemId, 32, 4);
NVML_AT(nvmlPciInfo_t, busId, 36, 32);

/** nvmlDeviceGetPciInfoExt [12.4] */
typedef struct nvmlPciInfoExt_v1_st {
	unsigned int version;
	unsigned int domain;
	unsigned int bus;
	unsigned int device;
	unsigned int pciDeviceId;
	unsigned int pciSubSystemId;
	unsigned int baseClass;
	unsigned int subClass;
	char busId[NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE];
} nvmlPciInfoExt_v1_t;
#define nvmlPciInfoExt_v1 NVML_STRUCT_VERSION(nvmlPciInfoExt_v1_t, 1u)
NVML_SIZE(nvmlPciInfoExt_v1_t, 64);
NVML_AT(nvmlPciInfoExt_v1_t, version, 0, 4);
NVML_AT(nvmlPciInfoExt_v1_t, domain, 4, 4);
NVML_AT(nvmlPciInfoExt_v1_t, bus, 8, 4);
NVML_AT(nvmlPciInfoExt_v1_t, device, 12, 4);
NVML_AT(nvmlPciInfoExt_v1_t, pciDeviceId, 16, 4);
NVML_AT(nvmlPciInfoExt_v1_t, pciSubSystemId, 20, 4);
NVML_AT(nvmlPciInfoExt_v1_t, baseClass, 24, 4);
NVML_AT(nvmlPciInfoExt_v1_t, subClass, 28, 4);
NVML_AT(nvmlPciInfoExt_v1_t, busId, 32, 32);
_Static_assert(nvmlPciInfoExt_v1 == 0x01000040u, "nvmlPciInfoExt_v1");

/** nvmlDeviceGetMemoryInfo, bytes; used = reserved + allocated. */
typedef struct nvmlMemory_st {
	unsigned long long total;
	unsigned long long free;
	unsigned long long used;
} nvmlMemory_t;
NVML_SIZE(nvmlMemory_t, 24);
NVML_AT(nvmlMemory_t, total, 0, 8);
NVML_AT(nvmlMemory_t, free, 8, 8);
NVML_AT(nvmlMemory_t, used, 16, 8);

/** nvmlDeviceGetMemoryInfo_v2 [11.7] */
typedef struct nvmlMemory_v2_st {
	unsigned int version;
	unsigned long long total;
	unsigned long long reserved;
	unsigned long long free;
	unsigned long long used;
} nvmlMemory_v2_t;
#define nvmlMemory_v2 NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2u)
NVML_SIZE(nvmlMemory_v2_t, 40);
NVML_AT(nvmlMemory_v2_t, version, 0, 4);
NVML_AT(nvmlMemory_v2_t, total, 8, 8);
NVML_AT(nvmlMemory_v2_t, reserved, 16, 8);
NVML_AT(nvmlMemory_v2_t, free, 24, 8);
NVML_AT(nvmlMemory_v2_t, used, 32, 8);
_Static_assert(nvmlMemory_v2 == 0x02000028u, "nvmlMemory_v2");

/** nvmlDeviceGetBAR1MemoryInfo, bytes */
typedef struct nvmlBAR1Memory_st {
	unsigned long long bar1Total;
	unsigned long long bar1Free;
	unsigned long long bar1Used;
} nvmlBAR1Memory_t;
NVML_SIZE(nvmlBAR1Memory_t, 24);
NVML_AT(nvmlBAR1Memory_t, bar1Total, 0, 8);
NVML_AT(nvmlBAR1Memory_t, bar1Free, 8, 8);
NVML_AT(nvmlBAR1Memory_t, bar1Used, 16, 8);

/**
 * nvmlDeviceGet*RunningProcesses_v3 [11.7]. Early 535 drivers (before 535.104) wrote 32 bytes per
 * element into this array: give the call twice the room it asks for.
 */
typedef struct nvmlProcessInfo_v2_st {
	unsigned int pid;
	unsigned long long usedGpuMemory;
	unsigned int gpuInstanceId;
	unsigned int computeInstanceId;
} nvmlProcessInfo_v2_t, nvmlProcessInfo_t;
NVML_SIZE(nvmlProcessInfo_t, 24);
NVML_AT(nvmlProcessInfo_t, pid, 0, 4);
NVML_AT(nvmlProcessInfo_t, usedGpuMemory, 8, 8);
NVML_AT(nvmlProcessInfo_t, gpuInstanceId, 16, 4);
NVML_AT(nvmlProcessInfo_t, computeInstanceId, 20, 4);

/** nvmlDeviceGetAttributes_v2: MIG device handles only. memorySizeMB is MiB, here and below. */
typedef struct nvmlDeviceAttributes_st {
	unsigned int multiprocessorCount;
	unsigned int sharedCopyEngineCount;
	unsigned int sharedDecoderCount;
	unsigned int sharedEncoderCount;
	unsigned int sharedJpegCount;
	unsigned int sharedOfaCount;
	unsigned int gpuInstanceSliceCount;
	unsigned int computeInstanceSliceCount;
	unsigned long long memorySizeMB;
} nvmlDeviceAttributes_t;
NVML_SIZE(nvmlDeviceAttributes_t, 40);
NVML_AT(nvmlDeviceAttributes_t, multiprocessorCount, 0, 4);
NVML_AT(nvmlDeviceAttributes_t, sharedCopyEngineCount, 4, 4);
NVML_AT(nvmlDeviceAttributes_t, sharedDecoderCount, 8, 4);
NVML_AT(nvmlDeviceAttributes_t, sharedEncoderCount, 12, 4);
NVML_AT(nvmlDeviceAttributes_t, sharedJpegCount, 16, 4);
NVML_AT(nvmlDeviceAttributes_t, sharedOfaCount, 20, 4);
NVML_AT(nvmlDeviceAttributes_t, gpuInstanceSliceCount, 24, 4);
NVML_AT(nvmlDeviceAttributes_t, computeInstanceSliceCount, 28, 4);
NVML_AT(nvmlDeviceAttributes_t, memorySizeMB, 32, 8);

/** In memory slices. */
typedef struct nvmlGpuInstancePlacement_st {
	unsigned int start;
	unsigned int size;
} nvmlGpuInstancePlacement_t;
NVML_SIZE(nvmlGpuInstancePlacement_t, 8);
NVML_AT(nvmlGpuInstancePlacement_t, start, 0, 4);
NVML_AT(nvmlGpuInstancePlacement_t, size, 4, 4);

/** nvmlDeviceGetGpuInstanceProfileInfo. id (19, 14, ...) is what every other GI call wants. */
typedef struct nvmlGpuInstanceProfileInfo_st {
	unsigned int id;
	unsigned int isP2pSupported;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int copyEngineCount;
	unsigned int decoderCount;
	unsigned int encoderCount;
	unsigned int jpegCount;
	unsigned int ofaCount;
	unsigned long long memorySizeMB;
} nvmlGpuInstanceProfileInfo_t;
NVML_SIZE(nvmlGpuInstanceProfileInfo_t, 48);
NVML_AT(nvmlGpuInstanceProfileInfo_t, id, 0, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, isP2pSupported, 4, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, sliceCount, 8, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, instanceCount, 12, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, multiprocessorCount, 16, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, copyEngineCount, 20, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, decoderCount, 24, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, encoderCount, 28, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, jpegCount, 32, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, ofaCount, 36, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_t, memorySizeMB, 40, 8);

/** nvmlDeviceGetGpuInstanceProfileInfoV [11.7] */
typedef struct nvmlGpuInstanceProfileInfo_v2_st {
	unsigned int version;
	unsigned int id;
	unsigned int isP2pSupported;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int copyEngineCount;
	unsigned int decoderCount;
	unsigned int encoderCount;
	unsigned int jpegCount;
	unsigned int ofaCount;
	unsigned long long memorySizeMB;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
} nvmlGpuInstanceProfileInfo_v2_t;
#define nvmlGpuInstanceProfileInfo_v2 NVML_STRUCT_VERSION(nvmlGpuInstanceProfileInfo_v2_t, 2u)
NVML_SIZE(nvmlGpuInstanceProfileInfo_v2_t, 152);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, version, 0, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, id, 4, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, isP2pSupported, 8, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, sliceCount, 12, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, instanceCount, 16, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, multiprocessorCount, 20, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, copyEngineCount, 24, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, decoderCount, 28, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, encoderCount, 32, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, jpegCount, 36, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, ofaCount, 40, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, memorySizeMB, 48, 8);
NVML_AT(nvmlGpuInstanceProfileInfo_v2_t, name, 56, 96);
_Static_assert(nvmlGpuInstanceProfileInfo_v2 == 0x02000098u, "nvmlGpuInstanceProfileInfo_v2");

/** The same call [12.3]. Same size as v2, other fields: a wrong version reads shifted numbers. */
typedef struct nvmlGpuInstanceProfileInfo_v3_st {
	unsigned int version;
	unsigned int id;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int copyEngineCount;
	unsigned int decoderCount;
	unsigned int encoderCount;
	unsigned int jpegCount;
	unsigned int ofaCount;
	unsigned long long memorySizeMB;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	unsigned int capabilities; /* NVML_GPU_INSTANCE_PROFILE_CAPS_* */
} nvmlGpuInstanceProfileInfo_v3_t;
#define nvmlGpuInstanceProfileInfo_v3 NVML_STRUCT_VERSION(nvmlGpuInstanceProfileInfo_v3_t, 3u)
NVML_SIZE(nvmlGpuInstanceProfileInfo_v3_t, 152);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, version, 0, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, id, 4, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, sliceCount, 8, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, instanceCount, 12, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, multiprocessorCount, 16, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, copyEngineCount, 20, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, decoderCount, 24, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, encoderCount, 28, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, jpegCount, 32, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, ofaCount, 36, 4);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, memorySizeMB, 40, 8);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, name, 48, 96);
NVML_AT(nvmlGpuInstanceProfileInfo_v3_t, capabilities, 144, 4);
_Static_assert(nvmlGpuInstanceProfileInfo_v3 == 0x03000098u, "nvmlGpuInstanceProfileInfo_v3");

/** nvmlGpuInstanceGetInfo */
typedef struct nvmlGpuInstanceInfo_st {
	nvmlDevice_t device; /* the parent GPU */
	unsigned int id;
	unsigned int profileId;
	nvmlGpuInstancePlacement_t placement;
} nvmlGpuInstanceInfo_t;
NVML_SIZE(nvmlGpuInstanceInfo_t, 24);
NVML_AT(nvmlGpuInstanceInfo_t, device, 0, 8);
NVML_AT(nvmlGpuInstanceInfo_t, id, 8, 4);
NVML_AT(nvmlGpuInstanceInfo_t, profileId, 12, 4);
NVML_AT(nvmlGpuInstanceInfo_t, placement, 16, 8);

/** In compute slices of its GPU instance. */
typedef struct nvmlComputeInstancePlacement_st {
	unsigned int start;
	unsigned int size;
} nvmlComputeInstancePlacement_t;
NVML_SIZE(nvmlComputeInstancePlacement_t, 8);
NVML_AT(nvmlComputeInstancePlacement_t, start, 0, 4);
NVML_AT(nvmlComputeInstancePlacement_t, size, 4, 4);

/** nvmlGpuInstanceGetComputeInstanceProfileInfo */
typedef struct nvmlComputeInstanceProfileInfo_st {
	unsigned int id;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int sharedCopyEngineCount;
	unsigned int sharedDecoderCount;
	unsigned int sharedEncoderCount;
	unsigned int sharedJpegCount;
	unsigned int sharedOfaCount;
} nvmlComputeInstanceProfileInfo_t;
NVML_SIZE(nvmlComputeInstanceProfileInfo_t, 36);
NVML_AT(nvmlComputeInstanceProfileInfo_t, id, 0, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sliceCount, 4, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, instanceCount, 8, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, multiprocessorCount, 12, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sharedCopyEngineCount, 16, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sharedDecoderCount, 20, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sharedEncoderCount, 24, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sharedJpegCount, 28, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_t, sharedOfaCount, 32, 4);

/** nvmlGpuInstanceGetComputeInstanceProfileInfoV [11.7]; v3 [12.3] appends capabilities */
typedef struct nvmlComputeInstanceProfileInfo_v2_st {
	unsigned int version;
	unsigned int id;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int sharedCopyEngineCount;
	unsigned int sharedDecoderCount;
	unsigned int sharedEncoderCount;
	unsigned int sharedJpegCount;
	unsigned int sharedOfaCount;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
} nvmlComputeInstanceProfileInfo_v2_t;
typedef struct nvmlComputeInstanceProfileInfo_v3_st {
	unsigned int version;
	unsigned int id;
	unsigned int sliceCount;
	unsigned int instanceCount;
	unsigned int multiprocessorCount;
	unsigned int sharedCopyEngineCount;
	unsigned int sharedDecoderCount;
	unsigned int sharedEncoderCount;
	unsigned int sharedJpegCount;
	unsigned int sharedOfaCount;
	char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
	unsigned int capabilities;
} nvmlComputeInstanceProfileInfo_v3_t;
#define nvmlComputeInstanceProfileInfo_v2                                                          \
	NVML_STRUCT_VERSION(nvmlComputeInstanceProfileInfo_v2_t, 2u)
#define nvmlComputeInstanceProfileInfo_v3                                                          \
	NVML_STRUCT_VERSION(nvmlComputeInstanceProfileInfo_v3_t, 3u)
NVML_SIZE(nvmlComputeInstanceProfileInfo_v2_t, 136);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, version, 0, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, id, 4, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sliceCount, 8, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, instanceCount, 12, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, multiprocessorCount, 16, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sharedCopyEngineCount, 20, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sharedDecoderCount, 24, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sharedEncoderCount, 28, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sharedJpegCount, 32, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, sharedOfaCount, 36, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v2_t, name, 40, 96);
NVML_SIZE(nvmlComputeInstanceProfileInfo_v3_t, 140);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, version, 0, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, id, 4, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sliceCount, 8, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, instanceCount, 12, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, multiprocessorCount, 16, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sharedCopyEngineCount, 20, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sharedDecoderCount, 24, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sharedEncoderCount, 28, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sharedJpegCount, 32, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, sharedOfaCount, 36, 4);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, name, 40, 96);
NVML_AT(nvmlComputeInstanceProfileInfo_v3_t, capabilities, 136, 4);
_Static_assert(nvmlComputeInstanceProfileInfo_v2 == 0x02000088u, "ComputeInstanceProfileInfo_v2");
_Static_assert(nvmlComputeInstanceProfileInfo_v3 == 0x0300008cu, "ComputeInstanceProfileInfo_v3");

/** nvmlComputeInstanceGetInfo_v2 [11.2]; device is the MIG device's handle, not the parent's. */
typedef struct nvmlComputeInstanceInfo_st {
	nvmlDevice_t device;
	nvmlGpuInstance_t gpuInstance;
	unsigned int id;
	unsigned int profileId;
	nvmlComputeInstancePlacement_t placement;
} nvmlComputeInstanceInfo_t;
NVML_SIZE(nvmlComputeInstanceInfo_t, 32);
NVML_AT(nvmlComputeInstanceInfo_t, device, 0, 8);
NVML_AT(nvmlComputeInstanceInfo_t, gpuInstance, 8, 8);
NVML_AT(nvmlComputeInstanceInfo_t, id, 16, 4);
NVML_AT(nvmlComputeInstanceInfo_t, profileId, 20, 4);
NVML_AT(nvmlComputeInstanceInfo_t, placement, 24, 8);

/** nvmlEventSetWait_v2; eventData is the XID. nvmlEventSetWait (v1) leaves the ids untouched. */
typedef struct nvmlEventData_st {
	nvmlDevice_t device;
	unsigned long long eventType;
	unsigned long long eventData;
	unsigned int gpuInstanceId; /* NVML_NO_INSTANCE: the whole GPU */
	unsigned int computeInstanceId;
} nvmlEventData_t;
NVML_SIZE(nvmlEventData_t, 32);
NVML_AT(nvmlEventData_t, device, 0, 8);
NVML_AT(nvmlEventData_t, eventType, 8, 8);
NVML_AT(nvmlEventData_t, eventData, 16, 8);
NVML_AT(nvmlEventData_t, gpuInstanceId, 24, 4);
NVML_AT(nvmlEventData_t, computeInstanceId, 28, 4);

/** nvmlDeviceGetGpuFabricInfo [12.0], deprecated in 13.0 */
typedef struct nvmlGpuFabricInfo_st {
	unsigned char clusterUuid[NVML_GPU_FABRIC_UUID_LEN];
	nvmlReturn_t status;
	unsigned int cliqueId;
	unsigned char state;
} nvmlGpuFabricInfo_t;
NVML_SIZE(nvmlGpuFabricInfo_t, 28);
NVML_AT(nvmlGpuFabricInfo_t, clusterUuid, 0, 16);
NVML_AT(nvmlGpuFabricInfo_t, status, 16, 4);
NVML_AT(nvmlGpuFabricInfo_t, cliqueId, 20, 4);
NVML_AT(nvmlGpuFabricInfo_t, state, 24, 1);

/** nvmlDeviceGetGpuFabricInfoV: v2 [12.4], v3 [13.0]; ask v3, then v2 on 25 or 2. */
typedef struct nvmlGpuFabricInfo_v2_st {
	unsigned int version;
	unsigned char clusterUuid[NVML_GPU_FABRIC_UUID_LEN];
	nvmlReturn_t status;
	unsigned int cliqueId;
	unsigned char state;
	unsigned int healthMask;
} nvmlGpuFabricInfo_v2_t;
typedef struct nvmlGpuFabricInfo_v3_st {
	unsigned int version;
	unsigned char clusterUuid[NVML_GPU_FABRIC_UUID_LEN];
	nvmlReturn_t status;
	unsigned int cliqueId;
	unsigned char state;
	unsigned int healthMask;
	unsigned char healthSummary;
} nvmlGpuFabricInfo_v3_t, nvmlGpuFabricInfoV_t;
#define nvmlGpuFabricInfo_v2 NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v2_t, 2u)
#define nvmlGpuFabricInfo_v3 NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v3_t, 3u)
NVML_SIZE(nvmlGpuFabricInfo_v2_t, 36);
NVML_AT(nvmlGpuFabricInfo_v2_t, version, 0, 4);
NVML_AT(nvmlGpuFabricInfo_v2_t, clusterUuid, 4, 16);
NVML_AT(nvmlGpuFabricInfo_v2_t, status, 20, 4);
NVML_AT(nvmlGpuFabricInfo_v2_t, cliqueId, 24, 4);
NVML_AT(nvmlGpuFabricInfo_v2_t, state, 28, 1);
NVML_AT(nvmlGpuFabricInfo_v2_t, healthMask, 32, 4);
NVML_SIZE(nvmlGpuFabricInfo_v3_t, 40);
NVML_AT(nvmlGpuFabricInfo_v3_t, version, 0, 4);
NVML_AT(nvmlGpuFabricInfo_v3_t, clusterUuid, 4, 16);
NVML_AT(nvmlGpuFabricInfo_v3_t, status, 20, 4);
NVML_AT(nvmlGpuFabricInfo_v3_t, cliqueId, 24, 4);
NVML_AT(nvmlGpuFabricInfo_v3_t, state, 28, 1);
NVML_AT(nvmlGpuFabricInfo_v3_t, healthMask, 32, 4);
NVML_AT(nvmlGpuFabricInfo_v3_t, healthSummary, 36, 1);
_Static_assert(nvmlGpuFabricInfo_v2 == 0x02000024u, "nvmlGpuFabricInfo_v2");
_Static_assert(nvmlGpuFabricInfo_v3 == 0x03000028u, "nvmlGpuFabricInfo_v3");

/** nvmlDeviceGetAddressingMode [13.0] */
typedef struct nvmlDeviceAddressingMode_v1_st {
	unsigned int version;
	unsigned int value; /* NVML_DEVICE_ADDRESSING_MODE_* */
} nvmlDeviceAddressingMode_v1_t;
#define nvmlDeviceAddressingMode_v1 NVML_STRUCT_VERSION(nvmlDeviceAddressingMode_v1_t, 1u)
NVML_SIZE(nvmlDeviceAddressingMode_v1_t, 8);
NVML_AT(nvmlDeviceAddressingMode_v1_t, version, 0, 4);
NVML_AT(nvmlDeviceAddressingMode_v1_t, value, 4, 4);
_Static_assert(nvmlDeviceAddressingMode_v1 == 0x01000008u, "nvmlDeviceAddressingMode_v1");

/** nvmlSystemGetConfComputeState [12.2] */
typedef struct nvmlConfComputeSystemState_st {
	unsigned int environment;
	unsigned int ccFeature;
	unsigned int devToolsMode;
} nvmlConfComputeSystemState_t;
NVML_SIZE(nvmlConfComputeSystemState_t, 12);
NVML_AT(nvmlConfComputeSystemState_t, environment, 0, 4);
NVML_AT(nvmlConfComputeSystemState_t, ccFeature, 4, 4);
NVML_AT(nvmlConfComputeSystemState_t, devToolsMode, 8, 4);

/** nvmlSystemGetConfComputeCapabilities [12.2] */
typedef struct nvmlConfComputeSystemCaps_st {
	unsigned int cpuCaps;
	unsigned int gpusCaps;
} nvmlConfComputeSystemCaps_t;
NVML_SIZE(nvmlConfComputeSystemCaps_t, 8);
NVML_AT(nvmlConfComputeSystemCaps_t, cpuCaps, 0, 4);
NVML_AT(nvmlConfComputeSystemCaps_t, gpusCaps, 4, 4);

/** nvmlSystemGetConfComputeSettings [12.4] */
typedef struct nvmlSystemConfComputeSettings_v1_st {
	unsigned int version;
	unsigned int environment;
	unsigned int ccFeature;
	unsigned int devToolsMode;
	unsigned int multiGpuMode;
} nvmlSystemConfComputeSettings_v1_t;
#define nvmlSystemConfComputeSettings_v1 NVML_STRUCT_VERSION(nvmlSystemConfComputeSettings_v1_t, 1u)
NVML_SIZE(nvmlSystemConfComputeSettings_v1_t, 20);
NVML_AT(nvmlSystemConfComputeSettings_v1_t, version, 0, 4);
NVML_AT(nvmlSystemConfComputeSettings_v1_t, environment, 4, 4);
NVML_AT(nvmlSystemConfComputeSettings_v1_t, ccFeature, 8, 4);
NVML_AT(nvmlSystemConfComputeSettings_v1_t, devToolsMode, 12, 4);
NVML_AT(nvmlSystemConfComputeSettings_v1_t, multiGpuMode, 16, 4);
_Static_assert(nvmlSystemConfComputeSettings_v1 == 0x01000014u, "SystemConfComputeSettings_v1");

/** nvmlDeviceGetPlatformInfo [12.8] */
typedef struct nvmlPlatformInfo_v1_st {
	unsigned int version;
	unsigned char ibGuid[16];
	unsigned char rackGuid[16];
	unsigned char chassisPhysicalSlotNumber;
	unsigned char computeSlotIndex;
	unsigned char nodeIndex;
	unsigned char peerType;
	unsigned char moduleId;
} nvmlPlatformInfo_v1_t;
typedef struct nvmlPlatformInfo_v2_st {
	unsigned int version;
	unsigned char ibGuid[16];
	unsigned char chassisSerialNumber[16];
	unsigned char slotNumber;
	unsigned char trayIndex;
	unsigned char hostId;
	unsigned char peerType;
	unsigned char moduleId;
} nvmlPlatformInfo_v2_t, nvmlPlatformInfo_t;
#define nvmlPlatformInfo_v1 NVML_STRUCT_VERSION(nvmlPlatformInfo_v1_t, 1u)
#define nvmlPlatformInfo_v2 NVML_STRUCT_VERSION(nvmlPlatformInfo_v2_t, 2u)
NVML_SIZE(nvmlPlatformInfo_v1_t, 44);
NVML_AT(nvmlPlatformInfo_v1_t, version, 0, 4);
NVML_AT(nvmlPlatformInfo_v1_t, ibGuid, 4, 16);
NVML_AT(nvmlPlatformInfo_v1_t, rackGuid, 20, 16);
NVML_AT(nvmlPlatformInfo_v1_t, chassisPhysicalSlotNumber, 36, 1);
NVML_AT(nvmlPlatformInfo_v1_t, computeSlotIndex, 37, 1);
NVML_AT(nvmlPlatformInfo_v1_t, nodeIndex, 38, 1);
NVML_AT(nvmlPlatformInfo_v1_t, peerType, 39, 1);
NVML_AT(nvmlPlatformInfo_v1_t, moduleId, 40, 1);
NVML_SIZE(nvmlPlatformInfo_v2_t, 44);
NVML_AT(nvmlPlatformInfo_v2_t, version, 0, 4);
NVML_AT(nvmlPlatformInfo_v2_t, ibGuid, 4, 16);
NVML_AT(nvmlPlatformInfo_v2_t, chassisSerialNumber, 20, 16);
NVML_AT(nvmlPlatformInfo_v2_t, slotNumber, 36, 1);
NVML_AT(nvmlPlatformInfo_v2_t, trayIndex, 37, 1);
NVML_AT(nvmlPlatformInfo_v2_t, hostId, 38, 1);
NVML_AT(nvmlPlatformInfo_v2_t, peerType, 39, 1);
NVML_AT(nvmlPlatformInfo_v2_t, moduleId, 40, 1);
_Static_assert(nvmlPlatformInfo_v1 == 0x0100002cu, "nvmlPlatformInfo_v1");
_Static_assert(nvmlPlatformInfo_v2 == 0x0200002cu, "nvmlPlatformInfo_v2");

/** nvmlDeviceGetC2cModeInfoV [12.3]; the one V call whose struct carries no version. */
typedef struct nvmlC2cModeInfo_v1_st {
	unsigned int isC2cEnabled;
} nvmlC2cModeInfo_v1_t;
NVML_SIZE(nvmlC2cModeInfo_v1_t, 4);
NVML_AT(nvmlC2cModeInfo_v1_t, isC2cEnabled, 0, 4);

#undef NVML_AT
#undef NVML_SIZE
