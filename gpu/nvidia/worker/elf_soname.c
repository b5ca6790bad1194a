#include "gpu/nvidia/worker/elf_soname.h"

#include <elf.h>
#include <errno.h>
#include <unistd.h>

enum {
	ELF_SEGMENTS_MAX = 64,	/* a library has about ten */
	ELF_DYNAMIC_MAX = 1024, /* entries; a library has about forty */
};

struct elf_file {
	int fd;
	Elf64_Phdr segments[ELF_SEGMENTS_MAX];
	size_t segments_n;
};

static int elf_read(int fd, uint64_t at, void *to, size_t n)
{
	ssize_t got;

	if (at > INT64_MAX)
		return -EINVAL;
	got = pread(fd, to, n, (off_t)at);
	if (got < 0)
		return -errno;
	return (size_t)got == n ? 0 : -EINVAL;
}

static int elf_segments(struct elf_file *f)
{
	const unsigned char data =
	    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	Elf64_Ehdr head;
	int r;

	r = elf_read(f->fd, 0, &head, sizeof(head));
	if (r < 0)
		return r;
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    head.e_ident[EI_DATA] != data || head.e_phentsize != sizeof(Elf64_Phdr) ||
	    head.e_phnum > ELF_SEGMENTS_MAX)
		return -EINVAL;
	f->segments_n = head.e_phnum;
	return elf_read(f->fd, head.e_phoff, f->segments, f->segments_n * sizeof(Elf64_Phdr));
}

/* Where in the file an address of the loaded image is. */
static int elf_offset(const struct elf_file *f, uint64_t address, uint64_t *out)
{
	const Elf64_Phdr *s;
	size_t i;

	for (i = 0; i < f->segments_n; i++) {
		s = &f->segments[i];
		if (s->p_type != PT_LOAD || address < s->p_vaddr ||
		    address - s->p_vaddr >= s->p_filesz)
			continue;
		*out = s->p_offset + (address - s->p_vaddr);
		return 0;
	}
	return -EINVAL;
}

/* DT_STRTAB's address and DT_SONAME's offset in it. */
static int elf_dynamic(const struct elf_file *f, uint64_t *strtab, uint64_t *soname)
{
	const Elf64_Phdr *dynamic = NULL;
	bool have_strtab = false, have_soname = false;
	Elf64_Dyn d;
	size_t i;
	int r;

	for (i = 0; i < f->segments_n && !dynamic; i++)
		if (f->segments[i].p_type == PT_DYNAMIC)
			dynamic = &f->segments[i];
	if (!dynamic)
		return -ENOENT;
	for (i = 0; i < ELF_DYNAMIC_MAX && (i + 1) * sizeof(d) <= dynamic->p_filesz; i++) {
		r = elf_read(f->fd, dynamic->p_offset + i * sizeof(d), &d, sizeof(d));
		if (r < 0)
			return r;
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_STRTAB) {
			*strtab = d.d_un.d_ptr;
			have_strtab = true;
		} else if (d.d_tag == DT_SONAME) {
			*soname = d.d_un.d_val;
			have_soname = true;
		}
	}
	return have_strtab && have_soname ? 0 : -ENOENT;
}

int elf_soname(int fd, char out[ELF_SONAME_MAX + 1])
{
	struct elf_file f = { .fd = fd };
	uint64_t strtab = 0, soname = 0, at = 0;
	ssize_t n;
	int r;

	out[0] = '\0';
	r = elf_segments(&f);
	if (r == 0)
		r = elf_dynamic(&f, &strtab, &soname);
	if (r == 0)
		r = elf_offset(&f, strtab, &at);
	if (r < 0)
		return r;
	if (at > INT64_MAX || soname > INT32_MAX)
		return -EINVAL;
	n = pread(fd, out, ELF_SONAME_MAX + 1, (off_t)(at + soname));
	if (n < 0)
		return -errno;
	if (n == 0 || !memchr(out, 0, (size_t)n) || strchr(out, '/')) {
		out[0] = '\0';
		return -EINVAL;
	}
	return out[0] ? 0 : -ENOENT;
}
