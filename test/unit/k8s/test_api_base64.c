#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "k8s/api/base64.h"

static int decode(const char *text, struct buf *out)
{
	buf_init(out, 64);
	return base64_decode(sv_str(text), out);
}

/* RFC 4648 section 10. */
static void test_vectors(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(decode(rows[i][1], &b), 0);
		assert_true(sv_eqs(buf_sv(&b), rows[i][0]));
		buf_done(&b);
		buf_init(&b, 64);
		base64_encode(sv_str(rows[i][0]), &b);
		assert_true(sv_eqs(buf_sv(&b), rows[i][1]));
		buf_done(&b);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = { "Z",    "Zg",    "Zg=",	 "Zg===",    "Z===",
					    "====", "Zm9v=", "Zg==Zg==", "Zg==Zm9v", "Zm 9",
					    "Zm9-", "Zm9_",  "Zm=v",	 "Zm9vZm9vZ" };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(decode(rows[i], &b), -EINVAL);
		buf_done(&b);
	}
	/* Line breaks are fine, a small cap is not. */
	assert_int_equal(decode("Zm\r\n9v\n", &b), 0);
	assert_true(sv_eqs(buf_sv(&b), "foo"));
	buf_done(&b);
	buf_init(&b, 2);
	assert_int_equal(base64_decode(SV("Zm9v"), &b), -E2BIG);
	buf_done(&b);
}

static void test_bytes(void **state)
{
	unsigned char all[256];
	struct buf text, back;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	for (size_t n = 250; n <= sizeof(all); n++) {
		buf_init(&text, 1024);
		buf_init(&back, 1024);
		base64_encode(sv_make(all, n), &text);
		assert_int_equal(base64_decode(buf_sv(&text), &back), 0);
		assert_true(sv_eq(buf_sv(&back), sv_make(all, n)));
		buf_done(&text);
		buf_done(&back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
