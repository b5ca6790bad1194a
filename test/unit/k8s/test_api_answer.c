#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "k8s/api/answer.h"

static struct json *parse(const char *text)
{
	struct json *root = NULL;

	assert_int_equal(json_parse(sv_str(text), &json_limits_object, &root, NULL), 0);
	return root;
}

static int code_of(int http, const char *body)
{
	struct json *root = body ? parse(body) : NULL;
	int code = answer_code(http, answer_status(root));

	json_free(&root);
	return code;
}

#define STATUS(reason, details)                                                                    \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"m\","     \
	"\"reason\":\"" reason "\",\"details\":{" details "}}"

static void test_codes(void **state)
{
	(void)state;
	assert_int_equal(code_of(200, "{}"), 0);
	assert_int_equal(code_of(201, NULL), 0);
	assert_int_equal(code_of(400, NULL), API_BAD_REQUEST);
	assert_int_equal(code_of(401, STATUS("Unauthorized", "")), API_UNAUTHORIZED);
	assert_int_equal(code_of(403, STATUS("Forbidden", "\"name\":\"x\"")), API_FORBIDDEN);
	assert_int_equal(code_of(409, STATUS("AlreadyExists", "\"name\":\"x\"")), API_EXISTS);
	assert_int_equal(code_of(409, STATUS("Conflict", "\"name\":\"x\"")), API_CONFLICT);
	assert_int_equal(code_of(410, STATUS("Expired", "")), API_GONE);
	assert_int_equal(code_of(422, STATUS("Invalid", "")), API_INVALID);
	assert_int_equal(code_of(429, NULL), API_BUSY);
	assert_int_equal(code_of(500, NULL), API_SERVER);
	assert_int_equal(code_of(504, NULL), API_SERVER);
	assert_int_equal(code_of(599, NULL), API_SERVER);
	assert_int_equal(code_of(418, NULL), API_BAD_REQUEST);
	assert_int_equal(code_of(302, NULL), API_BAD_REQUEST);
}

static void test_kinds_of_404(void **state)
{
	(void)state;
	/* The object is missing. */
	assert_int_equal(code_of(404, STATUS("NotFound", "\"name\":\"c\",\"group\":"
							 "\"resource.k8s.io\",\"kind\":"
							 "\"resourceclaims\"")),
			 API_NOT_FOUND);
	/* The resource is not served: a Status without a name; the group: plain text. */
	assert_int_equal(code_of(404, STATUS("NotFound", "")), API_NOT_SERVED);
	assert_int_equal(code_of(404, NULL), API_NOT_SERVED);
}

static void test_retry_after(void **state)
{
	struct json *told = parse(STATUS("ServerTimeout", "\"retryAfterSeconds\":3"));

	(void)state;
	assert_int_equal(answer_retry_after_ms(SV("2"), told), 2000);
	assert_int_equal(answer_retry_after_ms(SV(" 2 "), NULL), 2000);
	assert_int_equal(answer_retry_after_ms(SV_NONE, told), 3000);
	assert_int_equal(answer_retry_after_ms(SV("Fri, 31 Dec 1999 23:59:59 GMT"), told), 3000);
	assert_int_equal(answer_retry_after_ms(SV("-1"), NULL), 0);
	assert_int_equal(answer_retry_after_ms(SV("999999999999"), NULL), 3600000);
	assert_int_equal(answer_retry_after_ms(SV_NONE, NULL), 0);
	json_free(&told);
}

static void test_text(void **state)
{
	struct json *status = parse(STATUS("Forbidden", ""));
	struct err e = { "" };
	char long_body[1000];

	(void)state;
	answer_text(403, status, SV_NONE, &e);
	assert_string_equal(e.text, "403 Forbidden: m");
	answer_text(503, NULL, SV("  upstream\tconnect\r\nerror \n"), &e);
	assert_string_equal(e.text, "503 Service Unavailable: upstream connect  error");
	answer_text(299, NULL, SV_NONE, &e);
	assert_string_equal(e.text, "299");
	memset(long_body, 'x', sizeof(long_body));
	answer_text(500, NULL, sv_make(long_body, sizeof(long_body)), &e);
	assert_true(strlen(e.text) < 250);
	assert_non_null(strstr(e.text, "..."));
	json_free(&status);
}

static void test_warning(void **state)
{
	char out[64], tiny[4];

	(void)state;
	assert_true(answer_warning(SV("299 - \"unknown field \\\"spec.x\\\"\""), out, sizeof(out)));
	assert_string_equal(out, "unknown field \"spec.x\"");
	assert_true(answer_warning(SV("299 - \"abcdef\""), tiny, sizeof(tiny)));
	assert_string_equal(tiny, "abc");
	assert_false(answer_warning(SV("199 - \"old\""), out, sizeof(out)));
	assert_false(answer_warning(SV("299 - none"), out, sizeof(out)));
	assert_false(answer_warning(SV("299 - \"\""), out, sizeof(out)));
	assert_false(answer_warning(SV_NONE, out, sizeof(out)));
	assert_true(answer_warning(SV("299 - \"open\\"), out, sizeof(out)));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(api_code_name(0), "OK");
	assert_string_equal(api_code_name(API_SERVER), "ServerError");
	assert_string_equal(api_code_name(-ETIMEDOUT), "ETIMEDOUT");
	assert_string_equal(api_code_name(-9999), "EUNKNOWN");
}

static void test_rv_from_future(void **state)
{
	struct json *yes = parse(STATUS("Timeout", "\"causes\":[{\"reason\":\"Other\"},"
						   "{\"reason\":\"ResourceVersionTooLarge\"}]"));
	struct json *no = parse(STATUS("Timeout", "\"causes\":[]"));

	(void)state;
	assert_true(answer_rv_from_future(yes));
	assert_false(answer_rv_from_future(no));
	assert_false(answer_rv_from_future(NULL));
	json_free(&yes);
	json_free(&no);
}

static void test_date(void **state)
{
	(void)state;
	assert_int_equal(answer_date_ms(SV("Sun, 06 Nov 1994 08:49:37 GMT")), 784111777000);
	assert_int_equal(answer_date_ms(SV(" Sun, 06 Nov 1994 08:49:37 GMT ")), 784111777000);
	assert_int_equal(answer_date_ms(SV("Sunday, 06-Nov-94 08:49:37 GMT")), 0);
	assert_int_equal(answer_date_ms(SV("Sun, 06 Nov 1994 08:49:37 GMT+1")), 0);
	assert_int_equal(answer_date_ms(SV("Sun, 06 Nov 1994")), 0);
	assert_int_equal(answer_date_ms(SV_NONE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),	       cmocka_unit_test(test_kinds_of_404),
		cmocka_unit_test(test_retry_after),    cmocka_unit_test(test_text),
		cmocka_unit_test(test_warning),	       cmocka_unit_test(test_names),
		cmocka_unit_test(test_rv_from_future), cmocka_unit_test(test_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
