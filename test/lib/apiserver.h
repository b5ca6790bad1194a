#pragma once
/*
 * An API server in memory: HTTP/2, TLS and tokens in front of a store. Answers what a node agent,
 * its tools and kubectl's simple verbs ask, in the words of the real one, and misbehaves on demand.
 * It is for demos, simulations and many-node runs, never the proof: that is a real Kubernetes.
 *
 * Not here: admission, RBAC (faults give 403), protobuf, JSON patch, tables, OpenAPI, watch lists.
 */
#include "core/err.h"
#include "core/loop.h"
#include "test/lib/store.h"
#include "test/lib/versions.h"

struct apiserver;
struct tls_server;

struct apiserver_conf {
	struct store *store;	    /* not owned */
	const char *const *tokens;  /* accepted bearer tokens, ends with NULL; NULL: anybody may */
	unsigned versions;	    /* of resource.k8s.io, VERSIONS_*; 0 = V1 */
	const char *const *dropped; /* see validate_drop(); NULL = every gate is on */
	uint64_t bookmark_ms;	    /* 0 = 60 s */
};
struct apiserver *apiserver_new(struct loop *l,
				const struct apiserver_conf *conf); /* strings kept */
void apiserver_free(struct apiserver **a);
int apiserver_listen_unix(struct apiserver *a, const char *path, struct err *e) NODISCARD;
/* tls NULL = plain; not owned. *port 0 = chosen. */
int apiserver_listen_tcp(struct apiserver *a, const char *host, uint16_t *port,
			 struct tls_server *tls, struct err *e) NODISCARD;

/* ---- faults ---- */
enum apiserver_effect {
	APISERVER_ANSWER, /* none but the delay */
	APISERVER_STATUS, /* an error of `status` instead of doing it */
	APISERVER_CUT,	  /* every connection is lost, the request is not done */
	APISERVER_LOSE,	  /* it is done, then every connection is lost without an answer */
	APISERVER_RESET,  /* RST_STREAM(INTERNAL_ERROR), not done */
	APISERVER_REFUSE, /* RST_STREAM(REFUSED_STREAM), not done */
	APISERVER_GOAWAY, /* done and answered, then the connection is drained */
	APISERVER_SILENT, /* no answer at all */
};
struct apiserver_fault {
	/* "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"; NULL =
	 * any */
	const char *verb;
	const char *resource, *name; /* NULL = any */
	unsigned skip;		     /* the first so many that match go through */
	unsigned times;		     /* then so many are struck; 0 = 1, APISERVER_ALWAYS */
	unsigned percent;	     /* of those; 0 = all */
	enum apiserver_effect effect;
	int status;		/* 401, 403, 404 (not served), 409, 410, 422, 429, 5xx */
	unsigned retry_after_s; /* of 429 and 503 */
	uint64_t delay_ms;
};
#define APISERVER_ALWAYS UINT32_MAX
/* The first that matches and is not used up strikes. Strings are kept. */
void apiserver_fault(struct apiserver *a, const struct apiserver_fault *f);
void apiserver_clear(struct apiserver *a); /* forgets all faults */
/* "update resourceslices status=409 times=3"; words: a verb, a resource, effect names, skip=,
 * times= (a number or "always"), percent=, status=, retry-after=, delay= (ms). -EINVAL. */
int apiserver_fault_text(struct apiserver *a, const char *text, struct err *e) NODISCARD;
unsigned apiserver_struck(const struct apiserver *a); /* requests that met a fault */

void apiserver_cut(struct apiserver *a);    /* every connection is lost; new ones are taken */
void apiserver_down(struct apiserver *a);   /* the same, and nobody listens */
void apiserver_up(struct apiserver *a);	    /* listens again */
void apiserver_goaway(struct apiserver *a); /* connections drain; watches end */
void apiserver_expire(struct apiserver *a); /* history is gone: watches end with a 410 */

/* ---- what happened ---- */
/* Requests so far by verb and resource, NULL = any. */
uint64_t apiserver_count(const struct apiserver *a, const char *verb, const char *resource);
size_t apiserver_watches(const struct apiserver *a);
size_t apiserver_connections(const struct apiserver *a);
/* Each request as it is answered, for a demo's trace. */
void apiserver_on_request(struct apiserver *a,
			  void (*fn)(void *arg, const char *verb, const char *path, int status),
			  void *arg);
