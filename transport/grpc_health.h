#pragma once
/* grpc.health.v1.Health: Check, and Watch, for the service names "" and those given. */
#include "transport/grpc_server.h"

struct grpc_health;
/* `serving(arg)` is asked at each Check; it must not wait. Names end with NULL. */
struct grpc_health *grpc_health_new(struct loop *l, const char *const *names,
				    bool (*serving)(void *arg), void *arg);
void grpc_health_free(struct grpc_health **h); /* after the server it was added to */
const struct grpc_service *grpc_health_service(const struct grpc_health *h);
void grpc_health_changed(struct grpc_health *h); /* watchers are told what `serving` says now */
void grpc_health_drain(struct grpc_health *h);	 /* ends the watches, so that a drain can end */
