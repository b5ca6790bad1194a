/* Servers that say GOAWAY or close: what goes on, what is sent again, how often is dialled. */
#include "test/unit/transport/h2_client_world.h"

#include <errno.h>

#include "certs.h"
#include "transport/sock.h"
#include "transport/tls.h"

static void on_idle(void *arg)
{
	*(bool *)arg = true;
}

/* GOAWAY: what runs goes on there, what is new gets a fresh connection. */
static void goaway_opens_a_fresh_connection(void **state)
{
	struct fixture *f = fixture_new();
	struct h2_server *old;
	struct req *watch, *next, *first;
	bool idle = false;

	(void)state;
	server_start(f);
	first = send_to(f, "/echo", SV_NONE, 0);
	watch = send_to(f, "/hang", SV_NONE, 0);
	lab_until(f->loop, f->kept_n == 1 && first->ended);
	old = f->server;
	h2_server_drain(old, on_idle, &idle);
	server_start(f);
	lab_settle(f->loop);
	next = send_to(f, "/echo", SV("x"), 0);
	lab_until(f->loop, next->ended);
	assert_int_equal(next->status, 0);
	assert_int_equal(h2_client_stats(f->client)->connects, 2);
	assert_true(h2_client_stats(f->client)->goaways >= 1);
	assert_false(watch->ended || idle);
	h2_call_respond(f->kept[0], 200, NULL, 0, false);
	h2_call_write(f->kept[0], SV("event"));
	lab_until(f->loop, watch->body == 5);
	h2_call_end(f->kept[0], NULL, 0);
	lab_until(f->loop, watch->ended && idle);
	assert_int_equal(watch->status, 0);
	assert_int_equal(h2_client_stats(f->client)->failures, 0);
	h2_server_free(&old);
	fixture_done(f);
}

/* Requests that crossed the GOAWAY on their way are sent again, unseen by their owners. */
static void what_crosses_a_goaway_is_sent_again(void **state)
{
	struct fixture *f = fixture_new();
	struct h2_server *old;
	struct req *first;
	bool idle = false;
	size_t i;

	(void)state;
	server_start(f);
	first = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, first->ended);
	old = f->server;
	for (i = 0; i < 200; i++) {
		(void)send_to(f, "/echo", SV("again"), 60000);
		if (i == 100) {
			h2_server_drain(old, on_idle, &idle);
			server_start(f);
		}
		(void)loop_turn(f->loop, 0);
	}
	for (i = 1; i < f->n; i++) {
		lab_until(f->loop, f->reqs[i].ended);
		assert_int_equal(f->reqs[i].status, 0);
		assert_int_equal(f->reqs[i].body, 5);
	}
	lab_until(f->loop, idle);
	h2_server_free(&old);
	fixture_done(f);
}

/* A server that says GOAWAY to every connection at once is not dialled in a loop. */
static void useless_goaways_are_not_dialled_in_a_loop(void **state)
{
	struct fixture *f = fixture_new();
	struct sock_listener l;
	unsigned accepts = 0;
	struct req *q;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, &e), 0);
	q = send_to(f, "/echo", SV_NONE, 0);
	while (loop_now_ms(f->loop) < 30000) {
		if (sock_accept(&l, &fd) == 0) {
			accepts++;
			assert_true(sock_write(fd, SV("\0\0\0\4\0\0\0\0\0"
						      "\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\0")) > 0);
			lab_settle(f->loop);
			sock_close(&fd);
		}
		(void)loop_turn(f->loop, 100);
	}
	assert_true(accepts > 3 && accepts < 20);
	assert_false(q->ended);
	sock_listener_done(&l);
	fixture_done(f);
}

/* The server's end of one TLS connection: SETTINGS and a close in the same breath. */
static void greet_and_leave(struct fixture *f, const struct tls_server *ts, int fd)
{
	struct tls_session *s = tls_server_session(ts);
	char in[16384], plain[256];
	struct buf out;
	ptrdiff_t n;
	struct err e;

	buf_init(&out, 1 << 20);
	while (!tls_session_ready(s)) {
		n = sock_read(fd, in, sizeof(in));
		assert_true(n > 0 || n == -EAGAIN);
		if (n > 0) {
			tls_session_feed(s, sv_make(in, (size_t)n));
			while (tls_session_read(s, plain, sizeof(plain), &out, &e) > 0)
				;
		}
		if (tls_session_ready(s)) {
			assert_int_equal(tls_session_write(s, SV("\0\0\0\4\0\0\0\0\0"), &out, &e),
					 0);
			tls_session_shutdown(s, &out);
		}
		if (buf_len(&out))
			assert_int_equal(sock_write(fd, buf_sv(&out)), buf_len(&out));
		buf_clear(&out);
		(void)loop_turn(f->loop, 0);
	}
	buf_done(&out);
	tls_session_free(&s);
}

/* Nor is one that closes before a request could be sent: TLS tells both in one read. */
static void closing_at_once_is_not_dialled_in_a_loop(void **state)
{
	struct cert ca = cert_make("ca", NULL, NULL, 3600);
	struct cert leaf = cert_make("leaf", "DNS:x", &ca, 3600);
	struct tls_material cm = { .ca_pem = sv_str(ca.pem) };
	struct tls_material sm = { .cert_pem = sv_str(leaf.pem), .key_pem = sv_str(leaf.key_pem) };
	struct fixture *f = fixture_new();
	struct h2_client_conf conf = { .unix_path = f->sock };
	struct sock_listener l;
	struct tls_client *tc;
	struct tls_server *ts;
	unsigned accepts = 0;
	struct req *q;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(tls_client_new(&cm, "x", false, &tc, &e), 0);
	assert_int_equal(tls_server_new(&sm, &ts, &e), 0);
	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, &e), 0);
	h2_client_free(&f->client);
	conf.tls = tc;
	f->client = h2_client_new(f->loop, &conf);
	q = send_to(f, "/echo", SV_NONE, 0);
	while (loop_now_ms(f->loop) < 30000 && accepts < 100) {
		if (sock_accept(&l, &fd) == 0) {
			accepts++;
			greet_and_leave(f, ts, fd);
			sock_close(&fd);
		}
		(void)loop_turn(f->loop, 100);
	}
	assert_true(accepts > 3 && accepts < 20);
	assert_false(q->ended);
	assert_true(h2_client_stats(f->client)->failures >= accepts - 1);
	sock_listener_done(&l);
	fixture_done(f);
	tls_client_free(&tc);
	tls_server_free(&ts);
	cert_done(&ca);
	cert_done(&leaf);
}

/* A connection that ended by GOAWAY after a good life forgives what was before it. */
static void a_good_life_forgives_what_was_before(void **state)
{
	struct fixture *f = fixture_new();
	struct h2_server *old;
	struct req *q = send_to(f, "/hang", SV_NONE, 0);
	bool idle = false;
	uint64_t lost;

	(void)state;
	while (loop_now_ms(f->loop) < 60000) /* nobody there: the waits grow to their cap */
		(void)loop_turn(f->loop, 1000);
	server_start(f);
	lab_until(f->loop, f->kept_n == 1);
	while (loop_now_ms(f->loop) < 120000)
		(void)loop_turn(f->loop, 1000);
	old = f->server;
	h2_server_drain(old, on_idle, &idle);
	server_start(f);
	lab_settle(f->loop);
	h2_call_respond(f->kept[0], 200, NULL, 0, true);
	lab_until(f->loop, q->ended && idle);
	q = send_to(f, "/hang", SV_NONE, 0);
	lab_until(f->loop, f->kept_n == 2);
	h2_server_free(&f->server);
	lab_until(f->loop, q->ended);
	lost = loop_now_ms(f->loop);
	server_start(f);
	q = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, q->ended);
	assert_true(loop_now_ms(f->loop) - lost < 200);
	h2_server_free(&old);
	fixture_done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goaway_opens_a_fresh_connection),
		cmocka_unit_test(what_crosses_a_goaway_is_sent_again),
		cmocka_unit_test(useless_goaways_are_not_dialled_in_a_loop),
		cmocka_unit_test(closing_at_once_is_not_dialled_in_a_loop),
		cmocka_unit_test(a_good_life_forgives_what_was_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
