#pragma once
/*
 * One row per vendor: the only place where the generic code meets AMD, Intel or NVIDIA. To add one:
 * a folder gpu/<vendor>/ with model/ (in tundra) and worker/ (in tundra-worker), and its row in the
 * table of vendor.c.
 */
#include "core/buf.h"
#include "core/err.h"
#include "gpu/device.h"

struct plan;
struct plan_op;

/* One GPU as its worker described it, and the device to fill from that. */
struct gpu_found {
	struct gpu_device *device; /* pci, uuid, minor and edits are set; NULL: known from before
				      and not answering now, here only for its links to others */
	struct sv facts;
};

struct gpu_vendor {
	const char *name;    /* "nvidia": in logs, records of the ledger, metrics */
	const char *driver;  /* DRA driver name: the domain of unqualified attributes */
	const char *role;    /* of tundra-worker */
	unsigned pci_vendor; /* whose uevents matter */

	/*
	 * Names, attributes and capacities for all of a node's GPUs at once (links and islands need
	 * the whole). `system` is the driver's part. What a GPU lacks becomes its trouble.
	 */
	void (*model)(struct sv system, struct gpu_found *found, size_t n, bool extras);
	/*
	 * Facts to keep of a GPU that answered `now` and `before` that: attributes must not follow
	 * what comes and goes while a claim is prepared, such as the state of a link.
	 */
	void (*remember)(struct sv before, struct sv now, struct buf *out);
	/* See plan_config_fits(). `json` is not empty. */
	int (*config_fits)(const struct gpu_device *d, struct sv json, struct err *e);
	/* Adds the steps that make `d` usable with this configuration ("" = default). */
	int (*plan)(struct plan *p, const struct gpu_device *d, struct sv json, struct err *e);
	const struct plan_op *ops;
	size_t ops_n;
};

extern const struct gpu_vendor *const vendor_table[]; /* ends with NULL */
const struct gpu_vendor *vendor_find(const struct gpu_vendor *const *table, struct sv name);
