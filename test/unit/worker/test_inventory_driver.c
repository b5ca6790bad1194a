/* The inventory and its driver, which hangs, lies, comes, goes and is replaced. */
#include "test/unit/worker/inventory_world.h"

static void test_driver_525(void **state)
{
	struct world *w = world_new(node_new("--profile a100 --count 2 --driver 525.147.05"));

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 2);
	assert_string_equal(device_attribute(device(w, "gpu-0"), "", "driverVersion")->s,
			    "525.147.5");
	assert_null(device_attribute(device(w, "gpu-0"), "", "addressingMode"));
	assert_string_equal(device_attribute(device(w, "gpu-0"), "", "architecture")->s, "Ampere");
	world_free(w);
}

static void test_nonsense(void **state)
{
	static const char *const functions[] = { "nvmlDeviceGetUUID", "nvmlDeviceGetPciInfo_v3",
						 "nvmlDeviceGetMinorNumber",
						 "nvmlSystemGetDriverVersion" };
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct world *w = world_new(node_new("--profile h100 --count 2"));

		node_do(w->node, "fault wrong --byte 255 --fn %s %s", functions[i],
			i < 3 ? "--gpu minor:1" : "");
		world_start(w);
		if (i < 3) {
			UNTIL(w, ready(w));
			assert_int_equal(usable(w), 1);
			assert_true(*device(w, "gpu-1")->trouble);
		} else {
			UNTIL(w, inventory_state(w->inv) == INVENTORY_TROUBLE);
			assert_non_null(strstr(inventory_reason(w->inv), "driver version"));
		}
		world_free(w);
	}
}

static void test_hanging_init(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	w->open_ms = 700;
	node_do(w->node, "fault hang --fn nvmlInitWithFlags");
	world_start(w);
	UNTIL(w, inventory_state(w->inv) == INVENTORY_TROUBLE);
	assert_non_null(strstr(inventory_reason(w->inv), "did not open within 0.7 s"));
	node_do(w->node, "clear");
	UNTIL(w, ready(w));
	assert_int_equal(usable(w), 2);
	world_free(w);
}

static void test_trouble_keeps_devices(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));

	(void)state;
	w->open_ms = 500;
	world_start(w);
	UNTIL(w, ready(w));
	node_do(w->node, "fault hang --fn nvmlInitWithFlags");
	inventory_rescan(w->inv, "test");
	UNTIL(w, inventory_state(w->inv) == INVENTORY_TROUBLE);
	assert_int_equal(usable(w), 2);
	assert_int_equal(w->devices_changed, 1);
	node_do(w->node, "clear");
	UNTIL(w, ready(w));
	assert_int_equal(w->devices_changed, 1);
	world_free(w);
}

static void test_driver_comes_later(void **state)
{
	struct world *w = world_new(node_empty());
	uint64_t began;

	(void)state;
	world_start(w);
	UNTIL(w, inventory_state(w->inv) == INVENTORY_NO_DRIVER);
	assert_non_null(strstr(inventory_reason(w->inv), "run/nvidia/driver (driver container)"));
	assert_non_null(strstr(inventory_reason(w->inv), "/usr/lib/wsl/lib"));
	turn_for(w, 1000);
	node_do(w->node, "make --mknod --profile t4 --count 1");
	began = loop_now_ms(w->loop);
	UNTIL(w, ready(w));
	assert_true(loop_now_ms(w->loop) - began < 12000);
	assert_int_equal(usable(w), 1);
	world_free(w);
}

static void test_driver_goes_and_comes(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	uint64_t began;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	/* The library must not be asked: opening its node would load the kernel's driver again. */
	node_do(w->node, "fault crash --fn nvmlInitWithFlags");
	node_do(w->node, "unload");
	began = loop_now_ms(w->loop);
	UNTIL(w, inventory_state(w->inv) == INVENTORY_NO_DRIVER);
	assert_true(loop_now_ms(w->loop) - began < 4000);
	assert_non_null(strstr(inventory_reason(w->inv), "unloaded from the kernel"));
	assert_int_equal(usable(w), 2); /* their end is the publisher's to decide */
	turn_for(w, 2500);		/* a retry or two */
	assert_int_equal(worker_starts(w), 1);
	node_do(w->node, "clear");
	node_do(w->node, "load");
	UNTIL(w, ready(w));
	assert_int_equal(w->devices_changed, 1);
	world_free(w);
}

static void test_driver_upgrade(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	slab_handle handle;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	handle = device(w, "gpu-0")->handle;
	node_do(w->node, "reload --driver 590.44.01");
	UNTIL(w, ready(w) && strcmp(device_attribute(device(w, "gpu-0"), "", "driverVersion")->s,
				    "590.44.1") == 0);
	assert_int_equal(device(w, "gpu-0")->handle, handle);
	assert_int_equal(usable(w), 2);
	world_free(w);
}

/*
 * An update half done: the kernel has a newer driver than the library. Nobody can use the GPUs, so
 * they end as with no driver; the new library is loaded by a new process.
 */
static void test_driver_half_updated(void **state)
{
	static const char rename[] = "cd '%s'/usr/lib/*-linux-gnu && mv libnvidia-ml.so.%s "
				     "libnvidia-ml.so.%s && ln -sfn libnvidia-ml.so.%s "
				     "libnvidia-ml.so.1";
	const char *old = "580.65.06", *new = "590.44.01";
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	char command[512];
	uint64_t starts;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	starts = worker_starts(w);
	node_do(w->node, "reload --driver %s", new);
	snprintf(command, sizeof(command), rename, w->node->root, new, old, old);
	assert_int_equal(system(command), 0);
	UNTIL(w, inventory_state(w->inv) == INVENTORY_NO_DRIVER);
	assert_non_null(strstr(inventory_reason(w->inv), "libnvidia-ml.so.580.65.06"));
	assert_non_null(strstr(inventory_reason(w->inv), "version"));
	assert_int_equal(usable(w), 2); /* their end is the publisher's to decide */
	snprintf(command, sizeof(command), rename, w->node->root, old, new, new);
	assert_int_equal(system(command), 0);
	UNTIL(w, ready(w) && strcmp(device_attribute(device(w, "gpu-0"), "", "driverVersion")->s,
				    "590.44.1") == 0);
	assert_true(worker_starts(w) > starts); /* and the count went on, process by process */
	world_free(w);
}

static void test_worker_killed(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	int64_t pid;

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	pid = worker_pid(w);
	kill((pid_t)pid, SIGKILL);
	turn_for(w, 300);
	assert_true(ready(w));
	inventory_rescan(w->inv, "test");
	UNTIL(w, worker_starts(w) == 2 && worker_pid(w) > 0 && worker_pid(w) != pid);
	turn_for(w, 500);
	assert_int_equal(w->devices_changed, 1);
	assert_int_equal(w->state_changed, 1);
	world_free(w);
}

static void test_freed_in_the_middle(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	unsigned i;

	(void)state;
	node_do(w->node, "fault slow --ms 40");
	world_start(w);
	for (i = 0; i < 5; i++)
		loop_turn(w->loop, 20);
	world_free(w);
}

static void test_idle(void **state)
{
	struct world *w = world_new(node_new("--profile h100 --count 2"));
	uint64_t turns;
	char command[256];

	(void)state;
	world_start(w);
	UNTIL(w, ready(w));
	turn_for(w, 500);
	snprintf(command, sizeof(command), "! ls -l /proc/%d/fd | grep nvidia", (int)worker_pid(w));
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "! grep nvidia-ml /proc/%d/maps", (int)worker_pid(w));
	assert_int_equal(system(command), 0);
	turns = loop_stats(w->loop)->turns;
	assert_true(loop_turn(w->loop, 2000));
	assert_int_equal(loop_stats(w->loop)->turns, turns + 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_driver_525),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_hanging_init),
		cmocka_unit_test(test_trouble_keeps_devices),
		cmocka_unit_test(test_driver_comes_later),
		cmocka_unit_test(test_driver_goes_and_comes),
		cmocka_unit_test(test_driver_upgrade),
		cmocka_unit_test(test_driver_half_updated),
		cmocka_unit_test(test_worker_killed),
		cmocka_unit_test(test_freed_in_the_middle),
		cmocka_unit_test(test_idle),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: device nodes are made\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
