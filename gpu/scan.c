#include "gpu/scan.h"

#include <errno.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/sm.h"

enum scan_state { SCAN_IDLE, SCAN_OPENING, SCAN_QUERYING, SCAN_PAUSED, SCAN_CLOSING, SCAN_STATES };

/*
 *  IDLE -> OPENING -> QUERYING <-> PAUSED (a GPU said "try again")
 *            ^  |        |  |
 *            |  |        |  +-> OPENING (worker or session died: go on in a new one)
 *            |  +--------+----> CLOSING -> IDLE (and anew when asked meanwhile)
 */
static const struct sm_conf scan_conf_table[SCAN_STATES] = {
	[SCAN_IDLE] = { "idle", SM_TO(SCAN_OPENING) },
	[SCAN_OPENING] = { "opening", SM_TO(SCAN_QUERYING) | SM_TO(SCAN_IDLE) },
	[SCAN_QUERYING] = { "querying", SM_TO(SCAN_PAUSED) | SM_TO(SCAN_OPENING) |
					    SM_TO(SCAN_CLOSING) | SM_TO(SCAN_IDLE) },
	[SCAN_PAUSED] = { "paused", SM_TO(SCAN_QUERYING) },
	[SCAN_CLOSING] = { "closing", SM_TO(SCAN_IDLE) },
};

struct scan {
	struct sm sm;
	struct loop *loop;
	struct scan_conf conf;
	struct worker *worker;
	struct loop_task task;	 /* scan_tick(): callbacks only record */
	struct loop_timer pause; /* before a GPU is asked again */
	struct scan_result result;
	bool answered; /* status and answer are to be looked at */
	bool again;    /* another round is wanted */
	bool probe;    /* and it is to ask those that are given up */
	int status;
	struct buf answer;
	char *facts; /* of the driver: bytes of result.facts */
	size_t at;   /* index that is asked */
	unsigned restarts;
};

static bool scan_holds(const struct sm *sm, int prev)
{
	const struct scan *s = container_of(sm, const struct scan, sm);

	(void)prev;
	return !s->answered;
}

static void scan_on_answer(void *arg, int status, struct sv answer)
{
	struct scan *s = arg;

	s->answered = true;
	s->status = status;
	buf_clear(&s->answer);
	buf_put_sv(&s->answer, answer);
	loop_task_post(&s->task);
}

static void scan_call(struct scan *s, enum gpu_method method, struct sv body, uint32_t deadline_ms)
{
	must(!s->answered);
	worker_call(s->worker, (uint16_t)method, body, deadline_ms, scan_on_answer, s);
}

static void scan_on_pause(void *arg)
{
	struct scan *s = arg;

	loop_task_post(&s->task);
}

static void scan_tick(void *arg);

struct scan *scan_new(struct loop *l, const struct scan_conf *conf)
{
	struct scan *s = MEM_NEW(struct scan);

	s->loop = l;
	s->conf = *conf;
	s->worker = worker_new(l, conf->host, conf->vendor->role);
	buf_init(&s->answer, WORKER_FRAME_MAX);
	loop_task_init(&s->task, l, LOOP_TICK, scan_tick, s);
	loop_timer_init(&s->pause, l, scan_on_pause, s);
	sm_init(&s->sm, scan_conf_table, scan_holds, SCAN_IDLE);
	return s;
}

/* Views of an answer die with the next call. */
static char *scan_copy(struct sv v)
{
	return v.n ? mem_dup(v.p, v.n) : NULL;
}

static void scan_gpu_clear(struct scan_gpu *g)
{
	edits_done(&g->edits);
	mem_free(g->facts);
	g->facts = NULL;
	g->facts_n = 0;
}

static void scan_open_free(struct scan *s)
{
	if (!s->result.open)
		return;
	gpu_msg_open_done(s->result.open);
	mem_free(s->result.open);
	s->result.open = NULL;
}

static void scan_resize(struct scan *s, size_t n)
{
	size_t i;

	for (i = n; i < s->result.gpus_n; i++)
		scan_gpu_clear(&s->result.gpus[i]);
	s->result.gpus = mem_realloc(s->result.gpus, n ? n : 1, sizeof(*s->result.gpus));
	for (i = s->result.gpus_n; i < n; i++)
		s->result.gpus[i] = (struct scan_gpu){ .minor = -1 };
	s->result.gpus_n = n;
}

void scan_free(struct scan **s)
{
	if (!*s)
		return;
	worker_free(&(*s)->worker);
	loop_task_stop(&(*s)->task);
	loop_timer_stop(&(*s)->pause);
	scan_open_free(*s);
	scan_resize(*s, 0);
	mem_free((*s)->result.gpus);
	buf_done(&(*s)->answer);
	mem_free((*s)->facts);
	mem_free(*s);
	*s = NULL;
}

bool scan_busy(const struct scan *s)
{
	return sm_state(&s->sm) != SCAN_IDLE;
}

void scan_probe(struct scan *s)
{
	s->probe = true;
}

void scan_forgive(struct scan *s, const char *pci)
{
	struct scan_gpu *g = s->result.gpus;
	bool known = false;
	size_t i;

	for (i = 0; i < s->result.gpus_n; i++)
		known |= pci && strcmp(g[i].pci, pci) == 0;
	/* An address that nobody told may be of one that never told its own. */
	for (i = 0; i < s->result.gpus_n; i++)
		if (!pci || strcmp(g[i].pci, known ? pci : "") == 0)
			g[i].strikes = 0;
}

struct scan_result *scan_result(struct scan *s)
{
	return &s->result;
}

const struct worker_stats *scan_worker(const struct scan *s)
{
	return worker_stats(s->worker);
}

static void scan_open(struct scan *s)
{
	sm_move(&s->sm, SCAN_OPENING);
	scan_call(s, GPU_M_OPEN, SV_NONE, s->conf.open_ms);
}

/* What a given up GPU is known to be stands in state, text, pci. */
static void scan_gpu_begin(struct scan_gpu *g, bool probe)
{
	scan_gpu_clear(g);
	g->spared = !probe && g->strikes >= SCAN_STRIKES_MAX;
	g->asked = g->hung = g->spared;
	g->tries = 0;
}

void scan_start(struct scan *s)
{
	size_t i;

	if (scan_busy(s)) {
		s->again = true;
		return;
	}
	s->restarts = 0;
	for (i = 0; i < s->result.gpus_n; i++)
		scan_gpu_begin(&s->result.gpus[i], s->probe);
	s->probe = false;
	scan_open(s);
}

/* The round is over; what is still open on the worker's side is closed behind the owner's back. */
static void scan_finish(struct scan *s, enum scan_outcome outcome, bool session)
{
	s->result.outcome = outcome;
	if (session) {
		sm_move(&s->sm, SCAN_CLOSING);
		scan_call(s, GPU_M_CLOSE, SV_NONE, s->conf.query_ms);
	} else {
		sm_move(&s->sm, SCAN_IDLE);
	}
	s->conf.on_done(s->conf.arg);
}

static void scan_unreachable(struct scan *s)
{
	struct scan_result *r = &s->result;

	worker_renew(s->worker); /* should it live, it may hold the driver open */
	if (s->status == -ETIMEDOUT)
		snprintf(r->reason, sizeof(r->reason),
			 "the driver's library did not open within %.1f s, its process was ended",
			 s->conf.open_ms / 1000.0);
	else if (s->status == -EBUSY)
		snprintf(r->reason, sizeof(r->reason),
			 "%llu processes that asked the driver are stuck in the kernel and cannot "
			 "be ended, no further one is started: reboot the node",
			 (unsigned long long)worker_stats(s->worker)->abandoned);
	else if (s->status == 0)
		snprintf(r->reason, sizeof(r->reason), "the worker's answer is damaged");
	else
		snprintf(r->reason, sizeof(r->reason), "the worker cannot open the driver: %s%s%s",
			 strerror(-s->status), buf_len(&s->answer) ? ": " : "",
			 buf_cstr(&s->answer));
	scan_finish(s, SCAN_UNREACHABLE, false);
}

/* Those with strikes come last, so that a hang costs nobody else. SIZE_MAX: all were asked. */
static size_t scan_next(const struct scan *s)
{
	const struct scan_gpu *g = s->result.gpus;
	size_t i, struck = SIZE_MAX;

	for (i = 0; i < s->result.gpus_n; i++) {
		if (g[i].asked)
			continue;
		if (g[i].strikes == 0)
			return i;
		if (struck == SIZE_MAX)
			struck = i;
	}
	return struck;
}

static void scan_query_next(struct scan *s)
{
	struct buf body;

	s->at = scan_next(s);
	if (s->at == SIZE_MAX) {
		scan_finish(s, SCAN_OK, true);
		return;
	}
	buf_init(&body, 64);
	gpu_msg_put_index(&body, (uint32_t)s->at);
	scan_call(s, GPU_M_QUERY, buf_sv(&body), s->conf.query_ms);
	buf_done(&body);
}

/*
 * A process has answered, so of each earlier one it is known whether it ended. Should another
 * number of GPUs be counted now, nobody knows which of them it was, and it is asked once more.
 */
static void scan_fence(struct scan *s)
{
	size_t i;

	for (i = 0; i < s->result.gpus_n; i++) {
		struct scan_gpu *g = &s->result.gpus[i];

		if (!g->worker || !worker_start_stuck(s->worker, g->worker))
			continue;
		g->asked = g->hung = g->spared = true;
		g->strikes = SCAN_STRIKES_MAX;
		snprintf(g->text, sizeof(g->text),
			 "the process that asked it is stuck in the kernel; it is asked again "
			 "when that ends: reset it or reboot the node");
	}
}

static void scan_opened(struct scan *s)
{
	static const enum scan_outcome outcomes[] = { [GPU_OPEN_NO_DRIVER] = SCAN_NO_DRIVER,
						      [GPU_OPEN_MISMATCH] = SCAN_MISMATCH,
						      [GPU_OPEN_TROUBLE] = SCAN_TROUBLE };
	struct gpu_msg_open *open = mem_alloc(sizeof(*open));
	struct scan_result *r = &s->result;

	scan_open_free(s);
	if (s->status < 0 || gpu_msg_get_open(buf_sv(&s->answer), open) < 0) {
		mem_free(open);
		scan_unreachable(s);
		return;
	}
	r->open = open;
	memcpy(r->reason, open->text, sizeof(r->reason));
	if (open->state == GPU_OPEN_MISMATCH) /* the old library may stay mapped in its process */
		worker_renew(s->worker);
	if (open->state != GPU_OPEN_READY) {
		scan_finish(s, outcomes[open->state], false);
		return;
	}
	mem_free(s->facts);
	s->facts = scan_copy(open->facts);
	r->facts = sv_make(s->facts, open->facts.n);
	if (open->count != r->gpus_n) /* indexes mean other GPUs now */
		scan_resize(s, 0);
	scan_resize(s, open->count);
	scan_fence(s);
	sm_move(&s->sm, SCAN_QUERYING);
	scan_query_next(s);
}

static void scan_take(struct scan_gpu *g, struct gpu_msg_query *m)
{
	scan_gpu_clear(g);
	g->asked = true;
	g->strikes = 0;
	g->worker = 0;
	g->state = m->state;
	memcpy(g->text, m->text, sizeof(g->text));
	if (*m->pci)
		memcpy(g->pci, m->pci, sizeof(g->pci));
	memcpy(g->uuid, m->uuid, sizeof(g->uuid));
	g->minor = m->minor;
	g->edits = m->edits;
	edits_init(&m->edits);
	g->facts = scan_copy(m->facts);
	g->facts_n = m->facts.n;
}

/* The worker did not survive this GPU, or does not now. The others follow in a new process. */
static void scan_strike(struct scan *s)
{
	struct scan_gpu *g = &s->result.gpus[s->at];

	worker_renew(s->worker); /* one that lives answers garbage: it is not asked to close */
	g->asked = g->hung = true;
	g->strikes++;
	g->worker = worker_stats(s->worker)->starts;
	g->state = GPU_QUERY_TROUBLE;
	if (s->status == -ETIMEDOUT)
		snprintf(g->text, sizeof(g->text),
			 "the driver's library did not answer for it within %.1f s",
			 s->conf.query_ms / 1000.0);
	else
		snprintf(g->text, sizeof(g->text),
			 "the driver's library crashed or answered garbage when asked for it");
	log_warn("a GPU cost its worker", LOG_S("vendor", s->conf.vendor->name),
		 LOG_I("index", s->at), LOG_S("pci", g->pci), LOG_S("why", g->text));
	if (scan_next(s) == SIZE_MAX)
		scan_finish(s, SCAN_OK, false);
	else
		scan_open(s);
}

static void scan_session_lost(struct scan *s, const char *text)
{
	size_t i;

	/* OPEN loads the library anew; should that not do, so does another process. */
	if (++s->restarts > 1)
		worker_renew(s->worker);
	if (s->restarts <= SCAN_RESTARTS_MAX) {
		for (i = 0; i < s->result.gpus_n; i++)
			s->result.gpus[i].asked = s->result.gpus[i].hung;
		scan_open(s);
		return;
	}
	snprintf(s->result.reason, sizeof(s->result.reason),
		 "the driver goes away again and again while it is asked: %s", text);
	scan_finish(s, SCAN_TROUBLE, false);
}

static void scan_queried(struct scan *s)
{
	struct scan_gpu *g = &s->result.gpus[s->at];
	struct gpu_msg_query m;

	if (s->status < 0 || gpu_msg_get_query(buf_sv(&s->answer), &m) < 0) {
		scan_strike(s);
		return;
	}
	if (m.state == GPU_QUERY_SESSION) {
		scan_session_lost(s, m.text);
	} else if (m.state == GPU_QUERY_RETRY && ++g->tries < SCAN_TRIES_MAX) {
		sm_move(&s->sm, SCAN_PAUSED);
		loop_timer_set(&s->pause, SCAN_RETRY_MS);
	} else {
		if (m.state == GPU_QUERY_RETRY)
			m.state = GPU_QUERY_TROUBLE;
		scan_take(g, &m);
		scan_query_next(s);
	}
	gpu_msg_query_done(&m);
}

static void scan_tick(void *arg)
{
	struct scan *s = arg;

	if (sm_state(&s->sm) == SCAN_PAUSED) {
		sm_move(&s->sm, SCAN_QUERYING);
		scan_query_next(s);
		return;
	}
	if (!s->answered)
		return;
	s->answered = false;
	switch ((enum scan_state)sm_state(&s->sm)) {
	case SCAN_OPENING:
		scan_opened(s);
		break;
	case SCAN_QUERYING:
		scan_queried(s);
		break;
	case SCAN_CLOSING:
		sm_move(&s->sm, SCAN_IDLE);
		break;
	case SCAN_IDLE:
	case SCAN_PAUSED:
	case SCAN_STATES:
		must(false);
	}
	if (s->again && !scan_busy(s)) {
		s->again = false;
		scan_start(s);
	}
}
