/*
 * sim: seeded runs of a whole node on virtual time. Exit status 0: nothing was violated; else the
 * seed, its story, the command that repeats it and a smaller one are printed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#include "core/mem.h"
#include "test/sim/sim.h"

enum { SHRINK_S = 60 };

struct args {
	struct sim_plan plan;
	uint64_t runs, shrink_s;
	bool repeat;
	const char *sweep;
};

/* A must() that does not hold, or a sanitizer, ends the program: the seed is told all the same. */
static char last_words[200];

static void say_last_words(void)
{
	(void)!write(STDOUT_FILENO, last_words, strlen(last_words));
}

static void on_abort(int signo)
{
	(void)signo;
	say_last_words();
}

static void set_last_words(const struct sim_plan *p)
{
	snprintf(last_words, sizeof(last_words),
		 "ended; again:  LAB_LOG=1 sim --seed %llu --%s %llu\n",
		 (unsigned long long)p->seed, p->minutes ? "minutes" : "steps",
		 (unsigned long long)(p->minutes ? p->minutes : p->steps));
}

static void tell(const struct args *a, const struct sim_result *r, uint64_t before_ms)
{
	struct buf command;

	buf_init(&command, 1 << 20);
	sim_command(&a->plan, r, &command);
	printf("seed %llu, step %llu, after %.1f virtual hours: %s\n",
	       (unsigned long long)a->plan.seed, (unsigned long long)r->steps,
	       (double)(before_ms + r->virtual_ms) / 3600000, r->violation);
	printf("again, with tundra's log:  LAB_LOG=1 %s\n", buf_cstr(&command));
	buf_done(&command);
}

/* The same seed twice: a simulation that cannot be repeated proves nothing. */
static int run_again(const struct args *a, const struct sim_result *first)
{
	struct sim_result second;

	if (sim_run(&a->plan, &second))
		return 1;
	if (second.digest == first->digest)
		return 0;
	printf("seed %llu: two runs differ\n", (unsigned long long)a->plan.seed);
	return 1;
}

static int run_all(struct args *a)
{
	uint64_t ms = 0, checks = 0, steps = 0;
	struct sim_result r;

	for (uint64_t i = 0; i < a->runs; i++, a->plan.seed++) {
		set_last_words(&a->plan);
		if (sim_run(&a->plan, &r)) {
			tell(a, &r, ms);
			if (a->shrink_s)
				sim_shrink(&a->plan, &r, (unsigned)a->shrink_s);
			return 1;
		}
		if (a->repeat && run_again(a, &r))
			return 1;
		ms += r.virtual_ms;
		checks += r.checks;
		steps += r.steps;
	}
	printf(
	    "%.1f virtual hours, %llu steps, %llu comparisons with the model: nothing violated\n",
	    (double)ms / 3600000, (unsigned long long)steps, (unsigned long long)checks);
	return 0;
}

static uint64_t number(struct sv text)
{
	uint64_t n;

	if (sv_u64(text, &n) < 0) {
		(void)fprintf(stderr, "sim: " SV_FMT " is no number\n", SV_ARG(text));
		exit(2);
	}
	return n;
}

/* "1-3,7" */
static void mark_steps(bool *steps, bool mark, const char *text)
{
	struct sv rest = sv_str(text);

	while (rest.n) {
		struct sv end = sv_cut(&rest, ','), begin = sv_cut(&end, '-');
		uint64_t from = number(begin), to = end.n ? number(end) : from;

		if (to >= SIM_STEPS_MAX || from > to) {
			(void)fprintf(stderr, "sim: %s: steps are 0 to %d\n", text,
				      SIM_STEPS_MAX - 1);
			exit(2);
		}
		for (uint64_t i = from; i <= to; i++)
			steps[i] = mark;
	}
}

/* Every other step is left out. */
static void keep_only(struct args *a, const char *text)
{
	static bool left_out[SIM_STEPS_MAX];

	memset(left_out, true, sizeof(left_out));
	mark_steps(left_out, false, text);
	a->plan.left_out = left_out;
}

static void violate(struct args *a, const char *text)
{
	static bool steps[SIM_STEPS_MAX];

	mark_steps(steps, true, text);
	a->plan.violate = steps;
}

static int usage(void)
{
	(void)fprintf(
	    stderr, "usage: sim [--seed N] [--runs N] [--minutes N | --steps N [--only 1-3,7]]\n"
		    "           [--shrink SECONDS] [--repeat] [--verbose] [--violate 1-3,7]\n"
		    "       sim --sweep files|api|gpu-worker|disk-worker|disk-worker-2[:CALL:WAY]\n"
		    "  --minutes N   of virtual time a run (60)\n"
		    "  --steps N     so many steps instead\n"
		    "  --only LIST   leaves out all other steps\n"
		    "  --shrink N    seconds to look for a smaller run that fails too (60)\n"
		    "  --repeat      each run twice: they must be equal\n"
		    "  --violate L   fails when these steps were taken: how a failing run looks\n"
		    "  --sweep KIND  one life in which each call of that kind fails once\n"
		    "  --verbose     tells what happened, not only in a run that fails\n");
	return 2;
}

static bool parse(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "steps", required_argument, NULL, 'n' },
		{ "minutes", required_argument, NULL, 'm' },
		{ "only", required_argument, NULL, 'o' },
		{ "runs", required_argument, NULL, 'r' },
		{ "shrink", required_argument, NULL, 'k' },
		{ "repeat", no_argument, NULL, 'R' },
		{ "sweep", required_argument, NULL, 'S' },
		{ "violate", required_argument, NULL, 'V' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			a->plan.seed = number(sv_str(optarg));
		else if (c == 'n')
			a->plan.steps = number(sv_str(optarg));
		else if (c == 'm')
			a->plan.minutes = number(sv_str(optarg));
		else if (c == 'o')
			keep_only(a, optarg);
		else if (c == 'r')
			a->runs = number(sv_str(optarg));
		else if (c == 'k')
			a->shrink_s = number(sv_str(optarg));
		else if (c == 'S')
			a->sweep = optarg;
		else if (c == 'V')
			violate(a, optarg);
		else if (c == 'R')
			a->repeat = true;
		else if (c == 'v')
			a->plan.loud = true;
		else
			return false;
	}
	if (!a->plan.steps && !a->plan.minutes)
		a->plan.minutes = 60;
	return optind == argc && !(a->plan.steps && a->plan.minutes);
}

int main(int argc, char **argv)
{
	struct args a = { .plan = { .seed = 1 }, .runs = 1, .shrink_s = SHRINK_S };

	if (!parse(argc, argv, &a))
		return usage();
	signal(SIGABRT, on_abort);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_set_death_callback(say_last_words);
#endif
	/* A folder in memory: a sync of a simulated disk need not wait for a real one. */
	if (!getenv("TMPDIR") && !access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 1);
	return a.sweep ? sim_sweep(a.sweep) : run_all(&a);
}
