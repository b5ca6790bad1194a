#pragma once
/*
 * What a device is, in plain C: identity, attributes, capacities, and what a container needs to use
 * it. Knows no claims, no JSON, no CDI. Owner: struct inventory; others hold a slab handle.
 */
#include "core/list.h"
#include "core/slab.h"
#include "gpu/edits.h"

enum { GPU_NAME_MAX = 63, GPU_UUID_MAX = 95, GPU_PCI_MAX = 15, GPU_TEXT_MAX = 64 };

enum gpu_value_kind { GPU_INT, GPU_BOOL, GPU_STRING, GPU_VERSION };
struct gpu_attribute {
	const char *domain; /* "" = the driver's own; static strings only */
	char name[33];
	enum gpu_value_kind kind;
	bool extra; /* ours, behind the switch; dropped first when there are too many */
	int64_t i;  /* GPU_INT, GPU_BOOL */
	char s[GPU_TEXT_MAX + 1];
};
struct gpu_capacity {
	char name[33];
	uint64_t value; /* bytes or a count */
};

enum gpu_device_kind { GPU_FULL };

struct gpu_device {
	struct list node; /* inventory order: by vendor, then PCI address */
	slab_handle handle;
	enum gpu_device_kind kind;
	const struct gpu_vendor *vendor;
	slab_handle physical;	     /* the GPU that is locked for this device; itself when full */
	char name[GPU_NAME_MAX + 1]; /* "gpu-0": unique within a pool */
	char uuid[GPU_UUID_MAX + 1]; /* identity together with the PCI address, never the index */
	char pci[GPU_PCI_MAX + 1];   /* "0000:65:00.0" */
	int minor;
	bool present;			  /* false: kept only because a claim holds it */
	char trouble[128];		  /* why it is not published, "" = healthy */
	struct gpu_attribute *attributes; /* by domain, then name */
	size_t attributes_n;
	struct gpu_capacity *capacities; /* by name */
	size_t capacities_n;
	struct gpu_edits edits; /* of this device alone; the common ones are the vendor's */
};
