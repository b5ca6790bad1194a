/*
 * The inventory against a scripted worker on virtual time: who is listed, under which handle, what
 * is told to whom, and how often anything is asked.
 */
#include "test/unit/gpu/events.h"

#include "core/fsx.h"
#include "gpu/inventory.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "test/unit/gpu/script.h"

struct world {
	struct loop *loop;
	struct script script;
	struct inventory *inv;
	struct roots roots;
	int uevents[2];
	unsigned devices, states; /* changes told */
	bool leave;
};

static void on_change(void *arg, unsigned changed)
{
	struct world *w = arg;

	w->devices += !!(changed & INVENTORY_CHANGED_DEVICES);
	w->states += !!(changed & INVENTORY_CHANGED_STATE);
	if (w->leave)
		inventory_unlisten(w->inv, w);
}

static struct world *world_new(unsigned gpus)
{
	struct world *w = MEM_NEW(struct world);

	w->loop = loop_new_virtual(1000, 1);
	script_init(&w->script, w->loop, gpus);
	w->roots = (struct roots){ .dev = "/nowhere", .proc = "/nowhere", .sys = "/nowhere" };
	uevents_open(w->uevents);
	return w;
}

static void world_start(struct world *w)
{
	struct inventory_conf conf = { .roots = &w->roots,
				       .host = &w->script.host,
				       .uevent_fd = w->uevents[1] };

	w->inv = inventory_new(w->loop, &conf);
	inventory_listen(w->inv, on_change, w);
	inventory_start(w->inv);
}

static void world_free(struct world *w)
{
	inventory_free(&w->inv);
	script_done(&w->script);
	loop_free(&w->loop);
	close(w->uevents[0]);
	close(w->uevents[1]);
	mem_free(w);
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

static struct gpu_device *device(struct world *w, const char *name)
{
	struct gpu_device *d = inventory_by_name(w->inv, sv_str(name));

	if (!d)
		fail_msg("no device %s", name);
	return d;
}

static void look(struct world *w)
{
	inventory_rescan(w->inv, "test");
	pass_ms(w->loop, 500);
}

/* ---- */

static void test_first_round(void **state)
{
	struct world *w = world_new(3);

	(void)state;
	w->script.env = "A=b";
	world_start(w);
	assert_int_equal(inventory_state(w->inv), INVENTORY_STARTING);
	pass_ms(w->loop, 1000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(usable(w), 3);
	assert_int_equal(w->devices, 1);
	assert_int_equal(w->states, 1);
	assert_int_equal(w->script.opens, 1);
	assert_int_equal(w->script.queries, 3);
	assert_int_equal(w->script.closes, 1); /* nothing is held open */
	assert_string_equal(inventory_common_edits(w->inv, &nvidia_vendor)->env[0], "A=b");
	pass_ms(w->loop, 3600 * 1000);
	assert_int_equal(w->script.opens, 1); /* an hour, and nobody asked again */
	world_free(w);
}

static void test_changes_are_told_once(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	look(w);
	assert_int_equal(w->devices, 1);
	w->script.env = "NEW=1";
	look(w);
	assert_int_equal(w->devices, 2);
	w->script.gpus[1].uuid_tail = 99; /* its memory, say */
	look(w);
	assert_int_equal(w->devices, 3);
	look(w);
	assert_int_equal(w->devices, 3);
	assert_int_equal(w->states, 1);
	world_free(w);
}

static void test_handles_and_identity(void **state)
{
	struct world *w = world_new(3);
	slab_handle handle, other;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	handle = device(w, "gpu-1")->handle;
	/* Gone, back with another minor number: the same device under another name. */
	w->script.count = 1;
	look(w);
	assert_false(inventory_get(w->inv, handle)->present);
	assert_int_equal(usable(w), 1);
	w->script.count = 3;
	w->script.gpus[1].minor = 7;
	look(w);
	assert_ptr_equal(device(w, "gpu-7"), inventory_get(w->inv, handle));
	assert_int_equal(usable(w), 3);
	/* Another GPU in the same slot is another device; the name finds the one that is there. */
	snprintf(w->script.gpus[1].uuid, sizeof(w->script.gpus[1].uuid), "GPU-other");
	look(w);
	other = device(w, "gpu-7")->handle;
	assert_true(other != handle);
	assert_false(inventory_get(w->inv, handle)->present);
	assert_string_equal(inventory_get(w->inv, handle)->uuid, "GPU-1");
	assert_string_equal(inventory_get(w->inv, other)->uuid, "GPU-other");
	assert_int_equal(usable(w), 3);
	assert_ptr_equal(inventory_by_identity(w->inv, SV("0000:02:00.0"), SV("GPU-1")),
			 inventory_get(w->inv, handle));
	/* And the old one comes back. */
	snprintf(w->script.gpus[1].uuid, sizeof(w->script.gpus[1].uuid), "GPU-1");
	look(w);
	assert_true(inventory_get(w->inv, handle)->present);
	assert_false(inventory_get(w->inv, other)->present);
	assert_ptr_equal(device(w, "gpu-7"), inventory_get(w->inv, handle));
	world_free(w);
}

/* Cards that are swapped all day do not fill the memory. */
static void test_absent_are_bounded(void **state)
{
	struct world *w = world_new(1);
	unsigned i, n = 0;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	for (i = 0; i < 100; i++) {
		snprintf(w->script.gpus[0].uuid, sizeof(w->script.gpus[0].uuid), "GPU-x%u", i);
		look(w);
	}
	list_for_each (at, inventory_devices(w->inv)) {
		n++;
	}
	assert_int_equal(n, 65);
	assert_non_null(inventory_by_identity(w->inv, SV("0000:01:00.0"), SV("GPU-x98")));
	assert_null(inventory_by_identity(w->inv, SV("0000:01:00.0"), SV("GPU-x1")));
	world_free(w);
}

static void test_trouble_comes_and_goes(void **state)
{
	struct world *w = world_new(2);
	const struct gpu_device *d;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.gpus[1].state = GPU_QUERY_TROUBLE;
	look(w);
	d = device(w, "gpu-1");
	assert_string_equal(d->trouble, "script trouble");
	assert_true(d->present);
	assert_non_null(device_attribute(d, "", "productName")); /* still known by its looks */
	assert_int_equal(d->edits.nodes_n, 1);
	assert_int_equal(w->devices, 2);
	w->script.gpus[1].state = GPU_QUERY_OK;
	look(w);
	assert_string_equal(device(w, "gpu-1")->trouble, "");
	assert_int_equal(w->devices, 3);
	world_free(w);
}

/* A GPU that never told more than its address: shown, never published. */
static void test_trouble_from_the_start(void **state)
{
	struct world *w = world_new(3);

	(void)state;
	w->script.seen = 3;
	w->script.gpus[0].state = GPU_QUERY_TROUBLE;
	w->script.gpus[0].minor = -1; /* neither the library nor the kernel knows */
	w->script.gpus[1].state = GPU_QUERY_TROUBLE;
	w->script.gpus[1].shy = true;
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(usable(w), 1);
	assert_string_equal(device(w, "gpu-at-0000-01-00-0")->trouble, "script trouble");
	/* The shy one is the address that the kernel lists and nobody answered for. */
	assert_string_equal(device(w, "gpu-1")->pci, "0000:02:00.0");
	assert_string_equal(device(w, "gpu-1")->trouble, "script trouble");
	w->script.seen = 0;
	look(w);
	assert_string_equal(device(w, "gpu-of-index-1")->trouble, "script trouble");
	assert_null(inventory_by_name(w->inv, SV("gpu-1"))); /* left no trace */
	world_free(w);
}

static void test_kernel_sees_more(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->script.seen = 3;
	w->script.gpus[0].state = GPU_QUERY_SKIP; /* a display adapter: known, and not missed */
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(usable(w), 1);
	assert_null(inventory_by_name(w->inv, SV("gpu-0")));
	assert_non_null(strstr(device(w, "gpu-2")->trouble, "does not list it"));
	world_free(w);
}

static void test_retry(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->script.gpus[1].state = GPU_QUERY_RETRY;
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(w->script.queries, 4); /* three times, then believed */
	assert_string_equal(device(w, "gpu-1")->trouble, "script trouble");
	world_free(w);
}

static void test_hang_costs_only_itself(void **state)
{
	struct world *w = world_new(4);

	(void)state;
	w->script.seen = 4;
	w->script.gpus[1].fault = SCRIPT_HANG;
	world_start(w);
	pass_ms(w->loop, 6500); /* 5 s, and a new process after its pause */
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(usable(w), 3);
	assert_non_null(strstr(device(w, "gpu-1")->trouble, "did not answer for it within 5.0 s"));
	assert_int_equal(w->script.starts, 2);
	/* Asked again, last and ever more rarely. */
	pass_ms(w->loop, 3600 * 1000);
	assert_in_range(w->script.opens, 6, 14);
	assert_int_equal(usable(w), 3);
	assert_int_equal(w->devices, 1);
	w->script.gpus[1].fault = SCRIPT_FINE;
	pass_ms(w->loop, 40 * 60 * 1000);
	assert_int_equal(usable(w), 4);
	world_free(w);
}

static void test_known_gpu_hangs(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.gpus[0].fault = SCRIPT_HANG;
	inventory_rescan(w->inv, "test");
	pass_ms(w->loop, 9000);
	assert_int_equal(usable(w), 2); /* once is no proof */
	assert_int_equal(w->devices, 1);
	pass_ms(w->loop, 30000); /* asked again after some 10 s */
	assert_int_equal(usable(w), 1);
	assert_int_equal(w->devices, 2);
	w->script.gpus[0].fault = SCRIPT_FINE;
	uevents_tell(w->uevents, "0000:01:00.0");
	pass_ms(w->loop, 7000); /* a probe that hangs may just be under way */
	assert_int_equal(usable(w), 2);
	world_free(w);
}

/* One that is given up holds up nobody's news: neither is it asked for others, nor its 5 s waited.
 */
static void test_given_up_gpu_delays_nobody(void **state)
{
	struct world *w = world_new(4);
	struct inventory_worker worker;
	uint64_t timeouts;
	unsigned queries;

	(void)state;
	w->script.seen = 4;
	w->script.gpus[1].fault = SCRIPT_HANG;
	world_start(w);
	pass_ms(w->loop, 60000); /* two strikes */
	assert_int_equal(usable(w), 3);
	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	timeouts = worker.stats->timeouts;
	assert_in_range(timeouts, 2, 4);
	queries = w->script.queries;
	w->script.gpus[3].uuid_tail = 5;
	uevents_tell(w->uevents, "0000:04:00.0");
	pass_ms(w->loop, 1000);
	assert_int_equal(w->devices, 2);
	assert_int_equal(w->script.queries, queries + 3);
	assert_int_equal(worker.stats->timeouts, timeouts);
	assert_non_null(strstr(device(w, "gpu-1")->trouble, "did not answer"));
	/* An event of its own, though it never told its address: it is asked at once. */
	uevents_tell(w->uevents, "0000:02:00.0");
	pass_ms(w->loop, 7000);
	assert_int_equal(worker.stats->timeouts, timeouts + 1);
	/* Well again, which its next turn shows: nobody's event put it off. */
	w->script.gpus[1].fault = SCRIPT_FINE;
	pass_ms(w->loop, 40 * 60 * 1000);
	assert_int_equal(usable(w), 4);
	world_free(w);
}

/* Its name is taken although its turn is not yet: minor numbers may move while it hangs. */
static void test_hanging_gpu_keeps_its_name(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.gpus[0].minor = 1;
	w->script.gpus[1].fault = SCRIPT_HANG;
	inventory_rescan(w->inv, "test");
	pass_ms(w->loop, 9000);
	assert_int_equal(usable(w), 1);
	assert_string_equal(device(w, "gpu-1")->pci, "0000:02:00.0");
	world_free(w);
}

static void test_every_gpu_is_bad(void **state)
{
	static const enum script_fault faults[] = { SCRIPT_HANG, SCRIPT_DIE, SCRIPT_GARBAGE,
						    SCRIPT_ERRNO };
	struct world *w = world_new(4);
	unsigned i;

	(void)state;
	w->script.seen = 4;
	for (i = 0; i < 4; i++)
		w->script.gpus[i].fault = faults[i];
	world_start(w);
	pass_ms(w->loop, 60000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(usable(w), 0);
	for (i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "gpu-%u", i);
		assert_true(*device(w, name)->trouble);
	}
	world_free(w);
}

static void test_worker_tells_nothing(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->script.gpus[0].no_facts = true;
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(usable(w), 0);
	assert_true(*device(w, "gpu-0")->trouble);
	world_free(w);
}

static void test_twins(void **state)
{
	struct world *w = world_new(3);

	(void)state;
	w->script.gpus[1].minor = 0; /* the name of the first */
	memcpy(w->script.gpus[2].pci, w->script.gpus[0].pci, sizeof(w->script.gpus[0].pci));
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(usable(w), 1);
	assert_string_equal(device(w, "gpu-0")->pci, "0000:01:00.0");
	world_free(w);
}

static void test_session_dies(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->script.gpus[1].state = GPU_QUERY_SESSION;
	world_start(w);
	pass_ms(w->loop, 3000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_TROUBLE);
	assert_non_null(strstr(inventory_reason(w->inv), "goes away again and again"));
	assert_in_range(w->script.opens, 4, 12);
	w->script.gpus[1].state = GPU_QUERY_OK;
	pass_ms(w->loop, 60000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(usable(w), 2);
	world_free(w);
}

static const struct worker_stats *stats(struct world *w)
{
	struct inventory_worker x;

	assert_int_equal(inventory_workers(w->inv, &x, 1), 1);
	return x.stats;
}

/* A worker is replaced now and then. Those before it that the kernel holds are still there. */
static void test_stuck_outlive_a_new_worker(void **state)
{
	struct world *w = world_new(2);
	unsigned starts;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.undying = true;
	w->script.gpus[0].fault = SCRIPT_HANG;
	look(w);
	pass_ms(w->loop, 11000); /* asked for 5 s, killed for 5 s */
	w->script.undying = false;
	w->script.gpus[0].fault = SCRIPT_FINE;
	pass_ms(w->loop, 1000);
	assert_int_equal(stats(w)->abandoned, 1);
	starts = w->script.starts;
	w->script.open_state = GPU_OPEN_MISMATCH;
	look(w);
	w->script.open_state = GPU_OPEN_READY;
	look(w);
	assert_int_equal(w->script.starts, starts + 1); /* at once */
	assert_int_equal(usable(w), 1);			/* the other is fenced */
	assert_int_equal(stats(w)->abandoned, 1);
	assert_int_equal(stats(w)->crashes, 0);
	assert_int_equal(stats(w)->starts, w->script.starts);
	script_unstick(&w->script);
	pass_ms(w->loop, 1);
	assert_int_equal(stats(w)->abandoned, 0);
	world_free(w);
}

/* Replaced or not: so many and no more. */
static void test_stuck_are_capped(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->script.undying = true;
	w->script.open_state = GPU_OPEN_MISMATCH; /* after which a worker is replaced */
	world_start(w);
	pass_ms(w->loop, 600 * 1000);
	assert_int_equal(stats(w)->abandoned, WORKER_ABANDONED_MAX);
	assert_int_equal(w->script.starts, WORKER_ABANDONED_MAX);
	assert_int_equal(inventory_state(w->inv), INVENTORY_TROUBLE);
	assert_non_null(strstr(inventory_reason(w->inv), "4 processes that asked the driver"));
	w->script.undying = false;
	w->script.open_state = GPU_OPEN_READY;
	script_unstick(&w->script);
	pass_ms(w->loop, 75 * 1000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(usable(w), 1);
	world_free(w);
}

/* It costs the node one process and itself, however often anybody wants to know. */
static void test_stuck_gpu_is_fenced(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.undying = true;
	w->script.gpus[0].fault = SCRIPT_HANG;
	look(w);
	look(w); /* wanted before it is known that the first one stays */
	pass_ms(w->loop, 15000);
	assert_int_equal(usable(w), 1);
	assert_non_null(strstr(device(w, "gpu-0")->trouble, "stuck in the kernel"));
	for (unsigned i = 0; i < 20; i++) {
		uevents_tell(w->uevents, "0000:01:00.0");
		pass_ms(w->loop, 1000);
		inventory_rescan(w->inv, "test");
		pass_ms(w->loop, 30 * 60 * 1000);
	}
	assert_int_equal(stats(w)->abandoned, 1);
	assert_int_equal(stats(w)->timeouts, 1);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	w->script.gpus[1].uuid_tail = 5; /* nobody else's news are held up */
	w->devices = 0;
	uevents_tell(w->uevents, "0000:02:00.0");
	pass_ms(w->loop, 1000);
	assert_int_equal(w->devices, 1);
	w->script.undying = false;
	w->script.gpus[0].fault = SCRIPT_FINE;
	pass_ms(w->loop, 60 * 60 * 1000);
	assert_int_equal(usable(w), 1); /* well or not: its process is still there */
	script_unstick(&w->script);
	pass_ms(w->loop, 40 * 60 * 1000);
	assert_int_equal(usable(w), 2);
	world_free(w);
}

/* A worker that answers but makes no sense may hold the driver open: none is left behind so. */
static void test_nonsense_ends_a_worker(void **state)
{
	static const enum script_fault faults[] = { SCRIPT_GARBAGE, SCRIPT_ERRNO };
	unsigned i;

	(void)state;
	for (i = 0; i < 2 * ARRAY_LEN(faults); i++) {
		struct world *w = world_new(1);

		world_start(w);
		pass_ms(w->loop, 1000);
		assert_int_equal(w->script.closes, 1);
		if (i % 2)
			w->script.gpus[0].fault = faults[i / 2];
		else
			w->script.open_fault = faults[i / 2];
		look(w);
		assert_int_equal(w->script.closes, 1);
		assert_int_equal(w->script.fd, -1);
		world_free(w);
	}
}

static void test_no_driver(void **state)
{
	struct world *w = world_new(1);
	unsigned opens;

	(void)state;
	w->script.open_state = GPU_OPEN_NO_DRIVER;
	world_start(w);
	pass_ms(w->loop, 500);
	assert_int_equal(inventory_state(w->inv), INVENTORY_NO_DRIVER);
	assert_string_equal(inventory_reason(w->inv), "script says 1");
	assert_int_equal(inventory_since_ms(w->inv), loop_now_ms(w->loop) - 500);
	pass_ms(w->loop, 30 * 60 * 1000);
	assert_in_range(w->script.opens, 25, 45); /* once a minute, no oftener */
	assert_int_equal(w->states, 1);
	opens = w->script.opens;
	w->script.open_state = GPU_OPEN_READY;
	pass_ms(w->loop, 75 * 1000);
	assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
	assert_int_equal(w->script.opens, opens + 1);
	/* Unloaded: said at once; the devices are the publisher's to withdraw. */
	w->script.open_state = GPU_OPEN_NO_DRIVER;
	look(w);
	assert_int_equal(inventory_state(w->inv), INVENTORY_NO_DRIVER);
	assert_int_equal(usable(w), 1);
	assert_int_equal(w->devices, 1);
	world_free(w);
}

static void test_unreachable(void **state)
{
	static const enum script_fault faults[] = { SCRIPT_HANG, SCRIPT_DIE, SCRIPT_GARBAGE,
						    SCRIPT_ERRNO };
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(faults); i++) {
		struct world *w = world_new(2);

		world_start(w);
		pass_ms(w->loop, 1000);
		assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
		w->script.open_fault = faults[i];
		inventory_rescan(w->inv, "test");
		/* Once is not enough to say so. */
		pass_ms(w->loop, faults[i] == SCRIPT_HANG ? 61000 : 500);
		assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
		pass_ms(w->loop, 70000);
		assert_int_equal(inventory_state(w->inv), INVENTORY_TROUBLE);
		assert_true(*inventory_reason(w->inv));
		assert_int_equal(usable(w), 2);
		w->script.open_fault = SCRIPT_FINE;
		pass_ms(w->loop, 130000);
		assert_int_equal(inventory_state(w->inv), INVENTORY_READY);
		assert_string_equal(inventory_reason(w->inv), "");
		assert_int_equal(w->devices, 1);
		world_free(w);
	}
}

/* ---- events ---- */

static void test_bursts_are_one_look(void **state)
{
	struct world *w = world_new(2);
	unsigned i;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	for (i = 0; i < 20; i++) {
		uevents_tell(w->uevents, "0000:01:00.0");
		pass_ms(w->loop, 10);
	}
	pass_ms(w->loop, 1000);
	assert_int_equal(w->script.opens, 2);
	world_free(w);
}

/* Events without end are still followed within a second. */
static void test_never_quiet(void **state)
{
	struct world *w = world_new(2);
	unsigned i;

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	w->script.gpus[1].uuid_tail = 5;
	for (i = 0; i < 9; i++) {
		uevents_tell(w->uevents, "0000:01:00.0");
		pass_ms(w->loop, 100);
	}
	assert_int_equal(w->devices, 2);
	world_free(w);
}

static void test_foreign_events(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_start(w);
	pass_ms(w->loop, 1000);
	uevents_tell(w->uevents, "0000:99:00.0");
	uevents_tell(w->uevents, "nonsense");
	assert_int_equal(send(w->uevents[0], "garbage", 7, 0), 7);
	pass_ms(w->loop, 5000);
	assert_int_equal(w->script.opens, 1);
	world_free(w);
}

/* A new card of the vendor: known by what sysfs says of it. */
static void test_new_card(void **state)
{
	struct world *w = world_new(2);
	char sys[] = "/tmp/tundra-sys.XXXXXX", path[256];

	(void)state;
	assert_non_null(mkdtemp(sys));
	w->roots.sys = sys;
	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:42:00.0", sys);
	assert_int_equal(fsx_mkdirs(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:42:00.0/vendor", sys);
	assert_int_equal(fsx_replace(path, SV("0x8086\n"), 0644, 0), 0);
	world_start(w);
	pass_ms(w->loop, 1000);
	uevents_tell(w->uevents, "0000:42:00.0");
	pass_ms(w->loop, 2000);
	assert_int_equal(w->script.opens, 1);
	assert_int_equal(fsx_replace(path, SV("0x10de\n"), 0644, 0), 0);
	uevents_tell(w->uevents, "0000:42:00.0");
	pass_ms(w->loop, 2000);
	assert_int_equal(w->script.opens, 2);
	world_free(w);
	snprintf(path, sizeof(path), "rm -r %s", sys);
	assert_int_equal(system(path), 0);
}

/* A driver that touches its own files whenever it is asked must not keep us asking. */
static void test_restless_folder(void **state)
{
	struct world *w = world_new(2);
	char folder[] = "/tmp/tundra-dev.XXXXXX", path[256];
	unsigned i, opens;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/nvidia0", folder);
	w->script.watch_n = 1;
	snprintf(w->script.watch[0].folder, sizeof(w->script.watch[0].folder), "%s", folder);
	snprintf(w->script.watch[0].prefix, sizeof(w->script.watch[0].prefix), "nvidia");
	world_start(w);
	pass_ms(w->loop, 1000);
	for (i = 0; i < 1200; i++) { /* ten minutes */
		assert_int_equal(fsx_replace(path, SV("x"), 0644, 0), 0);
		pass_ms(w->loop, 500);
	}
	opens = w->script.opens;
	assert_in_range(opens, 10, 40);
	/* After a quiet while it is prompt again. */
	pass_ms(w->loop, 200000);
	opens = w->script.opens;
	w->script.gpus[0].uuid_tail = 3;
	assert_int_equal(fsx_replace(path, SV("x"), 0644, 0), 0);
	pass_ms(w->loop, 1000);
	assert_int_equal(w->script.opens, opens + 1);
	assert_int_equal(w->devices, 2);
	/* What has another prefix does not matter. */
	snprintf(path, sizeof(path), "%s/other", folder);
	assert_int_equal(fsx_replace(path, SV("x"), 0644, 0), 0);
	pass_ms(w->loop, 2000);
	assert_int_equal(w->script.opens, opens + 1);
	world_free(w);
	snprintf(path, sizeof(path), "rm -r %s", folder);
	assert_int_equal(system(path), 0);
}

/* A folder's noise does not hide that a GPU went. */
static void test_noise_and_news(void **state)
{
	struct world *w = world_new(2);
	char folder[] = "/tmp/tundra-dev.XXXXXX", path[256];
	unsigned i;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/nvidia0", folder);
	w->script.watch_n = 1;
	snprintf(w->script.watch[0].folder, sizeof(w->script.watch[0].folder), "%s", folder);
	world_start(w);
	pass_ms(w->loop, 1000);
	for (i = 0; i < 300; i++) {
		assert_int_equal(fsx_replace(path, SV("x"), 0644, 0), 0);
		pass_ms(w->loop, 500);
	}
	w->script.gpus[1].uuid_tail = 5;
	uevents_tell(w->uevents, "0000:02:00.0");
	pass_ms(w->loop, 1000);
	assert_int_equal(w->devices, 2);
	world_free(w);
	snprintf(path, sizeof(path), "rm -r %s", folder);
	assert_int_equal(system(path), 0);
}

static void test_unlisten_from_within(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->leave = true;
	world_start(w);
	pass_ms(w->loop, 1000);
	assert_int_equal(w->devices, 1);
	w->script.gpus[0].uuid_tail = 1;
	look(w);
	assert_int_equal(w->devices, 1);
	world_free(w);
}

static void test_freed_at_any_moment(void **state)
{
	unsigned turns, i;

	(void)state;
	for (turns = 0; turns < 30; turns++) {
		struct world *w = world_new(3);

		w->script.gpus[1].state = GPU_QUERY_RETRY;
		world_start(w);
		for (i = 0; i < turns; i++)
			loop_turn(w->loop, 10);
		world_free(w);
	}
}

static void test_never_started(void **state)
{
	struct world *w = world_new(1);
	struct inventory_conf conf = { .roots = &w->roots,
				       .host = &w->script.host,
				       .uevent_fd = -1 };
	struct inventory_worker worker;

	(void)state;
	w->inv = inventory_new(w->loop, &conf);
	inventory_rescan(w->inv, "too early");
	assert_int_equal(inventory_state(w->inv), INVENTORY_STARTING);
	assert_int_equal(inventory_workers(w->inv, &worker, 1), 1);
	assert_string_equal(worker.role, "nvml");
	assert_int_equal(inventory_workers(w->inv, &worker, 0), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_round),
		cmocka_unit_test(test_changes_are_told_once),
		cmocka_unit_test(test_handles_and_identity),
		cmocka_unit_test(test_absent_are_bounded),
		cmocka_unit_test(test_trouble_comes_and_goes),
		cmocka_unit_test(test_trouble_from_the_start),
		cmocka_unit_test(test_kernel_sees_more),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_hang_costs_only_itself),
		cmocka_unit_test(test_known_gpu_hangs),
		cmocka_unit_test(test_given_up_gpu_delays_nobody),
		cmocka_unit_test(test_hanging_gpu_keeps_its_name),
		cmocka_unit_test(test_every_gpu_is_bad),
		cmocka_unit_test(test_worker_tells_nothing),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_session_dies),
		cmocka_unit_test(test_stuck_outlive_a_new_worker),
		cmocka_unit_test(test_stuck_are_capped),
		cmocka_unit_test(test_stuck_gpu_is_fenced),
		cmocka_unit_test(test_nonsense_ends_a_worker),
		cmocka_unit_test(test_no_driver),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_bursts_are_one_look),
		cmocka_unit_test(test_never_quiet),
		cmocka_unit_test(test_foreign_events),
		cmocka_unit_test(test_new_card),
		cmocka_unit_test(test_restless_folder),
		cmocka_unit_test(test_noise_and_news),
		cmocka_unit_test(test_unlisten_from_within),
		cmocka_unit_test(test_freed_at_any_moment),
		cmocka_unit_test(test_never_started),
	};

	return RUN(tests);
}
