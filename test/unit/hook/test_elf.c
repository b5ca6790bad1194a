#include "lab.h"

#include "tools/hook/elf.h"

struct memory {
	const char *bytes;
	size_t len, piece; /* piece: the most that one fetch gives */
	int error;
};

static ssize_t fetch(void *arg, void *buf, size_t len, uint64_t offset)
{
	const struct memory *m = arg;

	if (m->error)
		return m->error;
	if (offset >= m->len)
		return 0;
	if (len > m->len - (size_t)offset)
		len = m->len - (size_t)offset;
	if (m->piece && len > m->piece)
		len = m->piece;
	memcpy(buf, m->bytes + offset, len);
	return (ssize_t)len;
}

static int read_bytes(const char *bytes, size_t len, struct elf_lib *lib)
{
	struct memory m = { .bytes = bytes, .len = len };

	return elf_read(fetch, &m, lib);
}

static void test_kinds(void **state)
{
	static const struct {
		struct lab_elf elf;
		int result;
		int32_t flags;
	} kinds[] = {
		{ { "liba.so.1", EM_X86_64, 0, false, ET_DYN }, 0, ELF_FLAG_X86_64 },
		{ { "liba.so.1", EM_X86_64, 0, true, ET_DYN }, 0, ELF_FLAG_X32 },
		{ { "liba.so.1", EM_386, 0, true, ET_DYN }, 0, ELF_FLAG_I386 },
		{ { "liba.so.1", EM_AARCH64, 0, false, ET_DYN }, 0, ELF_FLAG_AARCH64 },
		{ { "liba.so.1", EM_ARM, 0x5000400, true, ET_DYN }, 0, ELF_FLAG_ARM_HARD },
		{ { "liba.so.1", EM_ARM, 0x5000200, true, ET_DYN }, 0, ELF_FLAG_ARM_SOFT },
		{ { NULL, EM_X86_64, 0, false, ET_DYN }, 0, ELF_FLAG_X86_64 },
		{ { "liba.so.1", EM_X86_64, 0, false, ET_EXEC }, ELF_SKIP, 0 },
		{ { "liba.so.1", EM_X86_64, 0, false, ET_REL }, ELF_SKIP, 0 },
		{ { "liba.so.1", EM_S390, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "liba.so.1", EM_386, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "liba.so.1", EM_AARCH64, 0, true, ET_DYN }, ELF_SKIP, 0 },
		{ { "../../etc/passwd", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "lib/a.so", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "..", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "lib\na.so.1", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "lib a.so.1", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
		{ { "lib\xc3\xa4.so.1", EM_X86_64, 0, false, ET_DYN }, ELF_SKIP, 0 },
	};
	struct elf_lib lib;
	char bytes[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = lab_elf_make(&kinds[i].elf, bytes);

		assert_int_equal(read_bytes(bytes, len, &lib), kinds[i].result);
		if (kinds[i].result != 0)
			continue;
		assert_int_equal(lib.flags, kinds[i].flags);
		assert_string_equal(lib.soname, kinds[i].elf.soname ? kinds[i].elf.soname : "");
	}
}

/* Cut anywhere, fetched in pieces of any size. */
static void test_truncation(void **state)
{
	const struct lab_elf want = { "libcuda.so.1", EM_X86_64, 0, false, ET_DYN };
	struct elf_lib lib;
	char bytes[1024];
	size_t len = lab_elf_make(&want, bytes);

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(read_bytes(bytes, cut, &lib), ELF_SKIP);
	for (size_t piece = 1; piece < 100; piece++) {
		struct memory m = { .bytes = bytes, .len = len, .piece = piece };

		assert_int_equal(elf_read(fetch, &m, &lib), 0);
		assert_string_equal(lib.soname, "libcuda.so.1");
	}
}

/* Every byte set to every value that a hostile file would choose. */
static void test_corruption(void **state)
{
	static const char values[] = { 0, 1, 0x7f, (char)0x80, (char)0xff };
	struct lab_elf want = { "libcuda.so.1", EM_X86_64, 0, false, ET_DYN };
	struct elf_lib lib;
	char bytes[1024], bad[1024];

	(void)state;
	for (int narrow = 0; narrow < 2; narrow++) {
		size_t len;

		want.narrow = narrow;
		want.machine = narrow ? EM_386 : EM_X86_64;
		len = lab_elf_make(&want, bytes);
		for (size_t i = 0; i < len; i++) {
			for (size_t v = 0; v < sizeof(values); v++) {
				memcpy(bad, bytes, len);
				bad[i] = values[v];
				/* For the sanitizers: any verdict will do, but no crash. */
				assert_true(read_bytes(bad, len, &lib) >= 0);
			}
		}
	}
}

static void test_long_soname(void **state)
{
	char name[ELF_SONAME_MAX + 2], bytes[1024];
	struct lab_elf want = { name, EM_X86_64, 0, false, ET_DYN };
	struct elf_lib lib;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[ELF_SONAME_MAX] = '\0';
	assert_int_equal(read_bytes(bytes, lab_elf_make(&want, bytes), &lib), 0);
	assert_int_equal(strlen(lib.soname), ELF_SONAME_MAX);
	name[ELF_SONAME_MAX] = 'a';
	name[ELF_SONAME_MAX + 1] = '\0';
	assert_int_equal(read_bytes(bytes, lab_elf_make(&want, bytes), &lib), ELF_SKIP);
}

static void test_io_error(void **state)
{
	struct memory m = { .error = -EIO };
	struct elf_lib lib;

	(void)state;
	assert_int_equal(elf_read(fetch, &m, &lib), -EIO);
}

/* A real library of this machine, through a file descriptor. */
static void test_real(void **state)
{
	static const char *const libs[] = { "/lib64/ld-linux-x86-64.so.2",
					    "/lib/ld-linux-aarch64.so.1" };
	struct elf_lib lib;
	int found = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(libs) / sizeof(libs[0]); i++) {
		int fd = open(libs[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		found++;
		assert_int_equal(elf_read_fd(fd, &lib), 0);
		assert_string_equal(lib.soname, strrchr(libs[i], '/') + 1);
		close(fd);
	}
	assert_true(found > 0);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(elf_is_library_name("libcuda.so"));
	assert_true(elf_is_library_name("libcuda.so.580.65.06"));
	assert_true(elf_is_library_name("ld-linux-x86-64.so.2"));
	assert_false(elf_is_library_name("nvidia_drv.so"));
	assert_false(elf_is_library_name("libcuda.a"));
	assert_false(elf_is_library_name(".libcuda.so.1.tundra0"));
	assert_false(elf_is_library_name("lib\x01.so"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	   cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_corruption), cmocka_unit_test(test_long_soname),
		cmocka_unit_test(test_io_error),   cmocka_unit_test(test_real),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
