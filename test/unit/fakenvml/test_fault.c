/* Faults set by one process strike another; events; driver reload; hot-plug. */
#include <signal.h>

#include "fixture.h"

static struct world *ready(const char *make_args)
{
	struct world *w = world_new(make_args);

	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	return w;
}

static void a_lost_gpu_is_the_only_one(void **state)
{
	struct world *w = ready("--profile h100 --count 4");
	nvmlDevice_t d[4];
	nvmlMemory_t memory;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		d[i] = world_gpu(w, i);
	world_do(w, "fault lost --gpu 2");
	for (i = 0; i < 4; i++)
		assert_int_equal(w->fn.nvmlDeviceGetMemoryInfo(d[i], &memory),
				 i == 2 ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByIndex_v2(2, &d[2]), NVML_ERROR_GPU_IS_LOST);
	world_do(w, "clear");
	assert_int_equal(w->fn.nvmlDeviceGetMemoryInfo(d[0], &memory), NVML_SUCCESS);
	world_free(w);
}

static void failures_are_chosen(void **state)
{
	struct world *w = ready("--profile h100 --count 2");
	nvmlDevice_t a = world_gpu(w, 0);
	nvmlDevice_t b = world_gpu(w, 1);
	unsigned int minor;

	(void)state;
	world_do(w, "fault fail --fn nvmlDeviceGetMinorNumber --gpu 1 --rc IN_USE --times 2");
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(a, &minor), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(b, &minor), NVML_ERROR_IN_USE);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(b, &minor), NVML_ERROR_IN_USE);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(b, &minor), NVML_SUCCESS);
	world_do(w, "fault fail --fn nvmlDeviceGetHandleByIndex_v2 --gpu 1 --rc 4");
	assert_int_equal(w->fn.nvmlDeviceGetHandleByIndex_v2(0, &a), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetHandleByIndex_v2(1, &b), NVML_ERROR_NO_PERMISSION);
	world_free(w);
}

static void a_slow_call_is_slow(void **state)
{
	struct world *w = ready("--profile h100 --count 1");
	nvmlDevice_t d = world_gpu(w, 0);
	uint64_t start;
	unsigned int minor;

	(void)state;
	world_do(w, "fault slow --fn nvmlDeviceGetMinorNumber --ms 80");
	start = world_now_ms();
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_SUCCESS);
	assert_true(world_now_ms() - start >= 75);
	world_free(w);
}

static int hang_in_child(struct world *w)
{
	char name[96];

	/* The session is the parent's copy: a child of its own init would look the same. */
	return w->fn.nvmlDeviceGetName(world_gpu(w, 0), name, sizeof(name)) == NVML_SUCCESS ? 0 : 1;
}

static void a_hang_ends_when_cleared_and_stops_nobody_else(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	char name[96];
	int status;
	pid_t pid;

	(void)state;
	world_do(w, "fault hang --fn nvmlDeviceGetName");
	pid = fork();
	if (pid == 0)
		_exit(w->fn.nvmlInit_v2() == NVML_SUCCESS ? hang_in_child(w) : 2);
	usleep(150000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	/* Another process, another function: not held up. */
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlSystemGetDriverVersion(name, sizeof(name)), NVML_SUCCESS);
	world_do(w, "clear");
	assert_int_equal(world_reap(pid), 0);
	world_free(w);
}

static void a_killed_hanger_leaves_no_lock(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	unsigned int n;
	pid_t pid;

	(void)state;
	world_do(w, "fault hang --fn nvmlDeviceGetName");
	pid = fork();
	if (pid == 0)
		_exit(w->fn.nvmlInit_v2() == NVML_SUCCESS ? hang_in_child(w) : 2);
	usleep(100000);
	kill(pid, SIGKILL);
	assert_int_equal(world_reap(pid), 1000 + SIGKILL);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
	world_free(w);
}

static void a_crash_is_an_abort(void **state)
{
	struct world *w = world_new("--profile h100 --count 1");
	unsigned int n;
	pid_t pid;

	(void)state;
	world_do(w, "fault crash --fn nvmlDeviceGetCount_v2 --times 1");
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		w->fn.nvmlInit_v2();
		w->fn.nvmlDeviceGetCount_v2(&n);
		_exit(0);
	}
	assert_int_equal(world_reap(pid), 1000 + SIGABRT);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetCount_v2(&n), NVML_SUCCESS);
	world_free(w);
}

static void a_wrong_answer_is_terminated_garbage(void **state)
{
	struct world *w = ready("--profile h100 --count 1");
	nvmlDevice_t d = world_gpu(w, 0);
	char uuid[96];
	unsigned int minor;

	(void)state;
	world_do(w, "fault wrong --gpu 0 --byte 0xff");
	assert_int_equal(w->fn.nvmlDeviceGetUUID(d, uuid, sizeof(uuid)), NVML_SUCCESS);
	assert_int_equal((unsigned char)uuid[0], 0xff);
	assert_int_equal(strlen(uuid), 40);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_SUCCESS);
	assert_int_equal(minor, 0xffffffffu);
	world_free(w);
}

static nvmlEventSet_t listen_to(struct world *w, unsigned int gpus)
{
	nvmlEventSet_t set;
	unsigned int i;

	assert_int_equal(w->fn.nvmlEventSetCreate(&set), NVML_SUCCESS);
	for (i = 0; i < gpus; i++)
		assert_int_equal(w->fn.nvmlDeviceRegisterEvents(world_gpu(w, i),
								nvmlEventTypeXidCriticalError, set),
				 NVML_SUCCESS);
	return set;
}

static void events_arrive_in_order_and_once(void **state)
{
	struct world *w = ready("--profile h100 --count 2");
	nvmlEventData_t e = { 0 };
	nvmlEventSet_t set;

	(void)state;
	world_do(w, "event --gpu 0 --xid 1"); /* before anyone listens: lost */
	set = listen_to(w, 2);
	assert_int_equal(w->fn.nvmlEventSetWait_v2(set, &e, 0), NVML_ERROR_TIMEOUT);
	world_do(w, "event --gpu 1 --xid 79");
	world_do(w, "event --gpu 0 --type dbe"); /* not registered */
	world_do(w, "event --gpu 0 --xid 48 --gi 3 --ci 0");
	assert_int_equal(w->fn.nvmlEventSetWait_v2(set, &e, 1000), NVML_SUCCESS);
	assert_int_equal(e.eventData, 79);
	assert_ptr_equal(e.device, world_gpu(w, 1));
	assert_int_equal(e.gpuInstanceId, NVML_NO_INSTANCE);
	e.gpuInstanceId = 77;
	assert_int_equal(w->fn.nvmlEventSetWait(set, &e, 1000), NVML_SUCCESS);
	assert_int_equal(e.eventData, 48);
	assert_int_equal(e.gpuInstanceId, 77); /* the first version leaves it alone */
	assert_int_equal(w->fn.nvmlEventSetWait_v2(set, &e, 0), NVML_ERROR_TIMEOUT);
	assert_int_equal(w->fn.nvmlEventSetFree(set), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlEventSetWait_v2(set, &e, 0), NVML_ERROR_INVALID_ARGUMENT);
	world_free(w);
}

static void a_waiter_wakes_for_an_event_and_for_a_lost_gpu(void **state)
{
	struct world *w = world_new("--profile h100 --count 2");
	nvmlEventData_t e;
	nvmlEventSet_t set;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		if (w->fn.nvmlInit_v2() != NVML_SUCCESS)
			_exit(1);
		set = listen_to(w, 2);
		if (w->fn.nvmlEventSetWait_v2(set, &e, 10000) != NVML_SUCCESS)
			_exit(2);
		_exit(w->fn.nvmlEventSetWait_v2(set, &e, 10000) == NVML_ERROR_GPU_IS_LOST ? 0 : 3);
	}
	usleep(200000);
	world_do(w, "event --gpu 1 --xid 79");
	world_do(w, "fault lost --gpu 1");
	assert_int_equal(world_reap(pid), 0);
	world_free(w);
}

static void a_reload_kills_sessions(void **state)
{
	struct world *w = ready("--profile h100 --count 1");
	nvmlDevice_t d = world_gpu(w, 0);
	char version[80];
	unsigned int minor;

	(void)state;
	world_do(w, "unload");
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_ERROR_UNINITIALIZED);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_ERROR_DRIVER_NOT_LOADED);
	assert_false(world_has(w, "dev/nvidiactl"));
	assert_false(world_has(w, "proc/driver/nvidia/version"));
	world_do(w, "load");
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_ERROR_INVALID_ARGUMENT);
	/* A newer driver: the old library is refused, the new one works. */
	world_do(w, "reload --driver 590.44.01");
	assert_int_equal(w->fn.nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
	dlclose(w->lib);
	world_load(w);
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_SUCCESS);
	assert_int_equal(w->fn.nvmlSystemGetDriverVersion(version, sizeof(version)), NVML_SUCCESS);
	assert_string_equal(version, "590.44.01");
	world_do(w, "reload --driver 595.10.01");
	assert_int_equal(w->fn.nvmlInit_v2(), NVML_ERROR_LIB_RM_VERSION_MISMATCH);
	world_free(w);
}

static void hot_plug(void **state)
{
	struct world *w = ready("--profile h100 --count 2");
	nvmlDevice_t d = world_gpu(w, 1);
	unsigned int minor;
	unsigned int n;

	(void)state;
	world_do(w, "mig --gpu 1 19:0");
	assert_true(world_has(w, "dev/nvidia-caps/nvidia-cap66")); /* minor 0 of two */
	world_do(w, "unplug --gpu 1");
	assert_false(world_has(w, "dev/nvidia-caps/nvidia-cap66"));
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(d, &minor), NVML_ERROR_GPU_IS_LOST);
	w->fn.nvmlShutdown();
	w->fn.nvmlInit_v2();
	w->fn.nvmlDeviceGetCount_v2(&n);
	assert_int_equal(n, 1);
	world_do(w, "plug --gpu 1");
	world_do(w, "plug");
	w->fn.nvmlDeviceGetCount_v2(&n);
	assert_int_equal(n, 1); /* seen at the next init */
	w->fn.nvmlShutdown();
	w->fn.nvmlInit_v2();
	w->fn.nvmlDeviceGetCount_v2(&n);
	assert_int_equal(n, 3);
	assert_int_equal(w->fn.nvmlDeviceGetMinorNumber(world_gpu(w, 2), &minor), NVML_SUCCESS);
	assert_int_equal(minor, 2);
	assert_true(world_has(w, "dev/nvidia2"));
	world_free(w);
}

/* A GPU is found from every side: NVML's address leads to sysfs, sysfs to a PCI root, proc to the
 * same UUID. */
static void trees_agree_with_the_library(void **state)
{
	struct world *w = ready("--profile h100 --count 8");
	char text[1024] = "";
	nvmlPciInfo_t pci;
	char target[512];
	char leaf[256];
	char uuid[96];
	unsigned int i;
	ssize_t n;
	FILE *f;

	(void)state;
	for (i = 0; i < 8; i++) {
		assert_int_equal(w->fn.nvmlDeviceGetPciInfo_v3(world_gpu(w, i), &pci),
				 NVML_SUCCESS);
		w->fn.nvmlDeviceGetUUID(world_gpu(w, i), uuid, sizeof(uuid));
		snprintf(leaf, sizeof(leaf), "%s/sys/bus/pci/devices/%04x:%02x:%02x.0", w->root,
			 pci.domain, pci.bus, pci.device);
		n = readlink(leaf, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = '\0';
		assert_memory_equal(target, "../../../devices/pci0000:", 25);
		snprintf(leaf, sizeof(leaf),
			 "%s/proc/driver/nvidia/gpus/%04x:%02x:%02x.0/information", w->root,
			 pci.domain, pci.bus, pci.device);
		f = fopen(leaf, "r");
		assert_non_null(f);
		assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
		fclose(f);
		assert_non_null(strstr(text, uuid));
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_gpu_is_the_only_one),
		cmocka_unit_test(failures_are_chosen),
		cmocka_unit_test(a_slow_call_is_slow),
		cmocka_unit_test(a_hang_ends_when_cleared_and_stops_nobody_else),
		cmocka_unit_test(a_killed_hanger_leaves_no_lock),
		cmocka_unit_test(a_crash_is_an_abort),
		cmocka_unit_test(a_wrong_answer_is_terminated_garbage),
		cmocka_unit_test(events_arrive_in_order_and_once),
		cmocka_unit_test(a_waiter_wakes_for_an_event_and_for_a_lost_gpu),
		cmocka_unit_test(a_reload_kills_sessions),
		cmocka_unit_test(hot_plug),
		cmocka_unit_test(trees_agree_with_the_library),
	};

	/* "Privileged" for whoever runs the tests. */
	setenv("FAKENVML_PRIVILEGED", "1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
