#include "lab.h"

static int run1(struct lab *lab, const char *spec)
{
	return lab_run(lab, hook_create_symlinks, "--link", spec, NULL);
}

static void test_links(void **state)
{
	struct lab *lab = *state;

	for (int i = 0; i < 2; i++) {
		lab_ok(lab, lab_run(lab, hook_create_symlinks, "--link",
				    "libcuda.so.1::/usr/lib/libcuda.so",
				    "--link=../libnvidia-allocator.so.1::"
				    "/usr/lib/gbm/nvidia-drm_gbm.so",
				    "-link", "/abs/target::rel/link", NULL));
		lab_assert_link(lab, "usr/lib/libcuda.so", "libcuda.so.1");
		lab_assert_link(lab, "usr/lib/gbm/nvidia-drm_gbm.so",
				"../libnvidia-allocator.so.1");
		lab_assert_link(lab, "rel/link", "/abs/target");
	}
	lab_ok(lab, lab_run(lab, hook_create_symlinks, NULL));
}

static void test_replaces(void **state)
{
	struct lab *lab = *state;

	lab_write(lab, "usr/lib/file.so", "old");
	lab_link(lab, "usr/lib/link.so", "/etc/passwd");
	lab_ok(lab, run1(lab, "new::/usr/lib/file.so"));
	lab_ok(lab, run1(lab, "new::/usr/lib/link.so"));
	lab_assert_link(lab, "usr/lib/file.so", "new");
	lab_assert_link(lab, "usr/lib/link.so", "new");
	lab_mkdirs(lab, "usr/lib/folder.so/x");
	assert_int_equal(run1(lab, "new::/usr/lib/folder.so"), HOOK_FAILED);
	assert_non_null(strstr(lab->hook.why.text, "/usr/lib/folder.so"));
	assert_true(lab_has(lab, "usr/lib/folder.so/x"));
}

static void test_wrong_flags(void **state)
{
	static const char *const specs[] = { "", "a", "a::", "::b", "a::b::c", "a:b", "a::b::" };
	struct lab *lab = *state;

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		assert_int_equal(lab_run(lab, hook_create_symlinks, "--link", "x::/made", "--link",
					 specs[i], NULL),
				 HOOK_USAGE);
		assert_false(lab_has(lab, "made"));
	}
	assert_int_equal(lab_run(lab, hook_create_symlinks, "--link", NULL), HOOK_USAGE);
	assert_int_equal(lab_run(lab, hook_create_symlinks, "--nolink", "x", NULL), HOOK_USAGE);
	assert_int_equal(lab_run(lab, hook_create_symlinks, "x::y", NULL), HOOK_USAGE);
	assert_int_equal(run1(lab, "x::/usr/lib/.."), HOOK_FAILED);
	assert_int_equal(run1(lab, "x::/usr/lib/"), HOOK_FAILED);
}

/* The image turns the folder into a way out: the link is made inside the root all the same. */
static void test_hostile(void **state)
{
	struct lab *lab = *state;
	char outside[96], text[256];

	snprintf(outside, sizeof(outside), "%s/outside", lab->dir);
	assert_int_equal(mkdir(outside, 0755), 0);
	lab_mkdirs(lab, outside + 1);
	lab_mkdirs(lab, "usr");
	lab_link(lab, "usr/lib", outside);
	lab_link(lab, "up", "../../../../../../../../../tmp");
	lab_mkdirs(lab, "tmp");
	lab_ok(lab, run1(lab, "target::/usr/lib/link.so"));
	lab_ok(lab, run1(lab, "target::/up/link.so"));
	lab_ok(lab, run1(lab, "target::/usr/../../../../../tmp/dots.so"));
	snprintf(text, sizeof(text), "%s/link.so", outside);
	assert_int_equal(access(text, F_OK), -1);
	snprintf(text, sizeof(text), "%s/link.so", outside + 1);
	lab_assert_link(lab, text, "target");
	lab_assert_link(lab, "tmp/link.so", "target");
	lab_assert_link(lab, "tmp/dots.so", "target");
	lab_link(lab, "loop", "loop");
	assert_int_equal(run1(lab, "target::/loop/link.so"), HOOK_FAILED);
	lab_link(lab, "nowhere", "/not/there");
	assert_int_equal(run1(lab, "target::/nowhere/link.so"), HOOK_FAILED);
	/* The link itself may lead out: it is replaced, never followed. */
	lab_link(lab, "opt/link.so", "/etc/passwd");
	lab_ok(lab, run1(lab, "target::/opt/link.so"));
	lab_assert_link(lab, "opt/link.so", "target");
	/* A name that tries to break the error's line. */
	assert_int_equal(run1(lab, "target::/loop\n/x/\033[2J/.."), HOOK_FAILED);
	assert_null(strpbrk(lab->hook.why.text, "\n\033"));
	nftw(outside, lab_rm_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_replaces, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_wrong_flags, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_hostile, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
