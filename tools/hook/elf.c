#include "tools/hook/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

/* elf.h of older systems lacks some of these; the numbers are the ABI's. */
#define ARM_FLOAT_HARD 0x400u
#define ARM_FLOAT_SOFT 0x200u

/* One width for both classes; values as in the file. */
struct segment {
	uint32_t type;
	uint64_t offset, vaddr, filesz;
};

struct image {
	elf_read_fn fetch;
	void *arg;
	bool wide; /* ELFCLASS64 */
	uint64_t phoff;
	unsigned phnum;
	struct segment seg[ELF_PHDRS_MAX];
};

/* Exactly len bytes: 0, ELF_SKIP when the file ends before, or negative errno. */
static int fetch(const struct image *im, void *buf, size_t len, uint64_t offset)
{
	char *at = buf;
	ssize_t n;

	if (offset > INT64_MAX - len)
		return ELF_SKIP;
	while (len > 0) {
		n = im->fetch(im->arg, at, len, offset);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return ELF_SKIP;
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int flags_of(const struct image *im, unsigned machine, uint32_t eflags)
{
	switch (machine) {
	case EM_386:
		return im->wide ? 0 : ELF_FLAG_I386;
	case EM_X86_64:
		return im->wide ? ELF_FLAG_X86_64 : ELF_FLAG_X32;
	case EM_AARCH64:
		return im->wide ? ELF_FLAG_AARCH64 : 0;
	case EM_ARM:
		if (im->wide)
			return 0;
		if (eflags & ARM_FLOAT_HARD)
			return ELF_FLAG_ARM_HARD;
		return eflags & ARM_FLOAT_SOFT ? ELF_FLAG_ARM_SOFT : ELF_FLAG_ARM;
	default:
		return 0;
	}
}

static int read_header(struct image *im, struct elf_lib *lib)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} h = { .ident = { 0 } };
	unsigned phentsize;
	int r;

	r = fetch(im, &h, sizeof(h.e32), 0);
	if (r != 0)
		return r;
	if (memcmp(h.ident, ELFMAG, SELFMAG) != 0 || h.ident[EI_DATA] != ELFDATA2LSB ||
	    h.ident[EI_VERSION] != EV_CURRENT)
		return ELF_SKIP;
	im->wide = h.ident[EI_CLASS] == ELFCLASS64;
	if (im->wide) {
		r = fetch(im, &h, sizeof(h.e64), 0);
		if (r != 0)
			return r;
		im->phoff = h.e64.e_phoff;
		im->phnum = h.e64.e_phnum;
		phentsize = h.e64.e_phentsize;
		lib->flags = flags_of(im, h.e64.e_machine, h.e64.e_flags);
		r = h.e64.e_type;
	} else {
		if (h.ident[EI_CLASS] != ELFCLASS32)
			return ELF_SKIP;
		im->phoff = h.e32.e_phoff;
		im->phnum = h.e32.e_phnum;
		phentsize = h.e32.e_phentsize;
		lib->flags = flags_of(im, h.e32.e_machine, h.e32.e_flags);
		r = h.e32.e_type;
	}
	if (r != ET_DYN || lib->flags == 0 || im->phnum == 0 || im->phnum > ELF_PHDRS_MAX)
		return ELF_SKIP;
	return phentsize == (im->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ? 0 : ELF_SKIP;
}

static int read_segments(struct image *im)
{
	union {
		Elf32_Phdr p32;
		Elf64_Phdr p64;
	} p = { .p64 = { 0 } };
	size_t size = im->wide ? sizeof(p.p64) : sizeof(p.p32);
	int r;

	for (unsigned i = 0; i < im->phnum; i++) {
		if (im->phoff > INT64_MAX - i * size)
			return ELF_SKIP;
		r = fetch(im, &p, size, im->phoff + i * size);
		if (r != 0)
			return r;
		if (im->wide)
			im->seg[i] = (struct segment){ p.p64.p_type, p.p64.p_offset, p.p64.p_vaddr,
						       p.p64.p_filesz };
		else
			im->seg[i] = (struct segment){ p.p32.p_type, p.p32.p_offset, p.p32.p_vaddr,
						       p.p32.p_filesz };
	}
	return 0;
}

/* Where in the file the byte that the loader puts at `addr` lies, or -1. */
static int64_t offset_of(const struct image *im, uint64_t addr)
{
	const struct segment *s;

	for (unsigned i = 0; i < im->phnum; i++) {
		s = &im->seg[i];
		if (s->type == PT_LOAD && addr >= s->vaddr && addr - s->vaddr < s->filesz &&
		    s->offset <= (uint64_t)INT64_MAX - (addr - s->vaddr))
			return (int64_t)(s->offset + (addr - s->vaddr));
	}
	return -1;
}

/* Finds DT_STRTAB and DT_SONAME. *soname stays -1 when there is none. */
static int read_dynamic(const struct image *im, const struct segment *dyn, int64_t *strtab,
			int64_t *soname)
{
	union {
		Elf32_Dyn d32;
		Elf64_Dyn d64;
	} d = { .d64 = { 0 } };
	size_t size = im->wide ? sizeof(d.d64) : sizeof(d.d32);
	uint64_t count = dyn->filesz / size, value;
	int64_t tag;
	int r;

	*strtab = *soname = -1;
	for (uint64_t i = 0; i < count && i < ELF_DYNS_MAX; i++) {
		if (dyn->offset > INT64_MAX - i * size)
			return ELF_SKIP;
		r = fetch(im, &d, size, dyn->offset + i * size);
		if (r != 0)
			return r;
		tag = im->wide ? d.d64.d_tag : d.d32.d_tag;
		value = im->wide ? d.d64.d_un.d_val : d.d32.d_un.d_val;
		if (tag == DT_NULL)
			break;
		if (tag == DT_STRTAB)
			*strtab = offset_of(im, value);
		else if (tag == DT_SONAME && value <= INT32_MAX)
			*soname = (int64_t)value;
	}
	return *strtab < 0 ? ELF_SKIP : 0;
}

/* The name becomes a directory entry and a line in the loader's cache: plain ASCII only. */
static bool good_name(const char *name)
{
	if (name[0] == '.' || name[0] == '\0')
		return false;
	for (; *name; name++)
		if ((unsigned char)*name <= ' ' || (unsigned char)*name >= 0x7f || *name == '/')
			return false;
	return true;
}

static int read_soname(const struct image *im, uint64_t offset, struct elf_lib *lib)
{
	size_t len = 0;
	ssize_t n;

	/* The file may well end before the buffer is full. */
	while (len < sizeof(lib->soname)) {
		n = im->fetch(im->arg, lib->soname + len, sizeof(lib->soname) - len, offset + len);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return ELF_SKIP;
		if (memchr(lib->soname + len, '\0', (size_t)n))
			return good_name(lib->soname) ? 0 : ELF_SKIP;
		len += (size_t)n;
	}
	return ELF_SKIP;
}

int elf_read(elf_read_fn fetch_fn, void *arg, struct elf_lib *lib)
{
	struct image im = { .fetch = fetch_fn, .arg = arg };
	const struct segment *dyn = NULL;
	int64_t strtab, soname;
	int r;

	*lib = (struct elf_lib){ 0 };
	r = read_header(&im, lib);
	if (r == 0)
		r = read_segments(&im);
	if (r != 0)
		return r;
	for (unsigned i = 0; i < im.phnum && !dyn; i++)
		if (im.seg[i].type == PT_DYNAMIC)
			dyn = &im.seg[i];
	if (!dyn)
		return ELF_SKIP;
	r = read_dynamic(&im, dyn, &strtab, &soname);
	if (r != 0 || soname < 0)
		return r;
	if (strtab > INT64_MAX - soname - ELF_SONAME_MAX)
		return ELF_SKIP;
	return read_soname(&im, (uint64_t)(strtab + soname), lib);
}

/* Headers, dynamic section and its strings are a few places: one read for each, not per entry. */
struct window {
	int fd;
	uint64_t start;
	size_t len;
	char bytes[4096];
};

static ssize_t fetch_fd(void *arg, void *buf, size_t len, uint64_t offset)
{
	struct window *w = arg;
	ssize_t n;

	if (offset < w->start || offset >= w->start + w->len) {
		do
			n = pread(w->fd, w->bytes, sizeof(w->bytes), (off_t)offset);
		while (n < 0 && errno == EINTR);
		w->start = offset;
		w->len = n > 0 ? (size_t)n : 0;
		if (n <= 0)
			return n < 0 ? -errno : 0;
	}
	if (len > w->len - (size_t)(offset - w->start))
		len = w->len - (size_t)(offset - w->start);
	memcpy(buf, w->bytes + (offset - w->start), len);
	return (ssize_t)len;
}

int elf_read_fd(int fd, struct elf_lib *lib)
{
	struct window w = { .fd = fd };

	return elf_read(fetch_fd, &w, lib);
}

bool elf_is_library_name(const char *name)
{
	static const char *const starts[] = { "lib", "ld-", "ld.so.", "ld64.so." };
	size_t i = 0;

	while (i < ARRAY_LEN(starts) && strncmp(name, starts[i], strlen(starts[i])) != 0)
		i++;
	return i < ARRAY_LEN(starts) && strstr(name, ".so") && good_name(name);
}
