#include "k8s/gc.h"

#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "k8s/api/client.h"
#include "k8s/events.h"

#define LOOK_MS	      2000u   /* from the start on, until the ledger is open */
#define START_MS      30000u  /* after that, and up to as much more: the kubelet first */
#define BOOT_AGAIN_MS 10000u  /* gone twice, of an earlier boot */
#define PERIOD_MS     600000u /* between two rounds, on average */
#define SPREAD	      20u     /* percent: the nodes of a fleet started together, and ask apart */
#define AGAIN_MS      300000u /* gone twice, this far apart */
#define PACE_MS	      50u     /* between two claims of a round: 20 GETs a second at most */
#define RELEASE_MS    60000u  /* deadline of a release */

/* A claim that is to be looked at in this round, or that was seen gone before. */
struct suspect {
	struct list node; /* gc->round, while it waits for its turn */
	struct gc *owner;
	char *uid, *ns, *name;
	uint64_t gone_ms;     /* loop time it was first seen gone, 0 = it was there */
	bool seen;	      /* in the ledger when this round began */
	const char *reported; /* why it was kept when last told */
	bool there;	      /* in this boot: the object exists */
};

struct gc {
	struct loop *loop;
	struct gc_conf conf;
	struct map suspects; /* uid -> struct suspect */
	struct list round;
	struct loop_timer timer;
	struct suspect *current; /* whose GET, scan or release is under way */
	uint64_t call;
	struct claim_call *release;
	bool begun;
	unsigned boot_rounds; /* still to come, for claims of an earlier boot alone */
	struct gc_stats stats;
};

static void suspect_free(struct suspect *s)
{
	list_remove(&s->node);
	mem_free(s->uid);
	mem_free(s->ns);
	mem_free(s->name);
	mem_free(s);
}

static void forget(struct gc *g, struct suspect *s)
{
	map_del(&g->suspects, sv_str(s->uid));
	suspect_free(s);
}

static void rest_at_start(struct gc *g)
{
	loop_timer_set(&g->timer, START_MS + loop_random(g->loop) % START_MS);
}

static void rest(struct gc *g)
{
	if (!g->boot_rounds)
		loop_timer_set(&g->timer, loop_jitter(g->loop, PERIOD_MS, SPREAD));
	else if (--g->boot_rounds)
		loop_timer_set(&g->timer, BOOT_AGAIN_MS);
	else
		rest_at_start(g);
}

static void next(struct gc *g)
{
	g->current = NULL;
	if (list_empty(&g->round))
		rest(g);
	else
		loop_timer_set(&g->timer, PACE_MS);
}

/* ---- releasing ---- */

static void on_released(void *arg, const struct claim_answer *a)
{
	struct suspect *s = arg;
	struct gc *g = s->owner;

	g->release = NULL;
	if (a->error) {
		log_warn("orphaned claim cannot be released", LOG_S("uid", s->uid),
			 LOG_S("error", a->error));
	} else {
		g->stats.released++;
		log_info("orphaned claim released", LOG_S("claim", s->name),
			 LOG_S("namespace", s->ns), LOG_S("uid", s->uid));
		forget(g, s);
	}
	next(g);
}

static void report(struct gc *g, struct suspect *s, const char *why, const char *who)
{
	struct events_object claim = { "resource.k8s.io/v1", "ResourceClaim", s->ns, s->name,
				       s->uid };

	if (s->reported == why)
		return;
	g->stats.orphans += !s->reported;
	s->reported = why;
	log_warn("a prepared claim is gone from the API server", LOG_S("claim", s->name),
		 LOG_S("namespace", s->ns), LOG_S("uid", s->uid), LOG_S("kept", why),
		 LOG_S("process", who));
	events_warn(g->conf.events, &claim, "OrphanedClaim",
		    "prepared on this node but gone from the API server; kept because %s%s%s", why,
		    *who ? ": " : "", who);
}

static void on_in_use(void *arg, int in_use)
{
	struct gc *g = arg;
	struct suspect *s = g->current;
	struct claim_ref ref = { s->ns, s->name, s->uid };

	if (in_use) {
		report(g, s,
		       in_use > 0 ? "a process has its device open"
				  : "it could not be told whether a process has its device open",
		       in_use > 0 && g->conf.who ? g->conf.who(g->conf.ctx) : "");
		next(g);
		return;
	}
	g->release = claims_unprepare(g->conf.claims, &ref, loop_now_ms(g->loop) + RELEASE_MS,
				      on_released, s);
}

/*
 * The devices of one claim, for the question whether a process has them open. Those with admin
 * access are others' too, and tell nothing of a claim that has GPUs of its own; a claim that has no
 * other holds nothing up, and is kept as long as anybody may be its pod.
 */
struct holdings {
	const char *uid;
	const char *identities[ALLOCATION_RESULTS_MAX];
	size_t n;
};

static void collect_some(struct holdings *h, const struct claim_info *i, bool admin)
{
	for (size_t d = 0; d < i->devices_n && h->n < ARRAY_LEN(h->identities); d++)
		if (i->devices[d].admin == admin)
			h->identities[h->n++] = i->devices[d].identity;
}

static void collect(void *arg, const struct claim_info *i)
{
	struct holdings *h = arg;

	if (!sv_eqs(sv_str(i->uid), h->uid))
		return;
	collect_some(h, i, false);
	if (!h->n)
		collect_some(h, i, true);
}

static void gone_twice(struct gc *g, struct suspect *s)
{
	struct holdings h = { .uid = s->uid };

	claims_each(g->conf.claims, collect, &h);
	g->conf.in_use(g->conf.ctx, h.identities, h.n, on_in_use, g);
}

/* ---- looking ---- */

static void is_gone(struct gc *g, struct suspect *s)
{
	uint64_t now = loop_now_ms(g->loop);

	if (!s->gone_ms)
		s->gone_ms = now;
	if (now - s->gone_ms >= (g->boot_rounds ? BOOT_AGAIN_MS : AGAIN_MS)) {
		gone_twice(g, s);
		return;
	}
	if (!g->boot_rounds)
		report(g, s, "it has been gone for less than 5 minutes", "");
	next(g);
}

static void on_claim(void *arg, const struct api_result *r)
{
	struct gc *g = arg;
	struct suspect *s = g->current;
	bool gone = r->status == API_NOT_FOUND ||
		    (!r->status && !sv_eqs(sv_str(s->uid), meta_uid(r->object)));

	g->call = 0;
	g->stats.checked++;
	if (gone) {
		is_gone(g, s);
		return;
	}
	if (!r->status) { /* an answer that is no answer changes nothing */
		s->gone_ms = 0;
		s->reported = NULL;
		s->there = true;
	}
	next(g);
}

static void look(struct gc *g, struct suspect *s)
{
	struct api_request get = { .verb = API_GET,
				   .to = { .group = API_GROUP_RESOURCE,
					   .resource = "resourceclaims",
					   .ns = s->ns,
					   .name = s->name },
				   .fn = on_claim,
				   .arg = g };

	g->current = s;
	g->call = api_call(g->conf.api, &get);
}

static void begin_one(void *arg, const struct claim_info *i)
{
	struct gc *g = arg;
	struct suspect *s = map_get(&g->suspects, sv_str(i->uid));

	/* A quarantined claim has lost its name; only its Unprepare can free it. */
	if (!i->devices_n || i->quarantined || !*i->name)
		return;
	if (g->boot_rounds && (!i->earlier_boot || (s && s->there))) {
		if (s)
			s->seen = true;
		return;
	}
	if (!s) {
		s = MEM_NEW(struct suspect);
		s->owner = g;
		s->uid = mem_strdup(i->uid);
		s->ns = mem_strdup(i->namespace);
		s->name = mem_strdup(i->name);
		map_put(&g->suspects, sv_str(s->uid), s);
	}
	s->seen = true;
	list_push(&g->round, &s->node);
}

static void begin_round(struct gc *g)
{
	map_for_each (e, &g->suspects)
		((struct suspect *)e->value)->seen = false;
	if (ledger_state(claims_ledger(g->conf.claims)) == LEDGER_OPEN)
		claims_each(g->conf.claims, begin_one, g);
	map_for_each (m, &g->suspects) {
		struct suspect *s = m->value;

		if (!s->seen)
			forget(g, s);
	}
}

/* True: a round can begin; else later. */
static bool begin(struct gc *g)
{
	const struct ledger *l = claims_ledger(g->conf.claims);

	if (g->begun)
		return true;
	if (ledger_state(l) != LEDGER_OPEN) {
		loop_timer_set(&g->timer, LOOK_MS);
		return false;
	}
	g->begun = true;
	g->boot_rounds = ledger_new_boot(l) ? 2 : 0;
	if (!g->boot_rounds)
		rest_at_start(g);
	return g->boot_rounds > 0;
}

static void on_timer(void *arg)
{
	struct gc *g = arg;
	struct list *n;

	if (g->current || !begin(g))
		return;
	if (list_empty(&g->round))
		begin_round(g);
	n = list_pop(&g->round);
	if (n)
		look(g, list_entry(n, struct suspect, node));
	else
		rest(g);
}

struct gc *gc_new(struct loop *l, const struct gc_conf *conf)
{
	struct gc *g = MEM_NEW(struct gc);

	g->loop = l;
	g->conf = *conf;
	map_init(&g->suspects);
	list_init(&g->round);
	loop_timer_init(&g->timer, l, on_timer, g);
	loop_timer_set(&g->timer, LOOK_MS);
	return g;
}

void gc_free(struct gc **gp)
{
	struct gc *g = *gp;

	if (!g)
		return;
	if (g->call)
		api_cancel(g->conf.api, g->call);
	if (g->release)
		claim_call_cancel(g->release);
	loop_timer_stop(&g->timer);
	map_for_each (e, &g->suspects)
		suspect_free(e->value);
	map_done(&g->suspects);
	mem_free(g);
	*gp = NULL;
}

const struct gc_stats *gc_stats(const struct gc *g)
{
	return &g->stats;
}
