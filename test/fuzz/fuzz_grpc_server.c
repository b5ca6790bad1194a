/*
 * The whole gRPC server behind a socket, on virtual time: the input is what a client writes after a
 * good preface, a 0xff 0xff pair lets time pass. Every call that began must end.
 */
#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"
#include "test/fuzz/fuzz.h"
#include "transport/grpc_server.h"
#include "transport/sock.h"

enum { HELD_MAX = 64 };

struct world {
	struct grpc_call *held[HELD_MAX];
	size_t running;
};

static void on_echo(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_reply(c, message);
}

static void on_cancel(void *arg, struct grpc_call *c)
{
	struct world *w = arg;
	size_t i = 0;

	while (w->held[i] != c)
		must(++i < HELD_MAX);
	w->held[i] = NULL;
	w->running--;
}

static void on_hang(void *ctx, struct grpc_call *c, struct sv message)
{
	struct world *w = ctx;
	size_t i = 0;

	while (i < HELD_MAX && w->held[i])
		i++;
	if (i == HELD_MAX) {
		grpc_call_fail(c, GRPC_RESOURCE_EXHAUSTED, "%s", "");
		return;
	}
	w->held[i] = c;
	w->running++;
	grpc_call_on_cancel(c, on_cancel, w);
	if (message.n % 2)
		grpc_call_open(c);
}

static void on_stream(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	(void)grpc_call_send(c, message);
	grpc_call_fail(c, (enum grpc_code)(message.n % 17), SV_FMT, SV_ARG(message));
}

static const struct grpc_method methods[] = {
	{ "/s/e", false, on_echo },
	{ "/s/h", false, on_hang },
	{ "/s/s", true, on_stream },
};

static void settle(struct loop *l, int fd)
{
	char sink[4096];
	int i;

	for (i = 0; i < 4; i++) {
		(void)loop_turn(l, 0);
		while (sock_read(fd, sink, sizeof(sink)) > 0) {
		}
	}
}

static void write_piece(struct loop *l, int fd, struct sv piece)
{
	while (piece.n) {
		ptrdiff_t n = sock_write(fd, piece);

		if (n <= 0)
			return;
		piece = sv_drop(piece, (size_t)n);
		settle(l, fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_limits limits = { .message_max = 4096, .streams_max = 50 };
	struct loop *l = loop_new_virtual(1, 1);
	struct world w = { .running = 0 };
	struct grpc_service service = { methods, ARRAY_LEN(methods), &w };
	struct grpc_server *s = grpc_server_new(l, &limits);
	size_t from = 0, i;
	int fd[2];

	grpc_server_add(s, &service);
	must(sock_pair(fd) == 0);
	grpc_server_adopt(s, fd[1]);
	write_piece(l, fd[0], SV("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
	for (i = 0; i + 1 < size; i++)
		if (data[i] == 0xff && data[i + 1] == 0xff) {
			write_piece(l, fd[0], sv_make(data + from, i - from));
			(void)loop_turn(l, 1000);
			from = i + 2;
			i++;
		}
	write_piece(l, fd[0], sv_make(data + MIN(from, size), size - MIN(from, size)));
	settle(l, fd[0]);
	must(grpc_server_calls(s) >= w.running);
	sock_close(&fd[0]);
	for (i = 0; i < 8; i++)
		(void)loop_turn(l, 0);
	must(grpc_server_connections(s) == 0 && grpc_server_calls(s) == 0 && w.running == 0);
	grpc_server_free(&s);
	(void)loop_turn(l, 0);
	loop_free(&l);
	return 0;
}
