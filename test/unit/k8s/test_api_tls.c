#include "test/unit/k8s/api_world.h"

#include "test/unit/transport/certs.h"
#include "transport/h2_client.h"
#include "transport/tls.h"

#define NODE_BODY "{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}"

enum { HOUR = 3600 };

struct lab {
	struct world *w;
	struct cert ca[2], server[2], user;
	struct tls_server *tls[2];
	char ca_file[80], cert_file[80], key_file[80];
};

static void put(const char *path, const char *text)
{
	assert_int_equal(fsx_replace(path, sv_str(text), 0600, 0), 0);
}

static void make_server(struct lab *b, int i, bool asks_client)
{
	struct tls_material m = { .cert_pem = sv_str(b->server[i].pem),
				  .key_pem = sv_str(b->server[i].key_pem) };
	struct err e = { "" };

	if (asks_client)
		m.ca_pem = sv_str(b->ca[0].pem);
	tls_server_free(&b->tls[i]);
	if (tls_server_new(&m, &b->tls[i], &e) < 0)
		fail_msg("%s", e.text);
}

static void lab_init(struct lab *b, struct world *w)
{
	*b = (struct lab){ .w = w };
	for (int i = 0; i < 2; i++) {
		b->ca[i] = cert_make(i ? "new" : "old", NULL, NULL, HOUR);
		b->server[i] = cert_make("api", "IP:127.0.0.1,DNS:kubernetes", &b->ca[i], HOUR);
		make_server(b, i, false);
	}
	b->user = cert_make("me", "DNS:me", &b->ca[0], HOUR);
	(void)snprintf(b->ca_file, sizeof(b->ca_file), "%s/ca.crt", w->folder);
	(void)snprintf(b->cert_file, sizeof(b->cert_file), "%s/me.crt", w->folder);
	(void)snprintf(b->key_file, sizeof(b->key_file), "%s/me.key", w->folder);
	put(b->ca_file, b->ca[0].pem);
	put(b->cert_file, b->user.pem);
	put(b->key_file, b->user.key_pem);
	script_use_tls(w->server, b->tls[0]);
	script_cut(w->server);
	w->config = (struct api_config){ .host = mem_strdup("127.0.0.1"),
					 .server_name = mem_strdup("127.0.0.1"),
					 .port = script_port(w->server),
					 .tls = true,
					 .token_file = w->token,
					 .ca_file = b->ca_file };
}

static void lab_done(struct lab *b)
{
	struct world *w = b->w;

	api_free(&w->api);
	script_down(w->server);
	mem_free(w->config.host);
	mem_free(w->config.server_name);
	for (int i = 0; i < 2; i++) {
		tls_server_free(&b->tls[i]);
		cert_done(&b->ca[i]);
		cert_done(&b->server[i]);
	}
	cert_done(&b->user);
	(void)unlink(b->ca_file);
	(void)unlink(b->cert_file);
	(void)unlink(b->key_file);
}

struct seen {
	bool done;
	int status;
	char error[ERR_TEXT_MAX];
};

static void on_result(void *arg, const struct api_result *r)
{
	struct seen *s = arg;

	s->done = true;
	s->status = r->status;
	(void)snprintf(s->error, sizeof(s->error), "%s", r->error);
}

static void get(struct world *w, enum api_retry retry, uint64_t ms, struct seen *s)
{
	*s = (struct seen){ 0 };
	(void)api_call(
	    w->api, &(struct api_request){
			.verb = API_GET,
			.to = { .group = "", .version = "v1", .resource = "nodes", .name = "n1" },
			.retry = retry,
			.timeout_ms = ms,
			.fn = on_result,
			.arg = s });
}

/* The cluster gets a new CA while we run; the mounted ca.crt follows some time later. */
static void test_ca_rotation(void **state)
{
	struct world *w = *state;
	struct seen s;
	struct lab b;

	lab_init(&b, w);
	world_connect(w, 0, 0);
	script_expect(w->server,
		      &(struct script_step){ .body = NODE_BODY, .times = SCRIPT_ALWAYS });
	get(w, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 6000));
	assert_string_equal(s.error, "");

	script_use_tls(w->server, b.tls[1]);
	script_cut(w->server);
	get(w, API_RETRY_NEVER, 3000, &s);
	assert_true(world_until(w, &s.done, 4000));
	assert_true(s.status < 0);
	assert_non_null(strstr(s.error, "certificate"));
	get(w, API_RETRY_WAIT, 60000, &s);
	world_pass(w, 5000);
	assert_false(s.done);
	put(b.ca_file, b.ca[1].pem);
	assert_true(world_until(w, &s.done, 55000));
	assert_int_equal(s.status, 0);
	lab_done(&b);
}

/* A client certificate that is refused goes again on a new connection once its file changed. */
static void test_client_certificate_rotation(void **state)
{
	struct world *w = *state;
	struct cert fresh;
	struct seen s;
	struct lab b;

	lab_init(&b, w);
	make_server(&b, 0, true);
	script_use_tls(w->server, b.tls[0]);
	script_cut(w->server);
	w->config.token_file = NULL;
	w->config.cert_file = b.cert_file;
	w->config.key_file = b.key_file;
	world_connect(w, 0, 0);
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	get(w, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 6000));
	assert_string_equal(s.error, "");
	/* Refused, and the file is still the same: no second try. */
	script_expect(w->server, &(struct script_step){ .status = 401, .times = 2 });
	get(w, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 6000));
	assert_int_equal(s.status, API_UNAUTHORIZED);
	assert_int_equal(script_requests(w->server), 2);
	/* Refused again, but there is a new one. */
	fresh = cert_make("me", "DNS:me", &b.ca[0], HOUR);
	put(b.cert_file, fresh.pem);
	put(b.key_file, fresh.key_pem);
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	assert_int_equal(api_connection(w->api)->connects, 1);
	get(w, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 6000));
	assert_string_equal(s.error, "");
	assert_int_equal(api_connection(w->api)->connects, 2);
	cert_done(&fresh);
	lab_done(&b);
}

static void test_wrong_name_and_bad_material(void **state)
{
	struct world *w = *state;
	struct err e = { "" };
	struct seen s;
	struct lab b;

	lab_init(&b, w);
	mem_free(w->config.server_name);
	w->config.server_name = mem_strdup("other");
	world_connect(w, 0, 0);
	get(w, API_RETRY_SAFE, 3000, &s);
	assert_true(world_until(w, &s.done, 4000));
	assert_true(s.status < 0);
	assert_int_equal(script_requests(w->server), 0);
	/* tls-server-name: verified as another name than is dialled. */
	mem_free(w->config.server_name);
	w->config.server_name = mem_strdup("kubernetes");
	world_connect(w, 0, 0);
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	get(w, API_RETRY_SAFE, 3000, &s);
	assert_true(world_until(w, &s.done, 4000));
	assert_string_equal(s.error, "");
	api_free(&w->api);
	put(b.ca_file, "not a certificate");
	assert_true(api_new(w->loop, &(struct api_conf){ .config = &w->config }, &w->api, &e) < 0);
	assert_null(w->api);
	assert_true(e.text[0] != '\0');
	lab_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_ca_rotation),
		WORLD_TEST(test_client_certificate_rotation),
		WORLD_TEST(test_wrong_name_and_bad_material),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
