#pragma once
/*
 * The checks behind `tundra doctor`: one row and one function each. A function may block, crash or
 * call anything: it runs in a process of its own, which is ended when its time is over, so that a
 * hung driver, disk or API server costs one line of the answer. What it finds goes back through a
 * pipe; later checks see the findings of earlier ones.
 */
#include "core/err.h"
#include "core/roots.h"
#include "tools/tundra/node_options.h"

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_UNKNOWN, DOCTOR_VERDICTS };
extern const char *const doctor_verdict_names[]; /* "ok", "warn", "FAIL", "unknown" */

struct doctor_finding {
	enum doctor_verdict verdict;
	char found[1800]; /* one line: what is there */
	char fix[900];	  /* one line: what to do; "" when there is nothing to do */
	uint32_t ms;
	/* Facts for later checks; empty and 0: not known. */
	char runtime[64], kubelet[32]; /* "containerd://2.1.4", "v1.36.3" */
	int64_t plugin_gpus;	       /* capacity of the extended resource */
	char driver[32];	       /* of the kernel: "580.65.06" */
};

struct api_config;
/* What the checks look at. Owned by the command; borrowed by them. */
struct doctor {
	const struct node_options *o;
	struct roots roots;
	char *folder;	      /* <plugins>/gpu.nvidia.com */
	char *device_plugins; /* of the kubelet, as this process sees it */
	char *host;	      /* "" or the host's root, to put before a path of the host */
	char *worker, *hook;  /* programs */
	struct api_config *api;
	struct err api_why;		 /* api NULL: why there is none */
	uint32_t limit_ms;		 /* of one check */
	struct doctor_finding *findings; /* one per row, in order; done[] says which count */
	bool *done;
};

struct doctor_check {
	const char *name, *about;
	void (*run)(const struct doctor *d, struct doctor_finding *f);
	const char *needs; /* unknown unless this earlier check is ok or warns; NULL = nothing */
	uint32_t least_ms; /* when its work may take longer than the usual limit */
};
extern const struct doctor_check doctor_checks[];
extern const size_t doctor_checks_n;

/* -EINVAL and others never: what cannot be found out becomes unknown. Our other
 * programs are looked for beside `self`; NULL: beside this one. */
void doctor_init(struct doctor *d, const struct node_options *o, const char *self);
void doctor_done(struct doctor *d);
/* Runs one row within its limit. */
void doctor_run(const struct doctor *d, const struct doctor_check *c, struct doctor_finding *f);
/* Runs all; `told` (may be NULL) hears of each as it ends. */
void doctor_run_all(struct doctor *d,
		    void (*told)(void *arg, const struct doctor_check *c,
				 const struct doctor_finding *f),
		    void *arg);
/* What an earlier check found; NULL when it did not run. */
const struct doctor_finding *doctor_found(const struct doctor *d, const char *name);
/* {"node":...,"checks":[{"name","verdict","found","fix","ms"}],"ok":N,...} */
struct buf;
void doctor_json(const struct doctor *d, struct buf *out);

/* For the checks: the verdict with its sentence; what to do about it. */
void doctor_say(struct doctor_finding *f, enum doctor_verdict v, const char *fmt, ...) PRINTF(3, 4);
void doctor_fix(struct doctor_finding *f, const char *fmt, ...) PRINTF(2, 3);
/* "v1.36.3" with the prefix "v" -> 1, 36. False: not of that form, both as they were. */
bool doctor_version(const char *text, const char *prefix, int *major, int *minor);
/* Appends to the sentence. */
void doctor_more(struct doctor_finding *f, const char *fmt, ...) PRINTF(2, 3);

/* doctor_node.c: this machine and its GPUs */
void check_kernel(const struct doctor *d, struct doctor_finding *f);
void check_privileges(const struct doctor *d, struct doctor_finding *f);
void check_programs(const struct doctor *d, struct doctor_finding *f);
void check_gpus(const struct doctor *d, struct doctor_finding *f);
void check_module(const struct doctor *d, struct doctor_finding *f);
void check_device_nodes(const struct doctor *d, struct doctor_finding *f);
/* doctor_driver.c: through tundra-worker */
void check_driver(const struct doctor *d, struct doctor_finding *f);
void check_nvml(const struct doctor *d, struct doctor_finding *f);
/* doctor_api.c: the API server */
void check_api_server(const struct doctor *d, struct doctor_finding *f);
void check_dra_api(const struct doctor *d, struct doctor_finding *f);
void check_rbac(const struct doctor *d, struct doctor_finding *f);
void check_node_object(const struct doctor *d, struct doctor_finding *f);
void check_clock(const struct doctor *d, struct doctor_finding *f);
/* doctor_kubelet.c: what runs containers here */
void check_kubelet_config(const struct doctor *d, struct doctor_finding *f);
void check_kubelet_folders(const struct doctor *d, struct doctor_finding *f);
void check_runtime(const struct doctor *d, struct doctor_finding *f);
void check_cdi_folder(const struct doctor *d, struct doctor_finding *f);
/* doctor_state.c: our state, and others who serve the same GPUs */
void check_disk(const struct doctor *d, struct doctor_finding *f);
void check_ledger(const struct doctor *d, struct doctor_finding *f);
void check_device_plugin(const struct doctor *d, struct doctor_finding *f);
void check_other_driver(const struct doctor *d, struct doctor_finding *f);
void check_node_agent(const struct doctor *d, struct doctor_finding *f);
