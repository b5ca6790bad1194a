/* Watching folders and devices, on virtual time: how soon, how often, and what when a watch fails.
 */
#include "test/unit/gpu/unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/loop.h"
#include "core/mem.h"
#include "gpu/hotplug.h"

struct world {
	struct loop *loop;
	struct hotplug *hotplug;
	struct roots roots;
	char folder[32], file[64];
	int uevents[2];
	unsigned looks, devices;
	bool news; /* what each look finds */
	char pci[16];
};

static bool on_ours(void *arg, struct sv pci)
{
	(void)arg;
	return sv_eqs(pci, "0000:01:00.0") || sv_eqs(pci, "0000:02:00.0");
}

static void on_device(void *arg, const char *pci)
{
	struct world *w = arg;

	w->devices++;
	snprintf(w->pci, sizeof(w->pci), "%s", pci);
}

static void on_changed(void *arg, const char *why)
{
	struct world *w = arg;

	assert_true(*why);
	w->looks++;
	hotplug_result(w->hotplug, w->news);
}

static struct world *world_new(void)
{
	static const unsigned vendors[] = { 0x10de, 0 };
	struct world *w = MEM_NEW(struct world);
	struct hotplug_conf conf = { .pci_vendors = vendors,
				     .ours = on_ours,
				     .device = on_device,
				     .changed = on_changed,
				     .arg = w };

	w->loop = loop_new_virtual(1000, 1);
	w->roots = (struct roots){ .sys = "/nowhere" };
	snprintf(w->folder, sizeof(w->folder), "/tmp/tundra-hot.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->file, sizeof(w->file), "%s/nvidia0", w->folder);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, w->uevents), 0);
	conf.roots = &w->roots;
	conf.uevent_fd = w->uevents[1];
	w->hotplug = hotplug_new(w->loop, &conf);
	return w;
}

static void world_free(struct world *w)
{
	char command[128];

	hotplug_free(&w->hotplug);
	loop_free(&w->loop);
	close(w->uevents[0]);
	close(w->uevents[1]);
	snprintf(command, sizeof(command), "rm -r %s", w->folder);
	assert_int_equal(system(command), 0);
	mem_free(w);
}

static void watch(struct world *w)
{
	struct gpu_watch what = { .prefix = "nvidia" };

	snprintf(what.folder, sizeof(what.folder), "%s", w->folder);
	hotplug_watch(w->hotplug, w, &what, 1);
}

static void on_passed(void *arg)
{
	*(bool *)arg = true;
}

static void pass(struct world *w, uint64_t ms)
{
	struct loop_timer timer;
	bool passed = false;

	loop_timer_init(&timer, w->loop, on_passed, &passed);
	loop_timer_set(&timer, ms);
	while (!passed)
		loop_turn(w->loop, -1);
}

static void touch(struct world *w)
{
	assert_int_equal(fsx_replace(w->file, SV("x"), 0644, 0), 0);
}

static void uevent(struct world *w, const char *pci)
{
	char bytes[256];
	int n = snprintf(bytes, sizeof(bytes),
			 "change@/devices/x%cACTION=change%cDEVPATH=/devices/x%cSUBSYSTEM=pci%c"
			 "PCI_SLOT_NAME=%s",
			 0, 0, 0, 0, pci);

	assert_int_equal(send(w->uevents[0], bytes, (size_t)n + 1, 0), n + 1);
}

static void test_prompt(void **state)
{
	struct world *w = world_new();

	(void)state;
	watch(w);
	touch(w);
	pass(w, 200);
	assert_int_equal(w->looks, 0);
	pass(w, 100);
	assert_int_equal(w->looks, 1);
	uevent(w, "0000:01:00.0");
	uevent(w, "0000:02:00.0");
	uevent(w, "0000:99:00.0"); /* nobody's */
	pass(w, 1000);
	assert_int_equal(w->looks, 2);
	/* Each device is told, also of one burst. */
	assert_int_equal(w->devices, 2);
	assert_string_equal(w->pci, "0000:02:00.0");
	world_free(w);
}

/* Fruitless looks slow down what asked for them, and nothing else. */
static void test_paced_apart(void **state)
{
	struct world *w = world_new();
	unsigned i, looks;

	(void)state;
	watch(w);
	for (i = 0; i < 600; i++) {
		touch(w);
		pass(w, 500);
	}
	assert_in_range(w->looks, 8, 20);
	touch(w);
	looks = w->looks;
	uevent(w, "0000:01:00.0");
	pass(w, HOTPLUG_MOST_MS);
	assert_int_equal(w->looks, looks + 1);
	world_free(w);
}

/* Ten minutes in which each look makes the next event, a little later. */
static unsigned echo(struct world *w)
{
	unsigned before = w->looks, first = before;
	uint64_t end = loop_now_ms(w->loop) + 600 * 1000;

	while (loop_now_ms(w->loop) < end) {
		pass(w, 700);
		if (w->looks != before)
			touch(w);
		before = w->looks;
	}
	return w->looks - first;
}

/* In the end not more than one look a minute. */
static void test_own_echo(void **state)
{
	struct world *w = world_new();

	(void)state;
	watch(w);
	touch(w);
	echo(w);
	assert_in_range(echo(w), 8, 10);
	world_free(w);
}

/* Out of descriptors for a while: the folder is watched later, and looked at then. */
static void test_watch_fails_for_now(void **state)
{
	struct world *w = world_new();
	struct rlimit old, none;
	int next;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(next >= 0);
	close(next);
	none = old;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	watch(w);
	pass(w, HOTPLUG_REARM_MS + 1000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	touch(w);
	assert_int_equal(w->looks, 0);
	pass(w, HOTPLUG_REARM_MS + 1000);
	assert_int_equal(w->looks, 1);
	touch(w);
	pass(w, 1000);
	assert_int_equal(w->looks, 2);
	/* A watch that works is left alone. */
	pass(w, 10 * HOTPLUG_REARM_MS);
	assert_int_equal(w->looks, 2);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt),
		cmocka_unit_test(test_paced_apart),
		cmocka_unit_test(test_own_echo),
		cmocka_unit_test(test_watch_fails_for_now),
	};

	return RUN(tests);
}
