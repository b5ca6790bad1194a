#include "core/worker.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/buf.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/sm.h"
#include "core/worker_frame.h"

/*
 * The client end.
 *
 *           call                first frame              missed deadline, end of stream
 *   DOWN ----------> STARTING ---------------> UP ------------------------------------+
 *    ^                  |  exit                |  exit                                 v
 *    +------------------+----------------------+<------- exit, or 5 s without ------ KILLED
 *
 * A request is `waiting` until it is written into the stream of a process, then `sent`, then gone.
 * What ends a process fails what was sent to it; what waits goes to the next one. All callbacks are
 * made by worker_tick(), so that a caller is never called from its own call.
 */
enum {
	READ_CHUNK = 16 << 10,
	READ_TURN_MAX = 512 << 10, /* then the rest of the loop gets its turn */
	OUT_KEEP = 64 << 10,	   /* buffers above this are given back when empty */
	NOTICES_PER_S = 1000,	   /* a GPU that fails tells some hundred; beyond, it floods us */
	HELLO_MS = 10000,	   /* from start to the first answer, on a node that boots */
	REAP_MS = 5000,		   /* SIGKILL takes milliseconds, or state D */
	BACKOFF_FIRST_MS = 100,
	BACKOFF_CAP_MS = 10000,
	STABLE_MS = 60000, /* lived that long: its end is no part of a series */
};

struct request {
	struct list node; /* in worker.waiting (as called), .sent (by due time) or .failed */
	uint32_t id;
	char key[4]; /* the same, for the map */
	uint16_t method;
	uint64_t due_ms;
	worker_fn fn; /* NULL: nobody listens (any more) */
	void *arg;
	int status; /* in .failed */
	char *body; /* while waiting */
	size_t body_n;
};

/* A process. Outlives its worker's interest in it when it cannot be killed. */
struct proc {
	struct list node; /* in worker.abandoned */
	struct worker *w;
	void *handle;
	uint64_t start; /* which of all it is */
	bool exited;
};

struct worker {
	struct loop *loop;
	struct worker_host host;
	char *role;
	struct sm sm;
	struct proc *proc; /* not in WORKER_DOWN */
	int fd;		   /* -1 in WORKER_DOWN and WORKER_KILLED */
	struct loop_io io;
	struct buf in, out;
	bool broken;  /* the stream ended or makes no sense */
	bool renewed; /* its end is no reason to wait with the next one */
	struct list waiting, sent, failed, abandoned;
	struct map by_id;
	size_t waiting_bytes;
	uint32_t last_id;
	uint64_t started_ms;
	struct backoff backoff;
	struct loop_timer deadline, restart, reap;
	struct loop_task tick, flush;
	struct worker_stats stats;
	void (*on_notice)(void *arg, uint16_t method, struct sv body);
	void *on_notice_arg;
	uint64_t notices_ms; /* when their second began */
	unsigned notices;
	void (*on_state)(void *arg, enum worker_state state);
	void *on_state_arg;
};

static const struct sm_conf states[] = {
	[WORKER_DOWN] = { "down", SM_TO(WORKER_STARTING) },
	[WORKER_STARTING] = { "starting",
			      SM_TO(WORKER_UP) | SM_TO(WORKER_KILLED) | SM_TO(WORKER_DOWN) },
	[WORKER_UP] = { "up", SM_TO(WORKER_KILLED) | SM_TO(WORKER_DOWN) },
	[WORKER_KILLED] = { "killed", SM_TO(WORKER_DOWN) },
};

static bool holds(const struct sm *sm, int prev)
{
	const struct worker *w = container_of(sm, const struct worker, sm);
	bool running = sm->state == WORKER_STARTING || sm->state == WORKER_UP;

	(void)prev;
	return (sm->state == WORKER_DOWN) == !w->proc && running == (w->fd >= 0);
}

static bool running(const struct worker *w)
{
	return w->fd >= 0;
}

static void move(struct worker *w, enum worker_state next)
{
	sm_move(&w->sm, (int)next);
	w->stats.state = next;
	if (w->on_state && (next == WORKER_UP || next == WORKER_DOWN))
		w->on_state(w->on_state_arg, next);
}

/* Requests */

static struct sv id_key(char *key, uint32_t id)
{
	memcpy(key, &id, sizeof(id));
	return sv_make(key, sizeof(id));
}

static struct request *find(const struct worker *w, uint32_t id)
{
	char key[4];

	return map_get(&w->by_id, id_key(key, id));
}

static void request_free(struct worker *w, struct request *q)
{
	list_remove(&q->node);
	map_del(&w->by_id, sv_make(q->key, sizeof(q->key)));
	w->waiting_bytes -= q->body_n;
	mem_free(q->body);
	mem_free(q);
}

/* By due time; new ones are mostly the last. */
static void enqueue_sent(struct worker *w, struct request *q)
{
	struct list *at = w->sent.prev;

	while (at != &w->sent && list_entry(at, struct request, node)->due_ms > q->due_ms)
		at = at->prev;
	list_insert_between(&q->node, at, at->next);
}

static void request_fail(struct worker *w, struct request *q, int status)
{
	q->status = status;
	list_remove(&q->node);
	list_push(&w->failed, &q->node);
	loop_task_post(&w->tick);
}

static void fail_all(struct worker *w, struct list *l, int status)
{
	while (!list_empty(l))
		request_fail(w, list_entry(l->next, struct request, node), status);
}

static void arm_deadline(struct worker *w)
{
	uint64_t due = UINT64_MAX, now = loop_now_ms(w->loop);

	if (!list_empty(&w->sent))
		due = list_entry(w->sent.next, struct request, node)->due_ms;
	list_for_each (n, &w->waiting) /* empty, unless the process is down or slow to read */
		due = MIN(due, list_entry(n, struct request, node)->due_ms);
	if (due == UINT64_MAX)
		loop_timer_stop(&w->deadline);
	else if (!loop_timer_armed(&w->deadline) || w->deadline.due_ms != due)
		loop_timer_set(&w->deadline, due > now ? due - now : 0);
}

/* Into the stream, as far as its buffer takes. The rest waits for answers. */
static void send_waiting(struct worker *w)
{
	struct worker_frame f = { 0 };
	struct request *q;
	uint64_t now = loop_now_ms(w->loop);

	while (!list_empty(&w->waiting)) {
		q = list_entry(w->waiting.next, struct request, node);
		f.id = q->id;
		f.method = q->method;
		f.deadline_ms = (uint32_t)(q->due_ms > now ? q->due_ms - now : 0);
		if (!worker_frame_put(&w->out, f, sv_make(q->body, q->body_n)))
			break;
		w->waiting_bytes -= q->body_n;
		mem_free(q->body);
		q->body = NULL;
		q->body_n = 0;
		list_remove(&q->node);
		enqueue_sent(w, q);
		loop_task_post(&w->flush);
	}
}

static struct request *request_new(struct worker *w, uint16_t method, struct sv body,
				   uint32_t deadline_ms)
{
	struct request *q = MEM_NEW(struct request);

	do
		q->id = ++w->last_id;
	while (q->id == 0 || find(w, q->id));
	q->method = method;
	q->due_ms = loop_now_ms(w->loop) + deadline_ms;
	map_put(&w->by_id, id_key(q->key, q->id), q);
	list_init(&q->node);
	if (body.n > WORKER_FRAME_MAX - WORKER_HEADER) {
		request_fail(w, q, -EMSGSIZE);
	} else if (w->waiting_bytes + body.n > WORKER_FRAME_MAX) {
		request_fail(w, q, -ENOBUFS);
	} else if (deadline_ms == 0) {
		request_fail(w, q, -ETIMEDOUT);
	} else {
		q->body = mem_dup(body.p, body.n);
		q->body_n = body.n;
		w->waiting_bytes += body.n;
		list_push(&w->waiting, &q->node);
	}
	return q;
}

uint64_t worker_call(struct worker *w, uint16_t method, struct sv body, uint32_t deadline_ms,
		     worker_fn fn, void *arg)
{
	struct request *q = request_new(w, method, body, deadline_ms);

	q->fn = fn;
	q->arg = arg;
	w->stats.requests++;
	loop_task_post(&w->tick);
	return q->id;
}

/* The first question on a new stream: its deadline guards the start and nothing else. */
static void hello(struct worker *w)
{
	struct request *q = request_new(w, WORKER_M_HELLO, SV_NONE, HELLO_MS);

	list_remove(&q->node);
	list_push_front(&w->waiting, &q->node);
}

void worker_cancel(struct worker *w, uint64_t id)
{
	struct request *q = id && id <= UINT32_MAX ? find(w, (uint32_t)id) : NULL;

	if (!q)
		return;
	if (q->body)
		request_free(w, q); /* not sent */
	else
		q->fn = NULL; /* sent, or told in this turn */
}

/* The process */

static void close_stream(struct worker *w)
{
	loop_io_done(&w->io);
	close(w->fd);
	w->fd = -1;
	w->broken = false;
	buf_clear(&w->in);
	buf_clear(&w->out);
	buf_trim(&w->in);
	buf_trim(&w->out);
}

/* True when there may be more than one turn's worth. */
static bool read_stream(struct worker *w)
{
	size_t total = 0;
	ssize_t n;
	char *to;

	while (total < READ_TURN_MAX) {
		to = buf_reserve(&w->in, READ_CHUNK);
		if (!to)
			return true; /* holds a whole frame: that goes first */
		n = recv(w->fd, to, READ_CHUNK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			w->broken = true;
			return false;
		}
		buf_commit(&w->in, (size_t)n);
		total += (size_t)n;
		if (n < READ_CHUNK)
			return false; /* the socket was emptied; what comes later is told */
	}
	return true;
}

static void write_stream(void *arg)
{
	struct worker *w = arg;
	unsigned want = LOOP_READ;
	ssize_t n;

	if (!running(w))
		return;
	while (buf_len(&w->out)) {
		struct sv bytes = buf_sv(&w->out);

		n = send(w->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			want |= LOOP_WRITE;
			break;
		}
		if (n < 0) {
			w->broken = true;
			break;
		}
		buf_take(&w->out, (size_t)n);
	}
	if (w->out.size > OUT_KEEP)
		buf_trim(&w->out);
	loop_io_want(&w->io, want);
	if (w->broken || !list_empty(&w->waiting))
		loop_task_post(&w->tick);
}

static void on_io(void *arg, unsigned ready)
{
	struct worker *w = arg;

	if (ready & LOOP_READ)
		(void)read_stream(w); /* level-triggered: the rest comes by itself */
	if (ready & LOOP_WRITE)
		loop_task_post(&w->flush);
	loop_task_post(&w->tick);
}

static void on_exited(void *arg)
{
	struct proc *p = arg;

	p->exited = true;
	loop_task_post(&p->w->tick);
}

static void plan_restart(struct worker *w)
{
	bool renewed = w->renewed;

	w->renewed = false;
	if (renewed)
		return;
	if (loop_now_ms(w->loop) - w->started_ms >= STABLE_MS)
		backoff_reset(&w->backoff);
	loop_timer_set(&w->restart, backoff_next(&w->backoff, w->loop));
}

static void start_failed(struct worker *w, int r)
{
	if (r == -EBUSY)
		log_error("too many workers are stuck in the kernel, none is started",
			  LOG_S("role", w->role), LOG_I("stuck", w->stats.abandoned));
	else
		log_error("worker cannot start", LOG_S("role", w->role),
			  LOG_S("why", strerror(-r)));
	fail_all(w, &w->waiting, r == -EBUSY ? r : -EIO);
	plan_restart(w);
}

static void start(struct worker *w)
{
	struct proc *p = MEM_NEW(struct proc);
	int r, fd = -1;

	w->started_ms = loop_now_ms(w->loop);
	*p = (struct proc){ .w = w };
	list_init(&p->node);
	r = w->stats.abandoned >= WORKER_ABANDONED_MAX
		? -EBUSY
		: w->host.start(w->host.ctx, w->loop, w->role, on_exited, p, &fd, &p->handle);
	if (r) {
		mem_free(p);
		start_failed(w, r);
		return;
	}
	w->proc = p;
	w->fd = fd;
	p->start = ++w->stats.starts;
	loop_io_init(&w->io, w->loop, fd, on_io, w);
	loop_io_want(&w->io, LOOP_READ);
	move(w, WORKER_STARTING);
	hello(w);
}

/* `status` is for what was sent to it. */
static void kill_proc(struct worker *w, int status)
{
	close_stream(w);
	move(w, WORKER_KILLED);
	fail_all(w, &w->sent, status);
	loop_timer_set(&w->reap, REAP_MS);
	w->host.kill(w->host.ctx, w->proc->handle);
}

void worker_renew(struct worker *w)
{
	if (!running(w))
		return; /* it is on its way out or not there */
	w->renewed = true;
	kill_proc(w, -EIO);
}

static void proc_gone(struct worker *w)
{
	w->proc = NULL;
	loop_timer_stop(&w->reap);
	plan_restart(w);
	move(w, WORKER_DOWN);
}

static void proc_exited(struct worker *w)
{
	struct proc *p = w->proc;

	if (running(w)) {
		w->stats.crashes++;
		log_warn("worker ended by itself", LOG_S("role", w->role));
		close_stream(w);
		fail_all(w, &w->sent, -EIO);
	}
	proc_gone(w);
	w->host.release(w->host.ctx, p->handle);
	mem_free(p);
}

/* Neither answers nor dies: state D. It keeps its handle until it does die. */
static void on_reap_timeout(void *arg)
{
	struct worker *w = arg;

	if (w->proc->exited)
		return;
	log_error("worker cannot be killed, it is left behind", LOG_S("role", w->role),
		  LOG_I("pid", w->host.pid(w->host.ctx, w->proc->handle)));
	list_push(&w->abandoned, &w->proc->node);
	w->stats.abandoned++;
	proc_gone(w);
	loop_task_post(&w->tick);
}

static void release_abandoned(struct worker *w)
{
	struct proc *p;

	list_for_each_safe (n, &w->abandoned) {
		p = list_entry(n, struct proc, node);
		if (!p->exited)
			continue;
		list_remove(n);
		w->stats.abandoned--;
		w->host.release(w->host.ctx, p->handle);
		mem_free(p);
	}
}

/* After what came in was looked at: an answer that is here is in time, however busy we were. */
static void expire(struct worker *w)
{
	uint64_t now = loop_now_ms(w->loop);
	struct request *q;
	bool missed = false;
	uint16_t method = 0;

	list_for_each_safe (n, &w->waiting) {
		q = list_entry(n, struct request, node);
		if (q->due_ms <= now)
			request_fail(w, q, -ETIMEDOUT);
	}
	list_for_each_safe (n, &w->sent) {
		q = list_entry(n, struct request, node);
		if (q->due_ms > now)
			break;
		if (!missed)
			method = q->method;
		request_fail(w, q, -ETIMEDOUT);
		missed = true;
	}
	if (!missed)
		return;
	w->stats.timeouts++;
	log_warn("worker missed a deadline and is killed", LOG_S("role", w->role),
		 LOG_I("method", method));
	kill_proc(w, -EIO);
}

static void on_due(void *arg)
{
	struct worker *w = arg;

	loop_task_post(&w->tick);
}

/* What came in */

static bool take_answer(struct worker *w, const struct worker_frame *f, struct sv body)
{
	struct request *q = find(w, f->id);
	worker_fn fn;
	void *arg;

	/* An id we never sent is a worker gone wrong. */
	if (!q || q->body || q->status)
		return false;
	fn = q->fn;
	arg = q->arg;
	request_free(w, q);
	if (fn)
		fn(arg, -(int)f->status, body);
	return true;
}

static bool take_notice(struct worker *w, const struct worker_frame *f, struct sv body)
{
	uint64_t now = loop_now_ms(w->loop);

	if (now - w->notices_ms >= 1000) {
		w->notices_ms = now;
		w->notices = 0;
	}
	if (++w->notices > NOTICES_PER_S)
		return false;
	if (w->on_notice)
		w->on_notice(w->on_notice_arg, f->method, body);
	return true;
}

static bool take_frame(struct worker *w, const struct worker_frame *f, struct sv body)
{
	if (sm_state(&w->sm) == WORKER_STARTING)
		move(w, WORKER_UP);
	if (f->id)
		return take_answer(w, f, body);
	return take_notice(w, f, body);
}

static void take_frames(struct worker *w)
{
	struct worker_frame f;
	struct sv body;
	int64_t size;

	while ((size = worker_frame_peek(&w->in, &f, &body))) {
		if (size < 0 || !take_frame(w, &f, body)) {
			w->broken = true;
			buf_clear(&w->in);
			break;
		}
		buf_take(&w->in, (size_t)size);
	}
	if (w->in.size > OUT_KEEP)
		buf_trim(&w->in);
}

static void tell_failed(struct worker *w)
{
	struct list told;
	struct request *q;
	worker_fn fn;
	void *arg;
	int status;

	/* Those that fail meanwhile are told in the next round. */
	list_init(&told);
	list_splice(&told, &w->failed);
	while (!list_empty(&told)) {
		q = list_entry(told.next, struct request, node);
		fn = q->fn;
		arg = q->arg;
		status = q->status;
		request_free(w, q);
		if (fn)
			fn(arg, status, SV_NONE);
	}
}

static void look_at_proc(struct worker *w)
{
	bool exited = w->proc && w->proc->exited;

	if (running(w)) {
		/* A process that ended may have left its last words in the socket. */
		while (exited && !w->broken && read_stream(w))
			take_frames(w);
		take_frames(w);
	}
	if (exited) {
		proc_exited(w);
	} else if (w->broken) {
		w->stats.crashes++;
		log_warn("worker broke its stream and is killed", LOG_S("role", w->role));
		kill_proc(w, -EIO);
	}
}

static void worker_tick(void *arg)
{
	struct worker *w = arg;

	look_at_proc(w);
	expire(w);
	release_abandoned(w);
	if (!w->proc && !list_empty(&w->waiting) && !loop_timer_armed(&w->restart))
		start(w);
	if (running(w))
		send_waiting(w);
	tell_failed(w);
	arm_deadline(w);
}

/* Life */

struct worker *worker_new(struct loop *l, const struct worker_host *host, const char *role)
{
	struct worker *w = MEM_NEW(struct worker);

	*w = (struct worker){ .loop = l, .host = *host, .role = mem_strdup(role), .fd = -1 };
	sm_init(&w->sm, states, holds, WORKER_DOWN);
	buf_init(&w->in, WORKER_FRAME_MAX + READ_TURN_MAX);
	buf_init(&w->out, WORKER_FRAME_MAX);
	list_init(&w->waiting);
	list_init(&w->sent);
	list_init(&w->failed);
	list_init(&w->abandoned);
	map_init(&w->by_id);
	backoff_init(&w->backoff, BACKOFF_FIRST_MS, BACKOFF_CAP_MS);
	loop_timer_init(&w->deadline, l, on_due, w);
	loop_timer_init(&w->restart, l, on_due, w);
	loop_timer_init(&w->reap, l, on_reap_timeout, w);
	loop_task_init(&w->tick, l, LOOP_TICK, worker_tick, w);
	loop_task_init(&w->flush, l, LOOP_FLUSH, write_stream, w);
	return w;
}

static void drop_requests(struct worker *w, struct list *l)
{
	while (!list_empty(l))
		request_free(w, list_entry(l->next, struct request, node));
}

static void drop_proc(struct worker *w, struct proc *p)
{
	w->host.kill(w->host.ctx, p->handle);
	w->host.release(w->host.ctx, p->handle);
	mem_free(p);
}

void worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	struct list *n;

	if (!w)
		return;
	*wp = NULL;
	if (running(w))
		close_stream(w);
	if (w->proc)
		drop_proc(w, w->proc);
	while ((n = list_pop(&w->abandoned)))
		drop_proc(w, list_entry(n, struct proc, node));
	drop_requests(w, &w->waiting);
	drop_requests(w, &w->sent);
	drop_requests(w, &w->failed);
	map_done(&w->by_id);
	loop_timer_stop(&w->deadline);
	loop_timer_stop(&w->restart);
	loop_timer_stop(&w->reap);
	loop_task_stop(&w->tick);
	loop_task_stop(&w->flush);
	buf_done(&w->in);
	buf_done(&w->out);
	mem_free(w->role);
	mem_free(w);
}

void worker_on_notice(struct worker *w, void (*fn)(void *arg, uint16_t method, struct sv body),
		      void *arg)
{
	w->on_notice = fn;
	w->on_notice_arg = arg;
}

void worker_on_state(struct worker *w, void (*fn)(void *arg, enum worker_state state), void *arg)
{
	w->on_state = fn;
	w->on_state_arg = arg;
}

/* The pid is asked for here: a host may learn it later than at the start. */
const struct worker_stats *worker_stats(struct worker *w)
{
	w->stats.pid = w->proc ? w->host.pid(w->host.ctx, w->proc->handle) : 0;
	return &w->stats;
}

bool worker_start_stuck(const struct worker *w, uint64_t start)
{
	list_for_each (n, &w->abandoned)
		if (list_entry(n, struct proc, node)->start == start)
			return !list_entry(n, struct proc, node)->exited;
	return false;
}
