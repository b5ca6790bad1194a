#include "test/unit/worker/tree.h"

#include "core/base.h"
#include "gpu/nvidia/worker/driver_root.h"

#define ML "libnvidia-ml.so.1"

static struct roots roots_of(const struct tree *t, const char *host)
{
	return (struct roots){ .driver = t->root, .driver_host = host };
}

/* Only place that holds the library: found, and named as the host names it. */
static void one(const char *at, const char *layout, const char *sub, const char *host_root,
		const char *host)
{
	struct driver_search s;
	struct driver_root found;
	struct roots roots;
	struct tree t;
	char path[256];

	tree_init(&t);
	roots = roots_of(&t, host_root);
	s = driver_search_new(&roots);
	assert_false(driver_search_next(&s, &found));
	snprintf(path, sizeof(path), "%s%s/" ML, sub, at);
	tree_file(&t, path, "");
	s = driver_search_new(&roots);
	assert_true(driver_search_next(&s, &found));
	assert_string_equal(found.layout->name, layout);
	snprintf(path, sizeof(path), "%s%s", t.root, sub);
	assert_string_equal(found.root.s, path);
	assert_string_equal(found.host.s, host);
	snprintf(path, sizeof(path), "%s/" ML, at);
	assert_string_equal(found.lib.s, path);
	assert_false(driver_search_next(&s, &found));
	tree_done(&t);
}

static void test_layouts(void **state)
{
	(void)state;
	one("/usr/lib64", "host", "", "/", "/");
	one("/usr/lib/x86_64-linux-gnu", "host", "", "/", "/");
	one("/usr/lib/aarch64-linux-gnu", "host", "", "", "/");
	one("/lib64", "host", "", "/run/nvidia/driver", "/run/nvidia/driver");
	one("/usr/lib/x86_64-linux-gnu", "driver container", "/run/nvidia/driver", "/",
	    "/run/nvidia/driver");
	one("/lib64", "GKE", "/home/kubernetes/bin/nvidia", "/", "/home/kubernetes/bin/nvidia");
	one("/usr/lib/wsl/lib", "WSL", "", "/", "/");
	one("/usr/local/glibc/usr/lib", "Talos", "", "/", "/");
	one("/usr/local/lib", "Talos", "", "/", "/");
	one("/run/opengl-driver/lib", "NixOS", "", "/", "/");
}

/* A stale host library and a driver container: both are offered, the host first. */
static void test_several(void **state)
{
	struct driver_search s;
	struct driver_root found;
	struct roots roots;
	struct tree t;

	(void)state;
	tree_init(&t);
	roots = roots_of(&t, "/");
	tree_file(&t, "run/nvidia/driver/usr/lib64/" ML ".580", "");
	tree_link(&t, "run/nvidia/driver/usr/lib64/" ML, "/usr/lib64/" ML ".580");
	tree_file(&t, "usr/lib/x86_64-linux-gnu/" ML, "");
	s = driver_search_new(&roots);
	assert_true(driver_search_next(&s, &found));
	assert_string_equal(found.layout->name, "host");
	assert_true(driver_search_next(&s, &found));
	assert_string_equal(found.layout->name, "driver container");
	/* Its absolute link is of its own root. */
	assert_string_equal(found.lib.s, "/usr/lib64/" ML ".580");
	assert_false(driver_search_next(&s, &found));
	tree_done(&t);
}

static void test_text_names_every_place(void **state)
{
	static const char *const places[] = {
		"/driver-root (host)",
		"/driver-root/run/nvidia/driver (driver container)",
		"/driver-root/home/kubernetes/bin/nvidia (GKE)",
		"/usr/lib/wsl/lib",
		"/usr/local/glibc/usr/lib",
		"/usr/local/lib",
		"/run/opengl-driver/lib",
		"/usr/lib64",
		"/usr/lib/x86_64-linux-gnu",
		"/lib/aarch64-linux-gnu",
		ML,
	};
	const struct roots told = { .driver = "/driver-root", .driver_host = "/" };
	const struct roots untold = { .driver = "", .driver_host = "" };
	struct buf text;
	size_t i;

	(void)state;
	buf_init(&text, 1 << 16);
	driver_search_text(&told, &text);
	for (i = 0; i < ARRAY_LEN(places); i++)
		assert_non_null(strstr(buf_cstr(&text), places[i]));
	assert_true(buf_len(&text) <= GPU_MSG_REASON_MAX);
	buf_clear(&text);
	driver_search_text(&untold, &text);
	assert_non_null(strstr(buf_cstr(&text), "/driver-root (host)"));
	assert_non_null(strstr(buf_cstr(&text), " / (host)"));
	assert_true(buf_len(&text) <= GPU_MSG_REASON_MAX);
	buf_done(&text);
}

static bool watches(const struct gpu_watch *w, size_t n, const struct tree *t, const char *folder)
{
	char path[256];
	size_t i;

	snprintf(path, sizeof(path), "%s%s", t->root, folder);
	for (i = 0; i < n; i++)
		if (strcmp(w[i].folder, path) == 0)
			return true;
	return false;
}

static void test_watch(void **state)
{
	struct gpu_watch w[GPU_MSG_WATCH_MAX];
	struct roots roots;
	struct tree t;
	size_t n;

	(void)state;
	tree_init(&t);
	roots = roots_of(&t, "/");
	tree_dir(&t, "usr/lib64");
	tree_link(&t, "lib64", "usr/lib64");
	n = driver_search_watch(&roots, w, GPU_MSG_WATCH_MAX);
	assert_true(n > 0 && n < GPU_MSG_WATCH_MAX);
	assert_true(watches(w, n, &t, "/usr/lib64"));
	assert_false(watches(w, n, &t, "/lib64")); /* the same folder once */
	assert_true(watches(w, n, &t, "/run/nvidia/driver"));
	assert_true(watches(w, n, &t, "/home/kubernetes/bin/nvidia"));
	assert_int_equal(driver_search_watch(&roots, w, 2), 2);
	tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_text_names_every_place),
		cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
