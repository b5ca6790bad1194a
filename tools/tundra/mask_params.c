#include "tools/tundra/mask_params.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/mem.h"

#define PARAMS "driver/nvidia/params"

bool mask_params_text(char *text, size_t n)
{
	static const char yes[] = "ModifyDeviceFiles: 1";
	struct sv rest = sv_make(text, n), line;

	while (rest.n) {
		line = sv_cut(&rest, '\n');
		if (sv_eqs(line, yes)) {
			text[(size_t)(line.p - text) + sizeof(yes) - 2] = '0';
			return true;
		}
	}
	return false;
}

static int cover(const char *file, const char *folder, size_t i, struct err *e)
{
	char *copy = mem_printf("%s/params.%zu", folder, i), *text;
	struct buf read;
	size_t n;
	int r;

	buf_init(&read, MASK_PARAMS_MAX);
	r = fsx_read(file, MASK_PARAMS_MAX, &read);
	n = buf_len(&read);
	text = buf_steal(&read);
	if (r == -ENOENT) {
		r = 1;
	} else if (r < 0) {
		err_sys(e, r, "cannot read %s", file);
	} else if (mask_params_text(text, n)) {
		r = fsx_mkdirs(folder, 0700);
		if (!r)
			r = fsx_replace(copy, sv_make(text, n), 0444, 0);
		if (r < 0)
			err_sys(e, r, "cannot write %s", copy);
		else if (mount(copy, file, NULL, MS_BIND, NULL) < 0)
			r = err_sys(e, -errno, "cannot mount %s over %s", copy, file);
	}
	mem_free(text);
	mem_free(copy);
	return r;
}

int mask_params(const char *proc_root, const char *folder, struct err *e)
{
	char *files[] = { mem_strdup("/proc/" PARAMS), mem_printf("%s/" PARAMS, proc_root) };
	size_t found = 0, i;
	int r = 0;

	for (i = 0; i < ARRAY_LEN(files) && r >= 0; i++) {
		r = cover(files[i], folder, i, e);
		found += r == 0;
	}
	for (i = 0; i < ARRAY_LEN(files); i++)
		mem_free(files[i]);
	if (r < 0)
		return err_wrap(e, r, "--mask-nvidia-driver-params");
	return found ? 0 : 1;
}
