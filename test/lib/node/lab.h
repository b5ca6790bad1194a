#pragma once
/*
 * A node's world in one process on virtual time: the API server of test/lib behind a unix socket
 * and the production client in front of it, scripted GPUs below the production inventory, the
 * journal's methods served in process. Tests put what they test on top: claims, a publisher, whole
 * drivers.
 */
#include "core/roots.h"
#include "gpu/inventory.h"
#include "gpu/vendor.h"
#include "k8s/api/client.h"
#include "k8s/claim.h"
#include "k8s/events.h"
#include "k8s/stats.h"
#include "test/lib/apiserver.h"
#include "test/lib/inproc_fate.h"
#include "test/lib/node/gpu_script.h"

#define LAB_NODE   "node-1"
#define LAB_DRIVER "gpu.nvidia.com"

enum { LAB_DISKS_MAX = 64, LAB_HELD_MAX = 64 };

struct lab;
struct inproc;

/* A disk worker that fails when told. */
struct lab_disk {
	struct lab *lab;
	struct inproc *process;
	struct worker_host host;
	struct worker *worker;
	enum inproc_fate fate; /* of `fates` requests, behind the next `skip` */
	unsigned fates, skip;
	unsigned requests; /* so far */
	int fail;	   /* what its next calls answer instead of doing anything; 0 = as it is */
	uint16_t fail_method;	/* of these alone; 0 = any */
	unsigned fails;		/* so many times */
	unsigned failed, calls; /* calls: of JOURNAL_M_APPEND */
};

/* How the plans of devices go: the production vendor, with an operation that can be held. */
struct lab_plans {
	bool hold;     /* run waits for lab_plans_release() */
	int run, undo; /* what they answer; 0 = done */
	unsigned runs, undos;
	struct plan_step *held[LAB_HELD_MAX];
	size_t held_n;
};

struct lab {
	struct loop *loop;
	char folder[64];
	char *plugins, *registry, *cdi, *run, *boot, *dev, *ledger;
	struct roots roots;
	/* Node i sees the same folders as ".../by-<i>/...": tells apart whose calls they are. */
	bool own_paths;
	char boot_id[16];
	struct store *store;
	struct apiserver *server;
	struct api_config config;
	struct api *api;
	struct events *events;
	struct gpu_script gpus;
	struct inproc *gpu_process;
	struct worker_host host;
	struct inventory *inventory;
	int uevents[2];
	struct controllers *controllers; /* NULL unless lab_controllers() */
	struct lab_disk disks[LAB_DISKS_MAX];
	size_t disks_n;
	struct metrics *metrics;
	struct stats *stats;
	char *log; /* every line so far */
	size_t log_n;
	unsigned log_errors;	    /* of level ERROR */
	void (*on_turn)(void *arg); /* after each turn; may be NULL */
	void *on_turn_arg;
};

/* The world with its GPUs found; seeds its dice. Its folder is in $TMPDIR, /tmp without one. */
struct lab *lab_new(size_t gpus, uint64_t seed);
void lab_free(struct lab **l); /* with its folder */

/* The log and the API server's Events so far are forgotten: a long run would drown in them. */
void lab_forget(struct lab *l);

/* ---- time ---- */
/* Turns until the condition holds, at most `ms` of virtual time; false: it never did. */
bool lab_until(struct lab *l, bool (*holds)(void *arg), void *arg, uint64_t ms);
bool lab_until_true(struct lab *l, const bool *flag, uint64_t ms);
void lab_pass(struct lab *l, uint64_t ms);
void lab_turns(struct lab *l, unsigned n); /* so many turns, without letting time pass */

/* ---- parts ---- */
struct lab_disk *lab_disk_new(struct lab *l);
void lab_disk_pause(struct lab_disk *d, bool paused); /* what is asked meanwhile waits */
void lab_disk_kill(struct lab_disk *d);		      /* as SIGKILL from outside */
void lab_disk_restart(
    struct lab_disk *d);	/* a new tundra has a new worker, with no memory of old */
void lab_rescan(struct lab *l); /* the GPUs changed; returns when seen */
/* The kernel tells that a PCI device was bound or unbound. */
void lab_uevent(struct lab *l, const char *pci);
struct lab_plans *lab_plans(void);
void lab_plans_release(void);
void lab_api_again(struct lab *l);   /* a new client, as after a restart */
void lab_controllers(struct lab *l); /* scheduling, claims, garbage collection begin */
void lab_api_versions(struct lab *l, unsigned versions);       /* served from now on: VERSIONS_* */
void lab_api_drops(struct lab *l, const char *const *members); /* see validate_drop() */

/* ---- objects ---- */
/*
 * A claim that is allocated these devices: "gpu-0,gpu-1@admin,gpu-2#share-id", requests "r0", "r1",
 * ...; or with a request of its own: "name=gpu-0". "" = no device; NULL = not allocated. uid NULL =
 * "uid-<name>".
 */
void lab_claim(struct lab *l, const char *name, const char *uid, const char *devices);
void lab_claim_json(struct lab *l, const char *name, const char *uid, const char *allocation);
void lab_claim_delete(struct lab *l, const char *name);
/* How many objects of a kind, and the i-th as JSON text (caller frees). */
size_t lab_count(struct lab *l, const char *resource);
char *lab_object(struct lab *l, const char *resource, size_t i);
void lab_delete(struct lab *l, const char *resource, const char *name); /* cluster scoped */
void lab_delete_all(struct lab *l, const char *resource);
/* Asks for the deletion of a claim; what protects it may keep it for a while. */
void lab_claim_end(struct lab *l, const char *name);
/* Devices that all slices of the driver offer. */
size_t lab_published(struct lab *l);
/* UUID of the i-th of them; false: there are no more. */
bool lab_published_uuid(struct lab *l, size_t i, char *out, size_t size);
/* The devices that a claim is allocated, "gpu-0,gpu-1"; "" = none. Caller frees. */
char *lab_allocated(struct lab *l, const char *name);
/* How many Events of this reason; *message: of the last one, valid until the next turn. */
size_t lab_events(struct lab *l, const char *reason, const char **message);

/* ---- files ---- */
bool lab_cdi_exists(struct lab *l, const char *uid);
size_t lab_cdi_count(struct lab *l);
char *lab_cdi_text(struct lab *l, const char *uid); /* caller frees; NULL if absent */
char *lab_path(const struct lab *l, const char *fmt, ...) PRINTF(2, 3);

/* ---- claims on top ---- */
struct lab_claims {
	struct lab *lab;
	struct cdi *cdi;
	struct claims *claims;
	struct ledger_conf ledger;
	unsigned reports, errors; /* finished operations; those with an error */
	bool idle;
};
void lab_claims_start(struct lab_claims *c, struct lab *l, struct lab_disk *disk,
		      const char *instance);
void lab_claims_stop(struct lab_claims *c); /* as a process that ends: nothing is drained */
/* Records that the ledger's file holds, by a scan of its own. */
size_t lab_ledger_records(struct lab *l);

struct lab_call {
	struct claim_call *call;
	bool done;
	int status;
	char error[ERR_TEXT_MAX];
	size_t n;
	struct {
		char request[64], pool[64], device[64], share_id[64], cdi_id[128];
	} devices[8];
	uint64_t done_ms;
	struct lab *lab;
};
/* uid NULL = "uid-<name>". The call is zeroed first and must outlive its end. */
void lab_prepare(struct lab_claims *c, const char *name, const char *uid, struct lab_call *call);
void lab_prepare_due(struct lab_claims *c, const char *name, uint64_t due_ms,
		     struct lab_call *call);
void lab_unprepare(struct lab_claims *c, const char *name, const char *uid, struct lab_call *call);
void lab_cancel(struct lab_call *call);
