#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "k8s/api/quantity.h"

static void test_canonical(void **state)
{
	/* Oracle: apimachinery 0.36's ParseQuantity and CanonicalizeBytes. NULL: refused. */
	static const struct {
		const char *text, *canonical;
	} rows[] = {
		{ "0", "0" },
		{ "-1", "-1" },
		{ "+1", "1" },
		{ "00012", "12" },
		{ "1.5", "1500m" },
		{ ".5", "500m" },
		{ "5.", "5" },
		{ "-.5", "-500m" },
		{ "1Gi", "1Gi" },
		{ "1024Mi", "1Gi" },
		{ "81559Mi", "81559Mi" },
		{ "85520809984", "85520809984" },
		{ "1.5Gi", "1536Mi" },
		{ "0.5Ki", "512" },
		{ "0.1Ki", "102400m" },
		{ "0.0001Ki", "102400u" },
		{ "1023", "1023" },
		{ "1000Ki", "1000Ki" },
		{ "1000m", "1" },
		{ "0.1n", "1n" },
		{ "1.0000000001", "1000000001n" },
		{ "123456789.123456789", "123456789123456789n" },
		{ "12e6", "12e6" },
		{ "12E6", "12e6" },
		{ "1e-3", "1e-3" },
		{ "1e0", "1" },
		{ "1e+3", "1e3" },
		{ "1e10", "10e9" },
		{ "1E", "1E" },
		{ "7Ei", "7Ei" },
		{ "8Ei", "9223372036854775807" },
		{ "9223372036854775807Ki", "9223372036854775807" },
		{ "1e-30", "1e-9" },
		{ "0e500", "0" },
		{ "1000", "1k" },
		{ "0Gi", "0" },
		{ "-1.5Gi", "-1536Mi" },
		{ "1048576k", "1048576k" },
		{ "1.23456789012345678901Gi", "1325607178192992078n" },
		{ "1000000000000000000000000000n", "1E" },
		{ "4000000000.000000001", "4000000000000000001n" },
		{ "1024Pi", "1Ei" },
		{ "1.1E", "1100P" },
		{ "+0.5m", "500u" },
		{ "1K", NULL },
		{ "1KI", NULL },
		{ "1ki", NULL },
		{ "1Mi1", NULL },
		{ " 1", NULL },
		{ "1 ", NULL },
		{ "1e", NULL },
		{ "1e3.5", NULL },
		{ "--1", NULL },
		{ "1_000", NULL },
		{ "0x10", NULL },
		{ "1e3Ki", NULL },
		{ "1.2.3", NULL },
		{ "", NULL },
	};
	struct quantity q, again;
	char text[QUANTITY_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].canonical) {
			assert_int_equal(quantity_parse(sv_str(rows[i].text), &q), -EINVAL);
			continue;
		}
		assert_int_equal(quantity_parse(sv_str(rows[i].text), &q), 0);
		quantity_put(&q, text);
		assert_string_equal(text, rows[i].canonical);
		/* What is written reads back as the same value. */
		assert_int_equal(quantity_parse(sv_str(text), &again), 0);
		assert_int_equal(quantity_cmp(&q, &again), 0);
	}
}

static void test_bounds(void **state)
{
	struct quantity q;
	char text[QUANTITY_TEXT_MAX], nines[300];
	int64_t n;

	(void)state;
	q = quantity_bytes(UINT64_MAX);
	assert_int_equal(quantity_i64(&q, &n), 0);
	assert_true(n == INT64_MAX);
	q = quantity_count(INT64_MIN);
	assert_int_equal(quantity_i64(&q, &n), 0);
	assert_true(n == -INT64_MAX);
	q = quantity_bytes(512);
	quantity_put(&q, text);
	assert_string_equal(text, "512");
	q = quantity_bytes((uint64_t)80 << 30);
	quantity_put(&q, text);
	assert_string_equal(text, "80Gi");
	memset(nines, '9', sizeof(nines));
	assert_int_equal(quantity_parse(sv_make(nines, 200), &q), 0);
	assert_int_equal(quantity_i64(&q, &n), 0);
	assert_true(n == INT64_MAX);
	assert_int_equal(quantity_parse(sv_make(nines, sizeof(nines)), &q), -EINVAL);
	assert_int_equal(quantity_parse(SV("1500m"), &q), 0);
	assert_int_equal(quantity_i64(&q, &n), -ERANGE);
	assert_int_equal(quantity_parse(SV("1e99999999999999999999"), &q), -EINVAL);
}

static void test_compare(void **state)
{
	struct quantity a, b;

	(void)state;
	assert_int_equal(quantity_parse(SV("1Gi"), &a), 0);
	assert_int_equal(quantity_parse(SV("1073741824"), &b), 0);
	assert_int_equal(quantity_cmp(&a, &b), 0);
	assert_int_equal(quantity_parse(SV("1073741824.000000001"), &b), 0);
	assert_true(quantity_cmp(&a, &b) < 0);
	assert_true(quantity_cmp(&b, &a) > 0);
	assert_int_equal(quantity_parse(SV("-5"), &b), 0);
	assert_true(quantity_cmp(&a, &b) > 0);
}

static void test_from_json(void **state)
{
	struct json *root = NULL;
	struct quantity q;
	int64_t n = 0;

	(void)state;
	assert_int_equal(json_parse(SV("{\"s\":\"2Ki\",\"i\":7,\"r\":1.5,\"b\":true,\"x\":null}"),
				    &json_limits_config, &root, NULL),
			 0);
	assert_int_equal(quantity_read(json_get(root, "s"), &q), 0);
	assert_int_equal(quantity_i64(&q, &n), 0);
	assert_int_equal(n, 2048);
	assert_int_equal(quantity_read(json_get(root, "i"), &q), 0);
	assert_int_equal(quantity_i64(&q, &n), 0);
	assert_int_equal(n, 7);
	assert_int_equal(quantity_read(json_get(root, "r"), &q), 0);
	assert_true(q.nanos == 1500000000);
	assert_int_equal(quantity_read(json_get(root, "b"), &q), -EINVAL);
	assert_int_equal(quantity_read(json_get(root, "x"), &q), -EINVAL);
	assert_int_equal(quantity_read(json_get(root, "none"), &q), -EINVAL);
	json_free(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_from_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
