/* The inventory and its GPUs: what a node's slices follow. */
#include "test/unit/worker/inventory_world.h"

static void test_eight_gpus(void **state)
{
	struct world *w = world_new(node_new("--profile h100"));
	const struct gpu_edits *common;
	const char *last = "";
	unsigned i;
	char name[16];

	(void)state;
	world_start(w);
	assert_int_equal(inventory_state(w->inv), INVENTORY_STARTING);
	assert_null(inventory_common_edits(w->inv, &nvidia_vendor));
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 8);
	assert_string_equal(inventory_reason(w->inv), "");
	list_for_each (at, inventory_devices(w->inv)) {
		struct gpu_device *d = list_entry(at, struct gpu_device, node);

		assert_true(strcmp(last, d->pci) < 0); /* in order of address */
		last = d->pci;
		assert_ptr_equal(inventory_get(w->inv, d->handle), d);
		assert_int_equal(d->handle, d->physical);
		assert_string_equal(device_attribute(d, "", "productName")->s,
				    "NVIDIA H100 80GB HBM3");
		assert_string_equal(device_attribute(d, NVIDIA_EXTRA_DOMAIN, "nvlinkIsland")->s,
				    "nvswitch");
		assert_true(d->edits.nodes_n >= 1);
	}
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "gpu-%u", i);
		assert_non_null(device(w, name));
		assert_int_equal(device(w, name)->minor, i);
		assert_ptr_equal(inventory_by_identity(w->inv, sv_str(device(w, name)->pci),
						       sv_str(device(w, name)->uuid)),
				 device(w, name));
	}
	common = inventory_common_edits(w->inv, &nvidia_vendor);
	assert_non_null(common);
	assert_true(common->mounts_n > 30 && common->nodes_n == 4 && common->hooks_n == 5);
	assert_int_equal(w->devices_changed, 1);
	assert_int_equal(w->state_changed, 1);
	world_free(w);
}

static void test_nothing_new(void **state)
{
	struct world *w = world_new(node_new("--profile l40s --count 2"));
	int64_t pid;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	pid = worker_pid(w);
	inventory_rescan(w->inv, "test");
	inventory_rescan(w->inv, "test");
	turn_for(w, 600);
	assert_int_equal(w->devices_changed, 1);
	assert_int_equal(w->state_changed, 1);
	assert_int_equal(worker_pid(w), pid);
	assert_int_equal(worker_starts(w), 1);
	world_free(w);
}

static void test_hot_plug(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 4"));
	slab_handle handle;
	uint64_t began;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	handle = device(w, "gpu-1")->handle;
	node_do(w->node, "unplug --gpu minor:1");
	began = loop_now_ms(w->loop);
	UNTIL(w, usable(w) == 3);
	assert_true(loop_now_ms(w->loop) - began <
		    4000); /* busy machine; 1 s is proven on virtual time */
	assert_false(inventory_get(w->inv, handle)->present);
	node_do(w->node, "plug --gpu minor:1");
	UNTIL(w, usable(w) == 4);
	/* The same GPU is the same device. */
	assert_ptr_equal(inventory_get(w->inv, handle), device(w, "gpu-1"));
	assert_int_equal(w->state_changed, 1);
	world_free(w);
}

static void test_island_is_steady(void **state)
{
	struct world *w = world_new(node_new("--profile a100 --count 4 --nvlink pairs"));
	char island[GPU_TEXT_MAX + 1];

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	memcpy(island, device_attribute(device(w, "gpu-0"), NVIDIA_EXTRA_DOMAIN, "nvlinkIsland")->s,
	       sizeof(island));
	node_do(w->node, "set --gpu 0 links-down=4095");
	node_do(w->node, "set --gpu 1 links-down=4095");
	node_do(w->node, "set --gpu 2 links-down=4095");
	node_do(w->node, "set --gpu 3 links-down=4095");
	inventory_rescan(w->inv, "test");
	turn_for(w, 800);
	assert_string_equal(
	    device_attribute(device(w, "gpu-0"), NVIDIA_EXTRA_DOMAIN, "nvlinkIsland")->s, island);
	assert_int_equal(w->devices_changed, 1);
	world_free(w);
}

static void islands(struct world *w, char out[4][GPU_TEXT_MAX + 1])
{
	char name[16];

	for (unsigned i = 0; i < 4; i++) {
		const struct gpu_attribute *a;

		snprintf(name, sizeof(name), "gpu-%u", i);
		if (!inventory_by_name(w->inv, sv_str(name)))
			continue;
		a = device_attribute(device(w, name), NVIDIA_EXTRA_DOMAIN, "nvlinkIsland");
		snprintf(out[i], sizeof(out[i]), "%s", a->s);
	}
}

/* Whichever of them goes, also while nobody looked: those that stay are called as before. */
static void test_island_outlives_its_members(void **state)
{
	static char before[4][GPU_TEXT_MAX + 1], after[4][GPU_TEXT_MAX + 1];
	struct world *w = world_new(node_new("--profile a100 --count 4 --nvlink pairs"));

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	islands(w, before);
	assert_true(before[0][0]);
	for (unsigned i = 0; i < 4; i++) {
		node_do(w->node, "unplug --gpu minor:%u", i);
		UNTIL(w, usable(w) == 3);
		islands(w, after);
		assert_memory_equal(after, before, sizeof(before));
		inventory_free(&w->inv);
		world_start(w);
		UNTIL(w, ready(w));
		assert_int_equal(usable(w), 3);
		islands(w, after);
		assert_memory_equal(after, before, sizeof(before));
		node_do(w->node, "plug --gpu minor:%u", i);
		UNTIL(w, usable(w) == 4);
		islands(w, after);
		assert_memory_equal(after, before, sizeof(before));
	}
	world_free(w);
}

static void test_uevent(void **state)
{
	static const char event[] = "unbind@/devices/pci\0ACTION=unbind\0DEVPATH=/devices/pci\0"
				    "SUBSYSTEM=pci\0PCI_SLOT_NAME=%s";
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	char bytes[256], pci[16];
	size_t n = 0;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	snprintf(pci, sizeof(pci), "%s", device(w, "gpu-0")->pci);
	node_do(w->node, "fault lost --gpu minor:0");
	turn_for(w, 500);
	assert_int_equal(usable(w), 2);
	/* A network card's event moves nothing. */
	memcpy(bytes, event, sizeof(event));
	n = sizeof(event) - 3;
	memcpy(bytes + n, "0000:99:00.0", 13);
	assert_true(send(w->uevents[0], bytes, n + 13, 0) > 0);
	turn_for(w, 1000);
	assert_int_equal(usable(w), 2);
	memcpy(bytes + n, pci, strlen(pci) + 1);
	assert_true(send(w->uevents[0], bytes, n + strlen(pci) + 1, 0) > 0);
	UNTIL(w, usable(w) == 1);
	assert_true(device(w, "gpu-0")->present);
	assert_non_null(strstr(device(w, "gpu-0")->trouble, "lost"));
	assert_true(device(w, "gpu-0")->edits.nodes_n > 0); /* still says which nodes are its */
	node_do(w->node, "clear");
	assert_true(send(w->uevents[0], bytes, n + strlen(pci) + 1, 0) > 0);
	UNTIL(w, usable(w) == 2);
	assert_string_equal(device(w, "gpu-0")->trouble, "");
	world_free(w);
}

static void test_hanging_gpu(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 4"));

	(void)state;
	w->query_ms = 700;
	node_do(w->node, "fault hang --gpu minor:2 --fn nvmlDeviceGetMemoryInfo");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 3);
	assert_non_null(device(w, "gpu-2"));
	assert_non_null(strstr(device(w, "gpu-2")->trouble, "did not answer"));
	node_do(w->node, "clear");
	inventory_rescan(w->inv, "test");
	UNTIL(w, usable(w) == 4);
	world_free(w);
}

static void test_crashing_gpu(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 3"));

	(void)state;
	node_do(w->node, "fault crash --gpu minor:1 --fn nvmlDeviceGetName");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 2);
	assert_non_null(strstr(device(w, "gpu-1")->trouble, "crashed"));
	world_free(w);
}

static void test_hang_of_a_known_gpu(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	w->query_ms = 700;
	world_start(w);
	UNTIL(w, ready(w));
	node_do(w->node, "fault hang --gpu minor:1 --fn nvmlDeviceGetName --times 1");
	inventory_rescan(w->inv, "test");
	turn_for(w, 2500);
	assert_int_equal(usable(w), 2);
	assert_int_equal(w->devices_changed, 1);
	assert_true(ready(w));
	world_free(w);
}

static void test_passing_error(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	node_do(w->node, "fault fail --rc UNKNOWN --gpu minor:1 --fn nvmlDeviceGetUUID --times 2");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 2);
	world_free(w);
}

static void test_lasting_error(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	node_do(w->node, "fault fail --rc RESET_REQUIRED --gpu minor:1");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 1);
	assert_non_null(strstr(device(w, "gpu-1")->trouble, "(NVML error 16)"));
	world_free(w);
}

static void test_no_gpus(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 1"));

	(void)state;
	node_do(w->node, "unplug --gpu 0");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 0);
	assert_true(list_empty(inventory_devices(w->inv)));
	assert_non_null(inventory_common_edits(w->inv, &nvidia_vendor));
	world_free(w);
}

static void test_mig_mode(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	node_do(w->node, "set --gpu minor:0 mig=1");
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 1);
	assert_non_null(strstr(device(w, "gpu-0")->trouble, "MIG mode is on"));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eight_gpus),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_hot_plug),
		cmocka_unit_test(test_island_is_steady),
		cmocka_unit_test(test_island_outlives_its_members),
		cmocka_unit_test(test_uevent),
		cmocka_unit_test(test_hanging_gpu),
		cmocka_unit_test(test_crashing_gpu),
		cmocka_unit_test(test_hang_of_a_known_gpu),
		cmocka_unit_test(test_passing_error),
		cmocka_unit_test(test_lasting_error),
		cmocka_unit_test(test_no_gpus),
		cmocka_unit_test(test_mig_mode),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: device nodes are made\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
