#pragma once
/* Shared by kubelet.c (folder, wiping), kubelet_plugin.c (one driver) and kubelet_pod.c. */
#include "core/backoff.h"
#include "core/fswatch.h"
#include "test/lib/jx.h"
#include "test/lib/kubelet.h"
#include "transport/grpc_client.h"

enum {
	KUBELET_LOOP_MS = 1000,
	KUBELET_SYNC_MS = 60000, /* plus up to half of it */
	KUBELET_STALE_MS = 60000,
	KUBELET_WIPE_MS = 30000,
	KUBELET_CALL_MS = 45000,
	KUBELET_DIAL_MS = 10000,
	KUBELET_INFO_MS = 1000,
	KUBELET_NOTIFY_MS = 5000,
	KUBELET_HEALTH_MS = 5000,
	KUBELET_RECONNECT_MS = 1000,
};

enum plugin_state { PLUGIN_FOUND, PLUGIN_ASKED, PLUGIN_TOLD, PLUGIN_REGISTERED, PLUGIN_FAILED };
/* One registration socket. */
struct kubelet_plugin {
	struct list node;
	struct kubelet *kubelet;
	char *name, *path; /* of the socket */
	uint64_t ino, ctime_ns;
	enum plugin_state state;
	struct h2_client *registrar, *service;
	struct grpc_client_call *call, *health;
	struct loop_timer retry, reopen;
	struct loop_task step; /* never free a client under its own callback */
	struct backoff backoff;
	char *driver, *endpoint, *refusal;
	bool v1, answered, connected, seen;
	int code; /* of the last call */
	uint64_t order;
};

/* A driver's answer for one device. */
struct kubelet_answer {
	char *driver, *request, *pool, *device, *cdi_id, *share_id;
};
/* One entry of the claim cache. */
struct kubelet_claim {
	struct list node;
	char *ns, *name, *uid;
	json_t *drivers; /* names */
	json_t *pods;	 /* uids that use it */
	struct kubelet_answer *answers;
	size_t answers_n;
	bool prepared; /* in memory only, as in the real one */
	bool busy;     /* being unprepared */
};

enum pod_state { POD_WAITING, POD_PREPARING, POD_RUNNING, POD_STOPPING, POD_DONE };
struct kubelet_pod {
	struct list node;
	struct kubelet *kubelet;
	char *ns, *name, *uid;
	enum pod_state state;
	struct loop_timer timer; /* retry, or the end of its containers */
	struct loop_task step;
	struct kubelet_rpc *rpc;
	json_t *drivers; /* still to be asked in this attempt */
	bool ending, gone;
};

/* One Prepare or Unprepare of one driver. Owner: the caller, told once. */
struct kubelet_rpc {
	struct list node; /* kubelet->rpcs */
	struct kubelet *kubelet;
	struct kubelet_plugin *plugin;
	struct grpc_client_call *call;
	struct loop_task lost; /* its plugin went away */
	bool prepare;
	char *driver;
	struct kubelet_claim **claims;
	size_t n;
	bool answered, ok;
	struct err error;
	void (*done)(void *arg, bool ok, const struct err *e);
	void *arg;
};

struct kubelet {
	struct loop *loop;
	struct kubelet_conf conf;
	char *node, *registry, *state;
	struct fswatch *watch;
	struct loop_timer reconcile, stale, wipe;
	struct list plugins, pods, claims, rpcs;
	struct store_watch *pod_watch;
	json_t *wiping; /* driver -> loop time at which its slices go */
	struct kubelet_rpc *stale_rpc;
	uint64_t next_order, serial;
	bool rebooted; /* no pod's sandbox is there */
	struct kubelet_stats stats;
};

void kubelet_line(struct kubelet *k, const char *fmt, ...) PRINTF(2, 3);
void kubelet_failed(struct kubelet *k, const char *fmt, ...) PRINTF(2, 3);
void kubelet_plugin_changed(struct kubelet *k,
			    const char *driver); /* (un)registered, (dis)connected */

/* kubelet_plugin.c */
void kubelet_plugin_add(struct kubelet *k, const char *name, uint64_t ino, uint64_t ctime_ns);
void kubelet_plugin_free(struct kubelet_plugin *p);
struct kubelet_plugin *kubelet_plugin_of(const struct kubelet *k, const char *driver);
struct kubelet_rpc *kubelet_rpc_start(struct kubelet *k, const char *driver, bool prepare,
				      struct kubelet_claim **claims, size_t n,
				      void (*done)(void *arg, bool ok, const struct err *e),
				      void *arg);
void kubelet_rpc_free(struct kubelet_rpc **r); /* cancels it when it runs */

/* kubelet_pod.c */
void kubelet_pods_start(struct kubelet *k);
void kubelet_pods_stop(struct kubelet *k);
/* kubelet_claim.c */
struct kubelet_claim *kubelet_claim_find(const struct kubelet *k, const char *ns, const char *name);
struct kubelet_claim *kubelet_claim_add(struct kubelet *k, const json_t *object);
void kubelet_claim_forget(struct kubelet_claim *c);
void kubelet_claim_use(struct kubelet_claim *c, const char *pod_uid, bool used);
bool kubelet_claim_used_by(const struct kubelet_claim *c, const char *pod_uid);
void kubelet_claim_answer(struct kubelet_claim *c, const char *driver,
			  const struct kubelet_device *d);
void kubelet_claims_save(struct kubelet *k);
void kubelet_claims_load(struct kubelet *k);
void kubelet_claims_stale(struct kubelet *k); /* unprepares those whose pods vanished */
