#pragma once
/*
 * Unary and server-streaming calls over an h2_client: for the kubelet stand-in, probes and tests.
 * Calls end or are cancelled before their h2_client is freed.
 */
#include "transport/grpc_server.h"
#include "transport/h2_client.h"

struct grpc_client_call;
typedef void (*grpc_message_fn)(void *arg, struct sv message);
/* code -1: the connection failed before an answer. */
typedef void (*grpc_end_fn)(void *arg, int code, const char *text);

/*
 * timeout_ms 0: none. on_message for each message, then on_end once, never from within this call.
 */
struct grpc_client_call *grpc_client_call(struct h2_client *h, const char *path, struct sv message,
					  uint64_t timeout_ms, grpc_message_fn on_message,
					  grpc_end_fn on_end, void *arg);
void grpc_client_cancel(struct grpc_client_call *c); /* RST_STREAM(CANCEL); no callback after */
