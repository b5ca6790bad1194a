#pragma once
/*
 * The Kubernetes API over one HTTP/2 connection. No object model: requests are bytes, answers are
 * parsed JSON that lives during the callback.
 *
 * Every call has a deadline and ends with exactly one callback, never inside api_call(), unless
 * cancelled. Identity: the token file is read again when older than 60 s, and at once on a 401,
 * which is then tried again; CA and client certificate are read again at each connect.
 * Path: api_call -> [rate limit] -> [version known?] -> try -> answer -> done, or wait and try
 * anew.
 */
#include "core/err.h"
#include "core/loop.h"
#include "k8s/api/config.h"
#include "k8s/api/meta.h"

struct api;
struct h2_client_stats;

#define API_GROUP_RESOURCE "resource.k8s.io"
#define API_GROUP_CORE	   ""

enum {
	API_TIMEOUT_MS = 30000, /* of a call that names none */
	API_BODY_MAX = 16 << 20 /* bytes of one answer; the cache pages its lists */
};

enum api_verb {
	API_GET,
	API_LIST,
	API_CREATE, /* POST */
	API_UPDATE, /* PUT */
	API_PATCH,  /* merge patch unless content_type says otherwise; must be idempotent */
	API_APPLY,  /* server-side apply; needs field_manager */
	API_DELETE,
	API_DELETE_ALL, /* collection, by selectors */
	API_WATCH,	/* used by watch.c */
	API_VERBS
};
const char *api_verb_name(enum api_verb v); /* "GET", "LIST", ... */

/* What is asked for. Names are percent-encoded by the client; strings are copied. */
struct api_target {
	const char *group;	     /* API_GROUP_CORE, API_GROUP_RESOURCE, "apps", ... */
	const char *version;	     /* "v1"; NULL = discovered, for API_GROUP_RESOURCE only */
	const char *resource;	     /* "resourceclaims" */
	const char *ns;		     /* NULL = cluster scoped or all */
	const char *name;	     /* NULL = collection */
	const char *sub;	     /* "status" or NULL */
	const char *fields, *labels; /* selectors, not encoded, or NULL */
	const char *query;	     /* more parameters, encoded, without '?', or NULL */
	const char *raw;	     /* instead of all the above but query: "/version", "/livez" */
};

/* Positive values of api_result.status. The Status object is api_result.object when one came. */
enum api_code {
	API_BAD_REQUEST = 1, /* 400, 405, 406, 413, 415 and other 4xx: asking again does not help */
	API_UNAUTHORIZED,    /* 401, after the token was read again */
	API_FORBIDDEN,	     /* 403 */
	API_NOT_FOUND,	     /* 404: the object is not there */
	API_NOT_SERVED,	     /* 404: the group, version or resource is not served */
	API_EXISTS,	     /* 409 AlreadyExists */
	API_CONFLICT,	     /* 409: resourceVersion or precondition; read again */
	API_GONE,	     /* 410: too old; list again */
	API_INVALID,	     /* 422: never try the same again */
	API_BUSY,	     /* 429, after the retries the policy allows */
	API_SERVER,	     /* 5xx, the same */
};
const char *api_code_name(int status); /* for logs and metrics: "NotFound"; errno names if < 0 */

enum api_retry {
	/*
	 * Passing trouble (connection lost, 429, 502..504, 500 with Retry-After) is tried again
	 * until the deadline, when that is safe: the verb is idempotent or the server cannot have
	 * acted.
	 */
	API_RETRY_SAFE,
	/* One try; only a 401 goes again, when there is a newer token. */
	API_RETRY_NEVER,
	/*
	 * As SAFE, and 401, 403, 408 and every 5xx too: someone may be rolling out RBAC, a token or
	 * a webhook. Only an answer that cannot change ends the call: 404 of the object, 409, 410,
	 * 422.
	 */
	API_RETRY_WAIT,
};

struct api_result {
	int status; /* 0 = 2xx; enum api_code; -ETIMEDOUT, -ECONNRESET, -EBADMSG, ...: no answer */
	int http;   /* HTTP status of the last answer, 0 = none */
	enum api_version version;  /* spoken, for targets with a discovered version */
	const struct json *object; /* answer or Status; NULL when none came */
	struct sv body;		   /* its bytes */
	const char *reason;	   /* of the Status: "NotFound"; "" if none */
	const char *error;	   /* one line for a human, "" when status is 0 */
	uint32_t retry_after_ms;   /* told by the server, 0 = not */
	uint64_t date_ms;	   /* the server's clock (Date header), Unix ms, 0 = not told */
	bool sent;		   /* the server may have acted (matters when status < 0) */
	unsigned tries;
	uint64_t ms; /* from api_call() to now */
};
/* The result and everything in it is valid during the callback. New calls may be made from it. */
typedef void (*api_fn)(void *arg, const struct api_result *r);

struct api_request {
	enum api_verb verb;
	struct api_target to;
	struct sv body; /* copied */
	/* Or written anew for each try, in the shape of that version. Lives until the end. */
	void (*make_body)(void *arg, enum api_version v, struct buf *out);
	const char *content_type;  /* NULL = by verb */
	const char *field_manager; /* CREATE, UPDATE, PATCH, APPLY; NULL = none */
	bool force;		   /* APPLY */
	uint64_t timeout_ms;	   /* 0 = API_TIMEOUT_MS */
	enum api_retry retry;
	api_fn fn;
	void *arg;
};

/* What the owner may listen to; each may be NULL. */
struct api_hooks {
	/* One HTTP exchange ended: http status, or negative errno. */
	void (*on_exchange)(void *arg, enum api_verb verb, int status, uint64_t us);
	void *arg;
};
struct api_conf {
	const struct api_config *config; /* copied */
	const char *user_agent;		 /* NULL = "tundra/<version>" */
	double qps;			 /* 0 = no limit of our own */
	unsigned burst;			 /* with qps; 0 = 10 */
	struct api_hooks hooks;
};

/* -EINVAL and others when the TLS material is unusable. Connects when first needed. */
int api_new(struct loop *l, const struct api_conf *conf, struct api **out, struct err *e) NODISCARD;
void api_free(struct api **a); /* pending calls get no callback */

/* Never 0. The id stays harmless after the call's end. */
uint64_t api_call(struct api *a, const struct api_request *r);
void api_cancel(struct api *a, uint64_t id); /* no callback after; unknown ids are ignored */
/* What a call met so far ("429 Too Many Requests: ..."), "" when nothing or it is unknown. */
const char *api_trouble(const struct api *a, uint64_t id);
size_t api_calls(const struct api *a); /* alive */

/* A stream of bytes (watch, log): on_data in pieces, then fn once. No retries but 401's. */
struct api_stream_request {
	struct api_target to;
	uint64_t timeout_ms;				/* 0 = none */
	void (*on_open)(void *arg, enum api_version v); /* 200 came */
	void (*on_data)(void *arg, struct sv data);
	api_fn fn; /* status 0: the server ended it well */
	void *arg;
};
uint64_t api_stream(struct api *a, const struct api_stream_request *r); /* api_cancel() ends it */

/* The version of resource.k8s.io in use, API_VERSION_NONE until the first discovery answered. */
enum api_version api_served(const struct api *a);

struct loop *api_loop(const struct api *a);
const struct h2_client_stats *api_connection(const struct api *a);

/* Body of a DELETE: only when uid and resourceVersion (each may be NULL) still match. */
void api_put_preconditions(struct buf *out, const char *uid, const char *rv);
/* Replaces the strings by copies; done() releases them. For those who keep a target. */
void api_target_copy(struct api_target *t);
void api_target_done(struct api_target *t);
/* Percent-encodes for a path segment or a query value. */
void api_put_escaped(struct buf *out, const char *s);
