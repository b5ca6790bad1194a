#pragma once
/*
 * What inventory and a vendor's worker say to each other. The envelope is the same for all vendors;
 * `facts` is the vendor's own struct, encoded by gpu/<vendor>/facts.c and opaque here.
 *
 *   tundra                      worker
 *   OPEN {}                 ->  find the driver, start a session, scan its files
 *                           <-  state, text, count, folders to watch, what the kernel lists, edits
 *   QUERY {index}           ->  one GPU: a hung one costs only its own answer
 *                           <-  state, identity, text, edits, facts
 *   CLOSE {}                ->  end the session: an idle tundra holds no driver file open, so the
 *                           <-  driver can be unloaded or replaced under it
 *
 * Tundra and its workers are of one build, but a worker runs a vendor's library, so its answers are
 * decoded as if hostile: bounded counts, bounded text, no trust in lengths.
 */
#include "gpu/device.h"

enum gpu_method { GPU_M_OPEN = 1, GPU_M_QUERY = 2, GPU_M_CLOSE = 3 };

enum {
	GPU_MSG_VERSION = 1,
	GPU_MSG_GPUS_MAX = 128, /* per vendor and node; NVML itself counts to 64 */
	GPU_MSG_WATCH_MAX = 32, /* folders: a handful per known layout of a driver root */
	GPU_MSG_FOLDER_MAX = 255,
	GPU_MSG_PREFIX_MAX = 31,
	GPU_MSG_REASON_MAX = 1023, /* fits a Kubernetes Event's note */
};

/* ---- OPEN ---- */
enum gpu_open_state {
	GPU_OPEN_READY,	    /* QUERY may follow */
	GPU_OPEN_NO_DRIVER, /* nothing found, or the kernel module is not loaded */
	GPU_OPEN_MISMATCH,  /* libraries found, none of the version that the kernel has loaded */
	GPU_OPEN_TROUBLE,   /* found and does not work: damaged library ... */
};
struct gpu_watch {
	char folder[GPU_MSG_FOLDER_MAX + 1];
	char prefix[GPU_MSG_PREFIX_MAX + 1]; /* of the entries that matter; "" = all */
};
struct gpu_seen { /* a GPU the kernel's driver lists, learnt without the vendor's library */
	char pci[GPU_PCI_MAX + 1];
	char uuid[GPU_UUID_MAX + 1];
	int64_t minor; /* -1 = unknown */
};
struct gpu_msg_open {
	uint32_t state;
	uint32_t count;			   /* valid indexes of QUERY are 0..count-1 */
	char text[GPU_MSG_REASON_MAX + 1]; /* READY: where the driver is; else why not */
	struct gpu_watch watch[GPU_MSG_WATCH_MAX];
	size_t watch_n;
	struct gpu_seen seen[GPU_MSG_GPUS_MAX];
	size_t seen_n;
	struct gpu_edits edits; /* that every container with a GPU gets */
	struct sv facts;	/* of the driver; a view into the answer */
};

/* ---- QUERY ---- */
enum gpu_query_state {
	GPU_QUERY_OK,
	GPU_QUERY_SKIP,	   /* not a GPU to serve (a display adapter) */
	GPU_QUERY_TROUBLE, /* this GPU cannot be served; `text` says why */
	GPU_QUERY_RETRY,   /* likely to pass: asked again before it is believed */
	GPU_QUERY_SESSION, /* the whole session is dead: driver reloaded or unloaded */
};
struct gpu_msg_query {
	uint32_t state;
	char text[GPU_MSG_REASON_MAX + 1];
	char pci[GPU_PCI_MAX + 1]; /* "" when not even that is known */
	char uuid[GPU_UUID_MAX + 1];
	int64_t minor;
	struct gpu_edits edits;
	struct sv facts; /* of the GPU; a view into the answer */
};

void gpu_msg_put_index(struct buf *b, uint32_t index);
int gpu_msg_get_index(struct sv bytes, uint32_t *out) NODISCARD;

/* encode; decode zeroes *m first and gpu_msg_*_done() releases its edits. -EBADMSG */
void gpu_msg_put_open(struct buf *b, const struct gpu_msg_open *m);
int gpu_msg_get_open(struct sv bytes, struct gpu_msg_open *m) NODISCARD;
void gpu_msg_open_done(struct gpu_msg_open *m);
void gpu_msg_put_query(struct buf *b, const struct gpu_msg_query *m);
int gpu_msg_get_query(struct sv bytes, struct gpu_msg_query *m) NODISCARD;
void gpu_msg_query_done(struct gpu_msg_query *m);
