#pragma once
/*
 * What the scheduler decided for one claim, as one driver sees it: its own results and the opaque
 * configurations meant for it. Decoded from the claim's JSON once; nothing of the tree is kept.
 */
#include "core/err.h"
#include "core/json.h"

/* Limits of the API (resource.k8s.io): 32 results, 64 configs of at most 10 KiB each. */
enum { ALLOCATION_RESULTS_MAX = 32, ALLOCATION_CONFIGS_MAX = 64 };

struct allocation_result {
	char *request; /* as allocated: "req" or "req/sub" */
	char *pool, *device;
	char *share_id; /* NULL without one */
	bool admin;
};
struct allocation_config {
	char **requests; /* empty: all */
	size_t requests_n;
	char *text; /* the parameters as JSON */
};
struct allocation {
	struct allocation_result *results;
	struct allocation_config *configs; /* class before claim, as the API gives them */
	size_t results_n, configs_n;
	char *pod;	 /* first pod in status.reservedFor, NULL if none */
	uint64_t digest; /* of results and configs: equal digests, equal allocation */
};

enum {
	ALLOCATION_E_NONE = 1, /* status.allocation is missing */
	ALLOCATION_E_REPLACED, /* another UID under this name */
};
/* 0; ALLOCATION_E_* with a text; -EINVAL with a text. *out needs allocation_done() only after 0. */
int allocation_decode(const struct json *claim, const char *uid, const char *driver,
		      struct allocation *out, struct err *e) NODISCARD;
/* The same of a ResourceClaimStatus alone, as another driver keeps it. */
int allocation_decode_status(const struct json *status, const char *driver, struct allocation *out,
			     struct err *e) NODISCARD;
void allocation_done(struct allocation *a);
/* Whether a configuration is for this type of device: 0 yes, 1 no (text set), -EINVAL not readable.
 */
typedef int (*allocation_fits_fn)(void *ctx, const char *text, struct err *e);
/*
 * The configuration that wins for a result: the last that names the request (by itself or by its
 * parent), or that names none and fits. *text is NULL for defaults. -EINVAL: the one that names the
 * request does not fit, or one cannot be read.
 */
int allocation_config_for(const struct allocation *a, const struct allocation_result *r,
			  allocation_fits_fn fits, void *ctx, const char **text,
			  struct err *e) NODISCARD;
/* "req/sub" -> "req": what the kubelet compares with a container's request. */
struct sv allocation_base_request(const char *request);
