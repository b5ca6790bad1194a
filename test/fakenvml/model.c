#include "test/fakenvml/model.h"

#include <string.h>

#define P(x) NVML_GPU_INSTANCE_PROFILE_##x

/* profile, id, slices, instances, SM, CE, DEC, JPEG, OFA, MiB */
static const struct model_gi gi_a100[] = {
	{ P(1_SLICE), 19, 1, 7, 14, 1, 0, 0, 0, 4864, "MIG 1g.5gb" },
	{ P(1_SLICE_REV1), 20, 1, 1, 14, 1, 1, 1, 1, 4864, "MIG 1g.5gb+me" },
	{ P(1_SLICE_REV2), 15, 1, 4, 14, 1, 1, 0, 0, 9984, "MIG 1g.10gb" },
	{ P(2_SLICE), 14, 2, 3, 28, 2, 1, 0, 0, 9984, "MIG 2g.10gb" },
	{ P(3_SLICE), 9, 3, 2, 42, 3, 2, 0, 0, 20096, "MIG 3g.20gb" },
	{ P(4_SLICE), 5, 4, 1, 56, 4, 2, 0, 0, 20096, "MIG 4g.20gb" },
	{ P(7_SLICE), 0, 7, 1, 98, 7, 5, 1, 1, 40320, "MIG 7g.40gb" },
};
static const struct model_gi gi_h100[] = {
	{ P(1_SLICE), 19, 1, 7, 16, 1, 1, 1, 0, 9984, "MIG 1g.10gb" },
	{ P(1_SLICE_REV1), 20, 1, 1, 16, 1, 1, 1, 1, 9984, "MIG 1g.10gb+me" },
	{ P(1_SLICE_REV2), 15, 1, 4, 26, 1, 1, 1, 0, 20096, "MIG 1g.20gb" },
	{ P(2_SLICE), 14, 2, 3, 32, 2, 2, 2, 0, 20096, "MIG 2g.20gb" },
	{ P(3_SLICE), 9, 3, 2, 60, 3, 3, 3, 0, 40448, "MIG 3g.40gb" },
	{ P(4_SLICE), 5, 4, 1, 64, 4, 4, 4, 0, 40448, "MIG 4g.40gb" },
	{ P(7_SLICE), 0, 7, 1, 132, 8, 7, 7, 1, 81152, "MIG 7g.80gb" },
};
static const struct model_gi gi_h200[] = {
	{ P(1_SLICE), 19, 1, 7, 16, 1, 1, 1, 0, 16384, "MIG 1g.18gb" },
	{ P(1_SLICE_REV1), 20, 1, 1, 16, 1, 1, 1, 1, 16384, "MIG 1g.18gb+me" },
	{ P(1_SLICE_REV2), 15, 1, 4, 26, 1, 1, 1, 0, 33280, "MIG 1g.35gb" },
	{ P(2_SLICE), 14, 2, 3, 32, 2, 2, 2, 0, 33280, "MIG 2g.35gb" },
	{ P(3_SLICE), 9, 3, 2, 60, 3, 3, 3, 0, 71168, "MIG 3g.71gb" },
	{ P(4_SLICE), 5, 4, 1, 64, 4, 4, 4, 0, 71168, "MIG 4g.71gb" },
	{ P(7_SLICE), 0, 7, 1, 132, 8, 7, 7, 1, 143360, "MIG 7g.141gb" },
};
static const struct model_gi gi_b200[] = {
	{ P(1_SLICE), 19, 1, 7, 18, 2, 1, 1, 0, 20992, "MIG 1g.23gb" },
	{ P(1_SLICE_REV1), 20, 1, 1, 18, 2, 1, 1, 1, 20992, "MIG 1g.23gb+me" },
	{ P(1_SLICE_REV2), 15, 1, 4, 30, 2, 1, 1, 0, 45312, "MIG 1g.45gb" },
	{ P(2_SLICE), 14, 2, 3, 36, 4, 2, 2, 0, 45312, "MIG 2g.45gb" },
	{ P(3_SLICE), 9, 3, 2, 70, 6, 3, 3, 0, 91136, "MIG 3g.90gb" },
	{ P(4_SLICE), 5, 4, 1, 72, 8, 4, 4, 0, 91136, "MIG 4g.90gb" },
	{ P(7_SLICE), 0, 7, 1, 148, 16, 7, 7, 1, 182784, "MIG 7g.180gb" },
};
static const struct model_gi gi_gb200[] = {
	{ P(1_SLICE), 19, 1, 7, 18, 2, 1, 1, 0, 22528, "MIG 1g.23gb" },
	{ P(1_SLICE_REV1), 20, 1, 1, 18, 2, 1, 1, 1, 22528, "MIG 1g.23gb+me" },
	{ P(1_SLICE_REV2), 15, 1, 4, 32, 2, 1, 1, 0, 46592, "MIG 1g.47gb" },
	{ P(2_SLICE), 14, 2, 3, 38, 4, 2, 2, 0, 46592, "MIG 2g.47gb" },
	{ P(3_SLICE), 9, 3, 2, 72, 6, 3, 3, 0, 93696, "MIG 3g.93gb" },
	{ P(4_SLICE), 5, 4, 1, 76, 8, 4, 4, 0, 93696, "MIG 4g.93gb" },
	{ P(7_SLICE), 0, 7, 1, 152, 16, 7, 7, 1, 188416, "MIG 7g.186gb" },
};

#define GI(t) .gi = (t), .gi_count = sizeof(t) / sizeof((t)[0])

static const struct model models[] = {
	{ .key = "h100",
	  .name = "NVIDIA H100 80GB HBM3",
	  .part = "692-2G520-0200-000",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_HOPPER,
	  .cc_major = 9,
	  .cc_minor = 0,
	  .mib = 81559,
	  .bar1_mib = 131072,
	  .pci_id = 0x233010de,
	  .pci_sub_id = 0x16c110de,
	  .pcie_gen = 5,
	  .pcie_width = 16,
	  .links = 18,
	  .link_version = 6,
	  .ecc = true,
	  .cc = true,
	  .fabric = true,
	  .module = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_HMM,
	  GI(gi_h100) },
	{ .key = "a100",
	  .name = "NVIDIA A100-SXM4-40GB",
	  .part = "692-2G506-0200-003",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_AMPERE,
	  .cc_major = 8,
	  .cc_minor = 0,
	  .mib = 40960,
	  .bar1_mib = 65536,
	  .pci_id = 0x20b010de,
	  .pci_sub_id = 0x134f10de,
	  .pcie_gen = 4,
	  .pcie_width = 16,
	  .links = 12,
	  .link_version = 4,
	  .ecc = true,
	  .module = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_HMM,
	  GI(gi_a100) },
	{ .key = "h200",
	  .name = "NVIDIA H200",
	  .part = "692-2G520-0280-001",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_HOPPER,
	  .cc_major = 9,
	  .cc_minor = 0,
	  .mib = 143771,
	  .bar1_mib = 262144,
	  .pci_id = 0x233510de,
	  .pci_sub_id = 0x18be10de,
	  .pcie_gen = 5,
	  .pcie_width = 16,
	  .links = 18,
	  .link_version = 6,
	  .ecc = true,
	  .cc = true,
	  .fabric = true,
	  .module = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_HMM,
	  GI(gi_h200) },
	{ .key = "b200",
	  .name = "NVIDIA B200",
	  .part = "692-2G525-0220-002",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_BLACKWELL,
	  .cc_major = 10,
	  .cc_minor = 0,
	  .mib = 183359,
	  .bar1_mib = 262144,
	  .pci_id = 0x290110de,
	  .pci_sub_id = 0x199910de,
	  .pcie_gen = 5,
	  .pcie_width = 16,
	  .links = 18,
	  .link_version = 7,
	  .ecc = true,
	  .cc = true,
	  .fabric = true,
	  .module = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_HMM,
	  GI(gi_b200) },
	{ .key = "gb200",
	  .name = "NVIDIA GB200",
	  .part = "699-2G548-0203-800",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_BLACKWELL,
	  .cc_major = 10,
	  .cc_minor = 0,
	  .mib = 189471,
	  .bar1_mib = 262144,
	  .pci_id = 0x294110de,
	  .pci_sub_id = 0x204610de,
	  .pcie_gen = 5,
	  .pcie_width = 16,
	  .links = 18,
	  .link_version = 7,
	  .ecc = true,
	  .cc = true,
	  .fabric = true,
	  .mnnvl = true,
	  .module = true,
	  .c2c = true,
	  .platform = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_ATS,
	  GI(gi_gb200) },
	{ .key = "l40s",
	  .name = "NVIDIA L40S",
	  .part = "900-2G133-0080-000",
	  .brand = NVML_BRAND_NVIDIA,
	  .arch = NVML_DEVICE_ARCH_ADA,
	  .cc_major = 8,
	  .cc_minor = 9,
	  .mib = 46068,
	  .bar1_mib = 65536,
	  .pci_id = 0x26b910de,
	  .pci_sub_id = 0x185110de,
	  .pcie_gen = 4,
	  .pcie_width = 16,
	  .ecc = true,
	  .addressing = NVML_DEVICE_ADDRESSING_MODE_HMM },
	{ .key = "t4",
	  .name = "Tesla T4",
	  .part = "900-2G183-6300-T00",
	  .brand = NVML_BRAND_TESLA,
	  .arch = NVML_DEVICE_ARCH_TURING,
	  .cc_major = 7,
	  .cc_minor = 5,
	  .mib = 15360,
	  .bar1_mib = 256,
	  .pci_id = 0x1eb810de,
	  .pci_sub_id = 0x12a210de,
	  .pcie_gen = 3,
	  .pcie_width = 16,
	  .ecc = true,
	  .addressing = MODEL_ADDRESSING_NONE },
};

const struct model *model_get(uint32_t i)
{
	return i < sizeof(models) / sizeof(models[0]) ? &models[i] : NULL;
}

const struct model *model_find(const char *key, uint32_t *index)
{
	uint32_t i;

	for (i = 0; model_get(i) != NULL; i++)
		if (strcmp(models[i].key, key) == 0) {
			*index = i;
			return &models[i];
		}
	return NULL;
}

const struct model_gi *model_gi_by_profile(const struct model *m, uint32_t profile)
{
	uint32_t i;

	for (i = 0; i < m->gi_count; i++)
		if (m->gi[i].profile == profile)
			return &m->gi[i];
	return NULL;
}

const struct model_gi *model_gi_by_id(const struct model *m, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < m->gi_count; i++)
		if (m->gi[i].id == id)
			return &m->gi[i];
	return NULL;
}

uint32_t model_gi_size(const struct model_gi *p)
{
	switch (p->profile) {
	case P(1_SLICE):
	case P(1_SLICE_REV1):
		return 1;
	case P(1_SLICE_REV2):
	case P(2_SLICE):
		return 2;
	case P(3_SLICE):
	case P(4_SLICE):
		return 4;
	default:
		return 8;
	}
}

/*
 * nvidia-smi mig -lgipp, the same on A100 and H100: 1g {0..6}:1, 1g with double memory
 * {0,2,4,6}:2, 2g {0,2,4}:2, 3g {0,4}:4, 4g {0}:4, 7g {0}:8. The last 2-slice start is left out
 * for 2g because the seventh compute slice stands alone.
 */
uint32_t model_gi_starts(const struct model_gi *p, uint32_t starts[MODEL_MEM_SLICES])
{
	uint32_t size = model_gi_size(p);
	uint32_t n = MODEL_MEM_SLICES / size;
	uint32_t i;

	if (p->profile == P(1_SLICE) || p->profile == P(1_SLICE_REV1))
		n = 7;
	else if (p->profile == P(2_SLICE))
		n = 3;
	else if (p->profile == P(4_SLICE))
		n = 1;
	for (i = 0; i < n; i++)
		starts[i] = i * size;
	return n;
}

uint32_t model_ci_slices(uint32_t ci_profile)
{
	static const uint32_t slices[] = {
		[NVML_COMPUTE_INSTANCE_PROFILE_1_SLICE] = 1,
		[NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE] = 2,
		[NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE] = 3,
		[NVML_COMPUTE_INSTANCE_PROFILE_4_SLICE] = 4,
		[NVML_COMPUTE_INSTANCE_PROFILE_7_SLICE] = 7,
	};

	return ci_profile < sizeof(slices) / sizeof(slices[0]) ? slices[ci_profile] : 0;
}

uint32_t model_ci_starts(uint32_t slices, uint32_t gi_slices, uint32_t starts[MODEL_MEM_SLICES])
{
	uint32_t step = slices == 3 ? 4 : slices; /* compute slices pair up */
	uint32_t n = 0;
	uint32_t at;

	if (slices == 0)
		return 0;
	for (at = 0; at + slices <= gi_slices && n < MODEL_MEM_SLICES; at += step)
		starts[n++] = at;
	return n;
}
