#pragma once
/*
 * What a device is, in plain C: identity, attributes, capacities, and what a container needs to use
 * it. Knows no claims, no JSON, no CDI. Owner: struct inventory; others hold a slab handle. Its
 * address is as stable as the handle; attributes, capacities and edits are replaced as a whole when
 * it changes, so pointers to them are good for one turn of the loop.
 */
#include "core/list.h"
#include "core/slab.h"
#include "gpu/edits.h"

enum {
	GPU_NAME_MAX = 63,
	GPU_UUID_MAX = 95,
	GPU_PCI_MAX = 15,
	GPU_TEXT_MAX = 64,   /* of a string or version: the API server refuses more */
	GPU_FACETS_MAX = 32, /* attributes and capacities of one device: the same */
};

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

/* Filling one: values are copied, text is cut at GPU_TEXT_MAX on a character's border. */
void device_add_string(struct gpu_device *d, const char *domain, const char *name, const char *s);
void device_add_version(struct gpu_device *d, const char *domain, const char *name, const char *s);
void device_add_int(struct gpu_device *d, const char *domain, const char *name, int64_t v);
void device_add_bool(struct gpu_device *d, const char *domain, const char *name, bool v);
void device_mark_extra(struct gpu_device *d); /* the attribute added last is one of ours */
void device_add_capacity(struct gpu_device *d, const char *name, uint64_t value);
/*
 * Sorts, and drops extras until GPU_FACETS_MAX holds: `order` names them, least wanted first, and
 * ends with NULL. Returns how many went; each is logged.
 */
size_t device_seal(struct gpu_device *d, const char *const *order);
void device_trouble(struct gpu_device *d, const char *fmt, ...) PRINTF(2, 3);
/* Whether what others see of it is equal: everything but links, handles and addresses. */
bool device_same(const struct gpu_device *a, const struct gpu_device *b);
const struct gpu_attribute *device_attribute(const struct gpu_device *d, const char *domain,
					     const char *name); /* NULL if absent */
void device_done(struct gpu_device *d); /* releases what it owns; identity stays readable */
