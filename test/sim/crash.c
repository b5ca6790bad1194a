/*
 * One life of a node in which a process dies, behind each of its calls that change a file: with its
 * pod or the whole machine, and once more in what follows. What was answered is on the disk then,
 * the next one can work with whatever is left, and in the end nothing is left.
 */
#include "core/fsx.h"
#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sweep.h"

enum { STEP_MS = 500, DRAIN_MS = 50000, OLD = 0, NEW = 1 };

/* What becomes of the world when the one dies whose calls are counted. */
struct crash {
	struct sim *sim;
	const struct sweep *w;
	void (*died)(struct crash *c); /* its body is gone */
	unsigned deaths, turns, at_turn;
	bool counts_turns;
};

/* Behind each turn, and so outside of every callback. */
static void on_turn(void *arg)
{
	struct crash *c = arg;
	struct sim *s = c->sim;

	if (c->counts_turns && ++c->turns == c->at_turn)
		files_die();
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

	if (!*s->result->violation)
		sim_settle(s);
	if (!*s->result->violation)
		sim_give_back(s);
	if (*s->result->violation)
		return;
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

static void die_again(struct crash *c)
{
	another_instance(c);
	if (c->deaths == 1 && c->w->way)
		files_kill(c->w->kind->target, c->w->way);
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
	if (w->at && c.deaths != 1 + (w->way > 0))
		sim_note(s, "died %u times", c.deaths);
	end_life(&c);
}

/* ---- */

enum { AGAIN_CALLS = 12, AGAIN_EVERY = 5 };

const struct sweep_kind crash_kinds[] = {
	{ "kill", "kill -9 behind file call", 1, 1, life_killed, NULL, NULL, OLD },
	{ "kill-again", "kill -9 twice, first behind file call", AGAIN_CALLS, AGAIN_EVERY,
	  life_killed, NULL, NULL, OLD },
};
const size_t crash_kinds_n = ARRAY_LEN(crash_kinds);
