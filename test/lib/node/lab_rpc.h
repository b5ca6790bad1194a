#pragma once
/* gRPC calls of a test to whatever listens on a unix socket, and the messages of the kubelet. */
#include "test/lib/node/lab.h"
#include "third_party/kubelet/dra.pb-c.h"
#include "third_party/kubelet/registration.pb-c.h"
#include "transport/grpc_client.h"

#define RPC_PREPARE	 "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources"
#define RPC_UNPREPARE	 "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources"
#define RPC_PREPARE_BETA "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources"
#define RPC_HEALTH	 "/v1alpha1.DRAResourceHealth/NodeWatchResources"
#define RPC_GET_INFO	 "/pluginregistration.Registration/GetInfo"
#define RPC_NOTIFY	 "/pluginregistration.Registration/NotifyRegistrationStatus"

/* One call, over a connection of its own. */
struct lab_rpc {
	struct h2_client *client;
	struct grpc_client_call *call;
	struct buf answer;
	bool done;
	int code; /* -1: no connection */
	char text[512];
	unsigned messages;
};
void lab_rpc_start(struct lab *l, struct lab_rpc *r, const char *socket, const char *path,
		   struct sv message, uint64_t timeout_ms);
/* Waits at most `ms`; -2: no answer in time. */
int lab_rpc_wait(struct lab *l, struct lab_rpc *r, uint64_t ms);
void lab_rpc_done(struct lab_rpc *r); /* cancels it if it runs */

/* "name uid" pairs of namespace "default" as a request of Prepare or Unprepare. */
void lab_rpc_claims(struct buf *out, const char *const *pairs, size_t n);
