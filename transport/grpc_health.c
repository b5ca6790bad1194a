#include "transport/grpc_health.h"

#include <protobuf-c/protobuf-c.h>

#include "core/list.h"
#include "core/mem.h"
#include "third_party/grpc/health.pb-c.h"
#include "transport/fair.h"

/*
 * Check asks `serving` when it is called. A Watch is told the state when it opens and when it
 * changed, which grpc_health_changed() says: nobody polls.
 */
enum {
	NAMES_MAX = 8,
	/* Probes and load balancers hold one each. One more takes the place of the oldest of
	 * whoever has most: refusing would leave the port to 64 strangers. */
	WATCHES_MAX = 64,
};

struct watch {
	struct list node;
	struct grpc_health *health;
	struct grpc_call *call;
	uint64_t peer;
	GrpcHealth__ServingStatus last;
};

struct grpc_health {
	struct loop *loop;
	char *names[NAMES_MAX];
	size_t names_n;
	bool (*serving)(void *arg);
	void *arg;
	struct grpc_service service;
	struct list watches;
	size_t watches_n;
};

static void health_reset(GrpcHealth__CheckResponse *r, GrpcHealth__ServingStatus status)
{
	grpc_health__check_response__init(r);
	r->has_status = 1;
	r->status = status;
}

static GrpcHealth__ServingStatus status_now(const struct grpc_health *h)
{
	return h->serving(h->arg) ? GRPC_HEALTH__SERVING_STATUS__SERVING
				  : GRPC_HEALTH__SERVING_STATUS__NOT_SERVING;
}

static bool knows(const struct grpc_health *h, const char *name)
{
	size_t i;

	if (!name || !*name)
		return true;
	for (i = 0; i < h->names_n; i++)
		if (strcmp(h->names[i], name) == 0)
			return true;
	return false;
}

/* NULL: answered with an error. */
static GrpcHealth__CheckRequest *parse(struct grpc_call *c, struct sv message)
{
	GrpcHealth__CheckRequest *q = grpc_health__check_request__unpack(
	    NULL, message.n, (const uint8_t *)(message.n ? message.p : ""));

	if (!q)
		grpc_call_fail(c, GRPC_INTERNAL, "the request is not a HealthCheckRequest");
	return q;
}

static struct sv pack(uint8_t out[16], GrpcHealth__ServingStatus status)
{
	GrpcHealth__CheckResponse r;

	health_reset(&r, status);
	must(grpc_health__check_response__get_packed_size(&r) <= 16);
	return sv_make(out, grpc_health__check_response__pack(&r, out));
}

static void on_check(void *ctx, struct grpc_call *c, struct sv message)
{
	GrpcHealth__CheckRequest *q = parse(c, message);
	const struct grpc_health *h = ctx;
	uint8_t out[16];

	if (!q)
		return;
	if (knows(h, q->service))
		grpc_call_reply(c, pack(out, status_now(h)));
	else
		grpc_call_fail(c, GRPC_NOT_FOUND, "unknown service");
	grpc_health__check_request__free_unpacked(q, NULL);
}

static void watch_free(struct watch *w)
{
	list_remove(&w->node);
	w->health->watches_n--;
	loop_defer_free(w->health->loop, w, mem_free);
}

static void on_watch_cancel(void *arg, struct grpc_call *c)
{
	(void)c;
	watch_free(arg);
}

/* A watcher that does not read gets the newest state later: `last` stays what it was told. */
static void watch_tell(struct watch *w, GrpcHealth__ServingStatus status)
{
	uint8_t out[16];

	if (w->last != status && grpc_call_send(w->call, pack(out, status)))
		w->last = status;
}

static void make_room(struct grpc_health *h, uint64_t newcomer)
{
	struct fair_place places[WATCHES_MAX];
	struct watch *watches[WATCHES_MAX], *w;
	bool greedy;
	size_t n = 0;

	list_for_each (i, &h->watches) {
		watches[n] = list_entry(i, struct watch, node);
		places[n] = (struct fair_place){ watches[n]->peer, n, 0 }; /* oldest first */
		n++;
	}
	w = watches[fair_victim(places, n, newcomer, &greedy)];
	grpc_call_fail(w->call, GRPC_RESOURCE_EXHAUSTED,
		       "%d watches are open, a new one takes this one's place", WATCHES_MAX);
	watch_free(w);
}

static void on_watch(void *ctx, struct grpc_call *c, struct sv message)
{
	GrpcHealth__CheckRequest *q = parse(c, message);
	struct grpc_health *h = ctx;
	struct watch *w;
	bool known;

	if (!q)
		return;
	known = knows(h, q->service);
	grpc_health__check_request__free_unpacked(q, NULL);
	if (h->watches_n >= WATCHES_MAX)
		make_room(h, grpc_call_peer(c));
	w = MEM_NEW(struct watch);
	w->health = h;
	w->call = c;
	w->peer = grpc_call_peer(c);
	h->watches_n++;
	list_push(&h->watches, &w->node);
	grpc_call_on_cancel(c, on_watch_cancel, w);
	/* The protocol: an unknown name may become known, so the stream stays open. */
	watch_tell(w, known ? status_now(h) : GRPC_HEALTH__SERVING_STATUS__SERVICE_UNKNOWN);
}

static const struct grpc_method methods[] = {
	{ "/grpc.health.v1.Health/Check", false, on_check },
	{ "/grpc.health.v1.Health/Watch", true, on_watch },
};

struct grpc_health *grpc_health_new(struct loop *l, const char *const *names,
				    bool (*serving)(void *arg), void *arg)
{
	struct grpc_health *h = MEM_NEW(struct grpc_health);

	h->loop = l;
	h->serving = serving;
	h->arg = arg;
	list_init(&h->watches);
	for (; *names; names++) {
		must(h->names_n < NAMES_MAX);
		h->names[h->names_n++] = mem_strdup(*names);
	}
	h->service = (struct grpc_service){ methods, ARRAY_LEN(methods), h };
	return h;
}

void grpc_health_free(struct grpc_health **hp)
{
	struct grpc_health *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	must(list_empty(&h->watches)); /* its server goes first */
	while (h->names_n)
		mem_free(h->names[--h->names_n]);
	loop_defer_free(h->loop, h, mem_free);
}

const struct grpc_service *grpc_health_service(const struct grpc_health *h)
{
	return &h->service;
}

void grpc_health_changed(struct grpc_health *h)
{
	GrpcHealth__ServingStatus status = status_now(h);

	list_for_each (n, &h->watches) {
		struct watch *w = list_entry(n, struct watch, node);

		if (w->last != GRPC_HEALTH__SERVING_STATUS__SERVICE_UNKNOWN)
			watch_tell(w, status);
	}
}

void grpc_health_drain(struct grpc_health *h)
{
	list_for_each_safe (n, &h->watches) {
		struct watch *w = list_entry(n, struct watch, node);

		grpc_call_fail(w->call, GRPC_UNAVAILABLE, "shutting down");
		watch_free(w);
	}
}
