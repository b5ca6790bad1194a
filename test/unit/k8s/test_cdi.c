#include "k8s/cdi.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/fsx.h"
#include "core/json.h"
#include "core/mem.h"

#define UID "11111111-2222-3333-4444-555555555555"

struct world {
	char folder[64], root[96];
	struct cdi *cdi;
	struct gpu_edits common, device;
};

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct cdi_conf conf;
	const char *const options[] = { "ro", "nosuid", NULL };
	const char *const hook[] = { "update-ldcache", "--folder", "/usr/lib", NULL };

	snprintf(w->folder, sizeof(w->folder), "/tmp/test_cdi.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->root, sizeof(w->root), "%s/cdi/deep", w->folder);
	conf = (struct cdi_conf){ w->root, "gpu.nvidia.com", "/plug/tundra-cdi-hook" };
	w->cdi = cdi_new(&conf);
	edits_init(&w->common);
	edits_init(&w->device);
	assert_int_equal(edits_add_env(&w->common, "NVIDIA_VISIBLE_DEVICES=void"), 0);
	assert_int_equal(
	    edits_add_mount(&w->common,
			    &(struct gpu_edit_mount){ "/h/libcuda.so", "/libcuda.so", options }),
	    0);
	assert_int_equal(edits_add_hook(&w->common, hook), 0);
	assert_int_equal(
	    edits_add_node(&w->device, &(struct gpu_edit_node){ .path = "/dev/nvidia3",
								.host = "/x/dev/nvidia3",
								.major = 195,
								.minor = 3,
								.mode = 0666 }),
	    0);
	*state = w;
	return 0;
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;

	cdi_free(&w->cdi);
	edits_done(&w->common);
	edits_done(&w->device);
	nftw(w->folder, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
	mem_free(w);
	return 0;
}

static struct json *read_spec(struct world *w, const char *uid)
{
	char *path = mem_printf("%s/k8s.gpu.nvidia.com-claim_%s.yaml", w->root, uid);
	struct json *root = NULL;
	struct err e = { 0 };
	struct buf text;

	buf_init(&text, 1 << 20);
	assert_int_equal(fsx_read(path, 1 << 20, &text), 0);
	assert_int_equal(json_parse(buf_sv(&text), &json_limits_object, &root, &e), 0);
	buf_done(&text);
	mem_free(path);
	return root;
}

static void a_spec_has_common_and_device_edits(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device }, { "gpu-3", &w->device } };
	struct json *spec;
	const struct json *dev, *node;
	struct err e = { 0 };

	cdi_set_common(w->cdi, &w->common);
	assert_int_equal(cdi_write(w->cdi, UID, d, 2, &e), CDI_E_WRITTEN);
	spec = read_spec(w, UID);
	assert_string_equal(json_str(json_get(spec, "cdiVersion"), ""), "0.5.0");
	assert_string_equal(json_str(json_get(spec, "kind"), ""), "k8s.gpu.nvidia.com/claim");
	/* A device that is named by two requests is one CDI device. */
	assert_int_equal(json_len(json_get(spec, "devices")), 1);
	dev = json_at(json_get(spec, "devices"), 0);
	assert_string_equal(json_str(json_get(dev, "name"), ""), UID "-gpu-3");
	node = json_at(json_get(dev, "containerEdits", "deviceNodes"), 0);
	assert_string_equal(json_str(json_get(node, "hostPath"), ""), "/x/dev/nvidia3");
	assert_int_equal(json_i64(json_get(node, "minor"), -1), 3);
	assert_int_equal(json_i64(json_get(node, "fileMode"), -1), 0666);
	assert_string_equal(json_str(json_at(json_get(spec, "containerEdits", "env"), 0), ""),
			    "NVIDIA_VISIBLE_DEVICES=void");
	assert_string_equal(
	    json_str(json_get(json_at(json_get(spec, "containerEdits", "hooks"), 0), "path"), ""),
	    "/plug/tundra-cdi-hook");
	json_free(&spec);
}

static void written_once_repaired_when_touched(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device } };
	char *path = mem_printf("%s/k8s.gpu.nvidia.com-claim_%s.yaml", w->root, UID);
	struct err e = { 0 };
	uint64_t bytes;

	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	bytes = cdi_bytes_written(w->cdi);
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), 0);
	assert_int_equal(cdi_bytes_written(w->cdi), bytes);
	assert_int_equal(fsx_replace(path, SV("{}"), 0644, 0), 0);
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	cdi_set_common(w->cdi, &w->common); /* the driver was updated */
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	assert_int_equal(cdi_remove(w->cdi, UID, &e), 0);
	assert_false(fsx_exists(path));
	assert_int_equal(cdi_remove(w->cdi, UID, &e), 0);
	mem_free(path);
}

/* Empty containerEdits are invalid CDI. */
static void a_device_without_edits_is_valid(void **state)
{
	struct world *w = *state;
	struct gpu_edits none;
	struct cdi_device d[] = { { "gpu-1", &none } };
	struct json *spec;
	struct err e = { 0 };

	edits_init(&none);
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	spec = read_spec(w, UID);
	assert_int_equal(
	    json_len(json_get(json_at(json_get(spec, "devices"), 0), "containerEdits", "env")), 1);
	json_free(&spec);
	edits_done(&none);
}

static void groups_need_a_newer_version(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device } };
	struct json *spec;
	struct err e = { 0 };

	assert_int_equal(edits_add_gid(&w->device, 44), 0);
	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	spec = read_spec(w, UID);
	assert_string_equal(json_str(json_get(spec, "cdiVersion"), ""), "0.7.0");
	json_free(&spec);
}

static int count_file(void *arg, const char *name)
{
	(void)name;
	(*(size_t *)arg)++;
	return 0;
}

static size_t files(struct world *w)
{
	size_t n = 0;

	assert_int_equal(fsx_list(w->root, count_file, &n), 0);
	return n;
}

static void ahead_is_the_same_spec(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device } };
	struct cdi_ahead ahead = { 0 };
	struct json *one, *two;
	struct err e = { 0 };

	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	one = read_spec(w, UID);
	assert_int_equal(cdi_remove(w->cdi, UID, &e), 0);
	assert_int_equal(cdi_take_ahead(w->cdi, UID, &ahead, &e), 0); /* none */
	cdi_write_ahead(w->cdi, UID, d, 1, &ahead);
	assert_non_null(ahead.temp);
	assert_true(fsx_is_temp(strrchr(ahead.temp, '/') + 1));
	assert_int_equal(cdi_take_ahead(w->cdi, UID, &ahead, &e), CDI_E_WRITTEN);
	assert_null(ahead.temp);
	two = read_spec(w, UID);
	assert_true(json_same(one, two));
	assert_int_equal(files(w), 1);
	json_free(&one);
	json_free(&two);
}

static void ahead_may_be_in_vain(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device } };
	struct cdi_ahead ahead = { 0 };
	struct err e = { 0 };

	assert_int_equal(cdi_write(w->cdi, UID, d, 1, &e), CDI_E_WRITTEN);
	cdi_write_ahead(w->cdi, UID, d, 1, &ahead);
	cdi_set_common(w->cdi, NULL); /* says something else now */
	assert_int_equal(cdi_take_ahead(w->cdi, UID, &ahead, &e), 0);
	assert_int_equal(files(w), 1);
	cdi_write_ahead(w->cdi, UID, d, 1, &ahead);
	assert_int_equal(unlink(ahead.temp), 0);
	assert_int_equal(cdi_take_ahead(w->cdi, UID, &ahead, &e), 0);
	cdi_write_ahead(w->cdi, UID, d, 1, &ahead);
	cdi_write_ahead(w->cdi, UID, d, 1, &ahead); /* instead of the first */
	assert_int_equal(files(w), 2);
	cdi_drop_ahead(&ahead);
	cdi_drop_ahead(&ahead);
	assert_int_equal(files(w), 1);
	cdi_write_ahead(w->cdi, "../x", d, 1, &ahead);
	assert_null(ahead.temp);
}

static void hostile_uid_stays_in_the_folder(void **state)
{
	struct world *w = *state;
	struct cdi_device d[] = { { "gpu-3", &w->device } };
	struct err e = { 0 };

	assert_true(cdi_write(w->cdi, "../../etc/x", d, 1, &e) < 0);
	assert_true(cdi_remove(w->cdi, "a/b", &e) < 0);
	assert_true(cdi_write(w->cdi, "", d, 1, &e) < 0);
}

static void the_id_is_upstreams(void **state)
{
	struct world *w = *state;
	struct buf id;

	buf_init(&id, 256);
	cdi_id(w->cdi, UID, "gpu-0", &id);
	assert_string_equal(buf_cstr(&id), "k8s.gpu.nvidia.com/claim=" UID "-gpu-0");
	buf_done(&id);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_spec_has_common_and_device_edits),
		T(written_once_repaired_when_touched),
		T(a_device_without_edits_is_valid),
		T(groups_need_a_newer_version),
		T(hostile_uid_stays_in_the_folder),
		T(the_id_is_upstreams),
		T(ahead_is_the_same_spec),
		T(ahead_may_be_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
