#include "lab.h"

#include "cachefile.h"

#define CONF   "etc/ld.so.conf.d/00-nvcr-tundra.conf"
#define X86_64 0x303

static const char driver[] = "/usr/lib/nvidia";

static int run1(struct lab *lab, const char *folder)
{
	return lab_run(lab, hook_update_ldcache, "--folder", folder, NULL);
}

/* What the loader would load for the name, or NULL; every check of the format is made. */
static char *lookup(const struct lab *lab, const char *name, int32_t flags)
{
	size_t len = 0;
	char *bytes = lab_read(lab, "etc/ld.so.cache", &len), *copy = NULL;
	struct cachefile f;
	const char *path;

	assert_non_null(bytes);
	assert_true(cachefile_open(&f, bytes, len));
	path = cachefile_find(&f, name, flags);
	if (path)
		copy = strdup(path);
	free(bytes);
	return copy;
}

static void assert_loads(const struct lab *lab, const char *name, const char *path)
{
	char *now = lookup(lab, name, X86_64);

	if (!path) {
		assert_null(now);
		return;
	}
	assert_non_null(now);
	assert_string_equal(now, path);
	free(now);
}

/* A Debian with a driver in a folder of its own. */
static void make_debian(const struct lab *lab)
{
	lab_write(lab, "etc/debian_version", "12\n");
	lab_write(lab, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
	lab_write(lab, "etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n");
	lab_write(lab, "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
		  "/usr/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n");
	lab_link(lab, "lib", "usr/lib");
	lab_link(lab, "lib64", "usr/lib64");
	lab_lib(lab, "usr/lib64/ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2");
	lab_lib(lab, "usr/lib/x86_64-linux-gnu/libc.so.6", "libc.so.6");
	lab_lib(lab, "usr/lib/x86_64-linux-gnu/libz.so.1.2.13", "libz.so.1");
	lab_lib(lab, "usr/lib/nvidia/libcuda.so.580.65.06", "libcuda.so.1");
	lab_link(lab, "usr/lib/nvidia/libcuda.so", "libcuda.so.1");
	lab_lib(lab, "usr/lib/nvidia/libnvidia-ml.so.580.65.06", "libnvidia-ml.so.1");
}

static void test_debian(void **state)
{
	struct lab *lab = *state;
	char *first, *second;
	size_t len[2];

	make_debian(lab);
	lab_ok(lab, run1(lab, driver));
	lab_assert_text(lab, CONF, "/usr/lib/nvidia\n");
	lab_assert_link(lab, "usr/lib/nvidia/libcuda.so.1", "libcuda.so.580.65.06");
	lab_assert_link(lab, "usr/lib/nvidia/libcuda.so", "libcuda.so.1");
	lab_assert_link(lab, "usr/lib/nvidia/libnvidia-ml.so.1", "libnvidia-ml.so.580.65.06");
	lab_assert_link(lab, "usr/lib/x86_64-linux-gnu/libz.so.1", "libz.so.1.2.13");
	assert_loads(lab, "libcuda.so.1", "/usr/lib/nvidia/libcuda.so.1");
	assert_loads(lab, "libnvidia-ml.so.1", "/usr/lib/nvidia/libnvidia-ml.so.1");
	assert_loads(lab, "libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6");
	assert_loads(lab, "ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2");
	assert_loads(lab, "libcuda.so.580.65.06", NULL);
	/* A second run changes nothing, byte for byte. */
	first = lab_read(lab, "etc/ld.so.cache", &len[0]);
	lab_ok(lab, run1(lab, driver));
	second = lab_read(lab, "etc/ld.so.cache", &len[1]);
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(first, second, len[0]);
	free(first);
	free(second);
	lab_assert_text(lab, CONF, "/usr/lib/nvidia\n");
}

static void test_conf(void **state)
{
	struct lab *lab = *state;

	/* Folders that ldconfig finds anyway are not written; two runs add up. */
	make_debian(lab);
	lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder", "/usr/lib/x86_64-linux-gnu",
			    "--folder", "/usr/lib", "--ldconfig-path", "/bin/false", NULL));
	assert_false(lab_has(lab, CONF));
	lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder=/a", "--folder=/b", "--folder=/a",
			    NULL));
	lab_ok(lab, run1(lab, "/c"));
	lab_ok(lab, run1(lab, "/b"));
	lab_assert_text(lab, CONF, "/a\n/b\n/c\n");
	/* Not Debian: the multiarch folder is one that its ldconfig would not find. */
	lab_empty(lab);
	lab_lib(lab, "lib64/ld-linux-x86-64.so.2", NULL);
	lab_lib(lab, "usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.1");
	lab_ok(lab, run1(lab, "/usr/lib/x86_64-linux-gnu"));
	lab_assert_text(lab, CONF, "/usr/lib/x86_64-linux-gnu\n");
	lab_assert_text(lab, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
	assert_loads(lab, "libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1");
	lab_ok(lab, run1(lab, "/usr/lib64"));
	lab_assert_text(lab, CONF, "/usr/lib/x86_64-linux-gnu\n");
}

/* An ld.so.conf of the image that does not include the folder: the cache has the libraries. */
static void test_not_included(void **state)
{
	struct lab *lab = *state;

	make_debian(lab);
	lab_write(lab, "etc/ld.so.conf", "/usr/local/lib\n");
	lab_lib(lab, "usr/local/lib/libcuda.so.1", "libcuda.so.1");
	lab_write(lab, "etc/ld.so.conf.d/00-compat-tundra.conf", "/usr/local/cuda/compat\n");
	lab_lib(lab, "usr/local/cuda/compat/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	lab_ok(lab, run1(lab, driver));
	assert_loads(lab, "libcuda.so.1", "/usr/lib/nvidia/libcuda.so.1");
	assert_loads(lab, "libnvidia-ml.so.1", "/usr/local/cuda/compat/libnvidia-ml.so.1");
	lab_assert_text(lab, "etc/ld.so.conf", "/usr/local/lib\n");
}

static void test_winners(void **state)
{
	struct lab *lab = *state;
	char *path;

	make_debian(lab);
	/* The newest by number wins; a link that stands for an older one is put right. */
	lab_lib(lab, "usr/lib/nvidia/libx.so.1.9", "libx.so.1");
	lab_lib(lab, "usr/lib/nvidia/libx.so.1.10", "libx.so.1");
	lab_link(lab, "usr/lib/nvidia/libx.so.1", "libx.so.1.9");
	/* A dangling link is replaced, a file in its place is not. */
	lab_lib(lab, "usr/lib/nvidia/libd.so.2.0", "libd.so.2");
	lab_link(lab, "usr/lib/nvidia/libd.so.2", "gone");
	lab_lib(lab, "usr/lib/nvidia/libf.so.3.0", "libf.so.3");
	lab_write(lab, "usr/lib/nvidia/libf.so.3", "text");
	/* No SONAME: by its file name. Not a library's name, or half installed: not at all. */
	lab_lib(lab, "usr/lib/nvidia/libn.so", NULL);
	lab_lib(lab, "usr/lib/nvidia/nvidia_drv.so", "nvidia_drv.so");
	lab_lib(lab, "usr/lib/nvidia/libp.so.1.dpkg-new", "libp.so.1");
	/* 32 and 64 bits of a name, in two folders and in one. */
	lab_lib32(lab, "usr/lib32/libcuda.so.580.65.06", "libcuda.so.1");
	lab_lib32(lab, "usr/lib/nvidia/libm.so.1.32", "libm.so.1");
	lab_lib(lab, "usr/lib/nvidia/libm.so.1.64", "libm.so.1");
	for (int i = 0; i < 2; i++) {
		lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder", driver, "--folder",
				    "/usr/lib32", NULL));
		lab_assert_link(lab, "usr/lib/nvidia/libx.so.1", "libx.so.1.10");
		lab_assert_link(lab, "usr/lib/nvidia/libd.so.2", "libd.so.2.0");
		lab_assert_text(lab, "usr/lib/nvidia/libf.so.3", "text");
		lab_assert_link(lab, "usr/lib/nvidia/libm.so.1", "libm.so.1.64");
		assert_loads(lab, "libn.so", "/usr/lib/nvidia/libn.so");
		assert_loads(lab, "libd.so.2", "/usr/lib/nvidia/libd.so.2");
		assert_loads(lab, "libm.so.1", "/usr/lib/nvidia/libm.so.1");
		assert_loads(lab, "libf.so.3", NULL);
		assert_loads(lab, "libp.so.1", NULL);
		assert_loads(lab, "nvidia_drv.so", NULL);
		path = lookup(lab, "libcuda.so.1", 3);
		assert_string_equal(path, "/usr/lib32/libcuda.so.1");
		free(path);
	}
}

static void test_hwcaps(void **state)
{
	struct lab *lab = *state;
	struct cachefile_entry e;
	struct cachefile f;
	size_t len = 0;
	char *bytes;
	int found = 0;

	make_debian(lab);
	lab_lib(lab, "usr/lib/nvidia/glibc-hwcaps/x86-64-v3/libcuda.so.580.65.06", "libcuda.so.1");
	lab_lib(lab, "usr/lib/nvidia/glibc-hwcaps/x86-64-v2/libcuda.so.580.65.06", "libcuda.so.1");
	lab_lib(lab, "usr/lib/nvidia/glibc-hwcaps/a:b/libcuda.so.580.65.06", "libcuda.so.1");
	lab_ok(lab, run1(lab, driver));
	assert_loads(lab, "libcuda.so.1", "/usr/lib/nvidia/libcuda.so.1");
	assert_false(lab_has(lab, "usr/lib/nvidia/glibc-hwcaps/x86-64-v3/libcuda.so.1"));
	bytes = lab_read(lab, "etc/ld.so.cache", &len);
	assert_true(cachefile_open(&f, bytes, len));
	for (uint32_t i = 0; i < f.n; i++) {
		assert_true(cachefile_get(&f, i, &e));
		found += e.hwcap && strcmp(e.hwcap, "x86-64-v3") == 0 &&
			 strcmp(e.path,
				"/usr/lib/nvidia/glibc-hwcaps/x86-64-v3/libcuda.so.580.65.06") == 0;
		assert_true(!e.hwcap || !strchr(e.hwcap, ':'));
	}
	assert_int_equal(found, 1);
	free(bytes);
}

/* Nothing outside the root is made or listed, nothing blocks, no name escapes. */
static void test_hostile(void **state)
{
	struct lab *lab = *state;
	char outside[96], path[4096];
	int fd;

	alarm(60);
	make_debian(lab);
	snprintf(outside, sizeof(outside), "%s/outside", lab->dir);
	assert_int_equal(mkdir(outside, 0755), 0);
	lab_link(lab, "usr/lib/evil", outside);
	lab_link(lab, "usr/lib/nvidia/libout.so.1", "/etc/ld.so.cache");
	lab_lib(lab, "usr/lib/nvidia/liba.so.1.0", "../../../../../tmp/tundra-escaped.so");
	lab_lib(lab, "usr/lib/nvidia/libb.so.1.0", "lib/b.so.1");
	lab_lib(lab, "usr/lib/nvidia/libc2.so.1.0", "bash");
	lab_write(lab, "usr/lib/nvidia/libtext.so", "INPUT(-lcuda)");
	lab_link(lab, "usr/lib/nvidia/libloop.so", "libloop.so");
	lab_mkdirs(lab, "usr/lib/nvidia/libdir.so.1");
	lab_path(lab, "usr/lib/nvidia/libfifo.so", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	lab_path(lab, "usr/lib/nvidia/libhuge.so", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 10LL << 30), 0);
	close(fd);
	lab_link(lab, "etc/ld.so.cache", "/etc/passwd");
	lab_write(lab, "etc/passwd", "safe");
	lab_mkdirs(lab, "etc/.ld.so.cache.tundra0");
	lab_link(lab, "etc/.00-nvcr-tundra.conf.tundra0", "/etc/passwd");
	lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder", driver, "--folder",
			    "/usr/lib/evil", "--folder", "/../../../../tmp", NULL));
	lab_assert_text(lab, "etc/passwd", "safe");
	assert_loads(lab, "libcuda.so.1", "/usr/lib/nvidia/libcuda.so.1");
	assert_loads(lab, "bash", NULL);
	assert_int_equal(access("/tmp/tundra-escaped.so", F_OK), -1);
	assert_false(lab_has(lab, "usr/lib/nvidia/bash"));
	assert_int_equal(rmdir(outside), 0);
	alarm(0);
}

static void test_wrong_flags(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(run1(lab, "relative"), HOOK_USAGE);
	assert_int_equal(run1(lab, "/a\n/b"), HOOK_USAGE);
	assert_int_equal(run1(lab, "/a#b"), HOOK_USAGE);
	assert_int_equal(run1(lab, "/a=libc5"), HOOK_USAGE);
	assert_int_equal(run1(lab, ""), HOOK_USAGE);
	assert_false(lab_has(lab, "etc"));
}

/* What cannot be written is an error that names the place, and leaves no part behind. */
static void test_unwritable(void **state)
{
	struct lab *lab = *state;

	make_debian(lab);
	lab_mkdirs(lab, "etc/ld.so.cache");
	assert_int_equal(run1(lab, driver), HOOK_FAILED);
	assert_non_null(strstr(lab->hook.why.text, "/etc/ld.so.cache"));
	assert_false(lab_has(lab, "etc/.ld.so.cache.tundra0"));
	lab_empty(lab);
	lab_write(lab, "etc", "a file");
	assert_int_equal(run1(lab, driver), HOOK_FAILED);
}

static void test_musl(void **state)
{
	struct lab *lab = *state;

	lab_lib(lab, "lib/ld-musl-x86_64.so.1", NULL);
	lab_lib(lab, "usr/lib64/libcuda.so.1", "libcuda.so.1");
	for (int i = 0; i < 2; i++) {
		lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder", "/usr/lib64", "--folder",
				    "/usr/lib", NULL));
		lab_assert_text(lab, "etc/ld-musl-x86_64.path",
				"/usr/lib64\n/lib\n/usr/local/lib\n/usr/lib\n");
		assert_false(lab_has(lab, "etc/ld.so.cache"));
		assert_false(lab_has(lab, "etc/ld.so.conf.d"));
	}
	/* Colons separate as well. */
	lab_write(lab, "etc/ld-musl-x86_64.path", "/usr/lib64:/lib");
	lab_ok(lab, lab_run(lab, hook_update_ldcache, "--folder", "/usr/lib64", "--folder", "/opt",
			    NULL));
	lab_assert_text(lab, "etc/ld-musl-x86_64.path", "/opt\n/usr/lib64:/lib");
	/* Alpine with a glibc beside it gets both; a glibc system with musl's loader only the
	 * cache. */
	lab_write(lab, "etc/alpine-release", "3.20\n");
	lab_lib(lab, "lib64/ld-linux-x86-64.so.2", NULL);
	lab_ok(lab, run1(lab, "/usr/lib64"));
	assert_loads(lab, "libcuda.so.1", "/usr/lib64/libcuda.so.1");
	lab_empty(lab);
	make_debian(lab);
	lab_lib(lab, "usr/lib/ld-musl-x86_64.so.1", NULL);
	lab_ok(lab, run1(lab, driver));
	assert_false(lab_has(lab, "etc/ld-musl-x86_64.path"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_debian, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_conf, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_not_included, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_winners, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_hwcaps, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_hostile, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_wrong_flags, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_unwritable, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_musl, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
