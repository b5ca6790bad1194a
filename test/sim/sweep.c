/*
 * One life of a node, again and again: in each one call fails, and the next time the one behind it.
 * Whatever failed, the model must hold all the time and all must come to rest; nothing may leak.
 */
#include <errno.h>
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LSAN 1
#endif
#endif
#ifdef HAVE_LSAN
#include <sanitizer/lsan_interface.h>
#endif

#include "core/fsx.h"
#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sweep.h"

/* ---- the life ---- */

static void take_over(struct sim *s)
{
	struct lab_node *old = s->present, *new;

	if (!sim_start(s, &new))
		return;
	lab_pass(s->lab, 8000);
	s->present = new;
	sim_stop(s, old);
}

static void lose_a_gpu(struct sim *s)
{
	struct gpu_script_gpu *gpu = &s->lab->gpus.gpus[1];

	gpu->present = false;
	lab_uevent(s->lab, gpu->pci);
	lab_pass(s->lab, 3000);
	gpu->present = true;
	lab_uevent(s->lab, gpu->pci);
	lab_pass(s->lab, 3000);
}

static void life(struct sim *s, void *arg)
{
	struct sweep *w = arg;

	if (w->at)
		w->kind->arm(s, w);
	else
		files_count_all();
	sim_begin(s);
	pods_fill(s);
	pods_new_sharer(s);
	pods_new_monitor(s);
	lab_pass(s->lab, 12000);
	for (int i = 0; i < 3; i++) { /* one after the other: a batch is one request */
		pods_delete(s);
		lab_pass(s->lab, 3000);
	}
	pods_delete_by_force(s);
	lab_pass(s->lab, 8000);
	lab_node_kill(s->present);
	lab_pass(s->lab, 1000);
	sim_again(s);
	lab_pass(s->lab, 8000);
	take_over(s);
	pods_delete(s);
	pods_fill(s);
	lab_pass(s->lab, 8000);
	pods_delete_by_force(s);
	lab_pass(s->lab, 8000);
	lose_a_gpu(s);
	faults_slices(s);
	kubelet_restart(s->kubelet);
	lab_pass(s->lab, 20000);
	w->calls = w->kind->calls(s);
	if (!*s->result->violation)
		sim_settle(s);
	if (!*s->result->violation)
		sim_give_back(s);
}

/* ---- files ---- */

static const int codes[] = { EIO, ENOSPC };

static void arm_files(struct sim *s, const struct sweep *w)
{
	(void)s;
	files_fail(NULL, (int)w->at, codes[w->way]);
	files_count_all();
}

static uint64_t calls_files(const struct sim *s)
{
	(void)s;
	return (uint64_t)files_calls();
}

/* ---- the API server ---- */

static const struct apiserver_fault effects[] = {
	{ .effect = APISERVER_STATUS, .status = 401 },
	{ .effect = APISERVER_STATUS, .status = 403 },
	{ .effect = APISERVER_STATUS, .status = 404 },
	{ .effect = APISERVER_STATUS, .status = 409 },
	{ .effect = APISERVER_STATUS, .status = 410 },
	{ .effect = APISERVER_STATUS, .status = 422 },
	{ .effect = APISERVER_STATUS, .status = 429 },
	{ .effect = APISERVER_STATUS, .status = 500 },
	{ .effect = APISERVER_STATUS, .status = 504 },
	{ .effect = APISERVER_CUT },
	{ .effect = APISERVER_LOSE },
	{ .effect = APISERVER_RESET },
	{ .effect = APISERVER_REFUSE },
	{ .effect = APISERVER_GOAWAY },
	{ .effect = APISERVER_SILENT },
};

static void arm_api(struct sim *s, const struct sweep *w)
{
	struct apiserver_fault f = effects[w->way];

	f.skip = (unsigned)w->at - 1;
	apiserver_fault(s->lab->server, &f);
}

static uint64_t calls_api(const struct sim *s)
{
	return apiserver_count(s->lab->server, NULL, NULL);
}

/* ---- workers ---- */

enum { DISK_0 = 0, DISK_1 = 1 };

static void arm_gpu(struct sim *s, const struct sweep *w)
{
	s->lab->gpus.fate = INPROC_DIE_BEFORE + (enum inproc_fate)w->way;
	s->lab->gpus.skip = (unsigned)w->at - 1;
	s->lab->gpus.fates = 1;
}

static uint64_t calls_gpu(const struct sim *s)
{
	return s->lab->gpus.requests;
}

/* The disk of an instance is made with it: it is armed in its place, before. */
static void arm_disk(struct sim *s, const struct sweep *w)
{
	s->disk_plan[w->kind->target] =
	    (struct sim_disk_plan){ INPROC_DIE_BEFORE + (enum inproc_fate)w->way,
				    (unsigned)w->at - 1 };
}

static uint64_t calls_disk_0(const struct sim *s)
{
	return s->lab->disks[DISK_0].requests;
}

static uint64_t calls_disk_1(const struct sim *s)
{
	return s->lab->disks[DISK_1].requests;
}

/* ---- */

static const struct sweep_kind failing[] = {
	{ "files", "file call", ARRAY_LEN(codes), 1, life, arm_files, calls_files, 0 },
	{ "api", "API request", ARRAY_LEN(effects), 1, life, arm_api, calls_api, 0 },
	{ "gpu-worker", "request to the GPU worker", INPROC_FATES, 1, life, arm_gpu, calls_gpu, 0 },
	{ "disk-worker", "request to the first disk worker", INPROC_FATES, 1, life, arm_disk,
	  calls_disk_0, DISK_0 },
	{ "disk-worker-2", "request to the second disk worker", INPROC_FATES, 1, life, arm_disk,
	  calls_disk_1, DISK_1 },
};

static bool leaks(void)
{
#ifdef HAVE_LSAN
	return __lsan_do_recoverable_leak_check();
#else
	return false;
#endif
}

static int count_one(void *arg, const char *name)
{
	(void)name;
	++*(size_t *)arg;
	return 0;
}

/* Open ones of ours, as many at each call beside. */
static size_t descriptors(void)
{
	size_t n = 0;

	must(fsx_list("/proc/self/fd", count_one, &n) == 0);
	return n;
}

/* What is wrong with a life that ended, NULL: nothing. */
static const char *verdict(const struct sweep *w, const struct sim_result *r, size_t open_before)
{
	if (*r->violation)
		return r->violation;
	if (leaks())
		return "memory leaks";
	/* The first life may open what the program keeps. */
	return w->at && descriptors() != open_before ? "descriptors stay open" : NULL;
}

/* 0: nothing was violated. */
static int one(struct sweep *w)
{
	const struct sim_plan plan = { .seed = 1, .steps = 1, .script = w->kind->life, .arg = w };
	size_t open_before = descriptors();
	struct sim_result r;
	const char *wrong;

	printf("\r%s %llu, way %u ", w->kind->name, (unsigned long long)w->at, w->way);
	(void)sim_run(&plan, &r);
	wrong = verdict(w, &r, open_before);
	if (!wrong)
		return 0;
	printf("\n%s %llu, in way %u (%s): %s\n", w->kind->name, (unsigned long long)w->at, w->way,
	       files_failed(), wrong);
	printf("again, with tundra's log:  LAB_LOG=1 sim --sweep %s", w->kind->what);
	if (w->at) /* else it is the first of them, in which all goes well */
		printf(":%llu:%u", (unsigned long long)w->at, w->way);
	printf("\n");
	return 1;
}

static int sweep(const struct sweep_kind *k)
{
	struct sweep all = { .kind = k };
	unsigned lives = 0;

	if (one(&all))
		return 1;
	for (uint64_t at = 1; at <= all.calls; at += k->step)
		for (unsigned way = 0; way < k->ways; way++, lives++) {
			struct sweep w = { .kind = k, .at = at, .way = way };

			if (one(&w))
				return 1;
		}
	printf("\r%s, %llu of them, in %u ways: %u lives, nothing violated\n", k->name,
	       (unsigned long long)((all.calls + k->step - 1) / k->step), k->ways, lives);
	return lives ? 0 : 1;
}

/* "files" or, of all these lives, one: "files:<call>:<way>". */
static bool read_what(const char *text, const char **what, struct sweep *one_life)
{
	static char name[32];
	struct sv rest = sv_str(text), kind = sv_cut(&rest, ':'), at = sv_cut(&rest, ':');
	uint64_t way = 0;

	*what = name;
	if (!sv_copy(name, sizeof(name), kind))
		return false;
	if (!at.n)
		return true;
	if (sv_u64(at, &one_life->at) < 0 || sv_u64(rest, &way) < 0)
		return false;
	one_life->way = (unsigned)way;
	return one_life->at > 0;
}

static const struct sweep_kind *find_kind(const char *what)
{
	for (size_t i = 0; i < ARRAY_LEN(failing); i++)
		if (!strcmp(failing[i].what, what))
			return &failing[i];
	for (size_t i = 0; i < crash_kinds_n; i++)
		if (!strcmp(crash_kinds[i].what, what))
			return &crash_kinds[i];
	return NULL;
}

static void tell_kinds(const char *text)
{
	(void)fprintf(stderr, "sim: --sweep %s: it is", text);
	for (size_t i = 0; i < ARRAY_LEN(failing); i++)
		(void)fprintf(stderr, " %s,", failing[i].what);
	for (size_t i = 0; i < crash_kinds_n; i++)
		(void)fprintf(stderr, " %s,", crash_kinds[i].what);
	(void)fprintf(stderr, " and maybe :<call>:<way> behind it\n");
}

int sim_sweep(const char *text)
{
	struct sweep one_life = { 0 };
	const char *what;

	if (read_what(text, &what, &one_life))
		one_life.kind = find_kind(what);
	if (!one_life.kind || one_life.way >= one_life.kind->ways) {
		tell_kinds(text);
		return 2;
	}
	return one_life.at ? one(&one_life) : sweep(one_life.kind);
}
