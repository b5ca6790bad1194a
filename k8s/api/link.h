#pragma once
/*
 * What all calls of one client share: connection, identity, TLS material, the rate limit and the
 * memory of what was already complained about. Knows no calls.
 */
#include "k8s/api/client.h"
#include "k8s/api/identity.h"
#include "k8s/api/quiet.h"

enum {
	LINK_WARNINGS_MAX = 64, /* different warnings remembered; later ones repeat at worst */
};

struct h2_client;
struct tls_client;

/* Owned by struct api; its fields are read by client.c, written by link.c. */
struct link {
	struct loop *loop;
	struct api_config *config;
	char *user_agent;
	struct tls_client *tls;
	uint64_t certificate; /* counts changes of the TLS material */
	struct h2_client *h2;
	struct identity identity;

	double interval_ms;  /* between requests, 0 = no limit */
	double allowance_ms; /* burst */
	double next_ms;	     /* when the bucket of the next request is due */

	struct quiet quiet;
	uint64_t warned[LINK_WARNINGS_MAX];
	unsigned warned_n;
	bool troubled; /* a lost connection was logged, so its return is too */
};

int link_new(struct loop *l, const struct api_conf *conf, struct link **out,
	     struct err *e) NODISCARD;
void link_free(struct link **k);

/* How long this request must still wait for its share of kube-api-qps; books it. */
uint64_t link_pace_ms(struct link *k);
/* Logs a Warning header, each text once. */
void link_warn(struct link *k, struct sv header);
/*
 * After a 401 to a request that used these generations: is there another token or certificate now?
 * Files are read again; a new certificate gets a new connection.
 */
bool link_refused(struct link *k, uint64_t token, uint64_t certificate);
