#include "test/unit/transport/h2_client_world.h"

#include <errno.h>

#include "certs.h"
#include "transport/sock.h"
#include "transport/tls.h"

static void requests_share_one_connection(void **state)
{
	struct fixture *f = fixture_new();
	struct req *a, *b;

	(void)state;
	server_start(f);
	/* Nothing is done before the first request. */
	assert_false(loop_turn(f->loop, -1));
	a = send_to(f, "/echo", SV("hello"), 5000);
	b = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, a->ended && b->ended);
	assert_int_equal(a->status, 0);
	assert_true(a->sent);
	assert_int_equal(a->http, 200);
	assert_int_equal(a->body, 5);
	assert_string_equal(a->tail, "tail=yes");
	assert_int_equal(b->body, 0);
	assert_int_equal(h2_client_stats(f->client)->connects, 1);
	assert_int_equal(h2_client_stats(f->client)->requests, 2);
	expect_states(f, "cu");
	/* Idle: not one timer, on either side. */
	assert_false(loop_turn(f->loop, -1));
	assert_int_equal(loop_now_ms(f->loop), 0);
	fixture_done(f);
}

/* More than the server allows at once wait for their turn; none is lost. */
static void more_than_allowed_wait_their_turn(void **state)
{
	struct fixture *f = fixture_new();
	size_t i;

	(void)state;
	f->streams_max = 10;
	server_start(f);
	for (i = 0; i < 1000; i++)
		(void)send_to(f, "/echo", SV("x"), 60000);
	for (i = 0; i < 1000; i++) {
		lab_until(f->loop, f->reqs[i].ended);
		assert_int_equal(f->reqs[i].status, 0);
	}
	assert_true(f->most <= 10 && f->most > 1);
	assert_int_equal(h2_client_stats(f->client)->connects, 1);
	fixture_done(f);
}

static void big_bodies_go_both_ways(void **state)
{
	struct fixture *f = fixture_new();
	char *body = lab_body(BIG);
	struct req *q;

	(void)state;
	server_start(f);
	q = send_to(f, "/echo", sv_make(body, BIG), 0);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, 0);
	assert_int_equal(q->body, BIG);
	mem_free(body);
	fixture_done(f);
}

/* A big answer that is not read stalls only itself. */
static void an_unread_answer_stalls_only_itself(void **state)
{
	struct fixture *f = fixture_new();
	char *body = lab_body(BIG);
	struct req *list, *watch;
	size_t at;

	(void)state;
	server_start(f);
	list = send_to(f, "/big", SV_NONE, 0);
	h2_request_pause(list->r, true); /* before it has a stream */
	lab_until(f->loop, f->kept_n == 1);
	h2_call_respond(f->kept[0], 200, NULL, 0, false);
	h2_call_write(f->kept[0], sv_make(body, BIG));
	h2_call_end(f->kept[0], NULL, 0);
	lab_settle(f->loop);
	at = list->body;
	assert_true(at <= H2_CLIENT_WINDOW);
	watch = send_to(f, "/echo", sv_make(body, BIG), 0);
	lab_until(f->loop, watch->ended);
	assert_int_equal(watch->body, BIG);
	assert_int_equal(list->body, at);
	h2_request_pause(list->r, false);
	lab_until(f->loop, list->body > at + (1 << 20));
	h2_request_pause(list->r, true);
	lab_settle(f->loop);
	assert_false(list->ended);
	h2_request_pause(list->r, false);
	lab_until(f->loop, list->ended);
	assert_int_equal(list->body, BIG);
	mem_free(body);
	fixture_done(f);
}

static void a_request_ends_at_its_deadline(void **state)
{
	struct fixture *f = fixture_new();
	struct req *a, *b, *c;

	(void)state;
	server_start(f);
	f->streams_max = 1;
	a = send_to(f, "/hang", SV_NONE, 3000);
	lab_until(f->loop, a->ended);
	assert_int_equal(a->status, -ETIMEDOUT);
	assert_true(a->sent);
	assert_int_equal(loop_now_ms(f->loop), 3000);
	lab_settle(f->loop);
	assert_int_equal(f->now, 0); /* the server was told */
	h2_server_free(&f->server);
	lab_settle(f->loop);
	/* Waiting for a connection: the deadline tells why there was none. */
	b = send_to(f, "/echo", SV_NONE, 3000);
	c = send_to(f, "/echo", SV_NONE, 9000);
	lab_until(f->loop, b->ended);
	assert_int_equal(loop_now_ms(f->loop), 6000);
	assert_int_equal(b->status, -ENOENT);
	assert_false(b->sent);
	assert_non_null(strstr(b->text, f->sock));
	assert_false(c->ended);
	server_start(f);
	lab_until(f->loop, c->ended);
	assert_int_equal(c->status, 0);
	fixture_done(f);
}

static void reset_kept(void *arg)
{
	h2_call_reset(((struct fixture *)arg)->kept[0], H2_CANCEL);
}

/* A server that knows the deadline ends the call at it: that is the deadline, no whim of its own.
 */
static void a_cancel_at_the_deadline_is_the_deadline(void **state)
{
	static const struct {
		uint64_t at_ms;
		int status;
	} rows[] = { { 2999, -ETIMEDOUT }, { 2000, -ECANCELED } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = fixture_new();
		struct loop_timer t;
		struct req *q;

		server_start(f);
		q = send_to(f, "/hang", SV_NONE, 3000);
		loop_timer_init(&t, f->loop, reset_kept, f);
		loop_timer_set(&t, rows[i].at_ms);
		lab_until(f->loop, q->ended);
		assert_int_equal(loop_now_ms(f->loop), rows[i].at_ms);
		assert_int_equal(q->status, rows[i].status);
		assert_true(q->sent);
		fixture_done(f);
	}
}

/* The wait between two tries doubles to its cap, with jitter, and never spins. */
static void tries_back_off_with_jitter(void **state)
{
	struct fixture *f = fixture_new();
	struct req *q = send_to(f, "/echo", SV_NONE, 0);
	uint64_t tries;

	(void)state;
	while (loop_now_ms(f->loop) < 60000)
		(void)loop_turn(f->loop, 1000);
	tries = h2_client_stats(f->client)->failures;
	assert_true(tries >= 9 && tries <= 16);
	assert_int_equal(h2_client_stats(f->client)->state, H2_CLIENT_WAITING);
	assert_non_null(strstr(h2_client_stats(f->client)->last_error, "No such file"));
	server_start(f);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, 0);
	assert_true(loop_now_ms(f->loop) < 73000);
	assert_string_equal(h2_client_stats(f->client)->last_error, "");
	fixture_done(f);
}

static void a_lost_connection_fails_what_was_sent(void **state)
{
	struct fixture *f = fixture_new();
	struct req *hang, *next;

	(void)state;
	server_start(f);
	hang = send_to(f, "/hang", SV_NONE, 0);
	lab_until(f->loop, f->kept_n == 1);
	h2_server_free(&f->server);
	lab_until(f->loop, hang->ended);
	assert_int_equal(hang->status, -ECONNRESET);
	assert_true(hang->sent); /* the server may have acted */
	expect_states(f, "cuw");
	server_start(f);
	next = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, next->ended);
	assert_int_equal(next->status, 0);
	assert_int_equal(h2_client_stats(f->client)->connects, 2);
	fixture_done(f);
}

/* A server that closes what nobody uses is not dialled again before somebody does. */
static void an_idle_close_is_not_dialled_again(void **state)
{
	struct fixture *f = fixture_new();
	struct req *q;

	(void)state;
	server_start(f);
	q = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, q->ended);
	h2_server_free(&f->server);
	lab_settle(f->loop);
	assert_int_equal(h2_client_stats(f->client)->state, H2_CLIENT_IDLE);
	assert_int_equal(h2_client_stats(f->client)->failures, 0);
	assert_false(loop_turn(f->loop, -1));
	server_start(f);
	q = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, 0);
	expect_states(f, "cuicu");
	fixture_done(f);
}

static void refused_requests_are_tried_again(void **state)
{
	struct fixture *f = fixture_new();
	struct req *q;

	(void)state;
	server_start(f);
	q = send_to(f, "/refuse", SV_NONE, 0);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, -ECONNREFUSED);
	assert_false(q->sent);
	assert_int_equal(f->heads, 6); /* five more tries, no more */
	q = send_to(f, "/calm", SV_NONE, 0);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, -EBUSY);
	assert_int_equal(f->heads, 7);
	fixture_done(f);
}

static void an_answer_before_the_body_is_sent(void **state)
{
	struct fixture *f = fixture_new();
	char *body = lab_body(BIG);
	struct req *q;

	(void)state;
	server_start(f);
	q = send_to(f, "/early", sv_make(body, BIG), 0);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->http, 413);
	assert_int_equal(q->status, 0);
	mem_free(body);
	fixture_done(f);
}

static void a_cancelled_request_gets_no_callback(void **state)
{
	struct fixture *f = fixture_new();
	struct req *queued, *sent, *self, *other;

	(void)state;
	server_start(f);
	queued = send_to(f, "/hang", SV_NONE, 1000);
	h2_request_cancel(queued->r);
	sent = send_to(f, "/hang", SV_NONE, 1000);
	lab_until(f->loop, f->kept_n == 1);
	h2_request_cancel(sent->r);
	lab_until(f->loop, f->now == 0);
	self = send_to(f, "/echo", SV("some data"), 0);
	self->cancel_self = true;
	other = send_to(f, "/echo", SV("x"), 0);
	lab_until(f->loop, self->ended && other->ended);
	lab_settle(f->loop);
	assert_false(queued->ended || sent->ended);
	assert_int_equal(self->datas, 1);
	assert_int_equal(other->status, 0);
	assert_int_equal(f->heads, 3);
	assert_false(loop_turn(f->loop, -1)); /* their deadlines are gone */
	fixture_done(f);
}

static void callbacks_may_send_and_free_the_client(void **state)
{
	struct fixture *f = fixture_new();
	struct req *q;

	(void)state;
	server_start(f);
	q = send_to(f, "/echo", SV_NONE, 0);
	q->chain = true;
	lab_until(f->loop, f->n == 2 && f->reqs[1].ended);
	/* Free everything from on_data, with more under way. */
	q = send_to(f, "/echo", SV("x"), 0);
	q->free_client = true;
	(void)send_to(f, "/echo", SV("y"), 0);
	(void)send_to(f, "/hang", SV_NONE, 5000);
	lab_until(f->loop, !f->client);
	lab_settle(f->loop);
	assert_int_equal(f->now, 0);
	assert_false(f->reqs[4].ended);
	fixture_done(f);
}

/* Freed by the end of one of several requests, when the connection is lost, and by a deadline. */
static void the_end_of_a_request_may_free_the_client(void **state)
{
	struct fixture *f = fixture_new();
	struct req *q;
	size_t i, ended = 0;

	(void)state;
	server_start(f);
	for (i = 0; i < 5; i++)
		send_to(f, "/hang", SV_NONE, 0)->free_client = true;
	lab_until(f->loop, f->kept_n == 5);
	h2_server_free(&f->server);
	lab_until(f->loop, !f->client);
	lab_settle(f->loop);
	for (i = 0; i < 5; i++)
		ended += f->reqs[i].ended;
	assert_int_equal(ended, 1);
	assert_false(loop_turn(f->loop, -1));
	fixture_done(f);

	f = fixture_new();
	q = send_to(f, "/echo", SV_NONE, 1000); /* nobody there */
	q->free_client = true;
	lab_until(f->loop, !f->client);
	lab_settle(f->loop);
	assert_false(loop_turn(f->loop, -1));
	fixture_done(f);
}

static void renewing_finishes_old_streams(void **state)
{
	struct fixture *f = fixture_new();
	struct req *watch, *next;

	(void)state;
	server_start(f);
	h2_client_renew(f->client); /* nothing to renew */
	watch = send_to(f, "/hang", SV_NONE, 0);
	lab_until(f->loop, f->kept_n == 1);
	h2_client_renew(f->client);
	next = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, next->ended);
	assert_int_equal(h2_client_stats(f->client)->connects, 2);
	assert_int_equal(h2_server_connections(f->server), 2);
	assert_false(watch->ended);
	h2_call_respond(f->kept[0], 200, NULL, 0, true);
	lab_until(f->loop, watch->ended);
	assert_int_equal(watch->status, 0);
	lab_until(f->loop, h2_server_connections(f->server) == 1);
	/* A renewal while it still connects starts over. */
	h2_server_free(&f->server);
	lab_settle(f->loop);
	fixture_done(f);
}

/* A path that died is found by PING, but only while somebody waits for an answer. */
static void a_dead_path_is_found_by_ping(void **state)
{
	struct fixture *f = fixture_new();
	struct sock_listener l;
	struct req *q = NULL;
	struct err e;
	char in[4096];
	size_t pings = 0;
	int fd;

	(void)state;
	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, &e), 0);
	q = send_to(f, "/watch", SV_NONE, 0);
	lab_settle(f->loop);
	assert_int_equal(sock_accept(&l, &fd), 0);
	assert_true(sock_write(fd, SV("\0\0\0\4\0\0\0\0\0")) > 0);
	lab_settle(f->loop);
	while (!q->ended) {
		ptrdiff_t n = sock_read(fd, in, sizeof(in)), i;

		for (i = 0; i + 17 <= n; i++)
			pings += memcmp(in + i, "\0\0\10\6\0\0\0\0\0", 9) == 0;
		(void)loop_turn(f->loop, 500);
		assert_true(loop_now_ms(f->loop) < 60000);
	}
	assert_int_equal(q->status, -ETIMEDOUT);
	assert_true(q->sent);
	assert_true(pings >= 1);
	assert_true(loop_now_ms(f->loop) >= 45000 && loop_now_ms(f->loop) < 46000);
	sock_close(&fd);
	sock_listener_done(&l);
	fixture_done(f);
}

/* A live path is asked now and then and never given up; after long idling the next request asks. */
static void a_live_path_is_not_given_up(void **state)
{
	struct fixture *f = fixture_new();
	struct req *watch, *late;

	(void)state;
	server_start(f);
	watch = send_to(f, "/hang", SV_NONE, 0);
	lab_until(f->loop, f->kept_n == 1);
	while (loop_now_ms(f->loop) < 600000)
		(void)loop_turn(f->loop, 5000);
	assert_false(watch->ended);
	h2_call_respond(f->kept[0], 200, NULL, 0, true);
	lab_until(f->loop, watch->ended);
	assert_false(loop_turn(f->loop, -1));
	late = send_to(f, "/echo", SV_NONE, 0);
	lab_until(f->loop, late->ended);
	lab_settle(f->loop);
	assert_false(loop_turn(f->loop, -1));
	assert_int_equal(h2_client_stats(f->client)->connects, 1);
	fixture_done(f);
}

static void a_connection_that_never_stands(void **state)
{
	struct fixture *f = fixture_new();
	struct sock_listener l;
	struct req *q;
	struct err e;

	(void)state;
	/* Accepts and never speaks. */
	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, &e), 0);
	q = send_to(f, "/echo", SV_NONE, 15000);
	lab_until(f->loop, h2_client_stats(f->client)->failures == 1);
	assert_int_equal(loop_now_ms(f->loop), 10000);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, -ETIMEDOUT);
	assert_false(q->sent);
	assert_non_null(strstr(q->text, "no connection after 10000 ms"));
	sock_listener_done(&l);
	fixture_done(f);
}

static void a_server_of_another_protocol(void **state)
{
	struct fixture *f = fixture_new();
	struct sock_listener l;
	struct req *q;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(sock_listen_unix(&l, f->sock, 0600, &e), 0);
	q = send_to(f, "/echo", SV_NONE, 1000);
	lab_settle(f->loop);
	assert_int_equal(sock_accept(&l, &fd), 0);
	assert_true(sock_write(fd, SV("HTTP/1.1 400 Bad Request\r\n\r\n")) > 0);
	lab_until(f->loop, q->ended);
	assert_true(q->status < 0);
	assert_false(q->sent);
	sock_close(&fd);
	sock_listener_done(&l);
	fixture_done(f);
}

static void a_socket_path_that_cannot_be_dialled(void **state)
{
	struct fixture *f = fixture_new();
	struct h2_client_conf conf = { .unix_path =
					   "/x/01234567890123456789012345678901234567890123"
					   "4567890123456789012345678901234567890123456789"
					   "01234567890123456789012345678901234567890123" };
	struct req *q;

	(void)state;
	h2_client_free(&f->client);
	f->client = h2_client_new(f->loop, &conf);
	q = send_to(f, "/echo", SV_NONE, 1000);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, -ENAMETOOLONG);
	fixture_done(f);
}

/* Over TCP and TLS: names, addresses, a wrong certificate, a changed CA. */
static void tls_by_name_address_and_ca(void **state)
{
	struct cert ca = cert_make("ca", NULL, NULL, 3600),
		    other = cert_make("o", NULL, NULL, 3600);
	struct cert leaf = cert_make("leaf", "IP:127.0.0.1", &ca, 3600);
	struct tls_material cm = { .ca_pem = sv_str(ca.pem) }, om = { .ca_pem = sv_str(other.pem) };
	struct tls_material sm = { .cert_pem = sv_str(leaf.pem), .key_pem = sv_str(leaf.key_pem) };
	struct fixture *f = fixture_new();
	struct h2_server_conf sc = { .events = &events, .arg = f };
	struct h2_client_conf conf = { .host = "127.0.0.1" };
	struct tls_client *good, *bad;
	struct tls_server *ts;
	struct err e;
	struct req *q;

	(void)state;
	assert_int_equal(tls_client_new(&cm, "127.0.0.1", false, &good, &e), 0);
	assert_int_equal(tls_client_new(&om, "127.0.0.1", false, &bad, &e), 0);
	assert_int_equal(tls_server_new(&sm, &ts, &e), 0);
	h2_client_free(&f->client);
	loop_free(&f->loop);
	f->loop = loop_new(); /* TCP takes its time */
	f->server = h2_server_new(f->loop, &sc);
	assert_int_equal(h2_server_listen_tcp(f->server, "127.0.0.1", &conf.port, ts, &e), 0);
	conf.tls = good;
	f->client = h2_client_new(f->loop, &conf);
	q = send_to(f, "/echo", SV("secret"), 5000);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, 0);
	assert_int_equal(q->body, 6);
	h2_client_free(&f->client);
	conf.tls = bad;
	f->client = h2_client_new(f->loop, &conf);
	q = send_to(f, "/echo", SV("secret"), 300);
	lab_until(f->loop, q->ended);
	assert_int_equal(q->status, -EPROTO);
	assert_false(q->sent);
	assert_non_null(strstr(q->text, "certificate"));
	h2_client_free(&f->client);
	conf.tls = NULL; /* plain bytes to a TLS port */
	f->client = h2_client_new(f->loop, &conf);
	q = send_to(f, "/echo", SV("x"), 300);
	lab_until(f->loop, q->ended);
	assert_true(q->status < 0);
	h2_server_free(&f->server);
	lab_settle(f->loop);
	fixture_done(f);
	tls_client_free(&good);
	tls_client_free(&bad);
	tls_server_free(&ts);
	cert_done(&ca);
	cert_done(&other);
	cert_done(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_share_one_connection),
		cmocka_unit_test(more_than_allowed_wait_their_turn),
		cmocka_unit_test(big_bodies_go_both_ways),
		cmocka_unit_test(an_unread_answer_stalls_only_itself),
		cmocka_unit_test(a_request_ends_at_its_deadline),
		cmocka_unit_test(a_cancel_at_the_deadline_is_the_deadline),
		cmocka_unit_test(tries_back_off_with_jitter),
		cmocka_unit_test(a_lost_connection_fails_what_was_sent),
		cmocka_unit_test(an_idle_close_is_not_dialled_again),
		cmocka_unit_test(refused_requests_are_tried_again),
		cmocka_unit_test(an_answer_before_the_body_is_sent),
		cmocka_unit_test(a_cancelled_request_gets_no_callback),
		cmocka_unit_test(callbacks_may_send_and_free_the_client),
		cmocka_unit_test(the_end_of_a_request_may_free_the_client),
		cmocka_unit_test(renewing_finishes_old_streams),
		cmocka_unit_test(a_dead_path_is_found_by_ping),
		cmocka_unit_test(a_live_path_is_not_given_up),
		cmocka_unit_test(a_connection_that_never_stands),
		cmocka_unit_test(a_server_of_another_protocol),
		cmocka_unit_test(a_socket_path_that_cannot_be_dialled),
		cmocka_unit_test(tls_by_name_address_and_ca),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
