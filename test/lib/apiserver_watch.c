/* Watches: what is there, then what changes, one JSON object a line. */
#include <errno.h>

#include "core/mem.h"
#include "test/lib/apiserver_private.h"

/* A client that does not read is let go, as the real server does. */
enum { UNREAD_MAX = 8 << 20 };

static void send_line(struct request *r, const char *type, const json_t *object)
{
	json_t *line = json_object();
	struct buf b;

	buf_init(&b, APISERVER_ANSWER_MAX);
	jx_set_text(line, "type", type);
	json_object_set(line, "object", (json_t *)(uintptr_t)object);
	jx_put(&b, line);
	buf_putc(&b, '\n');
	h2_call_write(r->call, buf_sv(&b));
	buf_done(&b);
	json_decref(line);
}

static void send_object(struct request *r, const char *type, const json_t *object)
{
	json_t *shown = versions_to(r->route.kind, r->route.version_bit, object);

	send_line(r, type, shown);
	json_decref(shown);
}

static void send_failure(struct request *r, const struct store_error *e)
{
	struct err why = { "" };
	struct buf b;
	json_t *status;

	buf_init(&b, 16 << 10);
	store_error_put(e, &b);
	status = jx_parse(buf_sv(&b), &why);
	send_line(r, "ERROR", status);
	json_decref(status);
	buf_done(&b);
	h2_call_end(r->call, NULL, 0);
}

void request_watch_stop(struct request *r)
{
	store_unwatch(&r->watch);
	loop_timer_stop(&r->timeout);
	selector_done(&r->selector);
}

void request_watch_end(struct request *r)
{
	request_watch_stop(r);
	h2_call_end(r->call, NULL, 0);
}

static bool in_scope(const struct request *r, const json_t *object)
{
	if (r->route.ns && strcmp(jx_ns(object), r->route.ns) != 0)
		return false;
	return selector_matches(&r->selector, object);
}

/* An object that begins or ceases to match is told as added or deleted. */
static void on_event(void *arg, const struct store_event *ev)
{
	struct request *r = arg;
	bool was = ev->before && in_scope(r, ev->before);
	bool is = ev->change != STORE_DELETED && in_scope(r, ev->object);

	if (is)
		send_object(r, was ? "MODIFIED" : "ADDED", ev->object);
	else if (was)
		send_object(r, "DELETED", ev->object);
	if (h2_call_queued(r->call) > UNREAD_MAX)
		request_watch_end(r);
}

/* Of what this watch has told: a later version would make its client miss what is on its way. */
void request_watch_bookmark(struct request *r)
{
	json_t *object = json_object();
	char rv[24], version[64];

	snprintf(rv, sizeof(rv), "%llu", (unsigned long long)store_watch_rv(r->watch));
	snprintf(version, sizeof(version), "%s%s%s", r->route.group, *r->route.group ? "/" : "",
		 r->route.version);
	jx_set_text(object, "kind", r->route.kind->kind);
	jx_set_text(object, "apiVersion", version);
	jx_set_text(jx_obj(object, "metadata"), "resourceVersion", rv);
	send_line(r, "BOOKMARK", object);
	json_decref(object);
}

static void on_timeout(void *arg)
{
	struct request *r = arg;

	if (r->route.bookmarks)
		request_watch_bookmark(r);
	request_watch_end(r);
}

void request_watch_expire(struct request *r)
{
	struct store *s = r->server->conf.store;
	struct store_error e = { 0 };

	store_expired(&e, "too old resource version: %llu (%llu)",
		      (unsigned long long)store_floor(s) - 1, (unsigned long long)store_floor(s));
	request_watch_stop(r);
	send_failure(r, &e);
}

static void send_present(struct request *r)
{
	struct store *s = r->server->conf.store;

	for (size_t i = 0; i < store_count(s, r->route.kind); i++)
		if (in_scope(r, store_at(s, r->route.kind, i)))
			send_object(r, "ADDED", store_at(s, r->route.kind, i));
}

/* Where it begins: 0 and *rv, or an error that is told as an event. */
static int start_at(struct request *r, uint64_t *rv, struct store_error *e)
{
	struct store *s = r->server->conf.store;

	*rv = store_rv(s);
	if (!r->route.rv || !*r->route.rv || !strcmp(r->route.rv, "0")) {
		send_present(r);
		return 0;
	}
	if (sv_u64(sv_str(r->route.rv), rv) < 0)
		return store_bad_request(e, "invalid resource version: %s", r->route.rv);
	if (*rv > store_rv(s)) {
		store_failure(e, 504, "Timeout", "Too large resource version: %s, current: %llu",
			      r->route.rv, (unsigned long long)store_rv(s));
		snprintf(e->cause, sizeof(e->cause), "ResourceVersionTooLarge");
		e->retry_after_s = 1;
		return e->code;
	}
	if (*rv < store_floor(s))
		return store_expired(e, "too old resource version: %s (%llu)", r->route.rv,
				     (unsigned long long)store_floor(s));
	return 0;
}

static int select_objects(struct request *r, struct store_error *e)
{
	int code = 0;

	if (r->route.initial)
		return store_invalid(
		    e, r->route.kind, "", "FieldValueForbidden", "sendInitialEvents",
		    "sendInitialEvents is forbidden for watch unless the WatchList "
		    "feature gate is enabled");
	if (r->route.fields)
		code = selector_fields(&r->selector, r->route.kind, r->route.fields, e);
	if (!code && r->route.labels)
		code = selector_labels(&r->selector, r->route.labels, e);
	return code;
}

void request_watch_serve(struct request *r)
{
	static const struct h2_header head[] = { { { "content-type", 12 },
						   { "application/json", 16 } } };
	struct apiserver *a = r->server;
	struct store_error e = { 0 };
	uint64_t rv, seconds;

	if (select_objects(r, &e)) {
		request_error(r, &e);
		return;
	}
	h2_call_respond(r->call, 200, head, ARRAY_LEN(head), false);
	request_done(r, 200);
	if (start_at(r, &rv, &e)) {
		send_failure(r, &e);
		return;
	}
	r->watch = store_watch(a->conf.store, r->route.kind, rv, on_event, r);
	loop_timer_init(&r->timeout, a->loop, on_timeout, r);
	if (r->route.timeout && !sv_u64(sv_str(r->route.timeout), &seconds) && seconds)
		loop_timer_set(&r->timeout, seconds * 1000);
	if (r->route.bookmarks && !loop_timer_armed(&a->bookmark))
		loop_timer_set(&a->bookmark, a->conf.bookmark_ms);
}
