#include "transport/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab.h"

enum { BIG = 3 * 1024 * 1024, MANY = 80, LIMIT = 64 };

/* A real loop: evhttp's timeouts are libevent's, which know no virtual time. */
struct fixture {
	struct loop *loop;
	struct http *http;
	uint16_t port;
	char dir[64], sock[96], query[256];
	unsigned calls;
};

static void on_hello(void *ctx, const char *query, struct http_reply *reply)
{
	struct fixture *f = ctx;

	f->calls++;
	(void)snprintf(f->query, sizeof(f->query), "%s", query);
	buf_puts(reply->body, "hello\n");
}

static void on_big(void *ctx, const char *query, struct http_reply *reply)
{
	char *body = lab_body(BIG);

	(void)ctx;
	(void)query;
	reply->content_type = "application/json";
	buf_put(reply->body, body, BIG);
	mem_free(body);
}

static void on_unready(void *ctx, const char *query, struct http_reply *reply)
{
	(void)ctx;
	(void)query;
	reply->status = 503;
	buf_puts(reply->body, "no driver\n");
}

static void on_tagged(void *ctx, const char *query, struct http_reply *reply)
{
	static const char *const headers[] = { "Cache-Control", "no-cache", "X-More", "yes", NULL };

	(void)ctx;
	reply->headers = headers;
	if (!strcmp(query, "broken"))
		reply->status = 503;
	(void)snprintf(reply->etag, sizeof(reply->etag), "%s\"v1\"",
		       !strcmp(query, "weak") ? "W/" : "");
	buf_puts(reply->body, "the page\n");
}

static void on_endless(void *ctx, const char *query, struct http_reply *reply)
{
	(void)ctx;
	(void)query;
	while (buf_puts(reply->body, "0123456789abcdef0123456789abcdef0123456789abcdef")) {
	}
}

static int setup_on(struct loop *l, void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct http_route routes[] = { { "/hello", on_hello, f },
				       { "/big", on_big, f },
				       { "/readyz", on_unready, f },
				       { "/tagged", on_tagged, f },
				       { "/endless", on_endless, f } };
	struct err e;
	size_t i;

	f->loop = l;
	f->http = http_new(f->loop);
	for (i = 0; i < ARRAY_LEN(routes); i++)
		http_add(f->http, &routes[i]);
	assert_int_equal(http_listen(f->http, "127.0.0.1:0", &f->port, &e), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_http.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->sock, sizeof(f->sock), "%s/status.sock", f->dir);
	assert_int_equal(http_listen_unix(f->http, f->sock, 0600, &e), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_on(loop_new(), state);
}

/* For our own limits, which are the loop's timers; evhttp's do not pass here. */
static int setup_virtual(void **state)
{
	return setup_on(loop_new_virtual(0, 5), state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(&f->http);
	http_free(&f->http);
	lab_settle(f->loop);
	loop_free(&f->loop);
	assert_int_equal(rmdir(f->dir), 0); /* the socket is gone */
	mem_free(f);
	return 0;
}

/* As the peer 127.0.0.<host>. */
static int dial_from(const struct fixture *f, uint32_t host)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	a.sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffu) + host);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(f->port);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int dial(const struct fixture *f)
{
	return dial_from(f, 1);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop and reads until the peer closes or `enough` bytes came; what was read. */
static char *hear(struct fixture *f, int fd, size_t enough)
{
	struct buf in;
	char piece[65536];
	ssize_t n;
	int i;

	buf_init(&in, 2 * BIG);
	for (i = 0; i < 5000 && buf_len(&in) < enough; i++) {
		(void)loop_turn(f->loop, 1);
		n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n > 0)
			buf_put(&in, piece, (size_t)n);
	}
	return buf_steal(&in);
}

static char *get(struct fixture *f, const char *request)
{
	int fd = dial(f);
	char *in;

	say(fd, request);
	in = hear(f, fd, SIZE_MAX);
	close(fd);
	return in;
}

static void expect(struct fixture *f, const char *request, const char *start, const char *inside)
{
	char *in = get(f, request);

	if (strncmp(in, start, strlen(start)) != 0 || !strstr(in, inside))
		fail_msg("%s\ngave\n%s", request, in);
	mem_free(in);
}

#define CLOSE " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void test_replies(void **state)
{
	struct fixture *f = *state;

	expect(f, "GET /hello" CLOSE, "HTTP/1.1 200 OK\r\n", "\r\n\r\nhello\n");
	expect(f, "GET /hello" CLOSE, "HTTP/1.1 200 OK\r\n", "text/plain");
	assert_string_equal(f->query, "");
	expect(f, "GET /hello?a=b&c=%20" CLOSE, "HTTP/1.1 200", "hello");
	assert_string_equal(f->query, "a=b&c=%20");
	expect(f, "GET /readyz" CLOSE, "HTTP/1.1 503 ", "no driver\n");
	expect(f, "GET /none" CLOSE, "HTTP/1.1 404 ", "not found");
	expect(f, "GET /hello/" CLOSE, "HTTP/1.1 404 ", "");
	expect(f, "GET /" CLOSE, "HTTP/1.1 404 ", "");
	expect(f, "GET /endless" CLOSE, "HTTP/1.1 500 ", "");
	expect(f, "GET /hello HTTP/1.0\r\n\r\n", "HTTP/1.0 200", "hello");
	assert_int_equal(f->calls, 4);
}

static void test_head(void **state)
{
	struct fixture *f = *state;
	char *in = get(f, "HEAD /hello" CLOSE);

	assert_non_null(strstr(in, "200 OK"));
	assert_non_null(strstr(in, "Content-Length: 6\r\n"));
	assert_null(strstr(in, "hello"));
	mem_free(in);
}

#define HAS(tag) " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIf-None-Match: " tag "\r\n\r\n"

static void test_etag(void **state)
{
	static const char *const known[] = {
		"GET /tagged" HAS("\"v1\""),
		"GET /tagged" HAS("W/\"v1\""),
		"GET /tagged?weak" HAS("\"v1\""),
		"GET /tagged?weak" HAS("W/\"v1\""),
		"GET /tagged" HAS("\"a\", \"v1\""),
		"GET /tagged" HAS("\"a\",W/\"v1\" , \"b\""),
		"GET /tagged" HAS("*"),
	};
	static const char *const news[] = {
		"GET /tagged" CLOSE,	      "GET /tagged" HAS("\"v2\""), "GET /tagged" HAS("v1"),
		"GET /tagged" HAS("\"v1\"x"), "GET /tagged" HAS(""),	   "GET /tagged" HAS(", ,"),
	};
	struct fixture *f = *state;
	char *in;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		expect(f, known[i], "HTTP/1.1 304 ", "ETag: ");
		in = get(f, known[i]);
		assert_string_equal(strstr(in, "\r\n\r\n"), "\r\n\r\n"); /* no body */
		mem_free(in);
	}
	for (size_t i = 0; i < ARRAY_LEN(news); i++)
		expect(f, news[i], "HTTP/1.1 200 ", "\r\n\r\nthe page\n");
	expect(f, "GET /tagged" CLOSE, "HTTP/1.1 200 ", "\r\nCache-Control: no-cache\r\n");
	expect(f, "GET /tagged" CLOSE, "HTTP/1.1 200 ", "\r\nX-More: yes\r\n");
	expect(f, "GET /tagged?weak" CLOSE, "HTTP/1.1 200 ", "\r\nETag: W/\"v1\"\r\n");
	expect(f, "GET /tagged?broken" HAS("\"v1\""), "HTTP/1.1 503 ", "the page\n");
	expect(f, "HEAD /tagged" HAS("\"v1\""), "HTTP/1.1 304 ", "");
	expect(f, "GET /hello" HAS("\"\""), "HTTP/1.1 200 ", "hello");
}

static void test_big(void **state)
{
	struct fixture *f = *state;
	char *in = get(f, "GET /big" CLOSE), *want = lab_body(BIG);
	char *body = strstr(in, "\r\n\r\n");

	assert_non_null(strstr(in, "application/json"));
	assert_non_null(body);
	assert_int_equal(strlen(body + 4), BIG);
	assert_memory_equal(body + 4, want, BIG);
	mem_free(want);
	mem_free(in);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	char *big = mem_printf("GET /hello HTTP/1.1\r\nX: %09000d\r\nConnection: close\r\n\r\n", 1);

	expect(f, "POST /hello" CLOSE, "HTTP/1.1 501", "");
	expect(f, "DELETE /hello" CLOSE, "HTTP/1.1 501", "");
	expect(f, "GET /hello HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde",
	       "HTTP/1.1 413", "");
	expect(f, big, "HTTP/1.1 400", "");
	expect(f, "garbage\r\n\r\n", "", "");
	expect(f, "\x16\x03\x01 tls hello\r\n\r\n", "", "");
	assert_int_equal(f->calls, 0);
	mem_free(big);
}

/* One byte at a time is the same request. */
static void test_split(void **state)
{
	static const char request[] = "GET /hello?x" CLOSE;
	struct fixture *f = *state;
	int fd = dial(f);
	size_t i;
	char *in;

	for (i = 0; i < sizeof(request) - 1; i++) {
		assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
		(void)loop_turn(f->loop, 0);
	}
	in = hear(f, fd, SIZE_MAX);
	assert_non_null(strstr(in, "hello"));
	mem_free(in);
	close(fd);
}

static void test_keep_alive(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), i;
	char *in;

	for (i = 0; i < 10; i++) {
		say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		in = hear(f, fd, 60);
		assert_non_null(strstr(in, "hello"));
		mem_free(in);
	}
	assert_int_equal(f->calls, 10);
	close(fd);
}

static void test_unix(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	char *in;

	assert_int_equal(stat(f->sock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	memcpy(a.sun_path, f->sock, strlen(f->sock) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	say(fd, "GET /hello" CLOSE);
	in = hear(f, fd, SIZE_MAX);
	assert_non_null(strstr(in, "hello"));
	mem_free(in);
	close(fd);
}

static bool is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

/* The 65th takes the place of the oldest; when all went, there is room again. */
static void test_connections_max(void **state)
{
	struct fixture *f = *state;
	int fd[MANY], i, j, closed = 0;

	for (i = 0; i < MANY; i++) {
		fd[i] = dial(f);
		for (j = 0; j < 4; j++)
			(void)loop_turn(f->loop, 0);
	}
	for (i = 0; i < 200; i++)
		(void)loop_turn(f->loop, 1);
	for (i = 0; i < MANY; i++) {
		closed += is_closed(fd[i]);
		assert_int_equal(is_closed(fd[i]), i < MANY - LIMIT);
	}
	assert_int_equal(closed, MANY - LIMIT);
	for (i = 0; i < MANY; i++)
		close(fd[i]);
	for (i = 0; i < 50; i++)
		(void)loop_turn(f->loop, 1);
	expect(f, "GET /hello" CLOSE, "HTTP/1.1 200", "hello");
}

static void pass(struct fixture *f, uint64_t until_ms)
{
	while (loop_now_ms(f->loop) < until_ms)
		(void)loop_turn(f->loop, (int64_t)(until_ms - loop_now_ms(f->loop)));
	lab_settle(f->loop);
}

/* A request that comes byte by byte, none ever late, has its time; a client that asks has more. */
static void test_slow_request(void **state)
{
	struct fixture *f = *state;
	int slow = dial(f), good = dial(f), i;
	char *in;

	say(slow, "GET /hello HTTP/1.1\r\nX: ");
	for (i = 1; i <= 15; i++) {
		say(good, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		in = hear(f, good, 60);
		assert_non_null(strstr(in, "hello"));
		mem_free(in);
		if (i <= 4)
			say(slow, "y");
		pass(f, (uint64_t)i * 4000);
		if (i * 4000 < 20000)
			assert_false(is_closed(slow));
		else if (i * 4000 > 25000)
			assert_true(is_closed(slow));
	}
	assert_true(is_closed(slow));
	assert_false(is_closed(good));
	close(slow);
	close(good);
}

/*
 * 64 that say nothing keep nobody out. Where they are of many peers they have a second: then no
 * peer has more than its share, and who has just come may be about to speak.
 */
static void test_silent_crowd(void **state)
{
	struct fixture *f = *state;
	int fd[LIMIT], late, i, closed = 0;

	for (i = 0; i < LIMIT; i++) {
		fd[i] = dial_from(f, 2 + (uint32_t)i);
		pass(f, (uint64_t)i);
		pass(f, (uint64_t)i + 2);
	}
	late = dial(f);
	pass(f, 500);
	assert_true(is_closed(late));
	close(late);
	pass(f, 1500);
	expect(f, "GET /hello" CLOSE, "HTTP/1.1 200", "hello");
	for (i = 0; i < LIMIT; i++)
		closed += is_closed(fd[i]);
	assert_int_equal(closed, 1);
	assert_true(is_closed(fd[0]));
	for (i = 0; i < LIMIT; i++)
		close(fd[i]);
}

/* A crowd of one peer costs only that: who rests elsewhere keeps its place. */
static void test_greedy_crowd(void **state)
{
	struct fixture *f = *state;
	int quiet = dial_from(f, 9), fd[MANY], i;
	char *in;

	for (i = 0; i < MANY; i++) {
		fd[i] = dial(f);
		pass(f, (uint64_t)i);
		pass(f, (uint64_t)i + 2);
	}
	assert_false(is_closed(quiet));
	assert_true(is_closed(fd[0]));
	say(quiet, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	in = hear(f, quiet, 60);
	assert_non_null(strstr(in, "hello"));
	mem_free(in);
	close(quiet);
	for (i = 0; i < MANY; i++)
		close(fd[i]);
}

/* What a client sends ahead while it takes no answer is not kept. */
static void test_pipeline_unread(void **state)
{
	static const char get[] = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	int fd = dial(f), stuck = 0;
	size_t sent = 0;
	ssize_t n;

	/* Until our socket's buffers and its are full and it still reads nothing. */
	while (stuck < 50 && sent < (64 << 20)) {
		n = send(fd, get, sizeof(get) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		stuck = n > 0 ? 0 : stuck + 1;
		sent += n > 0 ? (size_t)n : 0;
		(void)loop_turn(f->loop, n > 0 ? 0 : 1);
	}
	assert_int_equal(stuck, 50);
	close(fd);
}

/* No request of ours has a body; what comes behind one is not taken for a request. */
static void test_body(void **state)
{
	static const char *const more[] = { "Content-Length: 35\r\n",
					    "Content-Length: 0\r\nContent-Length: 35\r\n",
					    "Transfer-Encoding: chunked\r\n",
					    "Content-Length: x\r\n" };
	struct fixture *f = *state;
	char text[256];
	size_t i;

	for (i = 0; i < ARRAY_LEN(more); i++) {
		char *in;
		int fd = dial(f);

		(void)snprintf(text, sizeof(text),
			       "GET /hello HTTP/1.1\r\nHost: x\r\n%s\r\n"
			       "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
			       more[i]);
		say(fd, text);
		in = hear(f, fd, SIZE_MAX);
		assert_null(strstr(in, "hello\n"));
		mem_free(in);
		close(fd);
	}
	expect(f, "GET /hello HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	       "HTTP/1.1 200", "hello");
}

/* Without descriptors the loop does not spin, and service comes back. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, few;
	uint64_t turns;
	int fd;
	char *in;

	fd = dial(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	turns = loop_stats(f->loop)->turns;
	{
		uint64_t until = loop_now_us(f->loop) + 300000;

		while (loop_now_us(f->loop) < until)
			(void)loop_turn(f->loop, 50);
	}
	turns = loop_stats(f->loop)->turns - turns;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(turns < 40);
	say(fd, "GET /hello" CLOSE);
	in = hear(f, fd, SIZE_MAX);
	assert_non_null(strstr(in, "hello"));
	mem_free(in);
	close(fd);
}

static void test_endpoints(void **state)
{
	static const char *const bad[] = { "", "x", "127.0.0.1", ":x", ":-1", ":65536", ":80x" };
	struct fixture *f = *state;
	uint16_t port;
	struct err e;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(http_listen(f->http, bad[i], &port, &e), -EINVAL);
	{
		char taken[32];

		(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", f->port);
		assert_int_equal(http_listen(f->http, taken, &port, &e), -EADDRINUSE);
		assert_non_null(strstr(e.text, taken));
	}
	assert_int_equal(http_listen(f->http, ":0", &port, &e), 0);
	assert_int_not_equal(port, 0);
	assert_int_equal(http_listen(f->http, "[::1]:0", NULL, &e), 0);
}

static void on_free_inside(void *ctx, const char *query, struct http_reply *reply)
{
	struct fixture *f = ctx;

	(void)query;
	buf_puts(reply->body, "last words\n");
	http_free(&f->http);
}

static void test_free_inside(void **state)
{
	struct fixture *f = *state;
	struct http_route route = { "/die", on_free_inside, f };
	int fd;

	http_add(f->http, &route);
	fd = dial(f);
	say(fd, "GET /die" CLOSE);
	mem_free(hear(f, fd, SIZE_MAX));
	assert_null(f->http);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_etag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_big, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep_alive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connections_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_request, setup_virtual, teardown),
		cmocka_unit_test_setup_teardown(test_silent_crowd, setup_virtual, teardown),
		cmocka_unit_test_setup_teardown(test_greedy_crowd, setup_virtual, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline_unread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_inside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
