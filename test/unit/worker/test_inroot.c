#include <errno.h>

#include "test/unit/worker/tree.h"

#include "gpu/nvidia/worker/inroot.h"

static void test_join(void **state)
{
	static const struct {
		const char *root, *path, *out;
	} rows[] = {
		{ "/", "/", "/" },
		{ "/", "usr/lib", "/usr/lib" },
		{ "/driver-root", "", "/driver-root" },
		{ "/driver-root", "/", "/driver-root" },
		{ "/driver-root/", "/usr", "/driver-root/usr" },
		{ "", "/dev", "/dev" },
		{ "", "", "/" },
		{ "/a//", "//b/", "/a/b" },
	};
	struct inroot_path p;
	char long_name[INROOT_PATH_MAX + 2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(inroot_join(rows[i].root, rows[i].path, &p), 0);
		assert_string_equal(p.s, rows[i].out);
	}
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(inroot_join("/a", long_name, &p), -ENAMETOOLONG);
}

static void test_resolve(void **state)
{
	static const struct {
		const char *path, *out;
		int r;
	} rows[] = {
		{ "/", "/", 0 },
		{ "", "/", 0 },
		{ "/usr/lib/real.so", "/usr/lib/real.so", 0 },
		{ "usr//lib/./real.so", "/usr/lib/real.so", 0 },
		{ "/usr/lib/relative.so", "/usr/lib/real.so", 0 },
		{ "/usr/lib/absolute.so", "/usr/lib/real.so", 0 }, /* from this root */
		{ "/lib/real.so", "/usr/lib/real.so", 0 },	   /* a folder that is a link */
		{ "/usr/lib/up.so", "/etc/passwd", 0 }, /* cannot climb out: the root's own file */
		{ "/../../etc/passwd", "/etc/passwd", 0 },
		{ "/usr/lib/loop.so", NULL, -ELOOP },
		{ "/usr/lib/dangling.so", NULL, -ENOENT },
		{ "/nothing/here", NULL, -ENOENT },
		{ "/usr/lib/real.so/x", NULL, -ENOTDIR },
	};
	struct inroot_path p;
	struct tree t;
	size_t i;
	int r;

	(void)state;
	tree_init(&t);
	tree_file(&t, "usr/lib/real.so", "");
	tree_file(&t, "etc/passwd", "");
	tree_link(&t, "lib", "usr/lib");
	tree_link(&t, "usr/lib/relative.so", "../lib/real.so");
	tree_link(&t, "usr/lib/absolute.so", "/usr/lib/relative.so");
	tree_link(&t, "usr/lib/up.so", "../../../../../etc/passwd");
	tree_link(&t, "usr/lib/loop.so", "loop2.so");
	tree_link(&t, "usr/lib/loop2.so", "loop.so");
	tree_link(&t, "usr/lib/dangling.so", "/usr/lib/gone.so");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r = inroot_resolve(t.root, rows[i].path, &p);
		assert_int_equal(r, rows[i].r);
		if (r == 0)
			assert_string_equal(p.s, rows[i].out);
	}
	tree_done(&t);
}

static void test_find(void **state)
{
	struct inroot_path p;
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_file(&t, "a/file", "");
	tree_link(&t, "link", "/a/file");
	assert_int_equal(inroot_find(t.root, "/link", S_IFREG, &p), 0);
	assert_string_equal(p.s, "/a/file");
	assert_int_equal(inroot_find(t.root, "/link", S_IFDIR, &p), -ENOENT);
	assert_int_equal(inroot_find(t.root, "/a", S_IFDIR, &p), 0);
	assert_int_equal(inroot_find(t.root, "/a", 0, &p), 0);
	tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
