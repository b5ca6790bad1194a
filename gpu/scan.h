#pragma once
/*
 * One vendor's discovery: rounds of OPEN, QUERY per GPU, CLOSE against that vendor's worker.
 *
 * A worker that hangs or dies over one GPU costs only that GPU: the round goes on in a new process
 * with the remaining ones, the culprit has a strike and is from then on asked last. With
 * SCAN_STRIKES_MAX it is given up: only scan_probe() asks it, so that it holds up no other's news.
 * One whose worker cannot even be killed is given up at once, and nothing asks it before that
 * process has ended: each question would leave one more in the kernel, and after
 * WORKER_ABANDONED_MAX nobody could be asked any more.
 * A dead session (driver reloaded) begins the round anew. Between rounds no driver file is held
 * open.
 * Owner: struct inventory.
 */
#include "core/worker.h"
#include "gpu/proto/messages.h"
#include "gpu/vendor.h"

enum {
	SCAN_RESTARTS_MAX = 3, /* dead sessions in one round before it is given up */
	SCAN_TRIES_MAX = 3,    /* of a GPU that answers "try again" */
	SCAN_RETRY_MS = 100,
	SCAN_STRIKES_MAX = 2, /* hangs in a row before a GPU is given up */
};

/* What one round found out about index i. */
struct scan_gpu {
	bool asked;	  /* `state` is this round's truth */
	bool hung;	  /* asked and the worker did not live to tell */
	bool spared;	  /* hung before, given up and not asked in this round */
	unsigned strikes; /* rounds in a row that hung on it */
	uint64_t worker;  /* the process that the last strike cost: see worker_start_stuck() */
	unsigned tries;
	uint32_t state; /* enum gpu_query_state */
	char text[GPU_MSG_REASON_MAX + 1];
	char pci[GPU_PCI_MAX + 1]; /* kept from earlier rounds while it hangs */
	char uuid[GPU_UUID_MAX + 1];
	int64_t minor;
	struct gpu_edits edits;
	char *facts;
	size_t facts_n;
};

enum scan_outcome {
	SCAN_OK,	/* open and gpus are valid */
	SCAN_NO_DRIVER, /* reason */
	SCAN_MISMATCH,	/* reason: the kernel has another driver loaded than the libraries are of */
	SCAN_TROUBLE,	/* the driver is there and refuses: reason */
	SCAN_UNREACHABLE, /* the worker hung, died or answered garbage: reason */
};
struct scan_result {
	enum scan_outcome outcome;
	char reason[GPU_MSG_REASON_MAX + 1];
	struct gpu_msg_open *open; /* NULL when unreachable; the owner may take its edits */
	struct sv facts;	   /* of the driver */
	struct scan_gpu *gpus;	   /* the owner may take edits and facts out of each */
	size_t gpus_n;
};

struct scan;
struct scan_conf {
	const struct worker_host *host;
	const struct gpu_vendor *vendor;
	uint32_t open_ms, query_ms;
	void (*on_done)(void *arg); /* a round's result is there; scan_start() is fine in it */
	void *arg;
};

struct scan *scan_new(struct loop *l, const struct scan_conf *conf);
void scan_free(struct scan **s);
/* Begins a round; during one, another follows it. */
void scan_start(struct scan *s);
bool scan_busy(const struct scan *s);
void scan_probe(struct scan *s); /* the next round asks those that are given up, too */
/* Strikes of the GPU at `pci`, or of all when NULL, are forgotten: something changed. */
void scan_forgive(struct scan *s, const char *pci);
struct scan_result *scan_result(struct scan *s); /* valid in on_done */
const struct worker_stats *scan_worker(const struct scan *s);
