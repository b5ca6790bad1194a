#pragma once
/* The name that programs link against, out of a shared library: DT_SONAME of a 64-bit ELF file. */
#include "core/base.h"

enum { ELF_SONAME_MAX = 127 };
/* -ENOENT: has none; -EINVAL: not a 64-bit library of this machine's byte order. */
int elf_soname(int fd, char out[ELF_SONAME_MAX + 1]) NODISCARD;
