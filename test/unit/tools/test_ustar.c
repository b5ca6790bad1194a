/* The archive as tar(1) sees it. */
#include "tools/tundra/ustar.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/fsx.h"

static void test_tar_reads_it(void **state)
{
	char folder[] = "/tmp/tundra-ustar.XXXXXX", path[64], command[256], big[1000];
	struct buf out, seen;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.tar", folder);
	buf_init(&out, 1 << 20);
	buf_init(&seen, 1 << 20);
	memset(big, 'b', sizeof(big));
	assert_true(ustar_put(&out, "dir/one.txt", SV("hello\n"), 1700000000));
	assert_true(ustar_put(&out, "empty", SV_NONE, 0));
	assert_true(ustar_put(&out, "sp ace\n", sv_make(big, sizeof(big)), 1));
	assert_int_equal(ustar_whole(buf_sv(&out)), buf_len(&out));
	assert_int_equal(ustar_whole(sv_make(buf_sv(&out).p, buf_len(&out) - 1)), 1536);
	assert_int_equal(ustar_whole(SV("short")), 0);
	assert_true(ustar_end(&out));
	assert_int_equal(fsx_replace(path, buf_sv(&out), 0600, 0), 0);
	snprintf(command, sizeof(command),
		 "cd %s && tar xf a.tar && cat dir/one.txt && wc -c <sp_ace_ && wc -c <empty && "
		 "tar tvf a.tar | grep -c root/root",
		 folder);
	{
		FILE *p = popen(command, "r");
		char text[64] = "";

		assert_non_null(p);
		assert_true(fread(text, 1, sizeof(text) - 1, p) > 0);
		assert_int_equal(pclose(p), 0);
		assert_string_equal(text, "hello\n1000\n0\n3\n");
	}
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	buf_done(&out);
	buf_done(&seen);
}

static void test_full(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1200);
	assert_true(ustar_put(&out, "a", SV("x"), 0));
	assert_false(ustar_put(&out, "b", SV("x"), 0));
	assert_int_equal(ustar_whole(buf_sv(&out)), 1024);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_tar_reads_it),
					    cmocka_unit_test(test_full) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
