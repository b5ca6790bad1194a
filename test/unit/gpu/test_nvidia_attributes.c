/* The table behind the reference page against what is really published. */
#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/buf.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/model/nvidia_attributes.h"
#include "gpu/nvidia/model/nvidia_model.h"

/* A GPU that has everything. */
static void everything(struct nvidia_gpu *g)
{
	*g = (struct nvidia_gpu){ .brand = 14,
				  .architecture = 9,
				  .cc_major = 9,
				  .minor = 0,
				  .memory_total = 1ull << 36,
				  .numa = 1,
				  .addressing = 1,
				  .ecc = 1,
				  .mig_mode = 0,
				  .switched = true };
	snprintf(g->uuid, sizeof(g->uuid), "GPU-1");
	snprintf(g->name, sizeof(g->name), "NVIDIA H200");
	snprintf(g->serial, sizeof(g->serial), "165");
	snprintf(g->pci, sizeof(g->pci), "0000:1b:00.0");
	snprintf(g->path, sizeof(g->path),
		 "pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:00.0/0000:1b:00.0");
}

static size_t row_of(const char *domain, const char *name, bool capacity)
{
	for (size_t i = 0; i < nvidia_attributes_n; i++)
		if (!strcmp(nvidia_attributes[i].domain, domain) &&
		    !strcmp(nvidia_attributes[i].name, name) &&
		    nvidia_attributes[i].capacity == capacity)
			return i;
	fail_msg("%s/%s is published and not in the table", domain, name);
	return 0;
}

static void compare(const struct gpu_device *d, bool extras)
{
	bool seen[64] = { false };

	assert_true(nvidia_attributes_n <= ARRAY_LEN(seen));
	for (size_t i = 0; i < d->attributes_n; i++) {
		size_t row = row_of(d->attributes[i].domain, d->attributes[i].name, false);

		seen[row] = true;
		assert_int_equal(nvidia_attributes[row].kind, d->attributes[i].kind);
		assert_int_equal(nvidia_attributes[row].extra, d->attributes[i].extra);
	}
	for (size_t i = 0; i < d->capacities_n; i++)
		seen[row_of("", d->capacities[i].name, true)] = true;
	for (size_t i = 0; i < nvidia_attributes_n; i++)
		if (seen[i] != (extras || !nvidia_attributes[i].extra))
			fail_msg("%s is in the table, published: %d", nvidia_attributes[i].name,
				 seen[i]);
}

static void test_table(void **state)
{
	struct nvidia_system s = { "580.65.06", 13000, 1, 0, 0 };
	struct nvidia_gpu g;

	(void)state;
	everything(&g);
	for (int extras = 0; extras < 2; extras++) {
		struct gpu_device d = { .minor = 0 };
		struct gpu_found found = { .device = &d };
		struct buf system, gpu;

		memcpy(d.pci, g.pci, sizeof(d.pci));
		buf_init(&system, 1 << 16);
		buf_init(&gpu, 1 << 16);
		nvidia_system_put(&system, &s);
		nvidia_gpu_put(&gpu, &g);
		found.facts = buf_sv(&gpu);
		nvidia_model(buf_sv(&system), &found, 1, extras);
		assert_string_equal(d.trouble, "");
		compare(&d, extras);
		device_done(&d);
		buf_done(&system);
		buf_done(&gpu);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
