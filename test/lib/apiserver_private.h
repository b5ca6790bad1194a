#pragma once
/* Shared by apiserver.c (connections, faults), apiserver_rest.c and apiserver_watch.c. */
#include "test/lib/apiserver.h"
#include "test/lib/apiserver_route.h"
#include "test/lib/jx.h"
#include "test/lib/selector.h"
#include "transport/h2_server.h"

enum {
	APISERVER_FAULTS_MAX = 32,
	APISERVER_OLD_MAX = 64,	      /* drained servers */
	APISERVER_BODY_MAX = 3 << 20, /* as the real one */
	APISERVER_ANSWER_MAX = 64 << 20,
	APISERVER_COUNTERS = 256,
};

/* One request. Owner: its HTTP/2 call, until on_gone. */
struct request {
	struct list node; /* apiserver->requests */
	struct apiserver *server;
	struct h2_call *call;
	char *method, *target, *token, *content_type;
	struct buf body;
	struct route route;
	struct loop_task work;
	struct loop_timer delay, timeout; /* timeout: of a watch */
	enum apiserver_effect effect;
	int status; /* of the fault; then of the answer */
	unsigned retry_after_s;
	/* a watch, while it is open */
	struct store_watch *watch;
	struct selector selector;
};

struct apiserver {
	struct loop *loop;
	struct apiserver_conf conf;
	struct h2_server *server;
	struct h2_server *old[APISERVER_OLD_MAX]; /* draining */
	size_t old_n;
	char *unix_path, *host;
	uint16_t port;
	struct tls_server *tls;
	struct list requests;
	struct apiserver_fault faults[APISERVER_FAULTS_MAX];
	unsigned met[APISERVER_FAULTS_MAX];
	size_t faults_n;
	unsigned struck;
	json_t *applied; /* uid -> manager -> what it applied last */
	struct store_watch *cleaner;
	struct loop_timer bookmark;
	struct {
		const char *verb, *resource;
		uint64_t n;
	} counters[APISERVER_COUNTERS];
	size_t counters_n;
	void (*on_request)(void *arg, const char *verb, const char *path, int status);
	void *arg;
};

/* ---- answers ---- */
void request_answer(struct request *r, int status, struct sv body, const char *type);
void request_json(struct request *r, int status, const json_t *body);
void request_error(struct request *r, const struct store_error *e);
void request_done(struct request *r, int status); /* counted and told; nothing is sent */

/* apiserver_rest.c: does the request and answers it. */
void request_serve(struct request *r);
/* apiserver_watch.c */
void request_watch_serve(struct request *r);
void request_watch_stop(struct request *r);   /* nothing more is told */
void request_watch_end(struct request *r);    /* and its stream ends well */
void request_watch_expire(struct request *r); /* a last event: 410 */
void request_watch_bookmark(struct request *r);
