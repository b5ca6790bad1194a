#include "core/worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/worker_frame.h"

/*
 * One request after the other; a vendor library that hangs hangs here, and the client's deadline
 * ends the process. Answers are written before the next request is looked at.
 */
enum { READ_CHUNK = 64 << 10 };
/* Memory goes back after the start, and then only after as many requests as make it worth it. */
enum { REST_S = 2, REST_REQUESTS = 64 };

struct server {
	int fd;
	unsigned since_rest; /* requests */
};

static const struct worker_method *find(const struct worker_method *methods, size_t n,
					uint16_t method)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (methods[i].method == method)
			return &methods[i];
	}
	return NULL;
}

static int call(const struct worker_method *m, const struct worker_frame *f, struct sv body,
		void *ctx, struct buf *answer)
{
	int r;

	if (f->method == WORKER_M_HELLO)
		return 0;
	if (!m) {
		buf_printf(answer, "this worker has no method %u", f->method);
		return -ENOSYS;
	}
	r = m->fn(ctx, body, f->deadline_ms, answer);
	must(r <= 0 && r >= -UINT16_MAX);
	if (!answer->full)
		return r;
	buf_clear(answer);
	buf_printf(answer, "the answer of \"%s\" does not fit into a frame", m->name);
	return -EMSGSIZE;
}

/* Answers the frame; an answer too big for `out` becomes -ENOBUFS. */
static int serve_one(const struct worker_frame *f, struct sv body, struct buf *out,
		     const struct worker_method *m, void *ctx)
{
	struct worker_frame reply = { .id = f->id, .method = f->method };
	struct buf answer;
	bool full = out->full;
	int r = 0;

	if (f->id == 0 || f->status != 0)
		return -EBADMSG;
	buf_init(&answer, WORKER_FRAME_MAX - WORKER_HEADER);
	reply.status = (uint16_t)-call(m, f, body, ctx, &answer);
	if (!worker_frame_put(out, reply, buf_sv(&answer))) {
		out->full = full;
		reply.status = ENOBUFS;
		if (!worker_frame_put(out, reply, SV_NONE))
			r = -ENOBUFS;
	}
	buf_done(&answer);
	return r;
}

/* 1: a frame was served, 0: none is whole. */
static int serve_next(struct buf *in, struct buf *out, const struct worker_method *methods,
		      size_t n, void *ctx)
{
	struct worker_frame f;
	struct sv body;
	int64_t size;
	int r;

	size = worker_frame_peek(in, &f, &body);
	if (size <= 0)
		return (int)size;
	r = serve_one(&f, body, out, find(methods, n, f.method), ctx);
	if (r)
		return r;
	buf_take(in, (size_t)size);
	return 1;
}

int worker_dispatch(struct buf *in, struct buf *out, const struct worker_method *methods, size_t n,
		    void *ctx)
{
	int r;

	do
		r = serve_next(in, out, methods, n, ctx);
	while (r > 0);
	return r;
}

/* All of it, also on a socket that is non-blocking. */
static int send_all(int fd, struct sv bytes)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	while (bytes.n) {
		n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			(void)poll(&p, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			bytes = sv_drop(bytes, (size_t)n);
	}
	return 0;
}

/* Nothing was asked for a while. */
static void await(struct server *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	if (s->since_rest >= REST_REQUESTS) {
		if (poll(&p, 1, REST_S * 1000) != 0)
			return;
		s->since_rest = 0;
		mem_rest();
	}
	(void)poll(&p, 1, -1);
}

static int receive(struct server *s, struct buf *in)
{
	char *to = buf_reserve(in, READ_CHUNK);
	ssize_t n;

	must(to); /* less than one frame is left over from before */
	for (;;) {
		n = recv(s->fd, to, READ_CHUNK, 0);
		if (n >= 0)
			break;
		if (errno == EAGAIN)
			await(s);
		else if (errno != EINTR)
			return -errno;
	}
	buf_commit(in, (size_t)n);
	return n > 0;
}

/* Each answer leaves before the next request begins: that one may hang. */
static int serve_all(struct server *s, struct buf *in, struct buf *out,
		     const struct worker_method *methods, size_t n, void *ctx)
{
	int r;

	while ((r = serve_next(in, out, methods, n, ctx)) > 0) {
		s->since_rest++;
		r = send_all(s->fd, buf_sv(out));
		if (r)
			return r;
		buf_clear(out);
	}
	return r;
}

int worker_serve(int fd, const struct worker_method *methods, size_t n, void *ctx)
{
	struct server s = { .fd = fd, .since_rest = REST_REQUESTS };
	struct timeval rest = { .tv_sec = REST_S };
	struct buf in, out;
	int r;

	/* A request that waits already costs one system call; -EAGAIN begins a rest. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rest, sizeof(rest));

	buf_init(&in, WORKER_FRAME_MAX + READ_CHUNK);
	buf_init(&out, WORKER_FRAME_MAX);
	for (;;) {
		r = receive(&s, &in);
		if (r <= 0)
			break;
		r = serve_all(&s, &in, &out, methods, n, ctx);
		if (r)
			break;
		buf_trim(&out); /* idle workers are small */
		buf_trim(&in);
	}
	/* A client that is gone while we answer has closed too. */
	if (r == -EPIPE || r == -ECONNRESET)
		r = 0;
	buf_done(&in);
	buf_done(&out);
	return r;
}

int worker_notify(int fd, uint16_t method, struct sv body)
{
	struct buf b;
	int r;

	if (body.n > WORKER_FRAME_MAX - WORKER_HEADER)
		return -EMSGSIZE;
	buf_init(&b, WORKER_FRAME_MAX);
	must(worker_frame_put(&b, (struct worker_frame){ .method = method }, body));
	r = send_all(fd, buf_sv(&b));
	buf_done(&b);
	return r;
}
