/* The kubelet's DRA service over its real gRPC server: batches, broken peers, health streams. */
#include "k8s/plugin.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "test/lib/node/lab_rpc.h"

enum { SOON_MS = 1000, CALL_MS = 45000, BUF_MAX = 1 << 20 };

struct fixture {
	struct lab *lab;
	struct lab_claims c;
	struct plugin *plugin;
	struct grpc_server *server;
	char *socket;
	struct buf message;
	struct lab_rpc rpc, rpc2;
};

/* An instance that has taken over, and answers or dies as told. */
struct successor {
	struct fixture *f;
	struct grpc_server *server;
	struct grpc_service service;
	char *socket;
	struct grpc_call *held;
	unsigned calls;
	bool answers;
};
static struct successor one, two; /* their end is the teardown's */

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	const struct grpc_service *services;
	struct err e = { "" };
	size_t n;

	f->lab = lab_new(4, 1);
	lab_claims_start(&f->c, f->lab, lab_disk_new(f->lab), "one");
	f->plugin = plugin_new(f->lab->loop, f->c.claims);
	f->server = grpc_server_new(f->lab->loop, &grpc_limits_default);
	services = plugin_services(f->plugin, &n);
	for (size_t i = 0; i < n; i++)
		grpc_server_add(f->server, &services[i]);
	f->socket = lab_path(f->lab, "dra.sock");
	assert_int_equal(grpc_server_listen_unix(f->server, f->socket, 0600, &e), 0);
	buf_init(&f->message, BUF_MAX);
	*state = f;
	return 0;
}

static void successor_stop(struct successor *s)
{
	grpc_server_free(&s->server);
	mem_free(s->socket);
	*s = (struct successor){ .f = NULL };
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->rpc.client)
		lab_rpc_done(&f->rpc);
	if (f->rpc2.client)
		lab_rpc_done(&f->rpc2);
	grpc_server_free(&f->server);
	plugin_free(&f->plugin);
	successor_stop(&one);
	successor_stop(&two);
	lab_claims_stop(&f->c);
	buf_done(&f->message);
	mem_free(f->socket);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void start(struct fixture *f, struct lab_rpc *rpc, const char *path,
		  const char *const *pairs, size_t n, uint64_t timeout_ms)
{
	if (rpc->client)
		lab_rpc_done(rpc);
	buf_clear(&f->message);
	lab_rpc_claims(&f->message, pairs, n);
	lab_rpc_start(f->lab, rpc, f->socket, path, buf_sv(&f->message), timeout_ms);
}

static int call(struct fixture *f, const char *path, const char *const *pairs, size_t n)
{
	start(f, &f->rpc, path, pairs, n, CALL_MS);
	return lab_rpc_wait(f->lab, &f->rpc, CALL_MS);
}

static Dra__PrepareResponse *prepared(struct fixture *f)
{
	struct sv bytes = buf_sv(&f->rpc.answer);
	Dra__PrepareResponse *m =
	    dra__prepare_response__unpack(NULL, bytes.n, (const uint8_t *)bytes.p);

	assert_non_null(m);
	return m;
}

static const Dra__PrepareResult *result_of(const Dra__PrepareResponse *m, const char *uid)
{
	for (size_t i = 0; i < m->n_claims; i++)
		if (!strcmp(m->claims[i]->key, uid))
			return m->claims[i]->value;
	fail_msg("no entry for %s", uid);
	return NULL;
}

static void a_batch_is_answered_per_claim(void **state)
{
	static const char *const pairs[] = { "a", "uid-a", "missing", "uid-missing",
					     "b", "uid-b", "c",	      "uid-of-old" };
	struct fixture *f = *state;
	Dra__PrepareResponse *m;

	lab_claim(f->lab, "a", NULL, "gpu-0,gpu-1");
	lab_claim(f->lab, "b", NULL, "");
	lab_claim(f->lab, "c", "uid-of-new", "gpu-2");
	assert_int_equal(call(f, RPC_PREPARE, pairs, 4), GRPC_OK);
	m = prepared(f);
	assert_int_equal(m->n_claims, 4);
	assert_int_equal(result_of(m, "uid-a")->n_devices, 2);
	assert_null(result_of(m, "uid-a")->error);
	assert_non_null(strstr(result_of(m, "uid-missing")->error, "not found"));
	assert_int_equal(result_of(m, "uid-b")->n_devices, 0);
	assert_null(result_of(m, "uid-b")->error);
	assert_non_null(strstr(result_of(m, "uid-of-old")->error, "uid-of-new"));
	dra__prepare_response__free_unpacked(m, NULL);
	assert_int_equal(claims_prepared(f->c.claims), 2);
	assert_int_equal(call(f, RPC_UNPREPARE, pairs, 4), GRPC_OK);
	assert_int_equal(claims_prepared(f->c.claims), 0);
	assert_int_equal(plugin_stats(f->plugin)->prepares, 1);
	assert_int_equal(plugin_stats(f->plugin)->unprepares, 1);
	assert_int_equal(plugin_stats(f->plugin)->inflight, 0);
	assert_string_equal(plugin_stats(f->plugin)->last_method, "NodeUnprepareResources");
}

/* Who is told that nothing went wrong forgets the claim, and its GPU stays held. */
static void a_failed_unprepare_is_told_for_its_claim(void **state)
{
	static const char *const pairs[] = { "a", "uid-a", "b", "uid-b" };
	struct fixture *f = *state;
	Dra__UnprepareResponse *m;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, ""); /* nothing to reset */
	assert_int_equal(call(f, RPC_PREPARE, pairs, 2), GRPC_OK);
	lab_plans()->undo = -EIO;
	assert_int_equal(call(f, RPC_UNPREPARE, pairs, 2), GRPC_OK);
	m = dra__unprepare_response__unpack(NULL, buf_len(&f->rpc.answer),
					    (const uint8_t *)buf_sv(&f->rpc.answer).p);
	assert_non_null(m);
	assert_int_equal(m->n_claims, 2);
	for (size_t i = 0; i < m->n_claims; i++) {
		const char *error = m->claims[i]->value->error;

		if (!strcmp(m->claims[i]->key, "uid-a"))
			assert_true(error && strstr(error, "cannot be reset"));
		else
			assert_null(error);
	}
	dra__unprepare_response__free_unpacked(m, NULL);
	assert_int_equal(claims_prepared(f->c.claims), 1);
	lab_plans()->undo = 0;
	assert_int_equal(call(f, RPC_UNPREPARE, pairs, 1), GRPC_OK);
	assert_int_equal(claims_prepared(f->c.claims), 0);
}

static void names_as_the_kubelet_compares_them(void **state)
{
	static const char *const pairs[] = { "a", "uid-a" };
	struct fixture *f = *state;
	const Dra__PrepareResult *r;
	Dra__PrepareResponse *m;

	lab_claim(f->lab, "a", NULL, "big/first=gpu-0,plain=gpu-1#share-7");
	assert_int_equal(call(f, RPC_PREPARE, pairs, 1), GRPC_OK);
	m = prepared(f);
	r = result_of(m, "uid-a");
	assert_int_equal(r->devices[0]->n_request_names, 1);
	assert_string_equal(r->devices[0]->request_names[0], "big"); /* not "big/first" */
	assert_string_equal(r->devices[0]->pool_name, LAB_NODE);
	assert_string_equal(r->devices[0]->device_name, "gpu-0");
	assert_int_equal(r->devices[0]->n_cdi_device_ids, 1);
	assert_string_equal(r->devices[0]->cdi_device_ids[0],
			    "k8s.gpu.nvidia.com/claim=uid-a-gpu-0");
	assert_null(r->devices[0]->share_id); /* absent, not empty */
	assert_string_equal(r->devices[1]->request_names[0], "plain");
	assert_string_equal(r->devices[1]->share_id, "share-7");
	dra__prepare_response__free_unpacked(m, NULL);
}

/* Go takes no answer at all that has a byte which is not UTF-8; a vendor's text may have one. */
static void an_error_is_utf8(void **state)
{
	static const char *const pairs[] = { "a", "uid-a" };
	struct fixture *f = *state;
	Dra__PrepareResponse *m;

	snprintf(f->lab->gpus.gpus[0].trouble, sizeof(f->lab->gpus.gpus[0].trouble),
		 "\xff bad \xc3\xbc cut \xe2\x82");
	lab_rescan(f->lab);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	assert_int_equal(call(f, RPC_PREPARE, pairs, 1), GRPC_OK);
	m = prepared(f);
	assert_non_null(strstr(result_of(m, "uid-a")->error, "? bad \xc3\xbc cut ??"));
	dra__prepare_response__free_unpacked(m, NULL);
}

static void the_beta_service_is_the_same(void **state)
{
	static const char *const pairs[] = { "a", "uid-a" };
	struct fixture *f = *state;
	Dra__PrepareResponse *m;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	assert_int_equal(call(f, RPC_PREPARE_BETA, pairs, 1), GRPC_OK);
	m = prepared(f);
	assert_int_equal(result_of(m, "uid-a")->n_devices, 1);
	dra__prepare_response__free_unpacked(m, NULL);
}

static void an_empty_call_is_answered_at_once(void **state)
{
	struct fixture *f = *state;

	apiserver_down(f->lab->server); /* a probe asks nobody */
	start(f, &f->rpc, RPC_PREPARE, NULL, 0, CALL_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, 100), GRPC_OK);
	assert_int_equal(buf_len(&f->rpc.answer), 0);
	start(f, &f->rpc, RPC_UNPREPARE, NULL, 0, CALL_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, 100), GRPC_OK);
}

static void broken_peers_are_told(void **state)
{
	static const char *const twice[] = { "a", "u", "b", "u" };
	static const char *const nameless[] = { "", "u" };
	static const char *const no_uid[] = { "a", "" };
	static const char *const slash[] = { "a", "../../etc/passwd" };
	static const char *many[2 * 257];
	static char uids[257][8];
	struct fixture *f = *state;

	for (size_t i = 0; i < 257; i++) {
		snprintf(uids[i], sizeof(uids[i]), "u%zu", i);
		many[2 * i] = many[2 * i + 1] = uids[i];
	}
	assert_int_equal(call(f, RPC_PREPARE, twice, 2), GRPC_INVALID_ARGUMENT);
	assert_int_equal(call(f, RPC_PREPARE, nameless, 1), GRPC_INVALID_ARGUMENT);
	assert_int_equal(call(f, RPC_UNPREPARE, no_uid, 1), GRPC_INVALID_ARGUMENT);
	assert_int_equal(call(f, RPC_PREPARE, slash, 1), GRPC_INVALID_ARGUMENT);
	assert_int_equal(call(f, RPC_PREPARE, many, 257), GRPC_INVALID_ARGUMENT);
	assert_int_equal(call(f, RPC_UNPREPARE, many, 256), GRPC_OK);
	lab_rpc_done(&f->rpc);
	lab_rpc_start(f->lab, &f->rpc, f->socket, RPC_PREPARE, SV("\x0a\xff\xff\xff garbage"),
		      CALL_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, SOON_MS), GRPC_INVALID_ARGUMENT);
	lab_rpc_done(&f->rpc);
	lab_rpc_start(f->lab, &f->rpc, f->socket, "/nobody.Knows/This", SV_NONE, CALL_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, SOON_MS), GRPC_UNIMPLEMENTED);
}

static void unknown_fields_are_skipped(void **state)
{
	struct fixture *f = *state;

	/* A claim with field 9, then field 12 of the request: a newer kubelet. */
	lab_rpc_start(f->lab, &f->rpc, f->socket, RPC_UNPREPARE,
		      SV("\x0a\x11\x0a\x07"
			 "default\x12\x01u\x1a\x01n\x48\x05\x62\x01x"),
		      CALL_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, SOON_MS), GRPC_OK);
}

static void the_deadline_is_the_kubelets(void **state)
{
	static const char *const a[] = { "a", "uid-a" }, *const b[] = { "b", "uid-b" };
	struct fixture *f = *state;
	Dra__PrepareResponse *m;
	uint64_t began;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	assert_int_equal(call(f, RPC_PREPARE, a, 1), GRPC_OK);
	began = loop_now_ms(f->lab->loop);
	start(f, &f->rpc, RPC_PREPARE, b, 1, 20000);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, 20000), GRPC_OK);
	assert_in_range(loop_now_ms(f->lab->loop) - began, 14900, 15100); /* 5 s before */
	m = prepared(f);
	assert_non_null(strstr(result_of(m, "uid-b")->error, "default/a"));
	dra__prepare_response__free_unpacked(m, NULL);
}

static void one_waiting_claim_holds_up_its_batch_only(void **state)
{
	static const char *const a[] = { "a", "uid-a" };
	static const char *const batch[] = { "b", "uid-b", "c", "uid-c" };
	struct fixture *f = *state;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	lab_claim(f->lab, "c", NULL, "gpu-1");
	assert_int_equal(call(f, RPC_PREPARE, a, 1), GRPC_OK);
	start(f, &f->rpc2, RPC_PREPARE, batch, 2, CALL_MS);
	lab_pass(f->lab, 3000);
	assert_false(f->rpc2.done);
	assert_int_equal(plugin_stats(f->plugin)->preparing, 1);
	assert_int_equal(call(f, RPC_UNPREPARE, a, 1), GRPC_OK); /* served meanwhile */
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc2, SOON_MS), GRPC_OK);
}

static void a_cancelled_call_is_undone(void **state)
{
	static const char *const batch[] = { "a", "uid-a", "b", "uid-b" };
	struct fixture *f = *state;

	for (unsigned turns = 0; turns < 30; turns++) {
		lab_claim(f->lab, "a", NULL, "gpu-0");
		lab_claim(f->lab, "b", NULL, "gpu-1");
		start(f, &f->rpc, RPC_PREPARE, batch, 2, CALL_MS);
		lab_turns(f->lab, turns);
		if (f->rpc.done)
			break;
		lab_rpc_done(&f->rpc); /* RST_STREAM and the end of the connection */
		f->rpc = (struct lab_rpc){ .done = false };
		lab_pass(f->lab, 500);
		assert_int_equal(plugin_stats(f->plugin)->inflight, 0);
		/* Either it was over on our side, or nothing is left of it. */
		assert_true(claims_prepared(f->c.claims) == 0 || claims_prepared(f->c.claims) == 2);
		assert_int_equal(lab_cdi_count(f->lab), claims_prepared(f->c.claims));
		assert_int_equal(call(f, RPC_UNPREPARE, batch, 2), GRPC_OK);
		assert_int_equal(lab_ledger_records(f->lab), 0);
	}
	assert_true(f->rpc.done);
}

static void health_streams_are_held_open(void **state)
{
	static const char *const a[] = { "a", "uid-a" };
	struct fixture *f = *state;

	lab_rpc_start(f->lab, &f->rpc2, f->socket, RPC_HEALTH, SV_NONE, 0);
	lab_pass(f->lab, 3600000);
	assert_false(f->rpc2.done);
	assert_int_equal(f->rpc2.messages, 0);
	lab_claim(f->lab, "a", NULL, "gpu-0");
	assert_int_equal(call(f, RPC_PREPARE, a, 1), GRPC_OK);
	plugin_drain(f->plugin);
	/* Whatever the code, the kubelet opens it again: at the instance that is there then. */
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc2, SOON_MS), GRPC_UNAVAILABLE);
}

static void on_message(void *arg, struct sv message)
{
	(void)arg;
	(void)message;
}

static void on_refused(void *arg, int code, const char *text)
{
	struct grpc_client_call **stream = arg;

	(void)text;
	assert_int_equal(code, GRPC_RESOURCE_EXHAUSTED);
	*stream = NULL;
}

static void too_many_health_streams(void **state)
{
	struct fixture *f = *state;
	const struct h2_client_conf conf = { .unix_path = f->socket, .authority = "localhost" };
	struct h2_client *client = h2_client_new(f->lab->loop, &conf);
	struct grpc_client_call *streams[66];
	unsigned refused = 0;

	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		streams[i] = grpc_client_call(client, RPC_HEALTH, SV_NONE, 0, on_message,
					      on_refused, &streams[i]);
	lab_pass(f->lab, SOON_MS);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		refused += !streams[i];
		if (streams[i])
			grpc_client_cancel(streams[i]);
	}
	assert_int_equal(refused, 2);
	h2_client_free(&client);
	lab_pass(f->lab, SOON_MS);
	/* They count while they live. */
	lab_rpc_start(f->lab, &f->rpc2, f->socket, RPC_HEALTH, SV_NONE, 0);
	lab_pass(f->lab, SOON_MS);
	assert_false(f->rpc2.done);
}

static void freed_with_calls_in_flight(void **state)
{
	static const char *const a[] = { "a", "uid-a" }, *const b[] = { "b", "uid-b" };
	struct fixture *f = *state;

	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	assert_int_equal(call(f, RPC_PREPARE, a, 1), GRPC_OK);
	start(f, &f->rpc2, RPC_PREPARE, b, 1, CALL_MS);
	lab_pass(f->lab, 2000);
	grpc_server_free(&f->server);
	plugin_free(&f->plugin);
	lab_pass(f->lab, 2000);
	assert_int_equal(claims_waiting(f->c.claims), 0);
	f->plugin = plugin_new(f->lab->loop, f->c.claims);
}

/* ---- calls that are passed on ---- */

static void on_held_end(void *arg, struct grpc_call *call)
{
	(void)call;
	((struct successor *)arg)->held = NULL;
}

static void on_successor_call(void *ctx, struct grpc_call *call, struct sv message)
{
	struct successor *s = ctx;

	(void)message;
	s->calls++;
	if (s->answers) {
		grpc_call_reply(call, SV_NONE);
		return;
	}
	s->held = call;
	grpc_call_on_cancel(call, on_held_end, s);
}

static const struct grpc_method successor_methods[] = {
	{ RPC_PREPARE, false, on_successor_call },
};

static void successor_listen(struct successor *s)
{
	struct err e = { "" };

	grpc_server_free(&s->server);
	s->server = grpc_server_new(s->f->lab->loop, &grpc_limits_default);
	grpc_server_add(s->server, &s->service);
	assert_int_equal(grpc_server_listen_unix(s->server, s->socket, 0600, &e), 0);
}

static void successor_start(struct successor *s, struct fixture *f, const char *name)
{
	*s = (struct successor){ .f = f, .socket = lab_path(f->lab, "%s.sock", name) };
	s->service = (struct grpc_service){ successor_methods, ARRAY_LEN(successor_methods), s };
	successor_listen(s);
}

/* Its connection is cut, it is there again at once, and the caller has time left. */
static void a_relayed_call_is_asked_again_to_the_end(void **state)
{
	static const char *const a[] = { "a", "uid-a" };
	struct fixture *f = *state;

	successor_start(&one, f, "s");
	plugin_relay(f->plugin, one.socket);
	start(f, &f->rpc, RPC_PREPARE, a, 1, CALL_MS);
	lab_pass(f->lab, 5000);
	for (unsigned cuts = 1; cuts < 20; cuts++) { /* the last 3 s before its end */
		assert_int_equal(one.calls, cuts);
		assert_non_null(one.held);
		successor_listen(&one);
		lab_pass(f->lab, 1950);
		assert_false(f->rpc.done);
	}
	one.answers = true;
	successor_listen(&one);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, 1500), GRPC_OK);
	assert_int_equal(one.calls, 21);
	assert_int_equal(buf_len(&f->rpc.answer), 0); /* not an answer of ours: that has a claim */
}

static void another_successor_is_asked(void **state)
{
	static const char *const a[] = { "a", "uid-a" };
	struct fixture *f = *state;

	successor_start(&one, f, "s1");
	successor_start(&two, f, "s2");
	plugin_relay(f->plugin, one.socket);
	start(f, &f->rpc, RPC_PREPARE, a, 1, CALL_MS);
	lab_pass(f->lab, 1000);
	assert_non_null(one.held);
	plugin_relay(f->plugin, one.socket); /* nothing new */
	two.answers = true;
	plugin_relay(f->plugin, two.socket);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, SOON_MS), GRPC_OK);
	assert_null(one.held);
	assert_int_equal(one.calls, 1);
	assert_int_equal(two.calls, 1);
}

static void freed_with_a_relayed_call(void **state)
{
	static const char *const a[] = { "a", "uid-a" };
	struct fixture *f = *state;

	successor_start(&one, f, "s");
	plugin_relay(f->plugin, one.socket);
	start(f, &f->rpc, RPC_PREPARE, a, 1, CALL_MS);
	lab_pass(f->lab, 1000);
	assert_non_null(one.held);
}

/* A successor that hangs: the call ends all the same, here, with whatever is known. */
static void a_relay_without_a_deadline_ends(void **state)
{
	static const char *const a[] = { "missing", "uid-missing" };
	struct fixture *f = *state;
	Dra__PrepareResponse *m;

	successor_start(&one, f, "s");
	plugin_relay(f->plugin, one.socket);
	start(f, &f->rpc, RPC_PREPARE, a, 1, 0);
	assert_int_equal(lab_rpc_wait(f->lab, &f->rpc, CALL_MS), GRPC_OK);
	m = prepared(f);
	assert_non_null(result_of(m, "uid-missing")->error);
	dra__prepare_response__free_unpacked(m, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_batch_is_answered_per_claim),
		TEST(a_failed_unprepare_is_told_for_its_claim),
		TEST(names_as_the_kubelet_compares_them),
		TEST(an_error_is_utf8),
		TEST(the_beta_service_is_the_same),
		TEST(an_empty_call_is_answered_at_once),
		TEST(broken_peers_are_told),
		TEST(unknown_fields_are_skipped),
		TEST(the_deadline_is_the_kubelets),
		TEST(one_waiting_claim_holds_up_its_batch_only),
		TEST(a_cancelled_call_is_undone),
		TEST(health_streams_are_held_open),
		TEST(too_many_health_streams),
		TEST(freed_with_calls_in_flight),
		TEST(a_relayed_call_is_asked_again_to_the_end),
		TEST(another_successor_is_asked),
		TEST(a_relay_without_a_deadline_ends),
		TEST(freed_with_a_relayed_call),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
