/* Library files of a driver root, read for their SONAME. */
#include <sys/mman.h>
#include <unistd.h>

#include "gpu/nvidia/worker/elf_soname.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[ELF_SONAME_MAX + 1];
	int fd = memfd_create("elf", MFD_CLOEXEC);

	must(fd >= 0);
	if (write(fd, data, size) == (ssize_t)size) {
		if (elf_soname(fd, out) == 0)
			must(*out && strlen(out) <= ELF_SONAME_MAX && !strchr(out, '/'));
		else
			must(!*out);
	}
	close(fd);
	return 0;
}
