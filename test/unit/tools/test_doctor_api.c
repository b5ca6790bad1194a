/* Checks of tundra doctor against a scripted API server, which runs in a process of its own. */
#include "test/unit/tools/doctor_world.h"

#include <poll.h>
#include <time.h>

#include "core/log.h"
#include "test/lib/apiserver_script.h"

#define VERSION "/version"
#define GROUP	"/apis/resource.k8s.io"
#define REVIEW	"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews*"
#define NODE	"/api/v1/nodes/node-1"
#define ALLOWED "{\"kind\":\"SelfSubjectAccessReview\",\"status\":{\"allowed\":true}}"
#define DENIED	"{\"kind\":\"SelfSubjectAccessReview\",\"status\":{\"allowed\":false}}"
#define VERSION_OF(minor)                                                                          \
	"{\"major\":\"1\",\"minor\":\"" minor "\",\"gitVersion\":\"v1." minor ".0\"}"
#define NODE_OF(kubelet, ready, gpus)                                                              \
	"{\"kind\":\"Node\",\"status\":{\"capacity\":{\"cpu\":\"8\"" gpus                          \
	"},\"conditions\":[{\"type\":\"MemoryPressure\",\"status\":\"False\"},{\"type\":"          \
	"\"Ready\","                                                                               \
	"\"status\":\"" ready "\",\"message\":\"runtime is down\"}],\"nodeInfo\":{"                \
	"\"kubeletVersion\":\"" kubelet "\",\"containerRuntimeVersion\":\"containerd://2.1.4\"}}}"

static struct world w;

static int done(void **state)
{
	(void)state;
	world_done(&w);
	return 0;
}

/* Answers by these steps until killed; the socket is there when this returns. */
static void serve(const struct script_step *steps, size_t n)
{
	char *path = mem_strdup(node_path(w.node, "api.sock"));
	struct loop *l;
	struct script *s;

	if (w.peer) {
		kill(w.peer, SIGKILL);
		waitpid(w.peer, NULL, 0);
	}
	unlink(path);
	w.peer = fork();
	assert_true(w.peer >= 0);
	if (w.peer == 0) {
		l = loop_new();
		s = script_new(l, path);
		for (size_t i = 0; i < n; i++)
			script_expect(s, &steps[i]);
		loop_run(l);
		_exit(0);
	}
	for (int i = 0; !fsx_exists(path) && i < 500; i++)
		poll(NULL, 0, 10);
	api_config_free(&w.d.api);
	w.d.api = api_config_copy(&(struct api_config){ .unix_path = path, .source = path });
	pretend(&w, "api server", DOCTOR_OK);
	mem_free(path);
}
#define SERVE(...)                                                                                 \
	do {                                                                                       \
		const struct script_step steps_[] = { __VA_ARGS__ };                               \
		serve(steps_, ARRAY_LEN(steps_));                                                  \
	} while (0)

static int setup(void **state)
{
	(void)state;
	log_init(LOG_ERROR, false, NULL);
	world_init(&w, node_empty());
	return 0;
}

static void test_api_server(void **state)
{
	(void)state;
	SERVE({ .path = VERSION, .body = VERSION_OF("36") });
	EXPECT(&w, "api server", DOCTOR_OK, "Kubernetes v1.36.0");
	SERVE({ .path = VERSION, .body = VERSION_OF("31") });
	EXPECT(&w, "api server", DOCTOR_FAIL, "v1.31.0");
	SERVE({ .path = VERSION, .status = 401, .body = "{}", .times = SCRIPT_ALWAYS });
	EXPECT(&w, "api server", DOCTOR_FAIL, "401");
	w.d.limit_ms = 400;
	SERVE({ .path = VERSION, .end = SCRIPT_SILENT });
	EXPECT(&w, "api server", DOCTOR_FAIL, "");
	assert_in_range(w.d.findings[row_of("api server")].ms, 100, 3000);
	EXPECT(&w, "rbac", DOCTOR_UNKNOWN, "\"api server\" is not ok");
}

static void test_dra_api(void **state)
{
	(void)state;
	SERVE({ .path = GROUP,
		.body = "{\"versions\":[{\"version\":\"v1beta1\"},"
			"{\"version\":\"v1\"}]}" });
	EXPECT(&w, "dra api", DOCTOR_OK, "resource.k8s.io/v1 is used; served: v1beta1, v1");
	SERVE({ .path = GROUP, .body = "{\"versions\":[{\"version\":\"v1beta1\"}]}" });
	EXPECT(&w, "dra api", DOCTOR_OK, "resource.k8s.io/v1beta1 is used");
	SERVE({ .path = GROUP, .body = "{\"versions\":[{\"version\":\"v1alpha3\"}]}" });
	EXPECT(&w, "dra api", DOCTOR_FAIL, "not served, but: v1alpha3");
	SERVE({ .path = GROUP, .status = 404, .body = "404 page not found", .type = "text/plain" });
	EXPECT(&w, "dra api", DOCTOR_FAIL, "resource.k8s.io is not served");
	SERVE({ .path = GROUP, .status = 403, .body = "{}" });
	EXPECT(&w, "dra api", DOCTOR_UNKNOWN, "403");
}

static void test_rbac(void **state)
{
	struct doctor_finding *f;

	(void)state;
	SERVE({ .path = REVIEW, .method = "POST", .body = ALLOWED, .times = SCRIPT_ALWAYS });
	EXPECT(&w, "rbac", DOCTOR_OK, "all 9 verbs are allowed");
	SERVE({ .path = REVIEW,
		.sends = "\"resource\":\"events\"",
		.body = DENIED,
		.times = SCRIPT_ALWAYS },
	      { .path = REVIEW, .body = ALLOWED, .times = SCRIPT_ALWAYS });
	EXPECT(&w, "rbac", DOCTOR_WARN, "denied: create events");
	SERVE({ .path = REVIEW,
		.sends = "\"group\":\"resource.k8s.io\",\"resource\":\"resourceslices\",\"verb\":"
			 "\"delete\"",
		.body = DENIED },
	      { .path = REVIEW, .sends = "\"resource\":\"nodes\"", .body = DENIED },
	      { .path = REVIEW, .body = ALLOWED, .times = SCRIPT_ALWAYS });
	f = EXPECT(&w, "rbac", DOCTOR_FAIL, "denied: delete resourceslices, get nodes");
	assert_non_null(strstr(f->fix, "ClusterRole"));
	SERVE({ .path = REVIEW, .status = 403, .body = "{}", .times = SCRIPT_ALWAYS });
	EXPECT(&w, "rbac", DOCTOR_UNKNOWN, "403");
}

static void test_node_object(void **state)
{
	struct doctor_finding *f;

	(void)state;
	SERVE({ .path = NODE, .body = NODE_OF("v1.36.3", "True", ",\"nvidia.com/gpu\":\"4\"") });
	f = EXPECT(&w, "node object", DOCTOR_OK, "kubelet v1.36.3, containerd://2.1.4");
	assert_string_equal(f->runtime, "containerd://2.1.4");
	assert_string_equal(f->kubelet, "v1.36.3");
	assert_int_equal(f->plugin_gpus, 4);
	SERVE({ .path = NODE, .body = NODE_OF("v1.31.9", "True", "") });
	EXPECT(&w, "node object", DOCTOR_FAIL, "v1.31.9");
	SERVE({ .path = NODE, .body = NODE_OF("v1.36.3", "False", "") });
	EXPECT(&w, "node object", DOCTOR_WARN, "not Ready: runtime is down");
	SERVE({ .path = NODE,
		.status = 404,
		.body = "{\"kind\":\"Status\",\"reason\":\"NotFound\","
			"\"details\":{\"name\":\"node-1\",\"kind\":"
			"\"nodes\"},\"code\":404}" });
	EXPECT(&w, "node object", DOCTOR_FAIL, "there is no Node \"node-1\"");
}

static void skew(int seconds, enum doctor_verdict wanted, const char *text)
{
	char date[64];
	time_t t = time(NULL) - seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	SERVE({ .path = VERSION, .body = VERSION_OF("36"), .header = "date", .value = date });
	EXPECT(&w, "clock", wanted, text);
}

static void test_clock(void **state)
{
	(void)state;
	skew(0, DOCTOR_OK, "within a second");
	skew(30, DOCTOR_WARN, "ahead of the API server's");
	skew(-30, DOCTOR_WARN, "behind the API server's");
	skew(600, DOCTOR_FAIL, "ahead of");
	skew(-600, DOCTOR_FAIL, "behind");
	SERVE({ .path = VERSION, .body = VERSION_OF("36") });
	EXPECT(&w, "clock", DOCTOR_UNKNOWN, "no Date header");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_api_server, setup, done),
		cmocka_unit_test_setup_teardown(test_dra_api, setup, done),
		cmocka_unit_test_setup_teardown(test_rbac, setup, done),
		cmocka_unit_test_setup_teardown(test_node_object, setup, done),
		cmocka_unit_test_setup_teardown(test_clock, setup, done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
