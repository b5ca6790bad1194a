#include "transport/dial.h"

#include <errno.h>

#include "core/mem.h"
#include "transport/resolve.h"
#include "transport/sock.h"
#include "transport/tls.h"

struct dial {
	struct loop *loop;
	struct dial_target target;
	const struct stream_events *events; /* for the stream, once it is up */
	dial_fn fn;
	void *arg;
	struct resolve *resolve;
	struct sock_addr addrs[RESOLVE_MAX];
	size_t addrs_n, next;
	struct stream *stream;
	struct loop_timer timer; /* one address's share */
	struct loop_task begin;
};

static void dial_free(struct dial *d)
{
	resolve_cancel(&d->resolve);
	loop_timer_stop(&d->timer);
	loop_task_stop(&d->begin);
	stream_free(&d->stream);
	loop_defer_free(d->loop, d, mem_free);
}

static void finish(struct dial *d, int status, const struct err *e)
{
	struct stream *s = NULL;

	if (status == 0) {
		s = d->stream;
		d->stream = NULL;
		stream_hand_over(s, d->events, d->arg);
	}
	dial_free(d);
	d->fn(d->arg, status, s, e);
}

static void try_next(struct dial *d, int status, const struct err *e);

/* Events of the stream while it is ours */

static void on_up(void *arg)
{
	finish(arg, 0, NULL);
}

static void on_data(void *arg, struct sv data)
{
	(void)arg;
	(void)data; /* a stream that is not up has none */
}

static void on_fill(void *arg, struct buf *out)
{
	(void)arg;
	(void)out;
}

static void on_end(void *arg, int status, const struct err *e)
{
	struct dial *d = arg;

	stream_free(&d->stream);
	try_next(d, status < 0 ? status : -ECONNRESET, e);
}

static const struct stream_events own_events = {
	.on_up = on_up,
	.on_data = on_data,
	.on_fill = on_fill,
	.on_end = on_end,
};

static void on_timer(void *arg)
{
	struct dial *d = arg;
	struct err e;

	stream_free(&d->stream);
	(void)err_set(&e, -ETIMEDOUT, "connect: no answer");
	try_next(d, -ETIMEDOUT, &e);
}

static void try_address(struct dial *d, const struct sock_addr *a)
{
	struct err e;
	int fd, r;

	r = sock_connect(a, &fd);
	if (r < 0) {
		(void)err_sys(&e, r, "connect");
		try_next(d, r, &e);
		return;
	}
	d->stream =
	    stream_new(d->loop, fd, r == SOCK_CONNECTING,
		       d->target.tls ? tls_client_session(d->target.tls) : NULL, &own_events, d);
	if (stream_is_up(d->stream))
		finish(d, 0, NULL);
	else if (d->next < d->addrs_n)
		loop_timer_set(&d->timer, d->target.limit_ms / d->addrs_n);
}

static void try_next(struct dial *d, int status, const struct err *e)
{
	loop_timer_stop(&d->timer);
	if (d->next < d->addrs_n)
		try_address(d, &d->addrs[d->next++]);
	else
		finish(d, status, e);
}

static void on_resolved(void *arg, int status, const struct sock_addr *addrs, size_t n,
			const struct err *e)
{
	struct dial *d = arg;

	d->resolve = NULL;
	if (status == 0) {
		memcpy(d->addrs, addrs, n * sizeof(*addrs));
		d->addrs_n = n;
	}
	try_next(d, status, e);
}

static void on_begin(void *arg)
{
	struct dial *d = arg;
	struct err e;
	int r;

	if (!d->target.unix_path) {
		d->resolve = resolve_start(d->loop, d->target.resolve, d->target.host,
					   d->target.port, on_resolved, d);
		return;
	}
	r = sock_addr_unix(&d->addrs[0], d->target.unix_path, &e);
	d->addrs_n = r == 0;
	try_next(d, r, &e);
}

struct dial *dial_start(struct loop *l, const struct dial_target *target,
			const struct stream_events *events, dial_fn fn, void *arg)
{
	struct dial *d = MEM_NEW(struct dial);

	*d = (struct dial){ .loop = l, .target = *target, .events = events, .fn = fn, .arg = arg };
	loop_timer_init(&d->timer, l, on_timer, d);
	loop_task_init(&d->begin, l, LOOP_TICK, on_begin, d);
	loop_task_post(&d->begin);
	return d;
}

void dial_cancel(struct dial **dp)
{
	struct dial *d = *dp;

	*dp = NULL;
	if (d)
		dial_free(d);
}
