#include "transport/dial.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"
#include "core/fsx.h"
#include "lab.h"
#include "transport/resolve.h"
#include "transport/sock.h"
#include "transport/tls.h"

/* A real loop: TCP and the name's file take their time. */
struct fixture {
	struct loop *loop;
	struct sock_listener l;
	uint16_t port;
	char dir[64], hosts[96], conf[96], sock[96];
	struct resolve_files files;
	struct stream *stream;
	bool called;
	int status;
	char text[256];
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->loop = loop_new();
	assert_int_equal(sock_listen_tcp(&f->l, "127.0.0.1", &f->port, NULL), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_dial.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->hosts, sizeof(f->hosts), "%s/hosts", f->dir);
	(void)snprintf(f->conf, sizeof(f->conf), "%s/conf", f->dir);
	(void)snprintf(f->sock, sizeof(f->sock), "%s/s.sock", f->dir);
	assert_int_equal(fsx_replace(f->hosts,
				     SV("127.0.0.2 two\n127.0.0.1 two\n127.0.0.2 none\n"
					"127.0.0.3 none\n"),
				     0600, 0),
			 0);
	f->files = (struct resolve_files){ f->conf, f->hosts };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stream_free(&f->stream);
	sock_listener_done(&f->l);
	lab_settle(f->loop);
	loop_free(&f->loop);
	(void)unlink(f->hosts);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
	return 0;
}

static void on_data(void *arg, struct sv data)
{
	(void)arg;
	(void)data;
}

static void on_fill(void *arg, struct buf *out)
{
	(void)arg;
	(void)out;
}

static void on_end(void *arg, int status, const struct err *e)
{
	(void)arg;
	(void)status;
	(void)e;
}

static const struct stream_events events = { .on_data = on_data,
					     .on_fill = on_fill,
					     .on_end = on_end };

static void on_dialled(void *arg, int status, struct stream *s, const struct err *e)
{
	struct fixture *f = arg;

	assert_false(f->called);
	f->called = true;
	f->status = status;
	f->stream = s;
	assert_true((status == 0) == (s != NULL));
	(void)snprintf(f->text, sizeof(f->text), "%s", err_text(e));
}

static void dial(struct fixture *f, struct dial_target t)
{
	t.resolve = &f->files;
	t.limit_ms = t.limit_ms ? t.limit_ms : 5000;
	stream_free(&f->stream);
	f->called = false;
	assert_non_null(dial_start(f->loop, &t, &events, on_dialled, f));
	assert_false(f->called); /* never from inside */
	lab_until(f->loop, f->called);
}

static void test_addresses(void **state)
{
	struct fixture *f = *state;

	dial(f, (struct dial_target){ .host = "127.0.0.1", .port = f->port });
	assert_int_equal(f->status, 0);
	assert_true(stream_is_up(f->stream));
	/* The first address refuses, the second answers. */
	dial(f, (struct dial_target){ .host = "two", .port = f->port });
	assert_int_equal(f->status, 0);
	dial(f, (struct dial_target){ .host = "none", .port = f->port });
	assert_int_equal(f->status, -ECONNREFUSED);
	assert_non_null(strstr(f->text, "onnection refused"));
}

static void test_unix(void **state)
{
	struct fixture *f = *state;
	struct sock_listener l;

	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, NULL), 0);
	dial(f, (struct dial_target){ .unix_path = f->sock });
	assert_int_equal(f->status, 0);
	sock_listener_done(&l);
	dial(f, (struct dial_target){ .unix_path = f->sock });
	assert_int_equal(f->status, -ENOENT);
}

/* An address that swallows what it gets has its share of the time, then the next is tried. */
static void test_silent_address(void **state)
{
	struct fixture *f = *state;
	struct sock_addr a;
	int fd[4], s, i, one = 1;
	uint64_t start;

	assert_int_equal(sock_addr_numeric(&a, "127.0.0.2", f->port), 0);
	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(s, (struct sockaddr *)&a.ss, a.len), 0);
	assert_int_equal(listen(s, 0), 0);
	for (i = 0; i < 4; i++)
		assert_true(sock_connect(&a, &fd[i]) >= 0); /* fills its queue */
	start = loop_now_us(f->loop);
	dial(f, (struct dial_target){ .host = "two", .port = f->port, .limit_ms = 400 });
	assert_int_equal(f->status, 0);
	assert_true(loop_now_us(f->loop) - start >= 190000);
	for (i = 0; i < 4; i++)
		sock_close(&fd[i]);
	close(s);
}

static void test_tls_refusal(void **state)
{
	struct cert ca = cert_make("ca", NULL, NULL, 3600);
	struct tls_material m = { .ca_pem = sv_str(ca.pem) };
	struct fixture *f = *state;
	struct tls_client *tls;
	struct err e;
	struct dial *d;
	struct dial_target t = { .host = "127.0.0.1", .port = f->port, .limit_ms = 1000 };
	int fd = -1;

	assert_int_equal(tls_client_new(&m, "x", false, &tls, &e), 0);
	t.tls = tls;
	d = dial_start(f->loop, &t, &events, on_dialled, f);
	assert_non_null(d);
	lab_until(f->loop, sock_accept(&f->l, &fd) == 0);
	assert_int_equal(sock_write(fd, SV("this is no TLS at all\r\n")), 23);
	lab_until(f->loop, f->called);
	assert_int_equal(f->status, -EPROTO);
	sock_close(&fd);
	tls_client_free(&tls);
	cert_done(&ca);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct dial_target t = {
		.host = "two", .port = f->port, .limit_ms = 1000, .resolve = &f->files
	};
	struct dial *d;
	int i, turns;

	/* At each step of its way. */
	for (turns = 0; turns < 8; turns++) {
		f->called = false;
		d = dial_start(f->loop, &t, &events, on_dialled, f);
		for (i = 0; i < turns && !f->called; i++)
			(void)loop_turn(f->loop, 1);
		if (!f->called)
			dial_cancel(&d);
		stream_free(&f->stream);
		lab_settle(f->loop);
	}
	dial_cancel(&(struct dial *){ NULL });
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_addresses), T(test_unix), T(test_silent_address),
					    T(test_tls_refusal), T(test_cancel) };

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
