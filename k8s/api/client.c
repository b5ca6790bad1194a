/*
 * One call is one state machine, ticked by a task; libevent and h2 callbacks only record.
 *
 *          +------------------------------------------------+
 *          v                                                |
 *   READY --> DISCOVERY --> READY     (version not known)   |
 *     |  \--> PAUSED -----> READY     (rate limit, backoff) |
 *     v                                                     |
 *   TRYING --> ANSWERED --> ENDED (callback)                |
 *                  \---> PAUSED / READY (tried again) ------+
 *
 * READY, PAUSED and DISCOVERY hold no h2 request; TRYING has exactly one. Whatever waits is bounded
 * by due_ms. A call is found by its id only, so a cancel that comes late finds nothing.
 */
#include "k8s/api/client.h"

#include <errno.h>
#include <inttypes.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/sm.h"
#include "k8s/api/answer.h"
#include "k8s/api/link.h"
#include "k8s/api/path.h"
#include "k8s/api/retry.h"
#include "transport/h2_client.h"

enum {
	TRY_MS = 15000,		  /* one read: a stuck stream must not eat the whole deadline */
	DISCOVERY_MS = 10000,	  /* asking which versions are served */
	BACKOFF_FIRST_MS = 100,	  /* first wait before a new try; a healthy server answers in 5 */
	BACKOFF_CAP_MS = 5000,	  /* so that WAIT notices the end of trouble soon */
	REPROBES_MAX = 2,	  /* versions can change under one call only so often */
	STREAM_MAX = 1 << 20,	  /* of a stream in one turn; the connection reads 128 KiB */
	PATH_MAX_BYTES = 8 << 10, /* a path with two selectors takes about 300 */
};

/* A page of slices: 16 MiB and what a tree of it may cost (about 100 bytes a value). */
static const struct json_limits list_limits = { .bytes = API_BODY_MAX,
						.values = 400000,
						.depth = 64 };

enum call_state {
	CALL_READY,
	CALL_DISCOVERY,
	CALL_PAUSED,
	CALL_TRYING,
	CALL_ANSWERED,
	CALL_ENDED,
};

static const struct sm_conf call_conf[] = {
	[CALL_READY] = { "ready", SM_TO(CALL_DISCOVERY) | SM_TO(CALL_PAUSED) | SM_TO(CALL_TRYING) |
				      SM_TO(CALL_ANSWERED) | SM_TO(CALL_ENDED) },
	[CALL_DISCOVERY] = { "discovery", SM_TO(CALL_READY) | SM_TO(CALL_ENDED) },
	[CALL_PAUSED] = { "paused", SM_TO(CALL_READY) | SM_TO(CALL_ENDED) },
	[CALL_TRYING] = { "trying", SM_TO(CALL_ANSWERED) | SM_TO(CALL_ENDED) },
	[CALL_ANSWERED] = { "answered",
			    SM_TO(CALL_READY) | SM_TO(CALL_PAUSED) | SM_TO(CALL_ENDED) },
	[CALL_ENDED] = { "ended", 0 },
};

struct api {
	struct loop *loop;
	struct link *link;
	struct api_hooks hooks;
	struct map calls; /* by id */
	uint64_t last_id;

	enum api_version version; /* served, NONE = not known (any more) */
	enum api_version logged;
	enum api_version guess; /* the next one to try when discovery is closed to us */
	bool guessed;
	uint64_t discovery; /* id of the call that asks, 0 = none */
	/* Result of a discovery that failed; calls in DISCOVERY take it as theirs. */
	struct err discovery_error;
	int discovery_status, discovery_http;
};

/* Owner: the api's map until it ends, then the loop's deferred frees. */
struct call {
	struct sm sm;
	struct api *api;
	uint64_t id;
	struct loop_task task;
	struct loop_timer timer; /* end of PAUSED, or the deadline in DISCOVERY */
	struct backoff backoff;

	enum api_verb verb;
	enum api_retry retry;
	api_fn fn;
	void (*make_body)(void *arg, enum api_version v, struct buf *out);
	void (*on_open)(void *arg, enum api_version v);
	void (*on_data)(void *arg, struct sv data);
	void *arg;
	char *path; /* "/apis/resource.k8s.io/" | "/resourceslices": cut at version_at */
	size_t version_at;
	char *content_type;
	char what[48]; /* for logs: resource or raw path */
	struct buf body;
	bool raw, too_long;
	bool paced;		   /* its share of the rate limit is booked */
	uint64_t start_ms, due_ms; /* UINT64_MAX = no deadline */

	/* The present try. */
	struct h2_request *request;
	enum api_version version;
	uint64_t token, certificate; /* generations used */
	uint64_t try_us;
	struct buf answer;
	bool opened, json_type, ended, overflow;

	/* The last answer. */
	struct json *root;
	struct err error;
	int status, http;
	uint32_t retry_after_ms;
	uint64_t date_ms;
	bool sent;

	unsigned tries, auth_tries, reprobes;
};

static void call_tick(void *arg);

static struct sv id_key(const uint64_t *id)
{
	return sv_make(id, sizeof(*id));
}

/* ---- a call's life ---- */

static void call_destroy(void *obj)
{
	struct call *c = obj;

	buf_done(&c->body);
	buf_done(&c->answer);
	json_free(&c->root);
	mem_free(c->path);
	mem_free(c->content_type);
	mem_free(c);
}

/* Off every list and timer; the memory goes at the end of the turn. */
static void call_detach(struct call *c)
{
	loop_timer_stop(&c->timer);
	loop_task_stop(&c->task);
	if (c->request)
		h2_request_cancel(c->request);
	c->request = NULL;
	map_del(&c->api->calls, id_key(&c->id));
	sm_move(&c->sm, CALL_ENDED);
	loop_defer_free(c->api->loop, c, call_destroy);
}

static void call_end(struct call *c)
{
	struct api *a = c->api;
	struct api_result r = {
		.status = c->status,
		.http = c->http,
		.version = c->version,
		.object = c->root,
		.body = c->on_data ? SV_NONE : buf_sv(&c->answer),
		.reason = json_str(json_get(answer_status(c->root), "reason"), ""),
		.error = c->status ? c->error.text : "",
		.retry_after_ms = c->retry_after_ms,
		.date_ms = c->date_ms,
		.sent = c->sent,
		.tries = c->tries,
		.ms = loop_now_ms(a->loop) - c->start_ms,
	};

	call_detach(c);
	/* Last: the owner may start calls or even free the api. The tree lives until the reaper. */
	c->fn(c->arg, &r);
}

static void call_fail(struct call *c, int status, const char *text)
{
	c->status = status;
	err_set(&c->error, status, "%s", text);
	call_end(c);
}

/* The deadline came while nothing was under way: what was waited for is the cause. */
static void call_expire(struct call *c)
{
	struct err why = c->error;

	c->http = 0;
	json_free(&c->root);
	err_set(&c->error, -ETIMEDOUT, "timed out after %" PRIu64 " ms%s%s",
		loop_now_ms(c->api->loop) - c->start_ms, why.text[0] ? ", last: " : "", why.text);
	c->status = -ETIMEDOUT;
	call_end(c);
}

static void call_on_timer(void *arg)
{
	struct call *c = arg;

	loop_task_post(&c->task);
}

static uint64_t call_left_ms(const struct call *c)
{
	uint64_t now = loop_now_ms(c->api->loop);

	if (c->due_ms == UINT64_MAX)
		return UINT64_MAX;
	return c->due_ms > now ? c->due_ms - now : 0;
}

static void call_pause(struct call *c, uint64_t ms)
{
	sm_move(&c->sm, CALL_PAUSED);
	loop_timer_set(&c->timer, MIN(ms, call_left_ms(c)));
}

/* ---- discovery ---- */

static enum api_version pick_version(const struct json *group)
{
	const struct json *versions = json_get(group, "versions");

	for (enum api_version v = API_V1; v <= API_V1BETA1; v++)
		for (size_t i = 0; i < json_len(versions); i++)
			if (strcmp(json_str(json_get(json_at(versions, i), "version"), ""),
				   api_version_name(v)) == 0)
				return v;
	return API_VERSION_NONE;
}

static void discovery_result(struct api *a, const struct api_result *r)
{
	a->discovery_status = r->status;
	a->discovery_http = r->http;
	err_set(&a->discovery_error, r->status, "%s", r->error);
	if (r->status == 0)
		a->version = pick_version(r->object);
	a->guessed = r->status == API_FORBIDDEN;
	if (a->guessed) {
		/* Discovery is closed to us: take the versions in turn, each 404 moves on. */
		a->guess = a->guess % API_V1BETA1 + 1;
		a->version = a->guess;
		a->discovery_status = 0;
	}
	if ((r->status == 0 && a->version == API_VERSION_NONE) || r->status == API_NOT_SERVED) {
		a->discovery_status = API_NOT_SERVED;
		err_set(&a->discovery_error, 0,
			"the API server does not serve %s v1, v1beta2 or v1beta1: dynamic resource "
			"allocation needs Kubernetes 1.34, or 1.32 with the API enabled",
			API_GROUP_RESOURCE);
	}
}

static void discovery_done(void *arg, const struct api_result *r)
{
	struct api *a = arg;
	struct call *c;

	a->discovery = 0;
	discovery_result(a, r);
	if (a->version != API_VERSION_NONE && a->version != a->logged) {
		a->logged = a->version;
		log_info("api version chosen",
			 LOG_S("version", api_version_group_name(a->version)));
	}
	/* Each looks at the outcome in its own tick, so the map does not change under us. */
	map_for_each (e, &a->calls) {
		c = e->value;
		if (sm_state(&c->sm) == CALL_DISCOVERY)
			loop_task_post(&c->task);
	}
}

static void discovery_start(struct api *a)
{
	if (a->discovery)
		return;
	a->discovery_status = 0;
	a->discovery = api_call(a, &(struct api_request){
				       .verb = API_GET,
				       .to = { .raw = "/apis/" API_GROUP_RESOURCE },
				       .timeout_ms = DISCOVERY_MS,
				       .fn = discovery_done,
				       .arg = a,
				   });
}

static bool call_discovers(const struct call *c)
{
	return c->version_at != SIZE_MAX;
}

/* ---- one try ---- */

static void try_on_head(void *arg, int status, const struct h2_header *headers, size_t n)
{
	struct call *c = arg;
	struct sv retry_after = SV_NONE;

	c->http = status;
	for (size_t i = 0; i < n; i++) {
		if (sv_eqs(headers[i].name, "retry-after"))
			retry_after = headers[i].value;
		else if (sv_eqs(headers[i].name, "warning"))
			link_warn(c->api->link, headers[i].value);
		else if (sv_eqs(headers[i].name, "content-type"))
			c->json_type = sv_starts(headers[i].value, SV("application/json"));
		else if (sv_eqs(headers[i].name, "date"))
			c->date_ms = answer_date_ms(headers[i].value);
	}
	c->retry_after_ms = answer_retry_after_ms(retry_after, NULL);
	if (c->on_data)
		loop_task_post(&c->task);
}

static void try_on_data(void *arg, struct sv data)
{
	struct call *c = arg;

	if (!buf_put_sv(&c->answer, data))
		c->overflow = true;
	if (c->on_data || c->overflow)
		loop_task_post(&c->task);
}

static void try_on_end(void *arg, int status, bool sent, const struct err *e)
{
	struct call *c = arg;

	c->request = NULL;
	c->ended = true;
	c->status = status;
	c->sent = sent;
	if (status < 0)
		err_set(&c->error, status, "API server: %s", err_text(e));
	loop_task_post(&c->task);
}

/* Ends a try by our own decision. */
static void try_abort(struct call *c, int status, const char *text)
{
	if (c->request)
		h2_request_cancel(c->request);
	c->request = NULL;
	c->ended = true;
	c->sent = true;
	c->status = status;
	err_set(&c->error, status, "%s", text);
}

static size_t try_headers(const struct call *c, struct sv token, struct h2_header *h)
{
	size_t n = 0;

	h[n++] = (struct h2_header){ SV("accept"), SV("application/json") };
	h[n++] = (struct h2_header){ SV("user-agent"), sv_str(c->api->link->user_agent) };
	if (token.n)
		h[n++] = (struct h2_header){ SV("authorization"), token };
	if (buf_len(&c->body))
		h[n++] = (struct h2_header){
			SV("content-type"),
			sv_str(c->content_type ? c->content_type : path_content_type(c->verb)),
		};
	return n;
}

static uint64_t try_timeout_ms(const struct call *c)
{
	uint64_t left = call_left_ms(c);

	if (left == UINT64_MAX)
		return 0;
	if ((c->verb == API_GET || c->verb == API_LIST) && c->retry != API_RETRY_NEVER)
		left = MIN(left, TRY_MS);
	return MAX(left, 1);
}

static void try_reset(struct call *c)
{
	buf_clear(&c->answer);
	json_free(&c->root);
	c->status = c->http = 0;
	c->retry_after_ms = 0;
	c->opened = c->json_type = c->ended = c->overflow = c->sent = false;
}

/* READY -> TRYING, or ANSWERED when there is no identity to ask with. */
static void try_start(struct call *c)
{
	struct api *a = c->api;
	struct link *k = a->link;
	struct h2_header headers[4];
	struct h2_request_conf conf = { .method = path_method(c->verb), .headers = headers };
	struct sv token;
	struct buf path;
	int r;

	try_reset(c);
	c->tries++;
	r = identity_header(&k->identity, &token, &c->error);
	if (r < 0) {
		c->status = r;
		sm_move(&c->sm, CALL_ANSWERED);
		return;
	}
	c->token = k->identity.generation;
	c->certificate = k->certificate;
	c->version = call_discovers(c) ? a->version : API_VERSION_NONE;
	if (c->make_body) {
		buf_clear(&c->body);
		c->make_body(c->arg, c->version, &c->body);
	}
	buf_init(&path, PATH_MAX_BYTES);
	buf_put(&path, c->path, call_discovers(c) ? c->version_at : strlen(c->path));
	if (call_discovers(c)) {
		buf_puts(&path, api_version_name(c->version));
		buf_puts(&path, c->path + c->version_at);
	}
	conf.path = buf_sv(&path);
	conf.headers_n = try_headers(c, token, headers);
	conf.body = buf_sv(&c->body);
	conf.timeout_ms = try_timeout_ms(c);
	conf.on_head = try_on_head;
	conf.on_data = try_on_data;
	conf.on_end = try_on_end;
	conf.arg = c;
	c->try_us = loop_now_us(a->loop);
	sm_move(&c->sm, CALL_TRYING);
	c->request = h2_client_send(k->h2, &conf);
	buf_done(&path);
}

/* ---- what an answer means ---- */

/* Bytes to tree; a success that is not JSON where JSON was due did not come from an API server. */
static void answer_parse(struct call *c)
{
	const struct json_limits *limits = c->verb == API_LIST ? &list_limits : &json_limits_object;
	struct err why = { "" };
	bool success = c->http >= 200 && c->http < 300;
	int r = -EBADMSG;

	if (c->json_type)
		r = json_parse_without(buf_sv(&c->answer), limits, META_BOOKKEEPING, &c->root,
				       &why);
	if (r == 0 || !success || (c->raw && !c->json_type))
		return;
	c->status = r == -E2BIG ? -E2BIG : -EBADMSG;
	err_set(&c->error, c->status, "API server: answer is not usable JSON%s%s",
		why.text[0] ? ": " : "", why.text);
}

/* Fills status, error and retry_after_ms from what the try left. */
static void answer_judge(struct call *c)
{
	const struct json *status;

	if (c->status < 0)
		return;
	if (c->on_data && c->http == 200)
		return;
	answer_parse(c);
	if (c->status < 0)
		return;
	status = answer_status(c->root);
	c->status = answer_code(c->http, status);
	if (!c->retry_after_ms)
		c->retry_after_ms = answer_retry_after_ms(SV_NONE, status);
	if (c->status)
		answer_text(c->http, status, buf_sv(&c->answer), &c->error);
}

/* A 401 goes again at once when there is another identity; only once, so that it cannot spin. */
static bool retry_auth(struct call *c)
{
	return c->status == API_UNAUTHORIZED &&
	       link_refused(c->api->link, c->token, c->certificate) && !c->auth_tries++;
}

/* The version went away (an upgrade or downgrade of the control plane): ask what is served now. */
static bool retry_version(struct call *c)
{
	struct api *a = c->api;

	if (c->status != API_NOT_SERVED || c->version == API_VERSION_NONE ||
	    c->reprobes >= REPROBES_MAX)
		return false;
	/* Asked again, and it is still said to be served: then the resource is not. */
	if (a->version == c->version && c->reprobes && !a->guessed)
		return false;
	c->reprobes++;
	if (a->version == c->version)
		a->version = API_VERSION_NONE;
	return true;
}

/* How long to wait before the next try; false: the call is over. */
static bool retry_later(struct call *c, uint64_t *delay_ms)
{
	const struct retry_case rc = {
		.verb = c->verb,
		.policy = c->retry,
		.status = c->status,
		.http = c->http,
		.retry_after_ms = c->retry_after_ms,
		.sent = c->sent,
	};
	struct loop *l = c->api->loop;

	return c->retry != API_RETRY_NEVER && retry_may(&rc) &&
	       retry_when(&rc, backoff_next(&c->backoff, l), call_left_ms(c), l, delay_ms);
}

static void log_retry(struct call *c, uint64_t delay_ms)
{
	struct api *a = c->api;
	char key[128];
	unsigned held;

	(void)snprintf(key, sizeof(key), "%d %d %s", c->verb, c->status, c->what);
	if (!quiet_pass(&a->link->quiet, sv_str(key), loop_now_ms(a->loop), &held))
		return;
	log_warn("api request is tried again", LOG_S("verb", api_verb_name(c->verb)),
		 LOG_S("resource", c->what), LOG_S("error", c->error.text),
		 LOG_I("delay_ms", delay_ms), LOG_I("held", held));
}

/* ANSWERED -> ENDED, READY or PAUSED. */
static void call_answered(struct call *c)
{
	uint64_t delay_ms;

	if (c->status == 0) {
		call_end(c);
		return;
	}
	if (retry_auth(c) || retry_version(c)) {
		sm_move(&c->sm, CALL_READY);
		loop_task_post(&c->task);
		return;
	}
	if (!retry_later(c, &delay_ms)) {
		call_end(c);
		return;
	}
	log_retry(c, delay_ms);
	call_pause(c, delay_ms);
}

static void call_judge(struct call *c)
{
	struct api *a = c->api;

	answer_judge(c);
	sm_move(&c->sm, CALL_ANSWERED);
	if (a->hooks.on_exchange)
		a->hooks.on_exchange(a->hooks.arg, c->verb, c->status < 0 ? c->status : c->http,
				     loop_now_us(a->loop) - c->try_us);
	call_answered(c);
}

/* ---- ticks, one per state ---- */

static void tick_ready(struct call *c)
{
	struct api *a = c->api;
	uint64_t wait_ms;

	if (c->too_long) {
		call_fail(c, -ENAMETOOLONG, "the request's path is too long");
		return;
	}
	if (!call_left_ms(c)) {
		call_expire(c);
		return;
	}
	if (call_discovers(c) && a->version == API_VERSION_NONE) {
		discovery_start(a);
		sm_move(&c->sm, CALL_DISCOVERY);
		if (c->due_ms != UINT64_MAX)
			loop_timer_set(&c->timer, call_left_ms(c));
		return;
	}
	wait_ms = c->paced ? 0 : link_pace_ms(a->link);
	c->paced = wait_ms > 0;
	if (wait_ms) {
		call_pause(c, wait_ms);
		return;
	}
	try_start(c);
	if (sm_state(&c->sm) == CALL_ANSWERED)
		call_answered(c);
}

static void tick_discovery(struct call *c)
{
	struct api *a = c->api;

	if (a->discovery && call_left_ms(c))
		return;
	loop_timer_stop(&c->timer);
	sm_move(&c->sm, CALL_READY);
	if (a->version != API_VERSION_NONE || !call_left_ms(c)) {
		tick_ready(c);
		return;
	}
	try_reset(c);
	c->version = API_VERSION_NONE;
	c->status = a->discovery_status;
	c->http = a->discovery_http;
	c->error = a->discovery_error;
	sm_move(&c->sm, CALL_ANSWERED);
	call_answered(c);
}

/* Hands a stream's bytes on. False: the owner ended the call meanwhile. */
static bool stream_deliver(struct call *c)
{
	if (!c->opened && c->http == 200) {
		c->opened = true;
		if (c->on_open)
			c->on_open(c->arg, c->version);
	}
	if (sm_state(&c->sm) == CALL_ENDED)
		return false;
	if (!c->opened || !buf_len(&c->answer))
		return true;
	c->on_data(c->arg, buf_sv(&c->answer));
	if (sm_state(&c->sm) == CALL_ENDED)
		return false;
	buf_clear(&c->answer);
	buf_trim(&c->answer);
	return true;
}

static void tick_trying(struct call *c)
{
	if (c->overflow && c->status >= 0)
		try_abort(c, -E2BIG, "API server: answer is too large");
	if (c->on_data && !stream_deliver(c))
		return;
	if (c->ended)
		call_judge(c);
}

static void call_tick(void *arg)
{
	struct call *c = arg;

	switch ((enum call_state)sm_state(&c->sm)) {
	case CALL_PAUSED:
		if (loop_timer_armed(&c->timer))
			return;
		sm_move(&c->sm, CALL_READY);
		tick_ready(c);
		return;
	case CALL_READY:
		tick_ready(c);
		return;
	case CALL_DISCOVERY:
		tick_discovery(c);
		return;
	case CALL_TRYING:
		tick_trying(c);
		return;
	case CALL_ANSWERED:
	case CALL_ENDED:
		break;
	}
	must(false);
}

/* ---- public ---- */

int api_new(struct loop *l, const struct api_conf *conf, struct api **out, struct err *e)
{
	struct api *a = MEM_NEW(struct api);
	int r;

	a->loop = l;
	a->hooks = conf->hooks;
	map_init(&a->calls);
	r = link_new(l, conf, &a->link, e);
	if (r < 0)
		api_free(&a);
	*out = a;
	return r;
}

void api_free(struct api **a)
{
	struct api *x = *a;

	if (!x)
		return;
	*a = NULL;
	map_for_each (e, &x->calls)
		call_detach(e->value);
	link_free(&x->link);
	map_done(&x->calls);
	mem_free(x);
}

static struct call *call_new(struct api *a, enum api_verb verb, const struct api_target *to,
			     const struct path_options *o, uint64_t timeout_ms)
{
	struct call *c = MEM_NEW(struct call);
	const char *prefix = a->link->config->prefix;
	struct buf path;

	c->api = a;
	c->verb = verb;
	c->raw = to->raw != NULL;
	(void)sv_copy(c->what, sizeof(c->what), sv_str(to->raw ? to->raw : to->resource));
	buf_init(&path, PATH_MAX_BYTES);
	path_put(&path, prefix ? prefix : "", to, o, &c->version_at);
	c->too_long = path.full;
	c->path = buf_steal(&path);
	buf_done(&path);
	c->start_ms = loop_now_ms(a->loop);
	c->due_ms = timeout_ms ? c->start_ms + timeout_ms : UINT64_MAX;
	backoff_init(&c->backoff, BACKOFF_FIRST_MS, BACKOFF_CAP_MS);
	loop_task_init(&c->task, a->loop, LOOP_TICK, call_tick, c);
	loop_timer_init(&c->timer, a->loop, call_on_timer, c);
	sm_init(&c->sm, call_conf, NULL, CALL_READY);
	c->id = ++a->last_id;
	map_put(&a->calls, id_key(&c->id), c);
	loop_task_post(&c->task);
	return c;
}

uint64_t api_call(struct api *a, const struct api_request *r)
{
	const struct path_options o = { r->field_manager, r->force };
	struct call *c;

	must(r->fn && r->verb < API_WATCH);
	must(r->verb != API_APPLY || r->field_manager);
	c = call_new(a, r->verb, &r->to, &o, r->timeout_ms ? r->timeout_ms : API_TIMEOUT_MS);
	buf_init(&c->answer, API_BODY_MAX);
	buf_init(&c->body, API_BODY_MAX);
	buf_put_sv(&c->body, r->body);
	c->make_body = r->make_body;
	c->content_type = mem_strdup(r->content_type);
	c->retry = r->retry;
	c->fn = r->fn;
	c->arg = r->arg;
	return c->id;
}

uint64_t api_stream(struct api *a, const struct api_stream_request *r)
{
	const struct path_options o = { NULL, false };
	struct call *c;

	must(r->fn && r->on_data);
	c = call_new(a, API_WATCH, &r->to, &o, r->timeout_ms);
	buf_init(&c->answer, STREAM_MAX);
	buf_init(&c->body, 1);
	c->retry = API_RETRY_NEVER;
	c->on_open = r->on_open;
	c->on_data = r->on_data;
	c->fn = r->fn;
	c->arg = r->arg;
	return c->id;
}

void api_cancel(struct api *a, uint64_t id)
{
	struct call *c = map_get(&a->calls, id_key(&id));

	if (c)
		call_detach(c);
}

const char *api_trouble(const struct api *a, uint64_t id)
{
	const struct call *c = map_get(&a->calls, id_key(&id));
	const struct h2_client_stats *h2 = h2_client_stats(a->link->h2);

	if (!c)
		return "";
	return c->error.text[0] || h2->state == H2_CLIENT_UP ? c->error.text : h2->last_error;
}

size_t api_calls(const struct api *a)
{
	return map_len(&a->calls);
}

enum api_version api_served(const struct api *a)
{
	return a->version;
}

struct loop *api_loop(const struct api *a)
{
	return a->loop;
}

const struct h2_client_stats *api_connection(const struct api *a)
{
	return h2_client_stats(a->link->h2);
}
