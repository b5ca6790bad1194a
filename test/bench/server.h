#pragma once
/*
 * The API server as the bench uses it: as admin it makes allocated claims, watches, deletes and
 * writes slices; as the driver's user it does bare GETs of claims, the floor of a prepare.
 */
#include "core/err.h"
#include "test/bench/kubelet.h"
#include "test/bench/volley.h"

struct server;
struct server_conf {
	const char *admin;  /* kubeconfig */
	const char *driver; /* kubeconfig of the driver's user */
	const char *ns, *node;
	size_t gpus; /* of the fake node */
};
int server_new(struct loop *l, const struct server_conf *conf, struct server **out,
	       struct err *e) NODISCARD;
void server_free(struct server **s);

/* Claim i of a kind is named "<kind>-<i>"; `admin` ones have adminAccess. Device: gpu-<i % gpus>.
 */
int server_make_claims(struct server *s, const char *kind, bool admin, struct bench_claim *claims,
		       size_t n, struct err *e) NODISCARD;

/* Operation i of a volley: a bare GET of claims[i] over one connection, nothing parsed. */
struct server_gets {
	struct server *server;
	const struct bench_claim *claims;
};
void server_start_get(void *ctx, struct shot *s);
uint64_t server_get_bytes(const struct server *s); /* body of the last one */

/* Follows the node's slices from now on. Devices seen, and when the last change came. */
int server_watch(struct server *s, struct err *e) NODISCARD;
int server_await_devices(struct server *s, size_t devices, uint64_t timeout_ms, uint64_t *at_us,
			 struct err *e) NODISCARD;
int server_delete_slices(struct server *s, struct err *e) NODISCARD;
/* The floor of publishing: POST of a slice like the driver's, until the watch shows it. */
int server_post_slice(struct server *s, uint64_t *us, struct err *e) NODISCARD;
