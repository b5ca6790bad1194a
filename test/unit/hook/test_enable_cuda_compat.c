#include "lab.h"

#define CONF "etc/ld.so.conf.d/00-compat-tundra.conf"

static int run1(struct lab *lab, const char *version)
{
	return lab_run(lab, hook_enable_cuda_compat, "--host-driver-version", version, NULL);
}

static void test_versions(void **state)
{
	static const struct {
		const char *host;
		bool used;
	} cases[] = {
		{ "575.57.08", false }, { "580", false },    { "535.104.05", true },
		{ "574", true },	{ "1000.1", false }, { "99.9", true },
	};
	struct lab *lab = *state;

	lab_write(lab, "usr/local/cuda/compat/libcuda.so.575.51.03", "");
	lab_link(lab, "usr/local/cuda/compat/libcuda.so.1", "libcuda.so.575.51.03");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char rel[] = CONF, path[4096];

		lab_ok(lab, run1(lab, cases[i].host));
		lab_ok(lab, run1(lab, cases[i].host));
		if (lab_has(lab, CONF) != cases[i].used)
			fail_msg("host %s", cases[i].host);
		if (!cases[i].used)
			continue;
		lab_assert_text(lab, CONF, "/usr/local/cuda/compat\n");
		lab_assert_text(lab, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
		lab_path(lab, rel, path);
		assert_int_equal(unlink(path), 0);
	}
}

/* The host was upgraded and the container is started again. */
static void test_upgrade(void **state)
{
	struct lab *lab = *state;

	lab_write(lab, "usr/local/cuda-12.9/compat/libcuda.so.575.51.03", "");
	lab_link(lab, "usr/local/cuda", "cuda-12.9");
	lab_ok(lab, run1(lab, "535.1.2"));
	lab_assert_text(lab, CONF, "/usr/local/cuda/compat\n");
	lab_ok(lab, run1(lab, "580.65.06"));
	lab_assert_text(lab, CONF, "");
}

static void test_nothing_to_do(void **state)
{
	struct lab *lab = *state;

	lab_ok(lab, run1(lab, "535.1"));
	lab_ok(lab, run1(lab, ""));
	lab_mkdirs(lab, "usr/local/cuda/compat/libcuda.so.900.1");
	lab_ok(lab, run1(lab, "535.1"));
	lab_link(lab, "usr/local/cuda/compat/libcuda.so.901.1", "x");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.9x9.1", "");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.902", "");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.99999999999999.1", "");
	lab_ok(lab, run1(lab, "535.1"));
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.575.51.03", "");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.560.35.05", "");
	lab_ok(lab, run1(lab, "535.1"));
	assert_false(lab_has(lab, "etc"));
}

static void test_flags(void **state)
{
	struct lab *lab = *state;

	lab_write(lab, "opt/orin/libcuda.so.575.51.03", "");
	assert_int_equal(run1(lab, "v535"), HOOK_USAGE);
	assert_int_equal(run1(lab, "535x.1"), HOOK_USAGE);
	assert_int_equal(lab_run(lab, hook_enable_cuda_compat, "--host-driver-version=535",
				 "--cuda-compat-container-root=x", NULL),
			 HOOK_USAGE);
	lab_ok(lab,
	       lab_run(lab, hook_enable_cuda_compat, "--host-driver-version=535.1",
		       "--host-cuda-version=12.2", "--cuda-compat-container-root=/opt/orin", NULL));
	lab_assert_text(lab, CONF, "/opt/orin\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_upgrade, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_flags, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
