#include "transport/h2_server.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"
#include "lab.h"
#include "transport/sock.h"

enum { CALLS_MAX = 4096 };

struct fixture {
	struct loop *loop;
	struct h2_server *server;
	struct h2_call *calls[CALLS_MAX];
	size_t heads, ends, gone, data;
	char path[64], authority[128];
	bool drained, free_in_head, free_in_gone;
	char dir[64], sock[96];
};

/* A raw client. */
struct peer {
	struct fixture *f;
	int fd;
	struct buf in, out;
	bool eof;
};

static void on_head(void *arg, struct h2_call *c, const struct h2_head *head)
{
	struct fixture *f = arg;

	assert_true(f->heads < CALLS_MAX);
	f->calls[f->heads++] = c;
	(void)sv_copy(f->path, sizeof(f->path), head->path);
	(void)sv_copy(f->authority, sizeof(f->authority), head->authority);
	h2_call_set_user(c, f);
	if (f->free_in_head)
		h2_server_free(&f->server);
}

static void on_data(void *arg, struct h2_call *c, struct sv data)
{
	struct fixture *f = arg;

	assert_ptr_equal(h2_call_user(c), f);
	f->data += data.n;
}

static void on_end(void *arg, struct h2_call *c)
{
	(void)c;
	((struct fixture *)arg)->ends++;
}

static void on_gone(void *arg, struct h2_call *c)
{
	struct fixture *f = arg;
	size_t i = 0;

	while (f->calls[i] != c)
		assert_true(++i < f->heads);
	f->calls[i] = NULL;
	f->gone++;
	if (f->free_in_gone)
		h2_server_free(&f->server);
}

static const struct h2_server_events events = { on_head, on_data, on_end, on_gone };

static struct fixture *fixture_new(struct h2_server_conf conf)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->loop = loop_new_virtual(0, 7);
	conf.events = &events;
	conf.arg = f;
	f->server = h2_server_new(f->loop, &conf);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_h2s.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->sock, sizeof(f->sock), "%s/s.sock", f->dir);
	return f;
}

static void fixture_done(struct fixture *f)
{
	h2_server_free(&f->server);
	lab_settle(f->loop);
	assert_int_equal(f->gone, f->heads);
	loop_free(&f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
}

static void peer_init(struct peer *p, struct fixture *f, int fd)
{
	*p = (struct peer){ .f = f, .fd = fd };
	buf_init(&p->in, 64 << 20);
	buf_init(&p->out, 64 << 20);
}

static void peer_open(struct peer *p, struct fixture *f)
{
	int fd[2];

	assert_int_equal(sock_pair(fd), 0);
	h2_server_adopt(f->server, fd[1]);
	peer_init(p, f, fd[0]);
}

static void peer_done(struct peer *p)
{
	sock_close(&p->fd);
	buf_done(&p->in);
	buf_done(&p->out);
}

/* Writes what waits, lets the server work, reads what came. No virtual time passes. */
static void talk(struct peer *p)
{
	char piece[65536];
	ptrdiff_t n;
	int i;

	for (i = 0; i < 60; i++) {
		if (buf_len(&p->out)) {
			n = sock_write(p->fd, buf_sv(&p->out));
			if (n > 0)
				buf_take(&p->out, (size_t)n);
			else if (n != -EAGAIN)
				buf_clear(&p->out);
		}
		(void)loop_turn(p->f->loop, 0);
		n = sock_read(p->fd, piece, sizeof(piece));
		if (n == 0)
			p->eof = true;
		if (n > 0)
			assert_true(buf_put(&p->in, piece, (size_t)n));
	}
}

#define POST ":method=POST;:scheme=http;:path=/p;:authority=a"

static void hello(struct peer *p)
{
	put_hello(&p->out);
	talk(p);
	put_frame(&p->out, F_SETTINGS, F_ACK, 0, SV_NONE);
}

static void test_call(void **state)
{
	static const struct h2_header h[] = { { SV("x"), SV("y") } };
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p;
	struct frame r;

	(void)state;
	peer_open(&p, f);
	talk(&p);
	/* SETTINGS comes first and at once, without a word from the client. */
	assert_true(find_frame(buf_sv(&p.in), F_SETTINGS, 0, &r));
	hello(&p);
	put_headers(&p.out, 1, POST, false);
	talk(&p);
	assert_int_equal(f->heads, 1);
	assert_string_equal(f->path, "/p");
	assert_string_equal(f->authority, "a");
	assert_int_equal(h2_server_calls(f->server), 1);
	put_frame(&p.out, F_DATA, 0, 1, SV("abc"));
	put_frame(&p.out, F_DATA, F_END_STREAM, 1, SV_NONE);
	talk(&p);
	assert_int_equal(f->data, 3);
	assert_int_equal(f->ends, 1);
	buf_clear(&p.in);
	h2_call_respond(f->calls[0], 200, h, 1, false);
	h2_call_write(f->calls[0], SV("body"));
	assert_int_equal(h2_call_queued(f->calls[0]), 4);
	h2_call_end(f->calls[0], h, 1);
	talk(&p);
	assert_true(find_frame(buf_sv(&p.in), F_DATA, 1, &r));
	lab_eq(r.payload, "body");
	assert_int_equal(f->gone, 1);
	assert_int_equal(h2_server_calls(f->server), 0);
	assert_int_equal(h2_server_connections(f->server), 1);
	/* Nothing left to do: not one timer is armed while the connection is idle. */
	assert_false(loop_turn(f->loop, -1));
	peer_done(&p);
	lab_settle(f->loop);
	assert_int_equal(h2_server_connections(f->server), 0);
	fixture_done(f);
}

/* A client that says nothing, half a preface, or a preface without SETTINGS. */
static void test_slow_hello(void **state)
{
	static const char *const said[] = { "", "PRI * HT", PREFACE };
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		peer_open(&p[i], f);
		buf_puts(&p[i].out, said[i]);
		talk(&p[i]);
	}
	assert_int_equal(h2_server_connections(f->server), 3);
	lab_until(f->loop, h2_server_connections(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), H2_SERVER_HELLO_MS);
	for (i = 0; i < 3; i++) {
		talk(&p[i]);
		assert_true(p[i].eof);
		peer_done(&p[i]);
	}
	fixture_done(f);
}

static void test_slow_block(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct buf block;
	struct peer p;

	(void)state;
	peer_open(&p, f);
	hello(&p);
	buf_init(&block, 1024);
	put_fields(&block, POST);
	put_frame(&p.out, F_HEADERS, 0, 1, buf_sv(&block));
	talk(&p);
	assert_int_equal(h2_server_connections(f->server), 1);
	lab_until(f->loop, h2_server_connections(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), H2_SERVER_HELLO_MS);
	assert_int_equal(f->heads, 0);
	buf_done(&block);
	peer_done(&p);
	fixture_done(f);
}

/* The most idle connection makes room; of a peer that has more than half the longest one. */
static void test_connections_max(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ .connections_max = 2 });
	struct peer a, b, c, d;
	struct sock_addr addr;
	struct frame r;
	struct err e;
	int fd;

	(void)state;
	assert_int_equal(h2_server_listen_unix(f->server, f->sock, 0600, &e), 0);
	assert_int_equal(sock_addr_unix(&addr, f->sock, &e), 0);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	peer_init(&a, f, fd);
	hello(&a);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	peer_init(&b, f, fd);
	hello(&b);
	put_headers(&a.out, 1, POST, false); /* a is busy now */
	talk(&a);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	peer_init(&c, f, fd);
	hello(&c);
	talk(&b);
	assert_true(b.eof);
	assert_true(find_frame(buf_sv(&b.in), F_GOAWAY, 0, &r)); /* told, and nothing was seen */
	assert_int_equal(frame_u32(&r, 0), 0);
	assert_false(a.eof || c.eof);
	put_headers(&c.out, 1, POST, false);
	talk(&c);
	assert_int_equal(f->heads, 2);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	peer_init(&d, f, fd);
	hello(&d);
	talk(&a);
	assert_true(a.eof);
	assert_false(c.eof || d.eof);
	sock_close(&b.fd);
	lab_settle(f->loop);
	assert_int_equal(h2_server_connections(f->server), 2);
	peer_done(&a);
	peer_done(&b);
	peer_done(&c);
	peer_done(&d);
	fixture_done(f);
}

static void connect_to(struct fixture *f, struct peer *p)
{
	struct sock_addr addr;
	int fd;

	assert_int_equal(sock_addr_unix(&addr, f->sock, NULL), 0);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	peer_init(p, f, fd);
	talk(p);
}

/* A crowd that says nothing keeps nobody out, and goes before one that rests. */
static void test_silent_crowd(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ .connections_max = 2 });
	struct peer p[5];
	size_t i;

	(void)state;
	assert_int_equal(h2_server_listen_unix(f->server, f->sock, 0600, NULL), 0);
	connect_to(f, &p[0]);
	(void)loop_turn(f->loop, 500);
	connect_to(f, &p[1]);
	connect_to(f, &p[2]);
	talk(&p[0]);
	assert_true(p[0].eof); /* they may be about to speak, but all are of one peer */
	assert_false(p[1].eof || p[2].eof);
	while (loop_now_ms(f->loop) < 1200)
		(void)loop_turn(f->loop, 100);
	connect_to(f, &p[3]);
	hello(&p[3]);
	talk(&p[1]);
	talk(&p[2]);
	assert_true(p[1].eof);
	assert_false(p[2].eof || p[3].eof);
	/* Nor does the one that rests go while there is such a one. */
	while (loop_now_ms(f->loop) < 1800)
		(void)loop_turn(f->loop, 100);
	connect_to(f, &p[4]);
	hello(&p[4]);
	talk(&p[2]);
	talk(&p[3]);
	assert_true(p[2].eof);
	assert_false(p[3].eof || p[4].eof);
	for (i = 0; i < 5; i++)
		peer_done(&p[i]);
	fixture_done(f);
}

/* Without descriptors the listener rests a while instead of spinning, and comes back. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct rlimit old, few;
	struct sock_addr addr;
	struct peer p;
	uint64_t turns;
	int fd;

	(void)state;
	assert_int_equal(h2_server_listen_unix(f->server, f->sock, 0600, NULL), 0);
	assert_int_equal(sock_addr_unix(&addr, f->sock, NULL), 0);
	assert_int_equal(sock_connect(&addr, &fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	turns = loop_stats(f->loop)->turns;
	while (loop_now_ms(f->loop) < 10000)
		(void)loop_turn(f->loop, 10000);
	turns = loop_stats(f->loop)->turns - turns;
	assert_true(turns < 500);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	lab_until(f->loop, h2_server_connections(f->server) == 1);
	peer_init(&p, f, fd);
	hello(&p);
	put_headers(&p.out, 1, POST, true);
	talk(&p);
	assert_int_equal(f->heads, 1);
	peer_done(&p);
	lab_settle(f->loop);
	fixture_done(f);
}

/* As another user, in a child, since the uid is the process's. */
static bool welcome(const char *path, uid_t uid, struct fixture *f)
{
	int status = -1, pipes[2];
	struct sock_addr a;
	char c = 0;
	int i, fd;
	pid_t pid;

	assert_int_equal(sock_addr_unix(&a, path, NULL), 0);
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		ptrdiff_t n = -EAGAIN;

		alarm(10);
		if (setuid(uid) != 0 || sock_connect(&a, &fd) != 0)
			_exit(2);
		while (n == -EAGAIN)
			n = sock_read(fd, &c, 1);
		_exit(n == 1 ? 0 : 1);
	}
	for (i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) == 0; i++) {
		(void)loop_turn(f->loop, 0);
		usleep(1000);
	}
	close(pipes[0]);
	close(pipes[1]);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
	return WEXITSTATUS(status) == 0;
}

static void test_root_only(void **state)
{
	struct fixture *strict = fixture_new((struct h2_server_conf){ .root_only = true });
	struct fixture *open = fixture_new((struct h2_server_conf){ 0 });
	struct err e;

	(void)state;
	if (geteuid() != 0) {
		fixture_done(strict);
		fixture_done(open);
		skip();
	}
	assert_int_equal(chmod(strict->dir, 0755), 0);
	assert_int_equal(chmod(open->dir, 0755), 0);
	assert_int_equal(h2_server_listen_unix(strict->server, strict->sock, 0666, &e), 0);
	assert_int_equal(h2_server_listen_unix(open->server, open->sock, 0666, &e), 0);
	assert_true(welcome(strict->sock, 0, strict));
	assert_false(welcome(strict->sock, 65534, strict));
	assert_true(welcome(open->sock, 65534, open));
	fixture_done(strict);
	fixture_done(open);
}

static void on_drained(void *arg)
{
	((struct fixture *)arg)->drained = true;
}

static void test_drain(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p, silent;
	struct frame r;
	struct sv in;

	(void)state;
	peer_open(&p, f);
	hello(&p);
	peer_open(&silent, f); /* has not said hello */
	put_headers(&p.out, 1, POST, true);
	talk(&p);
	buf_clear(&p.in);
	h2_server_drain(f->server, on_drained, f);
	talk(&p);
	talk(&silent);
	assert_true(silent.eof);
	in = buf_sv(&p.in);
	assert_true(find_frame(in, F_GOAWAY, 0, &r));
	assert_int_equal(frame_u32(&r, 0), 0x7fffffff);
	assert_true(find_frame(in, F_PING, 0, &r));
	/* Before the PING is back, new calls still pass. */
	put_headers(&p.out, 3, POST, true);
	put_frame(&p.out, F_PING, F_ACK, 0, sv_make(r.payload.p, 8));
	buf_clear(&p.in);
	talk(&p);
	assert_int_equal(f->heads, 2);
	assert_true(find_frame(buf_sv(&p.in), F_GOAWAY, 0, &r));
	assert_int_equal(frame_u32(&r, 0), 3);
	/* After it they do not. */
	put_headers(&p.out, 5, POST, true);
	talk(&p);
	assert_int_equal(f->heads, 2);
	assert_false(f->drained);
	h2_call_respond(f->calls[0], 200, NULL, 0, true);
	talk(&p);
	assert_false(f->drained || p.eof);
	h2_call_respond(f->calls[1], 200, NULL, 0, true);
	talk(&p);
	assert_true(p.eof); /* half closed: the last words are out */
	assert_false(f->drained);
	sock_close(&p.fd);
	lab_until(f->loop, f->drained);
	assert_int_equal(loop_now_ms(f->loop), 0);
	peer_done(&p);
	peer_done(&silent);
	fixture_done(f);
}

/* A client that never answers the PING is drained all the same. */
static void test_drain_deaf(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p;

	(void)state;
	peer_open(&p, f);
	hello(&p);
	h2_server_drain(f->server, on_drained, f);
	lab_until(f->loop, f->drained);
	assert_int_equal(loop_now_ms(f->loop), H2_SERVER_DRAIN_MS + 1000);
	peer_done(&p);
	fixture_done(f);
	f = fixture_new((struct h2_server_conf){ 0 });
	h2_server_drain(f->server, on_drained, f); /* with nobody there */
	lab_until(f->loop, f->drained);
	fixture_done(f);
}

/* Answers nobody reads are bounded per connection. */
static void test_queued_max(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ .queued_max = 1 << 20 });
	char *body = lab_body(600 << 10);
	struct peer p;
	struct frame r;

	(void)state;
	peer_open(&p, f);
	hello(&p);
	put_headers(&p.out, 1, POST, true);
	put_headers(&p.out, 3, POST, true);
	talk(&p);
	assert_int_equal(f->heads, 2);
	buf_clear(&p.in);
	h2_call_respond(f->calls[0], 200, NULL, 0, false);
	h2_call_write(f->calls[0], sv_make(body, 600 << 10));
	h2_call_respond(f->calls[1], 200, NULL, 0, false);
	h2_call_write(f->calls[1], sv_make(body, 600 << 10));
	talk(&p);
	assert_true(find_frame(buf_sv(&p.in), F_GOAWAY, 0, &r));
	assert_int_equal(frame_u32(&r, 4), H2_ENHANCE_YOUR_CALM);
	sock_close(&p.fd);
	lab_settle(f->loop);
	assert_int_equal(h2_server_connections(f->server), 0);
	assert_int_equal(f->gone, 2);
	mem_free(body);
	peer_done(&p);
	fixture_done(f);
}

static void test_abrupt_end(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p;

	(void)state;
	peer_open(&p, f);
	hello(&p);
	put_headers(&p.out, 1, POST, false);
	put_headers(&p.out, 3, POST, true);
	talk(&p);
	assert_int_equal(f->heads, 2);
	h2_call_respond(f->calls[1], 200, NULL, 0, false);
	h2_call_write(f->calls[1], SV("under way"));
	sock_close(&p.fd);
	lab_settle(f->loop);
	assert_int_equal(f->gone, 2);
	assert_int_equal(h2_server_connections(f->server), 0);
	peer_done(&p);
	fixture_done(f);
}

static void test_broken_bytes(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p;

	(void)state;
	peer_open(&p, f);
	buf_puts(&p.out, "GET / HTTP/1.1\r\n\r\n");
	talk(&p);
	assert_true(p.eof);
	peer_done(&p);
	peer_open(&p, f);
	hello(&p);
	put_headers(&p.out, 1, POST, false);
	put_frame(&p.out, F_PING, 0, 0, SV("short"));
	talk(&p);
	assert_true(p.eof);
	peer_done(&p);
	lab_settle(f->loop);
	assert_int_equal(f->gone, f->heads);
	fixture_done(f);
}

static void test_free_inside(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ 0 });
	struct peer p;

	(void)state;
	f->free_in_head = true;
	peer_open(&p, f);
	hello(&p);
	put_headers(&p.out, 1, POST, true);
	put_headers(&p.out, 3, POST, true);
	put_frame(&p.out, F_PING, 0, 0, SV("12345678"));
	talk(&p);
	assert_null(f->server);
	assert_int_equal(f->heads, 1);
	assert_true(p.eof);
	peer_done(&p);
	fixture_done(f);

	f = fixture_new((struct h2_server_conf){ 0 });
	f->free_in_gone = true;
	peer_open(&p, f);
	hello(&p);
	put_headers(&p.out, 1, POST, true);
	put_headers(&p.out, 3, POST, true);
	talk(&p);
	h2_call_respond(f->calls[0], 200, NULL, 0, false);
	h2_call_write(f->calls[0], SV("x"));
	h2_call_end(f->calls[0], NULL, 0);
	h2_call_respond(f->calls[1], 200, NULL, 0, false);
	h2_call_write(f->calls[1], SV("x"));
	h2_call_end(f->calls[1], NULL, 0);
	talk(&p);
	assert_null(f->server);
	assert_int_equal(f->gone, 2);
	peer_done(&p);
	fixture_done(f);
}

/* Every split of one whole conversation gives the same. */
static void test_split(void **state)
{
	struct fixture *f = fixture_new((struct h2_server_conf){ .connections_max = 1000 });
	struct buf all;
	struct peer p;
	size_t cut, n;

	(void)state;
	buf_init(&all, 4096);
	put_hello(&all);
	put_headers(&all, 1, POST, false);
	put_frame(&all, F_DATA, 0, 1, SV("ab"));
	put_frame(&all, F_DATA, F_END_STREAM, 1, SV("c"));
	n = buf_len(&all);
	for (cut = 0; cut <= n; cut++) {
		f->heads = f->ends = f->data = f->gone = 0;
		peer_open(&p, f);
		buf_put(&p.out, all.data, cut);
		talk(&p);
		buf_put(&p.out, all.data + cut, n - cut);
		talk(&p);
		assert_int_equal(f->heads, 1);
		assert_int_equal(f->data, 3);
		assert_int_equal(f->ends, 1);
		peer_done(&p);
		lab_settle(f->loop);
		assert_int_equal(f->gone, 1);
	}
	buf_done(&all);
	fixture_done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),	       cmocka_unit_test(test_slow_hello),
		cmocka_unit_test(test_slow_block),     cmocka_unit_test(test_connections_max),
		cmocka_unit_test(test_no_descriptors), cmocka_unit_test(test_root_only),
		cmocka_unit_test(test_drain),	       cmocka_unit_test(test_drain_deaf),
		cmocka_unit_test(test_queued_max),     cmocka_unit_test(test_abrupt_end),
		cmocka_unit_test(test_broken_bytes),   cmocka_unit_test(test_free_inside),
		cmocka_unit_test(test_split),	       cmocka_unit_test(test_silent_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
