#pragma once
/*
 * CDI specs: what the container runtime injects. One file per claim under upstream's name
 *     <cdi root>/k8s.gpu.nvidia.com-claim_<claimUID>.yaml     (JSON is valid YAML)
 * with one CDI device "<claimUID>-<device>" per allocated device. Derived state: not synced, but
 * verified byte for byte and rebuilt. The common edits are rendered once per inventory change.
 * Container Device Interface spec 0.5.0 (hostPath of device nodes); 0.7.0 when additionalGids is
 * used.
 */
#include "core/buf.h"
#include "core/err.h"
#include "gpu/device.h"

struct cdi;
struct cdi_conf {
	const char *root;   /* folder; made if missing */
	const char *driver; /* "gpu.nvidia.com": vendor is "k8s.<driver>", class "claim" */
	const char *hook;   /* host path of tundra-cdi-hook */
};
struct cdi_device {
	const char *device; /* its name in the pool */
	const struct gpu_edits *edits;
};

struct cdi *cdi_new(const struct cdi_conf *conf);
void cdi_free(struct cdi **c);
/* Renders the edits that all containers get; call when they changed. NULL = none. */
void cdi_set_common(struct cdi *c, const struct gpu_edits *common);
/* "k8s.gpu.nvidia.com/claim=<uid>-<device>" */
void cdi_id(const struct cdi *c, const char *uid, const char *device, struct buf *out);
/* Writes the claim's file unless it is there with this very content. 0, 1 = was missing or
 * differed. */
enum { CDI_E_WRITTEN = 1 };
int cdi_write(struct cdi *c, const char *uid, const struct cdi_device *devices, size_t n,
	      struct err *e) NODISCARD;
/*
 * A spec written ahead, while the claim's intent is on its way to the disk: a file that no runtime
 * reads (its name begins with a dot). Embedded in its owner; zeroed is none.
 */
struct cdi_ahead {
	char *temp;
	uint64_t version; /* of the common edits */
};
/* Nothing is told when it does not work: cdi_write() will say why. */
void cdi_write_ahead(struct cdi *c, const char *uid, const struct cdi_device *devices, size_t n,
		     struct cdi_ahead *a);
/* Puts it in place: CDI_E_WRITTEN. 0: there is none, or edits changed since; call cdi_write(). */
int cdi_take_ahead(struct cdi *c, const char *uid, struct cdi_ahead *a, struct err *e) NODISCARD;
void cdi_drop_ahead(struct cdi_ahead *a);
int cdi_remove(struct cdi *c, const char *uid, struct err *e) NODISCARD; /* absent is fine */
uint64_t cdi_bytes_written(const struct cdi *c);
