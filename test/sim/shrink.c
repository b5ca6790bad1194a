/*
 * A smaller run that is violated too. Pieces of the run are left out, halves first, then less, and
 * stay out while the rest is still violated: every step that is left matters by itself. Each try
 * is a process of its own, so a run that aborts can be made smaller as well.
 */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "test/sim/sim.h"

struct shrink {
	struct sim_plan plan;
	bool left_out[SIM_STEPS_MAX];
	uint64_t n; /* steps */
	time_t until;
	unsigned tries;
};

static bool late(const struct shrink *k)
{
	return time(NULL) >= k->until;
}

static bool still_violated(struct shrink *k)
{
	struct sim_result r;
	int status;
	pid_t pid;

	k->tries++;
	(void)fflush(NULL);
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		(void)alarm((unsigned)MAX(k->until - time(NULL), 1));
		(void)!freopen("/dev/null", "w", stderr);
		(void)!freopen("/dev/null", "w", stdout);
		_exit(sim_run(&k->plan, &r));
	}
	must(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return false;
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static uint64_t left(const struct shrink *k)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < k->n; i++)
		n += !k->left_out[i];
	return n;
}

/* Leaves out `size` of the steps that are there, behind the first `skip` of those. */
static void leave_out(struct shrink *k, uint64_t skip, uint64_t size)
{
	for (uint64_t i = 0; i < k->n && size; i++) {
		if (k->left_out[i])
			continue;
		if (skip) {
			skip--;
			continue;
		}
		k->left_out[i] = true;
		size--;
	}
}

/* One pass with pieces of this size; true: something went. */
static bool pass(struct shrink *k, uint64_t size)
{
	bool *before = mem_alloc(sizeof(k->left_out)), any = false;

	for (uint64_t at = left(k); at > 0 && !late(k);) {
		uint64_t piece = MIN(size, at);

		at -= piece;
		memcpy(before, k->left_out, sizeof(k->left_out));
		leave_out(k, at, piece);
		if (still_violated(k))
			any = true;
		else
			memcpy(k->left_out, before, sizeof(k->left_out));
	}
	mem_free(before);
	return any;
}

void sim_shrink(const struct sim_plan *plan, const struct sim_result *r, unsigned seconds)
{
	struct shrink *k = MEM_NEW(struct shrink);
	uint64_t size;
	struct buf command;

	k->plan = *plan;
	k->plan.minutes = 0;
	k->plan.steps = k->n = r->steps;
	k->plan.quiet = true;
	k->plan.loud = false;
	k->plan.left_out = k->left_out;
	if (plan->left_out)
		memcpy(k->left_out, plan->left_out, sizeof(k->left_out));
	k->until = time(NULL) + (time_t)seconds;
	size = left(k) / 2;
	while (size && !late(k)) {
		if (!pass(k, size) || size > 1)
			size /= 2;
	}
	buf_init(&command, 1 << 20);
	sim_command(&k->plan, r, &command);
	printf("%llu of %llu steps matter (%u tries%s):  LAB_LOG=1 %s\n",
	       (unsigned long long)left(k), (unsigned long long)k->n, k->tries,
	       late(k) ? ", then it was time to end" : "", buf_cstr(&command));
	buf_done(&command);
	mem_free(k);
}
