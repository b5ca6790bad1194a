/* The API server's rules for what a node agent writes: each refusal of the real one is one here. */
#include "test/lib/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/lib/jx.h"

#define DEVICE "{\"name\":\"gpu-0\"}"

static struct fixture {
	struct loop *loop;
	struct store *store;
	const struct store_kind *slices, *events;
} f;

static int setup(void **state)
{
	const struct store_conf conf = { .validate = validate_object };

	(void)state;
	f.loop = loop_new_virtual(1795000000000, 1);
	f.store = store_new(f.loop, &conf);
	f.slices = store_kind(f.store, "resource.k8s.io", "resourceslices");
	f.events = store_kind(f.store, "", "events");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_free(&f.store);
	loop_free(&f.loop);
	return 0;
}

/* 0 or the HTTP status. */
static int create(const char *name, const char *driver, const char *pool, const char *device)
{
	json_t *slice = jx_make("{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\","
				"\"metadata\":{\"name\":\"%s\"},\"spec\":{\"driver\":\"%s\","
				"\"nodeName\":\"n\",\"pool\":{\"name\":\"%s\",\"generation\":1,"
				"\"resourceSliceCount\":1},\"devices\":[%s]}}",
				name, driver, pool, device);
	struct store_delete how = { .grace_s = -1 };
	struct store_error e = { 0 }, unused;
	bool gone;
	int code;

	validate_drop(slice, f.slices, NULL);
	code = store_create(f.store, f.slices, NULL, slice, NULL, &e);
	if (!code)
		assert_int_equal(
		    store_delete(f.store, f.slices, NULL, name, &how, &gone, NULL, &unused), 0);
	json_decref(slice);
	return code;
}

static int with_attribute(const char *name, const char *value)
{
	char *device _mem_free_ =
	    mem_printf("{\"name\":\"gpu-0\",\"attributes\":{\"%s\":%s}}", name, value);

	return create("s", "gpu.nvidia.com", "n", device);
}

static int with_capacity(const char *value)
{
	char *device _mem_free_ =
	    mem_printf("{\"name\":\"gpu-0\",\"capacity\":{\"memory\":{\"value\":\"%s\"}}}", value);

	return create("s", "gpu.nvidia.com", "n", device);
}

static void names_are_dns(void **state)
{
	(void)state;
	assert_int_equal(create("s-1.x", "gpu.nvidia.com", "n/a.b", DEVICE), 0);
	assert_int_equal(create("S", "gpu.nvidia.com", "n", DEVICE), 422);
	assert_int_equal(create("s_1", "gpu.nvidia.com", "n", DEVICE), 422);
	assert_int_equal(create("s", "GPU.nvidia.com", "n", DEVICE), 422);
	assert_int_equal(create("s", "gpu..nvidia.com", "n", DEVICE), 422);
	assert_int_equal(create("s", "gpu.nvidia.com.", "n", DEVICE), 422);
	assert_int_equal(create("s", "", "n", DEVICE), 422);
	assert_int_equal(create("s", "gpu.nvidia.com", "", DEVICE), 422);
	assert_int_equal(create("s", "gpu.nvidia.com", "n//a", DEVICE), 422);
	assert_int_equal(create("s", "gpu.nvidia.com", "Node", DEVICE), 422);
	assert_int_equal(create("s", "gpu.nvidia.com", "n", "{\"name\":\"GPU_0\"}"), 422);
}

static void attributes_have_one_value_of_their_type(void **state)
{
	static const char *const good[] = { "{\"int\":1}", "{\"bool\":false}", "{\"string\":\"\"}",
					    "{\"version\":\"580.65.6\"}" };
	static const char *const bad[] = { "{}",
					   "{\"int\":\"1\"}",
					   "{\"int\":1.5}",
					   "{\"bool\":\"true\"}",
					   "{\"string\":5}",
					   "{\"strings\":[\"a\"]}",
					   "{\"int\":1,\"bool\":true}",
					   "{\"version\":\"580.65.06\"}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(with_attribute("a", good[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(with_attribute("a", bad[i]), 422);
	assert_int_equal(with_attribute("x.example.com/a", good[0]), 0);
	assert_int_equal(with_attribute("X/a", good[0]), 422);
	assert_int_equal(with_attribute("x.example.com/1a", good[0]), 422);
	assert_int_equal(with_attribute("a-b", good[0]), 422);
}

static void capacities_are_quantities(void **state)
{
	(void)state;
	assert_int_equal(with_capacity("81559Mi"), 0);
	assert_int_equal(with_capacity("12"), 0);
	assert_int_equal(with_capacity("81559MiB"), 422);
	assert_int_equal(with_capacity("much"), 422);
	assert_int_equal(with_capacity(""), 422);
}

/* What comes back is not always what was sent: a driver must compare with care. */
static void stored_in_the_servers_form(void **state)
{
	json_t *slice = jx_make(
	    "{\"spec\":{\"typo\":1,\"pool\":{\"x\":1,\"name\":\"n\"},\"devices\":[{\"name\":\"d\","
	    "\"bogus\":{},\"capacity\":{\"a\":{\"value\":\"2048Mi\"},\"b\":{\"value\":\"81559Mi\"},"
	    "\"c\":{\"value\":\"1048576Ki\"},\"d\":{\"value\":\"1000k\"},\"e\":{\"value\":\"0\"},"
	    "\"f\":{\"value\":\"2048\"}}}]}}");
	static const char *const wanted[][2] = { { "a", "2Gi" }, { "b", "81559Mi" },
						 { "c", "1Gi" }, { "d", "1000k" },
						 { "e", "0" },	 { "f", "2048" } };
	const json_t *device;

	(void)state;
	validate_drop(slice, f.slices, NULL);
	device = json_array_get(jx_get(slice, "spec", "devices"), 0);
	assert_null(jx_get(slice, "spec", "typo"));
	assert_null(jx_get(slice, "spec", "pool", "x"));
	assert_null(jx_get(device, "bogus"));
	assert_string_equal(jx_text(jx_get(slice, "spec", "pool", "name")), "n");
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		assert_string_equal(jx_text(jx_get(device, "capacity", wanted[i][0], "value")),
				    wanted[i][1]);
	json_decref(slice);
}

static int tell(const char *ns, const char *about)
{
	json_t *event =
	    jx_make("{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{"
		    "\"generateName\":\"e-\"},\"involvedObject\":{\"kind\":\"X\"%s%s%s}}",
		    *about ? ",\"namespace\":\"" : "", about, *about ? "\"" : "");
	struct store_error e = { 0 };
	int code = store_create(f.store, f.events, ns, event, NULL, &e);

	json_decref(event);
	return code;
}

static void events_lie_beside_what_they_tell_of(void **state)
{
	(void)state;
	assert_int_equal(tell("default", "default"), 0);
	assert_int_equal(tell("kube-system", "kube-system"), 0);
	assert_int_equal(tell("default", ""), 0); /* of a Node */
	assert_int_equal(tell("kube-system", ""), 422);
	assert_int_equal(tell("default", "kube-system"), 422);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_dns),
		cmocka_unit_test(attributes_have_one_value_of_their_type),
		cmocka_unit_test(capacities_are_quantities),
		cmocka_unit_test(stored_in_the_servers_form),
		cmocka_unit_test(events_lie_beside_what_they_tell_of),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
