#include "gpu/nvidia/worker/driver_files.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "gpu/nvidia/worker/elf_soname.h"

enum {
	FILES_LINKS_MAX = 256,	    /* of one hook: two or three per library */
	FILES_PER_FOLDER_MAX = 512, /* taken of one folder */
};

static const char *const options_file[] = { "ro", "nosuid", "nodev", "rbind", "rprivate", NULL };
static const char *const options_ipc[] = { "nosuid", "nodev", "rbind", "rprivate", "noexec", NULL };

/* Arguments of a hook while they are gathered. */
struct files_args {
	char words[FILES_LINKS_MAX][2 * INROOT_PATH_MAX];
	size_t n;
};

struct files_scan {
	const struct driver_files *f;
	struct gpu_edits *e;
	struct inroot_path libdir;
	struct files_args links, graphics, folders;
	const char *folder;  /* being listed, inside the root */
	const char *pattern; /* of wanted names; %s in it was replaced */
	size_t taken;
	int status;
};

/* ---- one file ---- */

/* One more word, unless it is there, too long or one too many. */
static void files_word(struct files_args *a, const char *word)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (strcmp(a->words[i], word) == 0)
			return;
	if (a->n < FILES_LINKS_MAX && sv_copy(a->words[a->n], sizeof(a->words[0]), sv_str(word)))
		a->n++;
}

static void files_link(struct files_args *a, const char *target, const char *folder,
		       const char *name)
{
	char word[2 * INROOT_PATH_MAX];
	int n;

	n = snprintf(word, sizeof(word), "%s::%s/%s", target, folder, name);
	if (n > 0 && (size_t)n < sizeof(word))
		files_word(a, word);
}

/* Mounts what `inside` is, links followed, at `to` of the container. 1: no such thing. */
static int files_mount(struct files_scan *s, const char *inside, const char *to, unsigned type,
		       const char *const *options)
{
	struct inroot_path real, host, path;
	struct gpu_edit_mount m = { host.s, path.s, options };
	size_t i;

	if (inroot_find(s->f->where->root.s, inside, type, &real) < 0)
		return 1;
	if (inroot_join(s->f->where->host.s, real.s, &host) < 0 || inroot_join("/", to, &path) < 0)
		return 1;
	for (i = 0; i < s->e->mounts_n; i++)
		if (strcmp(s->e->mounts[i].path, path.s) == 0)
			return 0;
	return edits_add_mount(s->e, &m);
}

static bool files_link_exists(struct files_scan *s, const char *folder, const char *name)
{
	struct inroot_path inside, dir, at;
	struct stat st;

	return inroot_resolve(s->f->where->root.s, folder, &inside) == 0 &&
	       inroot_join(s->f->where->root.s, inside.s, &dir) == 0 &&
	       inroot_join(dir.s, name, &at) == 0 && lstat(at.s, &st) == 0 && S_ISLNK(st.st_mode);
}

static int files_soname(struct files_scan *s, const char *inside, char out[ELF_SONAME_MAX + 1])
{
	struct inroot_path real, at;
	int fd, r;

	out[0] = '\0';
	if (inroot_find(s->f->where->root.s, inside, S_IFREG, &real) < 0 ||
	    inroot_join(s->f->where->root.s, real.s, &at) < 0)
		return -ENOENT;
	fd = open(at.s, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = elf_soname(fd, out);
	close(fd);
	return r;
}

/* The links that the host has beside a library: its SONAME, and the name without a version. */
static void files_library_links(struct files_scan *s, const char *folder, const char *name)
{
	char soname[ELF_SONAME_MAX + 1], plain[INROOT_PATH_MAX + 1];
	struct inroot_path inside;
	const char *end = strstr(name, ".so.");

	if (!end || inroot_join(folder, name, &inside) < 0 ||
	    files_soname(s, inside.s, soname) < 0 || strcmp(soname, name) == 0)
		return;
	sv_copy(plain, sizeof(plain), sv_make(name, (size_t)(end - name) + 3));
	if (files_link_exists(s, folder, soname))
		files_link(&s->links, name, folder, soname);
	if (strcmp(plain, soname) != 0 && files_link_exists(s, folder, plain))
		files_link(&s->links, soname, folder, plain);
}

/* Links that programs expect and no SONAME asks for. */
static void files_special_links(struct files_scan *s, const char *folder, const char *name)
{
	static const struct {
		const char *library, *target, *link;
		bool graphics;
	} rows[] = {
		/* target NULL: the library itself */
		{ "libcuda.so.", "libcuda.so.1", "libcuda.so", false },
		{ "libGLX_nvidia.so.", NULL, "libGLX_indirect.so.0", false },
		{ "libnvidia-opticalflow.so.", "libnvidia-opticalflow.so.1",
		  "libnvidia-opticalflow.so", false },
		{ "libnvidia-allocator.so.", "../libnvidia-allocator.so.1", "gbm/nvidia-drm_gbm.so",
		  true },
		{ "libnvidia-vulkan-producer.so.", NULL, "libnvidia-vulkan-producer.so", true },
		{ "libglxserver_nvidia.so.", NULL, "libglxserver_nvidia.so", true },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (sv_starts(sv_str(name), sv_str(rows[i].library)))
			files_link(rows[i].graphics ? &s->graphics : &s->links,
				   rows[i].target ? rows[i].target : name, folder, rows[i].link);
}

static int files_add_library(struct files_scan *s, const char *folder, const char *name)
{
	struct inroot_path inside;
	int r;

	if (inroot_join(folder, name, &inside) < 0)
		return 0;
	r = files_mount(s, inside.s, inside.s, S_IFREG, options_file);
	if (r != 0)
		return r < 0 ? r : 0;
	if (strstr(name, ".so.")) {
		files_library_links(s, folder, name);
		files_special_links(s, folder, name);
	}
	if (sv_starts(sv_str(name), SV("lib")))
		files_word(&s->folders, folder);
	return 0;
}

/* ---- folders ---- */

static int files_on_entry(void *arg, const char *name)
{
	struct files_scan *s = arg;

	if (fnmatch(s->pattern, name, 0) != 0)
		return 0;
	if (s->taken++ == FILES_PER_FOLDER_MAX) {
		log_warn("too many driver files in one folder, the rest is left out",
			 LOG_S("folder", s->folder));
		return 1;
	}
	s->status = files_add_library(s, s->folder, name);
	return s->status;
}

/* All libraries of `folder` whose name matches, in byte order. */
static int files_add_matching(struct files_scan *s, const char *folder, const char *pattern)
{
	struct inroot_path real, at;

	if (inroot_find(s->f->where->root.s, folder, S_IFDIR, &real) < 0 ||
	    inroot_join(s->f->where->root.s, real.s, &at) < 0)
		return 0;
	s->folder = folder;
	s->pattern = pattern;
	s->taken = 0;
	s->status = 0;
	if (fsx_list(at.s, files_on_entry, s) < 0 && s->status == 0)
		log_debug("driver folder cannot be listed", LOG_S("folder", at.s));
	return s->status;
}

/* The folder of lib<...>.so.<version>, which every other library of this driver is in too. */
static bool files_libdir_try(const struct driver_files *f, const char *folder, const char *library,
			     struct inroot_path *out)
{
	struct inroot_path file, found;
	char name[128];

	snprintf(name, sizeof(name), "%s.so.%s", library, f->version);
	return inroot_find(f->where->root.s, folder, S_IFDIR, out) == 0 &&
	       inroot_join(out->s, name, &file) == 0 &&
	       inroot_find(f->where->root.s, file.s, S_IFREG, &found) == 0;
}

static bool files_find_libdir(const struct driver_files *f, struct inroot_path *out)
{
	const struct driver_layout *layout = f->where->layout;
	struct inroot_path beside;
	char *slash;
	size_t i;

	for (i = 0; layout->libs[i]; i++)
		if (files_libdir_try(f, layout->libs[i], "libcuda", out))
			return true;
	beside = f->where->lib;
	slash = strrchr(beside.s, '/');
	if (slash)
		*slash = '\0';
	return files_libdir_try(f, beside.s, "libcuda", out);
}

static int files_libraries(struct files_scan *s)
{
	static const char *const graphics[] = {
		"libnvidia-egl-gbm.so.*.*",
		"libnvidia-egl-wayland.so.*.*",
		"libnvidia-egl-wayland2.so.*.*",
	};
	struct inroot_path vdpau;
	char pattern[128];
	size_t i;
	int r;

	snprintf(pattern, sizeof(pattern), "*.so.%s", s->f->version);
	r = files_add_matching(s, s->libdir.s, pattern);
	if (r == 0 && inroot_join(s->libdir.s, "vdpau", &vdpau) == 0)
		r = files_add_matching(s, vdpau.s, pattern);
	for (i = 0; i < ARRAY_LEN(graphics) && r == 0; i++)
		r = files_add_matching(s, s->libdir.s, graphics[i]);
	return r;
}

/* The X server's pieces: in the first of these folders that has either. */
static int files_xorg(struct files_scan *s)
{
	static const char *const below_libdir[] = {
		"nvidia/xorg",
		"xorg/modules/drivers",
		"xorg/modules/extensions",
		"xorg/modules/updates/drivers",
		"xorg/modules/updates/extensions",
	};
	static const char *const below_root[] = {
		"/usr/lib/xorg/modules/drivers",    "/usr/lib/xorg/modules/extensions",
		"/usr/lib64/xorg/modules/drivers",  "/usr/lib64/xorg/modules/extensions",
		"/usr/X11R6/lib/modules/drivers",   "/usr/X11R6/lib/modules/extensions",
		"/usr/X11R6/lib64/modules/drivers", "/usr/X11R6/lib64/modules/extensions",
	};
	const char *names[] = { "nvidia_drv.so", NULL };
	struct inroot_path folder, file, found;
	char server[128];
	size_t n, d;

	snprintf(server, sizeof(server), "libglxserver_nvidia.so.%s", s->f->version);
	names[1] = server;
	for (n = 0; n < ARRAY_LEN(names); n++)
		for (d = 0; d < ARRAY_LEN(below_libdir) + ARRAY_LEN(below_root); d++) {
			if (d < ARRAY_LEN(below_libdir)
				? inroot_join(s->libdir.s, below_libdir[d], &folder) < 0
				: inroot_join("/", below_root[d - ARRAY_LEN(below_libdir)],
					      &folder) < 0)
				continue;
			if (inroot_join(folder.s, names[n], &file) < 0 ||
			    inroot_find(s->f->where->root.s, file.s, S_IFREG, &found) < 0)
				continue;
			if (files_add_library(s, folder.s, names[n]) < 0)
				return -E2BIG;
			break;
		}
	return 0;
}

/* ---- the rest, as tables: first hit of each name in a list of folders ---- */

static int files_first(struct files_scan *s, const char *const *folders, const char *name,
		       const char *to_folder, unsigned type, const char *const *options)
{
	struct inroot_path inside, to;
	size_t i;
	int r;

	for (i = 0; folders[i]; i++) {
		if (inroot_join(folders[i], name, &inside) < 0 ||
		    inroot_join(to_folder ? to_folder : folders[i], name, &to) < 0)
			continue;
		r = files_mount(s, inside.s, to.s, type, options);
		if (r <= 0)
			return r;
	}
	return 0;
}

static int files_programs(struct files_scan *s)
{
	static const char *const usual[] = {
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", NULL
	};
	static const char *const names[] = {
		"nvidia-smi",
		"nvidia-debugdump",
		"nvidia-persistenced",
		"nvidia-cuda-mps-control",
		"nvidia-cuda-mps-server",
		"nvidia-imex",
		"nvidia-imex-ctl",
	};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_LEN(names) && r == 0; i++) {
		r = files_first(s, usual, names[i], NULL, S_IFREG, options_file);
		/* From a folder that is in nobody's PATH, to one that is in everybody's. */
		if (r == 0)
			r = files_first(s, s->f->where->layout->bins, names[i], "/usr/bin", S_IFREG,
					options_file);
	}
	return r;
}

static int files_configs(struct files_scan *s)
{
	static const char *const folders[] = { "/etc", "/usr/local/share", "/usr/share", NULL };
	static const char *const names[] = {
		"glvnd/egl_vendor.d/10_nvidia.json",
		"egl/egl_external_platform.d/15_nvidia_gbm.json",
		"egl/egl_external_platform.d/10_nvidia_wayland.json",
		"egl/egl_external_platform.d/09_nvidia_wayland2.json",
		"nvidia/nvoptix.bin",
		"X11/xorg.conf.d/10-nvidia.conf",
		"X11/xorg.conf.d/nvidia-drm-outputclass.conf",
	};
	static const char *const vulkan[] = {
		"vulkan/icd.d/nvidia_icd.json",
		"vulkan/icd.d/nvidia_layers.json",
		"vulkan/implicit_layer.d/nvidia_layers.json",
#if defined(__aarch64__)
		"vulkan/icd.d/nvidia_icd.aarch64.json",
#else
		"vulkan/icd.d/nvidia_icd.x86_64.json",
#endif
	};
	size_t i;
	int r = 0;

	for (i = 0; i < ARRAY_LEN(names) && r == 0; i++)
		r = files_first(s, folders, names[i], NULL, S_IFREG, options_file);
	for (i = 0; i < ARRAY_LEN(vulkan) && r == 0; i++)
		r = files_first(s, folders, vulkan[i], "/etc", S_IFREG, options_file);
	return r;
}

static int files_sockets(struct files_scan *s)
{
	static const char *const run[] = { "/run", "/var/run", NULL };
	int r;

	r = files_first(s, run, "nvidia-persistenced/socket", NULL, S_IFSOCK, options_ipc);
	if (r == 0)
		r = files_first(s, run, "nvidia-fabricmanager/socket", NULL, S_IFSOCK, options_ipc);
	if (r == 0)
		r = files_mount(s, "/tmp/nvidia-mps", "/tmp/nvidia-mps", S_IFDIR, options_ipc);
	return r < 0 ? r : 0;
}

/* The GSP's firmware: the container's own checks look for it beside the libraries. */
static int files_firmware(struct files_scan *s)
{
	char custom[256] = "", updates[400], release[400], parameter[512];
	const char *folders[6] = { NULL };
	struct inroot_path folder;
	struct utsname kernel;
	size_t i, before;
	int r = 0;

	snprintf(parameter, sizeof(parameter), "%s/module/firmware_class/parameters/path",
		 s->f->roots->sys);
	if (fsx_line(parameter, custom, sizeof(custom)) < 0)
		custom[0] = '\0';
	if (uname(&kernel) < 0)
		kernel.release[0] = '\0';
	snprintf(updates, sizeof(updates), "/lib/firmware/updates/%.64s", kernel.release);
	snprintf(release, sizeof(release), "/lib/firmware/%.64s", kernel.release);
	folders[0] = *custom ? custom : updates;
	folders[1] = updates;
	folders[2] = "/lib/firmware/updates";
	folders[3] = release;
	folders[4] = "/lib/firmware";
	before = s->e->mounts_n;
	for (i = 0; folders[i] && r == 0 && s->e->mounts_n == before; i++) {
		char below[160];

		snprintf(below, sizeof(below), "nvidia/%s", s->f->version);
		if (inroot_join(folders[i], below, &folder) == 0)
			r = files_add_matching(s, folder.s, "gsp*.bin");
	}
	return r;
}

/* ---- hooks ---- */

static int files_hook(struct files_scan *s, const char *name, const char *flag,
		      const struct files_args *a)
{
	const char *args[2 + 2 * FILES_LINKS_MAX] = { name };
	size_t i, n = 1;

	for (i = 0; i < a->n; i++) {
		args[n++] = flag;
		args[n++] = a->words[i];
	}
	args[n] = NULL;
	return n > 1 ? edits_add_hook(s->e, args) : 0;
}

static int files_hooks(struct files_scan *s)
{
	char version[128];
	const char *compat[] = { "enable-cuda-compat", version, NULL };
	static const char *const modify[] = { "disable-device-node-modification", NULL };
	int r;

	snprintf(version, sizeof(version), "--host-driver-version=%s", s->f->version);
	r = files_hook(s, "create-symlinks", "--link", &s->graphics);
	if (r == 0)
		r = files_hook(s, "create-symlinks", "--link", &s->links);
	if (r == 0 && !s->f->where->layout->wsl)
		r = edits_add_hook(s->e, compat);
	if (r == 0)
		r = files_hook(s, "update-ldcache", "--folder", &s->folders);
	if (r == 0 && !s->f->where->layout->wsl)
		r = edits_add_hook(s->e, modify);
	return r;
}

/* ---- all together ---- */

/*
 * WSL's libraries find their other halves by absolute path in the driver store, and their names
 * carry no version: both folders go in whole, as Microsoft documents for containers.
 */
static int files_wsl(struct files_scan *s)
{
	int r;

	sv_copy(s->libdir.s, sizeof(s->libdir.s), SV("/usr/lib/wsl/lib"));
	r = files_mount(s, s->libdir.s, s->libdir.s, S_IFDIR, options_file);
	if (r == 0)
		r = files_mount(s, "/usr/lib/wsl/drivers", "/usr/lib/wsl/drivers", S_IFDIR,
				options_file);
	files_word(&s->folders, s->libdir.s);
	return r < 0 ? r : 0;
}

static int files_full(struct files_scan *s)
{
	int r;

	r = files_libraries(s);
	if (r == 0)
		r = files_xorg(s);
	if (r == 0)
		r = files_programs(s);
	if (r == 0)
		r = files_firmware(s);
	if (r == 0)
		r = files_configs(s);
	return r ? r : files_sockets(s);
}

static int files_env(struct files_scan *s)
{
	char env[INROOT_PATH_MAX + 64];
	int r;

	snprintf(env, sizeof(env), "NVIDIA_CTK_LIBCUDA_DIR=%s", s->libdir.s);
	r = edits_add_env(s->e, env);
	return r < 0 ? r : edits_add_env(s->e, "NVIDIA_VISIBLE_DEVICES=void");
}

int driver_files_add(const struct driver_files *f, struct gpu_edits *e, struct inroot_path *libdir,
		     struct err *err)
{
	struct files_scan *s;
	int r;

	if (!f->where->layout->wsl && !files_find_libdir(f, libdir))
		return err_set(err, -ENOENT,
			       "the running driver is %s, but libcuda.so.%s is not in the folders "
			       "of %s: installation incomplete, or another driver's files",
			       f->version, f->version, f->where->root.s);
	s = mem_zalloc(sizeof(*s));
	s->f = f;
	s->e = e;
	if (!f->where->layout->wsl)
		s->libdir = *libdir;
	r = f->where->layout->wsl ? files_wsl(s) : files_full(s);
	*libdir = s->libdir;
	if (r == 0)
		r = files_env(s);
	if (r == 0)
		r = files_hooks(s);
	mem_free(s);
	if (r < 0)
		return err_sys(err, r, "files of driver %s in %s", f->version, f->where->root.s);
	edits_sort(e);
	return 0;
}
