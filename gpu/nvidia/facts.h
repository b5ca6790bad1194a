#pragma once
/*
 * What NVML, sysfs and the driver's files say, as plain numbers and text: gathered by
 * gpu/nvidia/worker in the worker process, judged by gpu/nvidia/model in tundra. Raw on purpose:
 * what a number means (names, versions, islands) is decided in one place, without hardware.
 */
#include "gpu/topology.h"

struct buf;

enum { NVIDIA_TEXT_MAX = 95, NVIDIA_UNKNOWN = -1 };

/* Facts that exist but could not be had this time: busy, timed out, a file that failed to read. */
enum {
	NVIDIA_UNTOLD_ADDRESSING = 1 << 0,
	NVIDIA_UNTOLD_ECC = 1 << 1,
	NVIDIA_UNTOLD_MIG = 1 << 2,
	NVIDIA_UNTOLD_SERIAL = 1 << 3,
	NVIDIA_UNTOLD_BRAND = 1 << 4,
	NVIDIA_UNTOLD_ARCHITECTURE = 1 << 5,
	NVIDIA_UNTOLD_PATH = 1 << 6,
	NVIDIA_UNTOLD_NUMA = 1 << 7,
};

struct nvidia_system {
	char driver_version[NVIDIA_TEXT_MAX + 1];      /* "580.65.06" */
	uint32_t cuda_version;			       /* 13000; 0 = unknown */
	int64_t cc_feature, cc_devtools, cc_multi_gpu; /* enums of NVML, NVIDIA_UNKNOWN */
};

struct nvidia_gpu {
	char uuid[NVIDIA_TEXT_MAX + 1], name[NVIDIA_TEXT_MAX + 1], serial[NVIDIA_TEXT_MAX + 1];
	char pci[PCI_TEXT_MAX + 1];
	char path[TOPOLOGY_PATH_MAX + 1]; /* in sysfs, behind "devices/"; "" = unknown */
	uint32_t brand, architecture, cc_major, cc_minor;
	int64_t minor;	       /* -1: the platform has none (WSL) */
	uint32_t index;	       /* NVML's, for names where there is no minor */
	uint64_t memory_total; /* bytes; 0 = not reported */
	int64_t numa;	       /* of the PCI device; negative = none */
	/* enums and states of NVML; NVIDIA_UNKNOWN = not supported or not told */
	int64_t addressing, ecc, mig_mode;
	uint32_t untold; /* NVIDIA_UNTOLD_*: the field says nothing */
	bool switched;	 /* NVLinks to an NVSwitch */
	char peers[TOPOLOGY_PEERS_MAX][PCI_TEXT_MAX + 1];
	size_t peers_n;
};

void nvidia_system_put(struct buf *b, const struct nvidia_system *s);
int nvidia_system_get(struct sv bytes, struct nvidia_system *s) NODISCARD; /* -EBADMSG */
void nvidia_gpu_put(struct buf *b, const struct nvidia_gpu *g);
int nvidia_gpu_get(struct sv bytes, struct nvidia_gpu *g) NODISCARD; /* -EBADMSG */
