#pragma once
/* The smallest shared library that has a SONAME; fields can be bent after. */
#include <elf.h>
#include <stdint.h>
#include <string.h>

enum { ELF_MAKE_STRINGS = 64 };
struct elf_make {
	Elf64_Ehdr head;
	Elf64_Phdr segments[2];
	Elf64_Dyn dynamic[3];
	char strings[ELF_MAKE_STRINGS];
};

static inline void elf_make(struct elf_make *e, const char *soname)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->head.e_ident, ELFMAG, SELFMAG);
	e->head.e_ident[EI_CLASS] = ELFCLASS64;
	e->head.e_ident[EI_DATA] =
	    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	e->head.e_type = ET_DYN;
	e->head.e_phoff = offsetof(struct elf_make, segments);
	e->head.e_phentsize = sizeof(Elf64_Phdr);
	e->head.e_phnum = 2;
	/* Loaded 0x1000 above its place in the file, as linkers like it. */
	e->segments[0] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof(*e), .p_memsz = sizeof(*e)
	};
	e->segments[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				       .p_offset = offsetof(struct elf_make, dynamic),
				       .p_filesz = sizeof(e->dynamic) };
	e->dynamic[0] = (Elf64_Dyn){ .d_tag = DT_SONAME, .d_un.d_val = 1 };
	e->dynamic[1] = (Elf64_Dyn){ .d_tag = DT_STRTAB,
				     .d_un.d_ptr = 0x1000 + offsetof(struct elf_make, strings) };
	strncpy(e->strings + 1, soname, sizeof(e->strings) - 2);
}
