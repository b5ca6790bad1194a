#include "gpu/nvidia/worker/nvml_role.h"

#include <errno.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "gpu/nvidia/worker/dev_nodes.h"
#include "gpu/nvidia/worker/driver_files.h"
#include "gpu/nvidia/worker/driver_root.h"
#include "gpu/nvidia/worker/nvlib.h"
#include "gpu/nvidia/worker/nvml_query.h"
#include "gpu/pci.h"
#include "gpu/proto/messages.h"

struct nvml_role {
	const struct roots *roots;
	struct nvlib lib;    /* open and initialised, or zero */
	bool kernel_had_one; /* a driver: seen by an earlier OPEN of this process */
	bool mismatch;	     /* this OPEN met a library of another version than the kernel's */
	struct driver_root where;
	struct dev_root dev;
	struct nvidia_system system;
};

struct nvml_role *nvml_role_new(const struct roots *roots)
{
	struct nvml_role *r = MEM_NEW(struct nvml_role);

	r->roots = roots;
	return r;
}

static void role_close(struct nvml_role *r)
{
	if (!r->lib.handle)
		return;
	(void)r->lib.nvmlShutdown(); /* says UNINITIALIZED when the driver is gone already */
	nvlib_close(&r->lib);
}

void nvml_role_free(struct nvml_role **r)
{
	if (!*r)
		return;
	role_close(*r);
	mem_free(*r);
	*r = NULL;
}

/* ---- OPEN ---- */

/* Behind what earlier candidates said: the reason names every place that was tried. */
static void role_say(struct gpu_msg_open *m, enum gpu_open_state state, const char *text)
{
	size_t n = strlen(m->text);

	m->state = state;
	snprintf(m->text + n, sizeof(m->text) - n, "%s%s", n ? "; " : "", text);
}

/* NVML_INIT_FLAG_NO_GPUS: a node whose GPUs are all given to virtual machines is no error. */
static nvmlReturn_t role_init(const struct nvlib *lib)
{
	nvmlReturn_t rc = NVML_ERROR_FUNCTION_NOT_FOUND;

	if (lib->nvmlInitWithFlags)
		rc = lib->nvmlInitWithFlags(NVML_INIT_FLAG_NO_GPUS);
	if (rc == NVML_ERROR_FUNCTION_NOT_FOUND)
		rc = lib->nvmlInit_v2();
	return rc == NVML_ERROR_NOT_FOUND && !lib->nvmlInitWithFlags ? NVML_SUCCESS : rc;
}

/* /proc/driver/nvidia/gpus/<address>/information: what the kernel's driver says of its GPUs. */
struct role_seen {
	struct nvml_role *role;
	struct gpu_msg_open *m;
};

static void role_seen_line(struct gpu_seen *seen, struct sv line, bool *excluded)
{
	struct sv name = sv_trim(sv_cut(&line, ':'));
	struct sv value = sv_trim(line);
	int64_t minor;

	if (sv_eqs(name, "Device Minor") && sv_i64(value, &minor) == 0 && minor >= 0 &&
	    minor <= INT32_MAX)
		seen->minor = minor;
	else if (sv_eqs(name, "GPU UUID") && sv_find(value, '?') < 0)
		sv_copy(seen->uuid, sizeof(seen->uuid), value);
	else if (sv_eqs(name, "GPU Excluded") && sv_eqs(value, "Yes"))
		*excluded = true;
}

static int role_seen_gpu(void *arg, const char *name)
{
	struct role_seen *s = arg;
	struct gpu_seen *seen = &s->m->seen[s->m->seen_n];
	bool excluded = false;
	struct buf text;
	char path[600];
	struct sv rest;

	if (s->m->seen_n == GPU_MSG_GPUS_MAX)
		return 1;
	*seen = (struct gpu_seen){ .minor = -1 };
	if (pci_normalise(sv_str(name), seen->pci) < 0)
		return 0;
	snprintf(path, sizeof(path), "%.300s/driver/nvidia/gpus/%.100s/information",
		 s->role->roots->proc, name);
	buf_init(&text, 16 << 10);
	if (fsx_read(path, 16 << 10, &text) == 0)
		for (rest = buf_sv(&text); rest.n;)
			role_seen_line(seen, sv_cut(&rest, '\n'), &excluded);
	buf_done(&text);
	if (!excluded)
		s->m->seen_n++;
	return 0;
}

static void role_look(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct role_seen s = { r, m };
	struct inroot_path folder;

	m->seen_n = 0;
	if (inroot_join(r->roots->proc, "driver/nvidia/gpus", &folder) == 0 &&
	    fsx_list(folder.s, role_seen_gpu, &s) < 0)
		log_debug("the kernel lists no GPUs", LOG_S("folder", folder.s));
}

/*
 * The library opens nodes where this process sees them and does not count a GPU whose node is
 * missing, so they are made before it starts; containers get those of the driver's root.
 */
static void role_make_nodes(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct dev_root own;
	bool both;
	size_t i;

	both = dev_root_own(r->roots, &own) == 0 && strcmp(own.see.s, r->dev.see.s) != 0;
	role_look(r, m);
	dev_nodes_make_common(r->roots, &r->dev);
	if (both)
		dev_nodes_make_common(r->roots, &own);
	for (i = 0; i < m->seen_n; i++) {
		if (m->seen[i].minor < 0)
			continue;
		dev_nodes_make_gpu(r->roots, &r->dev, (unsigned)m->seen[i].minor);
		if (both)
			dev_nodes_make_gpu(r->roots, &own, (unsigned)m->seen[i].minor);
	}
}

/* 0: open; 1: not this one, m says why, the next may be right; -1: no other will be. */
static int role_try(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct inroot_path path;
	struct err e = { "" };
	char text[INROOT_PATH_MAX + 256];
	nvmlReturn_t rc;

	if (inroot_join(r->where.root.s, r->where.lib.s, &path) < 0)
		return 1;
	if (dev_root_find(r->roots, r->where.root.s, r->where.host.s, &r->dev) < 0) {
		role_say(m, GPU_OPEN_TROUBLE, "the node's device folder must be named .../dev");
		return -1;
	}
	role_make_nodes(r, m);
	if (nvlib_open(&r->lib, path.s, &e) < 0) {
		role_say(m, GPU_OPEN_TROUBLE, e.text);
		return 1;
	}
	rc = role_init(&r->lib);
	if (rc == NVML_SUCCESS)
		return 0;
	snprintf(text, sizeof(text), "%s: %s", path.s, nvlib_text(&r->lib, rc));
	role_say(m, rc == NVML_ERROR_DRIVER_NOT_LOADED ? GPU_OPEN_NO_DRIVER : GPU_OPEN_TROUBLE,
		 text);
	nvlib_close(&r->lib);
	if (rc != NVML_ERROR_LIB_RM_VERSION_MISMATCH)
		return -1;
	r->mismatch = true;
	return 1;
}

/*
 * Whether the kernel had a driver and has none now. Then the library is not asked: it opens
 * /dev/nvidiactl, which is still there, and for a node of major 195 without a driver the kernel
 * loads the module "char-major-195-*": we would undo what the administrator just did. Where no
 * driver was ever seen here that is as welcome as it always was.
 */
static bool role_unloaded(struct nvml_role *r)
{
	struct inroot_path version;
	bool loaded = inroot_join(r->roots->proc, "driver/nvidia/version", &version) == 0 &&
		      fsx_exists(version.s);

	r->kernel_had_one |= loaded;
	return r->kernel_had_one && !loaded;
}

static bool role_open_driver(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct driver_search search = driver_search_new(r->roots);
	bool found = false;
	struct buf text;
	int got = 1;

	if (role_unloaded(r)) {
		role_say(m, GPU_OPEN_NO_DRIVER, "the driver was unloaded from the kernel");
		return false;
	}
	r->mismatch = false;
	while (got == 1 && driver_search_next(&search, &r->where)) {
		found = true;
		got = role_try(r, m);
	}
	if (got == 1) {
		buf_init(&text, sizeof(m->text) - 1);
		driver_search_text(r->roots, &text);
		role_say(m,
			 r->mismatch ? GPU_OPEN_MISMATCH
			 : found     ? GPU_OPEN_TROUBLE
				     : GPU_OPEN_NO_DRIVER,
			 buf_cstr(&text));
		buf_done(&text);
	}
	return got == 0;
}

static void role_watch(struct gpu_msg_open *m, const char *folder, const char *prefix)
{
	struct gpu_watch *w;
	size_t i;

	for (i = 0; i < m->watch_n; i++)
		if (strcmp(m->watch[i].folder, folder) == 0 &&
		    strcmp(m->watch[i].prefix, prefix) == 0)
			return;
	if (m->watch_n == GPU_MSG_WATCH_MAX)
		return;
	w = &m->watch[m->watch_n];
	if (sv_copy(w->folder, sizeof(w->folder), sv_str(folder)) &&
	    sv_copy(w->prefix, sizeof(w->prefix), sv_str(prefix)))
		m->watch_n++;
}

static void role_watch_in(struct gpu_msg_open *m, const char *root, const char *folder,
			  const char *prefix)
{
	struct inroot_path path;

	if (inroot_join(root, folder, &path) == 0)
		role_watch(m, path.s, prefix);
}

/*
 * What would change our answer: device nodes, the driver in the kernel (on a real /proc there is no
 * event, but there are uevents), the library we use or, without one, any place where one may come.
 */
static void role_watches(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct inroot_path folder;
	char *slash;

	role_watch_in(m, r->roots->dev, "", "nvidia");
	role_watch_in(m, r->roots->proc, "driver/nvidia", "");
	role_watch_in(m, r->roots->proc, "driver/nvidia/gpus", "");
	if (!r->lib.handle) {
		m->watch_n += driver_search_watch(r->roots, m->watch + m->watch_n,
						  GPU_MSG_WATCH_MAX - m->watch_n);
		return;
	}
	role_watch_in(m, r->dev.see.s, "dev", "nvidia");
	role_watch_in(m, r->dev.see.s, "dev/dri", ""); /* made by a module that is loaded later */
	if (inroot_join(r->where.root.s, r->where.lib.s, &folder) == 0 &&
	    (slash = strrchr(folder.s, '/'))) {
		*slash = '\0';
		role_watch(m, folder.s, "libnvidia");
		role_watch(m, folder.s, "libcuda");
	}
	role_watch_in(m, r->where.root.s, "run/nvidia-persistenced", "socket");
	role_watch_in(m, r->where.root.s, "run/nvidia-fabricmanager", "socket");
}

/* Everything of OPEN that needs a running library. False: m says why not. */
static bool role_describe(struct nvml_role *r, struct gpu_msg_open *m)
{
	struct driver_files files = { r->roots, &r->where, r->system.driver_version };
	struct inroot_path libdir;
	struct err e = { "" };
	unsigned count = 0;
	nvmlReturn_t rc;

	if (nvml_query_system(&r->lib, &r->system, &e) < 0) {
		role_say(m, GPU_OPEN_TROUBLE, e.text);
		return false;
	}
	rc = r->lib.nvmlDeviceGetCount_v2(&count);
	if (rc != NVML_SUCCESS) {
		snprintf(m->text, sizeof(m->text), "NVML does not count its GPUs: %s",
			 nvlib_text(&r->lib, rc));
		m->state = GPU_OPEN_TROUBLE;
		return false;
	}
	m->count = MIN(count, (unsigned)GPU_MSG_GPUS_MAX);
	if (driver_files_add(&files, &m->edits, &libdir, &e) < 0) {
		role_say(m, GPU_OPEN_TROUBLE, e.text);
		return false;
	}
	if (r->where.layout->wsl)
		(void)!dev_nodes_add(&r->dev, "dxg", &m->edits);
	else
		dev_nodes_add_common(&r->dev, &m->edits);
	edits_sort(&m->edits);
	snprintf(m->text, sizeof(m->text), "driver %s in %s (%s)", r->system.driver_version,
		 r->where.root.s, r->where.layout->name);
	return true;
}

static int role_open(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct gpu_msg_open *m = MEM_NEW(struct gpu_msg_open);
	struct nvml_role *r = ctx;
	struct buf facts;

	(void)body;
	(void)deadline_ms;
	role_close(r);
	buf_init(&facts, 4096);
	if (role_open_driver(r, m)) {
		m->state = GPU_OPEN_READY; /* whatever an earlier candidate said */
		m->text[0] = '\0';
		if (role_describe(r, m))
			nvidia_system_put(&facts, &r->system);
	}
	role_watches(r, m);
	m->facts = buf_sv(&facts);
	gpu_msg_put_open(out, m);
	if (m->state != GPU_OPEN_READY)
		role_close(r);
	buf_done(&facts);
	gpu_msg_open_done(m);
	mem_free(m);
	return 0;
}

/* ---- QUERY ---- */

static void role_gpu_edits(struct nvml_role *r, struct gpu_msg_query *m)
{
	char name[32];

	if (m->minor < 0)
		return; /* WSL: one node for all, among the common edits */
	snprintf(name, sizeof(name), "nvidia%lld", (long long)m->minor);
	if (dev_nodes_add(&r->dev, name, &m->edits) != 0) {
		m->state = GPU_QUERY_TROUBLE;
		snprintf(m->text, sizeof(m->text),
			 "its device node /dev/%s is missing and could not be made", name);
		return;
	}
	dev_nodes_add_drm(r->roots, &r->dev, m->pci, &m->edits);
	edits_sort(&m->edits);
}

static int role_query(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct gpu_msg_query m = { 0 };
	struct nvml_role *r = ctx;
	struct nvidia_gpu g;
	struct buf facts;
	uint32_t index;
	int rc;

	(void)deadline_ms;
	rc = gpu_msg_get_index(body, &index);
	if (rc < 0)
		return rc;
	buf_init(&facts, 16 << 10);
	if (!r->lib.handle) {
		m.state = GPU_QUERY_SESSION;
		m.minor = -1;
	} else {
		nvml_query_gpu(&r->lib, r->roots, index, &g, &m);
		if (m.state == GPU_QUERY_OK)
			role_gpu_edits(r, &m);
		if (m.state == GPU_QUERY_OK)
			nvidia_gpu_put(&facts, &g);
	}
	m.facts = buf_sv(&facts);
	gpu_msg_put_query(out, &m);
	buf_done(&facts);
	gpu_msg_query_done(&m);
	return 0;
}

static int role_shut(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)body;
	(void)deadline_ms;
	(void)out;
	role_close(ctx);
	return 0;
}

const struct worker_method nvml_role_methods[] = {
	{ GPU_M_OPEN, "open", role_open },
	{ GPU_M_QUERY, "query", role_query },
	{ GPU_M_CLOSE, "close", role_shut },
};
const size_t nvml_role_methods_n = ARRAY_LEN(nvml_role_methods);
