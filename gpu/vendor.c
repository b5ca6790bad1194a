#include "gpu/vendor.h"

#include "gpu/nvidia/model/nvidia_model.h"

const struct gpu_vendor *const vendor_table[] = {
	&nvidia_vendor,
	NULL,
};

const struct gpu_vendor *vendor_find(const struct gpu_vendor *const *table, struct sv name)
{
	for (; *table; table++)
		if (sv_eqs(name, (*table)->name))
			return *table;
	return NULL;
}
