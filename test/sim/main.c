/*
 * sim: seeded runs of a whole node on virtual time. Exit status 0: nothing was violated; else the
 * seed, the story so far and the command that repeats it are printed.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "core/mem.h"
#include "test/sim/sim.h"

enum { STEPS = 20, SETTLE_MS = 240000, GIVE_BACK_MS = 300000, STORY_MAX = 1 << 20 };

struct args {
	uint64_t seed, steps, runs;
	bool repeat, loud;
};

/* A must() that does not hold ends the program: the seed is told all the same. */
static char last_words[160];

static void on_abort(int signo)
{
	(void)signo;
	(void)!write(STDOUT_FILENO, last_words, strlen(last_words));
}

static void sim_done(struct sim *s)
{
	kubelet_free(&s->kubelet);
	for (size_t i = 0; i < s->nodes_n; i++)
		lab_node_done(&s->nodes[i]);
	lab_free(&s->lab);
	buf_done(&s->story);
	mem_free(s);
}

/* 0 and the run's digest; 1: violated, and told. */
static int run(const struct args *a, uint64_t seed, uint64_t *digest)
{
	struct sim *s = MEM_NEW(struct sim);
	uint64_t step = 0;
	int code = 0;

	snprintf(last_words, sizeof(last_words),
		 "aborted; again:  LAB_LOG=1 sim --seed %llu --steps %llu --runs 1\n",
		 (unsigned long long)seed, (unsigned long long)a->steps);
	buf_init(&s->story, STORY_MAX);
	s->lab = lab_new(SIM_GPUS, seed);
	sim_begin(s);
	for (; step < a->steps && !*s->violation; step++)
		sim_act(s);
	if (!*s->violation) {
		sim_mend(s);
		lab_pass(s->lab, SETTLE_MS);
		sim_check_settled(s);
	}
	if (!*s->violation) {
		sim_end_all(s);
		lab_pass(s->lab, GIVE_BACK_MS);
		sim_check_over(s);
	}
	*digest = s->digest;
	if (*s->violation) {
		code = 1;
		printf("%s\nseed %llu, step %llu: %s\n", buf_cstr(&s->story),
		       (unsigned long long)seed, (unsigned long long)step, s->violation);
		printf(
		    "again, with tundra's log:  LAB_LOG=1 sim --seed %llu --steps %llu --runs 1\n",
		    (unsigned long long)seed, (unsigned long long)a->steps);
	} else if (a->loud) {
		printf("%sseed %llu: fine\n", buf_cstr(&s->story), (unsigned long long)seed);
	}
	sim_done(s);
	return code;
}

/* The same seed twice: a simulation that cannot be repeated proves nothing. */
static int run_twice(const struct args *a, uint64_t seed)
{
	uint64_t one, two;
	int code = run(a, seed, &one) || run(a, seed, &two);

	if (code || one == two)
		return code;
	printf("seed %llu: two runs differ\n", (unsigned long long)seed);
	return 1;
}

static uint64_t number(const char *text)
{
	uint64_t n;

	if (sv_u64(sv_str(text), &n) < 0) {
		(void)fprintf(stderr, "sim: %s is no number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' }, { "steps", required_argument, NULL, 'n' },
		{ "runs", required_argument, NULL, 'r' }, { "repeat", no_argument, NULL, 'R' },
		{ "verbose", no_argument, NULL, 'v' },	  { NULL, 0, NULL, 0 },
	};
	struct args a = { .seed = 1, .steps = STEPS, .runs = 1 };
	uint64_t digest, bad = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			a.seed = number(optarg);
		else if (c == 'n')
			a.steps = number(optarg);
		else if (c == 'r')
			a.runs = number(optarg);
		else if (c == 'R')
			a.repeat = true;
		else if (c == 'v')
			a.loud = true;
		else
			return 2;
	}
	signal(SIGABRT, on_abort);
	for (uint64_t i = 0; i < a.runs && !bad; i++)
		bad +=
		    (uint64_t)(a.repeat ? run_twice(&a, a.seed + i) : run(&a, a.seed + i, &digest));
	if (!bad)
		printf("%llu runs of %llu steps from seed %llu: nothing violated\n",
		       (unsigned long long)a.runs, (unsigned long long)a.steps,
		       (unsigned long long)a.seed);
	return bad ? 1 : 0;
}
