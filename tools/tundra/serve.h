#pragma once
/*
 * What operators and tools ask the running node: metrics, probes and the status page over HTTP, the
 * gRPC health service, and the whole status as JSON on a socket for root.
 */
#include "core/metrics.h"
#include "k8s/node.h"

struct conflict;
struct events;
struct in_use;
struct serve;
struct serve_conf {
	const char *http_endpoint, *metrics_path; /* endpoint NULL or "": none */
	bool status_page;			  /* beside the metrics */
	int64_t health_port;			  /* gRPC; 0 = any, negative = none */
	const char *status_socket;
	const char *node;
	struct metrics *metrics;
	struct driver *driver;
	struct inventory *inventory;
	struct api *api;
	struct worker *disk;
	struct in_use *in_use;
	struct conflict *conflict;
	struct events *events; /* may be NULL */
};
int serve_new(struct loop *l, const struct serve_conf *conf, struct serve **out,
	      struct err *e) NODISCARD;
/* The document of `tundra status -o json` into a file, for whoever cannot ask by the socket. */
int serve_dump(struct serve *s, const char *path, struct err *e) NODISCARD;
void serve_free(struct serve **s);
