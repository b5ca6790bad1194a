#include "core/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

/*
 * libevent gives readiness and signals; timers, tasks and deferred frees are ours, because their
 * order within a turn is a promise of loop.h.
 *
 * Timers are a binary heap by (due, sequence). Its top is armed in one timerfd and re-armed only
 * when another time comes to the top: libevent's own timers round on a clock of 4 ms and would wake
 * an idle process twice. The descriptor is never read: an expired time is never the next to wait
 * for, and arming another (or none) consumes the expiry.
 *
 * A virtual loop has no timerfd. It polls; if nothing happened and no task is posted, the clock
 * jumps to the heap's top.
 */

/* Posted tasks per turn before descriptors are looked at again: a chain that never ends must not
 * starve the rest. */
enum { TASKS_PER_TURN = 10000 };
enum { SIGNALS_MAX = 65 };
/* As many turns in LOOP_REST_MS are rest: probes, bookmarks. */
enum { QUIET_TURNS = 32 };
/* EVLOOP_NONBLOCK alone goes on until no descriptor is ready, which may be never. */
enum { POLL_ONCE = EVLOOP_ONCE | EVLOOP_NONBLOCK };

struct deferred {
	void (*fn)(void *obj);
	void *obj;
};

struct loop_signal {
	struct event event;
	struct loop *loop;
	loop_fn fn;
	void *arg;
};

/* Behind loop_io.event: two registrations, so that a change of one direction is one epoll_ctl. */
struct loop_events {
	struct event read, write;
};

struct loop {
	struct event_base *base;
	void *shared[LOOP_SHARED];
	struct event timer_event;
	int timer_fd;		 /* -1: virtual */
	uint64_t timer_armed_ms; /* 0 = never */

	uint64_t now_ms, woke_us; /* now_ms stands still while woke_us is set: from wake to end */
	uint64_t wall_start_ms;	  /* virtual only */
	int64_t wall_skew_ms;
	uint64_t dice[4];
	bool in_turn, stopped;

	struct loop_timer **heap;
	size_t heap_n, heap_size;
	uint64_t seq;

	struct list tasks[LOOP_PHASES];
	struct deferred *deferred;
	size_t deferred_n, deferred_size;
	struct loop_signal *signals[SIGNALS_MAX];
	size_t ios;

	/* The watchdog: of this turn, then since its last line. */
	unsigned ios_run, timers_run, tasks_run;
	uint64_t mark_us;		      /* end of the last callback, or woke_us */
	uint64_t woke_cpu_us, woke_preempted; /* of this thread, at woke_us */
	uint64_t longest_us;
	const char *longest;
	uint64_t told_us, untold; /* 0 = never */
	struct loop_stats stats;

	struct loop_timer rest;
	uint64_t rest_seen, rest_done; /* turns when it was armed, and when rest_fn last ran */
	loop_fn rest_fn;
	void *rest_arg;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	must(clock_gettime(clock, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool is_virtual(const struct loop *l)
{
	return l->timer_fd < 0;
}

/* Time on a processor, and how often it was taken away. One system call of 0.3 us. */
static void own_time(uint64_t *cpu_us, uint64_t *preempted)
{
	struct rusage u;

	must(getrusage(RUSAGE_THREAD, &u) == 0);
	*cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
		  (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	*preempted = (uint64_t)u.ru_nivcsw;
}

/* First callback of a turn: what comes before is waiting, what comes after is work. */
static void woke(struct loop *l)
{
	if (!l->woke_us && !is_virtual(l)) {
		l->woke_us = clock_us(CLOCK_MONOTONIC);
		l->now_ms = l->woke_us / 1000;
		l->mark_us = l->woke_us;
		own_time(&l->woke_cpu_us, &l->woke_preempted);
	}
}

/* A callback has ended: what passed since the one before is its time. */
static void ran(struct loop *l, const char *name)
{
	uint64_t now;

	if (is_virtual(l))
		return;
	now = clock_us(CLOCK_MONOTONIC);
	if (now - l->mark_us >= l->longest_us) {
		l->longest_us = now - l->mark_us;
		l->longest = name;
	}
	l->mark_us = now;
}

void loop_foreign_begin(struct loop *l)
{
	woke(l);
}

void loop_foreign_end(struct loop *l, const char *name)
{
	ran(l, name);
}

/* Construction */

static void log_libevent(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("libevent complains", LOG_S("text", msg));
}

static void die_of_libevent(int err)
{
	log_error("libevent gave up", LOG_I("code", err));
	must_fail("libevent", __FILE__, __LINE__);
}

static uint64_t split_mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static struct loop *make(uint64_t seed)
{
	struct event_config *conf;
	struct loop *l = MEM_NEW(struct loop);
	size_t i;

	event_set_log_callback(log_libevent);
	event_set_fatal_callback(die_of_libevent);
	conf = event_config_new();
	must(conf);
	must(event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0);
	l->base = event_base_new_with_config(conf);
	event_config_free(conf);
	must(l->base);
	for (i = 0; i < LOOP_PHASES; i++)
		list_init(&l->tasks[i]);
	for (i = 0; i < ARRAY_LEN(l->dice); i++)
		l->dice[i] = split_mix(&seed);
	l->timer_fd = -1;
	return l;
}

static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	woke(arg);
}

struct loop *loop_new(void)
{
	uint64_t seed;
	struct loop *l;

	must(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
	l = make(seed);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	must(l->timer_fd >= 0);
	must(event_assign(&l->timer_event, l->base, l->timer_fd, EV_READ | EV_PERSIST, on_timer_fd,
			  l) == 0);
	must(event_add(&l->timer_event, NULL) == 0);
	return l;
}

struct loop *loop_new_virtual(uint64_t wall_ms, uint64_t seed)
{
	struct loop *l = make(seed);

	l->wall_start_ms = wall_ms;
	return l;
}

static void run_deferred(struct loop *l);

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;
	size_t i;

	if (!l)
		return;
	*lp = NULL;
	must(!l->in_turn);
	run_deferred(l);
	must(l->ios == 0); /* a descriptor's owner outlives its loop: loop_io_done() comes first */
	for (i = 0; i < SIGNALS_MAX; i++)
		loop_on_signal(l, (int)i, NULL, NULL);
	/* Owners may still stop what they embed, after us. */
	while (l->heap_n)
		loop_timer_stop(l->heap[0]);
	for (i = 0; i < LOOP_PHASES; i++) {
		while (list_pop(&l->tasks[i])) {
		}
	}
	if (!is_virtual(l)) {
		event_del(&l->timer_event);
		close(l->timer_fd);
	}
	event_base_free(l->base);
	for (i = 0; i < l->stats.slow_n; i++)
		mem_free(l->stats.slow[i].name);
	mem_free(l->heap);
	mem_free(l->deferred);
	mem_free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

void **loop_shared(struct loop *l, enum loop_shared what)
{
	return &l->shared[what];
}

/* Clock and dice */

uint64_t loop_now_ms(const struct loop *l)
{
	if (l->woke_us || is_virtual(l))
		return l->now_ms;
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t loop_now_us(const struct loop *l)
{
	return is_virtual(l) ? l->now_ms * 1000 : clock_us(CLOCK_MONOTONIC);
}

uint64_t loop_wall_ms(const struct loop *l)
{
	if (is_virtual(l))
		return l->wall_start_ms + l->now_ms + (uint64_t)l->wall_skew_ms;
	return clock_us(CLOCK_REALTIME) / 1000;
}

void loop_skew_wall(struct loop *l, int64_t ms)
{
	must(is_virtual(l));
	l->wall_skew_ms += ms;
}

static uint64_t rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

/* xoshiro256**: repeatable by seed, good enough for everything but keys. */
uint64_t loop_random(struct loop *l)
{
	uint64_t *s = l->dice;
	uint64_t out = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return out;
}

uint64_t loop_jitter(struct loop *l, uint64_t ms, unsigned percent)
{
	uint64_t spread;

	must(percent <= 100 && ms <= UINT64_MAX / 200);
	spread = ms * percent / 100;
	return ms - spread + loop_random(l) % (2 * spread + 1);
}

/* Timers */

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a->seq < b->seq);
}

static void heap_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct loop *l, size_t i, struct loop_timer *t)
{
	size_t parent;

	for (; i > 0; i = parent) {
		parent = (i - 1) / 2;
		if (!before(t, l->heap[parent]))
			break;
		heap_put(l, i, l->heap[parent]);
	}
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i, struct loop_timer *t)
{
	size_t child;

	for (; (child = 2 * i + 1) < l->heap_n; i = child) {
		if (child + 1 < l->heap_n && before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], t))
			break;
		heap_put(l, i, l->heap[child]);
	}
	heap_put(l, i, t);
}

void loop_timer_init_as(struct loop_timer *t, struct loop *l, loop_fn fn, void *arg,
			const char *name)
{
	*t = (struct loop_timer){ .loop = l, .fn = fn, .arg = arg, .name = name };
}

void loop_timer_set(struct loop_timer *t, uint64_t delay_ms)
{
	struct loop *l = t->loop;

	loop_timer_stop(t);
	if (__builtin_add_overflow(loop_now_ms(l), delay_ms, &t->due_ms))
		t->due_ms = UINT64_MAX;
	t->seq = l->seq++;
	if (l->heap_n == l->heap_size) {
		l->heap_size = MAX(l->heap_size * 2, 16);
		l->heap = mem_realloc(l->heap, l->heap_size, sizeof(*l->heap));
	}
	heap_up(l, l->heap_n++, t);
}

void loop_timer_stop(struct loop_timer *t)
{
	struct loop *l = t->loop;
	struct loop_timer *last;
	size_t i;

	if (!t->slot)
		return;
	i = t->slot - 1;
	must(i < l->heap_n && l->heap[i] == t);
	t->slot = 0;
	last = l->heap[--l->heap_n];
	if (last == t)
		return;
	/* The last one fills the hole and may belong above or below it. */
	heap_down(l, i, last);
	heap_up(l, last->slot - 1, last);
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->slot != 0;
}

/* A timer set meanwhile waits for the next turn, even with no delay: descriptors come between. */
static void run_timers(struct loop *l)
{
	uint64_t fence = l->seq;
	struct loop_timer *t;
	const char *name;

	while (l->heap_n) {
		t = l->heap[0];
		if (t->due_ms > l->now_ms || t->seq >= fence)
			break;
		loop_timer_stop(t);
		l->timers_run++;
		name = t->name; /* its owner may give it up */
		t->fn(t->arg);
		ran(l, name);
	}
}

/* Descriptors */

static void io_ready(struct loop_io *io, unsigned ready)
{
	struct loop *l = io->loop;
	const char *name = io->name;

	woke(l);
	l->ios_run++;
	io->fn(io->arg, ready);
	ran(l, name);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	io_ready(arg, LOOP_READ);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	io_ready(arg, LOOP_WRITE);
}

void loop_io_init_as(struct loop_io *io, struct loop *l, int fd,
		     void (*fn)(void *arg, unsigned ready), void *arg, const char *name)
{
	struct loop_events *ev = MEM_NEW(struct loop_events);

	must(fd >= 0);
	*io = (struct loop_io){
		.loop = l, .fn = fn, .arg = arg, .name = name, .event = ev, .fd = fd
	};
	must(event_assign(&ev->read, l->base, fd, EV_READ | EV_PERSIST, on_readable, io) == 0);
	must(event_assign(&ev->write, l->base, fd, EV_WRITE | EV_PERSIST, on_writable, io) == 0);
	l->ios++;
}

void loop_io_want(struct loop_io *io, unsigned want)
{
	struct loop_events *ev = io->event;
	unsigned changed = io->want ^ want;

	must(ev && want <= (LOOP_READ | LOOP_WRITE));
	io->want = want;
	/* A failure here is a descriptor that was closed under its owner. */
	if (changed & LOOP_READ)
		must((want & LOOP_READ ? event_add(&ev->read, NULL) : event_del(&ev->read)) == 0);
	if (changed & LOOP_WRITE)
		must((want & LOOP_WRITE ? event_add(&ev->write, NULL) : event_del(&ev->write)) ==
		     0);
}

void loop_io_done(struct loop_io *io)
{
	struct loop_events *ev = io->event;

	if (!ev)
		return;
	loop_io_want(io, 0);
	/* Deleted, they are in no queue of libevent, not even in the one it walks just now. */
	mem_free(ev);
	io->event = NULL;
	io->loop->ios--;
}

/* Tasks and deferred frees */

void loop_task_init_as(struct loop_task *t, struct loop *l, enum loop_phase phase, loop_fn fn,
		       void *arg, const char *name)
{
	*t = (struct loop_task){ .loop = l, .fn = fn, .arg = arg, .name = name, .phase = phase };
	list_init(&t->node);
}

void loop_task_post(struct loop_task *t)
{
	if (!list_linked(&t->node))
		list_push(&t->loop->tasks[t->phase], &t->node);
}

void loop_task_stop(struct loop_task *t)
{
	list_remove(&t->node);
}

static struct loop_task *next_task(struct loop *l)
{
	struct list *n;
	size_t i;

	for (i = 0; i < LOOP_PHASES; i++) {
		n = list_pop(&l->tasks[i]);
		if (n)
			return list_entry(n, struct loop_task, node);
	}
	return NULL;
}

static bool tasks_posted(const struct loop *l)
{
	size_t i;

	for (i = 0; i < LOOP_PHASES; i++) {
		if (!list_empty(&l->tasks[i]))
			return true;
	}
	return false;
}

static void run_tasks(struct loop *l)
{
	struct loop_task *t;
	const char *name;
	unsigned n;

	for (n = 0; n < TASKS_PER_TURN; n++) {
		t = next_task(l);
		if (!t)
			return;
		l->tasks_run++;
		name = t->name;
		t->fn(t->arg);
		ran(l, name);
	}
}

void loop_defer_free(struct loop *l, void *obj, void (*fn)(void *obj))
{
	if (l->deferred_n == l->deferred_size) {
		l->deferred_size = MAX(l->deferred_size * 2, 16);
		l->deferred = mem_realloc(l->deferred, l->deferred_size, sizeof(*l->deferred));
	}
	l->deferred[l->deferred_n++] = (struct deferred){ .fn = fn, .obj = obj };
}

static void run_deferred(struct loop *l)
{
	struct deferred d;
	size_t i;

	/* By index and copy: a free may defer another, which may move the array. */
	for (i = 0; i < l->deferred_n; i++) {
		d = l->deferred[i];
		d.fn(d.obj);
	}
	if (l->deferred_n)
		ran(l, "loop.c:deferred frees");
	l->deferred_n = 0;
}

/* Signals */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)signo;
	(void)what;
	woke(s->loop);
	s->fn(s->arg);
	ran(s->loop, "loop.c:signal");
}

static void free_signal(void *obj)
{
	mem_free(obj);
}

void loop_on_signal(struct loop *l, int signo, loop_fn fn, void *arg)
{
	struct loop_signal *s;

	must(signo >= 0 && signo < SIGNALS_MAX);
	s = l->signals[signo];
	if (!fn) {
		l->signals[signo] = NULL;
		if (!s)
			return;
		event_del(&s->event);
		if (l->in_turn)
			loop_defer_free(l, s, free_signal); /* it may be the one that runs */
		else
			free_signal(s);
		return;
	}
	if (!s) {
		s = MEM_NEW(struct loop_signal);
		s->loop = l;
		must(evsignal_assign(&s->event, l->base, signo, on_signal, s) == 0);
		must(event_add(&s->event, NULL) == 0);
		l->signals[signo] = s;
	}
	s->fn = fn;
	s->arg = arg;
}

/* One turn */

/* Arms the timerfd for the earliest of heap and limit; 0 = never. */
static void arm(struct loop *l, uint64_t due_ms)
{
	struct itimerspec at = { 0 };

	if (due_ms == l->timer_armed_ms)
		return;
	/* Past what time_t of the kernel takes is the same as never. */
	if (due_ms <= INT64_MAX / 1000) {
		at.it_value.tv_sec = (time_t)(due_ms / 1000);
		at.it_value.tv_nsec = (long)(due_ms % 1000) * 1000000;
	}
	must(timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
	l->timer_armed_ms = due_ms;
}

static void wait_real(struct loop *l, int64_t max_wait_ms)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC) / 1000;
	uint64_t due = l->heap_n ? l->heap[0]->due_ms : 0; /* never 0: the clock runs since boot */
	bool poll = max_wait_ms == 0 || tasks_posted(l) || l->deferred_n || (due && due <= now);

	if (max_wait_ms > 0 && (!due || now + (uint64_t)max_wait_ms < due))
		due = now + (uint64_t)max_wait_ms;
	if (!poll)
		arm(l, due);
	must(event_base_loop(l->base, poll ? POLL_ONCE : EVLOOP_ONCE) >= 0);
	woke(l); /* nothing of ours was called, but perhaps evhttp or evdns: counted from here */
}

/* False when there is nothing left that could happen. */
static bool wait_virtual(struct loop *l, int64_t max_wait_ms)
{
	uint64_t due;

	(void)event_base_get_max_events(l->base, EVENT_BASE_COUNT_ACTIVE, 1);
	must(event_base_loop(l->base, POLL_ONCE) >= 0);
	/* Includes the events of evhttp and evdns, which do not pass through us. */
	if (event_base_get_max_events(l->base, EVENT_BASE_COUNT_ACTIVE, 1) > 0 || tasks_posted(l) ||
	    l->deferred_n)
		return true;
	if (!l->heap_n)
		return false;
	due = l->heap[0]->due_ms;
	if (max_wait_ms >= 0 && due > l->now_ms + (uint64_t)max_wait_ms)
		due = l->now_ms + (uint64_t)max_wait_ms;
	l->now_ms = MAX(l->now_ms, due);
	return true;
}

/* ---- rest ---- */

static void watch_rest(struct loop *l)
{
	l->rest_seen = l->stats.turns;
	loop_timer_set(&l->rest, LOOP_REST_MS);
}

static void on_rest(void *arg)
{
	struct loop *l = arg;

	if (l->stats.turns - l->rest_seen > QUIET_TURNS) {
		watch_rest(l); /* still at work */
		return;
	}
	l->rest_done = l->stats.turns;
	l->rest_fn(l->rest_arg);
}

void loop_on_rest(struct loop *l, loop_fn fn, void *arg)
{
	loop_timer_stop(&l->rest);
	l->rest_fn = fn;
	l->rest_arg = arg;
	if (!fn)
		return;
	loop_timer_init(&l->rest, l, on_rest, l);
	watch_rest(l);
}

/* ---- the watchdog ---- */

const uint64_t loop_bounds_us[LOOP_BUCKETS - 1] = { 20,	  50,	100,   200,   500,   1000,
						    2000, 5000, 10000, 50000, 500000 };

static struct loop_slow *slow_of(struct loop_stats *st, const char *name)
{
	size_t i;

	for (i = 0; i < st->slow_n; i++)
		if (!strcmp(st->slow[i].name, name))
			return &st->slow[i];
	if (st->slow_n == LOOP_SLOW_MAX)
		return &st->slow[LOOP_SLOW_MAX - 1];
	if (st->slow_n == LOOP_SLOW_MAX - 1)
		name = "other";
	st->slow[st->slow_n] = (struct loop_slow){ .name = mem_strdup(name) };
	return &st->slow[st->slow_n++];
}

static void slow_turn(struct loop *l, uint64_t busy)
{
	const char *name = l->longest ? l->longest : "loop.c:itself";
	struct loop_slow *slow = slow_of(&l->stats, name);
	uint64_t cpu_us, preempted;

	own_time(&cpu_us, &preempted);
	cpu_us -= l->woke_cpu_us;
	preempted -= l->woke_preempted;
	l->stats.slow_turns++;
	if (preempted && cpu_us <= LOOP_SLOW_US)
		l->stats.preempted_turns++;
	slow->turns++;
	slow->max_us = MAX(slow->max_us, l->longest_us);
	if (l->told_us && l->mark_us - l->told_us < (uint64_t)LOOP_TELL_MS * 1000) {
		l->untold++;
		return;
	}
	log_info("slow turn of the loop", LOG_I("us", busy), LOG_I("cpu_us", cpu_us),
		 LOG_I("preempted", preempted), LOG_S("longest", name),
		 LOG_I("longest_us", l->longest_us), LOG_I("descriptors", l->ios_run),
		 LOG_I("timers", l->timers_run), LOG_I("tasks", l->tasks_run),
		 LOG_I("more_since_last_line", l->untold));
	l->told_us = l->mark_us;
	l->untold = 0;
}

static void watch(struct loop *l)
{
	uint64_t busy = l->mark_us - l->woke_us;
	size_t i = 0;

	l->stats.busy_us += busy;
	l->stats.max_us = MAX(l->stats.max_us, busy);
	while (i < LOOP_BUCKETS - 1 && busy > loop_bounds_us[i])
		i++;
	l->stats.buckets[i]++;
	if (busy > LOOP_SLOW_US)
		slow_turn(l, busy);
}

static void end_turn(struct loop *l)
{
	l->in_turn = false;
	l->stats.turns++;
	if (l->rest_fn && !loop_timer_armed(&l->rest) &&
	    l->stats.turns - l->rest_done >= LOOP_REST_TURNS)
		watch_rest(l);
	if (!is_virtual(l))
		watch(l);
	l->woke_us = l->longest_us = 0;
	l->longest = NULL;
}

bool loop_turn(struct loop *l, int64_t max_wait_ms)
{
	bool more = true;

	must(!l->in_turn); /* a callback must not turn the loop that called it */
	if (l->stopped)
		return false;
	l->in_turn = true;
	l->ios_run = l->timers_run = l->tasks_run = 0;
	if (is_virtual(l))
		more = wait_virtual(l, max_wait_ms);
	else
		wait_real(l, max_wait_ms);
	run_timers(l);
	run_tasks(l);
	run_deferred(l);
	end_turn(l);
	return more && !l->stopped;
}

void loop_run(struct loop *l)
{
	while (loop_turn(l, -1)) {
	}
	l->stopped = false;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

const struct loop_stats *loop_stats(const struct loop *l)
{
	return &l->stats;
}
