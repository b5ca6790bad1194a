#include "tools/tundra/conditions.h"

#include <stdio.h>

/* As long may a start take before what is not there yet is told as missing. */
enum { START_MS = 15000, API_MS = 5000, GPUS_MS = 10000 };
/* A busy loop: more than one turn in 100 is slow, of enough turns to say so. */
enum { SLOW_ONE_IN = 100, SLOW_TURNS_MIN = 1000 };
enum { CRASHES_MIN = 3 };

struct finder {
	const struct condition_facts *facts;
	const struct condition *row;
	condition_fn fn;
	void *arg;
	size_t n; /* subjects of this row */
};

static void found(struct finder *f, const char *subject, const char *detail)
{
	if (f->n++ < CONDITIONS_EACH_MAX)
		f->fn(f->arg, f->row, subject ? subject : "", detail ? detail : "");
}

/* ---- the GPUs ---- */

static void no_driver(struct finder *f)
{
	if (f->facts->inventory == INVENTORY_NO_DRIVER)
		found(f, NULL, f->facts->inventory_reason);
}

static void driver_trouble(struct finder *f)
{
	if (f->facts->inventory == INVENTORY_TROUBLE)
		found(f, NULL, f->facts->inventory_reason);
}

static void gpus_starting(struct finder *f)
{
	if (f->facts->inventory == INVENTORY_STARTING && f->facts->inventory_ms >= GPUS_MS)
		found(f, NULL, f->facts->inventory_reason);
}

static void no_gpus(struct finder *f)
{
	if (f->facts->inventory == INVENTORY_READY && !f->facts->devices_n)
		found(f, NULL, NULL);
}

static void gpu_trouble(struct finder *f)
{
	for (size_t i = 0; i < f->facts->devices_n; i++) {
		const struct condition_device *d = &f->facts->devices[i];
		char subject[128];

		snprintf(subject, sizeof(subject), "%s (PCI %s)", d->name, d->pci);
		if (d->present && *d->trouble)
			found(f, subject, d->trouble);
	}
}

static void gpu_gone(struct finder *f)
{
	for (size_t i = 0; i < f->facts->devices_n; i++) {
		const struct condition_device *d = &f->facts->devices[i];
		char subject[128];

		snprintf(subject, sizeof(subject), "%s (PCI %s)", d->name, d->pci);
		if (!d->present)
			found(f, subject,
			      d->claim ? "a claim still holds it" : "no claim holds it");
	}
}

static void device_plugin(struct finder *f)
{
	if (f->facts->conflict)
		found(f, NULL, f->facts->conflict);
}

/* ---- the kubelet and the claims ---- */

static void refused(struct finder *f)
{
	if (f->facts->of_driver.registration == REGISTRATION_REFUSED)
		found(f, f->facts->driver, f->facts->of_driver.registration_reason);
}

static void not_registered(struct finder *f)
{
	const struct driver_facts *d = &f->facts->of_driver;

	if (!d->draining && d->registration == REGISTRATION_WAITING && f->facts->up_ms >= START_MS)
		found(f, f->facts->driver, d->registration_reason);
}

static void ledger_failed(struct finder *f)
{
	if (f->facts->of_driver.ledger == LEDGER_FAILED)
		found(f, NULL, f->facts->of_driver.ledger_reason);
}

static void ledger_elsewhere(struct finder *f)
{
	const struct driver_facts *d = &f->facts->of_driver;

	if (d->draining || f->facts->up_ms < START_MS)
		return;
	if (d->ledger == LEDGER_OPENING || d->ledger == LEDGER_YIELDED)
		found(f, NULL, d->ledger_reason);
}

static const char *claim_name(const struct claim_info *i, char *out, size_t size)
{
	if (!*i->name)
		return i->uid;
	snprintf(out, size, "%s/%s", i->namespace, i->name);
	return out;
}

static void claim_quarantined(struct finder *f)
{
	char name[512];

	for (size_t i = 0; i < f->facts->claims_n; i++)
		if (f->facts->claims[i].quarantined)
			found(f, claim_name(&f->facts->claims[i], name, sizeof(name)), NULL);
}

static void claim_waiting(struct finder *f)
{
	char name[512];

	for (size_t i = 0; i < f->facts->claims_n; i++)
		if (f->facts->claims[i].waiting_for)
			found(f, claim_name(&f->facts->claims[i], name, sizeof(name)),
			      f->facts->claims[i].waiting_for);
}

/* ---- the API server ---- */

static void api_down(struct finder *f)
{
	if (f->facts->api_down && f->facts->up_ms >= API_MS)
		found(f, NULL, f->facts->api_error);
}

static void publish_failed(struct finder *f)
{
	const struct publisher_stats *p = f->facts->of_driver.publisher;

	if (!f->facts->api_down && p && !p->synced && *p->last_error)
		found(f, NULL, p->last_error);
}

static void publishing_held(struct finder *f)
{
	if (f->facts->of_driver.held && f->facts->up_ms >= START_MS)
		found(f, NULL, f->facts->of_driver.held);
}

static void events_refused(struct finder *f)
{
	if (f->facts->events_forbidden)
		found(f, NULL, NULL);
}

/* ---- tundra itself ---- */

static void worker_stuck(struct finder *f)
{
	for (size_t i = 0; i < f->facts->workers_n; i++)
		if (f->facts->workers[i].stats->abandoned)
			found(f, f->facts->workers[i].role, NULL);
}

static void worker_crashing(struct finder *f)
{
	for (size_t i = 0; i < f->facts->workers_n; i++) {
		const struct worker_stats *st = f->facts->workers[i].stats;
		char detail[64];

		snprintf(detail, sizeof(detail), "%llu crashes since tundra started",
			 (unsigned long long)st->crashes);
		if (st->crashes >= CRASHES_MIN && st->state != WORKER_UP)
			found(f, f->facts->workers[i].role, detail);
	}
}

static void shutting_down(struct finder *f)
{
	if (f->facts->of_driver.draining)
		found(f, NULL, NULL);
}

/* The detail names no number that grows: what did not change need not be sent again. */
static void slow_loop(struct finder *f)
{
	const struct loop_stats *st = f->facts->loop;
	const struct loop_slow *worst = NULL;
	char detail[256];

	if (st->turns < SLOW_TURNS_MIN || st->slow_turns * SLOW_ONE_IN <= st->turns)
		return;
	for (size_t i = 0; i < st->slow_n; i++)
		if (!worst || st->slow[i].turns > worst->turns)
			worst = &st->slow[i];
	snprintf(detail, sizeof(detail), "most often by %s, %llu ms at worst",
		 worst ? worst->name : "?", (unsigned long long)(worst ? worst->max_us / 1000 : 0));
	found(f, NULL, detail);
}

/* ---- the table ---- */

const struct condition conditions[] = {
	{ "no-driver", CONDITION_ERROR, "No GPU driver was found, so no GPUs are offered.",
	  "/readyz says \"devices: no driver\"; the Node has an Event GPUsNotReady.",
	  "Install the NVIDIA driver on the host, or wait for the GPU Operator to do it. If it is "
	  "in "
	  "an unusual place, set --nvidia-driver-root (chart: nvidiaDriverRoot). It is found "
	  "without "
	  "a restart. If library and kernel module are of two versions, an update of the driver is "
	  "half done: reload the module or reboot the node.",
	  no_driver },
	{ "driver-trouble", CONDITION_ERROR, "The GPU driver is there but does not work.",
	  "/readyz says \"devices: trouble\"; tundra_worker_timeouts_total or _crashes_total grow.",
	  "On the host, look at `dmesg | grep -i nvrm` and try `nvidia-smi`. Reload the driver or "
	  "reboot the node. Pods that run keep their GPUs, new ones wait.",
	  driver_trouble },
	{ "gpu-trouble", CONDITION_ERROR, "A GPU does not work and is not offered.",
	  "It is missing in the node's ResourceSlice; STATE in `tundra status`.",
	  "On the host, look for its PCI address and for Xid in `dmesg`. End the pods that use it, "
	  "then reset it (`nvidia-smi --gpu-reset -i <PCI address>`) or reboot the node. It is "
	  "offered again as soon as it answers.",
	  gpu_trouble },
	{ "gpu-gone", CONDITION_ERROR, "A GPU that was there is gone.",
	  "It is missing in the node's ResourceSlice and in `lspci -d 10de:` on the host.",
	  "If nobody took it out or unbound it, it fell off the bus: look at `dmesg`, power and "
	  "cooling, and reboot the node. If a claim holds it, delete its pod.",
	  gpu_gone },
	{ "device-plugin", CONDITION_ERROR, "A device plugin gives out the same GPUs.",
	  "The Node has nvidia.com/gpu in its capacity and an Event about it; no devices are "
	  "published.",
	  "Remove the device plugin from this node (GPU Operator: devicePlugin.enabled=false). The "
	  "devices are offered half a minute after it is gone. --allow-device-plugin offers them "
	  "beside it, "
	  "and a GPU may then be given away twice.",
	  device_plugin },
	{ "registration-refused", CONDITION_ERROR, "The kubelet refused the driver.",
	  "/readyz answers 503; tundra_registered is 0; the Node has an Event RegistrationRefused.",
	  "Most often another driver of the same name is on this node: remove NVIDIA's DRA driver "
	  "from it, then delete tundra's pod.",
	  refused },
	{ "not-registered", CONDITION_ERROR,
	  "The kubelet has not registered the driver: no pod with a GPU can start.",
	  "/readyz answers 503; tundra_registered is 0.",
	  "Check that the kubelet runs (`journalctl -u kubelet`) and that "
	  "--kubelet-registrar-directory-path (chart: "
	  "kubeletPlugin.kubeletRegistrarDirectoryPath) is plugins_registry below its --root-dir.",
	  not_registered },
	{ "ledger-failed", CONDITION_ERROR,
	  "The ledger cannot be written: no pod with a GPU can start.",
	  "/readyz answers 503; tundra_ledger_failures_total grows.",
	  "Free space on the disk below --kubelet-plugins-directory-path, or mend it. tundra tries "
	  "again by itself; pods that run are not touched.",
	  ledger_failed },
	{ "claim-quarantined", CONDITION_ERROR, "The record of a claim is damaged.",
	  "The Node has an Event LedgerCorrupt.",
	  "Delete the pods that use this claim: their end frees it. Other claims are not affected. "
	  "Then check the disk, which should not lose what it was given.",
	  claim_quarantined },
	{ "api-down", CONDITION_ERROR, "The API server cannot be reached.",
	  "tundra_last_publish_timestamp_seconds stands still; prepares are slow or fail.",
	  "Check the network between this node and the API server, and the credentials (service "
	  "account, kubeconfig). Pods that run are not touched; new claims wait.",
	  api_down },
	{ "publish-failed", CONDITION_ERROR, "The node's ResourceSlices cannot be written.",
	  "tundra_publish_failures_total grows; `kubectl get resourceslices` is out of date.",
	  "If it is forbidden, the service account needs get, list, watch, create, update and "
	  "delete "
	  "on resourceslices: install the chart anew. Else see the API server's log. tundra tries "
	  "again by itself.",
	  publish_failed },
	{ "worker-stuck", CONDITION_ERROR, "A worker process cannot be ended, not even by SIGKILL.",
	  "`ps` shows tundra-worker in state D.",
	  "The GPU driver hangs in the kernel. Drain and reboot the node.", worker_stuck },
	{ "gpus-starting", CONDITION_WARNING, "The GPUs have not answered yet.",
	  "/readyz says \"devices: starting\".",
	  "Waking many GPUs may take a minute. nvidia-persistenced on the host keeps them awake. "
	  "If "
	  "it goes on, see the log for the worker \"nvml\".",
	  gpus_starting },
	{ "no-gpus", CONDITION_WARNING, "The driver works and reports no GPU.",
	  "The node's ResourceSlice has no devices.",
	  "Check `nvidia-smi -L` and `lspci -d 10de:` on the host. If the node has no GPU, keep "
	  "tundra off it (chart: kubeletPlugin.affinity).",
	  no_gpus },
	{ "ledger-elsewhere", CONDITION_WARNING, "Another instance of tundra has the ledger.",
	  "/readyz answers 503; two tundra pods are on this node.",
	  "In an update this ends by itself. If it does not, delete the instance that should not "
	  "be "
	  "here: `kubectl get pods -A -o wide | grep tundra`.",
	  ledger_elsewhere },
	{ "claim-waiting", CONDITION_WARNING, "A pod waits for its claim.",
	  "tundra_waiting_claims; `kubectl describe` of the claim.",
	  "Often it ends by itself. If it does not: a claim that has the GPU is in the lists "
	  "below, "
	  "end its pod; what the API server refuses (403) is the chart's role, `tundra doctor` "
	  "tells which verb.",
	  claim_waiting },
	{ "publishing-held", CONDITION_WARNING, "The devices are not offered yet.",
	  "The node has no ResourceSlice.",
	  "It ends when the API server has answered. If it does not, see the log.",
	  publishing_held },
	{ "worker-crashing", CONDITION_WARNING, "A worker process crashes again and again.",
	  "tundra_worker_crashes_total grows.",
	  "See the log for its last words. The worker \"nvml\" has the GPU driver's library in it: "
	  "an update of the driver under running processes ends with a reboot of the node.",
	  worker_crashing },
	{ "events-forbidden", CONDITION_WARNING, "Events may not be written.",
	  "`kubectl describe` shows no Events of tundra.",
	  "Give the service account `create` on events: install the chart anew.", events_refused },
	{ "slow-loop", CONDITION_NOTE, "tundra is often busy for more than 5 ms at once.",
	  "tundra_loop_slow_callbacks_total; \"slow turn of the loop\" in the log.",
	  "Most often the node's CPUs are oversubscribed: raise the CPU request of tundra's "
	  "container. If one callback stands out on a calm node, please report it.",
	  slow_loop },
	{ "shutting-down", CONDITION_NOTE, "tundra is shutting down.", "/readyz answers 503.",
	  "Nothing. What is under way ends within 50 s; the next instance goes on from the ledger.",
	  shutting_down },
};
const size_t conditions_n = ARRAY_LEN(conditions);

void conditions_find(const struct condition_facts *facts, condition_fn fn, void *arg)
{
	for (size_t i = 0; i < conditions_n; i++) {
		struct finder f = { .facts = facts, .row = &conditions[i], .fn = fn, .arg = arg };
		char more[32];

		conditions[i].check(&f);
		if (f.n <= CONDITIONS_EACH_MAX)
			continue;
		snprintf(more, sizeof(more), "%zu more", f.n - CONDITIONS_EACH_MAX);
		fn(arg, &conditions[i], more, "");
	}
}

const char *condition_level_name(enum condition_level level)
{
	static const char *const names[] = { "error", "warning", "note" };

	return names[level];
}
