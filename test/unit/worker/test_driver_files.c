#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>

#include "test/unit/worker/tree.h"

#include "core/base.h"
#include "core/mem.h"
#include "gpu/nvidia/worker/driver_files.h"
#include "test/unit/worker/edits_print.h"
#include "test/unit/worker/elf_make.h"

#define V   "550.54.15"
#define LIB "usr/lib64"
#define RO  " ro,nosuid,nodev,rbind,rprivate\n"
#define IPC " nosuid,nodev,rbind,rprivate,noexec\n"

static void library(struct tree *t, const char *name, const char *soname)
{
	FILE *f = fopen(tree_at(t, name), "w");
	struct elf_make e;

	assert_non_null(f);
	elf_make(&e, soname);
	assert_int_equal(fwrite(&e, sizeof(e), 1, f), 1);
	fclose(f);
}

static void socket_at(struct tree *t, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", tree_at(t, name));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
}

static struct driver_root where;
static struct roots roots;
static char sys[128];

static int scan(struct tree *t, const char *host, struct gpu_edits *e, struct err *err)
{
	struct inroot_path libdir;
	struct driver_search s;
	struct driver_files f = { &roots, &where, V };

	snprintf(sys, sizeof(sys), "%s/sys", t->root);
	roots = (struct roots){ .driver = t->root, .driver_host = host, .sys = sys };
	s = driver_search_new(&roots);
	assert_true(driver_search_next(&s, &where));
	edits_init(e);
	return driver_files_add(&f, e, &libdir, err);
}

static void expect(struct tree *t, const char *host, const char *text)
{
	struct gpu_edits e;
	struct buf out;
	struct err err;

	assert_int_equal(scan(t, host, &e, &err), 0);
	buf_init(&out, 1 << 20);
	edits_print(&e, &out);
	assert_string_equal(buf_cstr(&out), text);
	edits_done(&e);
	buf_done(&out);
}

/* A distribution's package: one of each kind of file, and things that are not to be mounted. */
static void distribution(struct tree *t)
{
	library(t, LIB "/libcuda.so." V, "libcuda.so.1");
	tree_link(t, LIB "/libcuda.so.1", "libcuda.so." V);
	tree_link(t, LIB "/libcuda.so", "libcuda.so.1");
	library(t, LIB "/libnvidia-ml.so." V, "libnvidia-ml.so.1");
	tree_link(t, LIB "/libnvidia-ml.so.1", "libnvidia-ml.so." V);
	library(t, LIB "/libGLX_nvidia.so." V, "libGLX_nvidia.so.0"); /* its link is missing */
	library(t, LIB "/libnvidia-opticalflow.so." V, "libnvidia-opticalflow.so.1");
	library(t, LIB "/libnvidia-allocator.so." V, "libnvidia-allocator.so.1");
	library(t, LIB "/libnvidia-vulkan-producer.so." V, "libnvidia-vulkan-producer.so");
	tree_file(t, LIB "/libnvidia-notelf.so." V, "no ELF file, but the driver's");
	library(t, LIB "/libnvidia-egl-gbm.so.1.1.2", "libnvidia-egl-gbm.so.1");
	library(t, LIB "/vdpau/libvdpau_nvidia.so." V, "libvdpau_nvidia.so.1");
	library(t, LIB "/nvidia/xorg/nvidia_drv.so", "nvidia_drv.so");
	library(t, "usr/lib/xorg/modules/extensions/libglxserver_nvidia.so." V, "x");
	/* not these: another version, no version, a folder */
	library(t, LIB "/libcuda.so.470.1.2", "libcuda.so.1");
	library(t, LIB "/libnvidia-api.so.1", "libnvidia-api.so.1");
	tree_dir(t, LIB "/folder.so." V);
	tree_file(t, "usr/bin/nvidia-smi", "");
	tree_file(t, "sbin/nvidia-persistenced", "");
	tree_file(t, "opt/bin/nvidia-debugdump", ""); /* nobody's PATH */
	tree_file(t, "usr/bin/nvidia-settings", "");
	tree_file(t, "lib/firmware/nvidia/" V "/gsp_ga10x.bin", "");
	tree_file(t, "lib/firmware/nvidia/" V "/other.bin", "");
	tree_file(t, "lib/firmware/nvidia/470.1.2/gsp.bin", "");
	tree_file(t, "etc/vulkan/icd.d/nvidia_icd.json", "");
	tree_file(t, "usr/share/vulkan/icd.d/nvidia_icd.json", ""); /* hidden by the one above */
	tree_file(t, "usr/share/vulkan/implicit_layer.d/nvidia_layers.json", "");
	tree_file(t, "usr/share/nvidia/nvoptix.bin", "");
	socket_at(t, "run/nvidia-persistenced/socket");
	tree_link(t, "var/run", "/run"); /* the same socket: once */
	tree_file(t, "run/nvidia-fabricmanager/socket", "a file, not a socket");
	tree_dir(t, "tmp/nvidia-mps");
}

#define HOOKS                                                                                      \
	"env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib64\n"                                                  \
	"env NVIDIA_VISIBLE_DEVICES=void\n"                                                        \
	"hook create-symlinks"                                                                     \
	" --link ../libnvidia-allocator.so.1::/usr/lib64/gbm/nvidia-drm_gbm.so"                    \
	" --link libnvidia-vulkan-producer.so." V "::/usr/lib64/libnvidia-vulkan-producer.so"      \
	" --link libglxserver_nvidia.so." V                                                        \
	"::/usr/lib/xorg/modules/extensions/libglxserver_nvidia.so\n"                              \
	"hook create-symlinks"                                                                     \
	" --link libGLX_nvidia.so." V "::/usr/lib64/libGLX_indirect.so.0"                          \
	" --link libcuda.so." V "::/usr/lib64/libcuda.so.1"                                        \
	" --link libcuda.so.1::/usr/lib64/libcuda.so"                                              \
	" --link libnvidia-ml.so." V "::/usr/lib64/libnvidia-ml.so.1"                              \
	" --link libnvidia-opticalflow.so.1::/usr/lib64/libnvidia-opticalflow.so\n"                \
	"hook enable-cuda-compat --host-driver-version=" V "\n"                                    \
	"hook update-ldcache --folder /usr/lib64 --folder /usr/lib64/vdpau"                        \
	" --folder /usr/lib/xorg/modules/extensions\n"                                             \
	"hook disable-device-node-modification\n"

static void test_distribution(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	distribution(&t);
	/* clang-format off */
	expect(&t, "/",
	       "mount /sbin/nvidia-persistenced" RO
	       "mount /tmp/nvidia-mps" IPC
	       "mount /run/nvidia-persistenced/socket" IPC
	       "mount /usr/bin/nvidia-debugdump host /opt/bin/nvidia-debugdump" RO
	       "mount /usr/bin/nvidia-smi" RO
	       "mount /usr/lib64/libGLX_nvidia.so." V RO
	       "mount /usr/lib64/libcuda.so." V RO
	       "mount /usr/lib64/libnvidia-allocator.so." V RO
	       "mount /usr/lib64/libnvidia-egl-gbm.so.1.1.2" RO
	       "mount /usr/lib64/libnvidia-ml.so." V RO
	       "mount /usr/lib64/libnvidia-notelf.so." V RO
	       "mount /usr/lib64/libnvidia-opticalflow.so." V RO
	       "mount /usr/lib64/libnvidia-vulkan-producer.so." V RO
	       "mount /etc/vulkan/icd.d/nvidia_icd.json" RO
	       "mount /etc/vulkan/implicit_layer.d/nvidia_layers.json"
	       " host /usr/share/vulkan/implicit_layer.d/nvidia_layers.json" RO
	       "mount /usr/lib64/vdpau/libvdpau_nvidia.so." V RO
	       "mount /usr/share/nvidia/nvoptix.bin" RO
	       "mount /lib/firmware/nvidia/" V "/gsp_ga10x.bin" RO
	       "mount /usr/lib64/nvidia/xorg/nvidia_drv.so" RO
	       "mount /usr/lib/xorg/modules/extensions/libglxserver_nvidia.so." V RO HOOKS);
	/* clang-format on */
	tree_done(&t);
}

/* The GPU Operator's driver container: the host reaches every file below its own folder. */
static void test_driver_container(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	library(&t, "run/nvidia/driver/usr/lib64/libcuda.so." V, "libcuda.so.1");
	library(&t, "run/nvidia/driver/usr/lib64/libnvidia-ml.so." V, "libnvidia-ml.so.1");
	tree_link(&t, "run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
		  "/usr/lib64/libnvidia-ml.so." V);
	tree_link(&t, "run/nvidia/driver/lib64", "usr/lib64");
	tree_file(&t, "run/nvidia/driver/usr/bin/nvidia-smi.real", "");
	tree_link(&t, "run/nvidia/driver/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi.real");
	tree_file(&t, "usr/bin/nvidia-debugdump", ""); /* the host's: not this driver's */
	expect(&t, "/",
	       "mount /usr/bin/nvidia-smi host /run/nvidia/driver/usr/bin/nvidia-smi.real" RO
	       "mount /usr/lib64/libcuda.so." V
	       " host /run/nvidia/driver/usr/lib64/libcuda.so." V RO
	       "mount /usr/lib64/libnvidia-ml.so." V
	       " host /run/nvidia/driver/usr/lib64/libnvidia-ml.so." V RO
	       "env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib64\n"
	       "env NVIDIA_VISIBLE_DEVICES=void\n"
	       "hook create-symlinks --link libcuda.so.1::/usr/lib64/libcuda.so"
	       " --link libnvidia-ml.so." V "::/usr/lib64/libnvidia-ml.so.1\n"
	       "hook enable-cuda-compat --host-driver-version=" V "\n"
	       "hook update-ldcache --folder /usr/lib64\n"
	       "hook disable-device-node-modification\n");
	tree_done(&t);
}

/* NixOS: a farm of links into the store; names stay together, files come from the store. */
static void test_nixos(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	library(&t, "nix/store/drv/lib/libcuda.so." V, "libcuda.so.1");
	library(&t, "nix/store/drv/lib/libnvidia-ml.so." V, "libnvidia-ml.so.1");
	tree_link(&t, "nix/store/drv/lib/libnvidia-ml.so.1", "libnvidia-ml.so." V);
	tree_link(&t, "nix/store/farm/lib/libcuda.so." V, "/nix/store/drv/lib/libcuda.so." V);
	tree_link(&t, "nix/store/farm/lib/libcuda.so.1", "/nix/store/drv/lib/libcuda.so.1");
	tree_link(&t, "nix/store/farm/lib/libnvidia-ml.so.1",
		  "/nix/store/drv/lib/libnvidia-ml.so.1");
	tree_link(&t, "run/opengl-driver", "/nix/store/farm");
	tree_file(&t, "run/current-system/sw/bin/nvidia-smi", "");
	expect(&t, "/",
	       "mount /usr/bin/nvidia-smi host /run/current-system/sw/bin/nvidia-smi" RO
	       "mount /nix/store/farm/lib/libcuda.so." V " host /nix/store/drv/lib/libcuda.so." V RO
	       "env NVIDIA_CTK_LIBCUDA_DIR=/nix/store/farm/lib\n"
	       "env NVIDIA_VISIBLE_DEVICES=void\n"
	       "hook create-symlinks"
	       " --link libcuda.so." V "::/nix/store/farm/lib/libcuda.so.1"
	       " --link libcuda.so.1::/nix/store/farm/lib/libcuda.so\n"
	       "hook enable-cuda-compat --host-driver-version=" V "\n"
	       "hook update-ldcache --folder /nix/store/farm/lib\n"
	       "hook disable-device-node-modification\n");
	tree_done(&t);
}

static void test_wsl(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	library(&t, "usr/lib/wsl/lib/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	tree_file(&t, "usr/lib/wsl/drivers/nv_dispi.inf_amd64_1/libcuda.so.1.1", "");
	expect(&t, "/",
	       "mount /usr/lib/wsl/drivers" RO "mount /usr/lib/wsl/lib" RO
	       "env NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/wsl/lib\n"
	       "env NVIDIA_VISIBLE_DEVICES=void\n"
	       "hook update-ldcache --folder /usr/lib/wsl/lib\n");
	tree_done(&t);
}

/* The loaded driver's own files are missing: better no GPU than a container that cannot use it. */
static void test_incomplete(void **state)
{
	struct gpu_edits e;
	struct tree t;
	struct err err = { "" };

	(void)state;
	tree_init(&t);
	library(&t, LIB "/libcuda.so.470.1.2", "libcuda.so.1");
	library(&t, LIB "/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	assert_int_equal(scan(&t, "/", &e, &err), -ENOENT);
	assert_non_null(strstr(err.text, "libcuda.so." V));
	assert_non_null(strstr(err.text, t.root));
	edits_done(&e);
	tree_done(&t);
}

static bool has_mount(const struct gpu_edits *e, const char *path)
{
	size_t i;

	for (i = 0; i < e->mounts_n; i++)
		if (strcmp(e->mounts[i].path, path) == 0)
			return true;
	return false;
}

/* The kernel's own order: a folder given to it, updates, the running release, the plain one. */
static void test_firmware_places(void **state)
{
	char release[160], updates[160];
	struct utsname kernel;
	struct gpu_edits e;
	struct err err;
	struct tree t;

	(void)state;
	assert_int_equal(uname(&kernel), 0);
	tree_init(&t);
	library(&t, LIB "/libcuda.so." V, "libcuda.so.1");
	library(&t, LIB "/libnvidia-ml.so.1", "libnvidia-ml.so.1");
	snprintf(release, sizeof(release), "/lib/firmware/%.64s/nvidia/" V "/gsp_a.bin",
		 kernel.release);
	snprintf(updates, sizeof(updates), "/lib/firmware/updates/nvidia/" V "/gsp_a.bin");
	tree_file(&t, "lib/firmware/nvidia/" V "/gsp_a.bin", "");
	tree_file(&t, release, "");
	assert_int_equal(scan(&t, "/", &e, &err), 0);
	assert_true(has_mount(&e, release));
	assert_false(has_mount(&e, "/lib/firmware/nvidia/" V "/gsp_a.bin"));
	edits_done(&e);
	tree_file(&t, updates, "");
	assert_int_equal(scan(&t, "/", &e, &err), 0);
	assert_true(has_mount(&e, updates));
	assert_false(has_mount(&e, release));
	edits_done(&e);
	tree_file(&t, "opt/firmware/nvidia/" V "/gsp_a.bin", "");
	tree_file(&t, "sys/module/firmware_class/parameters/path", "/opt/firmware\n");
	assert_int_equal(scan(&t, "/", &e, &err), 0);
	assert_true(has_mount(&e, "/opt/firmware/nvidia/" V "/gsp_a.bin"));
	assert_false(has_mount(&e, updates));
	edits_done(&e);
	tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distribution), cmocka_unit_test(test_driver_container),
		cmocka_unit_test(test_nixos),	     cmocka_unit_test(test_wsl),
		cmocka_unit_test(test_incomplete),   cmocka_unit_test(test_firmware_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
