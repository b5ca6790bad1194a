#include "k8s/publisher.h"

#include <errno.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "k8s/api/cache.h"
#include "k8s/events.h"

#define SLICES_MAX     1024u		 /* of one pool: 65 536 devices, more than any node has */
#define BODY_MAX       ((size_t)1 << 20) /* 64 devices with 32 entries each: about 150 kB */
#define RETRY_FIRST_MS 100u
#define RETRY_CAP_MS   30000u
#define LOOK_MS	       2000u  /* between two looks whether a missing slice may be made */
#define NODE_FRESH_MS  60000u /* a Node made anew under its name has another UID */

enum { OP_CREATE, OP_UPDATE, OP_DELETE, OP_KINDS };

/* One write in flight. */
struct op {
	struct list node;
	struct publisher *owner;
	uint64_t call;
	uint64_t wanted; /* digest of what was sent */
	char *name, *uid;
	int kind;
};

/* What the server made of a desired slice, when it was not the same (fields that it dropped). */
struct dropped {
	uint64_t wanted, got;
};

struct publisher {
	struct loop *loop;
	struct publisher_conf conf;
	char *driver, *node, *pool, *node_uid;
	struct cache *cache;
	struct map slices; /* name -> struct slice */
	struct list ops;
	struct loop_task sync;
	struct loop_timer retry;
	struct backoff backoff;
	uint64_t node_call, node_read_ms;
	struct dropped dropped[8]; /* of late; one per slice of a pool at most */
	size_t dropped_next;
	bool held, failed; /* failed: a write of this round did */
	struct publisher_stats stats;
};

static void note_failure(struct publisher *p, const char *what, const char *error)
{
	p->failed = true;
	p->stats.failures++;
	snprintf(p->stats.last_error, sizeof(p->stats.last_error), "%s: %s", what, error);
	log_warn("publishing failed", LOG_S("driver", p->driver), LOG_S("what", what),
		 LOG_S("error", error));
}

/* ---- what is there ---- */

static void count(struct publisher *p)
{
	p->stats.slices = map_len(&p->slices);
	p->stats.devices = 0;
	map_for_each (e, &p->slices)
		p->stats.devices += ((const struct slice *)e->value)->devices;
}

static void forget_slice(struct publisher *p, const char *name)
{
	struct slice *s = map_del(&p->slices, sv_str(name));

	slice_free(&s);
}

static void on_upsert(void *arg, const struct json *object, enum api_version v)
{
	struct publisher *p = arg;
	struct slice *s = slice_decode(object, v);

	forget_slice(p, s->name);
	map_put(&p->slices, sv_str(s->name), s);
	count(p);
	loop_task_post(&p->sync);
}

static void on_delete(void *arg, const char *ns, const char *name, const char *uid)
{
	struct publisher *p = arg;

	(void)ns;
	(void)uid;
	forget_slice(p, name);
	count(p);
	/* With its owner, perhaps: a Node that was made anew has another UID. */
	mem_free(p->node_uid);
	p->node_uid = NULL;
	loop_task_post(&p->sync);
}

static void on_synced(void *arg)
{
	struct publisher *p = arg;

	loop_task_post(&p->sync);
}

static void on_trouble(void *arg, const struct err *e)
{
	struct publisher *p = arg;

	if (e)
		snprintf(p->stats.last_error, sizeof(p->stats.last_error),
			 "watching slices: %.200s", err_text(e));
	else
		loop_task_post(&p->sync); /* which ends what was said */
}

/* ---- writing ---- */

static void op_free(struct op *op)
{
	list_remove(&op->node);
	mem_free(op->name);
	mem_free(op->uid);
	mem_free(op);
}

static void round_ends(struct publisher *p)
{
	if (!list_empty(&p->ops))
		return;
	if (p->conf.on_publish)
		p->conf.on_publish(p->conf.arg, !p->failed);
	if (p->failed) {
		loop_timer_set(&p->retry, backoff_next(&p->backoff, p->loop));
		return;
	}
	backoff_reset(&p->backoff);
	loop_task_post(&p->sync);
}

static bool known_drop(const struct publisher *p, uint64_t wanted, uint64_t got)
{
	for (size_t i = 0; i < ARRAY_LEN(p->dropped); i++)
		if (p->dropped[i].wanted == wanted && p->dropped[i].got == got && wanted)
			return true;
	return false;
}

/* A server without a feature gate drops fields silently: say so, and do not write for ever. */
static void check_dropped(struct publisher *p, const struct op *op, const struct json *object,
			  enum api_version v)
{
	struct events_object node = { "v1", "Node", NULL, p->node, p->node_uid };
	struct slice *s = slice_decode(object, v);
	uint64_t got = s->digest;

	slice_free(&s);
	if (got == op->wanted || known_drop(p, op->wanted, got))
		return;
	p->dropped[p->dropped_next++ % ARRAY_LEN(p->dropped)] = (struct dropped){ op->wanted, got };
	log_warn("the API server changed a slice that was written: a feature gate may be off",
		 LOG_S("slice", meta_name(object)));
	events_warn(p->conf.events, &node, "FieldsDropped",
		    "the API server did not keep all fields of ResourceSlice %s; a feature gate of "
		    "it may be off",
		    meta_name(object));
}

static void op_done(struct op *op, const struct api_result *r)
{
	struct publisher *p = op->owner;
	uint64_t *const counters[OP_KINDS] = { &p->stats.creates, &p->stats.updates,
					       &p->stats.deletes };

	(*counters[op->kind])++;
	p->stats.last_publish_wall_ms = loop_wall_ms(p->loop);
	if (op->kind == OP_DELETE) {
		cache_deleted(p->cache, NULL, op->name, op->uid);
		return;
	}
	check_dropped(p, op, r->object, r->version);
	cache_wrote(p->cache, r->object, r->version);
	log_info(
	    "slice published", LOG_S("slice", meta_name(r->object)),
	    LOG_I("generation", json_i64(json_get(r->object, "spec", "pool", "generation"), 0)),
	    LOG_I("devices", json_len(json_get(r->object, "spec", "devices"))));
}

static void on_op(void *arg, const struct api_result *r)
{
	static const char *const what[OP_KINDS] = { "create", "update", "delete" };
	struct op *op = arg;
	struct publisher *p = op->owner;

	if (!r->status || (op->kind == OP_DELETE && r->status == API_NOT_FOUND)) {
		op_done(op, r);
	} else {
		note_failure(p, what[op->kind], r->error);
		/* Someone else wrote it, the version changed, or we do not know whether we did. */
		if (r->status == API_CONFLICT || r->status == API_NOT_FOUND ||
		    r->status == API_NOT_SERVED || r->status < 0)
			cache_relist(p->cache);
	}
	op_free(op);
	round_ends(p);
}

static struct op *op_new(struct publisher *p, int kind, const struct slice *s)
{
	struct op *op = MEM_NEW(struct op);

	op->owner = p;
	op->kind = kind;
	op->name = mem_strdup(s ? s->name : NULL);
	op->uid = mem_strdup(s ? s->uid : NULL);
	list_push(&p->ops, &op->node);
	return op;
}

static struct api_target target(const struct op *op)
{
	return (struct api_target){ .group = API_GROUP_RESOURCE,
				    .resource = "resourceslices",
				    .name = op->name };
}

static void delete_slice(struct publisher *p, const struct slice *s)
{
	struct op *op = op_new(p, OP_DELETE, s);
	struct api_request r = { .verb = API_DELETE, .to = target(op), .fn = on_op, .arg = op };
	struct buf body;

	buf_init(&body, 4096);
	api_put_preconditions(&body, s->uid, s->rv);
	r.body = buf_sv(&body);
	op->call = api_call(p->conf.api, &r);
	buf_done(&body);
}

/* `s` NULL: a new one. */
static void write_slice(struct publisher *p, const struct slice *s, const struct slice_body *b)
{
	struct op *op = op_new(p, s ? OP_UPDATE : OP_CREATE, s);
	struct api_request r = {
		.verb = s ? API_UPDATE : API_CREATE, .to = target(op), .fn = on_op, .arg = op
	};
	struct buf body;

	op->wanted = slice_digest(b->devices, b->n);
	buf_init(&body, BODY_MAX);
	slice_encode(b, api_served(p->conf.api), &body);
	must(!body.full);
	r.body = buf_sv(&body);
	op->call = api_call(p->conf.api, &r);
	buf_done(&body);
}

/* ---- the Node, owner of the slices ---- */

static void on_node(void *arg, const struct api_result *r)
{
	struct publisher *p = arg;

	p->node_call = 0;
	if (r->status) {
		note_failure(p, "read the Node", r->error);
		loop_timer_set(&p->retry, backoff_next(&p->backoff, p->loop));
		return;
	}
	mem_free(p->node_uid);
	p->node_uid = mem_strdup(meta_uid(r->object));
	p->node_read_ms = loop_now_ms(p->loop);
	loop_task_post(&p->sync);
}

static bool node_known(struct publisher *p)
{
	struct api_request get = { .verb = API_GET,
				   .to = { .group = API_GROUP_CORE,
					   .version = "v1",
					   .resource = "nodes",
					   .name = p->node },
				   .fn = on_node,
				   .arg = p };

	if (p->node_uid && loop_now_ms(p->loop) - p->node_read_ms < NODE_FRESH_MS)
		return true;
	if (!p->node_call)
		p->node_call = api_call(p->conf.api, &get);
	return false;
}

/* ---- desired against actual ---- */

struct desired {
	const struct gpu_device *const *devices;
	size_t n, slices;
	const struct slice **actual; /* by index, NULL = missing */
	int64_t generation;
	bool bump; /* every slice of the pool is written with a new generation */
};

static size_t chunk(const struct desired *d, size_t i)
{
	size_t left = d->n - i * SLICE_DEVICES_MAX;

	return d->n ? MIN(left, (size_t)SLICE_DEVICES_MAX) : 0;
}

static uint64_t wanted_digest(const struct publisher *p, const struct desired *d, size_t i)
{
	uint64_t wanted = slice_digest(d->devices + i * SLICE_DEVICES_MAX, chunk(d, i));

	if (d->actual[i] && known_drop(p, wanted, d->actual[i]->digest))
		return d->actual[i]->digest;
	return wanted;
}

static bool differs(const struct publisher *p, const struct desired *d, size_t i)
{
	const struct slice *s = d->actual[i];

	return s->count != (int64_t)d->slices || s->digest != wanted_digest(p, d, i);
}

static bool adoptable(const struct publisher *p, const struct desired *d, const struct slice *s)
{
	return sv_eqs(sv_str(s->pool), p->pool) && s->generation == d->generation &&
	       s->index >= 0 && s->index < (int64_t)d->slices;
}

/* Finds each wanted slice among the present ones; what is not wanted is deleted. True: deleted
 * some. */
static bool match(struct publisher *p, struct desired *d)
{
	size_t deleted = 0;

	map_for_each (e, &p->slices) {
		const struct slice *s = e->value;

		if (sv_eqs(sv_str(s->pool), p->pool))
			d->generation = MAX(d->generation, s->generation);
	}
	map_for_each (m, &p->slices) {
		const struct slice *s = m->value;

		if (adoptable(p, d, s) && !d->actual[s->index]) {
			d->actual[s->index] = s;
			continue;
		}
		delete_slice(p, s);
		deleted++;
	}
	return deleted > 0;
}

/* One changed slice keeps the generation; more, or a new one, and all move to the next together. */
static size_t plan_generation(const struct publisher *p, struct desired *d)
{
	size_t missing = 0, changed = 0;

	for (size_t i = 0; i < d->slices; i++) {
		missing += !d->actual[i];
		changed += d->actual[i] && differs(p, d, i);
	}
	d->bump = missing || changed > 1;
	if (d->bump)
		d->generation++;
	return missing;
}

static void write_round(struct publisher *p, const struct desired *d)
{
	for (size_t i = 0; i < d->slices; i++) {
		const struct slice *s = d->actual[i];
		struct slice_body b = { .driver = p->driver,
					.node = p->node,
					.node_uid = p->node_uid,
					.pool = p->pool,
					.generation = d->generation,
					.count = (int64_t)d->slices,
					.index = (int64_t)i,
					.devices = d->devices + i * SLICE_DEVICES_MAX,
					.n = chunk(d, i) };

		if (s && !d->bump && !differs(p, d, i))
			continue;
		if (s) {
			b.name = s->name;
			b.uid = s->uid;
			b.rv = s->rv;
		}
		write_slice(p, s, &b);
	}
}

static bool something_to_write(const struct publisher *p, const struct desired *d)
{
	for (size_t i = 0; i < d->slices; i++)
		if (!d->actual[i] || differs(p, d, i))
			return true;
	return false;
}

static void sync_pool(struct publisher *p, struct desired *d)
{
	size_t missing;

	if (match(p, d))
		return; /* the rest when the deletes are through */
	p->stats.synced = !something_to_write(p, d);
	if (p->stats.synced) {
		p->stats.generation = d->generation;
		p->stats.last_error[0] = '\0';
		backoff_reset(&p->backoff);
		return;
	}
	if (!node_known(p))
		return;
	missing = plan_generation(p, d);
	if (missing && !p->conf.registered(p->conf.arg)) {
		loop_timer_set(&p->retry, LOOK_MS);
		return;
	}
	write_round(p, d);
}

static void on_sync(void *arg)
{
	struct publisher *p = arg;
	struct desired d = { 0 };

	if (p->held || !p->cache || !cache_synced(p->cache) || !list_empty(&p->ops) || p->node_call)
		return;
	if (p->failed && loop_timer_armed(&p->retry))
		return; /* the retry comes, with the news of then */
	if (api_served(p->conf.api) == API_VERSION_NONE) {
		loop_timer_set(&p->retry, LOOK_MS); /* some call is asking for it */
		return;
	}
	p->failed = false;
	if (p->conf.source.devices(p->conf.source.ctx, &d.devices, &d.n) == POOL_NOT_READY)
		return;
	d.slices = d.n ? (d.n + SLICE_DEVICES_MAX - 1) / SLICE_DEVICES_MAX : 1;
	must(d.slices <= SLICES_MAX);
	d.actual = mem_calloc(d.slices, sizeof(const struct slice *));
	sync_pool(p, &d);
	mem_free(d.actual);
}

static void on_retry(void *arg)
{
	struct publisher *p = arg;

	p->failed = false;
	loop_task_post(&p->sync);
}

/* ---- public ---- */

struct publisher *publisher_new(struct loop *l, const struct publisher_conf *conf)
{
	struct publisher *p = MEM_NEW(struct publisher);

	p->loop = l;
	p->conf = *conf;
	p->driver = mem_strdup(conf->driver);
	p->node = mem_strdup(conf->node);
	p->pool = mem_strdup(conf->pool);
	map_init(&p->slices);
	list_init(&p->ops);
	backoff_init(&p->backoff, RETRY_FIRST_MS, RETRY_CAP_MS);
	loop_task_init(&p->sync, l, LOOP_TICK, on_sync, p);
	loop_timer_init(&p->retry, l, on_retry, p);
	return p;
}

void publisher_start(struct publisher *p)
{
	char *fields = mem_printf("spec.driver=%s,spec.nodeName=%s", p->driver, p->node);
	struct cache_conf conf = { .what = { .group = API_GROUP_RESOURCE,
					     .resource = "resourceslices",
					     .fields = fields },
				   .on_upsert = on_upsert,
				   .on_delete = on_delete,
				   .on_synced = on_synced,
				   .on_trouble = on_trouble,
				   .arg = p };

	must(!p->cache);
	p->cache = cache_new(p->conf.api, &conf);
	(void)node_known(p); /* early, so that the first slice need not wait for it */
	mem_free(fields);
}

void publisher_free(struct publisher **pp)
{
	struct publisher *p = *pp;

	if (!p)
		return;
	list_for_each_safe (n, &p->ops) {
		struct op *op = list_entry(n, struct op, node);

		api_cancel(p->conf.api, op->call);
		op_free(op);
	}
	if (p->node_call)
		api_cancel(p->conf.api, p->node_call);
	cache_free(&p->cache);
	loop_task_stop(&p->sync);
	loop_timer_stop(&p->retry);
	map_for_each (e, &p->slices) {
		struct slice *s = e->value;

		slice_free(&s);
	}
	map_done(&p->slices);
	mem_free(p->driver);
	mem_free(p->node);
	mem_free(p->pool);
	mem_free(p->node_uid);
	mem_free(p);
	*pp = NULL;
}

void publisher_changed(struct publisher *p)
{
	loop_task_post(&p->sync);
}

void publisher_hold(struct publisher *p, bool hold)
{
	if (p->held == hold)
		return;
	p->held = hold;
	loop_task_post(&p->sync);
}

const struct publisher_stats *publisher_stats(const struct publisher *p)
{
	return &p->stats;
}
