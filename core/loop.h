#pragma once
/*
 * The event loop: one thread, one owner for everything.
 *
 * One turn: wait (libevent) -> I/O and timer callbacks -> LOOP_TICK tasks until none is left ->
 * LOOP_COMMIT tasks (the journal hands over its batch) -> LOOP_FLUSH tasks (each socket writes
 * once) -> deferred frees. A task that posts an earlier phase starts that phase again in the same
 * turn; what is posted is always run before the loop sleeps.
 *
 * Clock and dice belong to the loop. A virtual loop never sleeps: when no descriptor is ready it
 * jumps to the next timer, so a whole node runs hours in seconds, repeatably by seed.
 */
#include "core/list.h"

struct loop;
struct event_base;
typedef void (*loop_fn)(void *arg);

struct loop *loop_new(void);
/* Starts at wall clock `wall_ms` (Unix milliseconds), monotonic 0; dice from `seed`. */
struct loop *loop_new_virtual(uint64_t wall_ms, uint64_t seed);
void loop_free(struct loop **l);
struct event_base *loop_base(struct loop *l); /* for evhttp and evdns only */

void loop_run(struct loop *l);			     /* turns until loop_stop() */
bool loop_turn(struct loop *l, int64_t max_wait_ms); /* one turn; -1 = no limit. false: stopped,
							or a virtual loop with nothing left to do.
							A virtual clock moves at most that far */
void loop_stop(struct loop *l); /* ends after this turn; holds until loop_run() has returned */

uint64_t loop_now_ms(const struct loop *l);	 /* monotonic, fixed during a turn */
uint64_t loop_now_us(const struct loop *l);	 /* monotonic, read anew: for measuring phases */
uint64_t loop_wall_ms(const struct loop *l);	 /* Unix milliseconds */
void loop_skew_wall(struct loop *l, int64_t ms); /* virtual loop: the wall clock jumps */
uint64_t loop_random(struct loop *l);		 /* not for keys */
uint64_t loop_jitter(struct loop *l, uint64_t ms, unsigned percent); /* ms +- percent */

/* What the watchdog calls a callback: "claim.c:claim_tick", where it was given to the loop. */
#define LOOP_NAME(fn) (__FILE_NAME__ ":" #fn)

/* Timer, embedded in its owner. One shot. Callbacks may set, stop and defer frees freely. */
struct loop_timer {
	struct loop *loop;
	loop_fn fn;
	void *arg;
	const char *name;     /* of fn, as the next two have it: for the watchdog */
	uint64_t due_ms, seq; /* equal due times fire in the order they were set */
	size_t slot;	      /* heap position + 1; 0 = not armed */
};
#define loop_timer_init(t, l, fn, arg) loop_timer_init_as(t, l, fn, arg, LOOP_NAME(fn))
void loop_timer_init_as(struct loop_timer *t, struct loop *l, loop_fn fn, void *arg,
			const char *name);
void loop_timer_set(struct loop_timer *t, uint64_t delay_ms); /* re-arms if armed */
void loop_timer_stop(struct loop_timer *t);		      /* safe on zeroed or stopped */
bool loop_timer_armed(const struct loop_timer *t);

/*
 * Readiness of a descriptor, level-triggered, embedded in its owner. Does not own the fd. When both
 * directions are ready fn is called once for each.
 */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_io {
	struct loop *loop;
	void (*fn)(void *arg, unsigned ready); /* LOOP_READ | LOOP_WRITE */
	void *arg;
	const char *name;
	void *event;
	int fd;
	unsigned want;
};
#define loop_io_init(io, l, fd, fn, arg) loop_io_init_as(io, l, fd, fn, arg, LOOP_NAME(fn))
void loop_io_init_as(struct loop_io *io, struct loop *l, int fd,
		     void (*fn)(void *arg, unsigned ready), void *arg, const char *name);
void loop_io_want(struct loop_io *io, unsigned want); /* 0 = none; cheap if unchanged */
void loop_io_done(struct loop_io *io);		      /* before close(); safe on zeroed */

/* Work for later in this turn, embedded in its owner; posting twice runs once. */
enum loop_phase { LOOP_TICK, LOOP_COMMIT, LOOP_FLUSH, LOOP_PHASES };
struct loop_task {
	struct list node;
	struct loop *loop;
	loop_fn fn;
	void *arg;
	const char *name;
	enum loop_phase phase;
};
#define loop_task_init(t, l, phase, fn, arg) loop_task_init_as(t, l, phase, fn, arg, LOOP_NAME(fn))
void loop_task_init_as(struct loop_task *t, struct loop *l, enum loop_phase phase, loop_fn fn,
		       void *arg, const char *name);
void loop_task_post(struct loop_task *t);
void loop_task_stop(struct loop_task *t); /* safe on zeroed */

/* Runs fn(obj) at the end of the turn: nothing is freed under its own callback. */
void loop_defer_free(struct loop *l, void *obj, void (*fn)(void *obj));

/* Unix signal: fn runs on the loop. Owned by the loop, one per signal number; NULL ends it. One
 * loop of a process at a time may take signals. */
void loop_on_signal(struct loop *l, int signo, loop_fn fn, void *arg);

/*
 * fn runs when the loop has been at rest for LOOP_REST_MS, once after the start and then after each
 * LOOP_REST_TURNS turns of work, so a process at rest is not woken by it. NULL ends it.
 */
enum { LOOP_REST_MS = 5000, LOOP_REST_TURNS = 256 };
void loop_on_rest(struct loop *l, loop_fn fn, void *arg);

/*
 * Callbacks of evhttp do not pass through the loop: what is done between these two is counted to
 * the turn and to `name`, which must live until the turn ends.
 */
void loop_foreign_begin(struct loop *l);
void loop_foreign_end(struct loop *l, const char *name);

/* A place for what the users of one module share on this loop. The module owns what is in it. */
enum loop_shared { LOOP_SHARED_FSWATCH, LOOP_SHARED };
void **loop_shared(struct loop *l, enum loop_shared what);

/*
 * The watchdog. A turn busy for more than LOOP_SLOW_US is counted, and so is the callback in it
 * that took the longest; both are logged, once in LOOP_TELL_MS. The clock is read once per
 * callback. A virtual loop has no busy time.
 */
enum {
	LOOP_SLOW_US = 5000,
	LOOP_TELL_MS = 10000,
	LOOP_BUCKETS = 12,
	LOOP_SLOW_MAX = 32, /* names of slow callbacks */
};
struct loop_slow {
	char *name;	 /* "other" for all that found no place */
	uint64_t turns;	 /* slow ones in which it took the longest */
	uint64_t max_us; /* its longest time in those */
};
struct loop_stats {
	uint64_t turns, slow_turns;
	/* Of the slow ones: another process had the processor meanwhile (an involuntary switch),
	 * and on it the turn was for no more than LOOP_SLOW_US. What waits for a disk in a callback
	 * gives the processor up by itself, and is not among these. */
	uint64_t preempted_turns;
	uint64_t max_us;  /* longest busy time of a turn */
	uint64_t busy_us; /* of all turns */
	/* Turns by busy time: [i] counts those up to loop_bounds_us[i] and above the one before. */
	uint64_t buckets[LOOP_BUCKETS]; /* the last one: longer than all bounds */
	struct loop_slow slow[LOOP_SLOW_MAX];
	size_t slow_n;
};
extern const uint64_t loop_bounds_us[LOOP_BUCKETS - 1];
const struct loop_stats *loop_stats(const struct loop *l);
