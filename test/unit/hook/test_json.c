#include "lab.h"

#include "tools/hook/json.h"

static char path[64], bundle[64];

static struct json_want wants[2];

static void setup_wants(void)
{
	wants[0] =
	    (struct json_want){ .keys = { "root", "path" }, .out = path, .cap = sizeof(path) };
	wants[1] = (struct json_want){ .keys = { "bundle" }, .out = bundle, .cap = sizeof(bundle) };
}

/* Feeds text in two pieces; the result of the first call that fails, or of the end. */
static int feed(const char *text, size_t len, size_t split)
{
	struct json j;
	int r;

	setup_wants();
	json_init(&j, wants, 2, 4096);
	r = json_feed(&j, text, split);
	if (r == 0)
		r = json_feed(&j, text + split, len - split);
	return r == 0 ? json_end(&j) : r;
}

static const struct {
	const char *text;
	int result;
	const char *path, *bundle;
} cases[] = {
	{ "{\"root\":{\"path\":\"rootfs\"}}", 0, "rootfs", "" },
	{ " { \"bundle\" : \"/b\" , \"root\" : { \"readonly\" : true , \"path\" : \"/r\" } } ", 0,
	  "/r", "/b" },
	{ "{}", 0, "", "" },
	{ "[]", 0, "", "" },
	{ "1", 0, "", "" },
	{ "-0.5e+10", 0, "", "" },
	{ "null", 0, "", "" },
	{ "\"x\"", 0, "", "" },
	{ "[{\"bundle\":\"no\"},[[]],{}]", 0, "", "" },
	{ "{\"x\":{\"bundle\":\"no\",\"path\":\"no\"},\"bundle\":\"yes\"}", 0, "", "yes" },
	{ "{\"root\":[{\"path\":\"no\"}]}", 0, "", "" },
	{ "{\"root\":{\"x\":{\"path\":\"no\"},\"path\":\"yes\"}}", 0, "yes", "" },
	{ "{\"root\":null,\"bundle\":null}", 0, "", "" },
	{ "{\"root\":\"/crun\"}", 0, "", "" },
	{ "{\"root\":{\"path\":null}}", 0, "", "" },
	{ "{\"r\\u006fot\":{\"p\\u0061th\":\"\\u00e4\\u20ac\\ud83d\\ude00\\n\\/\\\"\"}}", 0,
	  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n/\"", "" },
	{ "{\"a\":[1,2.5,-3e-7,0,0.0,10],\"bundle\":\"\\\\\"}", 0, "", "\\" },
	{ "{\"bundle\":\"\xff\xfe\"}", 0, "", "\xff\xfe" },
	{ "{\"root\":{\"path\":7}}", -EPROTOTYPE, "", "" },
	{ "{\"bundle\":{}}", -EPROTOTYPE, "", "" },
	{ "{\"bundle\":true}", -EPROTOTYPE, "", "" },
	{ "{\"bundle\":\"a\",\"bundle\":\"b\"}", -ENOTUNIQ, "a", "a" },
	{ "{\"bundle\":\"a\\u0000b\"}", -EBADMSG, "", "" },
	{ "{\"bundle\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
	  -ENAMETOOLONG, "", "" },
	{ "", -EBADMSG, "", "" },
	{ "{", -EBADMSG, "", "" },
	{ "{\"a\"}", -EBADMSG, "", "" },
	{ "{\"a\":}", -EBADMSG, "", "" },
	{ "{\"a\":1,}", -EBADMSG, "", "" },
	{ "{,}", -EBADMSG, "", "" },
	{ "{a:1}", -EBADMSG, "", "" },
	{ "[1,]", -EBADMSG, "", "" },
	{ "[,1]", -EBADMSG, "", "" },
	{ "[1 2]", -EBADMSG, "", "" },
	{ "[1}", -EBADMSG, "", "" },
	{ "{\"a\":1]", -EBADMSG, "", "" },
	{ "]", -EBADMSG, "", "" },
	{ "{}{}", -EBADMSG, "", "" },
	{ "{} x", -EBADMSG, "", "" },
	{ "01", -EBADMSG, "", "" },
	{ "-", -EBADMSG, "", "" },
	{ "1.", -EBADMSG, "", "" },
	{ ".5", -EBADMSG, "", "" },
	{ "1e", -EBADMSG, "", "" },
	{ "[1e+]", -EBADMSG, "", "" },
	{ "+1", -EBADMSG, "", "" },
	{ "NaN", -EBADMSG, "", "" },
	{ "tru", -EBADMSG, "", "" },
	{ "truE", -EBADMSG, "", "" },
	{ "'x'", -EBADMSG, "", "" },
	{ "\"\t\"", -EBADMSG, "", "" },
	{ "\"\\x\"", -EBADMSG, "", "" },
	{ "\"\\u12g4\"", -EBADMSG, "", "" },
	{ "\"\\ud800\"", -EBADMSG, "", "" },
	{ "\"\\ud800\\n\"", -EBADMSG, "", "" },
	{ "\"\\ud800\\u0041\"", -EBADMSG, "", "" },
	{ "\"\\udc00\"", -EBADMSG, "", "" },
	{ "\"abc", -EBADMSG, "", "" },
	{ "\xef\xbb\xbf{}", -EBADMSG, "", "" },
};

/* Every document, cut at every place. */
static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t split = 0; split <= len; split++) {
			int r = feed(cases[i].text, len, split);

			if (r != cases[i].result)
				fail_msg("%s cut at %zu: %d", cases[i].text, split, r);
			if (r == 0) {
				assert_string_equal(path, cases[i].path);
				assert_string_equal(bundle, cases[i].bundle);
			}
		}
	}
}

/* What is cut short is never taken for whole, and one byte at a time is the same as all at once. */
static void test_truncation(void **state)
{
	static const char text[] =
	    "{\"ociVersion\":\"1\",\"root\":{\"path\":\"/r\",\"readonly\":false},"
	    "\"hooks\":[{\"args\":[\"a\",\"b\"],\"timeout\":1.5e3}]}";
	struct json j;

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(feed(text, len, len / 2), -EBADMSG);
	setup_wants();
	json_init(&j, wants, 2, sizeof(text) - 1);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_false(json_complete(&j));
		assert_int_equal(json_feed(&j, text + i, 1), 0);
	}
	assert_true(json_complete(&j));
	assert_int_equal(json_end(&j), 0);
	assert_string_equal(path, "/r");
}

static void test_limits(void **state)
{
	char deep[JSON_DEPTH_MAX + 1], key[256];
	struct json j;

	(void)state;
	memset(deep, '[', sizeof(deep));
	setup_wants();
	json_init(&j, wants, 2, 4096);
	assert_int_equal(json_feed(&j, deep, JSON_DEPTH_MAX), 0);
	assert_int_equal(json_feed(&j, deep, 1), -E2BIG);
	json_init(&j, wants, 2, 4);
	assert_int_equal(json_feed(&j, "[1,2]", 5), -EFBIG);
	assert_string_equal(json_error(&j), "the document is too large");
	assert_int_equal(json_offset(&j), 4);
	/* A key longer than the buffer is not the wanted one, even where it starts like it. */
	memset(key, 'x', sizeof(key));
	json_init(&j, wants, 2, 4096);
	assert_int_equal(json_feed(&j, "{\"bundle", 8), 0);
	assert_int_equal(json_feed(&j, key, sizeof(key)), 0);
	assert_int_equal(json_feed(&j, "\":\"no\"}", 7), 0);
	assert_int_equal(json_end(&j), 0);
	assert_string_equal(bundle, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
