/* Needs root: device nodes are made. */
#include "test/unit/worker/tree.h"

#include "core/base.h"
#include "gpu/nvidia/worker/dev_nodes.h"

#define DEVICES                                                                                    \
	"Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n509 nvidia-uvm\n"                 \
	"\nBlock devices:\n195 nvidia-modeset\n"

struct world {
	struct tree t;
	char dev[80], proc[80], sys[80];
	struct roots roots;
	struct dev_root root;
	struct gpu_edits edits;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	tree_init(&w->t);
	snprintf(w->dev, sizeof(w->dev), "%s/dev", w->t.root);
	snprintf(w->proc, sizeof(w->proc), "%s/proc", w->t.root);
	snprintf(w->sys, sizeof(w->sys), "%s/sys", w->t.root);
	w->roots = (struct roots){ .dev = w->dev, .proc = w->proc, .sys = w->sys };
	tree_dir(&w->t, "dev");
	assert_int_equal(dev_root_find(&w->roots, w->t.root, "/", &w->root), 0);
	edits_init(&w->edits);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	edits_done(&w->edits);
	tree_done(&w->t);
	free(w);
	return 0;
}

static unsigned long node(struct world *w, const char *name, unsigned *mode)
{
	struct stat st;

	if (lstat(tree_at(&w->t, name), &st) < 0)
		return 0;
	assert_true(S_ISCHR(st.st_mode));
	*mode = st.st_mode & 0777;
	return major(st.st_rdev) * 1000ul + minor(st.st_rdev);
}

static void test_root(void **state)
{
	struct world *w = *state;
	struct dev_root r;
	char root[80];

	assert_int_equal(dev_root_find(&w->roots, w->t.root, "/host/drv", &r), 0);
	assert_string_equal(r.see.s, w->t.root);
	assert_string_equal(r.host.s, "/host/drv");
	/* A driver root without dev/: the node's own. */
	snprintf(root, sizeof(root), "%s/usr", w->t.root);
	assert_int_equal(dev_root_find(&w->roots, root, "/usr", &r), 0);
	assert_string_equal(r.see.s, w->t.root);
	assert_string_equal(r.host.s, "/");
	w->roots.dev = "/dev/";
	assert_int_equal(dev_root_own(&w->roots, &r), 0);
	assert_string_equal(r.see.s, "");
	w->roots.dev = "/devices";
	assert_true(dev_root_own(&w->roots, &r) < 0);
}

static void test_made(void **state)
{
	struct world *w = *state;
	unsigned mode = 0;

	tree_file(&w->t, "proc/devices", DEVICES);
	tree_node(&w->t, "dev/nvidiactl", 195, 255, 0600);
	umask(077);
	dev_nodes_make_common(&w->roots, &w->root);
	dev_nodes_make_gpu(&w->roots, &w->root, 7);
	assert_int_equal(node(w, "dev/nvidiactl", &mode), 195255); /* was there: left alone */
	assert_int_equal(mode, 0600);
	assert_int_equal(node(w, "dev/nvidia-uvm", &mode), 509000);
	assert_int_equal(mode, 0666);
	assert_int_equal(node(w, "dev/nvidia-uvm-tools", &mode), 509001);
	assert_int_equal(node(w, "dev/nvidia7", &mode), 195007);
	/* Its name is among the block devices only: that module is not loaded. */
	assert_int_equal(node(w, "dev/nvidia-modeset", &mode), 0);
}

/* ALT_PROC_DEVICES_PATH */
static void test_majors_from_another_file(void **state)
{
	struct world *w = *state;
	unsigned mode = 0;

	tree_file(&w->t, "proc/devices", DEVICES);
	tree_file(&w->t, "alt", "Character devices:\n511 nvidia-uvm\n");
	w->roots.proc_devices = tree_at(&w->t, "alt");
	dev_nodes_make_common(&w->roots, &w->root);
	assert_int_equal(node(w, "dev/nvidia-uvm", &mode), 511000);
}

/* The driver was reloaded and uvm's major is another: the old node leads nowhere, or elsewhere. */
static void test_stale_node(void **state)
{
	struct world *w = *state;
	unsigned mode = 0;
	char *left;

	tree_file(&w->t, "proc/devices", DEVICES);
	tree_node(&w->t, "dev/nvidia-uvm", 508, 0, 0600);
	tree_file(&w->t, "dev/nvidia-uvm-tools", "a file is not ours to remove");
	left = strdup(tree_at(&w->t, "dev/.tundra.nvidia-uvm"));
	tree_file(&w->t, "dev/.tundra.nvidia-uvm", "of a worker that was killed");
	dev_nodes_make_common(&w->roots, &w->root);
	assert_int_equal(node(w, "dev/nvidia-uvm", &mode), 509000);
	assert_int_equal(mode, 0666);
	assert_true(access(left, F_OK) < 0);
	assert_int_equal(access(tree_at(&w->t, "dev/nvidia-uvm-tools"), F_OK), 0);
	/* The driver forbids it: nothing is touched. */
	tree_file(&w->t, "proc/driver/nvidia/params", "ModifyDeviceFiles: 0\n");
	tree_file(&w->t, "proc/devices", "Character devices:\n510 nvidia-uvm\n");
	dev_nodes_make_common(&w->roots, &w->root);
	assert_int_equal(node(w, "dev/nvidia-uvm", &mode), 509000);
	free(left);
}

static void test_made_as_the_driver_says(void **state)
{
	struct world *w = *state;
	struct stat st;

	tree_file(&w->t, "proc/devices", DEVICES);
	tree_file(&w->t, "proc/driver/nvidia/params",
		  "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileUID: 5\n"
		  "DeviceFileGID: 44\nDeviceFileMode: 432\nOther: x\n");
	dev_nodes_make_gpu(&w->roots, &w->root, 0);
	assert_int_equal(stat(tree_at(&w->t, "dev/nvidia0"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(st.st_uid, 5);
	assert_int_equal(st.st_gid, 44);
	tree_file(&w->t, "proc/driver/nvidia/params", "ModifyDeviceFiles: 0\n");
	dev_nodes_make_gpu(&w->roots, &w->root, 1);
	assert_true(stat(tree_at(&w->t, "dev/nvidia1"), &st) < 0);
}

static void test_not_made_without_driver(void **state)
{
	struct world *w = *state;
	unsigned mode;

	dev_nodes_make_common(&w->roots, &w->root); /* no /proc at all */
	tree_file(&w->t, "proc/devices", "Character devices:\n  1 mem\n");
	dev_nodes_make_common(&w->roots, &w->root);
	dev_nodes_make_gpu(&w->roots, &w->root, 0);
	assert_int_equal(node(w, "dev/nvidiactl", &mode), 0);
	assert_int_equal(node(w, "dev/nvidia0", &mode), 0);
}

static void test_added(void **state)
{
	struct world *w = *state;
	const struct gpu_edit_node *n;

	tree_node(&w->t, "dev/nvidia3", 195, 3, 0660);
	assert_int_equal(chown(tree_at(&w->t, "dev/nvidia3"), 0, 44), 0);
	tree_node(&w->t, "dev/nvidiactl", 195, 255, 0666);
	tree_file(&w->t, "dev/nvidia-uvm", "a file, not a node");
	assert_int_equal(dev_nodes_add(&w->root, "nvidia3", &w->edits), 0);
	assert_int_equal(dev_nodes_add(&w->root, "nvidia4", &w->edits), 1);
	dev_nodes_add_common(&w->root, &w->edits);
	assert_int_equal(w->edits.nodes_n, 2);
	n = &w->edits.nodes[0];
	assert_string_equal(n->path, "/dev/nvidia3");
	assert_null(n->host);
	assert_int_equal(n->major * 1000 + n->minor, 195003);
	assert_int_equal(n->mode, 0660);
	assert_int_equal(n->gid, 44);
	assert_int_equal(w->edits.gids_n, 1);
	assert_int_equal(w->edits.gids[0], 44);
	assert_int_equal(w->edits.nodes[1].gid, 0);
}

static void test_added_from_elsewhere(void **state)
{
	struct world *w = *state;

	tree_node(&w->t, "dev/nvidia0", 195, 0, 0666);
	assert_int_equal(dev_root_find(&w->roots, w->t.root, "/run/nvidia/driver", &w->root), 0);
	assert_int_equal(dev_nodes_add(&w->root, "nvidia0", &w->edits), 0);
	assert_string_equal(w->edits.nodes[0].path, "/dev/nvidia0");
	assert_string_equal(w->edits.nodes[0].host, "/run/nvidia/driver/dev/nvidia0");
}

static void test_drm(void **state)
{
	struct world *w = *state;
	const char *const *args;

	tree_dir(&w->t, "sys/bus/pci/devices/0000:65:00.0/drm/card1");
	tree_dir(&w->t, "sys/bus/pci/devices/0000:65:00.0/drm/renderD128");
	tree_dir(&w->t, "sys/bus/pci/devices/0000:65:00.0/drm/controlD64");
	tree_dir(&w->t, "sys/bus/pci/devices/0000:66:00.0/drm/card9"); /* without a node */
	tree_node(&w->t, "dev/dri/card1", 226, 1, 0660);
	tree_node(&w->t, "dev/dri/renderD128", 226, 128, 0666);
	tree_link(&w->t, "dev/dri/by-path/pci-0000:65:00.0-card", "../card1");
	tree_link(&w->t, "dev/dri/by-path/pci-0000:65:00.0-render", "../renderD128");
	dev_nodes_add_drm(&w->roots, &w->root, "0000:65:00.0", &w->edits);
	dev_nodes_add_drm(&w->roots, &w->root, "0000:66:00.0", &w->edits);
	dev_nodes_add_drm(&w->roots, &w->root, "0000:67:00.0", &w->edits);
	assert_int_equal(w->edits.nodes_n, 2);
	assert_string_equal(w->edits.nodes[0].path, "/dev/dri/card1");
	assert_int_equal(w->edits.hooks_n, 1);
	args = w->edits.hooks[0].args;
	assert_string_equal(args[0], "create-symlinks");
	assert_string_equal(args[2], "../card1::/dev/dri/by-path/pci-0000:65:00.0-card");
	assert_string_equal(args[3], "--link");
	assert_string_equal(args[4], "../renderD128::/dev/dri/by-path/pci-0000:65:00.0-render");
	assert_null(args[5]);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_root),
		T(test_made),
		T(test_majors_from_another_file),
		T(test_stale_node),
		T(test_made_as_the_driver_says),
		T(test_not_made_without_driver),
		T(test_added),
		T(test_added_from_elsewhere),
		T(test_drm),
	};

	if (geteuid() != 0) {
		fprintf(stderr, "needs root: device nodes are made\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
