/* What the scheduler would allocate, and what it would not. */
#include "test/lib/allocator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "test/lib/cel.h"

#define ONE "\"exactly\":{\"deviceClassName\":\"gpu\"}"
#define ALL "\"exactly\":{\"deviceClassName\":\"gpu\",\"allocationMode\":\"All\"}"
#define LOOK                                                                                       \
	"\"exactly\":{\"deviceClassName\":\"gpu\",\"allocationMode\":\"All\",\"adminAccess\":"     \
	"true}"

static struct fixture {
	struct loop *loop;
	struct store *store;
} f;

static void put_slice(int generation, int count, const char *name)
{
	store_put_text(
	    f.store,
	    "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\","
	    "\"metadata\":{\"name\":\"%s\"},\"spec\":{\"driver\":\"d\",\"nodeName\":\"n\","
	    "\"pool\":{\"name\":\"n\",\"generation\":%d,\"resourceSliceCount\":%d},"
	    "\"devices\":[{\"name\":\"%s-0\"},{\"name\":\"%s-1\"}]}}",
	    name, generation, count, name, name);
}

static int setup(void **state)
{
	const struct store_conf conf = { .history = 0 };

	(void)state;
	f.loop = loop_new_virtual(1795000000000, 1);
	f.store = store_new(f.loop, &conf);
	store_put_text(f.store, "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"DeviceClass\","
				"\"metadata\":{\"name\":\"gpu\"},\"spec\":{}}");
	put_slice(1, 1, "a");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_free(&f.store);
	loop_free(&f.loop);
	return 0;
}

/* The devices of the results, "a-0,a-1"; "-" = not now. Caller frees. */
static char *allocate(const char *requests, json_t *taken)
{
	json_t *claim = jx_make("{\"spec\":{\"devices\":{\"requests\":[%s]}}}", requests);
	json_t *allocation = NULL, *results;
	struct err e = { "" };
	struct buf list;
	char *text;

	buf_init(&list, 1024);
	if (allocator_allocate(f.store, claim, "n", taken, &allocation, &e) == 0) {
		results = jx_get(allocation, "devices", "results");
		for (size_t i = 0; i < json_array_size(results); i++)
			buf_printf(&list, "%s%s", i ? "," : "",
				   jx_text(jx_get(json_array_get(results, i), "device")));
	} else {
		buf_puts(&list, "-");
	}
	text = mem_strdup(buf_cstr(&list));
	buf_done(&list);
	json_decref(allocation);
	json_decref(claim);
	return text;
}

static void expect(const char *requests, const char *wanted)
{
	char *got _mem_free_ = allocate(requests, NULL);

	assert_string_equal(got, wanted);
}

static void a_device_is_given_once(void **state)
{
	json_t *taken = json_array();
	char *one, *two, *three;

	(void)state;
	expect("{\"name\":\"x\"," ONE "},{\"name\":\"y\"," ONE "}", "a-0,a-1");
	expect("{\"name\":\"x\"," ONE "},{\"name\":\"y\"," ONE "},{\"name\":\"z\"," ONE "}", "-");
	one = allocate("{\"name\":\"x\"," ONE "}", taken);
	two = allocate("{\"name\":\"x\"," ONE "}", taken);
	three = allocate("{\"name\":\"x\"," ONE "}", taken);
	assert_string_equal(one, "a-0");
	assert_string_equal(two, "a-1");
	assert_string_equal(three, "-");
	mem_free(one);
	mem_free(two);
	mem_free(three);
	json_decref(taken);
}

static void all_means_all(void **state)
{
	(void)state;
	expect("{\"name\":\"x\"," ALL "}", "a-0,a-1");
	/* Another request of the same claim has one of them. */
	expect("{\"name\":\"x\"," ONE "},{\"name\":\"y\"," ALL "}", "-");
	expect("{\"name\":\"x\"," ALL "},{\"name\":\"y\"," ONE "}", "-");
	/* Who only looks takes nothing. */
	expect("{\"name\":\"x\"," ONE "},{\"name\":\"y\"," LOOK "}", "a-0,a-0,a-1");
}

/* A pool counts when all slices of its newest generation are there. */
static void pools_are_whole(void **state)
{
	(void)state;
	put_slice(2, 2, "a");
	expect("{\"name\":\"x\"," ONE "}", "-");
	put_slice(1, 1, "b"); /* what is left of the generation before */
	expect("{\"name\":\"x\"," ONE "}", "-");
	put_slice(2, 2, "b");
	expect("{\"name\":\"x\"," ALL "}", "a-0,a-1,b-0,b-1");
}

static void lower_case_of_two(void **state)
{
	json_t *device = jx_make("{\"attributes\":{\"a\":{\"string\":\"ABC\"},\"b\":{\"string\":"
				 "\"abd\"}}}");
	struct err e = { "" };

	(void)state;
	assert_int_equal(cel_matches("device.attributes['d'].a.lowerAscii() == "
				     "device.attributes['d'].b.lowerAscii()",
				     "d", device, &e),
			 0);
	assert_int_equal(
	    cel_matches("device.attributes['d'].a.lowerAscii() == 'abc'", "d", device, &e), 1);
	json_decref(device);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_is_given_once),
		TEST(all_means_all),
		TEST(pools_are_whole),
		cmocka_unit_test(lower_case_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
