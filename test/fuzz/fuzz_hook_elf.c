/* The hook's ELF reader: a SONAME that it accepts can be a file's name and nothing else. */
#include <stdint.h>
#include <string.h>

#include "tools/hook/elf.h"

struct memory {
	const uint8_t *bytes;
	size_t len, fetches;
};

static ssize_t fetch(void *arg, void *buf, size_t len, uint64_t offset)
{
	struct memory *m = arg;

	/* The work is bounded whatever the file says. */
	must(++m->fetches < 2 + ELF_PHDRS_MAX + ELF_DYNS_MAX + ELF_SONAME_MAX + 8);
	if (offset >= m->len)
		return 0;
	if (len > m->len - (size_t)offset)
		len = m->len - (size_t)offset;
	memcpy(buf, m->bytes + offset, len);
	return (ssize_t)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory m = { .bytes = data, .len = size };
	struct elf_lib lib;
	int r = elf_read(fetch, &m, &lib);

	must(r == 0 || r == ELF_SKIP);
	if (r == 0) {
		must(memchr(lib.soname, '\0', sizeof(lib.soname)));
		must(!strchr(lib.soname, '/') && lib.soname[0] != '.');
		must(lib.flags != 0);
	}
	return 0;
}
