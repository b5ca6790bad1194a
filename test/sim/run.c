/* One run from its beginning to its end. */
#include <stdarg.h>

#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sim.h"

enum {
	PUBLISH_MS = 180000,
	SETTLE_MS = 120000,
	GIVE_BACK_MS = 300000,
	STORY_MAX = 8 << 20,
	ROUNDS_TO_EMPTY = 3
};

/* ---- dice and words ---- */

/* splitmix64 */
uint64_t sim_dice(struct sim *s, uint64_t n)
{
	uint64_t z = s->dice += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void dice_of_step(struct sim *s)
{
	s->dice = s->plan->seed * 0x2545f4914f6cdd1du + s->step * 0x9e6c63d0676a9a99u;
	(void)sim_dice(s, 2);
}

void sim_note(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	buf_printf(&s->story, "%6llu  %10.1f s  ", (unsigned long long)s->step,
		   (double)loop_now_ms(s->lab->loop) / 1000);
	va_start(ap, fmt);
	buf_vprintf(&s->story, fmt, ap);
	va_end(ap);
	buf_putc(&s->story, '\n');
	if (getenv("LAB_LOG"))
		(void)fprintf(stderr, "# step %llu\n", (unsigned long long)s->step);
}

void sim_violated(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (*s->result->violation)
		return;
	va_start(ap, fmt);
	vsnprintf(s->result->violation, sizeof(s->result->violation), fmt, ap);
	va_end(ap);
}

static bool violated(const struct sim *s)
{
	return *s->result->violation;
}

/* "1-3,7" of the steps 0 to n - 1 for which `steps` says `kept`. */
static void put_steps(const bool *steps, bool kept, uint64_t n, struct buf *out)
{
	const char *comma = "";

	for (uint64_t i = 0; i < n; i++) {
		uint64_t end = i;

		if (steps[i] != kept)
			continue;
		while (end + 1 < n && steps[end + 1] == kept)
			end++;
		buf_printf(out, "%s%llu", comma, (unsigned long long)i);
		if (end > i)
			buf_printf(out, "-%llu", (unsigned long long)end);
		comma = ",";
		i = end;
	}
}

void sim_command(const struct sim_plan *plan, const struct sim_result *r, struct buf *out)
{
	buf_printf(out, "sim --seed %llu --steps %llu", (unsigned long long)plan->seed,
		   (unsigned long long)r->steps);
	if (plan->violate) {
		buf_puts(out, " --violate ");
		put_steps(plan->violate, true, SIM_STEPS_MAX, out);
	}
	if (!plan->left_out)
		return;
	buf_puts(out, " --only ");
	put_steps(plan->left_out, false, r->steps, out);
}

/* ---- rounds ---- */

static bool left_out(const struct sim *s)
{
	return s->plan->left_out && s->plan->left_out[s->step];
}

static bool at_end(const struct sim *s)
{
	const struct sim_plan *p = s->plan;

	if (s->step >= SIM_STEPS_MAX)
		return true;
	return p->minutes ? loop_now_ms(s->lab->loop) >= p->minutes * 60000 : s->step >= p->steps;
}

/* Nothing is wrong with the driver: it is what a violation looks like that is tried. */
static void trip(struct sim *s)
{
	uint64_t n = 0;

	if (!s->plan->violate || !s->plan->violate[s->step])
		return;
	for (size_t i = 0; i < SIM_STEPS_MAX; i++)
		n += s->plan->violate[i];
	if (++s->trips == n)
		sim_violated(s, "all of --violate was taken");
}

/* True: something happened. */
static bool steps(struct sim *s)
{
	bool any = false;

	for (int i = 0; i < SIM_ROUND && !violated(s); i++) {
		if (!s->plan->minutes && s->step >= s->plan->steps)
			break;
		dice_of_step(s);
		if (!left_out(s)) {
			sim_act(s);
			trip(s);
		}
		any = any || !left_out(s);
		s->result->steps = ++s->step;
	}
	return any;
}

void sim_settle(struct sim *s)
{
	sim_mend(s);
	if (!violated(s))
		lab_pass(s->lab, PUBLISH_MS);
	if (!violated(s))
		model_published(s);
	faults_mend_gpus(s);
	if (!violated(s))
		lab_pass(s->lab, SETTLE_MS);
	if (!violated(s))
		model_settled(s);
}

void sim_give_back(struct sim *s)
{
	sim_note(s, "every pod is deleted");
	pods_end_all(s);
	lab_pass(s->lab, GIVE_BACK_MS);
	if (!violated(s))
		model_over(s);
}

static void rounds(struct sim *s)
{
	uint64_t round = 0;

	sim_begin(s);
	do {
		bool any = steps(s);

		round++;
		if (any && !violated(s))
			sim_settle(s);
		if (!violated(s) && (at_end(s) || (any && round % ROUNDS_TO_EMPTY == 0)))
			sim_give_back(s);
		lab_forget(s->lab);
	} while (!violated(s) && !at_end(s));
}

/* ---- life ---- */

static void sim_done(struct sim *s)
{
	s->lab->on_turn = NULL;
	kubelet_free(&s->kubelet);
	for (size_t i = 0; i < SIM_NODES; i++)
		lab_node_done(&s->nodes[i]);
	model_free(&s->model);
	lab_free(&s->lab);
	buf_done(&s->story);
	mem_free(s);
}

int sim_run(const struct sim_plan *plan, struct sim_result *result)
{
	struct sim *s = MEM_NEW(struct sim);

	*result = (struct sim_result){ 0 };
	s->plan = plan;
	s->result = result;
	buf_init(&s->story, STORY_MAX);
	files_begin();
	s->lab = lab_new(SIM_GPUS, plan->seed);
	s->model = model_new(s);
	s->lab->on_turn = model_on_turn;
	s->lab->on_turn_arg = s;
	if (plan->script)
		plan->script(s, plan->arg);
	else
		rounds(s);
	result->virtual_ms = loop_now_ms(s->lab->loop);
	result->checks = model_checks(s->model);
	if (plan->loud || (violated(s) && !plan->quiet))
		printf("%s", buf_cstr(&s->story));
	files_well();
	sim_done(s);
	files_begin();
	return *result->violation ? 1 : 0;
}
