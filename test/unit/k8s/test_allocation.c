#include "k8s/allocation.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

#define UID "11111111-2222-3333-4444-555555555555"
#define RESULTS                                                                                    \
	"{\"request\":\"a\",\"driver\":\"gpu.nvidia.com\",\"pool\":\"n1\",\"device\":\"gpu-0\"}"

static struct json *claim_with(const char *allocation)
{
	char *text =
	    mem_printf("{\"metadata\":{\"uid\":\"" UID "\"},\"status\":{%s\"reservedFor\":["
		       "{\"resource\":\"podgroups\",\"name\":\"g\"},{\"resource\":\"pods\","
		       "\"name\":\"p1\"}]}}",
		       allocation);
	struct json *root = NULL;
	struct err e = { 0 };

	assert_int_equal(json_parse(sv_str(text), &json_limits_object, &root, &e), 0);
	mem_free(text);
	return root;
}

static int decode(const char *allocation, struct allocation *out, struct err *e)
{
	struct json *claim = claim_with(allocation);
	int r = allocation_decode(claim, UID, "gpu.nvidia.com", out, e);

	json_free(&claim);
	return r;
}

static void takes_own_results_only(void **state)
{
	struct allocation a;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
	    decode("\"allocation\":{\"devices\":{\"results\":["
		   "{\"request\":\"x\",\"driver\":\"other.io\",\"pool\":\"p\",\"device\":\"d\"}"
		   "," RESULTS ","
		   "{\"request\":\"b/"
		   "sub\",\"driver\":\"gpu.nvidia.com\",\"pool\":\"n1\",\"device\":\"gpu-3\","
		   "\"shareID\":\"s-1\",\"adminAccess\":true}]}},",
		   &a, &e),
	    0);
	assert_int_equal(a.results_n, 2);
	assert_string_equal(a.results[0].device, "gpu-0");
	assert_null(a.results[0].share_id);
	assert_false(a.results[0].admin);
	assert_string_equal(a.results[1].request, "b/sub");
	assert_string_equal(a.results[1].share_id, "s-1");
	assert_true(a.results[1].admin);
	assert_string_equal(a.pod, "p1");
	allocation_done(&a);
}

static void says_what_is_wrong(void **state)
{
	struct allocation a;
	struct err e = { 0 };
	struct json *claim = claim_with("");

	(void)state;
	assert_int_equal(allocation_decode(claim, "other-uid", "gpu.nvidia.com", &a, &e),
			 ALLOCATION_E_REPLACED);
	assert_non_null(strstr(e.text, "replaced"));
	assert_int_equal(allocation_decode(claim, UID, "gpu.nvidia.com", &a, &e),
			 ALLOCATION_E_NONE);
	assert_string_equal(e.text, "the claim is not allocated");
	json_free(&claim);
	assert_int_equal(
	    decode("\"allocation\":{\"devices\":{\"results\":[{\"driver\":\"gpu.nvidia.com\","
		   "\"request\":\"a\",\"pool\":\"n1\"}]}},",
		   &a, &e),
	    -EINVAL);
	assert_non_null(strstr(e.text, "result.device"));
	assert_int_equal(decode("\"allocation\":{\"devices\":{\"results\":[" RESULTS
				"],\"config\":["
				"{\"source\":\"FromClaim\"}]}},",
				&a, &e),
			 -EINVAL);
	assert_string_equal(e.text, "only opaque parameters are supported by this driver");
}

static void too_many_results_are_refused(void **state)
{
	struct allocation a;
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_puts(&b, "\"allocation\":{\"devices\":{\"results\":[" RESULTS);
	for (int i = 0; i < ALLOCATION_RESULTS_MAX; i++)
		buf_puts(&b, "," RESULTS);
	buf_puts(&b, "]}},");
	assert_int_equal(decode(buf_cstr(&b), &a, &e), -EINVAL);
	assert_non_null(strstr(e.text, "33 results"));
	buf_done(&b);
}

#define CONFIG(requests, kind)                                                                     \
	"{\"requests\":[" requests "],\"opaque\":{\"driver\":\"gpu.nvidia.com\",\"parameters\":{"  \
	"\"kind\":\"" kind "\"}}}"

/* Fits when the text names the kind that the device wants; "Bad" cannot be read. */
static int fits(void *ctx, const char *text, struct err *e)
{
	if (strstr(text, "Bad"))
		return err_set(e, -EINVAL, "cannot be read");
	return strstr(text, ctx) ? 0 : err_set(e, 1, "is of another type");
}

static const char *winner(const char *configs, const char *request, const char *kind, int *status)
{
	static char kept[256];
	char *text = mem_printf(
	    "\"allocation\":{\"devices\":{\"results\":[" RESULTS "],\"config\":[%s]}},", configs);
	struct allocation_result r = { .request = (char *)(uintptr_t)request };
	struct allocation a;
	struct err e = { 0 };
	const char *found = NULL;

	assert_int_equal(decode(text, &a, &e), 0);
	*status = allocation_config_for(&a, &r, fits, (void *)(uintptr_t)kind, &found, &e);
	snprintf(kept, sizeof(kept), "%s", found ? found : "");
	allocation_done(&a);
	mem_free(text);
	return kept;
}

static void precedence_of_configs(void **state)
{
	int r;

	(void)state;
	/* Later wins; one that names the request by its parent counts. */
	assert_string_equal(winner(CONFIG("", "GpuConfig1") "," CONFIG("\"a\"", "GpuConfig2"),
				   "a/s", "GpuConfig", &r),
			    "{\"kind\":\"GpuConfig2\"}");
	assert_int_equal(r, 0);
	assert_string_equal(winner(CONFIG("\"a\"", "GpuConfig2") "," CONFIG("", "GpuConfig1"), "a",
				   "GpuConfig", &r),
			    "{\"kind\":\"GpuConfig1\"}");
	/* One for all requests that is for another type is passed over. */
	assert_string_equal(winner(CONFIG("", "GpuConfig1") "," CONFIG("", "MigDeviceConfig"), "a",
				   "GpuConfig", &r),
			    "{\"kind\":\"GpuConfig1\"}");
	/* One that names the request and does not fit is an error. */
	(void)winner(CONFIG("\"a\"", "MigDeviceConfig"), "a", "GpuConfig", &r);
	assert_int_equal(r, -EINVAL);
	(void)winner(CONFIG("", "Bad"), "a", "GpuConfig", &r);
	assert_int_equal(r, -EINVAL);
	/* Others' requests do not matter. */
	assert_string_equal(winner(CONFIG("\"b\"", "GpuConfig1"), "a", "GpuConfig", &r), "");
	assert_int_equal(r, 0);
}

static void digest_tells_allocations_apart(void **state)
{
	static const char *const texts[] = {
		"\"allocation\":{\"devices\":{\"results\":[" RESULTS "]}},",
		"\"allocation\":{\"devices\":{\"results\":[" RESULTS "," RESULTS "]}},",
		"\"allocation\":{\"devices\":{\"results\":[{\"request\":\"a\",\"driver\":\"gpu."
		"nvidia.com\","
		"\"pool\":\"n1\",\"device\":\"gpu-0\",\"adminAccess\":true}]}},",
		"\"allocation\":{\"devices\":{\"results\":[" RESULTS
		"],\"config\":[" CONFIG("", "GpuConfig") "]}},",
	};
	uint64_t seen[ARRAY_LEN(texts)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct allocation a;
		struct err e = { 0 };

		assert_int_equal(decode(texts[i], &a, &e), 0);
		seen[i] = a.digest;
		allocation_done(&a);
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
}

static void base_request(void **state)
{
	(void)state;
	assert_true(sv_eqs(allocation_base_request("req/sub"), "req"));
	assert_true(sv_eqs(allocation_base_request("req"), "req"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_own_results_only),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(too_many_results_are_refused),
		cmocka_unit_test(precedence_of_configs),
		cmocka_unit_test(digest_tells_allocations_apart),
		cmocka_unit_test(base_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
