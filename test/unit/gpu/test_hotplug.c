/* Watching folders and devices, on virtual time: how soon, how often, and what when a watch fails.
 */
#include "test/unit/gpu/events.h"

#include <fcntl.h>
#include <sys/resource.h>
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
	uevents_open(w->uevents);
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

static void touch(struct world *w)
{
	assert_int_equal(fsx_replace(w->file, SV("x"), 0644, 0), 0);
}

static void test_prompt(void **state)
{
	struct world *w = world_new();

	(void)state;
	watch(w);
	touch(w);
	pass_ms(w->loop, 200);
	assert_int_equal(w->looks, 0);
	pass_ms(w->loop, 100);
	assert_int_equal(w->looks, 1);
	uevents_tell(w->uevents, "0000:01:00.0");
	uevents_tell(w->uevents, "0000:02:00.0");
	uevents_tell(w->uevents, "0000:99:00.0"); /* nobody's */
	pass_ms(w->loop, 1000);
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
		pass_ms(w->loop, 500);
	}
	assert_in_range(w->looks, 8, 20);
	touch(w);
	looks = w->looks;
	uevents_tell(w->uevents, "0000:01:00.0");
	pass_ms(w->loop, HOTPLUG_MOST_MS);
	assert_int_equal(w->looks, looks + 1);
	world_free(w);
}

/* Ten minutes in which each look makes the next event, a little later. */
static unsigned echo(struct world *w)
{
	unsigned before = w->looks, first = before;
	uint64_t end = loop_now_ms(w->loop) + 600 * 1000;

	while (loop_now_ms(w->loop) < end) {
		pass_ms(w->loop, 700);
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
	pass_ms(w->loop, HOTPLUG_REARM_MS + 1000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	touch(w);
	assert_int_equal(w->looks, 0);
	pass_ms(w->loop, HOTPLUG_REARM_MS + 1000);
	assert_int_equal(w->looks, 1);
	touch(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(w->looks, 2);
	/* A watch that works is left alone. */
	pass_ms(w->loop, 10 * HOTPLUG_REARM_MS);
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
