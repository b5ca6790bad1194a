/* What happens to a node: a table of actions and how often; the drivers' lives. */
#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sim.h"

enum { DRAIN_MS = 50000 };

/* ---- drivers ---- */

struct name {
	char text[24];
};

/* Of each start its own, as in tools/tundra/node.c. */
static struct name new_name(struct sim *s)
{
	struct name n;

	snprintf(n.text, sizeof(n.text), "pod-%u", ++s->serial);
	return n;
}

/* A disk that fails may keep it from starting; then it is started anew, as a DaemonSet's pod is. */
static void start_again(struct sim *s, struct lab_node *n)
{
	struct err e = { "" };

	for (int i = 0; i < 3 && !n->driver; i++) {
		lab_node_name(n, new_name(s).text);
		if (!lab_node_again(n, &e))
			return;
		sim_note(s, "the driver does not start: %s", e.text);
		lab_pass(s->lab, 1000);
	}
}

/* Before the disk worker was asked anything: that is the next turn's. */
static void plan_disk(struct lab_disk *d, struct sim_disk_plan *p)
{
	if (!p->fate)
		return;
	d->fate = p->fate;
	d->skip = p->skip;
	d->fates = 1;
	p->fate = INPROC_SERVE;
}

bool sim_start(struct sim *s, struct lab_node **out)
{
	struct err e = { "" };

	for (size_t i = 0; i < SIM_NODES; i++) {
		struct lab_node *n = &s->nodes[i];

		if (n->driver)
			continue;
		*out = n;
		if (!n->lab && lab_node_start(n, s->lab, LAB_DRIVER, new_name(s).text, &e))
			sim_note(s, "the driver does not start: %s", e.text);
		plan_disk(n->disk, &s->disk_plan[i]);
		start_again(s, n);
		return n->driver;
	}
	return false;
}

void sim_again(struct sim *s)
{
	start_again(s, s->present);
}

/* As tools/tundra ends it: after DRAIN_MS it is given up, which a disk that fails excuses. */
void sim_stop(struct sim *s, struct lab_node *n)
{
	bool in_time = lab_node_stop(n, DRAIN_MS);

	if (!in_time && !files_failing())
		sim_violated(s, "a driver does not end within %d s of SIGTERM", DRAIN_MS / 1000);
}

static void kill_driver(struct sim *s)
{
	lab_turns(s->lab, (unsigned)sim_dice(s, 40));
	sim_note(s, "the driver is killed");
	lab_node_kill(s->present);
	lab_pass(s->lab, sim_dice(s, 2) ? sim_dice(s, 1500) : sim_dice(s, 15000));
	sim_again(s);
}

static void restart_driver(struct sim *s)
{
	sim_note(s, "the driver is restarted in order");
	if (s->present->driver)
		sim_stop(s, s->present);
	lab_pass(s->lab, sim_dice(s, 5000));
	sim_again(s);
}

/* A rolling update, in which either side may be killed at any moment. */
static void surge(struct sim *s)
{
	static const char *const ends[] = { "and takes over", "and dies", "and the old one dies" };
	struct lab_node *old = s->present, *new;
	uint64_t end = sim_dice(s, 4) % 3;

	sim_note(s, "a second instance starts %s", ends[end]);
	if (!old->driver || !sim_start(s, &new))
		return;
	if (sim_dice(s, 2))
		lab_pass(s->lab, sim_dice(s, 8000));
	else
		lab_turns(s->lab, (unsigned)sim_dice(s, 200));
	if (end == 1) {
		lab_node_kill(new);
		return;
	}
	s->present = new;
	if (end == 2)
		lab_node_kill(old);
	else
		sim_stop(s, old);
}

/*
 * Nobody tells a driver that is down of a deletion by force: what its claims held is allocated
 * anew at once, and the pods that waited for it come before the kubelet has ended the old ones.
 */
static void force_while_down(struct sim *s)
{
	uint64_t n = 1 + sim_dice(s, 3);

	pods_fill(s);
	lab_pass(s->lab, sim_dice(s, 8000));
	sim_note(s, "the driver is killed");
	lab_node_kill(s->present);
	lab_pass(s->lab, sim_dice(s, 2000));
	while (n--)
		pods_delete_by_force(s);
	lab_pass(s->lab, sim_dice(s, 10000));
	sim_again(s);
}

static void restart_kubelet(struct sim *s)
{
	sim_note(s, "the kubelet restarts");
	kubelet_restart(s->kubelet);
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
	{ 14, pods_new },
	{ 4, pods_new_sharer },
	{ 2, pods_new_monitor },
	{ 8, pods_delete },
	{ 5, pods_delete_by_force },
	{ 6, kill_driver },
	{ 2, restart_driver },
	{ 4, surge },
	{ 5, force_while_down },
	{ 3, restart_kubelet },
	{ 8, faults_api },
	{ 4, faults_connections },
	{ 2, faults_slices },
	{ 5, faults_files },
	{ 4, faults_disk_worker },
	{ 4, faults_gpu },
	{ 2, faults_gpu_worker },
	{ 3, faults_device },
	{ 1, faults_clock },
	{ 1, faults_cdi_emptied },
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
	/* The next step comes in the middle of what this one started, or a little later. */
	lab_turns(s->lab, (unsigned)sim_dice(s, 60));
	if (sim_dice(s, 2))
		lab_pass(s->lab, sim_dice(s, 6000));
}

void sim_begin(struct sim *s)
{
	lab_class(s->lab, LAB_DRIVER);
	s->kubelet = lab_kubelet_heard(s->lab, (struct kubelet_conf){ .sync_ms = SIM_SYNC_MS,
								      .on_call = model_on_call,
								      .on_reply = model_on_reply,
								      .arg = s });
	must(sim_start(s, &s->present));
	lab_pass(s->lab, 5000);
}

void sim_mend(struct sim *s)
{
	sim_note(s, "everything is mended");
	faults_mend(s);
	for (size_t i = 0; i < SIM_NODES; i++)
		if (&s->nodes[i] != s->present && s->nodes[i].driver)
			lab_node_kill(&s->nodes[i]);
	sim_again(s);
	if (!s->present->driver)
		sim_violated(s, "the driver does not start though nothing fails");
}
