#pragma once
/*
 * struct driver: one DRA driver on one node, put together from its parts, without globals, so that
 * several live in one process. Owns its claims, publisher, plugin, registration and servers.
 */
#include "core/roots.h"
#include "k8s/claim.h"
#include "k8s/events.h"
#include "k8s/gc.h"
#include "k8s/plugin.h"
#include "k8s/publisher.h"
#include "k8s/registration.h"
#include "k8s/stats.h"

struct driver_conf {
	const char *name; /* "gpu.nvidia.com" */
	const char *node; /* of Kubernetes; also the pool's name */
	/*
	 * Names the sockets: the pod's UID, and something new at each start. The kubelet takes a
	 * socket file made anew under a known name for a registration to be done again: that
	 * takes it a second more, and cuts the calls of those who were faster.
	 * NULL: one instance only, upstream's socket names.
	 */
	const char *instance;
	const char *boot_id;
	const struct roots *roots;
	const char *hook_source; /* copied into the plugin folder; NULL: hook_path is there */
	const char *hook_path;	 /* as the host sees it; NULL: the copy in the plugin folder */
	struct api *api;
	struct inventory *inventory;
	struct worker *disk; /* not owned, as all above */
	struct stats *stats;
	struct events *events; /* may be NULL */
	/* Does a process hold one of these GPUs? See struct gc_conf. */
	void (*in_use)(void *ctx, const char *const *identities, size_t n,
		       void (*answer)(void *arg, int in_use), void *arg);
	const char *(*in_use_who)(void *ctx);
	void *in_use_ctx;
};
struct driver;
/*
 * Takes over what NVIDIA's driver prepared, opens the ledger, listens and registers. Negative with
 * a text: a folder, a socket, the checkpoint or the ledger is in the way; nothing is left then.
 */
int driver_new(struct loop *l, const struct driver_conf *conf, struct driver **out,
	       struct err *e) NODISCARD;
void driver_free(struct driver **d);
/* Ends waits, finishes what is in flight, then removes the sockets; slices stay. done() once. */
void driver_drain(struct driver *d, void (*done)(void *arg), void *arg);
/* Registered, and the ledger open; `reasons` gets a line for what is not. Devices do not count. */
bool driver_ready(const struct driver *d, struct buf *reasons);
/* Writes no slices while held (nobody knows yet who serves the GPUs); the reason is for status. */
void driver_hold_publishing(struct driver *d, const char *reason);
/* Offers no devices while another agent serves them: what is published is emptied, or a GPU would
 * be given away twice. What is prepared stays. NULL: offers them again. */
void driver_withdraw(struct driver *d, const char *reason);
/* UID of the claim that holds this physical GPU, NULL when free. */
const char *driver_holder(const struct driver *d, const char *identity);
struct jsonw;
/* Members of an open object; of the claims `claims_max` at most, those in trouble first. */
void driver_status(struct driver *d, struct jsonw *w, size_t claims_max);
/* The same for who judges it; views live until the loop turns. */
struct driver_facts {
	const char *name;
	bool draining;
	enum registration_state registration;
	const char *registration_reason;
	enum ledger_state ledger;
	const char *ledger_reason;
	const struct publisher_stats *publisher;
	const char *held, *withdrawn; /* why nothing is written or offered; NULL: it is */
};
void driver_facts(const struct driver *d, struct driver_facts *f);
void driver_each_claim(const struct driver *d, void (*fn)(void *arg, const struct claim_info *i),
		       void *arg);
void driver_scrape(struct driver *d); /* brings its gauges up to date */
