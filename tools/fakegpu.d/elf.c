/* The smallest shared object that ldconfig, readers of DT_SONAME and dlopen accept. */
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/fakegpu.d/fakegpu.h"

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3]; /* LOAD, DYNAMIC, GNU_STACK */
	Elf64_Dyn dyn[7];
	Elf64_Sym sym[1];
	uint32_t hash[4];
	char str[128];
};

#if defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#else
#define ELF_MACHINE EM_X86_64
#endif

static void fill(struct image *m, const char *soname)
{
	static const unsigned char ident[EI_NIDENT] = { ELFMAG0,    ELFMAG1,	 ELFMAG2,   ELFMAG3,
							ELFCLASS64, ELFDATA2LSB, EV_CURRENT };

	memcpy(m->eh.e_ident, ident, sizeof(ident));
	m->eh.e_type = ET_DYN;
	m->eh.e_machine = ELF_MACHINE;
	m->eh.e_version = EV_CURRENT;
	m->eh.e_phoff = offsetof(struct image, ph);
	m->eh.e_ehsize = sizeof(m->eh);
	m->eh.e_phentsize = sizeof(m->ph[0]);
	m->eh.e_phnum = 3;
	/* One segment, file offset == address, writable because the loader relocates .dynamic. */
	m->ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_flags = PF_R | PF_W,
				 .p_filesz = sizeof(*m),
				 .p_memsz = sizeof(*m),
				 .p_align = 0x10000 };
	m->ph[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				 .p_flags = PF_R | PF_W,
				 .p_offset = offsetof(struct image, dyn),
				 .p_vaddr = offsetof(struct image, dyn),
				 .p_paddr = offsetof(struct image, dyn),
				 .p_filesz = sizeof(m->dyn),
				 .p_memsz = sizeof(m->dyn),
				 .p_align = 8 };
	m->ph[2] = (Elf64_Phdr){ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16 };
	m->hash[0] = 1; /* one bucket, empty; one chain, the null symbol */
	m->hash[1] = 1;
	snprintf(m->str + 1, sizeof(m->str) - 1, "%s", soname);
	m->dyn[0] = (Elf64_Dyn){ DT_SONAME, { 1 } };
	m->dyn[1] = (Elf64_Dyn){ DT_HASH, { offsetof(struct image, hash) } };
	m->dyn[2] = (Elf64_Dyn){ DT_STRTAB, { offsetof(struct image, str) } };
	m->dyn[3] = (Elf64_Dyn){ DT_SYMTAB, { offsetof(struct image, sym) } };
	m->dyn[4] = (Elf64_Dyn){ DT_STRSZ, { sizeof(m->str) } };
	m->dyn[5] = (Elf64_Dyn){ DT_SYMENT, { sizeof(m->sym[0]) } };
	m->dyn[6] = (Elf64_Dyn){ DT_NULL, { 0 } };
}

void put_elf(const char *path, const char *soname)
{
	struct image m;
	FILE *f;

	memset(&m, 0, sizeof(m));
	fill(&m, soname);
	put_dirs(path);
	f = fopen(path, "we");
	if (f == NULL || fwrite(&m, sizeof(m), 1, f) != 1 || fclose(f) != 0)
		die("%s: %s", path, strerror(errno));
	chmod(path, 0755);
}
