#include "transport/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"
#include "lab.h"
#include "transport/sock.h"
#include "transport/tls.h"

/* One end. `give` bytes of a pattern are still to be sent; what came is counted and checked. */
struct end {
	struct stream *s;
	size_t give, given, got, fills, reads;
	bool up, finish, free_on_data, echo;
	int ended; /* times */
	int status;
	char text[128];
};

static char pattern(size_t i)
{
	return (char)('a' + i % 23);
}

static void on_up(void *arg)
{
	((struct end *)arg)->up = true;
}

static void on_data(void *arg, struct sv data)
{
	struct end *e = arg;
	size_t i;

	e->reads++;
	for (i = 0; i < data.n; i++)
		if (data.p[i] != pattern(e->got + i))
			fail_msg("byte %zu is wrong", e->got + i);
	e->got += data.n;
	if (e->echo) {
		e->give += data.n;
		stream_kick(e->s);
	}
	if (e->free_on_data)
		stream_free(&e->s);
}

static void on_fill(void *arg, struct buf *out)
{
	struct end *e = arg;

	e->fills++;
	while (e->give && buf_len(out) < STREAM_HIGH) {
		buf_putc(out, pattern(e->given++));
		e->give--;
	}
	if (e->finish && !e->give)
		stream_finish(e->s);
}

static void on_end(void *arg, int status, const struct err *err)
{
	struct end *e = arg;

	e->ended++;
	e->status = status;
	(void)snprintf(e->text, sizeof(e->text), "%s", err_text(err));
}

static const struct stream_events events = {
	.on_up = on_up,
	.on_data = on_data,
	.on_fill = on_fill,
	.on_end = on_end,
};

static void pair(struct loop *l, struct end *a, struct end *b)
{
	int fd[2];

	assert_int_equal(sock_pair(fd), 0);
	*a = (struct end){ .s = stream_new(l, fd[0], false, NULL, &events, a) };
	*b = (struct end){ .s = stream_new(l, fd[1], false, NULL, &events, b) };
	assert_true(stream_is_up(a->s));
}

static void done(struct loop **l, struct end *a, struct end *b)
{
	stream_free(&a->s);
	stream_free(&b->s);
	stream_free(&b->s);
	lab_settle(*l);
	loop_free(l);
}

static void test_both_ways(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a, b;

	(void)state;
	pair(l, &a, &b);
	a.give = 3 << 20;
	b.give = 2 << 20;
	stream_kick(a.s);
	stream_kick(b.s);
	lab_until(l, a.got == 2 << 20 && b.got == 3 << 20);
	lab_settle(l);
	assert_true(stream_flushed(a.s) && stream_flushed(b.s));
	assert_int_equal(loop_now_ms(l), 0); /* no timer had to pass */
	assert_false(loop_turn(l, -1));	     /* and none is left behind */
	done(&l, &a, &b);
}

/* Many kicks in one turn are one question and one write. */
static void test_one_write_per_turn(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a, b;
	int i;

	(void)state;
	pair(l, &a, &b);
	lab_settle(l);
	a.fills = 0;
	for (i = 0; i < 60; i++) {
		a.give += 100;
		stream_kick(a.s);
	}
	lab_until(l, b.got == 6000);
	assert_int_equal(a.fills, 1);
	assert_int_equal(b.reads, 1);
	done(&l, &a, &b);
}

/* A peer that does not read stops the production of output, and then is not read from either. */
static void test_backpressure(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a = { .give = 100 << 20, .echo = true };
	size_t made, sent = 0, from;
	int fd[2], i;
	char in[4096], *out = lab_body(64 * 23);
	ptrdiff_t n;

	(void)state;
	assert_int_equal(sock_pair(fd), 0);
	a.s = stream_new(l, fd[0], false, NULL, &events, &a);
	stream_kick(a.s);
	lab_settle(l);
	made = a.given;
	assert_true(made < 2 << 20);
	assert_false(stream_flushed(a.s));
	for (i = 0; i < 10000; i++) {
		n = sock_write(fd[1], sv_make(out, 64 * 23));
		sent += n > 0 ? (size_t)n / 23 * 23 : 0;
		if (n == -EAGAIN || (n > 0 && n % 23))
			break;
		(void)loop_turn(l, 0);
	}
	assert_true(sent < 2 << 20);
	assert_true(a.got < 256 << 10 && a.given < made + (256 << 10));
	/* When it reads again, all goes on. */
	from = a.given;
	while ((n = sock_read(fd[1], in, sizeof(in))) > 0) {
	}
	lab_until(l,
		  (n = sock_read(fd[1], in, sizeof(in))) == -EAGAIN || a.given > from + (1 << 20));
	assert_true(a.got > 0);
	stream_free(&a.s);
	sock_close(&fd[1]);
	lab_settle(l);
	loop_free(&l);
	mem_free(out);
}

static void test_stall(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a = { .give = 10 << 20 };
	int fd[2];

	(void)state;
	assert_int_equal(sock_pair(fd), 0);
	a.s = stream_new(l, fd[0], false, NULL, &events, &a);
	stream_kick(a.s);
	lab_until(l, a.ended);
	assert_int_equal(a.status, -ETIMEDOUT);
	assert_true(loop_now_ms(l) >= STREAM_STALL_MS && loop_now_ms(l) < STREAM_STALL_MS + 1000);
	stream_kick(a.s); /* harmless */
	stream_free(&a.s);
	sock_close(&fd[1]);
	lab_settle(l);
	loop_free(&l);
}

/* The last words arrive whole, then both sides end in order. */
static void test_finish(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a, b;

	(void)state;
	pair(l, &a, &b);
	a.give = 1 << 20;
	a.finish = true;
	stream_kick(a.s);
	lab_until(l, b.ended);
	assert_int_equal(b.got, 1 << 20);
	assert_int_equal(b.status, 0);
	assert_true(stream_finishing(a.s));
	stream_free(&b.s);
	lab_until(l, a.ended);
	assert_int_equal(a.status, 0);
	assert_int_equal(loop_now_ms(l), 0);
	stream_finish(a.s); /* idempotent */
	lab_settle(l);
	assert_int_equal(a.ended, 1);
	done(&l, &a, &b);
}

/* A peer that never ends its side is waited for, but not for long; its bytes are dropped. */
static void test_linger(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a = { .finish = true };
	int fd[2];
	char in[8];

	(void)state;
	assert_int_equal(sock_pair(fd), 0);
	a.s = stream_new(l, fd[0], false, NULL, &events, &a);
	stream_kick(a.s);
	lab_until(l, stream_finishing(a.s));
	lab_settle(l);
	assert_int_equal(sock_read(fd[1], in, sizeof(in)), 0);
	assert_int_equal(sock_write(fd[1], SV("late")), 4);
	lab_until(l, a.ended);
	assert_int_equal(a.status, 0);
	assert_int_equal(a.got, 0);
	assert_int_equal(loop_now_ms(l), STREAM_LINGER_MS);
	stream_free(&a.s);
	sock_close(&fd[1]);
	lab_settle(l);
	loop_free(&l);
}

/* What a peer said before it went is heard, even when our write fails first. */
static void test_last_words(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a = { .give = 1000 };
	int fd[2];

	(void)state;
	assert_int_equal(sock_pair(fd), 0);
	a.s = stream_new(l, fd[0], false, NULL, &events, &a);
	assert_int_equal(sock_write(fd[1], SV("abcdef")), 6);
	sock_close(&fd[1]);
	stream_kick(a.s); /* the write comes in the same turn as the read, or before */
	(void)loop_turn(l, 0);
	lab_settle(l);
	assert_int_equal(a.got, 6);
	assert_int_equal(a.ended, 1);
	stream_free(&a.s);
	lab_settle(l);
	loop_free(&l);
}

static void test_free_inside(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct end a, b;

	(void)state;
	pair(l, &a, &b);
	a.give = 200000;
	b.free_on_data = true;
	stream_kick(a.s);
	lab_until(l, !b.s);
	lab_until(l, a.ended);
	assert_int_equal(b.ended, 0);
	done(&l, &a, &b);
}

static void test_connect(void **state)
{
	struct loop *l = loop_new();
	struct end a = { .up = false };
	struct sock_listener listener;
	struct sock_addr addr;
	uint16_t port = 0;
	int fd, r;

	(void)state;
	assert_int_equal(sock_listen_tcp(&listener, "127.0.0.1", &port, NULL), 0);
	assert_int_equal(sock_addr_numeric(&addr, "127.0.0.1", port), 0);
	r = sock_connect(&addr, &fd);
	assert_true(r >= 0);
	a.s = stream_new(l, fd, true, NULL, &events, &a);
	assert_false(stream_is_up(a.s));
	lab_until(l, a.up);
	assert_true(stream_is_up(a.s));
	stream_free(&a.s);
	sock_listener_done(&listener);
	/* Nobody there. */
	r = sock_connect(&addr, &fd);
	if (r >= 0) {
		a = (struct end){ .s = stream_new(l, fd, true, NULL, &events, &a) };
		lab_until(l, a.ended);
		assert_int_equal(a.status, -ECONNREFUSED);
		assert_false(a.up);
		stream_free(&a.s);
	}
	lab_settle(l);
	loop_free(&l);
}

static void tls_pair(struct loop *l, struct tls_client *tc, struct tls_server *ts, struct end *c,
		     struct end *s)
{
	int fd[2];

	assert_int_equal(sock_pair(fd), 0);
	*c = (struct end){ .s = stream_new(l, fd[0], false, tls_client_session(tc), &events, c) };
	*s = (struct end){ .s = stream_new(l, fd[1], false, tls_server_session(ts), &events, s) };
}

static void test_tls(void **state)
{
	struct cert ca = cert_make("ca", NULL, NULL, 3600);
	struct cert leaf = cert_make("leaf", "DNS:leaf", &ca, 3600);
	struct tls_material cm = { .ca_pem = sv_str(ca.pem) };
	struct tls_material sm = { .cert_pem = sv_str(leaf.pem), .key_pem = sv_str(leaf.key_pem) };
	struct loop *l = loop_new_virtual(0, 1);
	struct tls_client *tc, *wrong;
	struct tls_server *ts;
	struct end c, s;
	struct err e;

	(void)state;
	assert_int_equal(tls_client_new(&cm, "leaf", false, &tc, &e), 0);
	assert_int_equal(tls_client_new(&cm, "other", false, &wrong, &e), 0);
	assert_int_equal(tls_server_new(&sm, &ts, &e), 0);
	tls_pair(l, tc, ts, &c, &s);
	assert_false(stream_is_up(c.s));
	c.give = 2 << 20;
	s.give = 1 << 20;
	stream_kick(c.s);
	stream_kick(s.s);
	lab_until(l, c.up && s.up);
	lab_until(l, s.got == 2 << 20 && c.got == 1 << 20);
	c.finish = true;
	stream_kick(c.s);
	lab_until(l, s.ended);
	assert_int_equal(s.status, 0);
	stream_free(&s.s);
	lab_until(l, c.ended);
	stream_free(&c.s);
	assert_int_equal(loop_now_ms(l), 0);

	/* A name that the server does not have: both are told why. */
	tls_pair(l, wrong, ts, &c, &s);
	lab_until(l, c.ended && s.ended);
	assert_false(c.up || s.up);
	assert_int_equal(c.status, -EPROTO);
	assert_non_null(strstr(c.text, "mismatch"));
	assert_int_equal(s.status, -EPROTO);
	assert_non_null(strstr(s.text, "alert"));
	stream_free(&c.s);

	/* Gone in the middle of the handshake. */
	stream_free(&s.s);
	tls_pair(l, tc, ts, &c, &s);
	stream_free(&s.s);
	lab_until(l, c.ended);
	assert_true(c.status < 0);
	done(&l, &c, &s);
	tls_client_free(&tc);
	tls_client_free(&wrong);
	tls_server_free(&ts);
	cert_done(&ca);
	cert_done(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),    cmocka_unit_test(test_one_write_per_turn),
		cmocka_unit_test(test_backpressure), cmocka_unit_test(test_stall),
		cmocka_unit_test(test_finish),	     cmocka_unit_test(test_linger),
		cmocka_unit_test(test_last_words),   cmocka_unit_test(test_free_inside),
		cmocka_unit_test(test_connect),	     cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
