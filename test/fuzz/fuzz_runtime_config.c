/* Whatever a runtime's configuration holds: bounded counts, terminated text. */
#include "core/mem.h"
#include "test/fuzz/fuzz.h"
#include "tools/tundra/runtime_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct runtime_config *c = MEM_NEW(struct runtime_config);

	runtime_config_add(c, sv_make(data, size));
	must(c->dirs_n <= RUNTIME_DIRS_MAX && c->imports_n <= RUNTIME_DIRS_MAX);
	for (size_t i = 0; i < c->dirs_n; i++)
		must(strlen(c->dirs[i]) <= RUNTIME_PATH_MAX);
	(void)runtime_config_reads(c, "/var/run/cdi");
	mem_free(c);
	return 0;
}
