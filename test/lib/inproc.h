#pragma once
/*
 * A worker in the test's own process: a struct worker_host that serves methods on the loop, on
 * virtual time if the loop is virtual. Before each request the test may choose its fate. Include it
 * in one .c file of a program.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/worker.h"
#include "core/worker_frame.h"
#include "test/lib/inproc_fate.h"

struct inproc {
	struct loop *loop;
	const struct worker_method *methods;
	size_t methods_n;
	void *(*ctx_new)(void *arg); /* the process's memory; it ends with the process */
	void (*ctx_free)(void *ctx);
	enum inproc_fate (*fate)(void *arg, uint16_t method); /* NULL: serve */
	void *arg;

	/* The process. */
	void *ctx;
	int fd;
	bool running, hangs;
	unsigned starts;
	struct loop_io io;
	struct buf in, out;
	struct loop_task exited;
	void (*on_exit)(void *arg);
	void *on_exit_arg;
};

/* The process ends now; its end is told from the loop. */
static inline void inproc_end(struct inproc *p)
{
	if (!p->running)
		return;
	p->running = false;
	loop_io_done(&p->io);
	close(p->fd);
	p->ctx_free(p->ctx);
	buf_done(&p->in);
	buf_done(&p->out);
	loop_task_post(&p->exited);
}

static inline void inproc_told(void *arg)
{
	struct inproc *p = arg;

	p->on_exit(p->on_exit_arg);
}

static inline void inproc_send(struct inproc *p)
{
	struct sv bytes = buf_sv(&p->out);
	ssize_t n = 0;

	if (bytes.n)
		n = send(p->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	if (n > 0)
		buf_take(&p->out, (size_t)n);
	loop_io_want(&p->io, LOOP_READ | (buf_len(&p->out) ? LOOP_WRITE : 0));
}

/* One whole frame. False: the process is not there any more. */
static inline bool inproc_frame(struct inproc *p, struct sv frame, const struct worker_frame *f)
{
	enum inproc_fate fate = INPROC_SERVE;
	struct worker_frame nonsense = { .id = f->id, .method = f->method };
	struct buf one, answer;

	if (p->fate && f->method != WORKER_M_HELLO)
		fate = p->fate(p->arg, f->method);
	if (fate == INPROC_DIE_BEFORE) {
		inproc_end(p);
		return false;
	}
	buf_init(&one, frame.n);
	must(buf_put_sv(&one, frame));
	buf_init(&answer, 2 * (size_t)WORKER_FRAME_MAX);
	if (fate != INPROC_LIE)
		must(worker_dispatch(&one, &answer, p->methods, p->methods_n, p->ctx) == 0);
	must(fate >= INPROC_WRONG ? worker_frame_put(&p->out, nonsense, SV("\xff\x01nonsense"))
				  : buf_put_sv(&p->out, buf_sv(&answer)));
	buf_done(&answer);
	buf_done(&one);
	if (fate == INPROC_DIE_AFTER) {
		inproc_end(p);
		return false;
	}
	p->hangs = fate == INPROC_HANG;
	return !p->hangs;
}

static inline void inproc_ready(void *arg, unsigned ready)
{
	struct inproc *p = arg;
	struct worker_frame f;
	struct sv body;
	int64_t size;
	ssize_t n = 0;

	(void)ready;
	if (p->hangs) {
		loop_io_want(&p->io, 0);
		return;
	}
	do {
		n = recv(p->fd, buf_reserve(&p->in, 65536), 65536, 0);
		if (n > 0)
			buf_commit(&p->in, (size_t)n);
	} while (n > 0);
	if (n == 0) {
		inproc_end(p);
		return;
	}
	while ((size = worker_frame_peek(&p->in, &f, &body)) > 0) {
		if (!inproc_frame(p, sv_make(buf_sv(&p->in).p, (size_t)size), &f))
			return;
		buf_take(&p->in, (size_t)size);
	}
	inproc_send(p);
}

static inline int inproc_start(void *ctx, struct loop *l, const char *role,
			       void (*on_exit)(void *arg), void *arg, int *fd, void **handle)
{
	struct inproc *p = ctx;
	int pair[2];

	(void)role;
	must(!p->running && l == p->loop);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	p->fd = pair[1];
	p->on_exit = on_exit;
	p->on_exit_arg = arg;
	p->ctx = p->ctx_new(p->arg);
	p->running = true;
	p->hangs = false;
	p->starts++;
	buf_init(&p->in, WORKER_FRAME_MAX + 65536);
	buf_init(&p->out, 2 * (size_t)WORKER_FRAME_MAX);
	loop_task_init(&p->exited, l, LOOP_TICK, inproc_told, p);
	loop_io_init(&p->io, l, p->fd, inproc_ready, p);
	loop_io_want(&p->io, LOOP_READ);
	*fd = pair[0];
	*handle = p;
	return 0;
}

static inline void inproc_kill(void *ctx, void *handle)
{
	(void)ctx;
	inproc_end(handle);
}

static inline void inproc_release(void *ctx, void *handle)
{
	struct inproc *p = handle;

	(void)ctx;
	inproc_end(p);
	loop_task_stop(&p->exited);
}

static inline int64_t inproc_pid(void *ctx, void *handle)
{
	(void)handle;
	return ((struct inproc *)ctx)->starts;
}

static inline struct worker_host inproc_host(struct inproc *p)
{
	return (struct worker_host){ inproc_start, inproc_kill, inproc_release, inproc_pid, p };
}
