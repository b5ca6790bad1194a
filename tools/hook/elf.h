#pragma once
/*
 * As much of a shared library as the loader's cache needs: its kind and its DT_SONAME. Reads a
 * bounded number of bytes at offsets that the file names and believes none of them. No I/O of its
 * own: the caller's function fetches bytes.
 */
#include <sys/types.h>

#include "tools/hook/base.h"

enum {
	ELF_PHDRS_MAX = 128,  /* program headers looked at; libraries have about 10 */
	ELF_DYNS_MAX = 1024,  /* dynamic entries looked at; libraries have about 30 */
	ELF_SONAME_MAX = 240, /* leaves room for a temporary name around it in a folder */
	ELF_SKIP = 1, /* elf_read(): not a shared library that this hook puts into a cache */
};

/* The cache's flags (glibc's numbers): the low byte says libc6, the next the architecture. */
enum {
	ELF_FLAG_I386 = 0x0003,
	ELF_FLAG_X86_64 = 0x0303,
	ELF_FLAG_X32 = 0x0803,
	ELF_FLAG_ARM = 0x0003,
	ELF_FLAG_ARM_HARD = 0x0903,
	ELF_FLAG_ARM_SOFT = 0x0b03,
	ELF_FLAG_AARCH64 = 0x0a03,
};

struct elf_lib {
	int32_t flags;
	char soname[ELF_SONAME_MAX + 1]; /* "" when the library has none */
};

/* Like pread(): bytes read, 0 at the end, negative errno. */
typedef ssize_t (*elf_read_fn)(void *arg, void *buf, size_t len, uint64_t offset);

/*
 * 0; ELF_SKIP for anything that is not a complete little-endian shared library of a known
 * architecture; negative errno only from `fetch_fn`. A SONAME that could not be a file's name in a
 * library folder (a slash, a control character, too long) is ELF_SKIP: nothing is created from it.
 */
int elf_read(elf_read_fn fetch_fn, void *arg, struct elf_lib *lib) NODISCARD;
/* The same of an open file. */
int elf_read_fd(int fd, struct elf_lib *lib) NODISCARD;

/* "libcuda.so.1", "ld-linux-x86-64.so.2": what ldconfig takes for a library's name. */
bool elf_is_library_name(const char *name);
