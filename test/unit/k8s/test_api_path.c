#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "k8s/api/path.h"

static void expect(const struct api_target *t, const struct path_options *o, const char *want)
{
	static const struct path_options none;
	size_t at;
	struct buf b;

	buf_init(&b, 4096);
	path_put(&b, "", t, o ? o : &none, &at);
	assert_int_equal(at, SIZE_MAX);
	assert_string_equal(buf_cstr(&b), want);
	buf_done(&b);
}

static void test_paths(void **state)
{
	(void)state;
	expect(
	    &(struct api_target){ .group = "", .version = "v1", .resource = "nodes", .name = "n" },
	    NULL, "/api/v1/nodes/n");
	expect(&(struct api_target){ .group = "apps",
				     .version = "v1",
				     .resource = "daemonsets",
				     .ns = "a",
				     .name = "b",
				     .sub = "status" },
	       NULL, "/apis/apps/v1/namespaces/a/daemonsets/b/status");
	expect(&(struct api_target){ .raw = "/version" }, NULL, "/version");
	expect(&(struct api_target){ .group = "",
				     .version = "v1",
				     .resource = "pods",
				     .fields = "spec.nodeName=n1,x!=",
				     .labels = "a in (b)",
				     .query = "limit=5" },
	       NULL,
	       "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1%2Cx%21%3D&labelSelector="
	       "a%20in%20%28b%29&limit=5");
	expect(&(struct api_target){ .group = "",
				     .version = "v1",
				     .resource = "pods",
				     .ns = "n",
				     .name = "p",
				     .query = "" },
	       &(struct path_options){ "tundra/x", true },
	       "/api/v1/namespaces/n/pods/p?fieldManager=tundra%2Fx&force=true");
}

/* Names come from outside: they never become another path. */
static void test_hostile_names(void **state)
{
	(void)state;
	expect(&(struct api_target){ .group = "",
				     .version = "v1",
				     .resource = "pods",
				     .ns = "../x",
				     .name = "a/b?c#d%e\n\xff" },
	       NULL, "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc%23d%25e%0A%FF");
	expect(
	    &(struct api_target){
		.group = "", .version = "v1", .resource = "pods", .ns = "..", .name = "." },
	    NULL, "/api/v1/namespaces/%00/pods/%00");
}

static void test_open_version(void **state)
{
	const struct api_target t = { .group = API_GROUP_RESOURCE, .resource = "resourceslices" };
	const struct path_options o = { NULL, false };
	struct buf b;
	size_t at;

	(void)state;
	buf_init(&b, 4096);
	path_put(&b, "/proxy", &t, &o, &at);
	assert_string_equal(buf_cstr(&b), "/proxy/apis/resource.k8s.io//resourceslices");
	assert_int_equal(at, strlen("/proxy/apis/resource.k8s.io/"));
	buf_done(&b);
}

static void test_copy(void **state)
{
	char name[] = "pods";
	struct api_target t = { .group = "", .version = "v1", .resource = name };

	(void)state;
	api_target_copy(&t);
	name[0] = 'x';
	expect(&t, NULL, "/api/v1/pods");
	api_target_done(&t);
	api_target_done(&t);
	assert_null(t.resource);
}

static void test_bodies(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	api_put_preconditions(&b, "u", "7");
	assert_string_equal(buf_cstr(&b),
			    "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
			    "\"preconditions\":{\"uid\":\"u\",\"resourceVersion\":\"7\"}}");
	buf_clear(&b);
	api_put_preconditions(&b, NULL, NULL);
	assert_string_equal(buf_cstr(&b), "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}");
	buf_done(&b);
	assert_string_equal(path_method(API_APPLY), "PATCH");
	assert_string_equal(path_content_type(API_APPLY), "application/apply-patch+yaml");
	assert_string_equal(path_method(API_DELETE_ALL), "DELETE");
	for (enum api_verb v = API_GET; v < API_VERBS; v++) {
		assert_non_null(api_verb_name(v));
		assert_non_null(path_method(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),	     cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_open_version), cmocka_unit_test(test_copy),
		cmocka_unit_test(test_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
