/* What happens to a node: a table of actions and how often. */
#include <errno.h>
#include <stdarg.h>

#include "core/mem.h"
#include "test/sim/sim.h"

uint64_t sim_dice(struct sim *s, uint64_t n)
{
	return loop_random(s->lab->loop) % n;
}

void sim_note(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	buf_printf(&s->story, "%8.1f s  ", (double)loop_now_ms(s->lab->loop) / 1000);
	va_start(ap, fmt);
	buf_vprintf(&s->story, fmt, ap);
	va_end(ap);
	buf_putc(&s->story, '\n');
}

static struct lab_node *present(struct sim *s)
{
	return &s->nodes[s->nodes_n - 1];
}

/* ---- drivers ---- */

static void start_instance(struct sim *s)
{
	struct err e = { "" };
	char instance[24];

	must(s->nodes_n < SIM_NODES_MAX);
	snprintf(instance, sizeof(instance), "pod-%zu", s->nodes_n);
	if (lab_node_start(&s->nodes[s->nodes_n++], s->lab, LAB_DRIVER, instance, &e))
		sim_violated(s, "the driver does not start: %s", e.text);
}

static void again(struct sim *s)
{
	struct err e = { "" };

	if (!present(s)->driver && lab_node_again(present(s), &e))
		sim_violated(s, "the driver does not start again: %s", e.text);
}

static void kill_driver(struct sim *s)
{
	sim_note(s, "the driver is killed");
	lab_node_kill(present(s));
	sim_check(s);
	lab_pass(s->lab, sim_dice(s, 10000));
	sim_check(s);
	again(s);
}

static void restart_driver(struct sim *s)
{
	sim_note(s, "the driver is restarted in order");
	if (!lab_node_stop(present(s), 60000))
		sim_violated(s, "the driver does not end within 60 s of SIGTERM");
	sim_check(s);
	lab_pass(s->lab, sim_dice(s, 5000));
	again(s);
}

static void surge(struct sim *s)
{
	struct lab_node *old = present(s);
	bool fails = sim_dice(s, 3) == 0;

	if (s->nodes_n == SIM_NODES_MAX || s->lab->disks_n == LAB_DISKS_MAX)
		return;
	sim_note(s, "a second instance starts%s", fails ? " and dies" : "");
	start_instance(s);
	lab_pass(s->lab, sim_dice(s, 8000));
	sim_check(s);
	if (fails) {
		lab_node_kill(present(s));
		lab_node_done(present(s));
		s->nodes_n--;
		return;
	}
	if (!lab_node_stop(old, 60000))
		sim_violated(s, "the old instance does not end within 60 s of SIGTERM");
}

static void restart_kubelet(struct sim *s)
{
	sim_note(s, "the kubelet restarts");
	kubelet_restart(s->kubelet);
}

/* ---- pods ---- */

static struct sim_pod *pod_new(struct sim *s)
{
	struct sim_pod *pod = &s->pods[s->pods_n];

	if (s->pods_n == SIM_PODS_MAX)
		return NULL;
	s->pods_n++;
	*pod = (struct sim_pod){ .owns_claim = true };
	snprintf(pod->name, sizeof(pod->name), "pod-%u", ++s->serial);
	snprintf(pod->claim, sizeof(pod->claim), "claim-%u", s->serial);
	return pod;
}

static void new_pod(struct sim *s)
{
	struct sim_pod *pod = pod_new(s);
	unsigned gpus = 1 + (unsigned)sim_dice(s, 2), seconds;

	if (!pod)
		return;
	seconds = sim_dice(s, 4) ? 0 : 5 + (unsigned)sim_dice(s, 30);
	sim_note(s, "%s asks for %u GPUs%s", pod->name, gpus, seconds ? ", for a while" : "");
	lab_claim_wish(s->lab, pod->claim, LAB_DRIVER, gpus);
	lab_pod(s->lab, pod->name, pod->claim, seconds);
}

static void new_sharer(struct sim *s)
{
	struct sim_pod *pod;
	const struct sim_pod *with;

	if (!s->pods_n || s->pods_n == SIM_PODS_MAX)
		return;
	with = &s->pods[sim_dice(s, s->pods_n)];
	if (!with->owns_claim)
		return;
	pod = pod_new(s);
	pod->owns_claim = false;
	snprintf(pod->claim, sizeof(pod->claim), "%s", with->claim);
	sim_note(s, "%s shares %s", pod->name, pod->claim);
	lab_pod(s->lab, pod->name, pod->claim, 0);
}

static void new_monitor(struct sim *s)
{
	struct sim_pod *pod = pod_new(s);

	if (!pod)
		return;
	sim_note(s, "%s watches every GPU", pod->name);
	store_put_text(s->lab->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
		       "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},\"spec\":{"
		       "\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{"
		       "\"deviceClassName\":\"" LAB_DRIVER "\",\"allocationMode\":\"All\","
		       "\"adminAccess\":true}}]}}}",
		       pod->claim);
	lab_pod(s->lab, pod->name, pod->claim, 0);
}

static void end_pod(struct sim *s, size_t i, bool force)
{
	struct sim_pod *pod = &s->pods[i];

	lab_pod_delete(s->lab, pod->name, force);
	if (pod->owns_claim)
		lab_claim_end(s->lab, pod->claim);
	*pod = s->pods[--s->pods_n];
}

static void delete_pod(struct sim *s)
{
	size_t i;

	if (!s->pods_n)
		return;
	i = sim_dice(s, s->pods_n);
	sim_note(s, "%s is deleted", s->pods[i].name);
	end_pod(s, i, false);
}

static void delete_pod_by_force(struct sim *s)
{
	size_t i;

	if (!s->pods_n)
		return;
	i = sim_dice(s, s->pods_n);
	sim_note(s, "%s is deleted by force", s->pods[i].name);
	end_pod(s, i, true);
}

/* ---- the API server ---- */

static void api_fault(struct sim *s)
{
	static const char *const faults[] = {
		"get resourceclaims status=503",    "get resourceclaims status=403",
		"get resourceclaims status=429",    "get resourceclaims delay=3000",
		"get resourceclaims cut",	    "get resourceclaims lose",
		"get resourceclaims silent",	    "update resourceslices status=409",
		"create resourceslices lose",	    "create resourceslices status=500",
		"delete resourceslices status=409", "watch resourceslices status=500",
		"list resourceslices status=429",   "list resourceslices cut",
		"create events status=500",	    "get nodes status=503",
		"get resourceclaims goaway",	    "get resourceclaims refuse",
	};
	const char *fault = faults[sim_dice(s, ARRAY_LEN(faults))];
	char text[96];
	struct err e = { "" };

	snprintf(text, sizeof(text), "%s times=%u", fault, 1 + (unsigned)sim_dice(s, 3));
	sim_note(s, "the API server: %s", text);
	apiserver_clear(s->lab->server);
	must(apiserver_fault_text(s->lab->server, text, &e) == 0);
}

static void api_connections(struct sim *s)
{
	switch (sim_dice(s, 4)) {
	case 0:
		sim_note(s, "the API server loses its connections");
		apiserver_cut(s->lab->server);
		break;
	case 1:
		sim_note(s, "the API server says GOAWAY");
		apiserver_goaway(s->lab->server);
		break;
	case 2:
		sim_note(s, "the API server forgets its history");
		apiserver_expire(s->lab->server);
		break;
	default:
		sim_note(s, "the API server is down");
		apiserver_down(s->lab->server);
		lab_pass(s->lab, sim_dice(s, 20000));
		sim_check(s);
		apiserver_up(s->lab->server);
		break;
	}
}

static void delete_slices(struct sim *s)
{
	sim_note(s, "somebody deletes the slices");
	lab_delete_all(s->lab, "resourceslices");
}

/* ---- disk, GPUs, clock ---- */

static void disk_fault(struct sim *s)
{
	struct lab_disk *d = present(s)->disk;

	switch (sim_dice(s, 4)) {
	case 0:
		sim_note(s, "the disk is full");
		d->fail = -ENOSPC;
		d->fails = 1 + (unsigned)sim_dice(s, 3);
		break;
	case 1:
		sim_note(s, "the disk fails");
		d->fail = -EIO;
		d->fails = 1;
		break;
	case 2:
		sim_note(s, "the disk worker dies");
		lab_disk_kill(d);
		break;
	default:
		sim_note(s, "the disk is slow");
		lab_disk_pause(d, true);
		lab_pass(s->lab, sim_dice(s, 4000));
		sim_check(s);
		lab_disk_pause(d, false);
		break;
	}
}

static void gpu_fault(struct sim *s)
{
	struct gpu_script *g = &s->lab->gpus;
	struct gpu_script_gpu *gpu = &g->gpus[sim_dice(s, SIM_GPUS)];
	uint64_t what = sim_dice(s, 4);

	switch (what) {
	case 0:
		gpu->present = !gpu->present;
		sim_note(s, "%s %s", gpu->uuid, gpu->present ? "is back" : "is lost");
		break;
	case 1:
		snprintf(gpu->trouble, sizeof(gpu->trouble), "%s",
			 *gpu->trouble ? "" : "it is ill");
		sim_note(s, "%s %s", gpu->uuid, *gpu->trouble ? "is ill" : "is well");
		break;
	case 2:
		snprintf(g->no_driver, sizeof(g->no_driver), "%s", *g->no_driver ? "" : "unloaded");
		sim_note(s, "the GPUs' driver is %s", *g->no_driver ? "unloaded" : "loaded");
		break;
	default:
		snprintf(g->broken, sizeof(g->broken), "%s", *g->broken ? "" : "it hangs");
		sim_note(s, "the GPUs' driver %s", *g->broken ? "hangs" : "answers");
		break;
	}
	/* One GPU's news comes as the kernel tells it. */
	if (what < 2)
		lab_uevent(s->lab, gpu->pci);
	else
		inventory_rescan(s->lab->inventory, "sim");
}

static void device_fault(struct sim *s)
{
	switch (sim_dice(s, 3)) {
	case 0:
		sim_note(s, "devices refuse");
		lab_plans()->run = -EIO;
		break;
	case 1:
		sim_note(s, "devices obey");
		lab_plans()->run = 0;
		break;
	default:
		sim_note(s, "a device takes its time");
		lab_plans()->hold = true;
		lab_pass(s->lab, sim_dice(s, 5000));
		sim_check(s);
		lab_plans_release();
		break;
	}
}

static void skew_clock(struct sim *s)
{
	int64_t minutes = (int64_t)sim_dice(s, 120) - 60;

	sim_note(s, "the wall clock jumps by %lld minutes", (long long)minutes);
	loop_skew_wall(s->lab->loop, minutes * 60000);
}

static void wait_long(struct sim *s)
{
	uint64_t ms = sim_dice(s, 90000);

	sim_note(s, "nothing, for %llu s", (unsigned long long)ms / 1000);
	lab_pass(s->lab, ms);
}

/* ---- */

static const struct {
	unsigned weight;
	void (*act)(struct sim *s);
} actions[] = {
	{ 12, new_pod },
	{ 4, new_sharer },
	{ 2, new_monitor },
	{ 7, delete_pod },
	{ 3, delete_pod_by_force },
	{ 5, kill_driver },
	{ 2, restart_driver },
	{ 3, surge },
	{ 3, restart_kubelet },
	{ 7, api_fault },
	{ 4, api_connections },
	{ 2, delete_slices },
	{ 5, disk_fault },
	{ 4, gpu_fault },
	{ 3, device_fault },
	{ 1, skew_clock },
	{ 3, wait_long },
};

void sim_act(struct sim *s)
{
	uint64_t sum = 0, at;

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		sum += actions[i].weight;
	at = sim_dice(s, sum);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (at < actions[i].weight) {
			actions[i].act(s);
			break;
		}
		at -= actions[i].weight;
	}
	/* In the middle of what it started, then a little later. */
	lab_turns(s->lab, (unsigned)sim_dice(s, 60));
	sim_check(s);
	lab_pass(s->lab, sim_dice(s, 3000));
	sim_check(s);
}

void sim_begin(struct sim *s)
{
	lab_class(s->lab, LAB_DRIVER);
	s->kubelet = lab_kubelet(s->lab, SIM_SYNC_MS);
	start_instance(s);
	lab_pass(s->lab, sim_dice(s, 5000));
}

void sim_mend(struct sim *s)
{
	struct gpu_script *g = &s->lab->gpus;

	sim_note(s, "everything is mended");
	apiserver_clear(s->lab->server);
	lab_plans()->run = lab_plans()->undo = 0;
	lab_plans_release();
	for (size_t i = 0; i < s->lab->disks_n; i++)
		s->lab->disks[i].fails = 0;
	g->no_driver[0] = g->broken[0] = '\0';
	for (size_t i = 0; i < SIM_GPUS; i++) {
		g->gpus[i].present = true;
		g->gpus[i].trouble[0] = '\0';
	}
	inventory_rescan(s->lab->inventory, "sim");
	again(s);
}

void sim_end_all(struct sim *s)
{
	sim_note(s, "every pod is deleted");
	while (s->pods_n)
		end_pod(s, s->pods_n - 1, false);
}
