#pragma once
/*
 * The kubelet's DRA service: v1.DRAPlugin and v1beta1.DRAPlugin by one implementation, and the
 * device health stream that the kubelet opens in any case. Decodes, hands each claim to
 * k8s/claim, answers when all are answered. Knows protobuf; nobody else in k8s does, but
 * k8s/registration.
 */
#include "k8s/claim.h"
#include "transport/grpc_server.h"

struct plugin;
struct plugin_stats {
	uint64_t last_call_wall_ms;			    /* of the kubelet, 0 = none yet */
	const char *last_method;			    /* "NodePrepareResources" ... */
	uint64_t prepares, unprepares, inflight, preparing; /* preparing: of those in flight */
};
struct plugin *plugin_new(struct loop *l, struct claims *claims);
void plugin_free(struct plugin **p);
/* Ends the health streams, which would keep the server's drain from ending. */
void plugin_drain(struct plugin *p);
/*
 * The ledger was handed over: calls that wait here, and new ones, are asked of the instance that
 * has it now, on `socket`, and its answers passed on. NULL: it is ours again. Call it only while no
 * claim is in flight. Repeating it changes nothing; another socket is another instance.
 */
void plugin_relay(struct plugin *p, const char *socket);
/* The services to add to a server, n of them. */
const struct grpc_service *plugin_services(const struct plugin *p, size_t *n);
const struct plugin_stats *plugin_stats(const struct plugin *p);
