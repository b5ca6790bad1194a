/*
 * A connection that is cut after every possible byte, in each direction: a call ends exactly once,
 * nothing is left behind on either side, and the next call works.
 */
#include <errno.h>
#include <unistd.h>

#include "lab.h"
#include "transport/grpc_client.h"
#include "transport/grpc_server.h"
#include "transport/sock.h"

enum { FOREVER = 1 << 30 };

struct fixture {
	struct loop *loop;
	struct grpc_server *server;
	struct h2_client *client;
	struct sock_listener relay;
	int near, far; /* the relay's two ends, -1 = none */
	size_t up, down, up_max, down_max;
	char dir[64], front[96], back[96];
	size_t ended, messages, running;
	int code;
};

static void on_echo(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_reply(c, message);
}

static const struct grpc_method methods[] = { { "/t.S/Echo", false, on_echo } };

static void cut(struct fixture *f)
{
	sock_close(&f->near);
	sock_close(&f->far);
}

/* Moves what is there in one direction; false when the connection is over. */
static bool move(int from, int to, size_t *moved, size_t max)
{
	char in[512];
	ptrdiff_t n = sock_read(from, in, MIN(sizeof(in), max - *moved));

	if (n == 0 || (n < 0 && n != -EAGAIN))
		return false;
	if (n > 0 && sock_write(to, sv_make(in, (size_t)n)) != n)
		return false;
	*moved += n > 0 ? (size_t)n : 0;
	return *moved < max;
}

static void relay(struct fixture *f)
{
	struct sock_addr a;

	if (f->near < 0) {
		if (sock_accept(&f->relay, &f->near) < 0)
			return;
		assert_int_equal(sock_addr_unix(&a, f->back, NULL), 0);
		assert_int_equal(sock_connect(&a, &f->far), 0);
		f->up = f->down = 0;
	}
	if (!move(f->near, f->far, &f->up, f->up_max) ||
	    !move(f->far, f->near, &f->down, f->down_max)) {
		cut(f);
		/* Cut once; the next connection is left alone. */
		f->up_max = f->down_max = FOREVER;
	}
}

static void on_message(void *arg, struct sv message)
{
	struct fixture *f = arg;

	lab_eq(message, "a message");
	f->messages++;
}

static void on_end(void *arg, int code, const char *text)
{
	struct fixture *f = arg;

	assert_non_null(text);
	f->ended++;
	f->code = code;
}

static void call(struct fixture *f)
{
	size_t before = f->ended;
	int i;

	(void)grpc_client_call(f->client, "/t.S/Echo", SV("a message"), 5000, on_message, on_end,
			       f);
	for (i = 0; i < 2000 && f->ended == before; i++) {
		relay(f);
		(void)loop_turn(f->loop, 10);
	}
	assert_int_equal(f->ended, before + 1);
}

/* One call whose connection is cut there, then one that must work. */
static bool cut_at(struct fixture *f, size_t up, size_t down)
{
	struct h2_client_conf conf = { .unix_path = f->front };
	bool whole;
	int i;

	f->ended = f->messages = 0;
	f->up_max = up;
	f->down_max = down;
	f->client = h2_client_new(f->loop, &conf);
	call(f);
	whole = f->code == GRPC_OK;
	assert_true(f->messages <= 1 && (!whole || f->messages == 1));
	f->messages = 0;
	call(f);
	if (f->code == -1) /* the cut came only now */
		call(f);
	assert_int_equal(f->code, GRPC_OK);
	h2_client_free(&f->client);
	cut(f);
	for (i = 0; i < 10; i++)
		(void)loop_turn(f->loop, 0);
	assert_int_equal(grpc_server_connections(f->server), 0);
	assert_int_equal(grpc_server_calls(f->server), 0);
	return whole;
}

static void test_every_byte(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct grpc_service service = { methods, ARRAY_LEN(methods), f };
	size_t n, broken = 0, whole = 0;
	struct err e;

	(void)state;
	f->loop = loop_new_virtual(0, 9);
	f->near = f->far = -1;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_cut.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->front, sizeof(f->front), "%s/front", f->dir);
	(void)snprintf(f->back, sizeof(f->back), "%s/back", f->dir);
	f->server = grpc_server_new(f->loop, &grpc_limits_default);
	grpc_server_add(f->server, &service);
	assert_int_equal(grpc_server_listen_unix(f->server, f->back, 0600, &e), 0);
	assert_int_equal(sock_listen_unix(&f->relay, f->front, 0600, &e), 0);
	for (n = 1; n < 400; n++) {
		if (cut_at(f, n, FOREVER))
			whole++;
		else
			broken++;
	}
	for (n = 1; n < 400; n++) {
		if (cut_at(f, FOREVER, n))
			whole++;
		else
			broken++;
	}
	/* The cuts fell on both sides of the answer, or this tested nothing. */
	assert_true(broken > 100 && whole > 100);
	sock_listener_done(&f->relay);
	grpc_server_free(&f->server);
	lab_settle(f->loop);
	loop_free(&f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_byte) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
