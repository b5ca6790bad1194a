#include "transport/grpc_health.h"

#include <unistd.h>

#include "lab.h"
#include "transport/grpc_client.h"

struct fixture {
	struct loop *loop;
	struct grpc_server *server;
	struct grpc_health *health;
	struct h2_client *client;
	bool serving;
	unsigned asked;
	char dir[64], sock[96];
};

struct result {
	char told[256]; /* each message in hex and a space */
	int code;
	bool ended;
};

static bool is_serving(void *arg)
{
	struct fixture *f = arg;

	f->asked++;
	return f->serving;
}

static int setup(void **state)
{
	static const char *const names[] = { "liveness", "v1.DRAPlugin", NULL };
	struct fixture *f = MEM_NEW(struct fixture);
	struct h2_client_conf conf = { .unix_path = f->sock };
	struct err e;

	f->loop = loop_new_virtual(0, 5);
	f->serving = true;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_gh.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->sock, sizeof(f->sock), "%s/s.sock", f->dir);
	f->server = grpc_server_new(f->loop, &grpc_limits_default);
	f->health = grpc_health_new(f->loop, names, is_serving, f);
	grpc_server_add(f->server, grpc_health_service(f->health));
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
	grpc_health_free(&f->health);
	grpc_health_free(&f->health);
	lab_settle(f->loop);
	loop_free(&f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	mem_free(f);
	return 0;
}

static void on_message(void *arg, struct sv message)
{
	struct result *r = arg;
	size_t used = strlen(r->told), i;

	for (i = 0; i < message.n; i++)
		used += (size_t)snprintf(r->told + used, sizeof(r->told) - used, "%02x",
					 (unsigned char)message.p[i]);
	(void)snprintf(r->told + used, sizeof(r->told) - used, " ");
}

static void on_end(void *arg, int code, const char *text)
{
	struct result *r = arg;

	(void)text;
	r->ended = true;
	r->code = code;
}

static struct grpc_client_call *start(struct fixture *f, struct result *r, const char *method,
				      struct sv request)
{
	char path[64];

	*r = (struct result){ .code = -2 };
	(void)snprintf(path, sizeof(path), "/grpc.health.v1.Health/%s", method);
	return grpc_client_call(f->client, path, request, 0, on_message, on_end, r);
}

static int check(struct fixture *f, struct result *r, struct sv request)
{
	(void)start(f, r, "Check", request);
	lab_until(f->loop, r->ended);
	return r->code;
}

static void test_check(void **state)
{
	struct fixture *f = *state;
	struct result r;

	assert_int_equal(check(f, &r, SV("")), GRPC_OK);
	assert_string_equal(r.told, "0801 ");
	assert_int_equal(check(f, &r, SV("\x0a\x08liveness")), GRPC_OK);
	assert_int_equal(check(f, &r, SV("\x0a\x0cv1.DRAPlugin")), GRPC_OK);
	assert_int_equal(check(f, &r, SV("\x0a\x00")), GRPC_OK);
	assert_int_equal(check(f, &r, SV("\x0a\x01x")), GRPC_NOT_FOUND);
	assert_int_equal(check(f, &r, SV("\x18\x01")), GRPC_OK); /* an unknown field */
	assert_int_equal(check(f, &r, SV("\x0a\x7f")), GRPC_INTERNAL);
	f->serving = false;
	assert_int_equal(check(f, &r, SV("")), GRPC_OK);
	assert_string_equal(r.told, "0802 ");
	assert_int_equal(f->asked, 6);
}

static void test_watch(void **state)
{
	struct fixture *f = *state;
	struct grpc_client_call *call;
	struct result known, unknown, gone;

	(void)start(f, &known, "Watch", SV("\x0a\x08liveness"));
	(void)start(f, &unknown, "Watch", SV("\x0a\x01x"));
	call = start(f, &gone, "Watch", SV(""));
	lab_until(f->loop, known.told[0] && unknown.told[0] && gone.told[0]);
	grpc_client_cancel(call);
	lab_settle(f->loop);
	assert_string_equal(known.told, "0801 ");
	assert_string_equal(unknown.told, "0803 ");
	grpc_health_changed(f->health); /* nothing did */
	f->serving = false;
	grpc_health_changed(f->health);
	f->serving = true;
	grpc_health_changed(f->health);
	lab_settle(f->loop);
	assert_string_equal(known.told, "0801 0802 0801 ");
	assert_string_equal(unknown.told, "0803 ");
	assert_string_equal(gone.told, "0801 ");
	grpc_health_drain(f->health);
	lab_until(f->loop, known.ended && unknown.ended);
	assert_int_equal(known.code, GRPC_UNAVAILABLE);
	assert_false(gone.ended);
}

static void test_watches_max(void **state)
{
	struct fixture *f = *state;
	struct result r[65];
	size_t i;

	/* One more takes the place of the oldest. */
	for (i = 0; i < 64; i++)
		(void)start(f, &r[i], "Watch", SV(""));
	lab_until(f->loop, r[63].told[0]);
	(void)start(f, &r[64], "Watch", SV(""));
	lab_until(f->loop, r[0].ended && r[64].told[0]);
	assert_int_equal(r[0].code, GRPC_RESOURCE_EXHAUSTED);
	assert_string_equal(r[64].told, "0801 ");
	assert_false(r[1].ended || r[63].ended || r[64].ended);
	/* The server goes with watches open: they end as cancelled, then health may go. */
	grpc_server_free(&f->server);
	lab_until(f->loop, r[63].ended);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_check), T(test_watch), T(test_watches_max) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
