#include "k8s/slice.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"

static struct gpu_device *device_new(const char *name, uint64_t memory)
{
	struct gpu_device *d = MEM_NEW(struct gpu_device);

	snprintf(d->name, sizeof(d->name), "%s", name);
	device_add_string(d, "", "type", "gpu");
	device_add_version(d, "", "driverVersion", "580.65.6");
	device_add_int(d, "resource.kubernetes.io", "numaNode", 1);
	device_add_bool(d, "", "eccEnabled", true);
	device_add_capacity(d, "memory", memory);
	return d;
}

static void device_drop(struct gpu_device *d)
{
	device_done(d);
	mem_free(d);
}

static struct json *parse(struct sv text)
{
	struct json *root = NULL;
	struct err e = { 0 };

	assert_int_equal(json_parse(text, &json_limits_object, &root, &e), 0);
	return root;
}

static struct slice_body body(const struct gpu_device *const *devices, size_t n)
{
	return (struct slice_body){ .driver = "gpu.nvidia.com",
				    .node = "node-1",
				    .node_uid = "u-1",
				    .pool = "node-1",
				    .generation = 3,
				    .count = 2,
				    .index = 1,
				    .devices = devices,
				    .n = n };
}

/* What we write, read back as the API server would give it, means what we meant: in each version.
 */
static void written_and_read_agree(void **state)
{
	static const enum api_version versions[] = { API_V1, API_V1BETA2, API_V1BETA1 };
	struct gpu_device *d[2] = { device_new("gpu-0", 80ull << 30),
				    device_new("gpu-7", 143771ull << 20) };
	const struct gpu_device *const view[2] = { d[0], d[1] };
	struct slice_body b = body(view, 2);

	(void)state;
	b.name = "00001-gpu.nvidia.com-node-1-abcde";
	b.uid = "s-1";
	b.rv = "77";
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct buf out;
		struct json *root;
		struct slice *s;

		buf_init(&out, 1 << 20);
		slice_encode(&b, versions[i], &out);
		root = parse(buf_sv(&out));
		assert_string_equal(json_str(json_get(root, "apiVersion"), ""),
				    api_version_group_name(versions[i]));
		s = slice_decode(root, versions[i]);
		assert_string_equal(s->name, b.name);
		assert_string_equal(s->rv, "77");
		assert_int_equal(s->generation, 3);
		assert_int_equal(s->count, 2);
		assert_int_equal(s->index, 1);
		assert_int_equal(s->devices, 2);
		assert_true(s->digest == slice_digest(view, 2));
		slice_free(&s);
		json_free(&root);
		buf_done(&out);
	}
	device_drop(d[0]);
	device_drop(d[1]);
}

static uint64_t digest_of(const char *devices)
{
	char *text = mem_printf(
	    "{\"metadata\":{\"name\":\"00000-x-\"},\"spec\":{\"devices\":[%s]}}", devices);
	struct json *root = parse(sv_str(text));
	struct slice *s = slice_decode(root, API_V1);
	uint64_t digest = s->digest;

	slice_free(&s);
	json_free(&root);
	mem_free(text);
	return digest;
}

/* Spelling does not matter, meaning does. */
static void digest_is_about_meaning(void **state)
{
	uint64_t a =
	    digest_of("{\"name\":\"g\",\"attributes\":{\"x\":{\"int\":1},\"y\":{\"string\":\"s\"}},"
		      "\"capacity\":{\"memory\":{\"value\":\"1Gi\"}}}");

	(void)state;
	assert_true(a ==
		    digest_of("{\"capacity\":{\"memory\":{\"value\":\"1024Mi\"}},\"attributes\":{"
			      "\"y\":{\"string\":\"s\"},\"x\":{\"int\":1}},\"name\":\"g\"}"));
	assert_true(
	    a ==
	    digest_of("{\"name\":\"g\",\"attributes\":{\"x\":{\"int\":1},\"y\":{\"string\":\"s\"}},"
		      "\"capacity\":{\"memory\":{\"value\":\"1073741824\"}}}"));
	assert_false(
	    a == digest_of(
		     "{\"name\":\"g\",\"attributes\":{\"x\":{\"int\":1},\"y\":{\"version\":\"s\"}},"
		     "\"capacity\":{\"memory\":{\"value\":\"1Gi\"}}}"));
	assert_false(
	    a ==
	    digest_of("{\"name\":\"g\",\"attributes\":{\"x\":{\"int\":2},\"y\":{\"string\":\"s\"}},"
		      "\"capacity\":{\"memory\":{\"value\":\"1Gi\"}}}"));
	assert_false(
	    a ==
	    digest_of("{\"name\":\"g\",\"attributes\":{\"x\":{\"int\":1},\"y\":{\"string\":\"s\"}},"
		      "\"taints\":[],\"capacity\":{\"memory\":{\"value\":\"1Gi\"}}}"));
	assert_false(digest_of("{\"name\":\"a\"},{\"name\":\"b\"}") ==
		     digest_of("{\"name\":\"b\"},{\"name\":\"a\"}"));
	assert_true(digest_of("") == slice_digest(NULL, 0));
}

static int64_t index_in(const char *name)
{
	char *text = mem_printf("{\"metadata\":{\"name\":\"%s\"}}", name);
	struct json *root = parse(sv_str(text));
	struct slice *s = slice_decode(root, API_V1);
	int64_t index = s->index;

	slice_free(&s);
	json_free(&root);
	mem_free(text);
	return index;
}

static void index_comes_from_the_name(void **state)
{
	(void)state;
	assert_int_equal(index_in("00000-gpu.nvidia.com-n-x"), 0);
	assert_int_equal(index_in("0001f-gpu.nvidia.com-n-x"), 31);
	assert_int_equal(index_in("0001-gpu"), -1);
	assert_int_equal(index_in("000010gpu"), -1);
	assert_int_equal(index_in("0000G-gpu"), -1);
	assert_int_equal(index_in(""), -1);
}

static void an_empty_slice_has_no_devices_key(void **state)
{
	struct slice_body b = body(NULL, 0);
	struct buf out;
	struct json *root;

	(void)state;
	buf_init(&out, 4096);
	slice_encode(&b, API_V1, &out);
	root = parse(buf_sv(&out));
	assert_null(json_get(root, "spec", "devices"));
	assert_string_equal(json_str(json_get(root, "metadata", "generateName"), ""),
			    "00001-gpu.nvidia.com-node-1-");
	assert_null(json_get(root, "metadata", "name"));
	assert_string_equal(
	    json_str(json_get(json_at(json_get(root, "metadata", "ownerReferences"), 0), "uid"),
		     ""),
	    "u-1");
	json_free(&root);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_and_read_agree),
		cmocka_unit_test(digest_is_about_meaning),
		cmocka_unit_test(index_comes_from_the_name),
		cmocka_unit_test(an_empty_slice_has_no_devices_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
