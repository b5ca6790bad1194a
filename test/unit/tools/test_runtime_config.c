/* The CDI keys in containerd's and CRI-O's configuration, in the shapes that people write. */
#include "tools/tundra/runtime_config.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"

static struct runtime_config c;

static void read_text(const char *text)
{
	c = (struct runtime_config){ 0 };
	runtime_config_add(&c, sv_str(text));
}

static void test_sections(void **state)
{
	(void)state;
	read_text("[plugins.\"io.containerd.grpc.v1.cri\"]\nenable_cdi = true\n");
	assert_true(c.cdi_set && c.cdi);
	read_text(
	    "[plugins]\n  [plugins . 'io.containerd.cri.v1.runtime']\n\tenable_cdi=false # x\n");
	assert_true(c.cdi_set && !c.cdi);
	/* A table below it is another one. */
	read_text("[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nenable_cdi = true\n");
	assert_false(c.cdi_set);
	read_text("# [plugins.\"io.containerd.grpc.v1.cri\"]\nenable_cdi = true\n");
	assert_false(c.cdi_set);
	read_text("[plugins.\"io.containerd.grpc.v1.cri\"]\n# enable_cdi = true\n");
	assert_false(c.cdi_set);
	read_text("[plugins.\"io.containerd.grpc.v1.cri\"]\nx = \"\\\"[\"\nenable_cdi = true");
	assert_true(c.cdi);
}

static void test_arrays(void **state)
{
	(void)state;
	read_text(
	    "[crio.runtime]\ncdi_spec_dirs = [\n\t\"/etc/cdi\", # not \"/x\"\n\t'/run/cdi/',\n]"
	    "\nother = 1\n");
	assert_int_equal(c.dirs_n, 2);
	assert_string_equal(c.dirs[1], "/run/cdi/");
	assert_true(runtime_config_reads(&c, "/var/run/cdi"));
	assert_true(runtime_config_reads(&c, "/etc/cdi"));
	assert_false(runtime_config_reads(&c, "/x"));
	read_text("");
	assert_true(runtime_config_reads(&c, "/var/run/cdi"));
	assert_false(runtime_config_reads(&c, "/opt/cdi"));
	read_text("[crio.runtime]\ncdi_spec_dirs = []\n");
	assert_false(runtime_config_reads(&c, "/var/run/cdi"));
	read_text("[crio.runtime]\ncdi_spec_dirs = [\"/open");
	assert_int_equal(c.dirs_n, 0);
}

static void test_top(void **state)
{
	(void)state;
	read_text("disabled_plugins = ['cri']\nimports = ['/a/*.toml', \"b.toml\"]\n");
	assert_true(c.cri_disabled);
	assert_int_equal(c.imports_n, 2);
	runtime_config_add(&c, SV("disabled_plugins = []\n")); /* the last file wins */
	assert_false(c.cri_disabled);
	assert_int_equal(c.imports_n, 0);
	read_text("[debug]\ndisabled_plugins = ['cri']\n");
	assert_false(c.cri_disabled);
}

/* Cut anywhere, it is read without a step outside (the buffer ends where the text does). */
static void test_cut(void **state)
{
	static const char text[] =
	    "disabled_plugins = [\"cri\", 'x']\n[plugins.\"io.containerd.grpc."
	    "v1.cri\"] # c\nenable_cdi = true\ncdi_spec_dirs = [\n\"/a\",#\"\n"
	    "'/b'\n]\n[crio.runtime]\nx = \"\\\"\"\ny";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = mem_dup(text, n ? n : 1);

		c = (struct runtime_config){ 0 };
		runtime_config_add(&c, sv_make(copy, n));
		assert_true(c.dirs_n <= 2);
		mem_free(copy);
	}
	assert_int_equal(c.dirs_n, 2);
	assert_string_equal(c.dirs[1], "/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
