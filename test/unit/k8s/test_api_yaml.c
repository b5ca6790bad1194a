#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "k8s/api/yaml.h"

static int convert(const char *text, bool many, struct buf *out, struct err *e)
{
	buf_init(out, 1 << 20);
	return many ? yaml_all_to_json(sv_str(text), out, e) : yaml_to_json(sv_str(text), out, e);
}

static void expect(const char *yaml, const char *json)
{
	struct err e = { "" };
	struct buf b;

	if (convert(yaml, false, &b, &e) < 0)
		fail_msg("%s: %s", yaml, e.text);
	assert_string_equal(buf_cstr(&b), json);
	buf_done(&b);
}

static void test_types(void **state)
{
	(void)state;
	expect("a: 1\nb: two\nc: [true, no, ~, null, \"1\", '2']\n",
	       "{\"a\":1,\"b\":\"two\",\"c\":[true,false,null,null,\"1\",\"2\"]}");
	expect("mode: 0644\nhex: 0x1F\noct: 0o17\nneg: -5\nbig: 9223372036854775807\n",
	       "{\"mode\":420,\"hex\":31,\"oct\":15,\"neg\":-5,\"big\":9223372036854775807}");
	expect("huge: 9223372036854775808\nip: 10.0.0.1\nver: 1.2.3\nsha: 1e\nw: +\n",
	       "{\"huge\":\"9223372036854775808\",\"ip\":\"10.0.0.1\",\"ver\":\"1.2.3\","
	       "\"sha\":\"1e\",\"w\":\"+\"}");
	expect("y: n\n", "{\"y\":\"n\"}");
	expect("empty:\n", "{\"empty\":null}");
	expect("!!str 12\n", "\"12\"");
	expect("real: 1.5\n", "{\"real\":1.5}");
}

static void test_shapes(void **state)
{
	(void)state;
	expect("a:\n- b: {c: d}\n- - x\n  - z\n", "{\"a\":[{\"b\":{\"c\":\"d\"}},[\"x\",\"z\"]]}");
	expect("t: |\n  one\n  two\n", "{\"t\":\"one\\ntwo\\n\"}");
	expect("{\"json\": [1, \"x\"]}", "{\"json\":[1,\"x\"]}");
	expect("1: number key\n", "{\"1\":\"number key\"}");
	expect("[]", "[]");
}

static void refuse(const char *yaml, int code, const char *why)
{
	struct err e = { "" };
	struct buf b;

	assert_int_equal(convert(yaml, false, &b, &e), code);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	buf_done(&b);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("a: &x 1\nb: *x\n", -ENOTSUP, "aliases");
	refuse("&a [*a]\n", -ENOTSUP, "aliases");
	refuse("a: !!binary Zg==\n", -ENOTSUP, "tags");
	refuse("a: !mine x\n", -ENOTSUP, "tags");
	refuse("a: 1\n---\nb: 2\n", -EINVAL, "one document");
	refuse("# nothing\n", -EINVAL, "empty");
	refuse("a: [1\n", -EINVAL, "line");
	refuse("? [a]\n: b\n", -EINVAL, "scalar");
	refuse("\"a\\0b\": 1\n", -EINVAL, "NUL");
	refuse("a: \"\\0\"\n", -EINVAL, "NUL");
	refuse("\xff\xfe\xff", -EINVAL, "line");
}

static void test_limits(void **state)
{
	struct err e = { "" };
	struct buf in, out;

	(void)state;
	buf_init(&in, 8 << 20);
	for (int i = 0; i < 100; i++)
		buf_putc(&in, '[');
	refuse(buf_cstr(&in), -E2BIG, "deep");
	buf_clear(&in);
	buf_putc(&in, '[');
	for (int i = 0; i < YAML_EVENTS_MAX + 2; i++)
		buf_puts(&in, "1,");
	refuse(buf_cstr(&in), -E2BIG, "too many");
	/* More text than its reader wants to hold. */
	buf_clear(&in);
	buf_puts(&in, "a: 0123456789012345678901234567890123456789");
	buf_init(&out, 16);
	assert_int_equal(yaml_to_json(buf_sv(&in), &out, &e), -E2BIG);
	buf_done(&out);
	buf_done(&in);
}

static void test_documents(void **state)
{
	struct err e = { "" };
	struct buf b;

	(void)state;
	assert_int_equal(convert("a: 1\n---\n---\n- 2\n", true, &b, &e), 0);
	assert_string_equal(buf_cstr(&b), "[{\"a\":1},null,[2]]");
	buf_done(&b);
	assert_int_equal(convert("# none\n", true, &b, &e), 0);
	assert_string_equal(buf_cstr(&b), "[]");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),	  cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_limits),
		cmocka_unit_test(test_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
