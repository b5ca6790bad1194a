#include "gpu/nvidia/worker/driver_root.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/fsx.h"

#define LIBRARY "libnvidia-ml.so.1"

/* clang-format off */
#define USUAL_LIBS                                                                                 \
	"", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64",     \
	"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib",                             \
	"/usr/lib/x86_64-linux-gnu/nvidia/current", "/usr/lib/aarch64-linux-gnu/nvidia/current"

static const struct driver_layout layouts[] = {
	{ "host", "", { USUAL_LIBS }, { "/opt/bin" }, false },
	{ "driver container", "/run/nvidia/driver", { USUAL_LIBS }, { NULL }, false },
	{ "GKE", "/home/kubernetes/bin/nvidia", { USUAL_LIBS }, { NULL }, false },
	{ "WSL", "", { "/usr/lib/wsl/lib" }, { "/usr/lib/wsl/lib" }, true },
	{ "Talos", "", { "/usr/local/glibc/usr/lib", "/usr/local/lib" }, { "/usr/local/glibc/usr/bin" }, false },
	{ "NixOS", "", { "/run/opengl-driver/lib" }, { "/run/current-system/sw/bin" }, false },
};
/* clang-format on */

/* Roots to look in when none was given: the usual mount of the host in our container, then here. */
static const char *const found_bases[] = { "/driver-root", "/" };

static size_t driver_bases(const struct roots *roots)
{
	return roots->driver && *roots->driver ? 1 : ARRAY_LEN(found_bases);
}

static const char *driver_base(const struct roots *roots, size_t i)
{
	return roots->driver && *roots->driver ? roots->driver : found_bases[i];
}

/* How the host names the base: what was said of it; our own "/" is the host's when none was. */
static const char *driver_base_host(const struct roots *roots, size_t i)
{
	bool told = roots->driver_host && *roots->driver_host;

	return told && (driver_bases(roots) == 1 || i == 0) ? roots->driver_host : "/";
}

struct driver_search driver_search_new(const struct roots *roots)
{
	return (struct driver_search){ .roots = roots };
}

/* Whether `layout` below base i holds the library. */
static bool driver_try(const struct roots *roots, size_t i, const struct driver_layout *layout,
		       struct driver_root *out)
{
	struct inroot_path path;
	size_t l;

	out->layout = layout;
	if (inroot_join(driver_base(roots, i), layout->sub, &out->root) < 0 ||
	    inroot_join(driver_base_host(roots, i), layout->sub, &out->host) < 0)
		return false;
	for (l = 0; layout->libs[l]; l++)
		if (inroot_join(layout->libs[l], LIBRARY, &path) == 0 &&
		    inroot_find(out->root.s, path.s, S_IFREG, &out->lib) == 0)
			return true;
	return false;
}

bool driver_search_next(struct driver_search *s, struct driver_root *out)
{
	for (; s->base < driver_bases(s->roots); s->base++, s->layout = 0)
		while (s->layout < ARRAY_LEN(layouts))
			if (driver_try(s->roots, s->base, &layouts[s->layout++], out))
				return true;
	return false;
}

/* The usual folders are named once; a list of sixty paths helps nobody. */
void driver_search_text(const struct roots *roots, struct buf *out)
{
	const struct driver_layout *usual = &layouts[0];
	struct inroot_path root;
	size_t b, i, l;

	buf_puts(out, LIBRARY " was looked for in");
	for (b = 0; b < driver_bases(roots); b++)
		for (i = 0; i < ARRAY_LEN(layouts); i++) {
			if (inroot_join(driver_base(roots, b), layouts[i].sub, &root) < 0)
				continue;
			buf_printf(out, "%s %s (%s)", b + i ? "," : "", root.s, layouts[i].name);
			if (layouts[i].libs[0] == usual->libs[0])
				continue;
			for (l = 0; layouts[i].libs[l]; l++)
				buf_printf(out, "%s%s", l ? " and " : " at ", layouts[i].libs[l]);
		}
	buf_puts(out, "; where no folder is named, in each of /");
	for (l = 1; usual->libs[l]; l++)
		buf_printf(out, " %s", usual->libs[l]);
}

static size_t driver_watch_add(struct gpu_watch *out, size_t n, size_t max, const char *root,
			       const char *folder, const char *prefix)
{
	struct inroot_path path;
	size_t i;

	if (n == max || inroot_join(root, folder, &path) < 0)
		return n;
	out[n] = (struct gpu_watch){ "", "" };
	if (!sv_copy(out[n].folder, sizeof(out[n].folder), sv_str(path.s)))
		return n;
	sv_copy(out[n].prefix, sizeof(out[n].prefix), sv_str(prefix));
	for (i = 0; i < n; i++)
		if (strcmp(out[i].folder, out[n].folder) == 0)
			return n;
	return n + 1;
}

/*
 * Folders that exist are watched for the library; the roots of layouts that do not are awaited.
 * A root that is mounted over an existing folder makes no inotify event: the driver container
 * writes into /run/nvidia/validations after that, and the slow retry sees the rest.
 */
size_t driver_search_watch(const struct roots *roots, struct gpu_watch *out, size_t max)
{
	struct inroot_path root, at;
	size_t b, i, l, n = 0;

	for (b = 0; b < driver_bases(roots); b++) {
		const char *base = driver_base(roots, b);

		if (b && !fsx_exists(base))
			continue;
		n = driver_watch_add(out, n, max, base, "/run/nvidia/validations", "");
		for (i = 0; i < ARRAY_LEN(layouts); i++) {
			if (inroot_join(base, layouts[i].sub, &root) < 0)
				continue;
			if (!fsx_exists(root.s)) {
				n = driver_watch_add(out, n, max, root.s, "", "");
				continue;
			}
			for (l = 0; layouts[i].libs[l]; l++)
				if (inroot_find(root.s, layouts[i].libs[l], S_IFDIR, &at) == 0)
					n = driver_watch_add(out, n, max, root.s, at.s,
							     "libnvidia-ml.so");
		}
	}
	return n;
}
