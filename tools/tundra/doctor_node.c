/* Checks of this machine: kernel, privileges, programs, GPUs on the bus, device nodes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "core/version.h"
#include "gpu/worker_roles.h"
#include "tools/tundra/doctor.h"

enum { PROC_MAX = 256 << 10, PATH_BYTES = 700 };

/* ---- kernel ---- */

/* Open file description locks: what keeps two instances from one ledger (fcntl(2)). */
enum { OFD_MAJOR = 3, OFD_MINOR = 15, PIDFD_MAJOR = 5, PIDFD_MINOR = 3 };

static bool older(const int have[2], int major, int minor)
{
	return have[0] < major || (have[0] == major && have[1] < minor);
}

void check_kernel(const struct doctor *d, struct doctor_finding *f)
{
	struct utsname u;
	int v[2] = { 0, 0 };

	(void)d;
	if (uname(&u) < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "uname: %s", strerror(errno));
		return;
	}
	doctor_say(f, DOCTOR_OK, "%s %s %s", u.sysname, u.release, u.machine);
	if (!doctor_version(u.release, "", &v[0], &v[1])) {
		f->verdict = DOCTOR_UNKNOWN;
	} else if (older(v, OFD_MAJOR, OFD_MINOR)) {
		f->verdict = DOCTOR_FAIL;
		doctor_fix(f, "Linux %d.%d or newer is needed, for file locks", OFD_MAJOR,
			   OFD_MINOR);
	} else if (older(v, PIDFD_MAJOR, PIDFD_MINOR)) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f,
			   "works; from Linux %d.%d on the end of a worker is noticed without "
			   "asking 5 times a second",
			   PIDFD_MAJOR, PIDFD_MINOR);
	} else if (strcmp(u.machine, "x86_64") != 0 && strcmp(u.machine, "aarch64") != 0) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "tundra is tested on x86_64 and aarch64 only");
	}
}

/* ---- privileges ---- */

static int effective(uint64_t *mask)
{
	struct sv rest, line;
	struct buf text;
	int r;

	buf_init(&text, PROC_MAX);
	r = fsx_read("/proc/self/status", PROC_MAX, &text);
	for (rest = buf_sv(&text); r == 0 && rest.n;) {
		line = sv_cut(&rest, '\n');
		if (sv_starts(line, SV("CapEff:"))) {
			*mask = strtoull(line.p + strlen("CapEff:"), NULL, 16);
			r = 1;
		}
	}
	buf_done(&text);
	return r == 1 ? 0 : -ENOENT;
}

void check_privileges(const struct doctor *d, struct doctor_finding *f)
{
	uint64_t mask = 0;
	size_t missing = 0;

	(void)d;
	if (effective(&mask) < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "/proc/self/status does not tell");
		return;
	}
	doctor_say(f, DOCTOR_OK, "uid %u, all capabilities that are used", (unsigned)geteuid());
	for (size_t i = 0; i < worker_roles_n; i++)
		for (const struct worker_cap *c = worker_roles[i].caps; c->name; c++) {
			if (mask >> c->cap & 1)
				continue;
			if (!missing++)
				doctor_say(f, DOCTOR_WARN, "uid %u, without", (unsigned)geteuid());
			if (c->cap == CAP_MKNOD) /* without it nothing may work at all */
				f->verdict = DOCTOR_FAIL;
			doctor_more(f, "%s %s (%s)", missing > 1 ? "," : "", c->name, c->why);
		}
	if (geteuid() != 0) {
		f->verdict = DOCTOR_WARN;
		doctor_fix(f, "run this as root, in the pod: kubectl exec -n tundra "
			      "ds/tundra-kubelet-plugin -- tundra doctor; other checks cannot see "
			      "everything now");
	} else if (missing) {
		doctor_fix(f, "the node container must be privileged "
			      "(securityContext.privileged: true), as the chart's is; where it is, "
			      "the machine itself withholds them (a nested or sandboxed node)");
	}
}

/* ---- programs ---- */

/* First line of `path --version`. */
static int version_of(const char *path, char *out, size_t size)
{
	char flag[] = "--version", *copy = mem_strdup(path), *argv[] = { copy, flag, NULL };
	posix_spawn_file_actions_t actions;
	int fd[2], status, r;
	pid_t pid;
	ssize_t n;

	r = pipe2(fd, O_CLOEXEC) < 0 ? -errno : 0;
	if (r < 0)
		goto done;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd[1], STDOUT_FILENO);
	r = -posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fd[1]);
	if (r == 0) {
		n = read(fd[0], out, size - 1);
		/* Where fork stands for vfork (emulators), posix_spawn tells by 127 only. */
		if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		    WEXITSTATUS(status) == 127 && n <= 0)
			r = -ENOEXEC;
		out[n > 0 ? n : 0] = '\0';
		out[strcspn(out, "\n")] = '\0';
	}
	close(fd[0]);
done:
	mem_free(copy);
	return r;
}

void check_programs(const struct doctor *d, struct doctor_finding *f)
{
	char text[256], want[128];
	int r = version_of(d->worker, text, sizeof(text));

	snprintf(want, sizeof(want), "(%s)", version_build());
	if (r < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s does not run: %s", d->worker, strerror(-r));
		doctor_fix(f, "install tundra-worker beside tundra, or say where it is by "
			      "--worker-path (WORKER_PATH)");
	} else if (!strstr(text, want)) {
		doctor_say(f, DOCTOR_FAIL, "%s is of another build: \"%s\", this is %s %s",
			   d->worker, text, version_string(), want);
		doctor_fix(f, "install tundra and tundra-worker from one build");
	} else if (!d->o->hook_path && access(d->hook, X_OK) < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s: %s", d->hook, strerror(errno));
		doctor_fix(f, "install tundra-cdi-hook beside tundra, or say where it is by "
			      "--hook-source (HOOK_SOURCE) or --nvidia-cdi-hook-path");
	} else {
		doctor_say(f, DOCTOR_OK, "%s, hook %s", text,
			   d->o->hook_path ? d->o->hook_path : d->hook);
	}
}

/* ---- GPUs on the bus ---- */

enum { KINDS = 4 };
struct bus {
	const char *folder;
	size_t gpus;
	struct {
		char driver[32];
		size_t n;
	} by[KINDS];
};

static void count_driver(struct bus *b, const char *driver)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (b->by[i].n && strcmp(b->by[i].driver, driver) != 0)
			continue;
		snprintf(b->by[i].driver, sizeof(b->by[i].driver), "%.31s", driver);
		b->by[i].n++;
		return;
	}
}

/* PCI class 03: display controllers; audio and USB functions of a card are others. */
static int on_pci(void *arg, const char *name)
{
	struct bus *b = arg;
	char path[PATH_BYTES], text[64], link[300];
	const char *slash;

	snprintf(path, sizeof(path), "%.400s/%.100s/vendor", b->folder, name);
	if (fsx_line(path, text, sizeof(text)) < 0 || strcmp(text, "0x10de") != 0)
		return 0;
	snprintf(path, sizeof(path), "%.400s/%.100s/class", b->folder, name);
	if (fsx_line(path, text, sizeof(text)) < 0 || strncmp(text, "0x03", 4) != 0)
		return 0;
	b->gpus++;
	snprintf(path, sizeof(path), "%.400s/%.100s/driver", b->folder, name);
	if (fsx_readlink(path, link, sizeof(link)) < 0)
		snprintf(link, sizeof(link), "no driver");
	slash = strrchr(link, '/');
	count_driver(b, slash ? slash + 1 : link);
	return 0;
}

static void say_gpus(const struct bus *b, struct doctor_finding *f)
{
	size_t ours = 0;

	doctor_say(f, DOCTOR_OK, "%zu NVIDIA:", b->gpus);
	for (size_t i = 0; i < KINDS && b->by[i].n; i++) {
		doctor_more(f, "%s %zu with %s", i ? "," : "", b->by[i].n, b->by[i].driver);
		if (!strcmp(b->by[i].driver, "nvidia"))
			ours += b->by[i].n;
		else if (!strcmp(b->by[i].driver, "nouveau"))
			doctor_fix(f, "nouveau has GPUs: blacklist it (/etc/modprobe.d) and "
				      "restart the node, or unbind it");
		else if (!strcmp(b->by[i].driver, "vfio-pci"))
			doctor_fix(f, "those with vfio-pci are for virtual machines and are not "
				      "served");
		else
			doctor_fix(f, "GPUs without NVIDIA's driver: load the module (modprobe "
				      "nvidia) and look into dmesg for NVRM");
	}
	if (!ours)
		f->verdict = DOCTOR_FAIL;
	else if (ours < b->gpus)
		f->verdict = DOCTOR_WARN;
}

void check_gpus(const struct doctor *d, struct doctor_finding *f)
{
	char folder[PATH_BYTES], dxg[PATH_BYTES];
	struct bus b = { .folder = folder };
	int r;

	snprintf(folder, sizeof(folder), "%.400s/bus/pci/devices", d->roots.sys);
	snprintf(dxg, sizeof(dxg), "%.400s/dxg", d->roots.dev);
	r = fsx_list(folder, on_pci, &b);
	if (b.gpus) {
		say_gpus(&b, f);
	} else if (fsx_exists(dxg)) {
		doctor_say(f, DOCTOR_OK, "%s: the GPUs of a WSL host", dxg);
	} else if (r < 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", folder, strerror(-r));
		doctor_fix(f, "--sys-root (SYS_ROOT) tells where sysfs is");
	} else {
		doctor_say(f, DOCTOR_FAIL, "no NVIDIA GPU on the PCI bus (%s)", folder);
		doctor_fix(f, "if the node should have one: look for it with lspci -d 10de: on the "
			      "host, and in the firmware's and the cloud's settings; else keep "
			      "tundra off this node by a nodeSelector or affinity");
	}
}

/* ---- kernel module ---- */

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ..." -> "580.65.06" */
static bool module_version(struct sv line, char *out, size_t size)
{
	while (line.n) {
		struct sv word = sv_cut(&line, ' ');
		size_t dots = 0, digits = 0;

		for (size_t i = 0; i < word.n; i++) {
			dots += word.p[i] == '.';
			digits += word.p[i] >= '0' && word.p[i] <= '9';
		}
		if (dots && digits > dots && dots + digits == word.n)
			return sv_copy(out, size, word);
	}
	return false;
}

void check_module(const struct doctor *d, struct doctor_finding *f)
{
	char path[PATH_BYTES], other[PATH_BYTES], line[512];
	int r;

	snprintf(path, sizeof(path), "%.400s/driver/nvidia/version", d->roots.proc);
	snprintf(other, sizeof(other), "%.400s/module/nouveau", d->roots.sys);
	r = fsx_line(path, line, sizeof(line));
	if (r == 0) {
		doctor_say(f, DOCTOR_OK, "%s", line);
		if (!module_version(sv_str(line), f->driver, sizeof(f->driver)))
			f->driver[0] = '\0';
		return;
	}
	if (fsx_exists("/dev/dxg")) {
		doctor_say(f, DOCTOR_OK, "WSL: the driver is in the host");
		return;
	}
	doctor_say(f, DOCTOR_FAIL, "%s: %s; NVIDIA's module is not loaded%s", path, strerror(-r),
		   fsx_exists(other) ? ", but nouveau is" : "");
	doctor_fix(f, "install NVIDIA's driver (525 or newer), by hand or with the GPU Operator's "
		      "driver container, then modprobe nvidia; dmesg tells why a load fails. "
		      "If this /proc is not the host's, --proc-root (PROC_ROOT) is wrong");
}

/* ---- device nodes ---- */

struct nodes {
	const struct doctor *d;
	struct doctor_finding *f;
	struct sv devices; /* text of /proc/devices */
	size_t good, bad;
	bool ctl, uvm;
};

static int major_of(struct sv devices, const char *const names[3])
{
	for (size_t i = 0; i < 3 && names[i]; i++)
		for (struct sv rest = devices; rest.n;) {
			struct sv line = sv_trim(sv_cut(&rest, '\n')), number;
			uint64_t major;

			if (sv_eqs(line, "Block devices:"))
				break;
			number = sv_cut(&line, ' ');
			if (sv_eqs(sv_trim(line), names[i]) && sv_u64(number, &major) == 0)
				return (int)major;
		}
	return -1;
}

/* As gpu/nvidia/worker/dev_nodes.c makes them; GPUs are nvidia<minor>. -1: any minor. */
static const struct {
	const char *name;
	const char *majors[3];
	int minor;
	bool exact;
} known_nodes[] = {
	{ "nvidiactl", { "nvidiactl", "nvidia", "nvidia-frontend" }, 255, true },
	{ "nvidia-modeset", { "nvidia-modeset", "nvidia", "nvidia-frontend" }, 254, true },
	{ "nvidia-uvm", { "nvidia-uvm" }, 0, true },
	{ "nvidia-uvm-tools", { "nvidia-uvm" }, 1, true },
	{ "nvidia", { "nvidia", "nvidia-frontend" }, -1, false },
};

static int row_of(const char *name, int64_t *minor)
{
	for (size_t i = 0; i < ARRAY_LEN(known_nodes); i++) {
		struct sv rest = sv_str(name);

		*minor = known_nodes[i].minor;
		if (known_nodes[i].exact && !strcmp(name, known_nodes[i].name))
			return (int)i;
		if (!known_nodes[i].exact && sv_starts(rest, sv_str(known_nodes[i].name)) &&
		    !sv_i64(sv_drop(rest, strlen(known_nodes[i].name)), minor))
			return (int)i;
	}
	return -1;
}

static void bad_node(struct nodes *n, const char *name, const char *fmt, ...) PRINTF(3, 4);
static void bad_node(struct nodes *n, const char *name, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n->bad++ < 8)
		doctor_more(n->f, "%s %s %s", n->bad > 1 ? "," : "", name, text);
}

static int on_dev(void *arg, const char *name)
{
	struct nodes *n = arg;
	char path[PATH_BYTES];
	int64_t minor;
	struct stat st;
	int row = row_of(name, &minor), major;

	if (row < 0)
		return 0;
	snprintf(path, sizeof(path), "%.400s/%.200s", n->d->roots.dev, name);
	major = major_of(n->devices, known_nodes[row].majors);
	n->ctl |= !strcmp(name, "nvidiactl");
	n->uvm |= !strcmp(name, "nvidia-uvm");
	if (stat(path, &st) < 0)
		bad_node(n, name, "%s", strerror(errno));
	else if (!S_ISCHR(st.st_mode))
		bad_node(n, name, "is not a character device");
	else if (major < 0)
		bad_node(n, name, "has major %u, but its module is not loaded", major(st.st_rdev));
	else if ((int)major(st.st_rdev) != major || minor(st.st_rdev) != minor)
		bad_node(n, name, "is %u:%u, the driver's is %d:%lld", major(st.st_rdev),
			 minor(st.st_rdev), major, (long long)minor);
	else
		n->good++;
	return 0;
}

static void judge_nodes(struct nodes *n)
{
	struct doctor_finding *f = n->f;

	if (n->bad) {
		f->verdict = DOCTOR_FAIL;
		doctor_fix(f, "left over from another driver: remove those nodes; tundra, or "
			      "nvidia-modprobe -c0 -u on the host, makes them anew. If the module "
			      "is not loaded: modprobe nvidia-uvm");
		return;
	}
	doctor_say(f, DOCTOR_OK, "%zu in %s, majors as in /proc/devices", n->good, n->d->roots.dev);
	if (!n->ctl || !n->uvm) {
		doctor_say(f, DOCTOR_WARN, "%zu in %s; missing:%s%s", n->good, n->d->roots.dev,
			   n->ctl ? "" : " nvidiactl", n->uvm ? "" : " nvidia-uvm");
		doctor_fix(f, "tundra makes them when it starts, if the modules are loaded "
			      "(modprobe nvidia nvidia-uvm)");
	}
}

void check_device_nodes(const struct doctor *d, struct doctor_finding *f)
{
	char path[PATH_BYTES];
	struct nodes n = { .d = d, .f = f };
	struct buf text;
	int r;

	snprintf(path, sizeof(path), "%.400s/devices", d->roots.proc);
	buf_init(&text, PROC_MAX);
	r = fsx_read(d->roots.proc_devices ? d->roots.proc_devices : path, PROC_MAX, &text);
	n.devices = buf_sv(&text);
	doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", path, strerror(-r));
	if (r == 0) {
		doctor_say(f, DOCTOR_FAIL, "wrong:");
		r = fsx_list(d->roots.dev, on_dev, &n);
		if (r < 0)
			doctor_say(f, DOCTOR_UNKNOWN, "%s: %s", d->roots.dev, strerror(-r));
		else
			judge_nodes(&n);
	}
	buf_done(&text);
}
