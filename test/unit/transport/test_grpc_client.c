#include "transport/grpc_client.h"

#include <unistd.h>

#include "lab.h"
#include "transport/h2_server.h"

enum { BIG = 5 << 20 };

struct result {
	struct fixture *f;
	struct grpc_client_call *call;
	size_t messages, bytes;
	int code;
	char text[512], last[64];
	bool ended, cancel;
};

struct fixture {
	struct loop *loop;
	struct grpc_server *server;
	struct h2_server *plain; /* an HTTP/2 server that is no gRPC server */
	struct h2_client *client;
	struct grpc_call *kept;
	size_t cancels;
	const char *mode;
	char dir[64], sock[96];
};

static void on_echo(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_reply(c, message);
}

static void on_fail(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	grpc_call_fail(c, GRPC_PERMISSION_DENIED, "because: " SV_FMT, SV_ARG(message));
}

static void on_big(void *ctx, struct grpc_call *c, struct sv message)
{
	char *body = lab_body(BIG);

	(void)ctx;
	(void)message;
	grpc_call_reply(c, sv_make(body, BIG));
	mem_free(body);
}

static void on_cancel(void *arg, struct grpc_call *c)
{
	(void)c;
	((struct fixture *)arg)->cancels++;
}

static void on_hang(void *ctx, struct grpc_call *c, struct sv message)
{
	struct fixture *f = ctx;

	(void)message;
	f->kept = c;
	grpc_call_on_cancel(c, on_cancel, f);
}

static void on_three(void *ctx, struct grpc_call *c, struct sv message)
{
	(void)ctx;
	(void)message;
	(void)grpc_call_send(c, SV("one"));
	(void)grpc_call_send(c, SV(""));
	(void)grpc_call_send(c, SV("three"));
	grpc_call_fail(c, GRPC_OK, "%s", "");
}

static const struct grpc_method methods[] = {
	{ "/t.S/Echo", false, on_echo },  { "/t.S/Fail", false, on_fail },
	{ "/t.S/Big", false, on_big },	  { "/t.S/Hang", false, on_hang },
	{ "/t.S/Three", true, on_three }, { "/t.S/Watch", true, on_hang },
};

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct grpc_service service = { methods, ARRAY_LEN(methods), f };
	struct h2_client_conf conf = { .unix_path = f->sock };
	struct err e;

	f->loop = loop_new_virtual(0, 5);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_gc.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->sock, sizeof(f->sock), "%s/s.sock", f->dir);
	f->server = grpc_server_new(f->loop, &grpc_limits_default);
	grpc_server_add(f->server, &service);
	assert_int_equal(grpc_server_listen_unix(f->server, f->sock, 0600, &e), 0);
	f->client = h2_client_new(f->loop, &conf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	h2_client_free(&f->client);
	grpc_server_free(&f->server);
	h2_server_free(&f->plain);
	lab_settle(f->loop);
	loop_free(&f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
	return 0;
}

static void on_message(void *arg, struct sv message)
{
	struct result *r = arg;

	r->messages++;
	r->bytes += message.n;
	(void)sv_copy(r->last, sizeof(r->last), message);
	if (r->cancel)
		grpc_client_cancel(r->call);
}

static void on_end(void *arg, int code, const char *text)
{
	struct result *r = arg;

	assert_false(r->ended);
	r->ended = true;
	r->code = code;
	(void)snprintf(r->text, sizeof(r->text), "%s", text);
}

static void start(struct fixture *f, struct result *r, const char *path, struct sv message,
		  uint64_t timeout)
{
	bool cancel = r->cancel;

	*r = (struct result){ .f = f, .cancel = cancel };
	r->call = grpc_client_call(f->client, path, message, timeout, on_message, on_end, r);
}

static void call(struct fixture *f, struct result *r, const char *path, struct sv message,
		 uint64_t timeout)
{
	start(f, r, path, message, timeout);
	lab_until(f->loop, r->ended);
}

static void test_unary(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	call(f, &r, "/t.S/Echo", SV("hello"), 1000);
	assert_int_equal(r.code, GRPC_OK);
	assert_int_equal(r.messages, 1);
	assert_string_equal(r.last, "hello");
	assert_string_equal(r.text, "");
	call(f, &r, "/t.S/Echo", SV(""), 0);
	assert_int_equal(r.code, GRPC_OK);
	assert_int_equal(r.messages, 1);
	call(f, &r, "/t.S/Fail", SV("gr\xc3\xbcn 100%\n"), 1000);
	assert_int_equal(r.code, GRPC_PERMISSION_DENIED);
	assert_string_equal(r.text, "because: gr\xc3\xbcn 100%\n");
	assert_int_equal(r.messages, 0);
	call(f, &r, "/t.S/Nope", SV(""), 1000);
	assert_int_equal(r.code, GRPC_UNIMPLEMENTED);
	assert_string_equal(r.text, "unknown method Nope for service t.S");
}

static void test_stream(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	call(f, &r, "/t.S/Three", SV(""), 0);
	assert_int_equal(r.code, GRPC_OK);
	assert_int_equal(r.messages, 3);
	assert_string_equal(r.last, "three");
}

static void test_too_big(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	call(f, &r, "/t.S/Big", SV(""), 0);
	assert_int_equal(r.code, GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(r.messages, 0);
	call(f, &r, "/t.S/Echo", SV("x"), 0);
	assert_int_equal(r.code, GRPC_OK);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	call(f, &r, "/t.S/Hang", SV(""), 2000);
	assert_int_equal(r.code, GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(loop_now_ms(f->loop), 2000);
	lab_settle(f->loop);
	assert_int_equal(f->cancels, 1);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	start(f, &r, "/t.S/Watch", SV(""), 0);
	lab_until(f->loop, f->kept);
	grpc_client_cancel(r.call);
	lab_until(f->loop, f->cancels == 1);
	assert_false(r.ended);
	/* From inside a message. */
	r.cancel = true;
	start(f, &r, "/t.S/Three", SV(""), 0);
	lab_until(f->loop, r.messages);
	lab_settle(f->loop);
	assert_int_equal(r.messages, 1);
	assert_false(r.ended);
}

static void test_no_server(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	grpc_server_free(&f->server);
	lab_settle(f->loop);
	call(f, &r, "/t.S/Echo", SV(""), 1000);
	assert_int_equal(r.code, -1);
	assert_non_null(strstr(r.text, f->sock));
}

static void test_lost(void **state)
{
	struct fixture *f = *state;
	struct result r = { .cancel = false };

	start(f, &r, "/t.S/Hang", SV(""), 5000);
	lab_until(f->loop, f->kept);
	grpc_server_free(&f->server);
	lab_until(f->loop, r.ended);
	assert_int_equal(r.code, -1);
}

/* ---- servers that are wrong ---- */

static void plain_head(void *arg, struct h2_call *c, const struct h2_head *head)
{
	static const struct h2_header grpc = { SV("content-type"), SV("application/grpc") };
	struct h2_header tail = { SV("grpc-status"), SV("0") };
	const struct fixture *f = arg;

	(void)head;
	if (strcmp(f->mode, "html") == 0) {
		h2_call_respond(c, 503, NULL, 0, false);
		h2_call_write(c, SV("<html>\1\0\0\0"));
		h2_call_end(c, NULL, 0);
		return;
	}
	if (strcmp(f->mode, "reset") == 0) {
		h2_call_reset(c, H2_INTERNAL_ERROR);
		return;
	}
	if (strcmp(f->mode, "calm") == 0) {
		h2_call_reset(c, H2_ENHANCE_YOUR_CALM);
		return;
	}
	h2_call_respond(c, 200, &grpc, 1, false);
	if (strcmp(f->mode, "no status") == 0) {
		h2_call_end(c, NULL, 0);
	} else if (strcmp(f->mode, "half") == 0) {
		h2_call_write(c, SV("\0\0\0\0\5ab"));
		h2_call_end(c, &tail, 1);
	} else if (strcmp(f->mode, "gzip") == 0) {
		h2_call_write(c, SV("\1\0\0\0\1a"));
		h2_call_end(c, &tail, 1);
	} else {
		tail.value = SV("banana");
		h2_call_end(c, &tail, 1);
	}
}

static void plain_data(void *arg, struct h2_call *c, struct sv data)
{
	(void)arg;
	(void)c;
	(void)data;
}

static void plain_end(void *arg, struct h2_call *c)
{
	(void)arg;
	(void)c;
}

static void test_wrong_servers(void **state)
{
	static const struct h2_server_events events = { plain_head, plain_data, plain_end,
							plain_end };
	static const struct {
		const char *mode;
		int code;
	} cases[] = { { "html", GRPC_UNAVAILABLE },	   { "reset", GRPC_INTERNAL },
		      { "calm", GRPC_RESOURCE_EXHAUSTED }, { "no status", GRPC_INTERNAL },
		      { "half", GRPC_INTERNAL },	   { "gzip", GRPC_INTERNAL },
		      { "banana", GRPC_INTERNAL } };
	struct fixture *f = *state;
	struct h2_server_conf conf = { .events = &events, .arg = f };
	struct result r = { .cancel = false };
	struct err e;
	size_t i;

	grpc_server_free(&f->server);
	lab_settle(f->loop);
	f->plain = h2_server_new(f->loop, &conf);
	assert_int_equal(h2_server_listen_unix(f->plain, f->sock, 0600, &e), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		f->mode = cases[i].mode;
		call(f, &r, "/t.S/Echo", SV("x"), 1000);
		if (r.code != cases[i].code || r.messages)
			fail_msg("%s gave %d %s", f->mode, r.code, r.text);
		assert_true(r.text[0]);
	}
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_unary),	T(test_stream),	   T(test_too_big), T(test_deadline),
		T(test_cancel), T(test_no_server), T(test_lost),    T(test_wrong_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
