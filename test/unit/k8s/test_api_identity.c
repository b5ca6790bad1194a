#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/api/identity.h"

static char folder[64], path[128];
static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	strncpy(folder, "/tmp/tundra-identity-XXXXXX", sizeof(folder) - 1);
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/token", folder);
	loop = loop_new_virtual(0, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(&loop);
	assert_int_equal(fsx_remove(path), 0);
	return rmdir(folder);
}

static void put_token(const char *text)
{
	assert_int_equal(fsx_replace(path, sv_str(text), 0600, 0), 0);
}

static void on_timer(void *arg)
{
	*(bool *)arg = true;
}

static void pass_ms(uint64_t ms)
{
	struct loop_timer t;
	bool over = false;

	loop_timer_init(&t, loop, on_timer, &over);
	loop_timer_set(&t, ms);
	while (!over)
		assert_true(loop_turn(loop, -1));
}

static void assert_header(struct identity *i, const char *want)
{
	struct err e = { "" };
	struct sv header;

	assert_int_equal(identity_header(i, &header, &e), 0);
	assert_true(sv_eqs(header, want));
}

static void test_file_is_read_again_after_a_minute(void **state)
{
	struct api_config c = { .token_file = path, .token = path };
	struct identity i;

	(void)state;
	put_token("one\n");
	identity_init(&i, loop, &c);
	assert_header(&i, "Bearer one");
	put_token("two");
	pass_ms(IDENTITY_REREAD_MS - 1);
	assert_header(&i, "Bearer one");
	pass_ms(1);
	assert_header(&i, "Bearer two");
	assert_int_equal(i.generation, 2);
	identity_done(&i);
}

static void test_refused(void **state)
{
	struct api_config c = { .token_file = path };
	struct identity i;

	(void)state;
	put_token("one");
	identity_init(&i, loop, &c);
	assert_header(&i, "Bearer one");
	/* Read just now: no storm of reads. */
	put_token("two");
	assert_false(identity_refused(&i, 1));
	pass_ms(IDENTITY_FORCED_MS);
	assert_true(identity_refused(&i, 1));
	assert_header(&i, "Bearer two");
	/* A late 401 of the old token does not read again. */
	put_token("three");
	assert_true(identity_refused(&i, 1));
	assert_header(&i, "Bearer two");
	pass_ms(IDENTITY_FORCED_MS);
	put_token("two");
	assert_false(identity_refused(&i, 2));
	identity_done(&i);
}

static void test_unreadable_file_keeps_the_token(void **state)
{
	struct api_config c = { .token_file = path };
	struct err e = { "" };
	struct sv header;
	struct identity i;

	(void)state;
	identity_init(&i, loop, &c);
	assert_int_equal(identity_header(&i, &header, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
	put_token(" \n");
	assert_int_equal(identity_header(&i, &header, &e), -EINVAL);
	put_token("a b");
	assert_int_equal(identity_header(&i, &header, &e), -EINVAL);
	put_token("good");
	assert_header(&i, "Bearer good");
	assert_int_equal(fsx_remove(path), 0);
	pass_ms(IDENTITY_REREAD_MS);
	assert_header(&i, "Bearer good");
	put_token("bad\ttoken");
	pass_ms(IDENTITY_REREAD_MS);
	assert_header(&i, "Bearer good");
	identity_done(&i);
}

static void test_text_and_none(void **state)
{
	char token[] = "abc";
	struct api_config c = { .token = token }, none = { 0 };
	struct identity i;

	(void)state;
	identity_init(&i, loop, &c);
	assert_header(&i, "Bearer abc");
	assert_false(identity_refused(&i, 0));
	identity_done(&i);
	identity_done(&i);
	identity_init(&i, loop, &none);
	assert_header(&i, "");
	identity_done(&i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file_is_read_again_after_a_minute, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_file_keeps_the_token, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_text_and_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
