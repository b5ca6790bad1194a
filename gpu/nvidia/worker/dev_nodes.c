#include "gpu/nvidia/worker/dev_nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/log.h"

enum {
	DEV_MAJOR_FIXED = 195, /* of the driver for ever; only uvm's is handed out */
	DEV_MINOR_CTL = 255,
	DEV_MINOR_MODESET = 254,
	DEV_PROC_MAX = 64 << 10,
};

/* `majors`: names in /proc/devices, either of which gives the node's major. */
static const struct dev_common {
	const char *name;
	const char *majors[3];
	unsigned minor;
} dev_common[] = {
	{ "nvidiactl", { "nvidiactl", "nvidia", "nvidia-frontend" }, DEV_MINOR_CTL },
	{ "nvidia-modeset", { "nvidia-modeset" }, DEV_MINOR_MODESET },
	{ "nvidia-uvm", { "nvidia-uvm" }, 0 },
	{ "nvidia-uvm-tools", { "nvidia-uvm" }, 1 },
};
static const struct dev_common dev_gpu = { "nvidia", { "nvidia", "nvidia-frontend" }, 0 };

int dev_root_find(const struct roots *roots, const char *driver_root, const char *driver_host,
		  struct dev_root *out)
{
	struct inroot_path dev;
	struct stat st;

	if (inroot_join(driver_root, "dev", &dev) == 0 && stat(dev.s, &st) == 0 &&
	    S_ISDIR(st.st_mode)) {
		sv_copy(out->see.s, sizeof(out->see.s), sv_str(driver_root));
		sv_copy(out->host.s, sizeof(out->host.s), sv_str(driver_host));
		return 0;
	}
	return dev_root_own(roots, out);
}

int dev_root_own(const struct roots *roots, struct dev_root *out)
{
	size_t n;

	/* roots->dev names the folder itself; nodes are asked for as dev/<name>. */
	n = strlen(roots->dev);
	while (n && roots->dev[n - 1] == '/')
		n--;
	if (n < 4 || memcmp(roots->dev + n - 4, "/dev", 4) != 0)
		return -EINVAL;
	sv_copy(out->see.s, sizeof(out->see.s), sv_make(roots->dev, n - 4));
	sv_copy(out->host.s, sizeof(out->host.s), SV("/"));
	return 0;
}

/* "195 nvidia-frontend" lines of the "Character devices:" half. */
static int dev_major(struct sv devices, const char *name)
{
	struct sv line, number;
	uint64_t major;

	while (devices.n) {
		line = sv_trim(sv_cut(&devices, '\n'));
		if (sv_eqs(line, "Block devices:"))
			break;
		number = sv_cut(&line, ' ');
		if (sv_eqs(sv_trim(line), name) && sv_u64(number, &major) == 0 && major < 4096)
			return (int)major;
	}
	return -ENOENT;
}

static int dev_major_any(const struct roots *roots, const char *const names[3])
{
	const char *file = roots->proc_devices;
	struct inroot_path path;
	struct buf text;
	int r = -ENOENT;
	size_t i;

	if (!file && inroot_join(roots->proc, "devices", &path) == 0)
		file = path.s;
	buf_init(&text, DEV_PROC_MAX);
	if (file && fsx_read(file, DEV_PROC_MAX, &text) == 0)
		for (i = 0; i < 3 && names[i] && r < 0; i++)
			r = dev_major(buf_sv(&text), names[i]);
	buf_done(&text);
	return r;
}

struct dev_params {
	uint64_t modify, mode, uid, gid;
};

static struct dev_params dev_params(const struct roots *roots)
{
	struct dev_params p = { 1, 0666, 0, 0 };
	struct {
		const char *name;
		uint64_t *to;
	} rows[] = {
		{ "ModifyDeviceFiles", &p.modify },
		{ "DeviceFileMode", &p.mode },
		{ "DeviceFileUID", &p.uid },
		{ "DeviceFileGID", &p.gid },
	};
	struct inroot_path path;
	struct sv rest, line, name;
	struct buf text;
	size_t i;

	buf_init(&text, DEV_PROC_MAX);
	if (inroot_join(roots->proc, "driver/nvidia/params", &path) == 0 &&
	    fsx_read(path.s, DEV_PROC_MAX, &text) == 0)
		for (rest = buf_sv(&text); rest.n;) {
			line = sv_cut(&rest, '\n');
			name = sv_trim(sv_cut(&line, ':'));
			for (i = 0; i < ARRAY_LEN(rows); i++)
				if (sv_eqs(name, rows[i].name))
					(void)!sv_u64(sv_trim(line), rows[i].to);
		}
	buf_done(&text);
	return p;
}

static int dev_path(const struct dev_root *root, const char *name, struct inroot_path *out)
{
	struct inroot_path dev;
	int r;

	r = inroot_join(root->see.s, "dev", &dev);
	return r < 0 ? r : inroot_join(dev.s, name, out);
}

/*
 * False when `at` is as it should be or nothing of ours. A node with other numbers is of a driver
 * that was here before: uvm's major is handed out anew each time, and nobody removes old nodes.
 */
static bool dev_wanted(const struct inroot_path *at, dev_t number)
{
	struct stat st;

	if (lstat(at->s, &st) < 0)
		return errno == ENOENT;
	return S_ISCHR(st.st_mode) && st.st_rdev != number;
}

/* Under another name first: who opens the node finds the old one or the new, owner and all. */
static int dev_put(const struct inroot_path *at, const struct inroot_path *temp,
		   const struct dev_params *p, dev_t number)
{
	int r = 0;

	if (unlink(temp->s) < 0 && errno != ENOENT)
		return -errno;
	/* mknod() obeys the umask, and the owner is ours until said otherwise. */
	if (mknod(temp->s, S_IFCHR | (p->mode & 0777), number) < 0)
		return -errno;
	if (chmod(temp->s, (mode_t)(p->mode & 0777)) < 0 ||
	    ((p->uid || p->gid) && chown(temp->s, (uid_t)p->uid, (gid_t)p->gid) < 0) ||
	    rename(temp->s, at->s) < 0) {
		r = -errno;
		(void)unlink(temp->s);
	}
	return r;
}

static void dev_make(const struct roots *roots, const struct dev_root *root, const char *name,
		     const struct dev_common *like, unsigned minor)
{
	struct inroot_path at, temp;
	struct dev_params p;
	char temp_name[64];
	int major, r;

	snprintf(temp_name, sizeof(temp_name), ".tundra.%.40s", name);
	if (dev_path(root, name, &at) < 0 || dev_path(root, temp_name, &temp) < 0)
		return;
	major = dev_major_any(roots, like->majors);
	if (major < 0)
		return; /* the module is not loaded: nothing to make */
	p = dev_params(roots);
	if (!p.modify || !dev_wanted(&at, makedev((unsigned)major, minor)))
		return;
	r = dev_put(&at, &temp, &p, makedev((unsigned)major, minor));
	if (r < 0)
		log_warn("device node is missing or of another driver and cannot be made",
			 LOG_S("node", at.s), LOG_S("error", strerror(-r)));
	else
		log_info("device node made", LOG_S("node", at.s), LOG_I("major", major),
			 LOG_I("minor", minor));
}

void dev_nodes_make_common(const struct roots *roots, const struct dev_root *root)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(dev_common); i++)
		dev_make(roots, root, dev_common[i].name, &dev_common[i], dev_common[i].minor);
}

void dev_nodes_make_gpu(const struct roots *roots, const struct dev_root *root, unsigned minor)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%u", dev_gpu.name, minor);
	dev_make(roots, root, name, &dev_gpu, minor);
}

int dev_nodes_add(const struct dev_root *root, const char *name, struct gpu_edits *e)
{
	struct inroot_path at, path, host;
	struct gpu_edit_node n = { 0 };
	struct stat st;
	int r;

	if (inroot_join("/dev", name, &path) < 0 || dev_path(root, name, &at) < 0 ||
	    inroot_join(root->host.s, path.s, &host) < 0)
		return -ENAMETOOLONG;
	if (stat(at.s, &st) < 0 || !S_ISCHR(st.st_mode))
		return 1;
	n.path = path.s;
	n.host = strcmp(host.s, path.s) == 0 ? NULL : host.s;
	n.major = major(st.st_rdev);
	n.minor = minor(st.st_rdev);
	n.mode = st.st_mode & 07777;
	n.gid = st.st_gid;
	r = edits_add_node(e, &n);
	/* A container's user is in no group of the host: a node for a group needs the group. */
	if (r == 0 && n.gid && (n.mode & 06) != 06)
		r = edits_add_gid(e, n.gid);
	return r;
}

void dev_nodes_add_common(const struct dev_root *root, struct gpu_edits *e)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(dev_common); i++)
		if (dev_nodes_add(root, dev_common[i].name, e) == 1)
			log_debug("no such device node", LOG_S("node", dev_common[i].name));
}

struct dev_drm {
	const struct dev_root *root;
	struct gpu_edits *edits;
};

static int dev_add_drm(void *arg, const char *name)
{
	struct dev_drm *drm = arg;
	char path[64];
	int r;

	if (!sv_starts(sv_str(name), SV("card")) && !sv_starts(sv_str(name), SV("renderD")))
		return 0;
	snprintf(path, sizeof(path), "dri/%.40s", name);
	r = dev_nodes_add(drm->root, path, drm->edits);
	return r < 0 ? r : 0;
}

/* "../card1::/dev/dri/by-path/pci-0000:65:00.0-card" when the host has such a link. */
static bool dev_drm_link(const struct dev_root *root, const char *pci, const char *kind, char *out,
			 size_t size)
{
	struct inroot_path at;
	char name[80], link[256];
	int n;

	snprintf(name, sizeof(name), "dri/by-path/pci-%s-%s", pci, kind);
	if (dev_path(root, name, &at) < 0 || fsx_readlink(at.s, link, sizeof(link)) < 0)
		return false;
	n = snprintf(out, size, "%s::/dev/%s", link, name);
	return n > 0 && (size_t)n < size;
}

void dev_nodes_add_drm(const struct roots *roots, const struct dev_root *root, const char *pci,
		       struct gpu_edits *e)
{
	static const char *const kinds[] = { "card", "render" };
	struct dev_drm drm = { root, e };
	char folder[512], links[ARRAY_LEN(kinds)][512];
	const char *args[2 + 2 * ARRAY_LEN(kinds)] = { "create-symlinks" };
	size_t i, args_n = 1;
	int n;

	n = snprintf(folder, sizeof(folder), "%s/bus/pci/devices/%s/drm", roots->sys, pci);
	if (n < 0 || (size_t)n >= sizeof(folder) || fsx_list(folder, dev_add_drm, &drm) < 0)
		return;
	for (i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!dev_drm_link(root, pci, kinds[i], links[i], sizeof(links[i])))
			continue;
		args[args_n++] = "--link";
		args[args_n++] = links[i];
	}
	if (args_n > 1 && edits_add_hook(e, args) < 0)
		log_warn("links to DRM nodes left out", LOG_S("pci", pci));
}
