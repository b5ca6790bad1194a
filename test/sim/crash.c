/*
 * One life of a node in which a process dies, behind each of its calls that change a file: with its
 * pod or the whole machine, and once more in what follows. What was answered is on the disk then,
 * the next one can work with whatever is left, and in the end nothing is left.
 */
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sweep.h"

enum { STEP_MS = 500, TIDY_MS = 60000, OLD = 0, NEW = 1 };

/* What becomes of the world when the one dies whose calls are counted. */
struct crash {
	struct sim *sim;
	const struct sweep *w;
	void (*died)(struct crash *c); /* its body is gone */
	unsigned deaths;
	bool counts_turns, window; /* of a hand-over */
	unsigned turns, at_turn;
};

/* While one follows the other, the devices stay published, whoever dies. */
static void check_window(struct crash *c)
{
	struct sim *s = c->sim;

	if (lab_published(s->lab) != SIM_GPUS)
		sim_violated(s, "%zu devices are published in the hand-over",
			     lab_published(s->lab));
	if (c->counts_turns && ++c->turns == c->at_turn)
		files_die();
}

/* Behind each turn, and so outside of every callback. */
static void on_turn(void *arg)
{
	struct crash *c = arg;
	struct sim *s = c->sim;

	if (c->window)
		check_window(c);
	if (files_dead()) {
		sim_note(s, "the driver dies");
		lab_node_kill(&s->nodes[c->w->kind->target]);
		files_buried();
		c->deaths++;
		c->died(c);
		model_after_crash(s);
	}
	model_on_turn(s);
}

static void begin(struct crash *c, struct sim *s, const struct sweep *w,
		  void (*died)(struct crash *c))
{
	*c = (struct crash){ .sim = s, .w = w, .died = died };
	s->lab->own_paths = true;
	s->lab->on_turn = on_turn;
	s->lab->on_turn_arg = c;
}

/* The DaemonSet starts what is not there. */
static void pass(struct sim *s, uint64_t ms)
{
	for (uint64_t at = 0; at < ms && !*s->result->violation; at += STEP_MS) {
		lab_pass(s->lab, STEP_MS);
		if (!s->present->driver)
			sim_again(s);
	}
}

static void stop_in_order(struct sim *s)
{
	sim_note(s, "the driver is ended in order");
	if (s->present->driver)
		sim_stop(s, s->present);
}

/* Pods come and go, alone and together; claims have one GPU and two; one is prepared again. */
static void come_and_go(struct sim *s)
{
	pods_new_of(s, 1, false);
	pods_new_of(s, 1, true);
	pass(s, 6000);
	pods_delete_first(s);
	pass(s, 3000);
	pods_new_of(s, 2, false);
	pass(s, 4000);
	kubelet_restart(s->kubelet); /* it has forgotten what is prepared */
	pods_new_sharer(s);
	pass(s, 4000);
}

static void end_life(struct crash *c)
{
	struct sim *s = c->sim;

	if (c->w->at && !c->deaths)
		sim_violated(s, "nobody died");
	files_kill(c->w->kind->target, 0);
	if (!*s->result->violation)
		sim_settle(s);
	if (!*s->result->violation)
		sim_give_back(s);
	if (*s->result->violation)
		return;
	/* What another one left while it ran is the next one's. */
	stop_in_order(s);
	sim_again(s);
	lab_pass(s->lab, TIDY_MS);
	model_tidy(s, true);
	stop_in_order(s);
	model_tidy(s, false);
}

/* ---- its pod dies ---- */

/* Every other time it is not the container that is started again, but another pod. */
static void another_instance(struct crash *c)
{
	struct sim *s = c->sim;
	char name[24];

	if (c->w->at % 2)
		return;
	snprintf(name, sizeof(name), "pod-%u", ++s->serial);
	lab_node_name(&s->nodes[c->w->kind->target], name);
}

/* Calls between the first death and the second. */
static const unsigned again[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
/* Likewise: a start takes about twenty, then specs and answers come. */
static const unsigned remaking[] = { 6, 12, 16, 18, 20, 22, 24, 26, 28, 30, 33, 36 };
static const unsigned later[] = { 2, 24, 40 };

static void die_again(struct crash *c)
{
	another_instance(c);
	if (c->deaths == 1 && c->w->kind->ways > 1)
		files_kill(c->w->kind->target, again[c->w->way]);
}

static void life_of_one(struct crash *c)
{
	struct sim *s = c->sim;

	files_kill(OLD, (unsigned)c->w->at);
	sim_begin(s);
	come_and_go(s);
	stop_in_order(s);
	pass(s, 8000);
	pods_delete_first(s);
	pass(s, 4000);
}

static void life_killed(struct sim *s, void *arg)
{
	struct sweep *w = arg;
	struct crash c;

	begin(&c, s, w, die_again);
	life_of_one(&c);
	w->calls = files_death_calls();
	end_life(&c);
}

/* ---- the power fails ---- */

/* What is left of the state folder, and of the CDI folder: that is in memory, or on the disk too.
 */
static const struct {
	enum files_loss state, cdi;
	bool cdi_in_memory;
} losses[] = {
	{ FILES_OLDEST, FILES_NEWEST, true }, { FILES_NEWEST, FILES_NEWEST, true },
	{ FILES_TORN, FILES_NEWEST, true },   { FILES_OLDEST, FILES_TORN, false },
	{ FILES_EMPTY, FILES_EMPTY, false },
};

static int remove_entry(void *arg, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", (const char *)arg, name);

	return fsx_remove(path);
}

static void lose_power(struct crash *c, size_t way)
{
	struct sim *s = c->sim;
	struct lab *l = s->lab;

	sim_note(s, "the power fails");
	files_power_loss(l->plugins, losses[way].state);
	if (!losses[way].cdi_in_memory)
		files_power_loss(l->cdi, losses[way].cdi);
	else if (fsx_exists(l->cdi))
		must(fsx_list(l->cdi, remove_entry, l->cdi) == 0 && rmdir(l->cdi) == 0);
	snprintf(l->boot_id, sizeof(l->boot_id), "boot-%u", 1 + c->deaths);
	model_cdi_emptied(s->model, !losses[way].cdi_in_memory);
	kubelet_reboot(s->kubelet);
}

static void power_fails(struct crash *c)
{
	lose_power(c, c->w->way);
}

/* Killed first: what the dead one had not synced yet is the next one's matter. */
static void power_fails_later(struct crash *c)
{
	if (c->deaths == 1)
		files_kill(c->w->kind->target, later[c->w->way]);
	else
		lose_power(c, 0);
}

/* And killed in the middle of making everything anew. */
static void power_failed_first(struct crash *c)
{
	if (c->deaths > 1)
		return;
	lose_power(c, 0);
	files_kill(c->w->kind->target, remaking[c->w->way]);
}

static void without_power(struct sim *s, struct sweep *w, void (*died)(struct crash *c))
{
	struct crash c;

	begin(&c, s, w, died);
	life_of_one(&c);
	w->calls = files_death_calls();
	end_life(&c);
}

static void life_without_power(struct sim *s, void *arg)
{
	without_power(s, arg, power_fails);
}

static void life_killed_without_power(struct sim *s, void *arg)
{
	without_power(s, arg, power_fails_later);
}

static void life_without_power_killed(struct sim *s, void *arg)
{
	without_power(s, arg, power_failed_first);
}

/* ---- one follows the other ---- */

static void nothing_else(struct crash *c)
{
	(void)c;
}

/*
 * A prepare and an unprepare come in the middle. The API server takes so long that the old one has
 * let the ledger go when it knows what to prepare: that call waits, and the new one has to do it.
 */
static void meet(struct crash *c, struct lab_node *old)
{
	struct sim *s = c->sim;
	struct lab_node *new;
	struct err e = { "" };

	must(apiserver_fault_text(s->lab->server, "get resourceclaims delay=5000 times=1", &e) ==
	     0);
	sim_note(s, "a second instance starts");
	if (!sim_start(s, &new) && c->w->kind->target == OLD)
		sim_violated(s, "the new one does not start");
	pods_new_of(s, 1, false);
	pods_delete_first(s);
	lab_pass(s->lab, 8000);
	pods_new_of(s, 1, false);
	lab_pass(s->lab, 3000);
	/* Every other time the new one that died is given up, and the old one goes on. */
	if (c->w->kind->target == NEW && c->deaths && c->w->at % 2) {
		if (new->driver)
			lab_node_kill(new);
		return;
	}
	s->present = new;
	if (!new->driver)
		sim_again(s);
	lab_pass(s->lab, 3000);
	if (old->driver)
		sim_stop(s, old);
}

static void hand_over(struct sim *s, struct sweep *w, bool counts_turns)
{
	struct crash c;
	struct lab_node *old;

	begin(&c, s, w, nothing_else);
	files_kill(w->kind->target, 0);
	sim_begin(s);
	pods_new_of(s, 1, true);
	pods_new_of(s, 1, false);
	lab_pass(s->lab, 6000);
	old = s->present;
	files_kill(w->kind->target, counts_turns ? 0 : (unsigned)w->at);
	c.counts_turns = counts_turns;
	c.at_turn = (unsigned)w->at;
	c.window = s->only_lost = true;
	meet(&c, old);
	w->calls = counts_turns ? c.turns : files_death_calls();
	pass(s, 8000);
	c.window = c.counts_turns = false;
	end_life(&c);
}

static void life_handed_over(struct sim *s, void *arg)
{
	hand_over(s, arg, false);
}

static void life_handed_over_by_turns(struct sim *s, void *arg)
{
	hand_over(s, arg, true);
}

/* ---- */

enum { AGAIN_EVERY = 8 };

const struct sweep_kind crash_kinds[] = {
	{ "kill", "kill -9 behind file call", 1, 1, life_killed, NULL, NULL, OLD },
	{ "kill-again", "kill -9 twice, first behind file call", ARRAY_LEN(again), AGAIN_EVERY,
	  life_killed, NULL, NULL, OLD },
	{ "power", "power loss behind file call", ARRAY_LEN(losses), 1, life_without_power, NULL,
	  NULL, OLD },
	{ "kill-power", "kill -9 behind file call, power loss later", ARRAY_LEN(later), 1,
	  life_killed_without_power, NULL, NULL, OLD },
	{ "power-kill", "power loss behind file call, kill -9 in what follows", ARRAY_LEN(remaking),
	  AGAIN_EVERY, life_without_power_killed, NULL, NULL, OLD },
	{ "kill-old", "hand-over, the old one dies behind file call", 1, 1, life_handed_over, NULL,
	  NULL, OLD },
	{ "kill-new", "hand-over, the new one dies behind file call", 1, 1, life_handed_over, NULL,
	  NULL, NEW },
	{ "kill-old-turn", "hand-over, the old one dies behind turn", 1, 1,
	  life_handed_over_by_turns, NULL, NULL, OLD },
	{ "kill-new-turn", "hand-over, the new one dies behind turn", 1, 1,
	  life_handed_over_by_turns, NULL, NULL, NEW },
};
const size_t crash_kinds_n = ARRAY_LEN(crash_kinds);
