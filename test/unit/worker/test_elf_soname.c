#include <errno.h>
#include <sys/mman.h>

#include "test/unit/worker/tree.h"

#include "core/base.h"
#include "gpu/nvidia/worker/elf_soname.h"
#include "test/unit/worker/elf_make.h"

static int soname_of(const void *bytes, size_t n, char out[ELF_SONAME_MAX + 1])
{
	int fd = memfd_create("elf", MFD_CLOEXEC), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	r = elf_soname(fd, out);
	close(fd);
	return r;
}

static void test_found(void **state)
{
	char out[ELF_SONAME_MAX + 1];
	struct elf_make e;

	(void)state;
	elf_make(&e, "libcuda.so.1");
	assert_int_equal(soname_of(&e, sizeof(e), out), 0);
	assert_string_equal(out, "libcuda.so.1");
}

/* A library of this very system, made by a real linker. */
static void test_real(void **state)
{
	static const char *const places[] = { "/lib/x86_64-linux-gnu/libc.so.6",
					      "/lib/aarch64-linux-gnu/libc.so.6",
					      "/lib64/libc.so.6" };
	char out[ELF_SONAME_MAX + 1];
	int fd = -1;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(places) && fd < 0; i++)
		fd = open(places[i], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		skip();
	assert_int_equal(elf_soname(fd, out), 0);
	assert_string_equal(out, "libc.so.6");
	close(fd);
}

static void test_refused(void **state)
{
	char out[ELF_SONAME_MAX + 1];
	struct elf_make e;
	unsigned i;

	(void)state;
	for (i = 0; i < 13; i++) {
		elf_make(&e, "libx.so.1");
		switch (i) {
		case 0:
			e.head.e_ident[0] = 'x';
			break;
		case 1:
			e.head.e_ident[EI_CLASS] = ELFCLASS32;
			break;
		case 2:
			e.head.e_phnum = UINT16_MAX;
			break;
		case 3:
			e.head.e_phentsize = 1;
			break;
		case 4:
			e.head.e_phoff = UINT64_MAX - 8;
			break;
		case 5:
			e.segments[1].p_type = PT_NOTE;
			break;
		case 6:
			e.segments[1].p_offset = UINT64_MAX - 8;
			break;
		case 7:
			e.dynamic[0].d_tag = DT_NULL;
			break;
		case 8:
			e.dynamic[0].d_un.d_val = UINT64_MAX;
			break;
		case 9:
			e.dynamic[1].d_un.d_ptr = 1; /* in no segment */
			break;
		case 10:
			e.segments[0].p_offset = UINT64_MAX; /* wraps */
			break;
		case 11:
			memcpy(e.strings + 1, "../x", 5);
			break;
		case 12:
			e.strings[1] = '\0';
			break;
		}
		assert_true(soname_of(&e, sizeof(e), out) < 0);
		assert_string_equal(out, "");
	}
}

static void test_every_cut(void **state)
{
	char out[ELF_SONAME_MAX + 1];
	struct elf_make e;
	size_t n;

	(void)state;
	elf_make(&e, "libx.so.1");
	for (n = 0; n < offsetof(struct elf_make, strings) + 11; n++)
		assert_true(soname_of(&e, n, out) < 0);
	assert_int_equal(soname_of(&e, n, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
