#include "test/lib/apiserver.h"

#include <errno.h>
#include <unistd.h>

#include "core/mem.h"
#include "test/lib/apiserver_private.h"

enum { BOOKMARK_MS = 60000, QUEUED_MAX = 64 << 20, STREAMS_MAX = 250, CONNECTIONS_MAX = 4096 };

/* ---- what happened ---- */

static void count(struct apiserver *a, const char *verb, const struct store_kind *k)
{
	const char *resource = k ? k->resource : "";

	for (size_t i = 0; i < a->counters_n; i++)
		if (a->counters[i].verb == verb && a->counters[i].resource == resource) {
			a->counters[i].n++;
			return;
		}
	must(a->counters_n < APISERVER_COUNTERS); /* a request not counted would be a lie */
	a->counters[a->counters_n].verb = verb;
	a->counters[a->counters_n].resource = resource;
	a->counters[a->counters_n++].n = 1;
}

uint64_t apiserver_count(const struct apiserver *a, const char *verb, const char *resource)
{
	uint64_t n = 0;

	for (size_t i = 0; i < a->counters_n; i++)
		if ((!verb || !strcmp(verb, a->counters[i].verb)) &&
		    (!resource || !strcmp(resource, a->counters[i].resource)))
			n += a->counters[i].n;
	return n;
}

void request_done(struct request *r, int status)
{
	struct apiserver *a = r->server;

	r->status = status;
	if (a->on_request)
		a->on_request(a->arg, r->route.verb, r->target, status);
}

/* ---- answers ---- */

void request_answer(struct request *r, int status, struct sv body, const char *type)
{
	const char *retry = r->retry_after_s ? "retry-after" : NULL;
	struct h2_header h[3];
	char seconds[16], length[24];
	size_t n = 0;

	snprintf(length, sizeof(length), "%zu", body.n);
	h[n++] = (struct h2_header){ SV("content-type"), sv_str(type) };
	h[n++] = (struct h2_header){ SV("content-length"), sv_str(length) };
	if (retry) {
		snprintf(seconds, sizeof(seconds), "%u", r->retry_after_s);
		h[n++] = (struct h2_header){ sv_str(retry), sv_str(seconds) };
	}
	h2_call_respond(r->call, status, h, n, false);
	h2_call_write(r->call, body);
	h2_call_end(r->call, NULL, 0);
	request_done(r, status);
}

void request_json(struct request *r, int status, const json_t *body)
{
	struct buf b;

	buf_init(&b, APISERVER_ANSWER_MAX);
	jx_put(&b, body);
	buf_putc(&b, '\n');
	request_answer(r, status, buf_sv(&b), "application/json");
	buf_done(&b);
}

void request_error(struct request *r, const struct store_error *e)
{
	struct buf b;

	buf_init(&b, 16 << 10);
	store_error_put(e, &b);
	buf_putc(&b, '\n');
	r->retry_after_s = e->retry_after_s;
	request_answer(r, e->code, buf_sv(&b), "application/json");
	buf_done(&b);
}

/* ---- faults ---- */

static bool fits(const char *want, const char *have)
{
	return !want || !strcmp(want, have ? have : "");
}

/* Takes the first fault that is meant for this request. */
static void meet_fault(struct request *r)
{
	struct apiserver *a = r->server;
	const char *resource = r->route.kind ? r->route.kind->resource : "";

	for (size_t i = 0; i < a->faults_n; i++) {
		const struct apiserver_fault *f = &a->faults[i];
		unsigned times = f->times ? f->times : 1;

		if (!fits(f->verb, r->route.verb) || !fits(f->resource, resource) ||
		    !fits(f->name, r->route.name))
			continue;
		if (times != APISERVER_ALWAYS && a->met[i] >= f->skip + times)
			continue;
		if (a->met[i] < f->skip) {
			a->met[i]++;
			continue;
		}
		if (f->percent && loop_random(a->loop) % 100 >= f->percent)
			continue;
		a->met[i] += times != APISERVER_ALWAYS;
		a->struck++;
		r->effect = f->effect;
		r->status = f->status;
		r->retry_after_s = f->retry_after_s;
		loop_timer_set(&r->delay, f->delay_ms);
		return;
	}
	loop_task_post(&r->work);
}

static void fault_status(struct request *r)
{
	static const struct {
		int code;
		const char *reason, *message;
	} table[] = {
		{ 401, "Unauthorized", "Unauthorized" },
		{ 409, "Conflict",
		  "Operation cannot be fulfilled: the object has been modified; please apply your "
		  "changes to the latest version and try again" },
		{ 410, "Expired", "too old resource version" },
		{ 422, "Invalid", "the object is invalid" },
		{ 429, "TooManyRequests", "Too many requests, please try again later." },
		{ 500, "InternalError", "Internal error occurred: etcdserver: request timed out" },
		{ 503, "ServiceUnavailable",
		  "the server is currently unable to handle the request" },
		{ 504, "Timeout", "Timeout: request did not complete within the allotted timeout" },
	};
	struct store_error e = { 0 };
	const struct store_kind *k = r->route.kind;

	store_failure(&e, r->status, "InternalError", "fault %d", r->status);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == r->status)
			store_failure(&e, r->status, table[i].reason, "%s", table[i].message);
	if (r->status == 403)
		store_failure(&e, 403, "Forbidden",
			      "%s%s%s \"%s\" is forbidden: User \"tundra\" cannot %s resource "
			      "\"%s\" in API group \"%s\"",
			      k ? k->resource : "", k && *k->group ? "." : "", k ? k->group : "",
			      r->route.name ? r->route.name : "", r->route.verb,
			      k ? k->resource : "", k ? k->group : "");
	if (r->status == 404 && k)
		store_not_found(&e, k, r->route.name ? r->route.name : "");
	e.retry_after_s = r->retry_after_s;
	request_error(r, &e);
}

/* ---- one request ---- */

static bool allowed(const struct request *r)
{
	const char *const *t = r->server->conf.tokens;

	if (!t || r->route.what == ROUTE_HEALTH)
		return true;
	for (; *t; t++)
		if (r->token && sv_starts(sv_str(r->token), SV("Bearer ")) &&
		    !strcmp(r->token + strlen("Bearer "), *t))
			return true;
	return false;
}

static void serve(struct request *r)
{
	struct store_error e = { 0 };

	if (!allowed(r)) {
		store_failure(&e, 401, "Unauthorized", "Unauthorized");
		request_error(r, &e);
	} else if (r->route.what == ROUTE_OBJECTS && !strcmp(r->route.verb, "watch")) {
		request_watch_serve(r);
	} else {
		request_serve(r);
	}
}

static void work(void *arg)
{
	struct request *r = arg;
	struct apiserver *a = r->server;

	switch (r->effect) {
	case APISERVER_ANSWER:
		serve(r);
		return;
	case APISERVER_STATUS:
		fault_status(r);
		return;
	case APISERVER_CUT:
		apiserver_cut(a);
		return;
	case APISERVER_LOSE:
		serve(r); /* the answer is queued, and dropped with the connection */
		apiserver_cut(a);
		return;
	case APISERVER_RESET:
		h2_call_reset(r->call, H2_INTERNAL_ERROR);
		return;
	case APISERVER_REFUSE:
		h2_call_reset(r->call, H2_REFUSED_STREAM);
		return;
	case APISERVER_GOAWAY:
		serve(r);
		apiserver_goaway(a);
		return;
	case APISERVER_SILENT:
		return;
	}
}

static void on_head(void *arg, struct h2_call *c, const struct h2_head *head)
{
	struct request *r = MEM_NEW(struct request);

	r->server = arg;
	r->call = c;
	r->method = sv_dup(head->method);
	r->target = sv_dup(head->path);
	buf_init(&r->body, APISERVER_BODY_MAX);
	loop_task_init(&r->work, r->server->loop, LOOP_TICK, work, r);
	loop_timer_init(&r->delay, r->server->loop, work, r);
	for (size_t i = 0; i < head->n; i++) {
		const struct h2_header *h = &head->headers[i];

		if (sv_eqs(h->name, "authorization") && !r->token)
			r->token = sv_dup(h->value);
		else if (sv_eqs(h->name, "content-type") && !r->content_type)
			r->content_type = sv_dup(h->value);
	}
	list_push(&r->server->requests, &r->node);
	h2_call_set_user(c, r);
}

static void on_data(void *arg, struct h2_call *c, struct sv data)
{
	(void)arg;
	buf_put_sv(&((struct request *)h2_call_user(c))->body, data);
}

static void on_end(void *arg, struct h2_call *c)
{
	struct apiserver *a = arg;
	struct request *r = h2_call_user(c);
	struct store_error e = { 0 };

	route_parse(&r->route, a->conf.store, a->conf.versions, sv_str(r->method),
		    sv_str(r->target));
	count(a, r->route.verb, r->route.kind);
	if (!r->body.full) {
		meet_fault(r);
		return;
	}
	store_failure(&e, 413, "RequestEntityTooLarge",
		      "Request entity too large: limit is 3145728");
	request_error(r, &e);
}

static void on_gone(void *arg, struct h2_call *c)
{
	struct request *r = h2_call_user(c);

	(void)arg;
	request_watch_stop(r);
	list_remove(&r->node);
	loop_task_stop(&r->work);
	loop_timer_stop(&r->delay);
	route_done(&r->route);
	buf_done(&r->body);
	mem_free(r->method);
	mem_free(r->target);
	mem_free(r->token);
	mem_free(r->content_type);
	loop_defer_free(r->server->loop, r, mem_free);
}

static const struct h2_server_events events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_gone = on_gone,
};

/* ---- connections ---- */

static int listen_anew(struct apiserver *a, struct err *e)
{
	const struct h2_server_conf conf = { .streams_max = STREAMS_MAX,
					     .connections_max = CONNECTIONS_MAX,
					     .queued_max = QUEUED_MAX,
					     .events = &events,
					     .arg = a };
	int r = 0;

	a->server = h2_server_new(a->loop, &conf);
	if (a->unix_path)
		r = h2_server_listen_unix(a->server, a->unix_path, 0600, e);
	if (!r && a->host)
		r = h2_server_listen_tcp(a->server, a->host, &a->port, a->tls, e);
	return r;
}

int apiserver_listen_unix(struct apiserver *a, const char *path, struct err *e)
{
	a->unix_path = mem_strdup(path);
	h2_server_free(&a->server);
	return listen_anew(a, e);
}

int apiserver_listen_tcp(struct apiserver *a, const char *host, uint16_t *port,
			 struct tls_server *tls, struct err *e)
{
	int r;

	a->host = mem_strdup(host);
	a->port = *port;
	a->tls = tls;
	h2_server_free(&a->server);
	r = listen_anew(a, e);
	*port = a->port;
	return r;
}

void apiserver_down(struct apiserver *a)
{
	h2_server_free(&a->server);
	while (a->old_n)
		h2_server_free(&a->old[--a->old_n]);
}

void apiserver_up(struct apiserver *a)
{
	struct err e = { "" };

	if (a->server)
		return;
	if (listen_anew(a, &e) < 0) {
		(void)fprintf(stderr, "API server cannot listen again: %s\n", e.text);
		must(false);
	}
}

void apiserver_cut(struct apiserver *a)
{
	apiserver_down(a);
	apiserver_up(a);
}

void apiserver_goaway(struct apiserver *a)
{
	must(a->server);
	if (a->old_n == APISERVER_OLD_MAX)
		h2_server_free(&a->old[--a->old_n]);
	list_for_each_safe (n, &a->requests) {
		struct request *r = list_entry(n, struct request, node);

		if (r->watch)
			request_watch_end(r);
	}
	a->old[a->old_n++] = a->server;
	h2_server_drain(a->server, NULL, NULL);
	a->server = NULL;
	apiserver_up(a);
}

void apiserver_expire(struct apiserver *a)
{
	store_forget_history(a->conf.store);
	list_for_each_safe (n, &a->requests) {
		struct request *r = list_entry(n, struct request, node);

		if (r->watch)
			request_watch_expire(r);
	}
}

/* ---- faults from text ---- */

static const char *const verbs[] = { "get",    "list",	"watch",  "create",
				     "update", "patch", "delete", "deletecollection" };
static const char *const effects[] = {
	[APISERVER_CUT] = "cut",       [APISERVER_LOSE] = "lose",     [APISERVER_RESET] = "reset",
	[APISERVER_REFUSE] = "refuse", [APISERVER_GOAWAY] = "goaway", [APISERVER_SILENT] = "silent"
};

static bool fault_number(struct apiserver_fault *f, struct sv key, struct sv value)
{
	uint64_t n = APISERVER_ALWAYS;

	if (!(sv_eqs(key, "times") && sv_eqs(value, "always")) &&
	    (sv_u64(value, &n) < 0 || n > UINT32_MAX))
		return false;
	if (sv_eqs(key, "skip"))
		f->skip = (unsigned)n;
	else if (sv_eqs(key, "times"))
		f->times = (unsigned)n;
	else if (sv_eqs(key, "percent"))
		f->percent = (unsigned)n;
	else if (sv_eqs(key, "retry-after"))
		f->retry_after_s = (unsigned)n;
	else if (sv_eqs(key, "delay"))
		f->delay_ms = n;
	else if (sv_eqs(key, "status") && n >= 400 && n < 600) {
		f->status = (int)n;
		f->effect = APISERVER_STATUS;
	} else {
		return false;
	}
	return true;
}

static bool fault_word(struct apiserver *a, struct apiserver_fault *f, struct sv word)
{
	struct sv value = word, key = sv_cut(&value, '=');
	const struct store_kind *k;

	if (key.n < word.n)
		return fault_number(f, key, value);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (sv_eqs(word, verbs[i])) {
			f->verb = verbs[i];
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(effects); i++)
		if (effects[i] && sv_eqs(word, effects[i])) {
			f->effect = (enum apiserver_effect)i;
			return true;
		}
	for (size_t i = 0; (k = store_kind_at(a->conf.store, i)); i++)
		if (sv_eqs(word, k->resource)) {
			f->resource = k->resource;
			return true;
		}
	return false;
}

int apiserver_fault_text(struct apiserver *a, const char *text, struct err *e)
{
	struct apiserver_fault f = { 0 };
	struct sv rest = sv_trim(sv_str(text));

	while (rest.n) {
		struct sv word = sv_cut(&rest, ' ');

		if (word.n && !fault_word(a, &f, word))
			return err_set(e, -EINVAL,
				       "fault \"%s\": \"" SV_FMT "\" is no verb, resource, effect "
				       "or number",
				       text, SV_ARG(word));
	}
	if (f.effect == APISERVER_ANSWER && !f.delay_ms)
		return err_set(e, -EINVAL, "fault \"%s\" does nothing", text);
	apiserver_fault(a, &f);
	return 0;
}

void apiserver_fault(struct apiserver *a, const struct apiserver_fault *f)
{
	must(a->faults_n < APISERVER_FAULTS_MAX);
	a->met[a->faults_n] = 0;
	a->faults[a->faults_n++] = *f;
}

void apiserver_clear(struct apiserver *a)
{
	a->faults_n = 0;
}

/* ---- life ---- */

static void on_bookmark(void *arg)
{
	struct apiserver *a = arg;
	bool any = false;

	list_for_each_safe (n, &a->requests) {
		struct request *r = list_entry(n, struct request, node);

		if (!r->watch || !r->route.bookmarks)
			continue;
		request_watch_bookmark(r);
		any = true;
	}
	if (any)
		loop_timer_set(&a->bookmark, a->conf.bookmark_ms);
}

static void on_deleted(void *arg, const struct store_event *ev)
{
	struct apiserver *a = arg;

	if (ev->change == STORE_DELETED)
		json_object_del(a->applied, jx_uid(ev->object));
}

struct apiserver *apiserver_new(struct loop *l, const struct apiserver_conf *conf)
{
	struct apiserver *a = MEM_NEW(struct apiserver);

	a->loop = l;
	a->conf = *conf;
	if (!a->conf.versions)
		a->conf.versions = VERSIONS_V1;
	if (!a->conf.bookmark_ms)
		a->conf.bookmark_ms = BOOKMARK_MS;
	list_init(&a->requests);
	a->applied = json_object();
	a->cleaner = store_watch(conf->store, NULL, store_rv(conf->store), on_deleted, a);
	loop_timer_init(&a->bookmark, l, on_bookmark, a);
	return a;
}

void apiserver_free(struct apiserver **ap)
{
	struct apiserver *a = *ap;

	if (!a)
		return;
	apiserver_down(a);
	store_unwatch(&a->cleaner);
	loop_timer_stop(&a->bookmark);
	json_decref(a->applied);
	mem_free(a->unix_path);
	mem_free(a->host);
	loop_defer_free(a->loop, a, mem_free); /* its requests look at it until the turn's end */
	*ap = NULL;
}

unsigned apiserver_struck(const struct apiserver *a)
{
	return a->struck;
}

size_t apiserver_watches(const struct apiserver *a)
{
	size_t n = 0;

	list_for_each (i, &a->requests)
		n += list_entry(i, struct request, node)->watch != NULL;
	return n;
}

size_t apiserver_connections(const struct apiserver *a)
{
	return a->server ? h2_server_connections(a->server) : 0;
}

void apiserver_on_request(struct apiserver *a,
			  void (*fn)(void *arg, const char *verb, const char *path, int status),
			  void *arg)
{
	a->on_request = fn;
	a->arg = arg;
}
