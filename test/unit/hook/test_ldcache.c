#include "lab.h"

#include "cachefile.h"
#include "tools/hook/elf.h"
#include "tools/hook/ldcache.h"

static void test_name_order(void **state)
{
	static const char *const ascending[] = {
		"",	     "lib",	    "liba.so",
		"liba.so.1", "liba.so.1.2", "liba.so.1.10",
		"liba.so.2", "liba.so.10",  "liba.so.100",
		"libA1.so",
	};

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(ascending) / sizeof(ascending[0]); i++) {
		assert_true(ldcache_name_cmp(ascending[i], ascending[i + 1]) < 0);
		assert_true(ldcache_name_cmp(ascending[i + 1], ascending[i]) > 0);
		assert_int_equal(ldcache_name_cmp(ascending[i], ascending[i]), 0);
	}
	assert_int_equal(ldcache_name_cmp("lib01.so", "lib1.so"), 0);
	assert_true(ldcache_name_cmp("lib-.so", "lib1.so") < 0);
	/* Numbers past 32 bits wrap as in the loader, without undefined behaviour. */
	assert_int_equal(ldcache_name_cmp("lib4294967297.so", "lib1.so"), 0);
}

static void build(struct ldcache *c, struct cachefile *f)
{
	char *bytes = NULL;
	size_t len = 0;

	assert_int_equal(ldcache_build(c, "test 1", &bytes, &len), 0);
	assert_true(cachefile_open(f, bytes, len));
	ldcache_done(c);
}

static void test_empty(void **state)
{
	struct cachefile f;
	struct ldcache c;

	(void)state;
	ldcache_init(&c);
	build(&c, &f);
	assert_int_equal(f.n, 0);
	assert_null(cachefile_find(&f, "liba.so", 0x303));
	free((void *)(uintptr_t)f.bytes);
	ldcache_done(&c);
}

static void test_lookup(void **state)
{
	struct cachefile_entry e;
	struct cachefile f;
	struct ldcache c;
	char name[64], path[128];
	uint32_t at, size;

	(void)state;
	ldcache_init(&c);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "lib%c%u.so.%u", 'a' + i % 26, i * 7919 % 500, i % 13);
		snprintf(path, sizeof(path), "/usr/lib/%s", name);
		assert_int_equal(ldcache_add(&c, name, path, 0x303, NULL), 0);
	}
	/* First come, first found; other kinds and hwcaps are told apart. */
	assert_int_equal(ldcache_add(&c, "libcuda.so.1", "/first/libcuda.so.1", 0x303, NULL), 0);
	assert_int_equal(ldcache_add(&c, "libcuda.so.1", "/i386/libcuda.so.1", 0x3, NULL), 0);
	assert_int_equal(ldcache_add(&c, "libcuda.so.1", "/second/libcuda.so.1", 0x303, NULL), 0);
	assert_int_equal(ldcache_add(&c, "libcuda.so.1", "/v2/libcuda.so.1.1", 0x303, "x86-64-v2"),
			 0);
	assert_int_equal(ldcache_add(&c, "libcuda.so.1", "/v3/libcuda.so.1.1", 0x303, "x86-64-v3"),
			 0);
	assert_int_equal(ldcache_add(&c, "libb.so", "/v3/libb.so", 0x303, "x86-64-v3"), 0);
	assert_int_equal(ldcache_add(&c, "libb.so", "/a/libb.so", 0x303, "a-first"), 0);
	build(&c, &f);
	assert_int_equal(f.n, 507);
	assert_string_equal(cachefile_find(&f, "libcuda.so.1", 0x303), "/first/libcuda.so.1");
	assert_string_equal(cachefile_find(&f, "libcuda.so.1", 0x3), "/i386/libcuda.so.1");
	assert_null(cachefile_find(&f, "libcuda.so.2", 0x303));
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "lib%c%u.so.%u", 'a' + i % 26, i * 7919 % 500, i % 13);
		snprintf(path, sizeof(path), "/usr/lib/%s", name);
		assert_string_equal(cachefile_find(&f, name, 0x303), path);
	}
	/* The loader takes hwcaps entries that stand before the plain ones only. */
	for (uint32_t i = 0, plain = 0; i < f.n; i++) {
		assert_true(cachefile_get(&f, i, &e));
		if (strcmp(e.name, "libcuda.so.1") != 0 || e.flags != 0x303)
			continue;
		plain += !e.hwcap;
		assert_true(!e.hwcap || plain == 0);
	}
	assert_true(cachefile_section(&f, 1, &at, &size));
	assert_int_equal(size, 12);
	assert_string_equal(cachefile_str(&f, cachefile_u32(&f, at)), "a-first");
	assert_string_equal(cachefile_str(&f, cachefile_u32(&f, at + 8)), "x86-64-v3");
	assert_true(cachefile_section(&f, 0, &at, &size));
	assert_int_equal(size, 6);
	assert_memory_equal(f.bytes + at, "test 1", 6);
	free((void *)(uintptr_t)f.bytes);
}

static void test_limits(void **state)
{
	struct ldcache c;
	char name[64], *big;
	int r = 0;

	(void)state;
	ldcache_init(&c);
	for (unsigned i = 0; i <= LDCACHE_HWCAPS_MAX && r == 0; i++) {
		snprintf(name, sizeof(name), "cap%u", i);
		r = ldcache_add(&c, "liba.so", "/liba.so", 3, name);
	}
	assert_int_equal(r, -E2BIG);
	for (r = 0; c.n < LDCACHE_ENTRIES_MAX && r == 0;)
		r = ldcache_add(&c, "a", "b", 3, NULL);
	assert_int_equal(r, 0);
	assert_int_equal(ldcache_add(&c, "a", "b", 3, NULL), -E2BIG);
	ldcache_done(&c);

	ldcache_init(&c);
	big = malloc(LDCACHE_STRINGS_MAX + 1);
	assert_non_null(big);
	memset(big, 'x', LDCACHE_STRINGS_MAX);
	big[LDCACHE_STRINGS_MAX] = '\0';
	assert_int_equal(ldcache_add(&c, big, "b", 3, NULL), -E2BIG);
	assert_int_equal(c.n, 0);
	free(big);
	ldcache_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_order),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
