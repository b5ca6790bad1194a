#include "lab.h"

static mode_t mode_of(const struct lab *lab, const char *rel)
{
	char path[4096];
	struct stat st;

	lab_path(lab, rel, path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_chmod(void **state)
{
	struct lab *lab = *state;

	lab_mkdirs(lab, "dev/dri");
	lab_write(lab, "dev/file", "");
	lab_link(lab, "link", "/dev/dri");
	lab_link(lab, "out", "../../../../../../tmp");
	for (int i = 0; i < 2; i++) {
		lab_ok(lab, lab_run(lab, hook_chmod, "--mode", "1711", "--path", "/link", "--path",
				    "/missing", "--path", "/dev/file", "--path", "/out", NULL));
		assert_int_equal(mode_of(lab, "dev/dri"), 01711);
		assert_int_equal(mode_of(lab, "dev/file"), 0644);
	}
}

static void test_flags(void **state)
{
	static const char *const modes[] = { "", "8", "77777", "0x1", "-1", "000755", "7 " };
	struct lab *lab = *state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		assert_int_equal(lab_run(lab, hook_chmod, "--mode", modes[i], NULL), HOOK_USAGE);
	assert_int_equal(lab_run(lab, hook_chmod, "--path", "/", NULL), HOOK_USAGE);
	lab_ok(lab, lab_run(lab, hook_chmod, "--mode", "0755", "--path", "/", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chmod, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_flags, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
