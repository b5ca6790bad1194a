/* Checks of what runs containers here: the kubelet's configuration, folders, sockets; the runtime.
 */
#include <errno.h>
#include <glob.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/json.h"
#include "core/mem.h"
#include "k8s/api/yaml.h"
#include "tools/tundra/doctor.h"
#include "tools/tundra/runtime_config.h"

enum { CONFIG_MAX = 1 << 20, PATH_BYTES = 1024, GATED_MINOR = 34 };

/* ---- kubelet configuration ---- */

/* A file of the kubelet's own folder: beside its device plugins. Caller frees. */
static char *beside_plugins(const struct doctor *d, const char *name)
{
	const char *slash = strrchr(d->device_plugins, '/');

	return mem_printf("%.*s/%s", (int)(slash - d->device_plugins), d->device_plugins, name);
}

static int read_yaml(const char *path, struct json **out, struct err *e)
{
	struct buf yaml, json;
	int r;

	buf_init(&yaml, CONFIG_MAX);
	buf_init(&json, (size_t)4 * CONFIG_MAX);
	r = fsx_read(path, CONFIG_MAX, &yaml);
	if (r < 0)
		r = err_sys(e, r, "%s", path);
	else
		r = yaml_to_json(buf_sv(&yaml), &json, e);
	if (r == 0)
		r = json_parse(buf_sv(&json), &json_limits_object, out, e);
	buf_done(&yaml);
	buf_done(&json);
	return r;
}

static void judge_gates(const struct doctor *d, const struct json *gates, const char *path,
			struct doctor_finding *f)
{
	const struct doctor_finding *node = doctor_found(d, "node object");
	const struct json *dra = json_get(gates, "DynamicResourceAllocation");
	int major = 0, minor = 0;
	bool known = node && doctor_version(node->kubelet, "v", &major, &minor);

	if (json_kind(dra) == JSON_BOOL ? json_flag(dra, false) : minor >= GATED_MINOR) {
		doctor_say(f, DOCTOR_OK, "DRA is on (%s)", path);
		return;
	}
	if (json_kind(dra) == JSON_BOOL)
		doctor_say(f, DOCTOR_FAIL, "%s switches DynamicResourceAllocation off", path);
	else if (known)
		doctor_say(f, DOCTOR_FAIL, "kubelet %s has DRA off unless told, and %s does not",
			   node->kubelet, path);
	else
		doctor_say(f, DOCTOR_OK, "%s leaves DRA at its default: on from 1.%d", path,
			   GATED_MINOR);
	if (f->verdict == DOCTOR_FAIL)
		doctor_fix(f, "featureGates: {DynamicResourceAllocation: true} in that file, then "
			      "restart the kubelet");
}

void check_kubelet_config(const struct doctor *d, struct doctor_finding *f)
{
	char *path _mem_free_ = beside_plugins(d, "config.yaml");
	struct json *root = NULL;
	struct err e = { 0 };
	int r = read_yaml(path, &root, &e);

	if (r == 0)
		judge_gates(d, json_get(root, "featureGates"), path, f);
	else
		doctor_say(f, DOCTOR_UNKNOWN,
			   "%s (where this kubelet has its configuration is not "
			   "known)",
			   err_text(&e));
	json_free(&root);
}

/* ---- folders and sockets ---- */

/* Other distributions' kubelet folders. */
static const char *const kubelet_roots[] = { "/var/lib/kubelet", "/var/lib/k0s/kubelet",
					     "/var/snap/microk8s/common/var/lib/kubelet",
					     "/var/lib/rancher/k3s/agent/kubelet" };

static int try_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, r = 0;

	if (!sv_copy(addr.sun_path, sizeof(addr.sun_path), sv_str(path)))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* A kubelet's folder that is not the one we were told; NULL: none. Caller frees. */
static char *another_kubelet(const struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_LEN(kubelet_roots); i++) {
		char *mark = mem_printf("%s%s/device-plugins", d->host, kubelet_roots[i]);

		if (strcmp(mark, d->device_plugins) != 0 && fsx_exists(mark)) {
			*strrchr(mark, '/') = '\0';
			return mark;
		}
		mem_free(mark);
	}
	return NULL;
}

static void say_no_folder(const struct doctor *d, const char *folder, const char *flag,
			  struct doctor_finding *f)
{
	char *other _mem_free_ = another_kubelet(d);

	doctor_say(f, DOCTOR_FAIL, "%s: not a folder", folder);
	if (other) {
		doctor_more(f, "; a kubelet has its folders in %s", other);
		doctor_fix(f,
			   "--%s below %s, mounted under the same path in the pod (chart: "
			   "kubeletPlugin.kubeletPluginsDirectoryPath and its like)",
			   flag, other);
	} else if (fsx_exists(d->device_plugins)) {
		doctor_fix(f, "restart the kubelet, which makes it; in a pod it must be mounted "
			      "under its own path");
	} else {
		f->verdict = DOCTOR_UNKNOWN;
		doctor_more(f, ", and there is no sign of a kubelet");
		doctor_fix(f, "if its --root-dir is another one: --%s", flag);
	}
}

/* 0, or f says what is wrong with the folder. */
static int want_folder(const struct doctor *d, const char *folder, const char *flag,
		       struct doctor_finding *f)
{
	struct stat st;

	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode)) {
		say_no_folder(d, folder, flag, f);
		return -ENOENT;
	}
	if (access(folder, W_OK | X_OK) < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s cannot be written: %s", folder, strerror(errno));
		doctor_fix(f, "mount it writable; run as root");
		return -EACCES;
	}
	return 0;
}

static int count_socket(void *arg, const char *name)
{
	size_t *n = arg;

	*n += sv_starts(sv_str(name), SV(DRIVER_NAME)) && sv_ends(sv_str(name), SV(".sock"));
	return 0;
}

void check_kubelet_folders(const struct doctor *d, struct doctor_finding *f)
{
	char *socket _mem_free_ = mem_printf("%s/kubelet.sock", d->device_plugins);
	size_t sockets = 0;
	int r;

	if (want_folder(d, d->roots.plugins, "kubelet-plugins-directory-path", f) < 0 ||
	    want_folder(d, d->roots.registry, "kubelet-registrar-directory-path", f) < 0)
		return;
	(void)!fsx_list(d->roots.registry, count_socket, &sockets);
	r = try_socket(socket);
	doctor_say(f, DOCTOR_OK, "%s and %s can be written; %zu registration socket%s; ",
		   d->roots.plugins, d->roots.registry, sockets, sockets == 1 ? "" : "s");
	if (r == 0) {
		doctor_more(f, "the kubelet runs");
	} else if (r == -ECONNREFUSED) {
		f->verdict = DOCTOR_WARN;
		doctor_more(f, "the kubelet does not answer on %s", socket);
		doctor_fix(f, "systemctl status kubelet; journalctl -u kubelet");
	} else {
		doctor_more(f, "whether the kubelet runs is not known (%s: %s)", socket,
			    strerror(-r));
	}
}

/* ---- the container runtime ---- */

enum kind { CONTAINERD, CRIO, OTHER };
static const struct {
	enum kind kind;
	const char *mark;   /* in the version that the Node tells; "" = any */
	const char *socket; /* tells that it runs, when there is no Node */
	const char *config;
	const char *more; /* pattern of further files */
} runtimes[] = {
	{ CONTAINERD, "-k3s", "/run/k3s/containerd/containerd.sock",
	  "/var/lib/rancher/k3s/agent/etc/containerd/config.toml", NULL },
	{ CONTAINERD, "-k3s", "/run/k3s/containerd/containerd.sock",
	  "/var/lib/rancher/rke2/agent/etc/containerd/config.toml", NULL },
	{ CONTAINERD, "", "/run/k0s/containerd.sock", "/run/k0s/containerd-cri.toml", NULL },
	{ CONTAINERD, "", "/var/snap/microk8s/common/run/containerd.sock",
	  "/var/snap/microk8s/current/args/containerd.toml", NULL },
	{ CONTAINERD, "", "/run/containerd/containerd.sock", "/etc/containerd/config.toml", NULL },
	{ CRIO, "", "/run/crio/crio.sock", "/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*.conf" },
};

static int add_file(struct runtime_config *c, const char *path)
{
	struct buf text;
	int r;

	buf_init(&text, CONFIG_MAX);
	r = fsx_read(path, CONFIG_MAX, &text);
	if (r == 0)
		runtime_config_add(c, buf_sv(&text));
	buf_done(&text);
	return r;
}

static void add_pattern(struct runtime_config *c, const char *pattern)
{
	glob_t found = { 0 };

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			(void)!add_file(c, found.gl_pathv[i]);
	globfree(&found);
}

/* The main file and what it imports, one level deep. */
static int read_config(const struct doctor *d, size_t row, char *path, struct runtime_config *c)
{
	char pattern[PATH_BYTES], imports[RUNTIME_DIRS_MAX][RUNTIME_PATH_MAX + 1];
	size_t n;
	int r;

	snprintf(path, PATH_BYTES, "%.400s%.200s", d->host, runtimes[row].config);
	r = add_file(c, path);
	n = c->imports_n;
	memcpy(imports, c->imports, sizeof(imports));
	for (size_t i = 0; i < n; i++) {
		const char *slash = strrchr(path, '/');

		if (*imports[i] == '/')
			snprintf(pattern, sizeof(pattern), "%.400s%s", d->host, imports[i]);
		else
			snprintf(pattern, sizeof(pattern), "%.*s/%s", (int)(slash - path), path,
				 imports[i]);
		add_pattern(c, pattern);
	}
	if (runtimes[row].more) {
		snprintf(pattern, sizeof(pattern), "%.400s%.200s", d->host, runtimes[row].more);
		add_pattern(c, pattern);
	}
	return r;
}

/* SIZE_MAX: none found. */
static size_t find_runtime(const struct doctor *d, const char *version)
{
	enum kind kind = sv_starts(sv_str(version), SV("cri-o:"))	 ? CRIO
			 : sv_starts(sv_str(version), SV("containerd:")) ? CONTAINERD
									 : OTHER;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		char *socket _mem_free_ = mem_printf("%s%s", d->host, runtimes[i].socket);
		char *config _mem_free_ = mem_printf("%s%s", d->host, runtimes[i].config);

		if (*version && (runtimes[i].kind != kind || !strstr(version, runtimes[i].mark)))
			continue;
		if (fsx_exists(config) && (*version || fsx_exists(socket)))
			return i;
		if (*version ? !*runtimes[i].mark : fsx_exists(socket))
			best = i;
	}
	return best;
}

static void judge_containerd(const struct runtime_config *c, const char *version, int r,
			     const char *path, struct doctor_finding *f)
{
	int major = 0, minor = 0;
	bool known = doctor_version(version, "containerd://", &major, &minor);

	if (c->cri_disabled) {
		doctor_say(f, DOCTOR_FAIL, "%s: disabled_plugins has cri", path);
		doctor_fix(f, "take cri out of disabled_plugins (Docker's package puts it there), "
			      "then systemctl restart containerd");
	} else if (c->cdi_set ? !c->cdi : known && major < 2) {
		doctor_say(f, DOCTOR_FAIL, "%s: CDI is off%s", known ? version : path,
			   c->cdi_set ? " (enable_cdi = false)" : ", which is its default");
		doctor_fix(f,
			   "enable_cdi = true in [plugins.\"io.containerd.grpc.v1.cri\"] of %s "
			   "(containerd 1.7), then systemctl restart containerd; "
			   "older than 1.7: upgrade. k3s and rke2 make theirs from "
			   "config.toml.tmpl beside it",
			   path);
	} else if (c->cdi_set || known) {
		doctor_say(f, DOCTOR_OK, "%s: CDI is on", known ? version : path);
	} else {
		doctor_say(f, DOCTOR_UNKNOWN,
			   "%s%s%s does not say; CDI is on by default from "
			   "containerd 2.0",
			   path, r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		doctor_fix(f, "containerd --version; below 2.0 set enable_cdi = true");
	}
}

void check_runtime(const struct doctor *d, struct doctor_finding *f)
{
	const struct doctor_finding *node = doctor_found(d, "node object");
	const char *version = node ? node->runtime : "";
	struct runtime_config *c _mem_free_ = MEM_NEW(struct runtime_config);
	char path[PATH_BYTES] = "";
	size_t row = find_runtime(d, version);
	int r;

	if (row == SIZE_MAX) {
		doctor_say(f, *version ? DOCTOR_WARN : DOCTOR_UNKNOWN,
			   "%s: neither containerd nor CRI-O%s%s", *version ? version : "runtime",
			   *version ? "" : " found below ",
			   *version   ? ""
			   : *d->host ? d->host
				      : "/");
		doctor_fix(f,
			   "--host-root (HOST_ROOT) tells where the host's files are; another "
			   "runtime must read CDI specs from %s",
			   d->roots.cdi);
		return;
	}
	r = read_config(d, row, path, c);
	if (runtimes[row].kind == CRIO)
		doctor_say(f, DOCTOR_OK, "%s: CDI is always on", *version ? version : "CRI-O");
	else
		judge_containerd(c, version, r, path, f);
	if (f->verdict != DOCTOR_FAIL && !runtime_config_reads(c, d->roots.cdi)) {
		doctor_say(f, DOCTOR_FAIL, "cdi_spec_dirs of %s lacks %s", path, d->roots.cdi);
		doctor_fix(f, "add it there, or point tundra to one that is there: --cdi-root "
			      "(CDI_ROOT)");
	}
}

/* ---- CDI folder ---- */

struct specs {
	size_t ours, others;
};

static int on_spec(void *arg, const char *name)
{
	struct specs *s = arg;

	if (sv_starts(sv_str(name), SV("k8s.gpu.nvidia.com-claim_")))
		s->ours++;
	else if (*name != '.')
		s->others++;
	return 0;
}

void check_cdi_folder(const struct doctor *d, struct doctor_finding *f)
{
	struct specs s = { 0 };
	int r = fsx_list(d->roots.cdi, on_spec, &s);

	if (r == -ENOENT) {
		doctor_say(f, DOCTOR_OK, "%s is not there yet; tundra makes it", d->roots.cdi);
	} else if (r < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s: %s", d->roots.cdi, strerror(-r));
		doctor_fix(f, "it must be a folder that this process may read and write");
	} else if (access(d->roots.cdi, W_OK | X_OK) < 0) {
		doctor_say(f, DOCTOR_FAIL, "%s cannot be written: %s", d->roots.cdi,
			   strerror(errno));
		doctor_fix(f, "mount it writable; run as root");
	} else {
		doctor_say(f, DOCTOR_OK, "%s: %zu specs of claims, %zu of others", d->roots.cdi,
			   s.ours, s.others);
	}
}
