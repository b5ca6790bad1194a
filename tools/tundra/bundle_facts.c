/* Parts of the support bundle that come from files of this node. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "core/version.h"
#include "tools/tundra/bundle.h"

enum { PATH_BYTES = 1024, KMSG_RECORD = 8192, KMSG_MAX = 1 << 20 };

/* A heading and a file of /proc or /sys; what is not there is left out. */
static void add_file(struct buf *out, const char *root, const char *name)
{
	char path[PATH_BYTES];
	struct buf text;
	int r;

	snprintf(path, sizeof(path), "%.400s/%.400s", root, name);
	buf_init(&text, BUNDLE_FILE_MAX);
	r = fsx_read(path, BUNDLE_FILE_MAX, &text);
	buf_printf(out, "== %s\n%s\n", path, r ? strerror(-r) : buf_cstr(&text));
	buf_done(&text);
}

static void add_glob(struct buf *out, const char *root, const char *pattern)
{
	char path[PATH_BYTES];
	glob_t found = { 0 };

	snprintf(path, sizeof(path), "%.400s/%.400s", root, pattern);
	if (glob(path, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_file(out, root, found.gl_pathv[i] + strlen(root) + 1);
	globfree(&found);
}

/* ---- doctor, versions ---- */

void part_doctor(struct bundle *b)
{
	const struct doctor *d = b->d;
	struct buf text;

	buf_init(&text, BUNDLE_FILE_MAX);
	for (size_t i = 0; i < doctor_checks_n; i++) {
		const struct doctor_finding *f = &d->findings[i];

		buf_printf(&text, "%-8s %-16s %s\n", doctor_verdict_names[f->verdict],
			   doctor_checks[i].name, f->found);
		if (*f->fix)
			buf_printf(&text, "%-8s %-16s -> %s\n", "", "", f->fix);
	}
	bundle_put(b, "doctor.txt", buf_sv(&text));
	buf_clear(&text);
	doctor_json(d, &text);
	bundle_put(b, "doctor.json", buf_sv(&text));
	buf_done(&text);
}

void part_versions(struct bundle *b)
{
	const struct doctor_finding *node = doctor_found(b->d, "node object");
	struct utsname u = { 0 };
	struct buf text;
	char when[32];
	time_t now = (time_t)b->now_s;
	struct tm tm;

	(void)uname(&u);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_init(&text, BUNDLE_FILE_MAX);
	buf_printf(&text, "tundra %s build %s\nat %s\nkernel %s %s %s %s\n", version_string(),
		   version_build(), when, u.sysname, u.release, u.version, u.machine);
	if (node)
		buf_printf(&text, "kubelet %s\nruntime %s\n", node->kubelet, node->runtime);
	add_file(&text, "", "etc/os-release");
	if (*b->d->host)
		add_file(&text, b->d->host, "etc/os-release");
	bundle_put(b, "versions.txt", buf_sv(&text));
	buf_done(&text);
}

/* ---- kernel ---- */

/* Lines of the kernel's log that name NVIDIA's driver, a GPU's fault or us. */
static bool of_interest(struct sv line)
{
	static const char *const words[] = { "NVRM", "Xid",    "nvidia",  "nouveau",
					     "AER:", "tundra", "oom-kill" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (memmem(line.p, line.n, words[i], strlen(words[i])))
			return true;
	return false;
}

static void put_kmsg(struct bundle *b)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[KMSG_RECORD];
	struct buf text;
	ssize_t n;

	buf_init(&text, KMSG_MAX);
	if (fd < 0)
		buf_printf(&text, "(/dev/kmsg: %s)\n", strerror(errno));
	else
		buf_puts(&text, "level,sequence,microseconds since boot,-;text\n");
	/* EPIPE: records were overwritten while we read; the next is there. */
	while (fd >= 0 && ((n = read(fd, record, sizeof(record))) > 0 || (n < 0 && errno == EPIPE)))
		if (n > 0 && of_interest(sv_make(record, (size_t)n)))
			buf_put(&text, record, (size_t)n);
	if (fd >= 0)
		close(fd);
	bundle_put(b, "kmsg.txt", buf_sv(&text));
	buf_done(&text);
}

void part_kernel(struct bundle *b)
{
	static const char *const files[] = { "cmdline",
					     "modules",
					     "loadavg",
					     "meminfo",
					     "uptime",
					     "self/mountinfo",
					     "pressure/io",
					     "sys/fs/inotify/max_user_instances",
					     "sys/fs/inotify/max_user_watches" };
	struct buf text;

	buf_init(&text, BUNDLE_FILE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		add_file(&text, b->d->roots.proc, files[i]);
	bundle_put(b, "kernel.txt", buf_sv(&text));
	buf_done(&text);
	put_kmsg(b);
}

/* ---- driver and devices ---- */

struct listing {
	struct buf *out;
	const char *folder, *prefix;
};

static int on_entry(void *arg, const char *name)
{
	const struct listing *l = arg;
	char path[PATH_BYTES], target[512] = "";
	struct stat st;

	if (!sv_starts(sv_str(name), sv_str(l->prefix)))
		return 0;
	snprintf(path, sizeof(path), "%.500s/%.300s", l->folder, name);
	if (lstat(path, &st) < 0)
		return 0;
	buf_printf(l->out, "%06o %u:%u ", st.st_mode, st.st_uid, st.st_gid);
	if (S_ISCHR(st.st_mode))
		buf_printf(l->out, "char %u:%u", major(st.st_rdev), minor(st.st_rdev));
	else
		buf_printf(l->out, "%lld bytes", (long long)st.st_size);
	if (S_ISLNK(st.st_mode) && fsx_readlink(path, target, sizeof(target)) < 0)
		target[0] = '\0';
	buf_printf(l->out, " %lld %s%s%s\n", (long long)st.st_mtime, path, *target ? " -> " : "",
		   target);
	return 0;
}

static void list(struct buf *out, const char *folder, const char *prefix)
{
	struct listing l = { out, folder, prefix };
	int r;

	buf_printf(out, "== %s\n", folder);
	r = fsx_list(folder, on_entry, &l);
	if (r < 0)
		buf_printf(out, "(%s)\n", strerror(-r));
}

static int on_pci(void *arg, const char *name)
{
	static const char *const facts[] = { "vendor",
					     "device",
					     "class",
					     "numa_node",
					     "current_link_speed",
					     "current_link_width",
					     "enable",
					     "reset_method" };
	const struct listing *l = arg;
	char path[PATH_BYTES], value[128], driver[512];

	snprintf(path, sizeof(path), "%.400s/%.100s/vendor", l->folder, name);
	if (fsx_line(path, value, sizeof(value)) < 0 || strcmp(value, "0x10de") != 0)
		return 0;
	buf_printf(l->out, "%s", name);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		snprintf(path, sizeof(path), "%.400s/%.100s/%s", l->folder, name, facts[i]);
		if (fsx_line(path, value, sizeof(value)) == 0)
			buf_printf(l->out, " %s=%s", facts[i], value);
	}
	snprintf(path, sizeof(path), "%.400s/%.100s/driver", l->folder, name);
	if (fsx_readlink(path, driver, sizeof(driver)) == 0)
		buf_printf(l->out, " driver=%s", driver);
	buf_putc(l->out, '\n');
	return 0;
}

void part_driver(struct bundle *b)
{
	const struct roots *roots = &b->d->roots;
	char folder[PATH_BYTES];
	struct buf text;
	struct listing l = { &text, folder, "" };

	buf_init(&text, BUNDLE_FILE_MAX);
	add_file(&text, roots->proc, "driver/nvidia/version");
	add_file(&text, roots->proc, "driver/nvidia/params");
	add_file(&text, roots->proc, "driver/nvidia/registry");
	add_glob(&text, roots->proc, "driver/nvidia/gpus/*/information");
	add_glob(&text, roots->proc, "driver/nvidia/gpus/*/power");
	add_file(&text, roots->proc, "devices");
	add_file(&text, roots->sys, "module/nvidia/version");
	snprintf(folder, sizeof(folder), "%.400s/bus/pci/devices", roots->sys);
	buf_printf(&text, "== %s\n", folder);
	(void)!fsx_list(folder, on_pci, &l);
	buf_putc(&text, '\n');
	list(&text, roots->dev, "nvidia");
	snprintf(folder, sizeof(folder), "%.400s/dri", roots->dev);
	list(&text, folder, "");
	bundle_put(b, "driver.txt", buf_sv(&text));
	buf_done(&text);
}

/* ---- folders ---- */

struct specs {
	struct bundle *b;
	size_t n;
};

static int on_spec(void *arg, const char *name)
{
	struct specs *s = arg;
	char path[PATH_BYTES], member[160];

	if (!sv_starts(sv_str(name), SV("k8s.gpu.nvidia.com-claim_")))
		return 0;
	snprintf(path, sizeof(path), "%.400s/%.200s", s->b->d->roots.cdi, name);
	snprintf(member, sizeof(member), "cdi/%.90s", name);
	bundle_put_file(s->b, member, path);
	return ++s->n == BUNDLE_FILES_MAX;
}

void part_folders(struct bundle *b)
{
	const struct doctor *d = b->d;
	const char *folders[] = { d->folder,	d->roots.plugins,  d->roots.registry,
				  d->roots.cdi, d->device_plugins, d->roots.run,
				  "/etc/cdi" };
	struct specs specs = { b, 0 };
	struct buf text;

	buf_init(&text, BUNDLE_FILE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		list(&text, folders[i], "");
	bundle_put(b, "folders.txt", buf_sv(&text));
	buf_done(&text);
	(void)!fsx_list(d->roots.cdi, on_spec, &specs);
}

/* ---- configuration ---- */

/* Paths of the host; the archive keeps them, with '/' as '_'. */
static const char *const configs[] = {
	"/etc/containerd/config.toml",
	"/etc/containerd/conf.d/*.toml",
	"/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
	"/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
	"/var/snap/microk8s/current/args/containerd.toml",
	"/run/k0s/containerd-cri.toml",
	"/etc/crio/crio.conf",
	"/etc/crio/crio.conf.d/*.conf",
	"/var/lib/kubelet/config.yaml",
	"/var/lib/kubelet/kubeadm-flags.env",
	"/etc/nvidia-container-runtime/config.toml",
};

void part_runtime(struct bundle *b)
{
	char pattern[PATH_BYTES], member[100];
	glob_t found;

	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		found = (glob_t){ 0 };
		snprintf(pattern, sizeof(pattern), "%.400s%s", b->d->host, configs[i]);
		if (glob(pattern, 0, NULL, &found) == 0)
			for (size_t k = 0; k < found.gl_pathc; k++) {
				const char *path = found.gl_pathv[k] + strlen(b->d->host) + 1;

				snprintf(member, sizeof(member), "runtime/%.90s", path);
				for (char *c = member + strlen("runtime/"); *c; c++)
					if (*c == '/')
						*c = '_';
				bundle_put_file(b, member, found.gl_pathv[k]);
			}
		globfree(&found);
	}
}

/* Only what our own flags read: the rest of an environment is nobody's business. */
void part_environment(struct bundle *b)
{
	size_t n;
	const struct conf_option *rows = node_options_table(&n);
	struct buf text;

	buf_init(&text, BUNDLE_FILE_MAX);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(rows[i].env) && rows[i].env[k]; k++)
			if (getenv(rows[i].env[k]))
				buf_printf(&text, "%s=%s\n", rows[i].env[k],
					   getenv(rows[i].env[k]));
	bundle_put(b, "environment.txt", buf_sv(&text));
	buf_done(&text);
}

/* ---- logs ---- */

/* /var/log/pods/<namespace>_<pod>_<uid>/<container>/<n>.log; the newest numbers come last. */
void part_logs(struct bundle *b)
{
	static const char *const patterns[] = { "/var/log/pods/*tundra*/*/*.log",
						"/var/log/pods/*gpu-kubelet-plugin*/*/*.log" };
	char pattern[PATH_BYTES], member[100];
	size_t n = 0;
	glob_t found;

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		found = (glob_t){ 0 };
		snprintf(pattern, sizeof(pattern), "%.400s%s", b->d->host, patterns[i]);
		if (glob(pattern, 0, NULL, &found) == 0)
			for (size_t k = found.gl_pathc; k && n < BUNDLE_FILES_MAX; k--, n++) {
				const char *path = found.gl_pathv[k - 1];
				struct sv rest = sv_drop(
				    sv_str(path), strlen(b->d->host) + strlen("/var/log/pods/"));

				/* The end of a long path tells more than its beginning. */
				if (rest.n > 85)
					rest = sv_drop(rest, rest.n - 85);
				snprintf(member, sizeof(member), "logs/%zu-" SV_FMT, n,
					 SV_ARG(rest));
				for (char *c = member + strlen("logs/"); *c; c++)
					if (*c == '/')
						*c = '_';
				bundle_put_file(b, member, path);
			}
		globfree(&found);
	}
	if (!n)
		bundle_put(
		    b, "logs/none.txt",
		    SV("no log of tundra below /var/log/pods of the host; from a pod: kubectl "
		       "logs -n tundra PODNAME --previous, and without --previous\n"));
}
