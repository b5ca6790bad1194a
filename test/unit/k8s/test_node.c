/* Whole drivers: pods come and go, everything else fails, and nothing is ever left over. */
#include "test/unit/k8s/node_world.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/jsonw.h"
#include "k8s/checkpoint.h"
#include "k8s/ledger_file.h"

/* ---- the main job ---- */

static void pods_get_gpus(void **state)
{
	struct fixture *f = *state;
	char name[16];

	start_all(f);
	assert_true(lab_node_ready(&f->n));
	assert_int_equal(published(f), GPUS);
	for (int i = 0; i < GPUS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		run_pod(f, name, 1);
	}
	run_pod(f, "late", 1);
	for (int i = 0; i < GPUS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		expect_phase(f, name, "Running", SOON_MS);
	}
	assert_string_equal(lab_pod_phase(f->lab, "late"), "Pending");
	assert_int_equal(lab_cdi_count(f->lab), GPUS);
	end_pod(f, "p2");
	expect_phase(f, "late", "Running", SOON_MS);
	end_pod(f, "late");
	end_pod(f, "p0");
	end_pod(f, "p1");
	end_pod(f, "p3");
	expect_nothing_left(f);
	assert_int_equal(kubelet_stats(f->kubelet)->prepare_errors, 0);
	assert_int_equal(kubelet_stats(f->kubelet)->unprepare_errors, 0);
	assert_int_equal(kubelet_stats(f->kubelet)->registrations, 1);
	assert_int_equal(f->lab->log_errors, 0);
}

static void pods_that_end_by_themselves(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	lab_claim_wish(f->lab, "job", LAB_DRIVER, 2);
	lab_pod(f->lab, "job", "job", 30);
	expect_phase(f, "job", "Running", SOON_MS);
	expect_phase(f, "job", "Succeeded", 40000);
	expect_nothing_left(f);
}

static void a_pod_from_before_the_driver(void **state)
{
	struct fixture *f = *state;

	f->kubelet = lab_kubelet(f->lab, 0); /* and a kubelet that tries again after a minute */
	run_pod(f, "early", 1);
	lab_pass(f->lab, 60000);
	assert_string_equal(lab_pod_phase(f->lab, "early"), "Pending");
	start(f, &f->n, LAB_DRIVER, NULL);
	expect_phase(f, "early", "Running", SOON_MS);
	end_pod(f, "early");
	expect_nothing_left(f);
}

static void two_pods_share_a_claim(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	lab_claim_wish(f->lab, "shared", LAB_DRIVER, 1);
	lab_pod(f->lab, "a", "shared", 0);
	lab_pod(f->lab, "b", "shared", 0);
	expect_phase(f, "a", "Running", SOON_MS);
	expect_phase(f, "b", "Running", SOON_MS);
	assert_int_equal(lab_cdi_count(f->lab), 1);
	lab_pod_delete(f->lab, "a", false);
	expect_phase(f, "a", "", SOON_MS);
	assert_int_equal(lab_cdi_count(f->lab), 1); /* b still has it */
	assert_int_equal(kubelet_stats(f->kubelet)->unprepares, 0);
	lab_pod_delete(f->lab, "b", false);
	expect_phase(f, "b", "", SOON_MS);
	expect_nothing_left(f);
}

static void deleted_by_force(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	run_pod(f, "a", GPUS);
	expect_phase(f, "a", "Running", SOON_MS);
	run_pod(f, "next", 1);
	lab_pod_delete(f->lab, "a", true);
	expect_phase(f, "next", "Running", SOON_MS);
	assert_int_equal(lab_events(f->lab, "FailedPrepareDynamicResources", NULL), 0);
	end_pod(f, "next");
	expect_nothing_left(f);
}

/* ---- two drivers ---- */

static void two_drivers_in_one_process(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char *path;

	start_all(f);
	lab_class(f->lab, OTHER);
	start(f, &f->n2, OTHER, NULL);
	lab_pass(f->lab, 5000);
	assert_true(lab_node_ready(&f->n) && lab_node_ready(&f->n2));
	assert_int_equal(lab_count(f->lab, "resourceslices"), 2);
	assert_int_equal(kubelet_stats(f->kubelet)->registrations, 2);
	/* One pod with a claim of each. */
	lab_claim_wish(f->lab, "mine", LAB_DRIVER, 1);
	lab_claim_wish(f->lab, "theirs", OTHER, 1);
	lab_pod(f->lab, "both", "mine,theirs", 0);
	expect_phase(f, "both", "Running", SOON_MS);
	assert_int_equal(lab_cdi_count(f->lab), 2);
	path = lab_path(f->lab, "plugins/" OTHER "/ledger");
	assert_int_equal(stat(path, &st), 0);
	mem_free(path);
	lab_pod_delete(f->lab, "both", false);
	expect_phase(f, "both", "", SOON_MS);
	expect_nothing_left(f);
	/* The end of one is nothing to the other. */
	assert_true(lab_node_stop(&f->n2, SOON_MS));
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	end_pod(f, "a");
}

static void one_claim_of_two_drivers(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	lab_class(f->lab, OTHER);
	start(f, &f->n2, OTHER, NULL);
	lab_pass(f->lab, 5000);
	store_put_text(
	    f->lab->store,
	    "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
	    "\"metadata\":{\"name\":\"mixed\",\"namespace\":\"default\"},\"spec\":{"
	    "\"devices\":{\"requests\":[{\"name\":\"x\",\"exactly\":{\"deviceClassName\":"
	    "\"" LAB_DRIVER "\"}},{\"name\":\"y\",\"exactly\":{\"deviceClassName\":"
	    "\"" OTHER "\"}}]}}}");
	/* The first prepare of one of them fails: both are asked again, and answer the same. */
	lab_plans()->run = -EIO;
	lab_pod(f->lab, "both", "mixed", 0);
	lab_pass(f->lab, 1000);
	assert_string_equal(lab_pod_phase(f->lab, "both"), "Pending");
	lab_plans()->run = 0;
	expect_phase(f, "both", "Running", SOON_MS);
	assert_int_equal(lab_cdi_count(f->lab), 2);
	lab_pod_delete(f->lab, "both", false);
	expect_phase(f, "both", "", SOON_MS);
	expect_nothing_left(f);
}

/* ---- restarts ---- */

static void killed_and_back(void **state)
{
	struct fixture *f = *state;
	char before[64], after[64];

	start_all(f);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	slice_version(f, before);
	for (int i = 0; i < 3; i++) {
		lab_node_kill(&f->n);
		lab_pass(f->lab, 5000);
		again(&f->n);
		lab_pass(f->lab, 10000);
		assert_true(lab_node_ready(&f->n));
	}
	slice_version(f, after);
	assert_string_equal(before, after); /* nobody rewrote it, nobody wiped it */
	run_pod(f, "b", GPUS - 1);
	expect_phase(f, "b", "Running", SOON_MS);
	end_pod(f, "a");
	end_pod(f, "b");
	expect_nothing_left(f);
}

/* Nothing asks for the claim again after a restart: its record tells whose it is. */
static void whose_a_claim_is_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct json *root;
	struct jsonw w;
	struct err e = { "" };
	struct buf text;

	start_all(f);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	lab_node_kill(&f->n);
	again(&f->n);
	lab_pass(f->lab, 5000);
	buf_init(&text, 1 << 20);
	jsonw_init(&w, &text);
	jsonw_obj(&w);
	driver_status(f->n.driver, &w, SIZE_MAX);
	jsonw_end(&w);
	assert_int_equal(json_parse(buf_sv(&text), &json_limits_object, &root, &e), 0);
	assert_string_equal(json_str(json_get(json_at(json_get(root, "claims"), 0), "pod"), ""),
			    "a");
	json_free(&root);
	buf_done(&text);
}

static void killed_in_the_middle_of_a_prepare(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	for (unsigned turns = 0; turns < 40; turns++) {
		run_pod(f, "a", 2);
		lab_turns(f->lab, turns);
		lab_node_kill(&f->n);
		lab_pass(f->lab, 500);
		again(&f->n);
		expect_phase(f, "a", "Running", 30000);
		end_pod(f, "a");
		expect_nothing_left(f);
	}
}

static void the_kubelet_restarts(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	lab_claim_wish(f->lab, "shared", LAB_DRIVER, 1);
	lab_pod(f->lab, "a", "shared", 0);
	expect_phase(f, "a", "Running", SOON_MS);
	for (int i = 0; i < 3; i++) {
		kubelet_restart(f->kubelet);
		assert_int_equal(lab_count(f->lab, "resourceslices"), 0); /* wiped */
		lab_pass(f->lab, 5000);
		assert_int_equal(published(f), GPUS);
		assert_string_equal(lab_pod_phase(f->lab, "a"), "Running");
		assert_int_equal(lab_cdi_count(f->lab), 1); /* a container may restart */
	}
	lab_pod(f->lab, "b", "shared", 0); /* prepared again, and the same */
	expect_phase(f, "b", "Running", SOON_MS);
	assert_int_equal(lab_cdi_count(f->lab), 1);
	lab_pod_delete(f->lab, "a", false);
	lab_pod_delete(f->lab, "b", false);
	expect_phase(f, "a", "", SOON_MS);
	expect_phase(f, "b", "", SOON_MS);
	expect_nothing_left(f);
}

static void gone_for_long(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	assert_true(lab_node_stop(&f->n, SOON_MS));
	lab_pass(f->lab, WIPE_MS + 5000);
	assert_int_equal(lab_count(f->lab, "resourceslices"), 0);
	lab_pod_delete(f->lab, "a", false);
	lab_pass(f->lab, 5000);
	assert_string_equal(lab_pod_phase(f->lab, "a"), "Running"); /* who would unprepare it? */
	again(&f->n);
	expect_phase(f, "a", "", SOON_MS);
	assert_int_equal(published(f), GPUS);
	lab_claim_delete(f->lab, "a");
	expect_nothing_left(f);
}

static void an_orderly_end_keeps_the_slices(void **state)
{
	struct fixture *f = *state;
	char *socket = lab_path(f->lab, "plugins/" LAB_DRIVER "/dra.sock");
	char before[64], after[64];

	start_all(f);
	slice_version(f, before);
	assert_true(fsx_exists(socket));
	assert_true(lab_node_stop(&f->n, SOON_MS)); /* though the kubelet's health stream is open */
	assert_false(fsx_exists(socket));
	lab_pass(f->lab, 10000);
	slice_version(f, after);
	assert_string_equal(before, after);
	mem_free(socket);
}

static void drained(void *arg)
{
	*(bool *)arg = true;
}

/* The kubelet hangs up when the registration socket goes: not before its calls are answered. */
static void an_orderly_end_with_work_in_flight(void **state)
{
	struct fixture *f = *state;
	bool done = false;

	start_all(f);
	lab_disk_pause(f->n.disk, true);
	run_pod(f, "a", 1);
	lab_pass(f->lab, 1000);
	driver_drain(f->n.driver, drained, &done);
	lab_pass(f->lab, 5000); /* the kubelet has seen what it could see */
	assert_false(done);
	lab_disk_pause(f->n.disk, false);
	assert_true(lab_until_true(f->lab, &done, SOON_MS));
	lab_pass(f->lab, 2500);
	assert_string_equal(lab_pod_phase(f->lab, "a"), "Running");
	assert_int_equal(kubelet_stats(f->kubelet)->prepare_errors, 0);
	assert_false(kubelet_registered(f->kubelet, LAB_DRIVER));
	lab_node_kill(&f->n);
	again(&f->n);
	lab_pass(f->lab, 5000);
	end_pod(f, "a");
	expect_nothing_left(f);
}

/* ---- the plugin folder ---- */

static int remove_entry(void *arg, const char *name)
{
	char *path = mem_printf("%s/%s", (const char *)arg, name);

	assert_int_equal(fsx_remove(path), 0);
	mem_free(path);
	return 0;
}

static void the_plugin_folder_is_emptied(void **state)
{
	struct fixture *f = *state;
	char *folder = lab_path(f->lab, "plugins/" LAB_DRIVER);
	char *socket = lab_path(f->lab, "plugins/" LAB_DRIVER "/dra.sock");

	start_all(f);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fsx_list(folder, remove_entry, folder), 0);
		if (i == 2)
			assert_int_equal(rmdir(folder), 0);
		lab_pass(f->lab, 5000);
		assert_true(fsx_exists(socket));
		assert_int_equal(lab_ledger_records(f->lab), 1);
		kubelet_restart(f->kubelet); /* dials anew */
		lab_pass(f->lab, 5000);
		assert_true(kubelet_connected(f->kubelet, LAB_DRIVER));
		run_pod(f, "b", 1);
		expect_phase(f, "b", "Running", SOON_MS);
		end_pod(f, "b");
	}
	end_pod(f, "a");
	expect_nothing_left(f);
	assert_true(lab_node_stop(&f->n, SOON_MS));
	assert_false(fsx_exists(socket));
	mem_free(folder);
	mem_free(socket);
}

/* ---- GPUs come and go ---- */

static void a_driver_that_is_not_there_yet(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	assert_int_equal(published(f), GPUS);
	lab_node_kill(&f->n);
	snprintf(f->lab->gpus.no_driver, sizeof(f->lab->gpus.no_driver), "nvidia.ko is not loaded");
	lab_rescan(f->lab);
	again(&f->n);
	lab_pass(f->lab, 20000);
	assert_int_equal(published(f), GPUS); /* "not ready yet" is not "empty" */
	assert_true(lab_node_ready(&f->n));   /* and holds up no rollout */
	lab_pass(f->lab, 15000);
	assert_int_equal(published(f), 0);
	assert_int_equal(lab_events(f->lab, "GPUsNotReady", NULL), 1);
	f->lab->gpus.no_driver[0] = '\0';
	lab_rescan(f->lab);
	assert_int_equal(published(f), GPUS);
}

static void a_driver_that_is_unloaded(void **state)
{
	struct fixture *f = *state;
	const char *message = "";

	start_all(f);
	snprintf(f->lab->gpus.no_driver, sizeof(f->lab->gpus.no_driver), "rmmod nvidia");
	inventory_rescan(f->lab->inventory, "test");
	lab_pass(f->lab, 4000);
	assert_int_equal(published(f), GPUS);
	lab_pass(f->lab, 3000);
	assert_int_equal(published(f), 0);
	assert_int_equal(lab_events(f->lab, "GPUsNotReady", &message), 1);
	assert_non_null(strstr(message, "rmmod nvidia"));
}

static void a_driver_that_does_not_answer(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	snprintf(f->lab->gpus.broken, sizeof(f->lab->gpus.broken), "it hangs");
	lab_rescan(f->lab);
	lab_pass(f->lab, 120000);
	assert_int_equal(published(f), GPUS); /* they may well work */
}

static void a_gpu_is_lost_and_comes_back(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	run_pod(f, "a", GPUS);
	expect_phase(f, "a", "Running", SOON_MS);
	f->lab->gpus.gpus[1].present = false;
	lab_rescan(f->lab);
	assert_int_equal(published(f), GPUS - 1);
	assert_int_equal(lab_cdi_count(f->lab), 1);
	f->lab->gpus.gpus[1].present = true;
	lab_rescan(f->lab);
	assert_int_equal(published(f), GPUS);
	end_pod(f, "a");
	expect_nothing_left(f);
}

/* ---- refusing to start ---- */

static void checkpoint(struct fixture *f, const char *text)
{
	char *path = lab_path(f->lab, "plugins/" LAB_DRIVER "/checkpoint.json");
	char *folder = lab_path(f->lab, "plugins/" LAB_DRIVER);

	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	assert_int_equal(fsx_replace(path, sv_str(text), 0600, 0), 0);
	mem_free(path);
	mem_free(folder);
}

static void state_of_another_driver(void **state)
{
	static const char *const refused[] = {
		"{\"checksum\":1,\"v1\":{\"preparedClaims\":{\"u\":{}}}}",
		"{\"checksum\":1,\"v2\":{\"preparedClaims\":{\"u\":{\"checkpointState\":\"x\"}}}}",
		"{\"checksum\":",
		"{\"checksum\":1,\"v1\":{},\"v2\":{\"preparedClaims\":{}}}", /* wrong sums */
	};
	struct fixture *f = *state;
	struct err e = { "" };

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		checkpoint(f, refused[i]);
		assert_true(lab_node_start(&f->n, f->lab, LAB_DRIVER, NULL, &e) < 0);
		assert_non_null(strstr(e.text, "checkpoint.json"));
		lab_node_done(&f->n);
	}
	checkpoint(f, "{\"checksum\":1083090442,\"v1\":{}}");
	start(f, &f->n, LAB_DRIVER, NULL);
}

/* What the driver would say of the claims that our ledger has, in its place. */
static void change_drivers(struct fixture *f)
{
	const struct checkpoint_format format = { false };
	struct ledger_file *l;
	struct err e = { "" };
	struct buf text;

	assert_int_equal(ledger_file_read(f->lab->ledger, &l, &e), 0);
	assert_int_equal(l->claims_n, 2);
	buf_init(&text, 1 << 20);
	assert_int_equal(checkpoint_encode((const struct ledger_claim *const *)l->claims,
					   l->claims_n, LAB_DRIVER, "boot-1", &format, &text, &e),
			 0);
	checkpoint(f, buf_cstr(&text));
	assert_int_equal(unlink(f->lab->ledger), 0);
	buf_done(&text);
	ledger_file_free(&l);
}

static void the_state_of_another_driver_is_taken_over(void **state)
{
	char *aside, *before, *after;
	struct fixture *f = *state;

	start_all(f);
	run_pod(f, "a", 1);
	run_pod(f, "b", 2);
	expect_phase(f, "a", "Running", SOON_MS);
	expect_phase(f, "b", "Running", SOON_MS);
	before = lab_allocated(f->lab, "b");
	lab_node_kill(&f->n);
	change_drivers(f);
	again(&f->n);
	lab_pass(f->lab, 5000);
	aside = lab_path(f->lab, "plugins/" LAB_DRIVER "/checkpoint.json.taken-over");
	assert_true(fsx_exists(aside));
	assert_int_equal(lab_cdi_count(f->lab), 2);
	assert_int_equal(lab_ledger_records(f->lab), 2);
	run_pod(f, "c", 1); /* gets the last one, and no other */
	expect_phase(f, "c", "Running", SOON_MS);
	run_pod(f, "d", 1);
	lab_pass(f->lab, SOON_MS);
	assert_string_equal(lab_pod_phase(f->lab, "d"), "Pending");
	end_pod(f, "a");
	expect_phase(f, "d", "Running", SOON_MS);
	after = lab_allocated(f->lab, "b");
	assert_string_equal(before, after);
	end_pod(f, "b");
	end_pod(f, "c");
	end_pod(f, "d");
	expect_nothing_left(f);
	mem_free(aside);
	mem_free(before);
	mem_free(after);
}

/* ---- what it says of itself ---- */

static void it_tells_how_it_is(void **state)
{
	struct fixture *f = *state;
	struct json *root;
	struct jsonw w;
	struct err e = { "" };
	struct buf text;

	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER, NULL);
	buf_init(&text, 1 << 20);
	assert_false(driver_ready(f->n.driver, &text));
	assert_non_null(strstr(buf_cstr(&text), LAB_DRIVER));
	lab_pass(f->lab, 5000);
	buf_clear(&text);
	assert_true(driver_ready(f->n.driver, &text));
	assert_int_equal(buf_len(&text), 0);
	run_pod(f, "a", 2);
	expect_phase(f, "a", "Running", SOON_MS);
	jsonw_init(&w, &text);
	jsonw_obj(&w);
	driver_status(f->n.driver, &w, SIZE_MAX);
	jsonw_end(&w);
	assert_int_equal(json_parse(buf_sv(&text), &json_limits_object, &root, &e), 0);
	assert_true(json_flag(json_get(root, "registered"), false));
	assert_string_equal(json_str(json_get(root, "ledger", "state"), ""), "open");
	assert_int_equal(json_len(json_get(root, "claims")), 1);
	assert_int_equal(json_len(json_get(json_at(json_get(root, "claims"), 0), "devices")), 2);
	assert_string_equal(json_str(json_get(root, "kubelet", "lastMethod"), ""),
			    "NodePrepareResources");
	assert_string_equal(json_str(json_get(json_at(json_get(root, "claims"), 0), "pod"), ""),
			    "a");
	json_free(&root);
	buf_clear(&text);
	jsonw_init(&w, &text);
	jsonw_obj(&w);
	driver_status(f->n.driver, &w, 0);
	jsonw_end(&w);
	assert_int_equal(json_parse(buf_sv(&text), &json_limits_object, &root, &e), 0);
	assert_int_equal(json_len(json_get(root, "claims")), 0);
	assert_int_equal(json_i64(json_get(root, "claimsTotal"), 0), 1);
	json_free(&root);
	driver_scrape(f->n.driver);
	buf_clear(&text);
	metrics_render(f->lab->metrics, &text);
	assert_non_null(strstr(buf_cstr(&text), "nvidia_dra_"));
	assert_non_null(strstr(buf_cstr(&text), "tundra_"));
	buf_done(&text);
}

static void publishing_is_held_back(void **state)
{
	struct fixture *f = *state;

	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER, NULL);
	driver_hold_publishing(f->n.driver, "it is not known yet who serves the GPUs");
	lab_pass(f->lab, 60000);
	assert_int_equal(lab_count(f->lab, "resourceslices"), 0);
	driver_hold_publishing(f->n.driver, NULL);
	lab_pass(f->lab, 3000);
	assert_int_equal(published(f), GPUS);
}

/* A device plugin came to a node that serves already: a slice that stays is booked from twice. */
static void devices_are_withdrawn(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	driver_withdraw(f->n.driver, "a device plugin serves the same GPUs");
	lab_pass(f->lab, 3000);
	assert_int_equal(lab_count(f->lab, "resourceslices"), 1);
	assert_int_equal(published(f), 0);
	assert_int_equal(lab_cdi_count(f->lab), 1); /* what runs goes on */
	run_pod(f, "b", 1);
	lab_pass(f->lab, SOON_MS);
	assert_string_equal(lab_pod_phase(f->lab, "b"), "Pending");
	driver_withdraw(f->n.driver, NULL);
	expect_phase(f, "b", "Running", SOON_MS);
	assert_int_equal(published(f), GPUS);
	end_pod(f, "a");
	end_pod(f, "b");
	expect_nothing_left(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(pods_get_gpus),
		TEST(pods_that_end_by_themselves),
		TEST(a_pod_from_before_the_driver),
		TEST(two_pods_share_a_claim),
		TEST(deleted_by_force),
		TEST(two_drivers_in_one_process),
		TEST(one_claim_of_two_drivers),
		TEST(killed_and_back),
		TEST(whose_a_claim_is_after_a_restart),
		TEST(killed_in_the_middle_of_a_prepare),
		TEST(the_kubelet_restarts),
		TEST(gone_for_long),
		TEST(an_orderly_end_keeps_the_slices),
		TEST(an_orderly_end_with_work_in_flight),
		TEST(the_plugin_folder_is_emptied),
		TEST(a_driver_that_is_not_there_yet),
		TEST(a_driver_that_is_unloaded),
		TEST(a_driver_that_does_not_answer),
		TEST(a_gpu_is_lost_and_comes_back),
		TEST(state_of_another_driver),
		TEST(the_state_of_another_driver_is_taken_over),
		TEST(it_tells_how_it_is),
		TEST(publishing_is_held_back),
		TEST(devices_are_withdrawn),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
