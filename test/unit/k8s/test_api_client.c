#include "test/unit/k8s/api_world.h"

#include "k8s/api/meta.h"
#include "transport/h2_client.h"

/* What a test keeps of a result. */
struct seen {
	bool done;
	unsigned calls, tries;
	int status, http;
	enum api_version version;
	char error[256], reason[64], name[64], body[256];
	uint64_t ms;
	uint32_t retry_after_ms;
	bool sent;
};

static void on_result(void *arg, const struct api_result *r)
{
	struct seen *s = arg;

	s->done = true;
	s->calls++;
	s->tries = r->tries;
	s->status = r->status;
	s->http = r->http;
	s->version = r->version;
	s->ms = r->ms;
	s->sent = r->sent;
	s->retry_after_ms = r->retry_after_ms;
	(void)snprintf(s->error, sizeof(s->error), "%s", r->error);
	(void)snprintf(s->reason, sizeof(s->reason), "%s", r->reason);
	(void)snprintf(s->name, sizeof(s->name), "%s", meta_name(r->object));
	(void)sv_copy(s->body, sizeof(s->body), r->body);
}

static const struct api_target node = {
	.group = "", .version = "v1", .resource = "nodes", .name = "n1"
};
static const struct api_target claim = {
	.group = API_GROUP_RESOURCE, .resource = "resourceclaims", .ns = "ns", .name = "c"
};
#define NODE_PATH     "/api/v1/nodes/n1"
#define NODE_BODY     "{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}"
#define CLAIM_PATH(v) "/apis/resource.k8s.io/" v "/namespaces/ns/resourceclaims/c"
#define CLAIM_BODY    "{\"kind\":\"ResourceClaim\",\"metadata\":{\"name\":\"c\"}}"

static uint64_t start(struct world *w, enum api_verb verb, const struct api_target *to,
		      enum api_retry retry, uint64_t timeout_ms, struct seen *s)
{
	*s = (struct seen){ 0 };
	return api_call(w->api, &(struct api_request){ .verb = verb,
						       .to = *to,
						       .retry = retry,
						       .timeout_ms = timeout_ms,
						       .fn = on_result,
						       .arg = s });
}

/* One GET of the node from beginning to end. */
static struct seen get(struct world *w, enum api_retry retry, uint64_t timeout_ms)
{
	struct seen s;

	(void)start(w, API_GET, &node, retry, timeout_ms, &s);
	assert_false(s.done);
	assert_true(world_until(w, &s.done, timeout_ms + 1000));
	assert_int_equal(api_calls(w->api), 0);
	return s;
}

static void test_get(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .method = "GET",
							.path = NODE_PATH,
							.token = "Bearer one",
							.body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.http, 200);
	assert_string_equal(s.name, "n1");
	assert_string_equal(s.body, NODE_BODY);
	assert_string_equal(s.error, "");
	assert_int_equal(s.tries, 1);
	assert_int_equal(w->exchanges, 1);
	assert_string_equal(script_last_header(w->server), "tundra/test|");
	/* Nothing runs at rest: no timer fires for a call, none is pending. */
	assert_string_equal(api_trouble(w->api, 1), "");
}

static void put_shape(void *arg, enum api_version v, struct buf *out)
{
	(void)arg;
	buf_printf(out, "{\"apiVersion\":\"%s\"}", api_version_group_name(v));
}

static void test_verbs(void **state)
{
	static const struct {
		enum api_verb verb;
		const char *method, *path, *type;
	} rows[] = {
		{ API_CREATE, "POST", "/api/v1/nodes/n1?fieldManager=t", "application/json" },
		{ API_UPDATE, "PUT", "/api/v1/nodes/n1?fieldManager=t", "application/json" },
		{ API_PATCH, "PATCH", "/api/v1/nodes/n1?fieldManager=t",
		  "application/merge-patch+json" },
		{ API_APPLY, "PATCH", "/api/v1/nodes/n1?fieldManager=t&force=true",
		  "application/apply-patch+yaml" },
		{ API_DELETE, "DELETE", "/api/v1/nodes/n1?fieldManager=t", "application/json" },
	};
	struct world *w = *state;
	struct seen s;
	char want[64];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		s = (struct seen){ 0 };
		script_expect(w->server, &(struct script_step){ .method = rows[i].method,
								.path = rows[i].path,
								.sends = "{\"a\":1}",
								.status = 201,
								.body = NODE_BODY });
		(void)api_call(w->api, &(struct api_request){ .verb = rows[i].verb,
							      .to = node,
							      .body = SV("{\"a\":1}"),
							      .field_manager = "t",
							      .force = rows[i].verb == API_APPLY,
							      .fn = on_result,
							      .arg = &s });
		assert_true(world_until(w, &s.done, 1000));
		assert_int_equal(s.status, 0);
		assert_int_equal(s.http, 201);
		(void)snprintf(want, sizeof(want), "tundra/test|%s", rows[i].type);
		assert_string_equal(script_last_header(w->server), want);
	}
	assert_int_equal(script_unexpected(w->server), 0);
}

static void test_discovery_once(void **state)
{
	struct world *w = *state;
	struct seen a, b;

	script_expect(w->server,
		      &(struct script_step){ .path = "/apis/resource.k8s.io", .body = GROUP_V1 });
	script_expect(w->server, &(struct script_step){
				     .path = CLAIM_PATH("v1"), .body = CLAIM_BODY, .times = 2 });
	assert_int_equal(api_served(w->api), API_VERSION_NONE);
	(void)start(w, API_GET, &claim, API_RETRY_SAFE, 5000, &a);
	(void)start(w, API_GET, &claim, API_RETRY_SAFE, 5000, &b);
	assert_true(world_until(w, &a.done, 5000) && world_until(w, &b.done, 5000));
	assert_int_equal(a.status, 0);
	assert_int_equal(a.version, API_V1);
	assert_int_equal(b.status, 0);
	assert_int_equal(api_served(w->api), API_V1);
	assert_int_equal(script_requests(w->server), 3);
}

static void test_old_server_and_its_upgrade(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };
	struct api_request put = {
		.verb = API_UPDATE, .to = claim, .make_body = put_shape, .fn = on_result, .arg = &s
	};

	script_expect(w->server, &(struct script_step){ .path = "/apis/resource.k8s.io",
							.body = GROUP_V1BETA1 });
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1beta1"),
							.sends = "resource.k8s.io/v1beta1",
							.body = CLAIM_BODY });
	(void)api_call(w->api, &put);
	assert_true(world_until(w, &s.done, 5000));
	assert_int_equal(s.status, 0);
	assert_int_equal(s.version, API_V1BETA1);
	/* The control plane is upgraded: the old version is gone, the body is written anew. */
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1beta1"),
							.status = 404,
							.type = "text/plain",
							.body = "404 page not found\n" });
	script_expect(w->server,
		      &(struct script_step){ .path = "/apis/resource.k8s.io", .body = GROUP_V1 });
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1"),
							.sends = "resource.k8s.io/v1\"",
							.body = CLAIM_BODY });
	s = (struct seen){ 0 };
	(void)api_call(w->api, &put);
	assert_true(world_until(w, &s.done, 5000));
	assert_int_equal(s.status, 0);
	assert_int_equal(s.version, API_V1);
	assert_int_equal(script_left(w->server), 0);
	assert_int_equal(script_unexpected(w->server), 0);
}

static void test_missing_object_costs_one_request(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server,
		      &(struct script_step){ .path = "/apis/resource.k8s.io", .body = GROUP_V1 });
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1"),
							.status = 404,
							.body = STATUS(404, "NotFound",
								       "\"name\":\"c\",\"kind\":"
								       "\"resourceclaims\"") });
	(void)start(w, API_GET, &claim, API_RETRY_WAIT, 20000, &s);
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, API_NOT_FOUND);
	assert_string_equal(s.reason, "NotFound");
	assert_string_equal(s.error, "404 Not Found: NotFound happened");
	assert_int_equal(s.tries, 1);
	assert_int_equal(script_requests(w->server), 2);
}

static void test_group_not_served(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .path = "/apis/resource.k8s.io",
							.status = 404,
							.type = "text/plain",
							.body = "404 page not found",
							.times = SCRIPT_ALWAYS });
	(void)start(w, API_GET, &claim, API_RETRY_SAFE, 20000, &s);
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, API_NOT_SERVED);
	assert_non_null(strstr(s.error, "does not serve resource.k8s.io"));
	assert_int_equal(script_requests(w->server), 1);
	/* Who waits asks again, not busily, and ends in time. */
	(void)start(w, API_GET, &claim, API_RETRY_WAIT, 20000, &s);
	assert_true(world_until(w, &s.done, 21000));
	assert_int_equal(s.status, API_NOT_SERVED);
	assert_in_range(script_requests(w->server), 5, 20);
}

static void test_resource_not_served(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .path = "/apis/resource.k8s.io",
							.body = GROUP_V1,
							.times = SCRIPT_ALWAYS });
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1"),
							.status = 404,
							.body = STATUS(404, "NotFound", ""),
							.times = SCRIPT_ALWAYS });
	(void)start(w, API_GET, &claim, API_RETRY_SAFE, 20000, &s);
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, API_NOT_SERVED);
	assert_in_range(script_requests(w->server), 3, 4);
}

static void test_discovery_forbidden(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .path = "/apis/resource.k8s.io",
							.status = 403,
							.body = STATUS(403, "Forbidden", ""),
							.times = SCRIPT_ALWAYS });
	script_expect(w->server, &(struct script_step){ .path = CLAIM_PATH("v1"),
							.status = 404,
							.type = "text/plain",
							.body = "404 page not found" });
	script_expect(w->server,
		      &(struct script_step){ .path = CLAIM_PATH("v1beta2"), .body = CLAIM_BODY });
	(void)start(w, API_GET, &claim, API_RETRY_SAFE, 20000, &s);
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, 0);
	assert_int_equal(s.version, API_V1BETA2);
}

static void test_token_rotation(void **state)
{
	struct world *w = *state;
	char token[16];
	struct seen s;

	script_expect(w->server, &(struct script_step){ .token = "Bearer one", .body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(s.status, 0);
	/* The old token is refused before we looked at the file again. */
	world_put_token(w, "two");
	script_expect(w->server, &(struct script_step){ .token = "Bearer one",
							.status = 401,
							.body = STATUS(401, "Unauthorized", "") });
	script_expect(w->server, &(struct script_step){ .token = "Bearer two", .body = NODE_BODY });
	world_pass(w, 2000);
	s = get(w, API_RETRY_NEVER, 5000);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.tries, 2);
	assert_in_range(s.ms, 0, 100);
	/* And without a newer one it fails at once. */
	script_expect(w->server, &(struct script_step){ .token = "Bearer two",
							.status = 401,
							.body = STATUS(401, "Unauthorized", ""),
							.times = SCRIPT_ALWAYS });
	world_pass(w, 2000);
	s = get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(s.status, API_UNAUTHORIZED);
	assert_int_equal(s.tries, 1);
	/* A token file that changes all the time does not make us spin. */
	script_clear(w->server);
	script_expect(w->server, &(struct script_step){ .status = 401,
							.body = STATUS(401, "Unauthorized", ""),
							.delay_ms = 1500,
							.times = SCRIPT_ALWAYS });
	(void)start(w, API_GET, &node, API_RETRY_SAFE, 30000, &s);
	for (int i = 0; i < 10; i++) {
		world_pass(w, 1000);
		(void)snprintf(token, sizeof(token), "token-%d", i);
		world_put_token(w, token);
	}
	assert_true(s.done);
	assert_int_equal(s.status, API_UNAUTHORIZED);
	assert_int_equal(s.tries, 2);
	/* Who waits gets the token that comes later. */
	(void)start(w, API_GET, &node, API_RETRY_WAIT, 30000, &s);
	world_pass(w, 5000);
	assert_false(s.done);
	script_clear(w->server);
	script_expect(w->server,
		      &(struct script_step){ .token = "Bearer three", .body = NODE_BODY });
	script_expect(w->server, &(struct script_step){ .status = 401, .times = SCRIPT_ALWAYS });
	world_put_token(w, "three");
	assert_true(world_until(w, &s.done, 30000));
	assert_int_equal(s.status, 0);
}

static void test_no_token(void **state)
{
	struct world *w = *state;
	struct seen s;

	(void)unlink(w->token);
	s = get(w, API_RETRY_NEVER, 5000);
	assert_int_equal(s.status, -ENOENT);
	assert_non_null(strstr(s.error, w->token));
	assert_false(s.sent);
	assert_int_equal(script_requests(w->server), 0);
	(void)start(w, API_GET, &node, API_RETRY_SAFE, 10000, &s);
	world_pass(w, 2000);
	assert_false(s.done);
	world_put_token(w, "one");
	script_expect(w->server, &(struct script_step){ .token = "Bearer one", .body = NODE_BODY });
	assert_true(world_until(w, &s.done, 10000));
	assert_int_equal(s.status, 0);
}

static void test_plain_refusals(void **state)
{
	static const struct {
		int http, status;
		const char *body;
	} rows[] = {
		{ 400, API_BAD_REQUEST, STATUS(400, "BadRequest", "") },
		{ 403, API_FORBIDDEN, STATUS(403, "Forbidden", "\"name\":\"n1\"") },
		{ 404, API_NOT_FOUND, STATUS(404, "NotFound", "\"name\":\"n1\"") },
		{ 409, API_CONFLICT, STATUS(409, "Conflict", "\"name\":\"n1\"") },
		{ 409, API_EXISTS, STATUS(409, "AlreadyExists", "\"name\":\"n1\"") },
		{ 410, API_GONE, STATUS(410, "Expired", "") },
		{ 422, API_INVALID, STATUS(422, "Invalid", "\"name\":\"n1\"") },
		{ 500, API_SERVER, STATUS(500, "InternalError", "") },
	};
	struct world *w = *state;
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		script_expect(w->server, &(struct script_step){ .status = rows[i].http,
								.body = rows[i].body });
		s = get(w, API_RETRY_SAFE, 5000);
		assert_int_equal(s.status, rows[i].status);
		assert_int_equal(s.http, rows[i].http);
		assert_int_equal(s.tries, 1);
	}
}

static void test_busy(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .status = 429,
							.header = "retry-after",
							.value = "3",
							.type = "text/plain",
							.body = "Too many requests" });
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 30000);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.tries, 2);
	assert_in_range(s.ms, 3000, 4000);
	/* The deadline comes before the server wants us back. */
	script_expect(w->server, &(struct script_step){ .status = 429,
							.header = "retry-after",
							.value = "60",
							.times = SCRIPT_ALWAYS });
	s = get(w, API_RETRY_SAFE, 30000);
	assert_int_equal(s.status, API_BUSY);
	assert_int_equal(s.retry_after_ms, 60000);
	assert_in_range(s.ms, 0, 100);
	s = get(w, API_RETRY_NEVER, 30000);
	assert_int_equal(s.tries, 1);
	s = get(w, API_RETRY_WAIT, 30000);
	assert_int_equal(s.status, API_BUSY);
	assert_in_range(s.tries, 3, 5);
	assert_in_range(s.ms, 20000, 30000);
}

static void test_server_errors(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .status = 503, .times = 3 });
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 30000);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.tries, 4);
	/* One complaint, not three. */
	assert_int_equal(w->warnings, 1);
	/* An outage that outlasts the deadline: a bounded number of tries. */
	script_expect(w->server, &(struct script_step){ .status = 503, .times = SCRIPT_ALWAYS });
	s = get(w, API_RETRY_WAIT, 60000);
	assert_int_equal(s.status, API_SERVER);
	assert_in_range(s.tries, 8, 25);
	assert_in_range(s.ms, 50000, 60000);
}

static void test_create_is_not_doubled(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){
				     .method = "POST", .status = 504, .times = SCRIPT_ALWAYS });
	(void)start(w, API_CREATE, &node, API_RETRY_WAIT, 10000, &s);
	assert_true(world_until(w, &s.done, 10000));
	assert_int_equal(s.status, API_SERVER);
	assert_int_equal(script_requests(w->server), 1);
	script_clear(w->server);
	script_expect(w->server, &(struct script_step){ .method = "POST", .end = SCRIPT_CUT });
	(void)start(w, API_CREATE, &node, API_RETRY_SAFE, 10000, &s);
	assert_true(world_until(w, &s.done, 10000));
	assert_true(s.status < 0);
	assert_true(s.sent);
	assert_int_equal(script_requests(w->server), 2);
}

static void test_cut_in_the_middle(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server,
		      &(struct script_step){ .body = "{\"kind\":\"No", .end = SCRIPT_CUT });
	script_expect(w->server,
		      &(struct script_step){ .body = "{\"kind\":\"No", .end = SCRIPT_RESET });
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 30000);
	assert_int_equal(s.status, 0);
	assert_string_equal(s.name, "n1");
	assert_int_equal(s.tries, 3);
	script_expect(w->server,
		      &(struct script_step){ .body = "{\"kind\":\"No", .end = SCRIPT_CUT });
	s = get(w, API_RETRY_NEVER, 30000);
	assert_true(s.status < 0);
	assert_true(s.sent);
	assert_int_equal(s.tries, 1);
	assert_non_null(strstr(s.error, "API server"));
}

static void test_goaway(void **state)
{
	struct world *w = *state;
	struct seen s;

	for (int i = 0; i < 3; i++) {
		script_expect(w->server,
			      &(struct script_step){ .body = NODE_BODY, .end = SCRIPT_GOAWAY });
		s = get(w, API_RETRY_NEVER, 5000);
		assert_int_equal(s.status, 0);
		assert_int_equal(s.tries, 1);
	}
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_REFUSE });
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	s = get(w, API_RETRY_NEVER, 5000);
	assert_int_equal(s.status, 0);
}

static void test_server_down(void **state)
{
	struct world *w = *state;
	struct seen s;
	uint64_t id;

	script_down(w->server);
	s = get(w, API_RETRY_NEVER, 3000);
	assert_true(s.status < 0);
	assert_false(s.sent);
	assert_in_range(s.ms, 0, 3100);
	id = start(w, API_GET, &node, API_RETRY_WAIT, 60000, &s);
	world_pass(w, 20000);
	assert_false(s.done);
	assert_string_not_equal(api_trouble(w->api, id), "");
	script_up(w->server);
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, 0);
	assert_string_equal(api_trouble(w->api, id), "");
}

static void test_silence(void **state)
{
	struct world *w = *state;
	struct seen s;

	/* A stuck read is given up after 15 s and asked again. */
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_SILENT });
	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	s = get(w, API_RETRY_SAFE, 60000);
	assert_int_equal(s.status, 0);
	assert_in_range(s.ms, 15000, 16000);
	script_expect(w->server,
		      &(struct script_step){ .end = SCRIPT_SILENT, .times = SCRIPT_ALWAYS });
	s = get(w, API_RETRY_SAFE, 20000);
	assert_int_equal(s.status, -ETIMEDOUT);
	assert_in_range(s.ms, 19000, 20100);
	s = get(w, API_RETRY_NEVER, 20000);
	assert_int_equal(s.status, -ETIMEDOUT);
	assert_int_equal(s.tries, 1);
	assert_true(s.sent);
}

static void test_not_an_api_server(void **state)
{
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){ .type = "text/html", .body = "<html>" });
	s = get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(s.status, -EBADMSG);
	script_expect(w->server, &(struct script_step){ .body = "{\"a\":1,\"a\":2}" });
	s = get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(s.status, -EBADMSG);
	script_expect(w->server, &(struct script_step){ .status = 502,
							.type = "text/html",
							.body = "<h1>Bad\nGateway</h1>",
							.times = SCRIPT_ALWAYS });
	s = get(w, API_RETRY_NEVER, 5000);
	assert_int_equal(s.status, API_SERVER);
	assert_string_equal(s.error, "502 Bad Gateway: <h1>Bad Gateway</h1>");
}

static void test_plain_text_of_raw_targets(void **state)
{
	const struct api_target livez = { .raw = "/livez" };
	struct world *w = *state;
	struct seen s;

	script_expect(w->server, &(struct script_step){
				     .path = "/livez", .type = "text/plain", .body = "ok" });
	(void)start(w, API_GET, &livez, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 5000));
	assert_int_equal(s.status, 0);
	assert_string_equal(s.body, "ok");
}

static void test_too_large(void **state)
{
	const struct api_target list = { .group = "", .version = "v1", .resource = "nodes" };
	struct world *w = *state;
	char *big = mem_alloc(API_BODY_MAX + 2);
	struct seen s;

	memset(big, ' ', API_BODY_MAX + 1);
	big[API_BODY_MAX + 1] = '\0';
	script_expect(w->server, &(struct script_step){ .body = big, .times = SCRIPT_ALWAYS });
	(void)start(w, API_LIST, &list, API_RETRY_SAFE, 20000, &s);
	assert_true(world_until(w, &s.done, 20000));
	assert_int_equal(s.status, -E2BIG);
	assert_int_equal(s.tries, 1);
	mem_free(big);
}

static void test_path_too_long(void **state)
{
	struct world *w = *state;
	struct api_target to = node;
	char name[4000];
	struct seen s;

	memset(name, '/', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	to.name = name;
	(void)start(w, API_GET, &to, API_RETRY_SAFE, 5000, &s);
	assert_true(world_until(w, &s.done, 5000));
	assert_int_equal(s.status, -ENAMETOOLONG);
	assert_int_equal(script_requests(w->server), 0);
}

static void test_cancel(void **state)
{
	struct world *w = *state;
	struct seen s[4];
	uint64_t id[4];

	script_expect(w->server, &(struct script_step){ .status = 503, .times = 1 });
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_SILENT, .times = 2 });
	/* Before the first turn, while paused, while trying, and in discovery. */
	id[0] = start(w, API_GET, &node, API_RETRY_SAFE, 5000, &s[0]);
	api_cancel(w->api, id[0]);
	id[1] = start(w, API_GET, &node, API_RETRY_SAFE, 5000, &s[1]);
	world_pass(w, 50);
	api_cancel(w->api, id[1]);
	id[2] = start(w, API_GET, &node, API_RETRY_SAFE, 5000, &s[2]);
	id[3] = start(w, API_GET, &claim, API_RETRY_SAFE, 5000, &s[3]);
	world_pass(w, 50);
	api_cancel(w->api, id[2]);
	api_cancel(w->api, id[3]);
	api_cancel(w->api, id[3]);
	api_cancel(w->api, 0);
	api_cancel(w->api, 12345);
	world_pass(w, 20000);
	for (int i = 0; i < 4; i++)
		assert_false(s[i].done);
	assert_int_equal(api_calls(w->api), 0);
}

static void on_result_free_api(void *arg, const struct api_result *r)
{
	struct world *w = arg;

	assert_int_equal(r->status, 0);
	assert_string_equal(meta_name(r->object), "n1");
	api_free(&w->api);
	/* Still valid: the result lives as long as the callback. */
	assert_string_equal(meta_name(r->object), "n1");
}

static void test_free_in_callback(void **state)
{
	struct world *w = *state;
	struct seen other;

	script_expect(w->server, &(struct script_step){ .body = NODE_BODY });
	script_expect(w->server, &(struct script_step){ .end = SCRIPT_SILENT });
	(void)api_call(w->api,
		       &(struct api_request){
			   .verb = API_GET, .to = node, .fn = on_result_free_api, .arg = w });
	(void)start(w, API_GET, &node, API_RETRY_SAFE, 5000, &other);
	while (w->api)
		assert_true(loop_turn(w->loop, -1));
	assert_false(other.done);
}

static void test_rate_limit(void **state)
{
	struct world *w = *state;
	struct seen s[7];
	uint64_t begin;

	world_connect(w, 5, 2);
	script_expect(w->server,
		      &(struct script_step){ .body = NODE_BODY, .times = SCRIPT_ALWAYS });
	begin = loop_now_ms(w->loop);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		(void)start(w, API_GET, &node, API_RETRY_SAFE, 30000, &s[i]);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_true(world_until(w, &s[i].done, 30000));
	/* Two at once, then one each 200 ms. */
	assert_in_range(loop_now_ms(w->loop) - begin, 1000, 1100);
	assert_in_range(s[1].ms, 0, 50);
	assert_in_range(s[2].ms, 200, 250);
	/* Without one: all at once. */
	world_connect(w, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		(void)start(w, API_GET, &node, API_RETRY_SAFE, 30000, &s[i]);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_true(world_until(w, &s[i].done, 30000));
	assert_in_range(s[6].ms, 0, 50);
}

static void test_many_at_once(void **state)
{
	enum { CALLS = 300 };
	struct world *w = *state;
	struct seen *s = mem_calloc(CALLS, sizeof(*s));

	script_expect(w->server,
		      &(struct script_step){ .body = NODE_BODY, .times = SCRIPT_ALWAYS });
	for (int i = 0; i < CALLS; i++)
		(void)start(w, API_GET, &node, API_RETRY_SAFE, 30000, &s[i]);
	for (int i = 0; i < CALLS; i++) {
		assert_true(world_until(w, &s[i].done, 30000));
		assert_int_equal(s[i].status, 0);
		assert_int_equal(s[i].calls, 1);
	}
	assert_int_equal(script_connections(w->server), 1);
	mem_free(s);
}

static void test_warnings_once(void **state)
{
	struct world *w = *state;

	script_expect(w->server, &(struct script_step){ .body = NODE_BODY,
							.header = "warning",
							.value = "299 - \"deprecated\"",
							.times = 5 });
	for (int i = 0; i < 5; i++)
		(void)get(w, API_RETRY_SAFE, 5000);
	assert_int_equal(w->warnings, 1);
}

/* ---- streams ---- */

struct bytes {
	struct buf got;
	bool open, done;
	int status;
	struct world *w;
	uint64_t id;
	size_t stop_at;
};

static void on_open(void *arg, enum api_version v)
{
	struct bytes *b = arg;

	(void)v;
	b->open = true;
}

static void on_data(void *arg, struct sv data)
{
	struct bytes *b = arg;

	buf_put_sv(&b->got, data);
	if (b->stop_at && buf_len(&b->got) >= b->stop_at)
		api_cancel(b->w->api, b->id);
}

static void on_stream_end(void *arg, const struct api_result *r)
{
	struct bytes *b = arg;

	b->done = true;
	b->status = r->status;
}

static void open_stream(struct world *w, struct bytes *b)
{
	*b = (struct bytes){ .w = w };
	buf_init(&b->got, 8 << 20);
	b->id = api_stream(w->api, &(struct api_stream_request){ .to = node,
								 .on_open = on_open,
								 .on_data = on_data,
								 .fn = on_stream_end,
								 .arg = b });
}

static void test_stream(void **state)
{
	struct world *w = *state;
	struct bytes b;

	script_expect(w->server, &(struct script_step){ .body = "ab", .end = SCRIPT_HOLD });
	open_stream(w, &b);
	assert_true(world_until(w, &b.open, 1000));
	world_pass(w, 3600 * 1000);
	script_push(w->server, "cd");
	world_pass(w, 10);
	assert_true(sv_eqs(buf_sv(&b.got), "abcd"));
	assert_false(b.done);
	script_release(w->server);
	assert_true(world_until(w, &b.done, 1000));
	assert_int_equal(b.status, 0);
	buf_done(&b.got);
}

static void test_stream_refused(void **state)
{
	struct world *w = *state;
	struct bytes b;

	script_expect(w->server,
		      &(struct script_step){ .status = 410, .body = STATUS(410, "Expired", "") });
	open_stream(w, &b);
	assert_true(world_until(w, &b.done, 1000));
	assert_false(b.open);
	assert_int_equal(b.status, API_GONE);
	assert_int_equal(buf_len(&b.got), 0);
	buf_done(&b.got);
	/* A 401 goes again with the newer token. */
	world_pass(w, 2000);
	world_put_token(w, "two");
	script_expect(w->server, &(struct script_step){ .token = "Bearer one", .status = 401 });
	script_expect(w->server, &(struct script_step){
				     .token = "Bearer two", .body = "x", .end = SCRIPT_HOLD });
	open_stream(w, &b);
	assert_true(world_until(w, &b.open, 1000));
	api_cancel(w->api, b.id);
	buf_done(&b.got);
}

static void test_stream_cancelled_inside(void **state)
{
	struct world *w = *state;
	char *big = mem_alloc((3 << 20) + 1);
	struct bytes b;

	memset(big, 'x', 3 << 20);
	big[3 << 20] = '\0';
	script_expect(w->server,
		      &(struct script_step){ .body = big, .end = SCRIPT_HOLD, .times = 2 });
	open_stream(w, &b);
	b.stop_at = 100000;
	world_pass(w, 1000);
	assert_false(b.done);
	assert_in_range(buf_len(&b.got), 100000, 2 << 20);
	assert_int_equal(api_calls(w->api), 0);
	buf_done(&b.got);
	/* And read to its end, through a window that opens and shuts. */
	open_stream(w, &b);
	world_pass(w, 1000);
	assert_int_equal(buf_len(&b.got), 3 << 20);
	api_cancel(w->api, b.id);
	buf_done(&b.got);
	mem_free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_get),
		WORLD_TEST(test_verbs),
		WORLD_TEST(test_discovery_once),
		WORLD_TEST(test_old_server_and_its_upgrade),
		WORLD_TEST(test_missing_object_costs_one_request),
		WORLD_TEST(test_group_not_served),
		WORLD_TEST(test_resource_not_served),
		WORLD_TEST(test_discovery_forbidden),
		WORLD_TEST(test_token_rotation),
		WORLD_TEST(test_no_token),
		WORLD_TEST(test_plain_refusals),
		WORLD_TEST(test_busy),
		WORLD_TEST(test_server_errors),
		WORLD_TEST(test_create_is_not_doubled),
		WORLD_TEST(test_cut_in_the_middle),
		WORLD_TEST(test_goaway),
		WORLD_TEST(test_server_down),
		WORLD_TEST(test_silence),
		WORLD_TEST(test_not_an_api_server),
		WORLD_TEST(test_plain_text_of_raw_targets),
		WORLD_TEST(test_too_large),
		WORLD_TEST(test_path_too_long),
		WORLD_TEST(test_cancel),
		WORLD_TEST(test_free_in_callback),
		WORLD_TEST(test_rate_limit),
		WORLD_TEST(test_many_at_once),
		WORLD_TEST(test_warnings_once),
		WORLD_TEST(test_stream),
		WORLD_TEST(test_stream_refused),
		WORLD_TEST(test_stream_cancelled_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
