/*
 * The child protocol. The server's half must say the same however its input is cut; the client must
 * live with whatever a worker sends, and tell each of its requests once.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/worker.h"
#include "test/fuzz/fuzz.h"

enum { REQUESTS = 4 };

static int echo(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	buf_printf(out, "%u:", deadline_ms);
	buf_put_sv(out, body);
	return 0;
}

static int refuse(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	buf_puts(out, "no");
	return -EPERM;
}

static const struct worker_method methods[] = { { 1, "echo", echo }, { 2, "refuse", refuse } };

/* Feeds `step` bytes at a time; ends with the first error. */
static int serve(struct sv bytes, size_t step, struct buf *out)
{
	struct buf in;
	size_t n;
	int r = 0;

	buf_init(&in, WORKER_FRAME_MAX + bytes.n);
	while (!r && bytes.n) {
		n = MIN(step, bytes.n);
		buf_put(&in, bytes.p, n);
		bytes = sv_drop(bytes, n);
		r = worker_dispatch(&in, out, methods, ARRAY_LEN(methods), NULL);
	}
	buf_done(&in);
	return r;
}

static void server(struct sv bytes, size_t step)
{
	struct buf whole, cut;
	int r;

	buf_init(&whole, 1 << 24);
	buf_init(&cut, 1 << 24);
	r = serve(bytes, SIZE_MAX, &whole);
	must(r == 0 || r == -EBADMSG);
	must(serve(bytes, step, &cut) == r);
	must(sv_eq(buf_sv(&whole), buf_sv(&cut)));
	buf_done(&whole);
	buf_done(&cut);
}

/* ---- the client ---- */

struct peer {
	int fd;
	void (*on_exit)(void *arg);
	void *arg;
};

static int peer_start(void *ctx, struct loop *l, const char *role, void (*on_exit)(void *arg),
		      void *arg, int *fd, void **handle)
{
	struct peer *p = ctx;
	int pair[2];

	(void)l;
	(void)role;
	must(p->fd < 0); /* one life is enough here */
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	*p = (struct peer){ .fd = pair[1], .on_exit = on_exit, .arg = arg };
	*fd = pair[0];
	*handle = p;
	return 0;
}

static void peer_kill(void *ctx, void *handle)
{
	struct peer *p = ctx;

	(void)handle;
	p->on_exit(p->arg);
}

static void peer_release(void *ctx, void *handle)
{
	(void)ctx;
	(void)handle;
}

static int64_t peer_pid(void *ctx, void *handle)
{
	(void)ctx;
	(void)handle;
	return 1;
}

static void on_answer(void *arg, int status, struct sv answer)
{
	unsigned *told = arg;

	(void)answer;
	must(status <= 0);
	++*told;
}

static void on_notice(void *arg, uint16_t method, struct sv body)
{
	(void)arg;
	(void)method;
	(void)body;
}

static void client(struct sv bytes, size_t step)
{
	struct peer p = { .fd = -1 };
	struct worker_host host = { peer_start, peer_kill, peer_release, peer_pid, &p };
	struct loop *l = loop_new_virtual(0, 1);
	struct worker *w = worker_new(l, &host, "fuzz");
	unsigned told[REQUESTS] = { 0 };
	size_t i, n;

	worker_on_notice(w, on_notice, NULL);
	for (i = 0; i < REQUESTS; i++)
		worker_call(w, 1, SV("x"), 1000, on_answer, &told[i]);
	loop_turn(l, 0);
	while (bytes.n) {
		n = MIN(step, bytes.n);
		if (send(p.fd, bytes.p, n, MSG_NOSIGNAL) < 0)
			break;
		bytes = sv_drop(bytes, n);
		loop_turn(l, 0);
	}
	/* What was not answered times out. */
	for (i = 0; i < 20; i++)
		loop_turn(l, 1000);
	for (i = 0; i < REQUESTS; i++)
		must(told[i] == 1);
	worker_free(&w);
	close(p.fd);
	loop_free(&l);
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv in = sv_make(data, MIN(size, (size_t)4096));
	size_t step;

	if (!in.n)
		return 0;
	log_capture(swallow, NULL);
	step = (uint8_t)in.p[0] % 32 + 1;
	in = sv_drop(in, 1);
	server(in, step);
	client(in, step);
	return 0;
}
