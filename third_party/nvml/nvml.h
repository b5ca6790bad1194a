#pragma once
/*
 * The part of the NVML ABI that tundra calls, declared by us (README.md says from which versions
 * and why no packaged header is used). NVML keeps its own names here: whoever greps for an NVML
 * function or type finds it. A name in brackets, [12.4], is the CUDA header that first has it;
 * everything without one is in 11.1 (driver 455) or older. Nothing here may be "tidied": layouts
 * and values belong to NVIDIA, the static asserts hold on every LP64 Linux.
 *
 * Functions are in nvml_symbols.h, one list for prototypes, the dlopen table and the tests.
 */
#include <stddef.h>

/** nvmlReturn_t: 4-byte enum. 1 also means "driver was reloaded under you"; 23 a taken placement.
 */
typedef enum nvmlReturn_enum {
	NVML_SUCCESS = 0,
	NVML_ERROR_UNINITIALIZED = 1,
	NVML_ERROR_INVALID_ARGUMENT = 2,
	NVML_ERROR_NOT_SUPPORTED = 3,
	NVML_ERROR_NO_PERMISSION = 4,
	NVML_ERROR_ALREADY_INITIALIZED = 5,
	NVML_ERROR_NOT_FOUND = 6,
	NVML_ERROR_INSUFFICIENT_SIZE = 7,
	NVML_ERROR_INSUFFICIENT_POWER = 8,
	NVML_ERROR_DRIVER_NOT_LOADED = 9,
	NVML_ERROR_TIMEOUT = 10,
	NVML_ERROR_IRQ_ISSUE = 11,
	NVML_ERROR_LIBRARY_NOT_FOUND = 12,
	NVML_ERROR_FUNCTION_NOT_FOUND = 13,
	NVML_ERROR_CORRUPTED_INFOROM = 14,
	NVML_ERROR_GPU_IS_LOST = 15,
	NVML_ERROR_RESET_REQUIRED = 16,
	NVML_ERROR_OPERATING_SYSTEM = 17,
	NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
	NVML_ERROR_IN_USE = 19,
	NVML_ERROR_MEMORY = 20,
	NVML_ERROR_NO_DATA = 21,
	NVML_ERROR_VGPU_ECC_NOT_SUPPORTED = 22,
	NVML_ERROR_INSUFFICIENT_RESOURCES = 23,
	NVML_ERROR_FREQ_NOT_SUPPORTED = 24,	   /* [11.4] */
	NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25, /* [11.8] */
	NVML_ERROR_DEPRECATED = 26,		   /* [12.0] */
	NVML_ERROR_NOT_READY = 27,		   /* [12.2] */
	NVML_ERROR_GPU_NOT_FOUND = 28,		   /* [12.3] */
	NVML_ERROR_INVALID_STATE = 29,		   /* [12.4] */
	NVML_ERROR_RESET_TYPE_NOT_SUPPORTED = 30,  /* [13.0] */
	NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

/** Opaque handles; all are pointers owned by the library and die with a driver reload. */
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef struct nvmlGpuInstance_st *nvmlGpuInstance_t;
typedef struct nvmlComputeInstance_st *nvmlComputeInstance_t;
typedef struct nvmlEventSet_st *nvmlEventSet_t;

typedef enum nvmlEnableState_enum {
	NVML_FEATURE_DISABLED = 0,
	NVML_FEATURE_ENABLED = 1,
} nvmlEnableState_t;

typedef enum nvmlComputeMode_enum {
	NVML_COMPUTEMODE_DEFAULT = 0,
	NVML_COMPUTEMODE_EXCLUSIVE_THREAD = 1, /* removed; SetComputeMode refuses it */
	NVML_COMPUTEMODE_PROHIBITED = 2,
	NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = 3,
} nvmlComputeMode_t;

typedef enum nvmlBrandType_enum {
	NVML_BRAND_UNKNOWN = 0,
	NVML_BRAND_QUADRO = 1,
	NVML_BRAND_TESLA = 2,
	NVML_BRAND_NVS = 3,
	NVML_BRAND_GRID = 4,
	NVML_BRAND_GEFORCE = 5,
	NVML_BRAND_TITAN = 6,
	NVML_BRAND_NVIDIA_VAPPS = 7,
	NVML_BRAND_NVIDIA_VPC = 8,
	NVML_BRAND_NVIDIA_VCS = 9,
	NVML_BRAND_NVIDIA_VWS = 10,
	NVML_BRAND_NVIDIA_CLOUD_GAMING = 11,
	NVML_BRAND_QUADRO_RTX = 12,
	NVML_BRAND_NVIDIA_RTX = 13,
	NVML_BRAND_NVIDIA = 14,
	NVML_BRAND_GEFORCE_RTX = 15,
	NVML_BRAND_TITAN_RTX = 16,
	NVML_BRAND_COUNT = 17,
} nvmlBrandType_t;

/** nvmlDeviceGetArchitecture; new values appear with every generation, so expect unlisted ones. */
typedef unsigned int nvmlDeviceArchitecture_t;
#define NVML_DEVICE_ARCH_KEPLER	   2
#define NVML_DEVICE_ARCH_MAXWELL   3
#define NVML_DEVICE_ARCH_PASCAL	   4
#define NVML_DEVICE_ARCH_VOLTA	   5
#define NVML_DEVICE_ARCH_TURING	   6
#define NVML_DEVICE_ARCH_AMPERE	   7
#define NVML_DEVICE_ARCH_ADA	   8  /* [11.8] */
#define NVML_DEVICE_ARCH_HOPPER	   9  /* [11.8] */
#define NVML_DEVICE_ARCH_BLACKWELL 10 /* [12.6] */
#define NVML_DEVICE_ARCH_RUBIN	   13 /* [13.3] */
#define NVML_DEVICE_ARCH_UNKNOWN   0xffffffffu

typedef enum nvmlGpuVirtualizationMode_enum {
	NVML_GPU_VIRTUALIZATION_MODE_NONE = 0,
	NVML_GPU_VIRTUALIZATION_MODE_PASSTHROUGH = 1,
	NVML_GPU_VIRTUALIZATION_MODE_VGPU = 2,
	NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU = 3,
	NVML_GPU_VIRTUALIZATION_MODE_HOST_VSGA = 4,
} nvmlGpuVirtualizationMode_t;

/** nvmlDeviceGetNvLinkRemoteDeviceType [11.4] */
typedef enum nvmlIntNvLinkDeviceType_enum {
	NVML_NVLINK_DEVICE_TYPE_GPU = 0x00,
	NVML_NVLINK_DEVICE_TYPE_IBMNPU = 0x01,
	NVML_NVLINK_DEVICE_TYPE_SWITCH = 0x02,
	NVML_NVLINK_DEVICE_TYPE_UNKNOWN = 0xFF,
} nvmlIntNvLinkDeviceType_t;

/** nvmlDeviceGetTopologyCommonAncestor; spaced for future levels. */
typedef enum nvmlGpuLevel_enum {
	NVML_TOPOLOGY_INTERNAL = 0,
	NVML_TOPOLOGY_SINGLE = 10,     /* one PCIe switch */
	NVML_TOPOLOGY_MULTIPLE = 20,   /* several switches, no host bridge */
	NVML_TOPOLOGY_HOSTBRIDGE = 30, /* the same host bridge */
	NVML_TOPOLOGY_NODE = 40,       /* the same NUMA node */
	NVML_TOPOLOGY_SYSTEM = 50,
} nvmlGpuTopologyLevel_t;

#define NVML_INIT_FLAG_NO_GPUS	  1 /* 0 GPUs is no error */
#define NVML_INIT_FLAG_NO_ATTACH  2
#define NVML_INIT_FLAG_FORCE_INIT 4 /* [13.1] */
#define NVML_DEVICE_MIG_DISABLE	  0
#define NVML_DEVICE_MIG_ENABLE	  1
/** Link numbers go from 0; grew 6, 12, 18, 36: loop until INVALID_ARGUMENT rather than to this. */
#define NVML_NVLINK_MAX_LINKS	 36
#define NVML_VALUE_NOT_AVAILABLE (-1)
#define NVML_NO_INSTANCE	 0xFFFFFFFFu /* ours: gpuInstanceId "whole GPU" in events, processes */

#define NVML_DEVICE_UUID_BUFFER_SIZE	       80
#define NVML_DEVICE_UUID_V2_BUFFER_SIZE	       96
#define NVML_DEVICE_NAME_BUFFER_SIZE	       64
#define NVML_DEVICE_NAME_V2_BUFFER_SIZE	       96
#define NVML_DEVICE_SERIAL_BUFFER_SIZE	       30
#define NVML_DEVICE_PART_NUMBER_BUFFER_SIZE    80
#define NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE 80
#define NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE   80
#define NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE     32
#define NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE  16
#define NVML_GPU_FABRIC_UUID_LEN	       16

/** nvmlDeviceGetGpuInstanceProfileInfo's argument (an enum, not the profile's id). */
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE	 0
#define NVML_GPU_INSTANCE_PROFILE_2_SLICE	 1
#define NVML_GPU_INSTANCE_PROFILE_3_SLICE	 2
#define NVML_GPU_INSTANCE_PROFILE_4_SLICE	 3
#define NVML_GPU_INSTANCE_PROFILE_7_SLICE	 4
#define NVML_GPU_INSTANCE_PROFILE_8_SLICE	 5
#define NVML_GPU_INSTANCE_PROFILE_6_SLICE	 6
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1	 7  /* +me [11.4] */
#define NVML_GPU_INSTANCE_PROFILE_2_SLICE_REV1	 8  /* +me */
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2	 9  /* double memory [12.0] */
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE_GFX	 10 /* +gfx */
#define NVML_GPU_INSTANCE_PROFILE_2_SLICE_GFX	 11
#define NVML_GPU_INSTANCE_PROFILE_4_SLICE_GFX	 12
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE_NO_ME	 13 /* -me */
#define NVML_GPU_INSTANCE_PROFILE_2_SLICE_NO_ME	 14
#define NVML_GPU_INSTANCE_PROFILE_1_SLICE_ALL_ME 15 /* +me.all */
#define NVML_GPU_INSTANCE_PROFILE_2_SLICE_ALL_ME 16
#define NVML_GPU_INSTANCE_PROFILE_3_SLICE_GFX	 17 /* [13.2] */
#define NVML_GPU_INSTANCE_PROFILE_COUNT		 18 /* 6 in 11.1, 10 in 12.4: never a contract */

#define NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE	    0
#define NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE	    1
#define NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE	    2
#define NVML_COMPUTE_INSTANCE_PROFILE_4_SLICE	    3
#define NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE	    4
#define NVML_COMPUTE_INSTANCE_PROFILE_8_SLICE	    5
#define NVML_COMPUTE_INSTANCE_PROFILE_6_SLICE	    6
#define NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE_REV1  7
#define NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE_NVL   8
#define NVML_COMPUTE_INSTANCE_PROFILE_COUNT	    9
#define NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED 0

/** capabilities of nvmlGpuInstanceProfileInfo_v3_t [12.3] */
#define NVML_GPU_INSTANCE_PROFILE_CAPS_P2P 0x1
#define NVML_GPU_INSTANCE_PROFILE_CAPS_GFX 0x2

/** Event type bits of nvmlDeviceRegisterEvents. */
#define nvmlEventTypeNone		    0x0000ULL
#define nvmlEventTypeSingleBitEccError	    0x0001ULL
#define nvmlEventTypeDoubleBitEccError	    0x0002ULL
#define nvmlEventTypePState		    0x0004ULL
#define nvmlEventTypeXidCriticalError	    0x0008ULL
#define nvmlEventTypeClock		    0x0010ULL
#define nvmlEventTypePowerSourceChange	    0x0080ULL
#define nvmlEventMigConfigChange	    0x0100ULL
#define nvmlEventTypeSingleBitEccErrorStorm 0x0200ULL
#define nvmlEventTypeDramRetirementEvent    0x0400ULL
#define nvmlEventTypeDramRetirementFailure  0x0800ULL
#define nvmlEventTypeNonFatalPoisonError    0x1000ULL
#define nvmlEventTypeFatalPoisonError	    0x2000ULL
#define nvmlEventTypeGpuUnavailableError    0x4000ULL /* [12.8] */
#define nvmlEventTypeGpuRecoveryAction	    0x8000ULL /* [12.8] */

#define NVML_DEVICE_ADDRESSING_MODE_NONE 0
#define NVML_DEVICE_ADDRESSING_MODE_HMM	 1
#define NVML_DEVICE_ADDRESSING_MODE_ATS	 2

/** state of the fabric structs, 1 byte */
#define NVML_GPU_FABRIC_STATE_NOT_SUPPORTED 0
#define NVML_GPU_FABRIC_STATE_NOT_STARTED   1
#define NVML_GPU_FABRIC_STATE_IN_PROGRESS   2
#define NVML_GPU_FABRIC_STATE_COMPLETED	    3

/** healthMask is 2- and 4-bit fields; this is every one of them "no fault". */
#define NVML_GPU_FABRIC_HEALTH_MASK_CLEAR 0x1aa

/** healthSummary of nvmlGpuFabricInfo_v3_t */
#define NVML_GPU_FABRIC_HEALTH_SUMMARY_NOT_SUPPORTED	0
#define NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY		1
#define NVML_GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY	2
#define NVML_GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY 3

#define NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE 0
#define NVML_CC_SYSTEM_ENVIRONMENT_SIM	       1
#define NVML_CC_SYSTEM_ENVIRONMENT_PROD	       2
#define NVML_CC_SYSTEM_FEATURE_DISABLED	       0
#define NVML_CC_SYSTEM_FEATURE_ENABLED	       1
#define NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF       0
#define NVML_CC_SYSTEM_DEVTOOLS_MODE_ON	       1
#define NVML_CC_SYSTEM_MULTIGPU_NONE	       0
#define NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE 1
#define NVML_CC_SYSTEM_MULTIGPU_NVLE	       2 /* [13.0] */

#include "third_party/nvml/nvml_structs.h"
#include "third_party/nvml/nvml_symbols.h"
