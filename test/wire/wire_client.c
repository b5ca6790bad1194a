/*
 * Our gRPC client against a foreign server (grpc-go): wire_client SOCKET
 * One line per test: "ok NAME" or "FAIL NAME: why".
 */
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "transport/grpc_client.h"

enum { PARALLEL = 64, ROUNDS = 20, TURNS_MAX = 20 };

struct result {
	struct grpc_client_call *call;
	struct buf last;
	size_t messages;
	int code;
	char text[256];
	bool ended;
};

static struct loop *loop;
static struct h2_client *client;
static int failed;

static void on_message(void *arg, struct sv message)
{
	struct result *r = arg;

	r->messages++;
	buf_clear(&r->last);
	buf_put_sv(&r->last, message);
}

static void on_end(void *arg, int code, const char *text)
{
	struct result *r = arg;

	r->ended = true;
	r->code = code;
	(void)snprintf(r->text, sizeof(r->text), "%s", text);
}

static void start(struct result *r, const char *method, struct sv message, uint64_t timeout)
{
	char path[64];

	*r = (struct result){ .code = -2 };
	buf_init(&r->last, 16 << 20);
	(void)snprintf(path, sizeof(path), "/tundra.test.Wire/%s", method);
	r->call = grpc_client_call(client, path, message, timeout, on_message, on_end, r);
}

static void finish(struct result *r)
{
	uint64_t until = loop_now_ms(loop) + TURNS_MAX * 1000;

	while (!r->ended && loop_now_ms(loop) < until)
		(void)loop_turn(loop, 1000);
}

static void done(struct result *r)
{
	buf_done(&r->last);
}

static void say(const char *name, bool ok, const struct result *r)
{
	if (ok) {
		(void)printf("ok grpc client: %s\n", name);
		return;
	}
	failed++;
	(void)printf("FAIL grpc client: %s: code %d (%s), %zu messages, last %zu bytes\n", name,
		     r->code, r->text, r->messages, buf_len(&r->last));
}

static void test_unary(void)
{
	struct result r;

	start(&r, "Echo", SV("hello"), 5000);
	finish(&r);
	say("unary", r.code == 0 && r.messages == 1 && sv_eqs(buf_sv(&r.last), "hello"), &r);
	done(&r);
	start(&r, "Echo", SV(""), 0);
	finish(&r);
	say("empty message", r.code == 0 && r.messages == 1 && !buf_len(&r.last), &r);
	done(&r);
}

static void test_big(void)
{
	size_t n = (4 << 20) - 100;
	char *body = mem_alloc(n);
	struct result r;

	memset(body, 'x', n);
	start(&r, "Echo", sv_make(body, n), 10000);
	finish(&r);
	say("4 MiB both ways", r.code == 0 && sv_eq(buf_sv(&r.last), sv_make(body, n)), &r);
	done(&r);
	start(&r, "Big", SV("5000000"), 10000);
	finish(&r);
	say("an answer above 4 MiB is refused", r.code == GRPC_RESOURCE_EXHAUSTED, &r);
	done(&r);
	mem_free(body);
}

static void test_errors(void)
{
	struct result r;

	start(&r, "Fail", SV("9 gr\xc3\xbcn 100%\n"), 5000);
	finish(&r);
	say("error code and text",
	    r.code == GRPC_FAILED_PRECONDITION && strcmp(r.text, "gr\xc3\xbcn 100%\n") == 0, &r);
	done(&r);
	start(&r, "Nope", SV(""), 5000);
	finish(&r);
	say("unknown method", r.code == GRPC_UNIMPLEMENTED && strstr(r.text, "unknown method"), &r);
	done(&r);
	start(&r, "Hang", SV(""), 300);
	finish(&r);
	say("deadline", r.code == GRPC_DEADLINE_EXCEEDED, &r);
	done(&r);
}

static void test_stream(void)
{
	struct result r;

	start(&r, "Stream", SV("20000"), 0);
	finish(&r);
	say("server stream", r.code == 0 && r.messages == 20000 && sv_eqs(buf_sv(&r.last), "19999"),
	    &r);
	done(&r);
}

static void test_parallel(void)
{
	struct result *r = mem_calloc(PARALLEL, sizeof(*r));
	size_t i, round, good = 0;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < PARALLEL; i++)
			start(&r[i], "Echo", SV("in parallel"), 10000);
		for (i = 0; i < PARALLEL; i++) {
			finish(&r[i]);
			good += r[i].code == 0 && sv_eqs(buf_sv(&r[i].last), "in parallel");
			done(&r[i]);
		}
	}
	say("1280 calls, 64 at a time", good == PARALLEL * ROUNDS, &r[0]);
	mem_free(r);
}

int main(int argc, char **argv)
{
	struct h2_client_conf conf = { 0 };

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return 2;
	}
	log_init(LOG_INFO, false, "wire_client");
	loop = loop_new();
	conf.unix_path = argv[1];
	client = h2_client_new(loop, &conf);
	test_unary();
	test_big();
	test_errors();
	test_stream();
	test_parallel();
	h2_client_free(&client);
	(void)loop_turn(loop, 0);
	loop_free(&loop);
	return failed ? 1 : 0;
}
