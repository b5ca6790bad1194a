#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "k8s/api/quiet.h"
#include "k8s/api/retry.h"

static const struct retry_case get = { .verb = API_GET, .policy = API_RETRY_SAFE, .sent = true };

static bool may(enum api_verb verb, enum api_retry policy, int status, int http)
{
	struct retry_case c = get;

	c.verb = verb;
	c.policy = policy;
	c.status = status;
	c.http = http;
	return retry_may(&c);
}

static void test_safe(void **state)
{
	struct retry_case create = { .verb = API_CREATE, .sent = true };

	(void)state;
	assert_true(may(API_GET, API_RETRY_SAFE, -ECONNRESET, 0));
	assert_true(may(API_GET, API_RETRY_SAFE, -ETIMEDOUT, 0));
	assert_true(may(API_UPDATE, API_RETRY_SAFE, -ECONNRESET, 0));
	assert_true(may(API_GET, API_RETRY_SAFE, API_BUSY, 429));
	assert_true(may(API_CREATE, API_RETRY_SAFE, API_BUSY, 429));
	assert_true(may(API_GET, API_RETRY_SAFE, API_SERVER, 503));
	assert_false(may(API_GET, API_RETRY_SAFE, API_SERVER, 500));
	assert_false(may(API_GET, API_RETRY_SAFE, API_FORBIDDEN, 403));
	assert_false(may(API_GET, API_RETRY_SAFE, API_NOT_SERVED, 404));
	assert_false(may(API_GET, API_RETRY_SAFE, -EBADMSG, 200));
	assert_false(may(API_GET, API_RETRY_SAFE, -E2BIG, 200));
	/* A create that may have happened is not done twice. */
	assert_false(may(API_CREATE, API_RETRY_SAFE, -ECONNRESET, 0));
	assert_false(may(API_CREATE, API_RETRY_SAFE, API_SERVER, 504));
	create.status = -ECONNREFUSED;
	create.sent = false;
	assert_true(retry_may(&create));
	create.status = API_SERVER;
	create.http = 500;
	create.sent = true;
	create.retry_after_ms = 1000;
	assert_true(retry_may(&create));
}

static void test_never_the_same_again(void **state)
{
	static const int final[] = { API_BAD_REQUEST, API_NOT_FOUND, API_EXISTS,
				     API_CONFLICT,    API_GONE,	     API_INVALID };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(final); i++) {
		assert_false(may(API_GET, API_RETRY_SAFE, final[i], 400));
		assert_false(may(API_GET, API_RETRY_WAIT, final[i], 400));
	}
}

static void test_wait(void **state)
{
	(void)state;
	assert_true(may(API_GET, API_RETRY_WAIT, API_UNAUTHORIZED, 401));
	assert_true(may(API_GET, API_RETRY_WAIT, API_FORBIDDEN, 403));
	assert_true(may(API_GET, API_RETRY_WAIT, API_NOT_SERVED, 404));
	assert_true(may(API_GET, API_RETRY_WAIT, API_SERVER, 500));
	assert_true(may(API_GET, API_RETRY_WAIT, API_SERVER, 408));
	assert_true(may(API_GET, API_RETRY_WAIT, -EBADMSG, 200));
	assert_false(may(API_CREATE, API_RETRY_WAIT, API_SERVER, 504));
}

static void test_delays(void **state)
{
	struct loop *l = loop_new_virtual(0, 1);
	struct retry_case c = get;
	uint64_t ms, first, last;

	(void)state;
	c.status = API_SERVER;
	c.http = 503;
	assert_true(retry_when(&c, 100, 1000, l, &ms));
	assert_int_equal(ms, 100);
	/* Never before the server wants us back, and not everyone at the same moment. */
	c.retry_after_ms = 2000;
	first = UINT64_MAX;
	last = 0;
	for (int i = 0; i < 100; i++) {
		assert_true(retry_when(&c, 100, 30000, l, &ms));
		assert_in_range(ms, 2000, 3000);
		first = MIN(first, ms);
		last = MAX(last, ms);
	}
	assert_in_range(first, 2000, 2100);
	assert_in_range(last, 2900, 3000);
	assert_false(retry_when(&c, 100, 1500, l, &ms));
	c.status = API_BUSY;
	c.retry_after_ms = 0;
	assert_true(retry_when(&c, 100, 30000, l, &ms));
	assert_in_range(ms, 1000, 1500);
	/* WAIT looks again before its deadline, whatever the server says. */
	c.policy = API_RETRY_WAIT;
	c.retry_after_ms = 3600 * 1000;
	assert_true(retry_when(&c, 100, 60000, l, &ms));
	assert_in_range(ms, 10000, 12000);
	assert_true(retry_when(&c, 100, 5000, l, &ms));
	assert_int_equal(ms, 4000);
	assert_false(retry_when(&c, 100, 1000, l, &ms));
	loop_free(&l);
}

static void test_quiet(void **state)
{
	struct quiet q = { 0 };
	unsigned held;
	char key[16];

	(void)state;
	assert_true(quiet_pass(&q, SV("a"), 0, &held));
	assert_int_equal(held, 0);
	assert_false(quiet_pass(&q, SV("a"), 10, &held));
	assert_false(quiet_pass(&q, SV("a"), QUIET_WINDOW_MS - 1, &held));
	assert_true(quiet_pass(&q, SV("b"), 20, &held));
	assert_true(quiet_pass(&q, SV("a"), QUIET_WINDOW_MS, &held));
	assert_int_equal(held, 2);
	/* More different complaints than slots: nothing breaks, the oldest is forgotten. */
	for (int i = 0; i < 4 * QUIET_SLOTS; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		assert_true(quiet_pass(&q, sv_str(key), QUIET_WINDOW_MS + 1 + (uint64_t)i, &held));
	}
	assert_true(quiet_pass(&q, SV("a"), 2 * QUIET_WINDOW_MS - 1, &held));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe),  cmocka_unit_test(test_never_the_same_again),
		cmocka_unit_test(test_wait),  cmocka_unit_test(test_delays),
		cmocka_unit_test(test_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
