/*
 * update-ldcache: makes the container's loader find the libraries in the given folders. Writes
 * /etc/ld.so.conf.d/00-nvcr-tundra.conf, makes the SONAME links and writes /etc/ld.so.cache
 * itself: no ldconfig is run, neither the host's (Talos and NixOS have none) nor the container's
 * (it is the image's). In a musl container the loader's path file is extended instead.
 *
 * Search order: ld.so.conf with its includes (compatibility libraries, driver, distribution), then
 * the loader's built-in folders. Folders given twice or by two names count where they come first.
 */
#include <errno.h>
#include <string.h>

#include "tools/hook/args.h"
#include "tools/hook/confd.h"
#include "tools/hook/hook.h"
#include "tools/hook/ldcache.h"
#include "tools/hook/ldconf.h"
#include "tools/hook/musl.h"
#include "tools/hook/oci.h"
#include "tools/hook/root.h"
#include "tools/hook/scan.h"

/* Built into the loaders of Debian's family, and of all others. */
static const char *const multiarch[] = { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
					 "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu" };
static const char *const lib64[] = { "/lib64", "/usr/lib64" };
static const char *const plain[] = { "/lib", "/usr/lib" };

static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
				       "/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.2" };

static int add_all(struct paths *to, const char *const *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = paths_add(to, v[i]);
	return r;
}

/* What an ldconfig in this container searches without being told. */
static int builtin(const struct root *root, struct paths *to)
{
	int r = root_has(root, "/etc/debian_version") ? add_all(to, multiarch, ARRAY_LEN(multiarch))
						      : add_all(to, lib64, ARRAY_LEN(lib64));

	return r == 0 ? add_all(to, plain, ARRAY_LEN(plain)) : r;
}

static bool has_glibc(const struct root *root)
{
	for (size_t i = 0; i < ARRAY_LEN(loaders); i++)
		if (root_has(root, loaders[i]))
			return true;
	return root_has(root, "/etc/ld.so.cache");
}

/*
 * The folders for our file: those an earlier run put there and the new ones (two devices of a
 * container may bring two sets), without those that ldconfig finds anyway.
 */
static int write_conf(const struct root *root, const struct paths *folders, struct paths *own,
		      struct why *why)
{
	struct paths known, all, files;
	int r;

	paths_init(&known);
	paths_init(&all);
	paths_init(&files);
	r = ldconf_read(root, CONFD_TOP, CONFD_DIR "/" CONFD_DRIVER, &known, &files, why);
	if (r == 0)
		r = builtin(root, &known);
	paths_done(&files); /* a file of the first pass may be read again */
	if (r == 0)
		r = ldconf_read(root, CONFD_DIR "/" CONFD_DRIVER, NULL, &all, &files, why);
	for (size_t i = 0; i < folders->n && r == 0; i++)
		r = paths_add(&all, folders->v[i]);
	for (size_t i = 0; i < all.n && r == 0; i++)
		if (!paths_has(&known, all.v[i]))
			r = paths_add(own, all.v[i]);
	paths_done(&known);
	paths_done(&all);
	paths_done(&files);
	if (r < 0)
		return why_sys(why, r, "cannot list the library folders of the container");
	return confd_write(root, CONFD_DRIVER, own, why);
}

/* All folders to search, in order. */
static int search_path(const struct root *root, const struct paths *own, struct paths *to,
		       struct why *why)
{
	struct paths dirs, files, extra;
	int r;

	paths_init(&dirs);
	paths_init(&files);
	paths_init(&extra);
	r = ldconf_read(root, CONFD_TOP, NULL, &dirs, &files, why);
	/* An ld.so.conf that does not include its folder must not hide what the hooks wrote there.
	 */
	if (r == 0 && !paths_has(&files, CONFD_DIR "/" CONFD_COMPAT))
		r = ldconf_read(root, CONFD_DIR "/" CONFD_COMPAT, NULL, to, &extra, why);
	for (size_t i = 0; i < own->n && r == 0; i++)
		if (!paths_has(&files, CONFD_DIR "/" CONFD_DRIVER))
			r = paths_add(to, own->v[i]);
	for (size_t i = 0; i < dirs.n && r == 0; i++)
		r = paths_add(to, dirs.v[i]);
	if (r == 0)
		r = add_all(to, multiarch, ARRAY_LEN(multiarch));
	if (r == 0)
		r = add_all(to, lib64, ARRAY_LEN(lib64));
	if (r == 0)
		r = add_all(to, plain, ARRAY_LEN(plain));
	paths_done(&dirs);
	paths_done(&files);
	paths_done(&extra);
	return r < 0 ? why_sys(why, r, "cannot list the library folders of the container") : 0;
}

static int write_cache(const struct root *root, const struct paths *dirs, const char *version,
		       struct why *why)
{
	char generator[64], *bytes = NULL;
	struct ldcache cache;
	struct scan scan;
	auto_close int etc = -1;
	size_t len = 0;
	int r;

	ldcache_init(&cache);
	r = scan_init(&scan, root, &cache, why);
	for (size_t i = 0; i < dirs->n && r == 0; i++)
		r = scan_dir(&scan, dirs->v[i]);
	snprintf(generator, sizeof(generator), "tundra-cdi-hook %s", version);
	if (r == 0)
		r = ldcache_build(&cache, generator, &bytes, &len);
	why_debug(why, "%zu files examined, %zu libraries listed, %zu links made", scan.files,
		  cache.n, scan.links);
	ldcache_done(&cache);
	scan_done(&scan);
	if (r == -E2BIG)
		return why_set(why, r,
			       "the container has more than %d libraries in its library folders, "
			       "or too many folders: /etc/ld.so.cache is left as it is",
			       SCAN_FILES_MAX);
	if (r == 0) {
		etc = root_mkdirs(root, "/etc");
		r = etc < 0 ? etc : root_put(etc, "ld.so.cache", bytes, len);
	}
	free(bytes);
	return r < 0 ? why_sys(why, r, "cannot write /etc/ld.so.cache in the container") : 0;
}

static int update(const struct root *root, const struct paths *folders, const char *version,
		  struct why *why)
{
	bool glibc = has_glibc(root);
	const char *musl = musl_arch(root, glibc);
	struct paths own, dirs;
	int r;

	if (musl) {
		r = musl_update(root, musl, folders, why);
		if (r < 0 || !glibc)
			return r;
	}
	paths_init(&own);
	paths_init(&dirs);
	r = write_conf(root, folders, &own, why);
	if (r == 0)
		r = search_path(root, &own, &dirs, why);
	if (r == 0)
		r = write_cache(root, &dirs, version, why);
	paths_done(&own);
	paths_done(&dirs);
	return r;
}

/* A folder becomes a line of a file without quoting. */
static int check_folders(const struct args_list *list, struct paths *folders, struct why *why)
{
	const char *f;
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++) {
		f = list->v[i];
		if (f[0] != '/' || strlen(f) >= HOOK_PATH_MAX || strpbrk(f, "\n\r#="))
			return why_set(
			    why, -EINVAL,
			    "update-ldcache: --folder \"%s\" is not a folder's absolute path", f);
		r = paths_add(folders, f);
	}
	return r < 0 ? why_sys(why, r, "update-ldcache: --folder") : 0;
}

int hook_update_ldcache(struct hook *hook, int argc, char **argv)
{
	struct args_list list = { .n = 0 };
	const char *spec = NULL, *ldconfig = NULL;
	const struct args_opt opts[] = {
		{ "folder", "FOLDER", "folder of the container with libraries; may be repeated",
		  ARGS_LIST, &list },
		{ "ldconfig-path", "FILE", "accepted and not used: no ldconfig is run", ARGS_TEXT,
		  &ldconfig },
		{ "container-spec", "FILE", "read the container state from FILE", ARGS_TEXT,
		  &spec },
	};
	struct paths folders;
	struct root root;
	int r = args_parse(opts, ARRAY_LEN(opts), argc, argv, &hook->why);

	if (r == ARGS_HELP) {
		args_help(opts, ARRAY_LEN(opts), argv[0], stdout);
		return HOOK_OK;
	}
	paths_init(&folders);
	if (r == 0)
		r = check_folders(&list, &folders, &hook->why);
	if (r < 0) {
		paths_done(&folders);
		return HOOK_USAGE;
	}
	r = oci_open_root(spec, hook->state_fd, &root, &hook->why);
	if (r == 0) {
		r = update(&root, &folders, hook->version, &hook->why);
		root_done(&root);
	}
	paths_done(&folders);
	return r < 0 ? HOOK_FAILED : HOOK_OK;
}
