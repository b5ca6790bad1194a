#include "gpu/nvidia/model/nvidia_model.h"

#include <errno.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/model/nvidia_config.h"
#include "gpu/plan.h"
#include "gpu/semver.h"

#define OWN	 ""
#define STANDARD NVIDIA_STANDARD_DOMAIN
#define EXTRA	 NVIDIA_EXTRA_DOMAIN

/* By nvmlBrandType_t. */
static const char *const brands[] = {
	"Unknown",   "Quadro",	    "Tesla",	 "NVS",	       "Grid",	    "GeForce",
	"Titan",     "NvidiaVApps", "NvidiaVPC", "NvidiaVCS",  "NvidiaVWS", "NvidiaCloudGaming",
	"QuadroRTX", "NvidiaRTX",   "Nvidia",	 "GeForceRTX", "TitanRTX",
};

/* By nvmlDeviceArchitecture_t; a gap or a newer chip is "Unknown", never an error. */
static const char *const architectures[] = {
	[2] = "Kepler", [3] = "Maxwell",      [4] = "Pascal", [5] = "Volta",	  [6] = "Turing",
	[7] = "Ampere", [8] = "Ada Lovelace", [9] = "Hopper", [10] = "Blackwell", [13] = "Rubin",
};

/* By NVML_DEVICE_ADDRESSING_MODE_*. */
static const char *const addressing_modes[] = { "None", "HMM", "ATS" };

/* What goes first when a device has too many attributes; documented in gpu/nvidia/README.md. */
static const char *const drop_order[] = {
	"ccMode", "eccEnabled", "migCapable", "serial", "pcieSwitch", "nvlinkIsland", NULL,
};

static const char *model_word(const char *const *words, size_t n, uint32_t i, const char *otherwise)
{
	return i < n && words[i] ? words[i] : otherwise;
}

static void model_version(struct gpu_device *d, const char *name, const char *text)
{
	char version[SEMVER_TEXT_MAX + 1];

	if (semver_normalise(sv_str(text), version) < 0) {
		log_warn("version not understood, attribute left out", LOG_S("device", d->name),
			 LOG_S("attribute", name), LOG_S("text", text));
		return;
	}
	device_add_version(d, OWN, name, version);
}

static void model_versions(struct gpu_device *d, const struct nvidia_system *s,
			   const struct nvidia_gpu *g)
{
	char text[64];

	snprintf(text, sizeof(text), "%u.%u", g->cc_major, g->cc_minor);
	model_version(d, "cudaComputeCapability", text);
	model_version(d, "driverVersion", s->driver_version);
	if (s->cuda_version) {
		snprintf(text, sizeof(text), "%u.%u", s->cuda_version / 1000,
			 s->cuda_version % 1000 / 10);
		model_version(d, "cudaDriverVersion", text);
	}
}

static void model_place(struct gpu_device *d, const struct nvidia_gpu *g)
{
	char root[32];

	/* The API's pattern has a domain of four digits; a VMD controller's has more. */
	if (strlen(d->pci) == strlen("0000:00:00.0"))
		device_add_string(d, STANDARD, "pciBusID", d->pci);
	if (topology_root(sv_str(g->path), root, sizeof(root)) == 0)
		device_add_string(d, STANDARD, "pcieRoot", root);
	else
		log_debug("no PCIe root known", LOG_S("device", d->name), LOG_S("pci", d->pci));
	if (g->numa >= 0)
		device_add_int(d, STANDARD, "numaNode", g->numa);
}

static const char *model_cc_mode(const struct nvidia_system *s)
{
	if (s->cc_feature < 0)
		return NULL;
	if (s->cc_feature == 0)
		return s->cc_multi_gpu == 1 ? "protected-pcie" : "off";
	return s->cc_devtools == 1 ? "devtools" : "on";
}

/* Users asked for these; each is fixed for as long as the GPU is not reset or moved. */
static void model_extras(struct gpu_device *d, const struct nvidia_system *s,
			 const struct nvidia_gpu *g, const char *island)
{
	char at[PCI_TEXT_MAX + 1];
	const char *cc = model_cc_mode(s);

	if (*g->serial) {
		device_add_string(d, EXTRA, "serial", g->serial);
		device_mark_extra(d);
	}
	if (*island) {
		device_add_string(d, EXTRA, "nvlinkIsland", island);
		device_mark_extra(d);
	}
	if (topology_switch(sv_str(g->path), at) == 0) {
		device_add_string(d, EXTRA, "pcieSwitch", at);
		device_mark_extra(d);
	}
	if (g->ecc >= 0) {
		device_add_bool(d, EXTRA, "eccEnabled", g->ecc == 1);
		device_mark_extra(d);
	}
	device_add_bool(d, EXTRA, "migCapable", g->mig_mode >= 0);
	device_mark_extra(d);
	if (cc) {
		device_add_string(d, EXTRA, "ccMode", cc);
		device_mark_extra(d);
	}
}

static void model_gpu(struct gpu_device *d, const struct nvidia_system *s,
		      const struct nvidia_gpu *g)
{
	d->kind = GPU_FULL;
	snprintf(d->name, sizeof(d->name), "gpu-%lld",
		 (long long)(g->minor >= 0 ? g->minor : (int64_t)g->index));
	device_add_string(d, OWN, "type", "gpu");
	device_add_string(d, OWN, "uuid", g->uuid);
	device_add_string(d, OWN, "productName", g->name);
	device_add_string(d, OWN, "brand",
			  model_word(brands, ARRAY_LEN(brands), g->brand, "Unknown"));
	device_add_string(
	    d, OWN, "architecture",
	    model_word(architectures, ARRAY_LEN(architectures), g->architecture, "Unknown"));
	model_versions(d, s, g);
	model_place(d, g);
	if (g->addressing >= 0 && (size_t)g->addressing < ARRAY_LEN(addressing_modes))
		device_add_string(d, OWN, "addressingMode", addressing_modes[g->addressing]);
	if (g->memory_total)
		device_add_capacity(d, "memory", g->memory_total);
	if (g->mig_mode == 1)
		device_trouble(d,
			       "MIG mode is on and only full GPUs are served; turn it off with "
			       "nvidia-smi -i %s -mig 0",
			       d->pci);
}

static void model_islands(const struct nvidia_gpu *gpus, size_t n, struct topology_gpu *places)
{
	size_t i;

	for (i = 0; i < n; i++) {
		memcpy(places[i].pci, gpus[i].pci, sizeof(places[i].pci));
		memcpy(places[i].peers, gpus[i].peers, sizeof(places[i].peers));
		places[i].peers_n = gpus[i].peers_n;
		places[i].switched = gpus[i].switched;
	}
	topology_islands(places, n);
}

void nvidia_model(struct sv system, struct gpu_found *found, size_t n, bool extras)
{
	struct nvidia_gpu *gpus _mem_free_ = mem_calloc(n + 1, sizeof(*gpus));
	struct topology_gpu *places _mem_free_ = mem_calloc(n + 1, sizeof(*places));
	struct gpu_device *d;
	struct nvidia_system s;
	bool bad;
	size_t i;

	bad = nvidia_system_get(system, &s) < 0;
	for (i = 0; i < n; i++) {
		if (nvidia_gpu_get(found[i].facts, &gpus[i]) < 0 || bad) {
			memset(&gpus[i], 0, sizeof(gpus[i]));
			if (found[i].device)
				device_trouble(found[i].device, "the worker's answer is damaged");
		}
	}
	model_islands(gpus, n, places);
	for (i = 0; i < n; i++) {
		d = found[i].device;
		if (!d || *d->trouble)
			continue;
		model_gpu(d, &s, &gpus[i]);
		if (extras)
			model_extras(d, &s, &gpus[i], places[i].island);
		device_seal(d, drop_order);
	}
}

static bool model_has_peer(const struct nvidia_gpu *g, const char *peer)
{
	size_t i;

	for (i = 0; i < g->peers_n; i++)
		if (strcmp(g->peers[i], peer) == 0)
			return true;
	return false;
}

static void model_keep_told(struct nvidia_gpu *g, const struct nvidia_gpu *old)
{
	if (g->untold & NVIDIA_UNTOLD_ADDRESSING)
		g->addressing = old->addressing;
	if (g->untold & NVIDIA_UNTOLD_ECC)
		g->ecc = old->ecc;
	if (g->untold & NVIDIA_UNTOLD_MIG)
		g->mig_mode = old->mig_mode;
	if (g->untold & NVIDIA_UNTOLD_SERIAL)
		memcpy(g->serial, old->serial, sizeof(g->serial));
	if (g->untold & NVIDIA_UNTOLD_BRAND)
		g->brand = old->brand;
	if (g->untold & NVIDIA_UNTOLD_ARCHITECTURE)
		g->architecture = old->architecture;
	if (g->untold & NVIDIA_UNTOLD_PATH)
		memcpy(g->path, old->path, sizeof(g->path));
	if (g->untold & NVIDIA_UNTOLD_NUMA)
		g->numa = old->numa;
}

/*
 * A link that is down (a neighbour is reset, a fabric manager restarts) is still a link, and a
 * question that failed this time has no other answer for that.
 */
static void nvidia_remember(struct sv before, struct sv now, struct buf *out)
{
	struct nvidia_gpu old, g;
	size_t i;

	if (nvidia_gpu_get(now, &g) < 0 || nvidia_gpu_get(before, &old) < 0 ||
	    strcmp(g.uuid, old.uuid) != 0 || strcmp(g.pci, old.pci) != 0) {
		buf_put_sv(out, now);
		return;
	}
	model_keep_told(&g, &old);
	g.switched |= old.switched;
	for (i = 0; i < old.peers_n && g.peers_n < TOPOLOGY_PEERS_MAX; i++)
		if (!model_has_peer(&g, old.peers[i]))
			memcpy(g.peers[g.peers_n++], old.peers[i], sizeof(g.peers[0]));
	nvidia_gpu_put(out, &g);
}

/* A full GPU is granted as it is: whether it is still there is all that can go wrong. */
static int assign_run(struct plan_step *step, struct err *e)
{
	return plan_step_device(step) ? 0 : plan_step_missing(step, e);
}

static const struct plan_op ops[] = {
	{ .name = "assign", .run = assign_run },
};

static int nvidia_plan(struct plan *p, const struct gpu_device *d, struct sv json, struct err *e)
{
	int r;

	r = nvidia_config_check(d, json, e);
	if (r < 0)
		return r;
	return plan_add_step(p, d, &ops[0], SV_NONE, e);
}

const struct gpu_vendor nvidia_vendor = {
	.name = "nvidia",
	.driver = "gpu.nvidia.com",
	.role = "nvml",
	.pci_vendor = 0x10de,
	.model = nvidia_model,
	.remember = nvidia_remember,
	.config_fits = nvidia_config_fits,
	.plan = nvidia_plan,
	.ops = ops,
	.ops_n = ARRAY_LEN(ops),
};
