/*
 * Checks of the vendor's driver and library, asked as tundra node asks them: through tundra-worker,
 * since nothing here may load a vendor's library.
 */
#include "core/mem.h"
#include "gpu/inventory.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "gpu/scan.h"
#include "gpu/worker_args.h"
#include "tools/tundra/doctor.h"

struct asking {
	struct loop *loop;
	struct doctor_finding *f;
	struct worker_exec *exec;
	struct worker_host host;
	struct scan *scan;
	bool whole; /* tell of each GPU, not only where the driver is */
};

static void no_driver_fix(struct doctor_finding *f)
{
	doctor_fix(f,
		   "install NVIDIA's driver of the version that the kernel has loaded; if it is "
		   "there, say where: --nvidia-driver-root (NVIDIA_DRIVER_ROOT) as the host sees "
		   "it and --container-driver-root (DRIVER_ROOT_CTR_PATH) as the pod does");
}

static void say_driver(struct asking *a, const struct scan_result *r)
{
	if (r->outcome == SCAN_OK) {
		doctor_say(a->f, DOCTOR_OK, "%s", r->reason);
		return;
	}
	doctor_say(a->f, DOCTOR_FAIL, "%s", r->reason);
	if (r->outcome == SCAN_NO_DRIVER)
		no_driver_fix(a->f);
	else if (r->outcome == SCAN_UNREACHABLE)
		doctor_fix(a->f, "the driver hangs or its library crashes: dmesg for NVRM and Xid; "
				 "reset the GPU (nvidia-smi -r) or restart the node");
	else
		doctor_fix(a->f, "library and kernel module are of two versions, or the driver is "
				 "half installed: reload the module (or restart the node), and see "
				 "that no older library lies in an earlier place");
}

static void say_gpus(struct asking *a, const struct scan_result *r)
{
	size_t good = 0, bad = 0;

	doctor_say(a->f, DOCTOR_FAIL, "no answer for");
	for (size_t i = 0; i < r->gpus_n; i++) {
		const struct scan_gpu *g = &r->gpus[i];

		good += g->state == GPU_QUERY_OK;
		if (g->state == GPU_QUERY_OK || g->state == GPU_QUERY_SKIP)
			continue;
		doctor_more(a->f, "%s NVML index %zu%s%s: %s", bad++ ? ";" : "", i,
			    *g->pci ? " at " : "", g->pci, g->text);
	}
	if (bad) {
		if (good)
			a->f->verdict = DOCTOR_WARN;
		doctor_more(a->f, "; %zu answer", good);
		doctor_fix(a->f, "the others are served. dmesg for NVRM and Xid of these; "
				 "nvidia-smi -r -i ADDRESS, then a power cycle");
	} else if (good) {
		doctor_say(a->f, DOCTOR_OK, "%zu GPUs answer", good);
	} else {
		doctor_say(a->f, DOCTOR_FAIL, "NVML counts no GPU");
		doctor_fix(a->f, "dmesg for NVRM: a GPU that failed to start, or all are given to "
				 "virtual machines (vfio-pci)");
	}
}

static void on_done(void *arg)
{
	struct asking *a = arg;
	const struct scan_result *r = scan_result(a->scan);

	if (a->whole && r->outcome == SCAN_OK)
		say_gpus(a, r);
	else
		say_driver(a, r);
	loop_stop(a->loop);
}

static void ask(const struct doctor *d, struct doctor_finding *f, bool whole)
{
	const char *args[WORKER_ROOTS_ARGS + 1];
	struct scan_conf conf = { .host = NULL,
				  .vendor = &nvidia_vendor,
				  .open_ms = MAX(d->limit_ms, INVENTORY_OPEN_MS) - 5000,
				  .query_ms = INVENTORY_QUERY_MS,
				  .on_done = on_done };
	struct asking a = { .loop = loop_new(), .f = f, .whole = whole };

	worker_args_write(&d->roots, args);
	a.exec = worker_exec_new(d->worker, args);
	a.host = worker_exec_host(a.exec);
	conf.host = &a.host;
	conf.arg = &a;
	a.scan = scan_new(a.loop, &conf);
	scan_start(a.scan);
	loop_run(a.loop);
	scan_free(&a.scan);
	worker_exec_free(&a.exec);
	loop_free(&a.loop);
}

void check_driver(const struct doctor *d, struct doctor_finding *f)
{
	const struct doctor_finding *module = doctor_found(d, "kernel module");

	ask(d, f, false);
	if (f->verdict == DOCTOR_OK && module && *module->driver &&
	    !strstr(f->found, module->driver))
		doctor_more(f, " (the kernel's is %s)", module->driver);
}

void check_nvml(const struct doctor *d, struct doctor_finding *f)
{
	ask(d, f, true);
}
