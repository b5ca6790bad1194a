#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/buf.h"
#include "gpu/edits.h"

static void fill(struct gpu_edits *e, const char *first_node)
{
	const struct gpu_edit_node nodes[] = {
		{ first_node, NULL, 195, 0, 0666, 0 },
		{ "/dev/nvidiactl", "/run/nvidia/driver/dev/nvidiactl", -1, -1, 0, 44 },
	};
	const char *const options[] = { "ro", "nosuid", NULL };
	const char *const args[] = { "update-ldcache", "--folder", "/usr/lib", NULL };
	const struct gpu_edit_mount mounts[] = {
		{ "/h/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so.1", options },
		{ "/h/tmp", "/tmp", NULL },
	};
	size_t i;

	for (i = 0; i < 2; i++) {
		assert_int_equal(edits_add_node(e, &nodes[i]), 0);
		assert_int_equal(edits_add_mount(e, &mounts[i]), 0);
	}
	assert_int_equal(edits_add_env(e, "A=b"), 0);
	assert_int_equal(edits_add_env(e, "C="), 0);
	assert_int_equal(edits_add_hook(e, args), 0);
	assert_int_equal(edits_add_gid(e, 44), 0);
	assert_int_equal(edits_add_gid(e, 44), 0); /* once is enough */
	assert_int_equal(edits_add_gid(e, 107), 0);
}

static void test_copies(void **state)
{
	char name[] = "/dev/nvidia0";
	struct gpu_edits e;

	(void)state;
	edits_init(&e);
	fill(&e, name);
	memset(name, 'x', sizeof(name) - 1);
	assert_string_equal(e.nodes[0].path, "/dev/nvidia0");
	assert_null(e.nodes[0].host);
	assert_int_equal(e.gids_n, 2);
	assert_string_equal(e.mounts[0].options[1], "nosuid");
	assert_null(e.mounts[0].options[2]);
	edits_done(&e);
	edits_done(&e);
}

static void test_message(void **state)
{
	struct gpu_edits a, b;
	struct buf bytes;

	(void)state;
	edits_init(&a);
	edits_init(&b);
	buf_init(&bytes, 1 << 20);
	fill(&a, "/dev/nvidia0");
	edits_put(&bytes, &a);
	assert_int_equal(edits_get(buf_sv(&bytes), &b), 0);
	assert_true(edits_hash(&a) == edits_hash(&b));
	assert_int_equal(b.nodes[1].major, -1);
	assert_int_equal(b.nodes[1].gid, 44);
	assert_string_equal(b.hooks[0].args[2], "/usr/lib");
	assert_null(b.hooks[0].args[3]);
	edits_done(&b);
	assert_int_equal(edits_add_all(&b, &a), 0);
	assert_true(edits_hash(&a) == edits_hash(&b));
	edits_done(&a);
	edits_done(&b);
	buf_done(&bytes);
}

static void test_message_cut(void **state)
{
	struct gpu_edits a, b;
	struct buf bytes;
	char *copy;
	size_t n;

	(void)state;
	edits_init(&a);
	buf_init(&bytes, 1 << 20);
	fill(&a, "/dev/nvidia0");
	edits_put(&bytes, &a);
	for (n = 0; n < buf_len(&bytes); n++) {
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, buf_sv(&bytes).p, n);
		edits_init(&b);
		if (edits_get(sv_make(copy, n), &b) == 0)
			assert_true(edits_hash(&a) != edits_hash(&b));
		edits_done(&b);
		free(copy);
	}
	edits_done(&a);
	buf_done(&bytes);
}

static void test_hash_tells_apart(void **state)
{
	struct gpu_edits e[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		edits_init(&e[i]);
	assert_true(edits_hash(&e[0]) == edits_hash(&e[1]));
	fill(&e[0], "/dev/nvidia0");
	fill(&e[1], "/dev/nvidia1");
	fill(&e[2], "/dev/nvidia0");
	assert_true(edits_hash(&e[0]) != edits_hash(&e[1]));
	assert_true(edits_hash(&e[0]) == edits_hash(&e[2]));
	assert_int_equal(edits_add_env(&e[2], "A=b"), 0);
	assert_true(edits_hash(&e[0]) != edits_hash(&e[2]));
	for (i = 0; i < 3; i++)
		edits_done(&e[i]);
}

static void test_sorted(void **state)
{
	static const char *const in[] = { "/z/a/b", "/b", "/a/z", "/a", "/a/b/c/d", "/a/a" };
	static const char *const out[] = { "/a", "/b", "/a/a", "/a/z", "/z/a/b", "/a/b/c/d" };
	struct gpu_edits e;
	size_t i;

	(void)state;
	edits_init(&e);
	edits_sort(&e);
	for (i = 0; i < ARRAY_LEN(in); i++) {
		assert_int_equal(
		    edits_add_mount(&e, &(struct gpu_edit_mount){ in[i], in[i], NULL }), 0);
		assert_int_equal(edits_add_node(&e, &(struct gpu_edit_node){ .path = in[i] }), 0);
	}
	edits_sort(&e);
	for (i = 0; i < ARRAY_LEN(out); i++) {
		assert_string_equal(e.mounts[i].path, out[i]);
		assert_string_equal(e.nodes[i].path, out[i]);
	}
	edits_done(&e);
}

static void test_limit(void **state)
{
	struct gpu_edits e;
	char *big = malloc(10001);
	size_t i;
	int r = 0;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 10000);
	big[10000] = '\0';
	edits_init(&e);
	for (i = 0; i < 1000 && r == 0; i++)
		r = edits_add_env(&e, big);
	assert_int_equal(r, -E2BIG);
	assert_true(e.env_n > 20 && e.env_n < 60);
	assert_int_equal(strlen(e.env[e.env_n - 1]), 10000); /* what is in is whole */
	edits_done(&e);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),	    cmocka_unit_test(test_message),
		cmocka_unit_test(test_message_cut), cmocka_unit_test(test_hash_tells_apart),
		cmocka_unit_test(test_sorted),	    cmocka_unit_test(test_limit),
	};

	return RUN(tests);
}
