#pragma once
/*
 * The child protocol, both ends. Frames {u32 length, u32 id, u16 method, u16 status, u32
 * deadline_ms} little endian, then `length` bytes. The client keeps requests with deadlines; a
 * worker that misses one is killed and restarted with backoff, its other requests fail with -EIO
 * (or are asked again by their owners). A worker that SIGKILL does not end within 5 s is abandoned;
 * while WORKER_ABANDONED_MAX of those exist no new one is started (-EBUSY).
 *
 * A worker answers one request after the other, so a deadline covers the wait behind earlier ones.
 */
#include "core/err.h"
#include "core/loop.h"
#include "core/sv.h"

enum {
	WORKER_FRAME_MAX = 32 << 20, /* header included; also what the client queues at most */
	WORKER_HEADER = 16,
	WORKER_ABANDONED_MAX = 4,
	WORKER_M_HELLO = 0, /* reserved: the first question to a new process, answered for you */
};

/* How a worker comes to life; injected, so that tests and sim serve it in-process. */
struct worker_host {
	/*
	 * Starts a worker for `role`. *fd: connected stream socket, non-blocking, ours.
	 * on_exit(arg) is called once when it ended. *handle is passed to kill and release.
	 */
	int (*start)(void *ctx, struct loop *l, const char *role, void (*on_exit)(void *arg),
		     void *arg, int *fd, void **handle);
	void (*kill)(void *ctx, void *handle);	  /* SIGKILL */
	void (*release)(void *ctx, void *handle); /* after on_exit, or to abandon it */
	int64_t (*pid)(void *ctx, void *handle);  /* 0: not known yet */
	void *ctx;
};
/*
 * The real one: runs `program --role ROLE --build ID` with the given extra arguments (may be NULL)
 * and this process's environment. A program of another build refuses with one line and a
 * code that is not 0.
 */
struct worker_exec;
struct worker_exec *worker_exec_new(const char *program, const char *const *args);
void worker_exec_free(struct worker_exec **x); /* after the workers that use it */
struct worker_host worker_exec_host(struct worker_exec *x);
/*
 * `program --role ROLE --build ID ARGS...`, ends with NULL; args may be NULL. The caller frees the
 * array; its texts are those given.
 */
const char **worker_argv(const char *program, const char *role, const char *const *args);

/* ---- client end, in tundra ---- */
struct worker;
enum worker_state { WORKER_DOWN, WORKER_STARTING, WORKER_UP, WORKER_KILLED };
struct worker_stats {
	enum worker_state state;
	uint64_t starts, timeouts, crashes, requests;
	uint64_t abandoned; /* now, stuck in the kernel */
	int64_t pid;	    /* 0: none, or not known yet */
};
/*
 * status: 0, the worker's answer code (negative errno), -ETIMEDOUT, -EIO (it died or could not
 * start), -EBUSY (too many abandoned), -EMSGSIZE (body too big), -ENOBUFS (too much queued).
 * Always called from the loop, never from within worker_call().
 */
typedef void (*worker_fn)(void *arg, int status, struct sv answer);

struct worker *worker_new(struct loop *l, const struct worker_host *host, const char *role);
void worker_free(struct worker **w); /* kills; pending requests are not answered */
/*
 * Starts the process on the first call and, after it ended, on the next one. fn may be NULL.
 * Returns the request's id for worker_cancel(), never 0. A deadline of 0 times out unsent.
 */
uint64_t worker_call(struct worker *w, uint16_t method, struct sv body, uint32_t deadline_ms,
		     worker_fn fn, void *arg);
/* fn will not be called. What was sent still counts: the worker must answer it in time. */
void worker_cancel(struct worker *w, uint64_t id);
/*
 * Ends the process, through no fault of its own: the next request is asked of another, at once and
 * not after a pause. What was sent to it fails with -EIO. Counts and stuck processes stay known.
 */
void worker_renew(struct worker *w);
/*
 * Whether the process that was the `start`-th (worker_stats.starts while it was there) is abandoned
 * and has not ended yet.
 */
bool worker_start_stuck(const struct worker *w, uint64_t start);
/* What the worker tells unasked (id 0), e.g. events. More than 1000 in a second end it. */
void worker_on_notice(struct worker *w, void (*fn)(void *arg, uint16_t method, struct sv body),
		      void *arg);
/* Each time a process came up (WORKER_UP) or ended (WORKER_DOWN). */
void worker_on_state(struct worker *w, void (*fn)(void *arg, enum worker_state state), void *arg);
const struct worker_stats *worker_stats(struct worker *w); /* valid as long as w, filled now */

/* ---- server end, in tundra-worker ---- */
struct buf;
struct worker_method {
	uint16_t method; /* not WORKER_M_HELLO */
	const char *name;
	/* Answer into out; returns 0 or negative errno (out then holds the error text). */
	int (*fn)(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out);
};
/* Blocking: serves until the peer closes (returns 0) or breaks the protocol (negative). */
int worker_serve(int fd, const struct worker_method *methods, size_t n, void *ctx) NODISCARD;
/*
 * Sans-I/O half of the same: takes whole frames out of `in` (cap above WORKER_FRAME_MAX), appends
 * answers to `out`. -EBADMSG, -ENOBUFS when `out` is too small even for an answer without content.
 */
int worker_dispatch(struct buf *in, struct buf *out, const struct worker_method *methods, size_t n,
		    void *ctx) NODISCARD;
int worker_notify(int fd, uint16_t method, struct sv body) NODISCARD; /* blocking write */
