#pragma once
/* What each GPU product is: numbers from public nvidia-smi output (README.md says which are not
 * known and were chosen). Constant tables; the changing part of a GPU is struct state_gpu. */
#include "test/fakenvml/state.h"

struct model_gi {
	uint32_t profile; /* enum, e.g. NVML_GPU_INSTANCE_PROFILE_1_SLICE */
	uint32_t id;	  /* what the driver calls it: 19, 14, ... */
	uint32_t slices;
	uint32_t instances;
	uint32_t sm;
	uint32_t copy;
	uint32_t dec;
	uint32_t jpeg;
	uint32_t ofa;
	uint32_t mib;
	const char *name;
};

struct model {
	const char *key; /* --profile */
	const char *name;
	const char *part;
	uint32_t brand;
	uint32_t arch;
	int cc_major;
	int cc_minor;
	uint32_t mib;
	uint32_t bar1_mib;
	uint32_t pci_id;     /* device << 16 | vendor */
	uint32_t pci_sub_id; /* likewise */
	uint32_t pcie_gen;
	uint32_t pcie_width;
	uint32_t links; /* NVLinks, 0: none */
	uint32_t link_version;
	bool ecc;
	bool cc;       /* confidential computing exists */
	bool fabric;   /* GPU fabric registers with the fabric manager */
	bool mnnvl;    /* ... across nodes */
	bool module;   /* on a baseboard that numbers its GPUs */
	bool c2c;      /* CPU link */
	bool platform; /* nvmlDeviceGetPlatformInfo */
	uint32_t addressing;
	const struct model_gi *gi; /* NULL: no MIG */
	uint32_t gi_count;
};

enum { MODEL_MIG_MAX = 7, MODEL_MEM_SLICES = 8, MODEL_ADDRESSING_NONE = 0xff };

const struct model *model_get(uint32_t i); /* NULL: past the end */
const struct model *model_find(const char *key, uint32_t *index);

const struct model_gi *model_gi_by_profile(const struct model *m, uint32_t profile);
const struct model_gi *model_gi_by_id(const struct model *m, uint32_t id);

/* Memory slices the profile takes, and its possible starts (at most MODEL_MEM_SLICES). */
uint32_t model_gi_size(const struct model_gi *p);
uint32_t model_gi_starts(const struct model_gi *p, uint32_t starts[MODEL_MEM_SLICES]);

/* CI profile enum -> compute slices (0: no such profile), and starts inside a GI. */
uint32_t model_ci_slices(uint32_t ci_profile);
uint32_t model_ci_starts(uint32_t slices, uint32_t gi_slices, uint32_t starts[MODEL_MEM_SLICES]);
