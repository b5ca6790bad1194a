#include "transport/grpc_server.h"

#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include "frames.h"
#include "lab.h"
#include "transport/h2.h"
#include "transport/sock.h"

enum { KEPT_MAX = 2048, MESSAGE_MAX = 1000 };

struct fixture {
	struct loop *loop;
	struct grpc_server *server;
	struct grpc_call *kept[KEPT_MAX]; /* by /t.S/Hang and /t.S/Watch */
	size_t kept_n, calls, cancels;
	bool answer_in_cancel, free_in_call, free_in_cancel, idle;
	char last[64];
	/* the raw client */
	int fd;
	struct buf in, out;
	bool eof;
	uint32_t id;
};

static void on_echo(void *ctx, struct grpc_call *c, struct sv message)
{
	struct fixture *f = ctx;

	f->calls++;
	grpc_call_reply(c, message);
}

static void on_cancel(void *arg, struct grpc_call *c)
{
	struct fixture *f = arg;

	(void)c;
	f->cancels++;
	if (f->free_in_cancel)
		grpc_server_free(&f->server);
}

static void on_hang(void *ctx, struct grpc_call *c, struct sv message)
{
	struct fixture *f = ctx;

	f->calls++;
	(void)sv_copy(f->last, sizeof(f->last), message);
	f->kept[f->kept_n++] = c;
	grpc_call_on_cancel(c, on_cancel, f);
	if (f->free_in_call)
		grpc_server_free(&f->server);
}

static void on_fail(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_fail(c, GRPC_NOT_FOUND, "no " SV_FMT "%%\n", SV_ARG(message));
}

static const struct grpc_method methods[] = {
	{ "/t.S/Echo", false, on_echo },
	{ "/t.S/Hang", false, on_hang },
	{ "/t.S/Fail", false, on_fail },
	{ "/t.S/Watch", true, on_hang },
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct grpc_service service = { methods, ARRAY_LEN(methods), f };
	struct grpc_limits limits = grpc_limits_default;
	int fd[2];

	limits.message_max = MESSAGE_MAX;
	f->loop = loop_new_virtual(1000, 3);
	f->server = grpc_server_new(f->loop, &limits);
	grpc_server_add(f->server, &service);
	assert_int_equal(sock_pair(fd), 0);
	f->fd = fd[0];
	f->id = (uint32_t)-1;
	buf_init(&f->in, 64 << 20);
	buf_init(&f->out, 64 << 20);
	grpc_server_adopt(f->server, fd[1]);
	put_hello(&f->out);
	put_frame(&f->out, F_SETTINGS, F_ACK, 0, SV_NONE); /* its windows count from here */
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	grpc_server_free(&f->server);
	grpc_server_free(&f->server);
	sock_close(&f->fd);
	lab_settle(f->loop);
	loop_free(&f->loop);
	buf_done(&f->in);
	buf_done(&f->out);
	mem_free(f);
	return 0;
}

static void talk(struct fixture *f)
{
	char piece[65536];
	ptrdiff_t n;
	int i;

	for (i = 0; i < 40; i++) {
		if (buf_len(&f->out)) {
			n = sock_write(f->fd, buf_sv(&f->out));
			if (n > 0)
				buf_take(&f->out, (size_t)n);
		}
		(void)loop_turn(f->loop, 0);
		n = sock_read(f->fd, piece, sizeof(piece));
		f->eof |= n == 0;
		if (n > 0)
			assert_true(buf_put(&f->in, piece, (size_t)n));
	}
}

#define HEAD(path) ":method=POST;:scheme=http;:path=" path ";:authority=localhost"
#define TE	   ";content-type=application/grpc;te=trailers"

static uint32_t head(struct fixture *f, const char *fields, bool end)
{
	f->id += 2;
	put_headers(&f->out, f->id, fields, end);
	return f->id;
}

static void data(struct fixture *f, uint32_t id, struct sv bytes, bool end)
{
	put_frame(&f->out, F_DATA, end ? F_END_STREAM : 0, id, bytes);
}

static uint32_t call(struct fixture *f, const char *fields, struct sv message)
{
	uint32_t id = head(f, fields, false);
	unsigned char prefix[GRPC_PREFIX];
	struct buf b;

	buf_init(&b, 1 << 24);
	grpc_prefix(prefix, message.n);
	buf_put(&b, prefix, sizeof(prefix));
	buf_put_sv(&b, message);
	data(f, id, buf_sv(&b), true);
	buf_done(&b);
	return id;
}

/* What the server said on one stream: fields as text, body, and how it ended. */
struct answer {
	char fields[2048];
	char body[4096];
	size_t body_n;
	int headers; /* frames */
	bool ended, reset;
	uint32_t code;
};

static void inflate(nghttp2_hd_inflater *hd, struct sv block, char *out, size_t size)
{
	size_t used = out ? strlen(out) : 0;
	int flags = 0;
	nghttp2_nv nv;
	ssize_t n;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		n = nghttp2_hd_inflate_hd2(hd, &nv, &flags, (const uint8_t *)block.p, block.n, 1);
		assert_true(n >= 0);
		block = sv_drop(block, (size_t)n);
		if (out && flags & NGHTTP2_HD_INFLATE_EMIT)
			used +=
			    (size_t)snprintf(out + used, size - used, "%.*s=%.*s;", (int)nv.namelen,
					     (char *)nv.name, (int)nv.valuelen, (char *)nv.value);
	}
	nghttp2_hd_inflate_end_headers(hd);
}

static struct answer answer(struct fixture *f, uint32_t id)
{
	struct answer a = { .headers = 0 };
	nghttp2_hd_inflater *hd;
	struct sv in;
	struct frame r;

	talk(f);
	in = buf_sv(&f->in);
	must(nghttp2_hd_inflate_new(&hd) == 0);
	while (next_frame(&in, &r)) {
		if (r.type == F_HEADERS)
			inflate(hd, r.payload, r.stream == id ? a.fields : NULL, sizeof(a.fields));
		if (r.stream != id)
			continue;
		if (r.type == F_RST) {
			a.reset = true;
			a.code = frame_u32(&r, 0);
		}
		if (r.type != F_HEADERS && r.type != F_DATA)
			continue;
		assert_false(a.ended);
		a.ended = r.flags & F_END_STREAM;
		a.headers += r.type == F_HEADERS;
		if (r.type == F_DATA && a.body_n + r.payload.n <= sizeof(a.body))
			memcpy(a.body + a.body_n, r.payload.p, r.payload.n);
		a.body_n += r.type == F_DATA ? r.payload.n : 0;
	}
	nghttp2_hd_inflate_del(hd);
	return a;
}

static void expect_error(struct fixture *f, uint32_t id, const char *fields)
{
	struct answer a = answer(f, id);

	/* Trailers-only: one HEADERS frame, END_STREAM, no body. */
	assert_int_equal(a.headers, 1);
	assert_int_equal(a.body_n, 0);
	assert_true(a.ended);
	assert_string_equal(a.fields, fields);
}

static void expect_echo(struct fixture *f, uint32_t id, struct sv message)
{
	struct answer a = answer(f, id);

	assert_string_equal(a.fields, ":status=200;content-type=application/grpc;grpc-status=0;");
	assert_int_equal(a.headers, 2);
	assert_true(a.ended);
	assert_int_equal(a.body_n, GRPC_PREFIX + message.n);
	assert_memory_equal(a.body + GRPC_PREFIX, message.p, message.n);
}

static void test_echo(void **state)
{
	struct fixture *f = *state;

	expect_echo(f, call(f, HEAD("/t.S/Echo") TE, SV("hi")), SV("hi"));
	expect_echo(f, call(f, HEAD("/t.S/Echo") TE, SV("")), SV(""));
	expect_echo(f, call(f, HEAD("/t.S/Echo") ";content-type=application/grpc+proto", SV("x")),
		    SV("x"));
	expect_echo(f,
		    call(f,
			 HEAD("/t.S/Echo") ";content-type=application/grpc;grpc-encoding=identity",
			 SV("x")),
		    SV("x"));
	expect_error(f, call(f, HEAD("/t.S/Fail") TE, SV("\xc3\xbc")),
		     ":status=200;content-type=application/grpc;grpc-status=5;"
		     "grpc-message=no %C3%BC%25%0A;");
	assert_int_equal(grpc_server_calls(f->server), 0);
	assert_false(loop_turn(f->loop, -1)); /* and no timer is left */
}

/* END_STREAM on an empty DATA frame; a message over many frames; byte by byte. */
static void test_pieces(void **state)
{
	struct fixture *f = *state;
	static const char whole[] = "\0\0\0\0\6abcdef";
	uint32_t id = head(f, HEAD("/t.S/Echo") TE, false);
	size_t i;

	data(f, id, sv_make(whole, sizeof(whole) - 1), false);
	talk(f);
	assert_int_equal(f->calls, 0);
	data(f, id, SV_NONE, true);
	expect_echo(f, id, SV("abcdef"));
	id = head(f, HEAD("/t.S/Echo") TE, false);
	for (i = 0; i < sizeof(whole) - 1; i++) {
		data(f, id, sv_make(whole + i, 1), i == sizeof(whole) - 2);
		talk(f);
	}
	expect_echo(f, id, SV("abcdef"));
}

static void test_authorities(void **state)
{
	static const char *const heads[] = {
		":method=POST;:scheme=http;:path=/t.S/Echo;:authority=/var/lib/kubelet/x.sock" TE,
		":method=POST;:scheme=http;:path=/t.S/Echo;:authority=%2Fvar%2Flib%2Fx.sock" TE,
		":method=POST;:scheme=http;:path=/t.S/Echo" TE,
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(heads); i++)
		expect_echo(f, call(f, heads[i], SV("a")), SV("a"));
}

static void test_refusals(void **state)
{
#define ST(http, code)                                                                             \
	":status=" http ";content-type=application/grpc;grpc-status=" code ";grpc-message="
	static const struct {
		const char *head, *want;
	} cases[] = {
		{ HEAD("/t.S/No") TE, ST("200", "12") "unknown method No for service t.S;"
						      "grpc-accept-encoding=identity;" },
		{ HEAD("/v1.X/Watch") TE,
		  ST("200", "12") "unknown service v1.X;grpc-accept-encoding=identity;" },
		{ HEAD("/t.S") TE, ST("200", "12") "malformed method name: \"/t.S\";"
						   "grpc-accept-encoding=identity;" },
		{ HEAD("/t.S/Echo/x") TE,
		  ST("200", "12") "unknown service t.S/Echo;grpc-accept-encoding=identity;" },
		{ ":method=PUT;:scheme=http;:path=/t.S/Echo" TE,
		  ST("405", "13") "Received a HEADERS frame with :method \"PUT\" which should be "
				  "POST;" },
		{ HEAD("/t.S/Echo") TE ";grpc-timeout=5",
		  ST("400", "13") "malformed grpc-timeout: \"5\";" },
		{ HEAD("/t.S/Echo") TE ";grpc-encoding=gzip",
		  ST("200", "12") "grpc: Decompressor is not installed for grpc-encoding \"gzip\";"
				  "grpc-accept-encoding=identity;" },
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		expect_error(f, call(f, cases[i].head, SV("x")), cases[i].want);
	assert_int_equal(f->calls, 0);
	expect_echo(f, call(f, HEAD("/t.S/Echo") TE, SV("a")), SV("a"));
}

/* What is not gRPC gets plain HTTP, once its request is complete. */
static void test_foreign(void **state)
{
	static const char *const heads[] = {
		HEAD("/t.S/Echo"),
		HEAD("/t.S/Echo") ";content-type=application/json",
		HEAD("/t.S/Echo") ";content-type=application/grpcweb",
		":method=GET;:scheme=http;:path=/",
	};
	struct fixture *f = *state;
	struct answer a;
	uint32_t id;
	size_t i;

	for (i = 0; i < ARRAY_LEN(heads); i++) {
		id = head(f, heads[i], false);
		data(f, id, SV("anything"), false);
		assert_int_equal(answer(f, id).headers, 0);
		data(f, id, SV_NONE, true);
		a = answer(f, id);
		assert_string_equal(a.fields,
				    ":status=415;content-type=text/plain; charset=utf-8;");
		assert_true(a.ended && a.body_n > 20 && !a.reset);
	}
	/* One that never completes is not waited for. */
	(void)head(f, heads[0], false);
	talk(f);
	lab_until(f->loop, grpc_server_calls(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), 30000);
}

static void test_messages(void **state)
{
	struct fixture *f = *state;
	char *big = lab_body(MESSAGE_MAX + 1);
	struct answer a;
	uint32_t id;

	expect_echo(f, call(f, HEAD("/t.S/Echo") TE, sv_make(big, MESSAGE_MAX)),
		    sv_make(big, MESSAGE_MAX));
	/* Refused by its prefix, long before its end. */
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\0\x7f\xff\xff\xff"), false);
	expect_error(
	    f, id, ST("200", "8") "grpc: received message larger than max (2147483647 vs. 1000);");
	a = answer(f, id);
	assert_true(a.reset && a.code == H2_NO_ERROR); /* "send no more" */
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\1\0\0\0\1x"), true);
	expect_error(f, id,
		     ST("200", "13") "grpc: compressed flag set with identity or empty "
				     "encoding;");
	id = head(f, HEAD("/t.S/Echo") TE, true);
	expect_error(f, id, ST("200", "13") "the request has no message;");
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\0\0\0\0\5ab"), true);
	expect_error(f, id, ST("200", "13") "unexpected EOF;");
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\0\0"), true);
	expect_error(f, id, ST("200", "13") "unexpected EOF;");
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\0\0\0\0\1a\0\0\0\0\1b"), true);
	expect_error(f, id, ST("200", "13") "more than one message in a request;");
	id = head(f, HEAD("/t.S/Echo") TE, false);
	data(f, id, SV("\0\0\0\0\1a"), false);
	data(f, id, SV("\0"), true);
	expect_error(f, id, ST("200", "13") "more than one message in a request;");
	assert_int_equal(f->calls, 1);
	mem_free(big);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Hang") TE ";grpc-timeout=5S", SV("x"));
	uint64_t start = loop_now_ms(f->loop);

	talk(f);
	assert_int_equal(f->kept_n, 1);
	assert_int_equal(grpc_call_due_ms(f->kept[0]), start + 5000);
	assert_string_equal(grpc_call_path(f->kept[0]), "/t.S/Hang");
	lab_until(f->loop, f->cancels);
	assert_int_equal(loop_now_ms(f->loop), start + 5000);
	expect_error(f, id, ST("200", "4") "context deadline exceeded;");
	/* Without a timeout there is none. */
	id = call(f, HEAD("/t.S/Hang") TE, SV("x"));
	talk(f);
	assert_int_equal(grpc_call_due_ms(f->kept[1]), UINT64_MAX);
	assert_false(loop_turn(f->loop, -1));
	grpc_call_reply(f->kept[1], SV("at last"));
	expect_echo(f, id, SV("at last"));
	assert_int_equal(f->cancels, 1);
}

/* A body that never comes is not waited for. */
static void test_slow_body(void **state)
{
	struct fixture *f = *state;
	uint32_t id = head(f, HEAD("/t.S/Echo") TE, false), soon;

	data(f, id, SV("\0\0\0"), false);
	soon = head(f, HEAD("/t.S/Echo") TE ";grpc-timeout=2S", false);
	talk(f);
	assert_int_equal(grpc_server_calls(f->server), 2);
	lab_until(f->loop, grpc_server_calls(f->server) == 1);
	assert_int_equal(loop_now_ms(f->loop), 2000);
	expect_error(f, soon, ST("200", "4") "the request did not arrive in time;");
	lab_until(f->loop, grpc_server_calls(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), 30000);
	expect_error(f, id, ST("200", "4") "the request did not arrive in time;");
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	uint32_t one = call(f, HEAD("/t.S/Hang") TE ";grpc-timeout=9S", SV("1"));
	uint32_t two = call(f, HEAD("/t.S/Hang") TE, SV("2"));

	talk(f);
	assert_int_equal(f->kept_n, 2);
	put_frame(&f->out, F_RST, 0, one, SV("\0\0\0\10"));
	talk(f);
	assert_int_equal(f->cancels, 1);
	assert_int_equal(grpc_server_calls(f->server), 1);
	grpc_call_reply(f->kept[1], SV("2"));
	expect_echo(f, two, SV("2"));
	assert_int_equal(f->cancels, 1);
	assert_false(loop_turn(f->loop, -1)); /* the first one's deadline is gone too */
	/* Reset while the request is still coming: the method never hears of it. */
	one = head(f, HEAD("/t.S/Hang") TE, false);
	data(f, one, SV("\0\0\0\0\5ab"), false);
	put_frame(&f->out, F_RST, 0, one, SV("\0\0\0\10"));
	talk(f);
	assert_int_equal(f->calls, 2);
	assert_int_equal(f->cancels, 1);
}

/* Answered in the very turn in which the peer left: no on_cancel, no harm. */
static void test_answer_races_cancel(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Hang") TE, SV("1"));

	talk(f);
	put_frame(&f->out, F_RST, 0, id, SV("\0\0\0\10"));
	assert_true(sock_write(f->fd, buf_sv(&f->out)) > 0);
	buf_clear(&f->out);
	grpc_call_reply(f->kept[0], SV("late"));
	talk(f);
	assert_int_equal(f->cancels, 0);
	assert_int_equal(grpc_server_calls(f->server), 0);
}

static void test_connection_lost(void **state)
{
	struct fixture *f = *state;

	call(f, HEAD("/t.S/Hang") TE, SV("1"));
	call(f, HEAD("/t.S/Watch") TE, SV("2"));
	call(f, HEAD("/t.S/Hang") TE ";grpc-timeout=9S", SV("3"));
	talk(f);
	assert_int_equal(f->kept_n, 3);
	grpc_call_open(f->kept[1]);
	talk(f);
	sock_close(&f->fd);
	f->fd = -1;
	lab_settle(f->loop);
	assert_int_equal(f->cancels, 3);
	assert_int_equal(grpc_server_connections(f->server), 0);
}

static void test_stream(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Watch") TE, SV("x"));
	struct answer a;

	talk(f);
	grpc_call_open(f->kept[0]);
	grpc_call_open(f->kept[0]);
	a = answer(f, id);
	assert_string_equal(a.fields, ":status=200;content-type=application/grpc;");
	assert_false(a.ended);
	assert_true(grpc_call_send(f->kept[0], SV("one")));
	assert_true(grpc_call_send(f->kept[0], SV("")));
	a = answer(f, id);
	assert_int_equal(a.body_n, 13);
	assert_memory_equal(a.body, "\0\0\0\0\3one\0\0\0\0\0", 13);
	grpc_call_fail(f->kept[0], GRPC_UNAVAILABLE, "shutting down");
	a = answer(f, id);
	assert_true(a.ended);
	assert_string_equal(a.fields, ":status=200;content-type=application/grpc;grpc-status=14;"
				      "grpc-message=shutting down;");
	/* Ended well, and without a single message. */
	id = call(f, HEAD("/t.S/Watch") TE, SV("x"));
	talk(f);
	grpc_call_fail(f->kept[1], GRPC_OK, "%s", "");
	a = answer(f, id);
	assert_string_equal(a.fields, ":status=200;content-type=application/grpc;grpc-status=0;");
	assert_int_equal(a.headers, 1);
	assert_int_equal(f->cancels, 0);
}

/* A stream whose peer does not read refuses more, and goes on when it reads. */
static void test_stream_backpressure(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Watch") TE, SV("x"));
	char *body = lab_body(10000);
	size_t sent = 0;

	talk(f);
	while (grpc_call_send(f->kept[0], sv_make(body, 10000)))
		assert_true(++sent < 100);
	talk(f); /* the window of 65535 bytes, not more */
	assert_int_equal(answer(f, id).body_n, 65535);
	while (grpc_call_send(f->kept[0], sv_make(body, 10000)))
		assert_true(++sent < 100);
	put_frame(&f->out, F_WINDOW, 0, 0, SV("\0\x10\0\0"));
	put_frame(&f->out, F_WINDOW, 0, id, SV("\0\x10\0\0"));
	talk(f);
	assert_int_equal(answer(f, id).body_n, sent * 10005);
	assert_true(grpc_call_send(f->kept[0], SV("more")));
	grpc_call_fail(f->kept[0], GRPC_OK, "%s", "");
	assert_true(answer(f, id).ended);
	mem_free(body);
}

/* An answer that nobody takes is given up. */
static void test_unread_answer(void **state)
{
	struct fixture *f = *state;
	char *body = lab_body(100000);
	uint32_t id = call(f, HEAD("/t.S/Hang") TE, SV("x"));

	talk(f);
	grpc_call_reply(f->kept[0], sv_make(body, 100000));
	talk(f);
	assert_int_equal(grpc_server_calls(f->server), 1);
	lab_until(f->loop, grpc_server_calls(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), 60000);
	assert_true(answer(f, id).reset);
	assert_int_equal(f->cancels, 0);
	mem_free(body);
}

/* Nor is one waited for whose deadline is years away, or past while its stream is stalled. */
static void test_unread_answer_with_deadline(void **state)
{
	struct fixture *f = *state;
	char *body = lab_body(100000);
	uint32_t far = call(f, HEAD("/t.S/Hang") TE ";grpc-timeout=99999999H", SV("x"));
	uint32_t past = call(f, HEAD("/t.S/Watch") TE ";grpc-timeout=5S", SV("x"));
	uint32_t near = call(f, HEAD("/t.S/Hang") TE ";grpc-timeout=9S", SV("x"));

	talk(f);
	assert_int_equal(f->kept_n, 3);
	assert_true(grpc_call_send(f->kept[1], sv_make(body, 100000)));
	grpc_call_reply(f->kept[0], sv_make(body, 100000));
	grpc_call_reply(f->kept[2], sv_make(body, 100000));
	talk(f);
	lab_until(f->loop, grpc_server_calls(f->server) == 2);
	assert_int_equal(loop_now_ms(f->loop), 9000);
	lab_until(f->loop, grpc_server_calls(f->server) == 1);
	assert_int_equal(loop_now_ms(f->loop), 60000);
	lab_until(f->loop, grpc_server_calls(f->server) == 0);
	assert_int_equal(loop_now_ms(f->loop), 65000);
	assert_true(answer(f, far).reset && answer(f, past).reset && answer(f, near).reset);
	assert_int_equal(f->cancels, 1); /* the stream's owner, at its deadline */
	mem_free(body);
}

static void on_idle(void *arg)
{
	((struct fixture *)arg)->idle = true;
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Hang") TE, SV("x"));

	talk(f);
	grpc_server_drain(f->server, on_idle, f);
	talk(f);
	assert_false(f->idle);
	grpc_call_reply(f->kept[0], SV("done"));
	expect_echo(f, id, SV("done"));
	lab_until(f->loop, f->idle);
	assert_int_equal(f->cancels, 0);
}

static void test_server_free(void **state)
{
	struct fixture *f = *state;

	call(f, HEAD("/t.S/Hang") TE, SV("1"));
	call(f, HEAD("/t.S/Watch") TE, SV("2"));
	talk(f);
	head(f, HEAD("/t.S/Echo") TE, false);
	talk(f);
	grpc_server_free(&f->server);
	assert_int_equal(f->cancels, 2);
	talk(f);
	assert_true(f->eof);
}

static void test_free_in_call(void **state)
{
	struct fixture *f = *state;

	f->free_in_call = true;
	call(f, HEAD("/t.S/Hang") TE, SV("1"));
	call(f, HEAD("/t.S/Hang") TE, SV("2"));
	talk(f);
	assert_null(f->server);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->cancels, 1);
}

static void test_free_in_cancel(void **state)
{
	struct fixture *f = *state;
	uint32_t id = call(f, HEAD("/t.S/Hang") TE, SV("1"));

	call(f, HEAD("/t.S/Hang") TE, SV("2"));
	talk(f);
	f->free_in_cancel = true;
	put_frame(&f->out, F_RST, 0, id, SV("\0\0\0\10"));
	talk(f);
	assert_null(f->server);
	assert_int_equal(f->cancels, 2);
}

/* Half-received messages of many calls together are bounded. */
static void test_buffered_max(void **state)
{
	struct grpc_limits limits = grpc_limits_default;
	struct fixture *f = *state;
	struct grpc_service service = { methods, ARRAY_LEN(methods), f };
	char *body = lab_body(16384);
	uint32_t id[12];
	int fd[2], i, j;
	struct answer a;

	grpc_server_free(&f->server);
	sock_close(&f->fd);
	lab_settle(f->loop);
	f->server = grpc_server_new(f->loop, &limits);
	grpc_server_add(f->server, &service);
	assert_int_equal(sock_pair(fd), 0);
	f->fd = fd[0];
	grpc_server_adopt(f->server, fd[1]); /* hello waits in f->out */
	for (i = 0; i < 12; i++) {
		id[i] = head(f, HEAD("/t.S/Echo") TE, false);
		data(f, id[i], SV("\0\0\x3f\0\0"), false);
		for (j = 0; j < 250; j++) {
			data(f, id[i], sv_make(body, 16384), false);
			if (j % 8 == 7)
				talk(f);
		}
	}
	while (buf_len(&f->out))
		talk(f);
	a = answer(f, id[11]);
	assert_string_equal(a.fields, ST("200", "8") "too many large requests at once;");
	a = answer(f, id[0]);
	assert_string_equal(a.fields, "");
	mem_free(body);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_echo),
		T(test_pieces),
		T(test_authorities),
		T(test_refusals),
		T(test_foreign),
		T(test_messages),
		T(test_deadline),
		T(test_slow_body),
		T(test_cancel),
		T(test_answer_races_cancel),
		T(test_connection_lost),
		T(test_stream),
		T(test_stream_backpressure),
		T(test_unread_answer),
		T(test_unread_answer_with_deadline),
		T(test_drain),
		T(test_server_free),
		T(test_free_in_call),
		T(test_free_in_cancel),
		T(test_buffered_max),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
