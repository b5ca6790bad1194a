/*
 * The inventory with its real worker process on fake hardware: what a node's slices follow. The
 * loop's clock is the real one; each wait is bounded.
 */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "test/unit/worker/node.h"

#include "core/loop.h"
#include "core/worker.h"
#include "gpu/inventory.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "gpu/worker_args.h"

enum { WAIT_MS = 20000 };

struct world {
	struct fake_node *node;
	struct loop *loop;
	struct worker_exec *exec;
	struct worker_host host;
	struct inventory *inv;
	const char *args[WORKER_ROOTS_ARGS + 1];
	int uevents[2]; /* ours, the inventory's */
	unsigned devices_changed, state_changed;
	uint32_t query_ms, open_ms;
};

static void on_change(void *arg, unsigned changed)
{
	struct world *w = arg;

	w->devices_changed += !!(changed & INVENTORY_CHANGED_DEVICES);
	w->state_changed += !!(changed & INVENTORY_CHANGED_STATE);
}

static struct world *world_new(struct fake_node *node)
{
	struct world *w = MEM_NEW(struct world);

	w->node = node;
	w->loop = loop_new();
	worker_args_write(&node->roots, w->args);
	w->exec = worker_exec_new(TEST_BINARY_DIR "/bin/tundra-worker", w->args);
	w->host = worker_exec_host(w->exec);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, w->uevents), 0);
	return w;
}

static void world_start(struct world *w)
{
	struct inventory_conf conf = { .roots = &w->node->roots,
				       .host = &w->host,
				       .extras = true,
				       .uevent_fd = w->uevents[1],
				       .query_ms = w->query_ms,
				       .open_ms = w->open_ms };

	w->inv = inventory_new(w->loop, &conf);
	inventory_listen(w->inv, on_change, w);
	inventory_start(w->inv);
}

static void world_free(struct world *w)
{
	inventory_free(&w->inv);
	worker_exec_free(&w->exec);
	loop_free(&w->loop);
	close(w->uevents[0]);
	close(w->uevents[1]);
	node_free(w->node);
	mem_free(w);
}

#define UNTIL(w, condition)                                                                        \
	do {                                                                                       \
		uint64_t until_ = loop_now_ms((w)->loop) + WAIT_MS;                                \
		while (!(condition)) {                                                             \
			if (loop_now_ms((w)->loop) > until_)                                       \
				fail_msg("never: %s; state %d %s", #condition,                     \
					 inventory_state((w)->inv), inventory_reason((w)->inv));   \
			loop_turn((w)->loop, 50);                                                  \
		}                                                                                  \
	} while (0)

static void turn_for(struct world *w, uint64_t ms)
{
	uint64_t until = loop_now_ms(w->loop) + ms;

	while (loop_now_ms(w->loop) < until)
		loop_turn(w->loop, 20);
}

static bool ready(struct world *w)
{
	return inventory_state(w->inv) == INVENTORY_READY;
}

static struct gpu_device *device(struct world *w, const char *name)
{
	return inventory_by_name(w->inv, sv_str(name));
}

static unsigned usable(struct world *w)
{
	unsigned n = 0;

	list_for_each (at, inventory_devices(w->inv)) {
		struct gpu_device *d = list_entry(at, struct gpu_device, node);

		n += d->present && !*d->trouble;
	}
	return n;
}

static int64_t worker_pid(struct world *w)
{
	struct inventory_worker worker;

	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	return worker.stats->pid;
}

static uint64_t worker_starts(struct world *w)
{
	struct inventory_worker worker;

	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	return worker.stats->starts;
}

/* ---- */

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

/* Looking again finds the same and tells nobody; no worker comes or goes. */
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
	assert_true(loop_now_ms(w->loop) - began < 1500); /* sanitizers and two cores */
	assert_false(inventory_get(w->inv, handle)->present);
	node_do(w->node, "plug --gpu minor:1");
	UNTIL(w, usable(w) == 4);
	/* The same GPU is the same device. */
	assert_ptr_equal(inventory_get(w->inv, handle), device(w, "gpu-1"));
	assert_int_equal(w->state_changed, 1);
	world_free(w);
}

/* A bridge that is down for a while does not change what claims were allocated by. */
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

/* No file changes: only the kernel's event tells. */
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

/* One GPU cannot be asked; the others are there all the same, and before it. */
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

/* A known GPU that hangs once stays published; twice, and it does not. */
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

/* What the library answers may be nonsense; what is published is well-formed or nothing. */
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

/* What is published stays while the driver does not answer; only the state says so. */
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
	assert_true(loop_now_ms(w->loop) - began < 6000);
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
	node_do(w->node, "unload");
	began = loop_now_ms(w->loop);
	UNTIL(w, inventory_state(w->inv) == INVENTORY_NO_DRIVER);
	assert_true(loop_now_ms(w->loop) - began < 1500);
	assert_non_null(strstr(inventory_reason(w->inv), "NVML error 9"));
	assert_int_equal(usable(w), 2); /* their end is the publisher's to decide */
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

/* Somebody kills the worker: nobody notices, the next look starts another. */
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

/* Idle means idle: no driver file is open, and nothing wakes up. */
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
		cmocka_unit_test(test_eight_gpus),
		cmocka_unit_test(test_nothing_new),
		cmocka_unit_test(test_driver_525),
		cmocka_unit_test(test_hot_plug),
		cmocka_unit_test(test_island_is_steady),
		cmocka_unit_test(test_uevent),
		cmocka_unit_test(test_hanging_gpu),
		cmocka_unit_test(test_crashing_gpu),
		cmocka_unit_test(test_hang_of_a_known_gpu),
		cmocka_unit_test(test_passing_error),
		cmocka_unit_test(test_lasting_error),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_hanging_init),
		cmocka_unit_test(test_trouble_keeps_devices),
		cmocka_unit_test(test_driver_comes_later),
		cmocka_unit_test(test_driver_goes_and_comes),
		cmocka_unit_test(test_driver_upgrade),
		cmocka_unit_test(test_no_gpus),
		cmocka_unit_test(test_mig_mode),
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
