#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "core/jsonw.h"
#include "k8s/api/meta.h"

static struct json *parse(const char *text)
{
	struct json *root = NULL;
	struct err e = { "" };

	if (json_parse(sv_str(text), &json_limits_object, &root, &e) < 0)
		fail_msg("%s", e.text);
	return root;
}

static void test_getters(void **state)
{
	struct json *o =
	    parse("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"n\",\"namespace\":\"s\","
		  "\"uid\":\"u\",\"resourceVersion\":\"12\",\"generation\":3,"
		  "\"deletionTimestamp\":\"2026-11-21T00:00:00Z\","
		  "\"annotations\":{\"a/b\":\"v\"},\"ownerReferences\":["
		  "{\"kind\":\"Node\",\"uid\":\"node-uid\"},"
		  "{\"kind\":\"DaemonSet\",\"uid\":\"ds-uid\",\"controller\":true}]}}");

	(void)state;
	assert_string_equal(meta_kind(o), "Pod");
	assert_string_equal(meta_name(o), "n");
	assert_string_equal(meta_namespace(o), "s");
	assert_string_equal(meta_uid(o), "u");
	assert_string_equal(meta_rv(o), "12");
	assert_int_equal(meta_generation(o), 3);
	assert_true(meta_deleting(o));
	assert_string_equal(meta_annotation(o, "a/b"), "v");
	assert_null(meta_annotation(o, "b"));
	assert_string_equal(meta_owner_uid(o, "Node"), "node-uid");
	assert_string_equal(meta_owner_uid(o, NULL), "ds-uid");
	assert_string_equal(meta_owner_uid(o, "Pod"), "");
	json_free(&o);
}

/* Missing and wrong-typed members never crash and never invent a value. */
static void test_absent(void **state)
{
	static const char odd[] = "{\"metadata\":{\"name\":7,\"ownerReferences\":{},"
				  "\"annotations\":[]},\"kind\":[]}";
	static const char *const texts[] = { "{}", "{\"metadata\":null}", "{\"metadata\":7}", odd };
	struct json *o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		o = parse(texts[i]);
		assert_string_equal(meta_kind(o), "");
		assert_string_equal(meta_name(o), "");
		assert_string_equal(meta_rv(o), "");
		assert_int_equal(meta_generation(o), 0);
		assert_false(meta_deleting(o));
		assert_null(meta_annotation(o, "x"));
		assert_string_equal(meta_owner_uid(o, "Node"), "");
		json_free(&o);
	}
	assert_string_equal(meta_name(NULL), "");
}

static void test_rv(void **state)
{
	(void)state;
	assert_int_equal(meta_rv_cmp("9", "10"), -1);
	assert_int_equal(meta_rv_cmp("10", "9"), 1);
	assert_int_equal(meta_rv_cmp("10", "10"), 0);
	assert_int_equal(meta_rv_cmp("0010", "10"), 0);
	assert_int_equal(meta_rv_cmp("18446744073709551616", "18446744073709551615"), 1);
	assert_int_equal(meta_rv_cmp("", "1"), META_RV_UNORDERED);
	assert_int_equal(meta_rv_cmp("1", "1a"), META_RV_UNORDERED);
	assert_int_equal(meta_rv_cmp("-1", "1"), META_RV_UNORDERED);
	assert_int_equal(meta_rv_cmp("0", "0"), 0);
}

static void test_versions(void **state)
{
	struct json *flat = parse("{\"name\":\"r\",\"deviceClassName\":\"c\"}");
	struct json *exact = parse("{\"name\":\"r\",\"exactly\":{\"deviceClassName\":\"c\"}}");
	struct json *first = parse("{\"name\":\"r\",\"firstAvailable\":[{\"name\":\"s\"}]}");
	struct json *basic = parse("{\"name\":\"d\",\"basic\":{\"attributes\":{}}}");

	(void)state;
	assert_string_equal(api_version_name(API_V1BETA2), "v1beta2");
	assert_string_equal(api_version_group_name(API_V1), "resource.k8s.io/v1");
	assert_string_equal(api_version_group_name(API_VERSION_NONE), "");
	assert_ptr_equal(meta_request(flat, API_V1BETA1), flat);
	assert_null(meta_request(first, API_V1BETA1));
	assert_null(meta_request(first, API_V1));
	assert_ptr_equal(meta_request(exact, API_V1), json_get(exact, "exactly"));
	assert_ptr_equal(meta_request(exact, API_V1BETA2), json_get(exact, "exactly"));
	assert_ptr_equal(meta_device(basic, API_V1BETA1), json_get(basic, "basic"));
	assert_ptr_equal(meta_device(basic, API_V1), basic);
	json_free(&flat);
	json_free(&exact);
	json_free(&first);
	json_free(&basic);
}

static void write_device(struct buf *out, enum api_version v)
{
	struct jsonw w;

	buf_init(out, 4096);
	jsonw_init(&w, out);
	jsonw_obj(&w);
	jsonw_kstr(&w, "name", "gpu-0");
	meta_device_open(&w, v);
	jsonw_kobj(&w, "attributes");
	jsonw_end(&w);
	meta_device_close(&w, v);
	jsonw_end(&w);
}

static void test_device_writer(void **state)
{
	struct buf b;

	(void)state;
	write_device(&b, API_V1);
	assert_string_equal(buf_cstr(&b), "{\"name\":\"gpu-0\",\"attributes\":{}}");
	buf_done(&b);
	write_device(&b, API_V1BETA1);
	assert_string_equal(buf_cstr(&b), "{\"name\":\"gpu-0\",\"basic\":{\"attributes\":{}}}");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_rv),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_device_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
