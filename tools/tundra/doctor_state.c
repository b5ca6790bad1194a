/* Checks of our own state, and of others who give out the same GPUs. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/journal_format.h"
#include "core/json.h"
#include "core/mem.h"
#include "k8s/takeover.h"
#include "tools/tundra/doctor.h"
#include "tools/tundra/offline.h"
#include "tools/tundra/status.h"

enum { PATH_BYTES = 700, SYNCS = 3 };
enum {
	SPACE_FAIL = 4 << 20,  /* the ledger's reserve and a batch */
	SPACE_WARN = 64 << 20, /* 10 000 claims with their CDI specs need 200 MB elsewhere */
	INODES_FAIL = 16,
	SYNC_WARN_MS = 100, /* a prepare waits for one; the kubelet's own limit is 45 s */
	SYNC_FAIL_MS = 5000,
	TMPFS = 0x01021994, /* statfs(2) */
};

/* ---- disk ---- */

static double sync_once(const char *folder, int *r)
{
	char *path _mem_free_ = mem_printf("%s/.doctor", folder);
	struct timespec a, b;
	char block[4096];

	memset(block, 'x', sizeof(block));
	clock_gettime(CLOCK_MONOTONIC, &a);
	*r = fsx_replace(path, sv_make(block, sizeof(block)), 0600, FSX_SYNC);
	clock_gettime(CLOCK_MONOTONIC, &b);
	(void)!fsx_remove(path);
	return (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
}

static void judge_disk(const struct statvfs *v, const struct statfs *fs, double ms,
		       struct doctor_finding *f)
{
	uint64_t space = (uint64_t)v->f_bfree * v->f_frsize; /* root's reserve is ours, too */

	doctor_more(f, ": %llu MiB free, %.1f ms for a write with its sync",
		    (unsigned long long)(space >> 20), ms);
	if (space < SPACE_FAIL || (v->f_files && v->f_ffree < INODES_FAIL)) {
		f->verdict = DOCTOR_FAIL;
		doctor_fix(f, "make room: no claim can be prepared on a full disk");
	} else if (ms > SYNC_FAIL_MS) {
		f->verdict = DOCTOR_FAIL;
		doctor_fix(f, "each prepare waits for a sync: look for a dying disk (dmesg, "
			      "smartctl -a) or one that is flooded");
	} else if (space < SPACE_WARN) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "make room");
	} else if (ms > SYNC_WARN_MS) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "each prepare waits for a sync: a faster disk for the kubelet's "
			      "folder makes pods start sooner");
	} else if (fs->f_type == TMPFS) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "this is memory: after a restart of the node the record of what was "
			      "prepared is gone. Fine for a trial");
	}
}

void check_disk(const struct doctor *d, struct doctor_finding *f)
{
	const char *folder = fsx_exists(d->folder) ? d->folder : d->roots.plugins;
	struct statvfs v;
	struct statfs fs;
	double ms, longest = 0;
	int r = 0;

	if (statvfs(folder, &v) < 0 || statfs(folder, &fs) < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", folder, strerror(errno));
		return;
	}
	if (v.f_flag & ST_RDONLY) {
		doctor_say(f, DOCTOR_FAIL, "%s is read-only", folder);
		doctor_fix(f, "mount it writable; a file system that turned read-only by itself "
			      "had an error (dmesg)");
		return;
	}
	for (int i = 0; i < SYNCS && r == 0; i++) {
		ms = sync_once(folder, &r);
		longest = MAX(longest, ms);
	}
	if (r < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s cannot be written: %s", folder, strerror(-r));
		doctor_fix(f, r == -EACCES ? "run this as root, in tundra's pod"
					   : "the disk is full or broken (df, df -i, dmesg)");
		return;
	}
	doctor_say(f, DOCTOR_OK, "%s", folder);
	judge_disk(&v, &fs, longest, f);
}

/* ---- ledger ---- */

/* Of claims that are still held: a damaged record that was deleted since is nobody's. */
struct damaged {
	struct doctor_finding *finding;
	unsigned n;
};

static void on_corrupt(void *arg, struct sv key)
{
	struct damaged *d = arg;

	d->n++;
	doctor_more(d->finding, " " SV_FMT, (int)(key.n ? MIN(key.n, 36) : 1), key.n ? key.p : "?");
}

void check_ledger(const struct doctor *d, struct doctor_finding *f)
{
	char *path _mem_free_ = mem_printf("%s/ledger", d->folder);
	struct damaged damaged = { .finding = f };
	const struct journal_scan_events ev = { .on_corrupt = on_corrupt, .arg = &damaged };
	struct journal_scan_result got = { 0 };
	struct err e = { 0 };
	int r;

	doctor_say(f, DOCTOR_WARN, "%s: damaged records of", path);
	r = journal_read(path, &ev, &got, &e);
	if (r == -ENOENT) {
		doctor_say(f, DOCTOR_OK, "%s: none yet", path);
	} else if (r == -EACCES) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", path, strerror(-r));
	} else if (r < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s: %s", path,
			   *err_text(&e) ? err_text(&e) : strerror(-r));
		doctor_fix(f, "tundra prepares nothing while it is so. Drain the node, then move "
			      "the file away: what is prepared is forgotten with it");
	} else if (damaged.n) {
		doctor_more(f, "; %zu claims in all", got.live);
		doctor_fix(f, "only those claims are affected: they are freed when their pods are "
			      "deleted. Look for a dying disk (dmesg, smartctl -a)");
	} else {
		doctor_say(f, DOCTOR_OK, "%s: %zu claims in %zu bytes", path, got.live, got.good);
	}
}

/* ---- others who serve the same GPUs ---- */

struct process {
	const struct doctor *d;
	const char *comm; /* as the kernel cuts it: 15 bytes */
	int64_t pid;	  /* found, 0 = none */
};

static bool is_tundra(const char *proc, const char *pid)
{
	char path[PATH_BYTES], exe[512];
	const char *slash;

	snprintf(path, sizeof(path), "%.400s/%.20s/exe", proc, pid);
	if (fsx_readlink(path, exe, sizeof(exe)) < 0)
		return false;
	slash = strrchr(exe, '/');
	return slash && sv_starts(sv_str(slash + 1), SV("tundra"));
}

static int on_process(void *arg, const char *name)
{
	struct process *p = arg;
	char path[PATH_BYTES], comm[64];

	if (!isdigit((unsigned char)*name))
		return 0;
	snprintf(path, sizeof(path), "%.400s/%.20s/comm", p->d->roots.proc, name);
	if (fsx_line(path, comm, sizeof(comm)) < 0 || strcmp(comm, p->comm) != 0 ||
	    is_tundra(p->d->roots.proc, name))
		return 0;
	return sv_i64(sv_str(name), &p->pid) == 0;
}

static int64_t find_process(const struct doctor *d, const char *comm)
{
	struct process p = { .d = d, .comm = comm };

	(void)!fsx_list(d->roots.proc, on_process, &p);
	return p.pid;
}

static int on_plugin_socket(void *arg, const char *name)
{
	char *out = arg;

	if (!sv_starts(sv_str(name), SV("nvidia")) || !sv_ends(sv_str(name), SV(".sock")))
		return 0;
	snprintf(out, 64, "%.63s", name);
	return 1;
}

void check_device_plugin(const struct doctor *d, struct doctor_finding *f)
{
	const struct doctor_finding *node = doctor_found(d, "node object");
	int64_t pid = find_process(d, "nvidia-device-p");
	char socket[64] = "";

	(void)!fsx_list(d->device_plugins, on_plugin_socket, socket);
	if (node && node->plugin_gpus > 0)
		doctor_say(f, DOCTOR_FAIL, "the Node's capacity has %lld nvidia.com/gpu",
			   (long long)node->plugin_gpus);
	else if (pid)
		doctor_say(f, DOCTOR_FAIL, "nvidia-device-plugin runs (pid %lld)", (long long)pid);
	else if (*socket)
		doctor_say(f, DOCTOR_FAIL, "%s/%s", d->device_plugins, socket);
	else
		doctor_say(f, DOCTOR_OK, "none");
	if (f->verdict == DOCTOR_OK)
		return;
	doctor_fix(f,
		   "take the device plugin off this node (GPU Operator: devicePlugin.enabled="
		   "false, or label it nvidia.com/gpu.deploy.device-plugin=false)%s; tundra "
		   "offers no devices until then",
		   *socket && !pid ? ", and remove the socket if it is a left-over" : "");
	if (d->o->allow_device_plugin) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "allowed by --allow-device-plugin: a GPU may be given out twice");
	}
}

/* checkpoint.json: what tundra will make of it when it starts. */
static void judge_checkpoint(const struct doctor *d, struct doctor_finding *f)
{
	char *path _mem_free_ = mem_printf("%s/checkpoint.json", d->folder);
	char *ledger _mem_free_ = mem_printf("%s/ledger", d->folder);
	char boot_id[64] = "";
	const struct takeover_conf conf = { .folder = d->folder,
					    .ledger = ledger,
					    .cdi = d->roots.cdi,
					    .driver = DRIVER_NAME,
					    .pool = d->o->node_name,
					    .boot_id = boot_id };
	struct takeover_found found;
	struct err e = { 0 };

	if (access(path, R_OK) < 0 && errno == EACCES) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", path, strerror(errno));
	} else if (fsx_line(d->roots.boot_id, boot_id, sizeof(boot_id)) < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "cannot read the boot id %s", d->roots.boot_id);
	} else if (takeover_look(&conf, &found, &e) < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s", err_text(&e));
		doctor_fix(f, "tundra does not start on this node until then; do not remove that "
			      "file while pods of its claims run: their GPUs would be given away "
			      "again");
	} else if (found.stale) {
		doctor_say(f, DOCTOR_OK,
			   "%s: %zu claims of an earlier boot, which hold nothing any more", path,
			   found.stale);
	} else if (found.claims || found.begun) {
		doctor_say(f, DOCTOR_OK,
			   "%s: %zu claims of NVIDIA's driver, which tundra takes over with their "
			   "pods when it starts",
			   path, found.claims);
	} else {
		doctor_say(f, DOCTOR_OK, "none");
	}
}

void check_other_driver(const struct doctor *d, struct doctor_finding *f)
{
	int64_t pid = find_process(d, "gpu-kubelet-plu");

	judge_checkpoint(d, f);
	if (!pid)
		return;
	doctor_say(f, DOCTOR_FAIL,
		   "gpu-kubelet-plugin runs (pid %lld), NVIDIA's DRA driver for GPUs",
		   (long long)pid);
	doctor_fix(f, "uninstall it or switch its GPUs off (resources.gpus.enabled=false); tundra "
		      "takes over what it has prepared, with the pods running");
}

/* ---- the running node ---- */

static void judge_agent(const struct json *s, struct doctor_finding *f)
{
	const struct json *inv = json_get(s, "inventory"), *d = json_get(s, "driver");
	const char *devices = json_str(json_get(inv, "state"), "?");
	const char *ledger = json_str(json_get(d, "ledger", "state"), "?");
	bool registered = json_flag(json_get(d, "registered"), false);
	bool connected = json_flag(json_get(s, "api", "connected"), false);

	doctor_say(f, DOCTOR_OK, "tundra %s: devices %s, ledger %s, %s, %lld devices published",
		   json_str(json_get(s, "version"), "?"), devices, ledger,
		   registered ? "registered" : "not registered with the kubelet",
		   (long long)json_i64(json_get(d, "publisher", "devices"), 0));
	if (!registered || strcmp(devices, "ready") != 0)
		f->verdict = DOCTOR_WARN;
	if (!strcmp(devices, "no driver") || !strcmp(devices, "trouble") ||
	    !strcmp(ledger, "failed"))
		f->verdict = DOCTOR_FAIL;
	if (json_get(s, "conflict")) {
		f->verdict = DOCTOR_WARN;
		doctor_more(f, "; %s", json_str(json_get(s, "conflict"), ""));
	}
	if (!connected && *json_str(json_get(s, "api", "lastError"), ""))
		doctor_more(f, "; API server: %s", json_str(json_get(s, "api", "lastError"), ""));
	if (f->verdict != DOCTOR_OK)
		doctor_fix(f, "tundra status tells the reasons; kubectl logs of its pod the "
			      "history");
}

void check_node_agent(const struct doctor *d, struct doctor_finding *f)
{
	static const struct json_limits limits = { .bytes = STATUS_ANSWER_MAX,
						   .values = 5000000,
						   .depth = 32 };
	struct json *root = NULL;
	struct err e = { 0 };
	struct buf answer;
	struct sv body;
	int r;

	buf_init(&answer, STATUS_ANSWER_MAX);
	r = status_fetch(d->roots.run, &answer, &body, &e);
	if (r == 0)
		r = json_parse(body, &limits, &root, &e);
	if (r == 0) {
		judge_agent(root, f);
	} else {
		doctor_say(f, DOCTOR_UNKNOWN, "%s", err_text(&e));
		doctor_fix(f, "not running, or not here: run this in its pod to have it asked");
	}
	json_free(&root);
	buf_done(&answer);
}
