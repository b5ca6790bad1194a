#include "core/jsonw.h"

#include <setjmp.h>

#include <cmocka.h>

#include "test/unit/core/dies.h"

struct doc {
	struct buf b;
	struct jsonw w;
};

static struct jsonw *start(struct doc *d)
{
	buf_init(&d->b, 1 << 20);
	jsonw_init(&d->w, &d->b);
	return &d->w;
}

static void expect(struct doc *d, const char *text)
{
	assert_string_equal(buf_cstr(&d->b), text);
	assert_int_equal(d->w.depth, 0);
	buf_done(&d->b);
}

static void commas_and_nesting(void **state)
{
	struct doc d;
	struct jsonw *w = start(&d);

	(void)state;
	jsonw_obj(w);
	jsonw_kstr(w, "s", "x");
	jsonw_ki64(w, "i", INT64_MIN);
	jsonw_kbool(w, "b", false);
	jsonw_kstr(w, "none", NULL);
	jsonw_karr(w, "a");
	jsonw_i64(w, 1);
	jsonw_obj(w);
	jsonw_end(w);
	jsonw_arr(w);
	jsonw_end(w);
	jsonw_null(w);
	jsonw_fmt(w, "%s-%d", "gpu", 3);
	jsonw_end(w);
	jsonw_kobj(w, "o");
	jsonw_ksv(w, "v", SV("y"));
	jsonw_end(w);
	jsonw_key_sv(w, SV("k"));
	jsonw_bool(w, true);
	jsonw_end(w);
	expect(&d, "{\"s\":\"x\",\"i\":-9223372036854775808,\"b\":false,\"none\":null,"
		   "\"a\":[1,{},[],null,\"gpu-3\"],\"o\":{\"v\":\"y\"},\"k\":true}");
}

static void a_lone_value(void **state)
{
	struct doc d;

	(void)state;
	jsonw_str(start(&d), "x");
	expect(&d, "\"x\"");
	jsonw_arr(start(&d));
	jsonw_end(&d.w);
	expect(&d, "[]");
}

static void strings_are_escaped(void **state)
{
	struct doc d;
	struct jsonw *w = start(&d);

	(void)state;
	jsonw_obj(w);
	jsonw_ksv(w, "q\"k", SV("\"\\/\b\f\n\r\t\x01\x1f\x7f"));
	jsonw_ksv(w, "u", SV("\xc3\xa9\xf0\x9f\x98\x80"));
	jsonw_ksv(w, "bad", SV("a\xff\xc3(\xed\xa0\x80z\xe2\x82"));
	jsonw_ksv(w, "nul", SV("a\0b"));
	jsonw_end(w);
	expect(&d, "{\"q\\\"k\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\","
		   "\"u\":\"\xc3\xa9\xf0\x9f\x98\x80\","
		   "\"bad\":\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"
		   "\xef\xbf\xbd\xef\xbf\xbd\",\"nul\":\"a\\u0000b\"}");
}

static void indented(void **state)
{
	struct doc d;
	struct jsonw *w = start(&d);

	(void)state;
	w->indent = 2;
	jsonw_obj(w);
	jsonw_karr(w, "a");
	jsonw_i64(w, 1);
	jsonw_i64(w, 2);
	jsonw_end(w);
	jsonw_kobj(w, "empty");
	jsonw_end(w);
	jsonw_end(w);
	expect(&d, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"empty\": {}\n}");
}

static void parsed_values_come_back(void **state)
{
	static const char *const texts[] = {
		"{\"z\":1,\"a\":[null,true,false,\"x\\\"\\u0001\",{}],\"r\":[0.1,1e+300,-2.5,1.0]}",
		"[]",
		"\"x\"",
		"-0.0",
		"1e+20",
		"12345678901234567",
		"0.30000000000000004"
	};
	struct json *j;
	struct doc d;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(json_parse(sv_str(texts[i]), &json_limits_object, &j, NULL), 0);
		jsonw_json(start(&d), j);
		expect(&d, texts[i]);
		json_free(&j);
	}
	jsonw_arr(start(&d));
	jsonw_json(&d.w, NULL);
	jsonw_end(&d.w);
	expect(&d, "[null]");
}

/* What the parser lets in, the writer can nest: inside our own 32 levels, too. */
static void deepest_parsed_value(void **state)
{
	static const struct json_limits limits = { .bytes = 1000,
						   .values = 1000,
						   .depth = JSON_DEPTH_MAX };
	char text[2 * JSON_DEPTH_MAX + 1];
	struct json *j;
	struct doc d;
	unsigned i;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(&text[JSON_DEPTH_MAX], ']', JSON_DEPTH_MAX);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(json_parse(sv_str(text), &limits, &j, NULL), 0);
	start(&d);
	for (i = 0; i < 32; i++)
		jsonw_arr(&d.w);
	jsonw_json(&d.w, j);
	for (i = 0; i < 32; i++)
		jsonw_end(&d.w);
	assert_int_equal(buf_len(&d.b), 2 * (JSON_DEPTH_MAX + 32));
	assert_int_equal(d.w.depth, 0);
	buf_done(&d.b);
	json_free(&j);
}

static void cap_is_told(void **state)
{
	struct jsonw w;
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	jsonw_init(&w, &b);
	w.indent = 4;
	jsonw_obj(&w);
	jsonw_kstr(&w, "key", "a value that does not fit");
	jsonw_end(&w);
	assert_true(b.full);
	buf_done(&b);
}

enum misuse { TWO_TOPS, NO_KEY, KEY_TWICE, KEY_IN_ARRAY, END_TOO_MUCH, END_AFTER_KEY, TOO_DEEP };

static void misuse(void *arg)
{
	enum misuse how = *(const enum misuse *)arg;
	struct doc d;
	struct jsonw *w = start(&d);
	size_t i;

	if (how == TWO_TOPS) {
		jsonw_null(w);
		jsonw_null(w);
	} else if (how == END_TOO_MUCH) {
		jsonw_end(w);
	} else if (how == KEY_IN_ARRAY) {
		jsonw_arr(w);
		jsonw_key(w, "k");
	} else if (how == TOO_DEEP) {
		for (i = 0; i <= JSONW_DEPTH_MAX; i++)
			jsonw_arr(w);
	} else {
		jsonw_obj(w);
		if (how != NO_KEY)
			jsonw_key(w, "k");
		if (how == NO_KEY)
			jsonw_null(w);
		else if (how == KEY_TWICE)
			jsonw_key(w, "k");
		else
			jsonw_end(w);
	}
}

static void misuse_aborts(void **state)
{
	char said[DIES_SAID_MAX];
	enum misuse how;

	(void)state;
	for (how = TWO_TOPS; how <= TOO_DEEP; how++) {
		if (!dies(misuse, &how, said))
			fail_msg("misuse %d went through", (int)how);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_and_nesting),
		cmocka_unit_test(a_lone_value),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(indented),
		cmocka_unit_test(parsed_values_come_back),
		cmocka_unit_test(deepest_parsed_value),
		cmocka_unit_test(cap_is_told),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
