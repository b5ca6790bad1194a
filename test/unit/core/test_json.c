#include "core/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

/* Two names of its enum are also ours. */
#define JSON_NULL JANSSON_NULL
#define JSON_REAL JANSSON_REAL
#include <jansson.h>
#undef JSON_NULL
#undef JSON_REAL

static struct json *parse(const char *text)
{
	struct err e = { "" };
	struct json *j;

	if (json_parse(sv_str(text), &json_limits_object, &j, &e))
		fail_msg("%s: %s", text, e.text);
	return j;
}

static void refuse(struct sv text, const struct json_limits *limits, int code, const char *why)
{
	struct json *j = (struct json *)(uintptr_t)1;
	struct err e = { "" };
	int r = json_parse(text, limits, &j, &e);

	if (r != code || j || (why && strcmp(e.text, why) != 0))
		fail_msg(SV_FMT ": %d \"%s\", expected %d \"%s\"", SV_ARG(text), r, e.text, code,
			 why);
	/* The text is optional. */
	assert_int_equal(json_parse(text, limits, &j, NULL), code);
}

static void kinds_and_getters(void **state)
{
	struct json *j = parse(" {\"n\":null,\"t\":true,\"f\":false,\"i\":-7,\"r\":2.5,\"s\":\"x\","
			       "\"a\":[1,\"two\"],\"o\":{\"in\":{\"deep\":\"y\"}}} ");

	(void)state;
	assert_int_equal(json_kind(json_get(j, "n")), JSON_NULL);
	assert_int_equal(json_kind(json_get(j, "t")), JSON_BOOL);
	assert_int_equal(json_kind(json_get(j, "f")), JSON_BOOL);
	assert_int_equal(json_kind(json_get(j, "i")), JSON_INT);
	assert_int_equal(json_kind(json_get(j, "r")), JSON_REAL);
	assert_int_equal(json_kind(json_get(j, "s")), JSON_STR);
	assert_int_equal(json_kind(json_get(j, "a")), JSON_ARR);
	assert_int_equal(json_kind(json_get(j, "o")), JSON_OBJ);
	assert_int_equal(json_kind(json_get(j, "absent")), JSON_NONE);
	assert_true(json_flag(json_get(j, "t"), false));
	assert_false(json_flag(json_get(j, "f"), true));
	assert_int_equal(json_i64(json_get(j, "i"), 0), -7);
	assert_true(json_num(json_get(j, "r"), 0) == 2.5);
	assert_true(json_num(json_get(j, "i"), 0) == -7);
	assert_string_equal(json_str(json_get(j, "s"), ""), "x");
	assert_true(sv_eqs(json_sv(json_get(j, "s")), "x"));
	assert_string_equal(json_str(json_get(j, "o", "in", "deep"), ""), "y");
	assert_int_equal(json_len(json_get(j, "a")), 2);
	assert_string_equal(json_str(json_at(json_get(j, "a"), 1), ""), "two");
	assert_null(json_at(json_get(j, "a"), 2));
	json_free(&j);
	assert_null(j);
	json_free(&j);
}

static void wrong_types_give_the_default(void **state)
{
	struct json *j = parse("{\"s\":\"x\",\"i\":5,\"a\":[],\"r\":1.0}");
	const struct json *wrong[] = { NULL, json_get(j, "a"), j };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_string_equal(json_str(wrong[i], "d"), "d");
		assert_null(json_str(wrong[i], NULL));
		assert_int_equal(json_sv(wrong[i]).n, 0);
		assert_int_equal(json_i64(wrong[i], 3), 3);
		assert_true(json_num(wrong[i], 1.5) == 1.5);
		assert_true(json_flag(wrong[i], true));
	}
	assert_int_equal(json_i64(json_get(j, "r"), 9), 9);
	assert_null(json_get(json_get(j, "s"), "x"));
	assert_null(json_get(j, "s", "x", "y"));
	assert_null(json_get(NULL, "x"));
	assert_null(json_at(j, 0));
	assert_null(json_at(NULL, 0));
	assert_int_equal(json_len(json_get(j, "s")), 0);
	assert_int_equal(json_len(NULL), 0);
	json_free(&j);
}

static void members_in_document_order(void **state)
{
	struct json *j = parse("{\"z\":1,\"a\":2,\"m\":3,\"\":4}");
	const struct json *value;
	char order[8] = "";
	const char *key;
	void *pos = NULL;
	size_t n = 0;

	(void)state;
	while (json_next(j, &pos, &key, &value)) {
		order[n++] = (char)(*key ? *key : '-');
		assert_int_equal(json_i64(value, 0), n);
	}
	assert_string_equal(order, "zam-");
	json_free(&j);
	pos = NULL;
	assert_false(json_next(NULL, &pos, &key, &value));
	j = parse("[1]");
	assert_false(json_next(j, &pos, &key, &value));
	json_free(&j);
}

static void sameness(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "{\"a\":1,\"b\":[2]}", "{ \"b\":[2], \"a\":1 }", true },
		{ "{\"a\":1}", "{\"a\":1,\"b\":null}", false },
		{ "[1,2]", "[2,1]", false },
		{ "1", "1.0", false },
		{ "\"\\u0041\"", "\"A\"", true },
	};
	struct json *a, *b;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		a = parse(rows[i].a);
		b = parse(rows[i].b);
		assert_int_equal(json_same(a, b), rows[i].same);
		assert_true(json_same(a, a));
		assert_false(json_same(a, NULL));
		json_free(&a);
		json_free(&b);
	}
	assert_true(json_same(NULL, NULL));
}

static void numbers(void **state)
{
	struct json *j = parse("[9223372036854775807,-9223372036854775808,0,-0,1e2,1E-2,0.5]");

	(void)state;
	assert_true(json_i64(json_at(j, 0), 0) == INT64_MAX);
	assert_true(json_i64(json_at(j, 1), 0) == INT64_MIN);
	assert_int_equal(json_kind(json_at(j, 3)), JSON_INT);
	assert_int_equal(json_kind(json_at(j, 4)), JSON_REAL);
	assert_true(json_num(json_at(j, 4), 0) == 100);
	assert_true(json_num(json_at(j, 5), 0) == 0.01);
	json_free(&j);
	refuse(SV("9223372036854775808"), &json_limits_object, -EINVAL,
	       "JSON: number out of range at byte 19");
	refuse(SV("1e999"), &json_limits_object, -EINVAL, "JSON: number out of range at byte 5");
}

static void what_is_not_json(void **state)
{
	static const struct {
		struct sv text;
		const char *why;
	} rows[] = {
		{ SV(""), "JSON: end of text inside a value at byte 0" },
		{ SV("  "), "JSON: end of text inside a value at byte 2" },
		{ SV("{\"a\":1"), "JSON: end of text inside a value at byte 6" },
		{ SV("[1,]"), "JSON: no value at byte 3" },
		{ SV("{\"a\":1,}"), "JSON: no key at byte 7" },
		{ SV("{a:1}"), "JSON: no key at byte 1" },
		{ SV("{\"a\" 1}"), "JSON: no colon at byte 5" },
		{ SV("[1 2]"), "JSON: neither a comma nor the closing bracket at byte 3" },
		{ SV("[1}"), "JSON: neither a comma nor the closing bracket at byte 2" },
		{ SV("{} {}"), "JSON: text behind the value at byte 3" },
		{ SV("1,"), "JSON: text behind the value at byte 1" },
		{ SV("\"a"), "JSON: string without end at byte 2" },
		{ SV("\"a\\"), "JSON: string without end at byte 3" },
		{ SV("\"a\\\""), "JSON: string without end at byte 4" },
		{ SV("\"a\nb\""), "JSON: control character in a string at byte 2" },
		{ SV("\"a\0b\""), "JSON: control character in a string at byte 2" },
		{ SV("[1]\0"), "JSON: text behind the value at byte 3" },
		{ SV("\xef\xbb\xbf{}"), "JSON: no value at byte 0" },
		{ SV("/**/1"), "JSON: no value at byte 0" },
		{ SV("'a'"), "JSON: no value at byte 0" },
		{ SV("NaN"), "JSON: no value at byte 0" },
		{ SV("-Infinity"), NULL },
		{ SV("nul"), NULL },
		{ SV("truee"), NULL },
		{ SV("01"), NULL },
		{ SV("+1"), NULL },
		{ SV("1."), NULL },
		{ SV(".5"), NULL },
		{ SV("1e"), NULL },
		{ SV("0x10"), NULL },
		{ SV("\"\\x41\""), NULL },
		{ SV("\"\\ud800\""), NULL },
		{ SV("\"\\ud800\\u0041\""), NULL },
		{ SV("\"\xff\""), "JSON: invalid UTF-8 at byte 1" },
		{ SV("\"\xed\xa0\x80\""), NULL },
		{ SV("\"\xc0\x80\""), NULL },
		{ SV("\"\\u0000\""), NULL },
		{ SV("{\"\\u0000\":1}"), NULL },
		{ SV("{\"a\":1,\"b\":{\"c\":1,\"c\":1}}"), NULL },
		{ SV("{\"a\":1,\"\\u0061\":2}"), NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		refuse(rows[i].text, &json_limits_object, -EINVAL, rows[i].why);
}

static void error_texts_hold_no_input(void **state)
{
	static const char *const texts[] = { "{\"token\":\"s3cret\",\"token\":1}", "[s3cret]",
					     "{\"a\":\"s3cret\\u0000\"}", "\"s3cret\xff\"" };
	struct json *j;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(json_parse(sv_str(texts[i]), &json_limits_object, &j, &e),
				 -EINVAL);
		assert_null(strstr(e.text, "s3c"));
		assert_non_null(strstr(e.text, " at byte "));
	}
}

/* Every beginning of a document is refused, and never read beyond its end. */
static void every_cut(void **state)
{
	static const char text[] = "{\"a\":[true,null,-1.5e3,\"\\u00e9\\\"\xc3\xa9\"],\"b\":{}}";
	struct json *j;
	size_t n;
	char *exact;

	(void)state;
	for (n = 0; n < sizeof(text) - 1; n++) {
		exact = mem_dup(text, n);
		refuse(sv_make(exact, n), &json_limits_object, -EINVAL, NULL);
		mem_free(exact);
	}
	j = parse(text);
	json_free(&j);
}

static void limits_are_exact(void **state)
{
	static const struct json_limits limits = { .bytes = 30, .values = 6, .depth = 3 };
	struct json *j;

	(void)state;
	assert_int_equal(json_parse(SV("[[[1,2,3]]]"), &limits, &j, NULL), 0);
	json_free(&j);
	refuse(SV("[[[[1]]]]"), &limits, -E2BIG, "JSON: nested deeper than 3 at byte 3");
	refuse(SV("{\"a\":{\"b\":{\"c\":{}}}}"), &limits, -E2BIG,
	       "JSON: nested deeper than 3 at byte 15");
	refuse(SV("[1,2,3,4,5,6]"), &limits, -E2BIG, "JSON: more than 6 values at byte 11");
	/* A key is no value. */
	assert_int_equal(json_parse(SV("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), &limits, &j, NULL), 0);
	json_free(&j);
	assert_int_equal(json_parse(SV("\"0123456789012345678901234567\""), &limits, &j, NULL), 0);
	json_free(&j);
	refuse(SV("\"01234567890123456789012345678\""), &limits, -E2BIG,
	       "JSON: 31 bytes, the limit is 30");
	/* Siblings do not add up to depth. */
	assert_int_equal(json_parse(SV("[[[]],[[]]]"), &limits, &j, NULL), 0);
	json_free(&j);
}

/* `n` times `atom`, joined by commas, as an array. */
static void fill(struct buf *b, const char *atom, size_t n)
{
	buf_clear(b);
	buf_putc(b, '[');
	while (n--)
		buf_printf(b, "%s%s", atom, n ? "," : "]");
}

static void quota_stops_what_counts_do_not(void **state)
{
	struct json *j;
	struct buf b;
	struct err e;

	(void)state;
	buf_init(&b, 4 << 20);
	/* As many values as a real object has, each of which costs 70 times its bytes. */
	fill(&b, "{}", 100000);
	assert_int_equal(json_parse(buf_sv(&b), &json_limits_object, &j, &e), -E2BIG);
	assert_string_equal(e.text, "JSON: needs more than 12065576 bytes of memory");
	assert_null(j);
	/* A large honest object passes: a device of a slice, 5000 times. */
	fill(&b,
	     "{\"name\":\"gpu-0\",\"attributes\":{\"type\":{\"string\":\"gpu\"},\"uuid\":"
	     "{\"string\":\"GPU-18cf7258-26e5-d39f-a1b2-1a7a6f4a9c0e\"},\"driverVersion\":"
	     "{\"version\":\"550.54.15\"}},\"capacity\":{\"memory\":{\"value\":\"81559Mi\"}}}",
	     5000);
	assert_int_equal(json_parse(buf_sv(&b), &json_limits_object, &j, &e), 0);
	assert_int_equal(json_len(j), 5000);
	json_free(&j);
	/* So does managedFields, the worst that the API server writes itself. */
	fill(&b, "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:app\":{}}}}", 5000);
	assert_int_equal(json_parse(buf_sv(&b), &json_limits_object, &j, &e), 0);
	json_free(&j);
	/* And the quota is per parse. */
	j = parse("{}");
	json_free(&j);
	buf_done(&b);
}

static void check_without(const char *text, const char *expected)
{
	struct json *got, *want;
	struct err e = { 0 };

	assert_int_equal(json_parse_without(sv_str(text), &json_limits_object, "m", &got, &e), 0);
	want = parse(expected);
	assert_true(json_same(got, want));
	json_free(&got);
	json_free(&want);
}

static void members_are_left_out(void **state)
{
	static const char *const values[] = { "null",
					      "7",
					      "\"s\\\"m\\\":1\"",
					      "[]",
					      "{}",
					      "[{\"m\":[1,{\"a\":\"}\"}]},[[]]]",
					      "{\"m\":{\"m\":1},\"x\":[]}" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		(void)snprintf(text, sizeof(text), "{\"m\":%s}", values[i]);
		check_without(text, "{\"m\":0}");
		(void)snprintf(text, sizeof(text), "{\"a\":1,\"m\" : %s ,\"b\":[2]}", values[i]);
		check_without(text, "{\"a\":1,\"m\":0,\"b\":[2]}");
		(void)snprintf(text, sizeof(text), "[{\"m\":%s},{\"n\":{\"m\":%s}}]", values[i],
			       values[i]);
		check_without(text, "[{\"m\":0},{\"n\":{\"m\":0}}]");
	}
	/* Not a member of that name. */
	check_without("{\"mm\":[1],\"\":[2],\"x\":\"m\"}", "{\"mm\":[1],\"\":[2],\"x\":\"m\"}");
	check_without("{\"\\u006d\":[1]}", "{\"m\":[1]}");
	check_without("[\"m\",[1]]", "[\"m\",[1]]");
}

static void what_is_left_out_is_bounded(void **state)
{
	static const char *const broken[] = { "{\"m\":}",	   "{\"m\":[1}",
					      "{\"m\":{\"a\" 1}}", "{\"m\":[1]",
					      "{\"m\":[1],}",	   "{\"m\":\"x}",
					      "{\"m\":1,\"m\":2}" };
	static const struct json_limits few = { .bytes = 100, .values = 3, .depth = 3 };
	struct json *j;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		assert_int_equal(
		    json_parse_without(sv_str(broken[i]), &json_limits_object, "m", &j, &e),
		    -EINVAL);
		assert_null(j);
	}
	assert_int_equal(json_parse_without(SV("{\"m\":[1,2]}"), &few, "m", &j, &e), -E2BIG);
	assert_int_equal(json_parse_without(SV("{\"m\":[[[]]]}"), &few, "m", &j, &e), -E2BIG);
}

static size_t allocations_left;

static void *failing_alloc(size_t n)
{
	return allocations_left && allocations_left-- ? malloc(n) : NULL;
}

/* The quota may end any allocation, so jansson must survive that at each one: no crash, no leak. */
static void jansson_survives_failed_allocations(void **state)
{
	static const char text[] = "{\"a\":[1,2.5,true,null,{\"b\":\"\\u00e9\"},[[]]],\"c\":{},"
				   "\"a string that is longer than the first buffer\":"
				   "\"0123456789012345678901234567890123456789\",\"d\":1,\"e\":1,"
				   "\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":[1,2,3,4,5,6,7,8,9,10]}";
	json_malloc_t old_alloc;
	json_free_t old_free;
	json_error_t error;
	json_t *root = NULL;
	size_t n;

	(void)state;
	json_get_alloc_funcs(&old_alloc, &old_free);
	json_set_alloc_funcs(failing_alloc, free);
	for (n = 0; !root; n++) {
		allocations_left = n;
		root = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
		assert_true(n < 1000);
	}
	assert_true(n > 50);
	json_decref(root);
	json_set_alloc_funcs(old_alloc, old_free);
}

static int install(void **state)
{
	(void)state;
	mem_install();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_and_getters),
		cmocka_unit_test(wrong_types_give_the_default),
		cmocka_unit_test(members_in_document_order),
		cmocka_unit_test(sameness),
		cmocka_unit_test(numbers),
		cmocka_unit_test(what_is_not_json),
		cmocka_unit_test(error_texts_hold_no_input),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(limits_are_exact),
		cmocka_unit_test(quota_stops_what_counts_do_not),
		cmocka_unit_test(members_are_left_out),
		cmocka_unit_test(what_is_left_out_is_bounded),
		cmocka_unit_test(jansson_survives_failed_allocations),
	};

	return cmocka_run_group_tests(tests, install, NULL);
}
