/* What fails: the API server, the disk, the GPUs, the clock, other people. */
#include <errno.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/sim/files.h"
#include "test/sim/sim.h"

/* ---- the API server ---- */

void faults_api(struct sim *s)
{
	static const char *const requests[] = {
		"get resourceclaims",
		"get resourceclaims",
		"get resourceclaims",
		"list resourceslices",
		"watch resourceslices",
		"create resourceslices",
		"update resourceslices",
		"delete resourceslices",
		"create events",
		"patch events",
		"get nodes",
	};
	static const char *const effects[] = {
		"status=403",
		"status=404",
		"status=409",
		"status=410",
		"status=422",
		"status=429 retry-after=2",
		"status=429",
		"status=500",
		"status=503",
		"status=503 retry-after=7",
		"status=504",
		"status=401",
		"delay=800",
		"delay=9000",
		"delay=3000 status=500",
		"cut",
		"lose",
		"reset",
		"refuse",
		"goaway",
		"silent",
	};
	const char *request = requests[sim_dice(s, ARRAY_LEN(requests))];
	const char *effect = effects[sim_dice(s, ARRAY_LEN(effects))];
	char text[128];
	struct err e = { "" };

	snprintf(text, sizeof(text), "%s %s times=%u", request, effect,
		 1 + (unsigned)sim_dice(s, 4));
	if (sim_dice(s, 2))
		apiserver_clear(s->lab->server);
	sim_note(s, "the API server: %s", text);
	must(apiserver_fault_text(s->lab->server, text, &e) == 0);
}

void faults_connections(struct sim *s)
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
		apiserver_up(s->lab->server);
		break;
	}
}

void faults_slices(struct sim *s)
{
	sim_note(s, "somebody deletes the slices");
	lab_delete_all(s->lab, "resourceslices");
}

/* ---- the disk ---- */

void faults_files(struct sim *s)
{
	static const char *const calls[] = { "pwrite", "fdatasync", "rename",
					     "unlink", "ftruncate", "fallocate" };
	static const int codes[] = { EIO, ENOSPC, EDQUOT, EROFS };
	const char *call = calls[sim_dice(s, ARRAY_LEN(calls))];
	int code = codes[sim_dice(s, ARRAY_LEN(codes))], n = 1 + (int)sim_dice(s, 6);

	switch (sim_dice(s, 4)) {
	case 0:
		sim_note(s, "file call %d fails: %s", n, strerror(code));
		files_fail(NULL, n, code);
		break;
	case 1:
		sim_note(s, "every %s fails: %s", call, strerror(code));
		files_fail(call, 1, code);
		break;
	case 2:
		n *= 200;
		sim_note(s, "the disk is full after %d bytes", n);
		files_full((size_t)n);
		break;
	default:
		sim_note(s, "the disk is well");
		files_well();
		break;
	}
}

static const char *fate_name(enum inproc_fate fate)
{
	static const char *const names[] = {
		"serves", "dies before its work", "dies after its work",
		"hangs",  "answers nonsense",	  "lies"
	};

	return names[fate];
}

void faults_disk_worker(struct sim *s)
{
	struct lab_disk *d = s->present->disk;

	switch (sim_dice(s, 4)) {
	case 0:
		sim_note(s, "the disk worker is killed");
		lab_disk_kill(d);
		break;
	case 1:
		sim_note(s, "the disk is slow");
		lab_disk_pause(d, true);
		lab_pass(s->lab, sim_dice(s, 8000));
		lab_disk_pause(d, false);
		break;
	default:
		d->fate = INPROC_DIE_BEFORE + (enum inproc_fate)sim_dice(s, INPROC_FATES);
		d->fates = 1 + (unsigned)sim_dice(s, 3);
		sim_note(s, "the disk worker %s, %u times", fate_name(d->fate), d->fates);
		break;
	}
}

/* The CDI folder is no state of ours alone: it is a tmpfs that others tidy up. */
static int remove_spec(void *arg, const char *name)
{
	struct lab *l = arg;
	char *path _mem_free_ = mem_printf("%s/%s", l->cdi, name);

	return fsx_remove(path);
}

void faults_cdi_emptied(struct sim *s)
{
	files_well();
	sim_note(s, "somebody empties the CDI folder");
	model_cdi_emptied(s->model, false);
	must(fsx_list(s->lab->cdi, remove_spec, s->lab) == 0);
}

/* ---- GPUs ---- */

void faults_gpu(struct sim *s)
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

void faults_gpu_worker(struct sim *s)
{
	struct gpu_script *g = &s->lab->gpus;

	g->fate = INPROC_DIE_BEFORE + (enum inproc_fate)sim_dice(s, INPROC_FATES);
	g->fates = 1 + (unsigned)sim_dice(s, 4);
	sim_note(s, "the GPU worker %s, %u times", fate_name(g->fate), g->fates);
	if (sim_dice(s, 2))
		inventory_rescan(s->lab->inventory, "sim");
}

void faults_device(struct sim *s)
{
	switch (sim_dice(s, 4)) {
	case 0:
		sim_note(s, "devices refuse");
		lab_plans()->run = -EIO;
		break;
	case 1:
		sim_note(s, "devices cannot be reset");
		lab_plans()->undo = -EIO;
		break;
	case 2:
		sim_note(s, "devices obey");
		lab_plans()->run = lab_plans()->undo = 0;
		break;
	default:
		sim_note(s, "a device takes its time");
		lab_plans()->hold = true;
		lab_pass(s->lab, sim_dice(s, 5000));
		lab_plans_release();
		break;
	}
}

void faults_clock(struct sim *s)
{
	int64_t minutes = (int64_t)sim_dice(s, 120) - 60;

	sim_note(s, "the wall clock jumps by %lld minutes", (long long)minutes);
	loop_skew_wall(s->lab->loop, minutes * 60000);
}

/* ---- */

void faults_mend(struct sim *s)
{
	struct gpu_script *g = &s->lab->gpus;
	bool news = *g->no_driver || *g->broken;

	apiserver_clear(s->lab->server);
	files_well();
	lab_plans()->run = lab_plans()->undo = 0;
	lab_plans_release();
	for (size_t i = 0; i < s->lab->disks_n; i++)
		s->lab->disks[i].fates = 0;
	g->no_driver[0] = g->broken[0] = '\0';
	g->fates = 0;
	if (news)
		inventory_rescan(s->lab->inventory, "sim");
}

void faults_mend_gpus(struct sim *s)
{
	struct gpu_script *g = &s->lab->gpus;

	for (size_t i = 0; i < SIM_GPUS; i++) {
		struct gpu_script_gpu *gpu = &g->gpus[i];
		bool news = !gpu->present || *gpu->trouble;

		gpu->present = true;
		gpu->trouble[0] = '\0';
		if (news)
			lab_uevent(s->lab, gpu->pci);
	}
}
