/* A device plugin on the same GPUs: seen in the Node and in the kubelet's folder. */
#include "k8s/conflict.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/node/lab.h"

struct fixture {
	struct lab *lab;
	struct conflict *conflict;
	char *folder;
	unsigned told;
	char reason[256]; /* of the last telling; "" = none */
};

static void on_change(void *arg, const char *reason)
{
	struct fixture *f = arg;

	f->told++;
	snprintf(f->reason, sizeof(f->reason), "%s", reason ? reason : "");
}

static void start(struct fixture *f, bool allowed)
{
	const struct conflict_conf conf = { .node = LAB_NODE,
					    .resource = "nvidia.com/gpu",
					    .folder = f->folder,
					    .socket = "nvidia",
					    .api = f->lab->api,
					    .events = f->lab->events,
					    .allowed = allowed,
					    .on_change = on_change,
					    .arg = f };

	f->conflict = conflict_new(f->lab->loop, &conf);
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(0, 1);
	f->folder = lab_path(f->lab, "device-plugins");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	conflict_free(&f->conflict);
	mem_free(f->folder);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void capacity(struct fixture *f, const char *value)
{
	store_patch_text(f->lab->store, "nodes", NULL, LAB_NODE,
			 "{\"status\":{\"capacity\":{\"nvidia.com/gpu\":%s}}}", value);
}

static void touch(struct fixture *f, const char *name)
{
	char *path = lab_path(f->lab, "device-plugins/%s", name);

	assert_true(fsx_mkdirs(f->folder, 0755) >= 0);
	assert_int_equal(fsx_replace(path, SV(""), 0600, 0), 0);
	mem_free(path);
}

static void no_other_agent(void **state)
{
	struct fixture *f = *state;

	capacity(f, "\"0\""); /* what a removed plugin leaves behind */
	start(f, false);
	lab_pass(f->lab, 3600000);
	assert_int_equal(f->told, 1); /* the first answer */
	assert_string_equal(f->reason, "");
	assert_null(conflict_reason(f->conflict));
	assert_int_equal(lab_events(f->lab, "DevicePluginConflict", NULL), 0);
}

static void the_nodes_capacity_tells(void **state)
{
	struct fixture *f = *state;
	const char *message = "";

	capacity(f, "\"8\"");
	start(f, false);
	lab_pass(f->lab, 1000);
	assert_non_null(strstr(f->reason, "8 nvidia.com/gpu"));
	assert_non_null(conflict_reason(f->conflict));
	assert_int_equal(lab_events(f->lab, "DevicePluginConflict", &message), 1);
	assert_non_null(strstr(message, "--allow-device-plugin"));
	capacity(f, "null");
	lab_pass(f->lab, 60000);
	assert_int_equal(f->told, 2);
	assert_null(conflict_reason(f->conflict));
}

static void it_appears_while_running(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	lab_pass(f->lab, 1000);
	assert_int_equal(f->told, 1);
	touch(f, "kubelet.sock");
	touch(f, "amd.com.sock");
	lab_pass(f->lab, 5000);
	assert_int_equal(f->told, 1);
	touch(f, "nvidia-gpu.sock"); /* seen at once, not at the next look */
	lab_pass(f->lab, 1000);
	assert_int_equal(f->told, 2);
	assert_non_null(strstr(f->reason, "device-plugins"));
}

static void a_folder_that_appears(void **state)
{
	struct fixture *f = *state;

	start(f, false);
	lab_pass(f->lab, 1000);
	touch(f, "nvidia-gpu.sock");
	lab_pass(f->lab, 1000);
	assert_int_equal(f->told, 2);
}

static void allowed_by_flag(void **state)
{
	struct fixture *f = *state;

	capacity(f, "\"8\"");
	start(f, true);
	lab_pass(f->lab, 1000);
	assert_int_equal(f->told, 1);
	assert_string_equal(f->reason, "");	       /* nothing is held back */
	assert_non_null(conflict_reason(f->conflict)); /* but it is known */
	assert_int_equal(lab_events(f->lab, "DevicePluginConflict", NULL), 1);
}

static void an_api_server_that_does_not_answer(void **state)
{
	struct fixture *f = *state;

	capacity(f, "\"8\"");
	apiserver_down(f->lab->server);
	start(f, false);
	lab_pass(f->lab, 120000);
	assert_int_equal(f->told, 0); /* neither yes nor no */
	apiserver_up(f->lab->server);
	lab_pass(f->lab, 60000);
	assert_int_equal(f->told, 1);
	assert_true(*f->reason != '\0');
}

static void looks_are_rare(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start(f, false);
	lab_pass(f->lab, 1000);
	before = apiserver_count(f->lab->server, "get", "nodes");
	lab_pass(f->lab, 3600000);
	assert_in_range(apiserver_count(f->lab->server, "get", "nodes") - before, 1, 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(no_other_agent),		TEST(the_nodes_capacity_tells),
		TEST(it_appears_while_running), TEST(a_folder_that_appears),
		TEST(allowed_by_flag),		TEST(an_api_server_that_does_not_answer),
		TEST(looks_are_rare),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
