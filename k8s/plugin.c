#include "k8s/plugin.h"

#include <errno.h>

#include "core/log.h"
#include "core/mem.h"
#include "third_party/kubelet/dra.pb-c.h"
#include "transport/fair.h"
#include "transport/grpc_client.h"

#define CLAIMS_PER_CALL_MAX                                                                        \
	256 /* a pod names at most 32 claims of its own, this is many times that */
#define HEALTH_STREAMS_MAX 64		     /* the kubelet opens one per connection */
#define ANSWER_MAX	   ((size_t)4 << 20) /* what grpc-go receives by default */
#define CALL_MS		   45000u /* as the kubelet waits; for callers that tell no deadline */
#define RELAY_AGAIN_MS	   200u	  /* a successor that was killed is back in a second */
#define RELAY_DIAL_MS	   1000u  /* between two tries to reach it, at most */
#define RELAY_LAST_MS	   1000u  /* left of a call: it ends here, with a reason */

struct plugin {
	struct loop *loop;
	struct claims *claims;
	struct grpc_service service;
	struct list calls;  /* of struct batch, in flight */
	struct list health; /* of struct health_stream */
	struct plugin_stats stats;
	struct h2_client *successor; /* the instance that has the ledger now; NULL: we serve */
	char *successor_socket;
	bool draining; /* no health stream is held open any more */
};

/* One claim of one RPC. Its answer is kept until the others of the batch have theirs. */
struct batch_claim {
	struct batch *batch;
	struct claim_call *call; /* NULL once answered */
	char *uid;
	char *error; /* NULL = done */
	Dra__Device *devices;
	size_t devices_n;
};
/* One NodePrepareResources or NodeUnprepareResources: answered when all its claims are. */
struct batch {
	struct list node;
	struct plugin *plugin;
	struct grpc_call *call;
	struct batch_claim *claims; /* NULL while another instance is asked */
	size_t n, open;
	bool prepare;
	uint64_t due_ms;		  /* loop time at which the caller gives up */
	struct buf request;		  /* as it came */
	struct grpc_client_call *relayed; /* NULL unless the successor is asked */
	struct buf answer;		  /* of the successor */
	struct loop_timer again;	  /* it is asked once more */
	bool told;			  /* that the successor does not answer */
};
struct health_stream {
	struct list node;
	struct grpc_call *call;
	uint64_t peer;
};

/* ---- answers ---- */

static char **one_string(const char *s)
{
	char **list = mem_alloc(sizeof(*list));

	list[0] = mem_strdup(s);
	return list;
}

/* Go refuses a whole answer for one byte that is not UTF-8, and texts are cut and of many hands. */
static char *utf8_dup(const char *text)
{
	char *copy = mem_strdup(text);
	struct sv rest = sv_str(copy);

	while (rest.n) {
		size_t n = sv_utf8(rest);

		if (!n)
			copy[rest.p - copy] = '?';
		rest = sv_drop(rest, n ? n : 1);
	}
	return copy;
}

static void device_set(Dra__Device *d, const struct claim_device *from)
{
	struct sv base = allocation_base_request(from->request);

	dra__device__init(d);
	d->n_request_names = 1;
	d->request_names = mem_alloc(sizeof(char *));
	d->request_names[0] = sv_dup(base);
	d->pool_name = mem_strdup(from->pool);
	d->device_name = mem_strdup(from->device);
	d->n_cdi_device_ids = 1;
	d->cdi_device_ids = one_string(from->cdi_id);
	d->share_id = mem_strdup(from->share_id);
}

static void device_clear(Dra__Device *d)
{
	mem_free(d->request_names[0]);
	mem_free(d->request_names);
	mem_free(d->pool_name);
	mem_free(d->device_name);
	mem_free(d->cdi_device_ids[0]);
	mem_free(d->cdi_device_ids);
	mem_free(d->share_id);
}

/* Cancels the claims without an answer, forgets the answers there are. */
static void drop_claims(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct batch_claim *c = &b->claims[i];

		if (c->call)
			claim_call_cancel(c->call);
		for (size_t j = 0; j < c->devices_n; j++)
			device_clear(&c->devices[j]);
		mem_free(c->devices);
		mem_free(c->uid);
		mem_free(c->error);
	}
	mem_free(b->claims);
	b->claims = NULL;
	b->n = b->open = 0;
}

/* It waits for no answer of the successor any more. */
static void relay_end(struct batch *b)
{
	if (b->relayed)
		grpc_client_cancel(b->relayed);
	b->relayed = NULL;
	loop_timer_stop(&b->again);
}

static void batch_free(struct batch *b)
{
	drop_claims(b);
	relay_end(b);
	b->plugin->stats.inflight--;
	b->plugin->stats.preparing -= b->prepare;
	list_remove(&b->node);
	buf_done(&b->request);
	buf_done(&b->answer);
	mem_free(b);
}

/* Packs straight into the reply; protobuf-c appends to a buffer that we give. */
struct pack_buffer {
	ProtobufCBuffer base;
	struct buf *out;
};

static void pack_append(ProtobufCBuffer *base, size_t n, const uint8_t *data)
{
	buf_put(container_of(base, struct pack_buffer, base)->out, data, n);
}

static void reply_message(struct grpc_call *call, const ProtobufCMessage *m)
{
	struct pack_buffer pack = { .base = { .append = pack_append } };
	struct buf out;

	buf_init(&out, ANSWER_MAX);
	pack.out = &out;
	protobuf_c_message_pack_to_buffer(m, &pack.base);
	if (out.full)
		grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than 4 MiB");
	else
		grpc_call_reply(call, buf_sv(&out));
	buf_done(&out);
}

static void reply_prepare(struct batch *b)
{
	Dra__PrepareResponse m = DRA__PREPARE_RESPONSE__INIT;
	Dra__PrepareEntry *entries = mem_calloc(b->n + 1, sizeof(*entries));
	Dra__PrepareResult *results = mem_calloc(b->n + 1, sizeof(*results));
	Dra__PrepareEntry **refs = mem_calloc(b->n + 1, sizeof(*refs));
	Dra__Device **devices = mem_calloc(b->n * ALLOCATION_RESULTS_MAX + 1, sizeof(*devices));
	size_t at = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct batch_claim *c = &b->claims[i];

		dra__prepare_entry__init(&entries[i]);
		dra__prepare_result__init(&results[i]);
		results[i].error = c->error;
		results[i].n_devices = c->devices_n;
		results[i].devices = &devices[at];
		for (size_t j = 0; j < c->devices_n; j++)
			devices[at++] = &c->devices[j];
		entries[i].key = c->uid;
		entries[i].value = &results[i];
		refs[i] = &entries[i];
	}
	m.n_claims = b->n;
	m.claims = refs;
	reply_message(b->call, &m.base);
	mem_free(entries);
	mem_free(results);
	mem_free(refs);
	mem_free(devices);
}

static void reply_unprepare(struct batch *b)
{
	Dra__UnprepareResponse m = DRA__UNPREPARE_RESPONSE__INIT;
	Dra__UnprepareEntry *entries = mem_calloc(b->n + 1, sizeof(*entries));
	Dra__UnprepareResult *results = mem_calloc(b->n + 1, sizeof(*results));
	Dra__UnprepareEntry **refs = mem_calloc(b->n + 1, sizeof(*refs));

	for (size_t i = 0; i < b->n; i++) {
		dra__unprepare_entry__init(&entries[i]);
		dra__unprepare_result__init(&results[i]);
		results[i].error = b->claims[i].error;
		entries[i].key = b->claims[i].uid;
		entries[i].value = &results[i];
		refs[i] = &entries[i];
	}
	m.n_claims = b->n;
	m.claims = refs;
	reply_message(b->call, &m.base);
	mem_free(entries);
	mem_free(results);
	mem_free(refs);
}

static void batch_finish(struct batch *b)
{
	if (b->open)
		return;
	if (b->prepare)
		reply_prepare(b);
	else
		reply_unprepare(b);
	batch_free(b);
}

static void on_answer(void *arg, const struct claim_answer *a)
{
	struct batch_claim *c = arg;
	size_t n = MIN(a->n, (size_t)ALLOCATION_RESULTS_MAX);

	c->call = NULL;
	c->error = utf8_dup(a->error);
	if (!a->error && n) {
		c->devices = mem_calloc(n, sizeof(*c->devices));
		c->devices_n = n;
		for (size_t i = 0; i < n; i++)
			device_set(&c->devices[i], &a->devices[i]);
	}
	c->batch->open--;
	batch_finish(c->batch);
}

/* ---- requests: read ---- */

static void on_cancel(void *arg, struct grpc_call *call)
{
	(void)call;
	batch_free(arg);
}

static bool same_claim_before(Dra__Claim **claims, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (sv_eqs(sv_str(claims[j]->uid), claims[i]->uid))
			return true;
	return false;
}

/* What the kubelet never sends, but a broken peer may. */
static const char *wrong_claims(Dra__Claim **claims, size_t n)
{
	if (n > CLAIMS_PER_CALL_MAX)
		return "more than 256 claims in one call";
	for (size_t i = 0; i < n; i++) {
		const Dra__Claim *c = claims[i];

		if (!c->uid || !*c->uid || !c->name || !*c->name || !c->namespace_ ||
		    !*c->namespace_)
			return "a claim lacks its namespace, name or uid";
		if (strlen(c->uid) > JOURNAL_KEY_MAX || strchr(c->uid, '/'))
			return "a claim's uid is no UID";
		if (same_claim_before(claims, i))
			return "a claim is named twice";
	}
	return NULL;
}

/* UnprepareRequest has the same fields: one reader serves both. */
static Dra__PrepareRequest *request_read(struct sv message)
{
	return dra__prepare_request__unpack(NULL, message.n, (const uint8_t *)message.p);
}

static void serve_claims(struct batch *b, Dra__Claim **claims, size_t n)
{
	struct plugin *p = b->plugin;

	b->n = b->open = n;
	b->claims = mem_calloc(n + 1, sizeof(*b->claims));
	for (size_t i = 0; i < n; i++) {
		struct claim_ref ref = { claims[i]->namespace_, claims[i]->name, claims[i]->uid };
		struct batch_claim *c = &b->claims[i];

		c->batch = b;
		c->uid = mem_strdup(claims[i]->uid);
		c->call = (b->prepare ? claims_prepare : claims_unprepare)(p->claims, &ref,
									   b->due_ms, on_answer, c);
	}
	batch_finish(b); /* at once when the call names no claim: a probe does that */
}

/* ---- after a hand-over: the successor is asked in the kubelet's place ---- */

/* The request was read before, so it is readable. */
static void serve_again(struct batch *b)
{
	Dra__PrepareRequest *m = request_read(buf_sv(&b->request));

	must(m);
	serve_claims(b, m->claims, m->n_claims);
	dra__prepare_request__free_unpacked(m, NULL);
}

static void on_relayed(void *arg, struct sv message)
{
	struct batch *b = arg;

	buf_clear(&b->answer);
	(void)buf_put_sv(&b->answer, message);
}

static uint64_t relay_left_ms(const struct batch *b)
{
	uint64_t now = loop_now_ms(b->plugin->loop);

	return b->due_ms > now ? b->due_ms - now : 0;
}

/*
 * An end without an answer, whatever the reason: it is our call still. The successor is asked
 * again, for it may be back before the ledger is found free, or have lost no more than this
 * connection. What is left at the end is for telling the caller why.
 */
static void on_relay_end(void *arg, int code, const char *text)
{
	struct batch *b = arg;
	bool again = relay_left_ms(b) > RELAY_LAST_MS;

	b->relayed = NULL;
	if (code == GRPC_OK && !b->answer.full) {
		grpc_call_reply(b->call, buf_sv(&b->answer));
		batch_free(b);
		return;
	}
	if (!again || !b->told)
		log_warn("the instance that took over does not answer a call",
			 LOG_S("call", grpc_call_path(b->call)), LOG_I("code", code),
			 LOG_S("why", text),
			 LOG_S("then", again ? "it is asked again" : "the call ends here"));
	b->told = true;
	if (again)
		loop_timer_set(&b->again, RELAY_AGAIN_MS);
	else
		serve_again(b);
}

/*
 * The kubelet stays with the connection on which it called, and a failed prepare costs the pod 60
 * to 90 s. Whole calls are asked anew: what was answered for some claims is answered again alike.
 */
static void relay(void *arg)
{
	struct batch *b = arg;
	uint64_t left = relay_left_ms(b), last = MIN(left / 2, (uint64_t)RELAY_LAST_MS);

	drop_claims(b);
	buf_clear(&b->answer); /* of a try that ended behind its message */
	b->relayed =
	    grpc_client_call(b->plugin->successor, grpc_call_path(b->call), buf_sv(&b->request),
			     MAX(left - last, (uint64_t)1), on_relayed, on_relay_end, b);
}

static void forget_successor(struct plugin *p)
{
	list_for_each (n, &p->calls)
		relay_end(list_entry(n, struct batch, node));
	h2_client_free(&p->successor);
	mem_free(p->successor_socket);
	p->successor_socket = NULL;
}

void plugin_relay(struct plugin *p, const char *socket)
{
	struct h2_client_conf conf = { .unix_path = socket,
				       .authority = "localhost",
				       .backoff_cap_ms = RELAY_DIAL_MS };

	if (socket ? p->successor && !strcmp(socket, p->successor_socket) : !p->successor)
		return;
	forget_successor(p);
	if (!socket) { /* the ledger is ours again */
		list_for_each_safe (n, &p->calls) {
			struct batch *b = list_entry(n, struct batch, node);

			if (!b->claims) /* else it waits here already */
				serve_again(b);
		}
		return;
	}
	p->successor_socket = mem_strdup(socket);
	log_info("calls that wait are asked of the instance that took over",
		 LOG_S("socket", socket));
	p->successor = h2_client_new(p->loop, &conf);
	list_for_each_safe (n, &p->calls)
		relay(list_entry(n, struct batch, node));
}

/* ---- requests: served here, or asked of the successor ---- */

static void start_batch(struct plugin *p, struct grpc_call *call, bool prepare, struct sv message,
			Dra__Claim **claims, size_t n)
{
	struct batch *b = MEM_NEW(struct batch);

	b->plugin = p;
	b->call = call;
	b->prepare = prepare;
	buf_init(&b->request, message.n + 1);
	must(buf_put_sv(&b->request, message));
	buf_init(&b->answer, ANSWER_MAX);
	b->due_ms = grpc_call_due_ms(call);
	if (b->due_ms == UINT64_MAX)
		b->due_ms = loop_now_ms(p->loop) + CALL_MS;
	list_push(&p->calls, &b->node);
	p->stats.inflight++;
	p->stats.preparing += prepare;
	loop_timer_init(&b->again, p->loop, relay, b);
	grpc_call_on_cancel(call, on_cancel, b);
	if (p->successor)
		relay(b);
	else
		serve_claims(b, claims, n);
}

static void take_call(struct plugin *p, struct grpc_call *call, bool prepare, struct sv message)
{
	const char *wrong = "the request is no message";
	Dra__PrepareRequest *m = request_read(message);

	p->stats.last_call_wall_ms = loop_wall_ms(p->loop);
	p->stats.last_method = prepare ? "NodePrepareResources" : "NodeUnprepareResources";
	p->stats.prepares += prepare;
	p->stats.unprepares += !prepare;
	if (m)
		wrong = wrong_claims(m->claims, m->n_claims);
	if (wrong)
		grpc_call_fail(call, GRPC_INVALID_ARGUMENT, "%s: %s", p->stats.last_method, wrong);
	else
		start_batch(p, call, prepare, message, m->claims, m->n_claims);
	if (m)
		dra__prepare_request__free_unpacked(m, NULL);
}

static void on_prepare(void *ctx, struct grpc_call *call, struct sv message)
{
	take_call(ctx, call, true, message);
}

static void on_unprepare(void *ctx, struct grpc_call *call, struct sv message)
{
	take_call(ctx, call, false, message);
}

/* ---- device health: held open ---- */

static void on_health_end(void *arg, struct grpc_call *call)
{
	struct health_stream *h = arg;

	(void)call;
	list_remove(&h->node);
	mem_free(h);
}

static size_t list_length(const struct list *l)
{
	size_t n = 0;

	list_for_each (i, l)
		n++;
	return n;
}

/* By the oldest stream of whoever has most: the kubelet has one. */
static void make_room(struct plugin *p, uint64_t newcomer)
{
	struct fair_place places[HEALTH_STREAMS_MAX];
	struct health_stream *streams[HEALTH_STREAMS_MAX], *h;
	bool greedy;
	size_t n = 0;

	list_for_each (i, &p->health) {
		streams[n] = list_entry(i, struct health_stream, node);
		places[n] = (struct fair_place){ streams[n]->peer, n, 0 };
		n++;
	}
	h = streams[fair_victim(places, n, newcomer, &greedy)];
	list_remove(&h->node);
	grpc_call_fail(h->call, GRPC_RESOURCE_EXHAUSTED,
		       "%d health streams are open, a new one takes this one's place",
		       HEALTH_STREAMS_MAX);
	mem_free(h);
}

/*
 * The kubelet 1.36 opens this stream on every plugin and tries again every 5 s when it is refused;
 * held open it costs nothing. Nothing is reported yet: a device without a report is Unknown.
 */
static void on_health_watch(void *ctx, struct grpc_call *call, struct sv message)
{
	struct plugin *p = ctx;
	struct health_stream *h;

	(void)message;
	if (p->draining) {
		grpc_call_fail(call, GRPC_UNAVAILABLE, "shutting down");
		return;
	}
	if (list_length(&p->health) >= HEALTH_STREAMS_MAX)
		make_room(p, grpc_call_peer(call));
	h = MEM_NEW(struct health_stream);
	h->call = call;
	h->peer = grpc_call_peer(call);
	list_push(&p->health, &h->node);
	grpc_call_on_cancel(call, on_health_end, h);
	grpc_call_open(call);
}

/* ---- public ---- */

static const struct grpc_method methods[] = {
	{ "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources", false, on_prepare },
	{ "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources", false, on_unprepare },
	{ "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources", false,
	  on_prepare },
	{ "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodeUnprepareResources", false,
	  on_unprepare },
	{ "/v1alpha1.DRAResourceHealth/NodeWatchResources", true, on_health_watch },
	{ "/v1.DRAResourceHealth/NodeWatchResources", true, on_health_watch },
};

struct plugin *plugin_new(struct loop *l, struct claims *claims)
{
	struct plugin *p = MEM_NEW(struct plugin);

	p->loop = l;
	p->claims = claims;
	p->stats.last_method = "";
	p->service = (struct grpc_service){ methods, ARRAY_LEN(methods), p };
	list_init(&p->calls);
	list_init(&p->health);
	return p;
}

/* After its server: the calls of that have ended as cancelled. */
void plugin_free(struct plugin **pp)
{
	struct plugin *p = *pp;

	if (!p)
		return;
	list_for_each_safe (n, &p->calls)
		batch_free(list_entry(n, struct batch, node));
	list_for_each_safe (h, &p->health)
		mem_free(list_entry(h, struct health_stream, node));
	h2_client_free(&p->successor);
	mem_free(p->successor_socket);
	mem_free(p);
	*pp = NULL;
}

void plugin_drain(struct plugin *p)
{
	struct list *n;

	p->draining = true;
	while ((n = list_pop(&p->health))) {
		struct health_stream *h = list_entry(n, struct health_stream, node);

		grpc_call_fail(h->call, GRPC_UNAVAILABLE, "shutting down");
		mem_free(h);
	}
}

const struct grpc_service *plugin_services(const struct plugin *p, size_t *n)
{
	*n = 1;
	return &p->service;
}

const struct plugin_stats *plugin_stats(const struct plugin *p)
{
	return &p->stats;
}
