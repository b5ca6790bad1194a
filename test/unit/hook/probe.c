/*
 * Run inside a container root by test_chroot: loads a library by name, as an application does,
 * and prints where the loader found it.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct link_map *map = NULL;
	void *handle, *symbol;
	int (*sample)(void);

	if (argc < 2)
		return 2;
	handle = dlopen(argv[1], RTLD_NOW);
	if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	symbol = dlsym(handle, "tundra_sample");
	if (!symbol)
		return 3;
	memcpy(&sample, &symbol, sizeof(sample));
	printf("%d %s\n", sample(), map->l_name);
	return 0;
}
