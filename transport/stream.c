#include "transport/stream.h"

#include <errno.h>

#include "core/mem.h"
#include "transport/sock.h"
#include "transport/tls.h"

enum {
	READ_SIZE = 16 * 1024,	   /* on the stack; a TLS record's size */
	LAST_READS_MAX = 64,	   /* after a failed write: what a socket buffer may hold */
	READS_MAX = 8,		   /* per turn, so that one busy peer does not starve the others */
	OUT_KEEP = 8 * 1024,	   /* memory that an idle stream may keep */
	OUT_MAX = 4 * 1024 * 1024, /* a cap that pulling keeps us far below; beyond = our bug */
};

/*
 *   CONNECTING -> SHAKING -> UP -> FINISHING -> OVER
 * CONNECTING only for a client, SHAKING only for TLS. FINISHING: our output drains, the peer's
 * input is dropped. OVER: on_end was given or must not be given any more.
 */
enum stream_state {
	STREAM_CONNECTING,
	STREAM_SHAKING,
	STREAM_UP,
	STREAM_FINISHING,
	STREAM_OVER,
};

struct stream {
	struct loop *loop;
	const struct stream_events *events;
	void *arg;
	struct tls_session *tls; /* owned, NULL = plain */
	struct loop_io io;
	struct loop_task flush;
	struct loop_timer timer; /* stall, or linger */
	struct buf out;		 /* bytes for the socket */
	enum stream_state state;
	int fd;
	bool peer_done; /* its end of file was read */
	bool notified;	/* TLS: close_notify was made */
	bool half_closed;
	bool lost; /* a write failed */
	bool more; /* on_fill stopped at the high-water mark */
};

static void end(struct stream *s, int status, const struct err *e)
{
	if (s->state == STREAM_OVER)
		return;
	s->state = STREAM_OVER;
	loop_io_want(&s->io, 0);
	loop_timer_stop(&s->timer);
	loop_task_stop(&s->flush);
	s->events->on_end(s->arg, status, e);
}

static void end_sys(struct stream *s, int status, const char *what)
{
	struct err e;

	(void)err_sys(&e, status, "%s", what);
	end(s, status, &e);
}

static void want(struct stream *s)
{
	unsigned w = 0;

	if (s->state == STREAM_OVER)
		return;
	if (s->state == STREAM_CONNECTING || buf_len(&s->out) || s->more)
		w |= LOOP_WRITE;
	if (s->state != STREAM_CONNECTING && !s->peer_done && buf_len(&s->out) < STREAM_HIGH)
		w |= LOOP_READ;
	loop_io_want(&s->io, w);
}

/* Output that the peer does not take is watched, but not while nothing waits. */
static void watch_stall(struct stream *s, bool progress)
{
	if (s->half_closed || s->state == STREAM_OVER)
		return;
	if (!buf_len(&s->out) && !s->more)
		loop_timer_stop(&s->timer);
	else if (progress || !loop_timer_armed(&s->timer))
		loop_timer_set(&s->timer, STREAM_STALL_MS);
}

static void on_timer(void *arg)
{
	struct stream *s = arg;

	if (s->half_closed)
		end(s, 0, NULL);
	else
		end_sys(s, -ETIMEDOUT, "the peer takes no data");
}

static int fill_tls(struct stream *s)
{
	struct buf plain;
	struct err e;
	int r = 0;

	buf_init(&plain, OUT_MAX);
	s->events->on_fill(s->arg, &plain);
	if (s->state != STREAM_OVER && buf_len(&plain))
		r = tls_session_write(s->tls, buf_sv(&plain), &s->out, &e);
	s->more = buf_len(&plain) >= STREAM_HIGH;
	buf_done(&plain);
	if (r < 0)
		end(s, r, &e);
	return r;
}

static void fill(struct stream *s)
{
	size_t before = buf_len(&s->out);

	s->more = false;
	if ((s->state != STREAM_UP && s->state != STREAM_FINISHING) || s->half_closed)
		return;
	if (before >= STREAM_HIGH) {
		s->more = true;
		return;
	}
	if (s->tls) {
		if (tls_session_ready(s->tls))
			(void)fill_tls(s);
		return;
	}
	s->events->on_fill(s->arg, &s->out);
	s->more = buf_len(&s->out) >= STREAM_HIGH;
}

static int read_once(struct stream *s);

/*
 * The peer is gone for writing, but what it said before (a GOAWAY, an answer) may still lie in the
 * kernel's buffer and decides what may be tried again.
 */
static void write_failed(struct stream *s, int status)
{
	int i;

	buf_clear(&s->out);
	s->more = false;
	if (s->lost)
		return; /* reading led here again; the first one ends it */
	s->lost = true;
	for (i = 0; s->state == STREAM_UP && i < LAST_READS_MAX; i++)
		if (read_once(s) != 0)
			break;
	end_sys(s, status, "write");
}

static void write_once(struct stream *s)
{
	ptrdiff_t n;

	if (!buf_len(&s->out)) {
		watch_stall(s, false);
		return;
	}
	must(!s->out.full);
	n = sock_write(s->fd, buf_sv(&s->out));
	if (n < 0 && n != -EAGAIN) {
		write_failed(s, (int)n);
		return;
	}
	if (n > 0)
		buf_take(&s->out, (size_t)n);
	if (!buf_len(&s->out) && s->out.size > OUT_KEEP)
		buf_trim(&s->out);
	watch_stall(s, n > 0);
}

/* After the last byte: half close, then wait for the peer's own end. */
static void finish_step(struct stream *s)
{
	if (s->state != STREAM_FINISHING || buf_len(&s->out) || s->more)
		return;
	if (s->tls && !s->notified) {
		s->notified = true;
		tls_session_shutdown(s->tls, &s->out);
		write_once(s);
		if (s->state == STREAM_OVER || buf_len(&s->out))
			return;
	}
	if (!s->half_closed) {
		s->half_closed = true;
		sock_shut_write(s->fd);
		loop_timer_set(&s->timer, STREAM_LINGER_MS);
	}
	if (s->peer_done)
		end(s, 0, NULL);
}

static void on_flush(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_OVER || s->state == STREAM_CONNECTING)
		return;
	fill(s);
	if (s->state != STREAM_OVER)
		write_once(s);
	if (s->state != STREAM_OVER)
		finish_step(s);
	want(s);
}

void stream_kick(struct stream *s)
{
	if (s->state != STREAM_OVER)
		loop_task_post(&s->flush);
}

static void deliver(struct stream *s, struct sv data)
{
	if (s->state == STREAM_UP)
		s->events->on_data(s->arg, data);
}

static void on_eof(struct stream *s)
{
	s->peer_done = true;
	if (s->state == STREAM_FINISHING)
		finish_step(s);
	else if (s->state == STREAM_SHAKING)
		end_sys(s, -ECONNRESET, "closed during the TLS handshake");
	else
		end(s, 0, NULL);
}

/* 0: go on; negative: over. */
static int deliver_tls(struct stream *s, struct sv cipher)
{
	char plain[READ_SIZE];
	struct err e;
	ptrdiff_t n;

	tls_session_feed(s->tls, cipher);
	for (;;) {
		n = tls_session_read(s->tls, plain, sizeof(plain), &s->out, &e);
		if (s->state == STREAM_SHAKING && tls_session_ready(s->tls)) {
			s->state = STREAM_UP;
			stream_kick(s); /* earlier kicks could not be served */
			s->events->on_up(s->arg);
		}
		if (s->state == STREAM_OVER)
			return -ECANCELED;
		if (n <= 0)
			break;
		deliver(s, sv_make(plain, (size_t)n));
		if (s->state == STREAM_OVER)
			return -ECANCELED;
	}
	if (buf_len(&s->out))
		stream_kick(s);
	if (n == -ESHUTDOWN) {
		on_eof(s);
		return -ESHUTDOWN;
	}
	if (n < 0) {
		write_once(s); /* the alert: one try */
		end(s, (int)n, &e);
	}
	return (int)n;
}

/* 0: there may be more; anything else: stop reading in this turn. */
static int read_once(struct stream *s)
{
	char in[READ_SIZE];
	ptrdiff_t n;

	n = sock_read(s->fd, in, sizeof(in));
	if (n == -EAGAIN)
		return 1;
	if (n < 0) {
		end_sys(s, (int)n, "read");
		return (int)n;
	}
	if (n == 0) {
		on_eof(s);
		return 1;
	}
	if (s->tls && s->state != STREAM_FINISHING) {
		if (deliver_tls(s, sv_make(in, (size_t)n)) < 0)
			return -1;
	} else {
		deliver(s, sv_make(in, (size_t)n));
	}
	return s->state == STREAM_OVER || (size_t)n < sizeof(in);
}

static void shake(struct stream *s)
{
	if (!s->tls) {
		s->state = STREAM_UP;
		s->events->on_up(s->arg);
		return;
	}
	s->state = STREAM_SHAKING;
	(void)deliver_tls(s, SV_NONE);
}

static void connected(struct stream *s)
{
	int r = sock_error(s->fd);

	if (r < 0) {
		end_sys(s, r, "connect");
		return;
	}
	shake(s);
	if (s->state != STREAM_OVER)
		stream_kick(s);
}

static void on_ready(void *arg, unsigned ready)
{
	struct stream *s = arg;
	int i;

	if (s->state == STREAM_CONNECTING) {
		connected(s);
		want(s);
		return;
	}
	if (ready & LOOP_WRITE)
		stream_kick(s);
	for (i = 0; (ready & LOOP_READ) && i < READS_MAX; i++)
		if (read_once(s) != 0)
			break;
	want(s);
}

static void on_started(void *arg)
{
	struct stream *s = arg;

	if (s->state == STREAM_SHAKING)
		(void)deliver_tls(s, SV_NONE);
	on_flush(s);
}

struct stream *stream_new(struct loop *l, int fd, bool connecting, struct tls_session *tls,
			  const struct stream_events *events, void *arg)
{
	struct stream *s = MEM_NEW(struct stream);

	*s = (struct stream){ .loop = l, .events = events, .arg = arg, .tls = tls, .fd = fd };
	s->state = connecting ? STREAM_CONNECTING : tls ? STREAM_SHAKING : STREAM_UP;
	buf_init(&s->out, OUT_MAX);
	loop_io_init(&s->io, l, fd, on_ready, s);
	/* A client that is connected at once speaks first, but not inside this call. */
	loop_task_init(&s->flush, l, LOOP_FLUSH, on_started, s);
	loop_timer_init(&s->timer, l, on_timer, s);
	if (s->state == STREAM_SHAKING)
		stream_kick(s);
	want(s);
	return s;
}

static void release(void *obj)
{
	struct stream *s = obj;

	buf_done(&s->out);
	tls_session_free(&s->tls);
	mem_free(s);
}

void stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	s->state = STREAM_OVER;
	loop_io_done(&s->io);
	loop_timer_stop(&s->timer);
	loop_task_stop(&s->flush);
	sock_close(&s->fd);
	loop_defer_free(s->loop, s, release);
}

void stream_hand_over(struct stream *s, const struct stream_events *events, void *arg)
{
	s->events = events;
	s->arg = arg;
}

bool stream_is_up(const struct stream *s)
{
	return s->state == STREAM_UP;
}

void stream_finish(struct stream *s)
{
	if (s->state == STREAM_OVER || s->state == STREAM_FINISHING)
		return;
	if (s->state != STREAM_UP) {
		/* Nothing was said yet, so nothing can be lost. */
		end(s, 0, NULL);
		return;
	}
	s->state = STREAM_FINISHING;
	stream_kick(s);
}

bool stream_finishing(const struct stream *s)
{
	return s->state == STREAM_FINISHING || s->state == STREAM_OVER;
}

bool stream_flushed(const struct stream *s)
{
	return !buf_len(&s->out) && !s->more;
}

const struct tls_session *stream_tls(const struct stream *s)
{
	return s->tls;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}
