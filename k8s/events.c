#include "k8s/events.h"

#include <stdarg.h>
#include <time.h>

#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/api/client.h"
#include "k8s/digest.h"

#define REPEAT_MS     600000u /* the same event within 10 minutes is told once */
#define FORBIDDEN_MS  60000u  /* after a 403 the next one is tried: the role may be bound by then */
#define RECENT_MAX    256u    /* remembered for that; the oldest is forgotten */
#define MESSAGE_MAX   1024    /* of an Event's message (API: core/v1 Event) */
#define IN_FLIGHT_MAX 16u     /* an API server that does not answer collects no more than these */
#define TIMEOUT_MS    10000u

struct recent {
	uint64_t key, at_ms;
};

/* For events_each(): MESSAGE_MAX and the names' limits bound each, EVENTS_RECENT their number. */
struct told {
	const char *type; /* "Warning" or "Normal" */
	char *reason, *message, *kind, *namespace, *name;
	uint64_t key, at_ms, wall_ms, count;
};

struct events {
	struct loop *loop;
	struct api *api;
	char *component, *node;
	struct recent recent[RECENT_MAX];
	size_t next;
	uint64_t minute_ms, in_minute, in_flight, sent, serial;
	uint64_t forbidden_ms;		  /* loop time of the last 403 + 1, 0 = none */
	struct told *told[EVENTS_RECENT]; /* oldest first */
	size_t told_n;
};

struct events *events_new(struct loop *l, struct api *api, const char *component, const char *node)
{
	struct events *e = MEM_NEW(struct events);

	e->loop = l;
	e->api = api;
	e->component = mem_strdup(component);
	e->node = mem_strdup(node);
	e->serial = loop_random(l);
	return e;
}

static void free_told(struct told *t)
{
	mem_free(t->reason);
	mem_free(t->message);
	mem_free(t->kind);
	mem_free(t->namespace);
	mem_free(t->name);
	mem_free(t);
}

/* After its api_free(): pending calls get no callback then. */
void events_free(struct events **ep)
{
	struct events *e = *ep;

	if (!e)
		return;
	for (size_t i = 0; i < e->told_n; i++)
		free_told(e->told[i]);
	mem_free(e->component);
	mem_free(e->node);
	mem_free(e);
	*ep = NULL;
}

static bool told_lately(struct events *e, uint64_t key)
{
	uint64_t now = loop_now_ms(e->loop);

	for (size_t i = 0; i < RECENT_MAX; i++)
		if (e->recent[i].key == key && now - e->recent[i].at_ms < REPEAT_MS)
			return true;
	return false;
}

static void remember(struct events *e, uint64_t key)
{
	e->recent[e->next++ % RECENT_MAX] = (struct recent){ key, loop_now_ms(e->loop) };
}

static bool too_many(struct events *e)
{
	uint64_t now = loop_now_ms(e->loop);

	if (now - e->minute_ms >= 60000) {
		e->minute_ms = now;
		e->in_minute = 0;
	}
	return e->in_flight >= IN_FLIGHT_MAX || ++e->in_minute > EVENTS_PER_MINUTE;
}

/* A role may be bound a moment after its pod began; one that never is costs a call now and then. */
static bool is_silenced(const struct events *e)
{
	return e->forbidden_ms && loop_now_ms(e->loop) + 1 - e->forbidden_ms < FORBIDDEN_MS;
}

/* The other 403: nothing is made in a namespace that is being deleted, claims' Events included. */
static bool of_dying_namespace(const struct api_result *r)
{
	const struct json *causes = json_get(r->object, "details", "causes");

	for (size_t i = 0; i < json_len(causes); i++)
		if (sv_eqs(json_sv(json_get(json_at(causes, i), "reason")), "NamespaceTerminating"))
			return true;
	return false;
}

static void on_sent(void *arg, const struct api_result *r)
{
	struct events *e = arg;
	bool forbidden;

	e->in_flight--;
	if (!r->status) {
		e->forbidden_ms = 0;
		e->sent++;
		return;
	}
	forbidden = r->status == API_FORBIDDEN && !of_dying_namespace(r);
	if (forbidden && !e->forbidden_ms)
		log_warn("Events are not allowed (RBAC: create events), told again once they are",
			 LOG_S("error", r->error));
	else
		log_debug("an Event could not be sent", LOG_S("error", r->error));
	if (forbidden)
		e->forbidden_ms = loop_now_ms(e->loop) + 1;
}

static void put_time(struct jsonw *w, const char *key, uint64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jsonw_kstr(w, key, text);
}

static void put_object(struct jsonw *w, const struct events_object *o)
{
	bool node = sv_eqs(sv_str(o->kind), "Node");

	jsonw_kobj(w, "involvedObject");
	jsonw_kstr(w, "apiVersion", o->api_version);
	jsonw_kstr(w, "kind", o->kind);
	if (o->namespace && *o->namespace)
		jsonw_kstr(w, "namespace", o->namespace);
	jsonw_kstr(w, "name", o->name);
	/* kubectl describe node looks for the Node's name here, as the kubelet writes it. */
	if (node || (o->uid && *o->uid))
		jsonw_kstr(w, "uid", node ? o->name : o->uid);
	jsonw_end(w);
}

static void encode(struct events *e, const struct events_object *o, const char *type,
		   const char *reason, const char *message, struct buf *out)
{
	uint64_t now = loop_wall_ms(e->loop);
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "apiVersion", "v1");
	jsonw_kstr(&w, "kind", "Event");
	jsonw_kobj(&w, "metadata");
	jsonw_key(&w, "name");
	jsonw_fmt(&w, "%.200s.%016llx", o->name, (unsigned long long)e->serial++);
	jsonw_end(&w);
	put_object(&w, o);
	jsonw_kstr(&w, "type", type);
	jsonw_kstr(&w, "reason", reason);
	jsonw_kstr(&w, "message", message);
	jsonw_ki64(&w, "count", 1);
	put_time(&w, "firstTimestamp", now);
	put_time(&w, "lastTimestamp", now);
	jsonw_kobj(&w, "source");
	jsonw_kstr(&w, "component", e->component);
	jsonw_kstr(&w, "host", e->node);
	jsonw_end(&w);
	jsonw_kstr(&w, "reportingComponent", e->component);
	jsonw_kstr(&w, "reportingInstance", e->node);
	jsonw_end(&w);
}

static struct told *take_told(struct events *e, size_t i)
{
	struct told *t = e->told[i];

	e->told_n--;
	memmove(&e->told[i], &e->told[i + 1], (e->told_n - i) * sizeof(struct told *));
	return t;
}

/* The same within REPEAT_MS, taken out of its place; NULL when it is news. */
static struct told *told_before(struct events *e, uint64_t key)
{
	for (size_t i = 0; i < e->told_n; i++)
		if (e->told[i]->key == key && loop_now_ms(e->loop) - e->told[i]->at_ms < REPEAT_MS)
			return take_told(e, i);
	return NULL;
}

static void keep_told(struct events *e, const struct events_object *o, const char *type,
		      const char *reason, const char *message, uint64_t key)
{
	struct told *t = told_before(e, key);

	if (!t) {
		if (e->told_n == EVENTS_RECENT)
			free_told(take_told(e, 0));
		t = MEM_NEW(struct told);
		t->type = type;
		t->reason = mem_strdup(reason);
		t->message = mem_strdup(message);
		t->kind = mem_strdup(o->kind);
		t->namespace = mem_strdup(o->namespace ? o->namespace : "");
		t->name = mem_strdup(o->name);
		t->key = key;
	}
	t->at_ms = loop_now_ms(e->loop);
	t->wall_ms = loop_wall_ms(e->loop);
	t->count++;
	e->told[e->told_n++] = t;
}

static void send(struct events *e, const struct events_object *o, const char *type,
		 const char *reason, const char *message)
{
	const char *ns = o->namespace && *o->namespace ? o->namespace : "default";
	struct api_request r = {
		.verb = API_CREATE,
		.to = { .group = API_GROUP_CORE, .version = "v1", .resource = "events", .ns = ns },
		.timeout_ms = TIMEOUT_MS,
		.retry = API_RETRY_NEVER,
		.fn = on_sent,
		.arg = e
	};
	uint64_t key = digest_str(
	    digest_str(digest_str(digest_str(DIGEST_START, o->name), o->uid), reason), message);
	struct buf body;

	if (!*o->name)
		return;
	keep_told(e, o, type, reason, message, key);
	if (is_silenced(e) || told_lately(e, key) || too_many(e))
		return;
	remember(e, key); /* what did not fit into the minute may be told in the next */
	buf_init(&body, 16 << 10);
	encode(e, o, type, reason, message, &body);
	r.body = buf_sv(&body);
	e->in_flight++;
	(void)api_call(e->api, &r);
	buf_done(&body);
}

PRINTF(5, 0)
static void tell(struct events *e, const struct events_object *o, const char *type,
		 const char *reason, const char *fmt, va_list ap)
{
	char message[MESSAGE_MAX];

	if (!e)
		return;
	vsnprintf(message, sizeof(message), fmt, ap);
	send(e, o, type, reason, message);
}

void events_warn(struct events *e, const struct events_object *o, const char *reason,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(e, o, "Warning", reason, fmt, ap);
	va_end(ap);
}

void events_note(struct events *e, const struct events_object *o, const char *reason,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(e, o, "Normal", reason, fmt, ap);
	va_end(ap);
}

uint64_t events_sent(const struct events *e)
{
	return e ? e->sent : 0;
}

void events_each(const struct events *e, void (*fn)(void *arg, const struct events_told *t),
		 void *arg)
{
	for (size_t i = e ? e->told_n : 0; i-- > 0;) {
		const struct told *t = e->told[i];
		struct events_told view = { .type = t->type,
					    .reason = t->reason,
					    .message = t->message,
					    .kind = t->kind,
					    .namespace = t->namespace,
					    .name = t->name,
					    .wall_ms = t->wall_ms,
					    .count = t->count };

		fn(arg, &view);
	}
}

bool events_forbidden(const struct events *e)
{
	return e && e->forbidden_ms;
}
