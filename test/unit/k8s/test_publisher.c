/* The publisher against the API server of test/lib: the fewest writes that make the slices true. */
#include "k8s/publisher.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { SOON_MS = 1000, GPUS = 3, DEVICES_MAX = 200 };

struct fixture {
	struct lab *lab;
	struct publisher *publisher;
	bool registered, not_ready;
	unsigned good, bad; /* rounds */
	const struct gpu_device *devices[DEVICES_MAX];
};

static int devices(void *ctx, const struct gpu_device *const **out, size_t *n)
{
	struct fixture *f = ctx;

	*out = f->devices;
	*n = 0;
	if (f->not_ready)
		return POOL_NOT_READY;
	list_for_each (i, inventory_devices(f->lab->inventory)) {
		const struct gpu_device *d = list_entry(i, struct gpu_device, node);

		assert_true(*n < DEVICES_MAX);
		if (d->present && !*d->trouble)
			f->devices[(*n)++] = d;
	}
	return 0;
}

static bool is_registered(void *arg)
{
	return ((struct fixture *)arg)->registered;
}

static void on_publish(void *arg, bool ok)
{
	struct fixture *f = arg;

	(*(ok ? &f->good : &f->bad))++;
}

static void on_inventory(void *arg, unsigned changed)
{
	struct fixture *f = arg;

	(void)changed;
	if (f->publisher)
		publisher_changed(f->publisher);
}

static void start(struct fixture *f)
{
	const struct publisher_conf conf = { .driver = LAB_DRIVER,
					     .node = LAB_NODE,
					     .pool = LAB_NODE,
					     .api = f->lab->api,
					     .source = { devices, f },
					     .events = f->lab->events,
					     .registered = is_registered,
					     .on_publish = on_publish,
					     .arg = f };

	f->publisher = publisher_new(f->lab->loop, &conf);
	publisher_start(f->publisher);
}

static struct fixture *fixture_new(size_t gpus)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(gpus, 1);
	f->registered = true;
	inventory_listen(f->lab->inventory, on_inventory, f);
	return f;
}

static int setup(void **state)
{
	*state = fixture_new(GPUS);
	return 0;
}

static int setup_65(void **state)
{
	*state = fixture_new(65);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	publisher_free(&f->publisher);
	inventory_unlisten(f->lab->inventory, f);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static void restart(struct fixture *f)
{
	publisher_free(&f->publisher);
	lab_api_again(f->lab);
	start(f);
	lab_pass(f->lab, SOON_MS);
}

/* ---- looking ---- */

static struct json *slice(struct fixture *f, size_t i)
{
	char *text = lab_object(f->lab, "resourceslices", i);
	struct err e = { "" };
	struct json *root;

	assert_int_equal(json_parse(sv_str(text), &json_limits_object, &root, &e), 0);
	mem_free(text);
	return root;
}

static size_t slices(struct fixture *f)
{
	return lab_count(f->lab, "resourceslices");
}

/* "generation/count/devices rv" of one slice. */
static const char *shape(struct fixture *f, size_t i)
{
	static char text[4][128];
	static unsigned next;
	char *out = text[next++ % 4];
	struct json *s = slice(f, i);
	const struct json *pool = json_get(s, "spec", "pool");

	snprintf(out, 128, "%lld/%lld/%zu", (long long)json_i64(json_get(pool, "generation"), -1),
		 (long long)json_i64(json_get(pool, "resourceSliceCount"), -1),
		 json_len(json_get(s, "spec", "devices")));
	json_free(&s);
	return out;
}

static void version_of(struct fixture *f, size_t i, char out[32])
{
	struct json *s = slice(f, i);

	snprintf(out, 32, "%s", json_str(json_get(s, "metadata", "resourceVersion"), ""));
	json_free(&s);
}

static void name_of(struct fixture *f, size_t i, char out[128])
{
	struct json *s = slice(f, i);

	snprintf(out, 128, "%s", json_str(json_get(s, "metadata", "name"), ""));
	json_free(&s);
}

static uint64_t writes(struct fixture *f)
{
	return apiserver_count(f->lab->server, "create", "resourceslices") +
	       apiserver_count(f->lab->server, "update", "resourceslices") +
	       apiserver_count(f->lab->server, "delete", "resourceslices");
}

static bool is_synced(void *arg)
{
	return publisher_stats(((struct fixture *)arg)->publisher)->synced;
}

static void expect_synced(struct fixture *f, uint64_t ms)
{
	if (!lab_until(f->lab, is_synced, f, ms))
		fail_msg("never in step: %s", publisher_stats(f->publisher)->last_error);
}

static void published(struct fixture *f)
{
	start(f);
	lab_pass(f->lab, SOON_MS);
	expect_synced(f, SOON_MS);
}

/* ---- the first slice ---- */

static void a_slice_as_others_write_it(void **state)
{
	struct fixture *f = *state;
	const struct json *owner;
	struct json *s;

	published(f);
	assert_int_equal(slices(f), 1);
	assert_string_equal(shape(f, 0), "1/1/3");
	assert_int_equal(writes(f), 1);
	s = slice(f, 0);
	assert_true(sv_starts(json_sv(json_get(s, "metadata", "name")),
			      SV("00000-gpu.nvidia.com-node-1-")));
	assert_string_equal(json_str(json_get(s, "spec", "driver"), ""), LAB_DRIVER);
	assert_string_equal(json_str(json_get(s, "spec", "nodeName"), ""), LAB_NODE);
	assert_string_equal(json_str(json_get(s, "spec", "pool", "name"), ""), LAB_NODE);
	owner = json_at(json_get(s, "metadata", "ownerReferences"), 0);
	assert_string_equal(json_str(json_get(owner, "kind"), ""), "Node");
	assert_string_equal(json_str(json_get(owner, "apiVersion"), ""), "v1");
	assert_string_equal(json_str(json_get(owner, "name"), ""), LAB_NODE);
	assert_true(json_flag(json_get(owner, "controller"), false));
	assert_int_equal(json_kind(json_get(owner, "blockOwnerDeletion")), JSON_NONE);
	json_free(&s);
	assert_int_equal(f->good, 1);
	assert_int_equal(publisher_stats(f->publisher)->creates, 1);
	assert_int_equal(publisher_stats(f->publisher)->devices, 3);
	assert_int_equal(publisher_stats(f->publisher)->generation, 1);
}

static void nothing_before_the_kubelet_knows_the_driver(void **state)
{
	struct fixture *f = *state;

	f->registered = false;
	start(f);
	lab_pass(f->lab, 60000);
	assert_int_equal(slices(f), 0);
	assert_false(publisher_stats(f->publisher)->synced);
	f->registered = true;
	publisher_changed(f->publisher);
	lab_pass(f->lab, 200);
	assert_int_equal(slices(f), 1);
}

static void a_driver_without_gpus_publishes_an_empty_slice(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < GPUS; i++)
		f->lab->gpus.gpus[i].present = false;
	lab_rescan(f->lab);
	published(f);
	assert_string_equal(shape(f, 0), "1/1/0");
}

static void not_ready_is_not_empty(void **state)
{
	struct fixture *f = *state;
	char before[32], after[32];

	published(f);
	version_of(f, 0, before);
	f->not_ready = true;
	publisher_changed(f->publisher);
	lab_pass(f->lab, 60000);
	version_of(f, 0, after);
	assert_string_equal(before, after);
	restart(f);
	lab_pass(f->lab, 60000);
	version_of(f, 0, after);
	assert_string_equal(before, after);
}

/* ---- adoption ---- */

static void a_restart_writes_nothing(void **state)
{
	struct fixture *f = *state;
	char before[32], after[32];

	published(f);
	version_of(f, 0, before);
	for (int i = 0; i < 3; i++)
		restart(f);
	expect_synced(f, SOON_MS);
	version_of(f, 0, after);
	assert_string_equal(before, after);
	assert_int_equal(writes(f), 1);
}

/* Swaps two texts in the stored slice: another spelling of the same. */
static void respell(struct fixture *f, const char *from, const char *to)
{
	char *text = lab_object(f->lab, "resourceslices", 0), *at = strstr(text, from);
	char *spelled;

	assert_non_null(at);
	spelled = mem_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	store_put_text(f->lab->store, "%s", spelled);
	mem_free(text);
	mem_free(spelled);
}

static void another_spelling_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char before[32], after[32];

	published(f);
	publisher_free(&f->publisher);
	respell(f, "\"80Gi\"", "\"81920Mi\"");
	respell(f, "\"80Gi\"", "\"85899345920\"");
	respell(f, "\"type\":{\"string\":\"gpu\"},", "");
	respell(f, "\"attributes\":{", "\"attributes\":{\"type\":{\"string\":\"gpu\"},");
	version_of(f, 0, before);
	start(f);
	lab_pass(f->lab, SOON_MS);
	expect_synced(f, SOON_MS);
	version_of(f, 0, after);
	assert_string_equal(before, after);
}

static void another_meaning_is_put_right(void **state)
{
	static const char *const changes[][2] = {
		{ "\"80Gi\"", "\"79Gi\"" },
		{ "\"GPU-0001\"", "\"GPU-0009\"" },
		{ "\"name\":\"gpu-2\"", "\"name\":\"gpu-7\"" },
		{ "\"resourceSliceCount\":1", "\"resourceSliceCount\":2" },
	};
	struct fixture *f = *state;

	published(f);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		char *text;

		respell(f, changes[i][0], changes[i][1]);
		lab_pass(f->lab, SOON_MS);
		expect_synced(f, SOON_MS);
		text = lab_object(f->lab, "resourceslices", 0);
		assert_non_null(strstr(text, changes[i][0]));
		mem_free(text);
		assert_int_equal(slices(f), 1);
	}
	assert_string_equal(shape(f, 0), "1/1/3"); /* one slice, one change: the same generation */
}

static void slices_of_others_are_left_alone(void **state)
{
	struct fixture *f = *state;

	store_put_text(f->lab->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\","
		       "\"metadata\":{\"name\":\"other-driver\"},\"spec\":{\"driver\":\"nic.example"
		       ".com\",\"nodeName\":\"" LAB_NODE
		       "\",\"pool\":{\"name\":\"p\",\"generation\":"
		       "1,\"resourceSliceCount\":1}}}");
	store_put_text(f->lab->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\","
		       "\"metadata\":{\"name\":\"other-node\"},\"spec\":{\"driver\":\"" LAB_DRIVER
		       "\",\"nodeName\":\"node-2\",\"pool\":{\"name\":\"node-2\",\"generation\":"
		       "1,\"resourceSliceCount\":1}}}");
	published(f);
	assert_int_equal(slices(f), 3);
	assert_int_equal(writes(f), 1);
}

static void what_is_no_longer_wanted_is_removed(void **state)
{
	static const char *const names[] = { "00000-mine-old", "00001-mine-more", "what-is-this" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		store_put_text(f->lab->store,
			       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\","
			       "\"metadata\":{\"name\":\"%s\"},\"spec\":{\"driver\":\"" LAB_DRIVER
			       "\",\"nodeName\":\"" LAB_NODE "\",\"pool\":{\"name\":\"%s\","
			       "\"generation\":%zu,\"resourceSliceCount\":1}}}",
			       names[i], i == 2 ? "pool-of-yore" : LAB_NODE, 4 + i);
	published(f);
	assert_int_equal(slices(f), 1);
	assert_string_equal(shape(f, 0), "1/1/3"); /* nobody compares it with what is gone */
}

/* ---- changes ---- */

static void one_changed_device_is_one_update(void **state)
{
	struct fixture *f = *state;

	published(f);
	f->lab->gpus.gpus[1].memory = 40ull << 30;
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_string_equal(shape(f, 0), "1/1/3");
	assert_int_equal(publisher_stats(f->publisher)->updates, 1);
	assert_int_equal(writes(f), 2);
	snprintf(f->lab->gpus.gpus[0].trouble, sizeof(f->lab->gpus.gpus[0].trouble), "it is ill");
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_string_equal(shape(f, 0), "1/1/2");
	lab_pass(f->lab, 60000);
	assert_int_equal(writes(f), 3);
}

static void many_devices_are_split(void **state)
{
	struct fixture *f = *state;

	published(f);
	assert_int_equal(slices(f), 2);
	assert_string_equal(shape(f, 0), "1/2/64");
	assert_string_equal(shape(f, 1), "1/2/1");
	assert_int_equal(writes(f), 2);
	/* One slice changed: that one alone. */
	f->lab->gpus.gpus[64].memory = 1ull << 30;
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_int_equal(writes(f), 3);
	assert_string_equal(shape(f, 0), "1/2/64");
	/* Both changed: together, in a new generation. */
	f->lab->gpus.gpus[0].memory = f->lab->gpus.gpus[64].memory = 2ull << 30;
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_int_equal(writes(f), 5);
	assert_string_equal(shape(f, 0), "2/2/64");
	assert_string_equal(shape(f, 1), "2/2/1");
}

static void fewer_devices_need_fewer_slices(void **state)
{
	struct fixture *f = *state;

	published(f);
	f->lab->gpus.gpus[10].present = false;
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_int_equal(slices(f), 1);
	assert_true(strstr(shape(f, 0), "/1/64") != NULL);
	f->lab->gpus.gpus[10].present = true;
	lab_rescan(f->lab);
	expect_synced(f, SOON_MS);
	assert_int_equal(slices(f), 2);
	assert_true(strstr(shape(f, 0), "/2/64") != NULL);
}

/* ---- what others do ---- */

static void a_deleted_slice_comes_back(void **state)
{
	struct fixture *f = *state;
	char name[128];

	published(f);
	name_of(f, 0, name);
	lab_delete(f->lab, "resourceslices", name);
	lab_pass(f->lab, 2000);
	assert_int_equal(slices(f), 1);
	/* The kubelet starts: it wipes, and the driver is registered only later. */
	name_of(f, 0, name);
	f->registered = false;
	lab_delete(f->lab, "resourceslices", name);
	lab_pass(f->lab, 30000);
	assert_int_equal(slices(f), 0);
	f->registered = true;
	publisher_changed(f->publisher);
	lab_pass(f->lab, 200);
	assert_int_equal(slices(f), 1);
}

static void a_node_made_anew_owns_the_slices_anew(void **state)
{
	struct fixture *f = *state;
	struct json *s;

	lab_controllers(f->lab); /* collects what lost its owner */
	published(f);
	lab_pass(f->lab, 5000);
	lab_delete(f->lab, "nodes", LAB_NODE);
	lab_pass(f->lab, 1000);
	assert_int_equal(slices(f), 0);
	store_put_text(f->lab->store, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{"
				      "\"name\":\"" LAB_NODE "\",\"uid\":\"another-uid\"}}");
	lab_pass(f->lab, 60000);
	expect_synced(f, SOON_MS);
	assert_int_equal(slices(f), 1);
	s = slice(f, 0);
	assert_string_equal(
	    json_str(json_get(json_at(json_get(s, "metadata", "ownerReferences"), 0), "uid"), ""),
	    "another-uid");
	json_free(&s);
	assert_true(writes(f) < 10);
}

static void a_node_made_anew_at_once(void **state)
{
	struct fixture *f = *state;

	lab_controllers(f->lab);
	published(f);
	lab_delete(f->lab, "nodes", LAB_NODE);
	store_put_text(f->lab->store, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{"
				      "\"name\":\"" LAB_NODE "\",\"uid\":\"another-uid\"}}");
	lab_pass(f->lab, 10000);
	expect_synced(f, SOON_MS);
	assert_int_equal(slices(f), 1);
	assert_true(writes(f) < 10); /* and not one per turn until the Node is read again */
}

static void conflicts_are_resolved(void **state)
{
	struct fixture *f = *state;
	struct err e = { "" };
	uint64_t lists;

	published(f);
	lists = apiserver_count(f->lab->server, "list", "resourceslices");
	assert_int_equal(
	    apiserver_fault_text(f->lab->server, "update resourceslices status=409 times=2", &e),
	    0);
	f->lab->gpus.gpus[1].memory = 40ull << 30;
	lab_rescan(f->lab);
	expect_synced(f, 5000);
	assert_int_equal(slices(f), 1);
	assert_true(publisher_stats(f->publisher)->failures >= 1);
	assert_string_equal(publisher_stats(f->publisher)->last_error, "");
	/* Somebody else wrote, and the watch may never tell. */
	lab_pass(f->lab, 10000);
	assert_int_equal(apiserver_count(f->lab->server, "list", "resourceslices"), lists + 1);
}

static void an_answer_that_was_lost(void **state)
{
	static const char *const faults[] = { "create resourceslices lose",
					      "create resourceslices cut",
					      "create resourceslices status=500",
					      "create resourceslices silent" };
	struct fixture *f = *state;

	start(f);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct err e = { "" };
		char name[128];

		assert_int_equal(apiserver_fault_text(f->lab->server, faults[i], &e), 0);
		if (i) {
			name_of(f, 0, name);
			lab_delete(f->lab, "resourceslices", name);
		}
		lab_pass(f->lab, 60000);
		expect_synced(f, 60000);
		assert_int_equal(slices(f), 1); /* never two */
	}
}

static void dropped_fields_do_not_loop(void **state)
{
	static const char *const dropped[] = { "brand", NULL };
	struct fixture *f = *state;
	uint64_t before;

	lab_api_drops(f->lab, dropped);
	start(f);
	lab_pass(f->lab, 60000);
	expect_synced(f, SOON_MS);
	before = writes(f);
	assert_true(before <= 2);
	assert_int_equal(lab_events(f->lab, "FieldsDropped", NULL), 1);
	lab_pass(f->lab, 600000);
	assert_int_equal(writes(f), before);
	/* A change is published all the same. */
	f->lab->gpus.gpus[1].memory = 40ull << 30;
	lab_rescan(f->lab);
	lab_pass(f->lab, 60000);
	expect_synced(f, SOON_MS);
	assert_true(writes(f) <= before + 2);
	restart(f);
	lab_pass(f->lab, 60000);
	assert_true(writes(f) <= before + 4);
}

static void refusals_are_not_hot(void **state)
{
	static const int statuses[] = { 403, 422, 500, 429, 404 };
	struct fixture *f = *state;
	uint64_t before = 0;

	start(f);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		const struct apiserver_fault fault = { .verb = "create",
						       .resource = "resourceslices",
						       .times = APISERVER_ALWAYS,
						       .effect = APISERVER_STATUS,
						       .status = statuses[i] };

		apiserver_clear(f->lab->server);
		apiserver_fault(f->lab->server, &fault);
		if (slices(f)) {
			char name[128];

			name_of(f, 0, name);
			lab_delete(f->lab, "resourceslices", name);
		}
		lab_pass(f->lab, 120000);
		if (writes(f) - before > 60)
			fail_msg("status %d: %llu writes in 2 minutes", statuses[i],
				 (unsigned long long)(writes(f) - before));
		assert_true(publisher_stats(f->publisher)->last_error[0] != '\0');
		apiserver_clear(f->lab->server);
		lab_pass(f->lab, 60000);
		expect_synced(f, SOON_MS);
		before = writes(f);
	}
	assert_true(f->bad > 0 && f->good > 0);
}

static void the_watch_survives(void **state)
{
	struct fixture *f = *state;
	char name[128];

	published(f);
	for (int i = 0; i < 5; i++) {
		if (i == 0)
			apiserver_cut(f->lab->server);
		if (i == 1)
			apiserver_expire(f->lab->server);
		if (i == 2)
			apiserver_goaway(f->lab->server);
		if (i == 3) {
			apiserver_down(f->lab->server);
			lab_pass(f->lab, 20000);
			store_forget_history(f->lab->store);
			apiserver_up(f->lab->server);
		}
		lab_pass(f->lab, 60000);
		name_of(f, 0, name);
		lab_delete(f->lab, "resourceslices", name);
		lab_pass(f->lab, 2000);
		if (slices(f) != 1)
			fail_msg("case %d: the deletion was not noticed", i);
	}
}

static void held_back_on_request(void **state)
{
	struct fixture *f = *state;

	start(f);
	publisher_hold(f->publisher, true);
	lab_pass(f->lab, 60000);
	assert_int_equal(slices(f), 0);
	publisher_hold(f->publisher, false);
	lab_pass(f->lab, SOON_MS);
	assert_int_equal(slices(f), 1);
}

static void an_older_api_server(void **state)
{
	static const unsigned versions[] = { VERSIONS_V1BETA1, VERSIONS_V1BETA2, VERSIONS_V1,
					     VERSIONS_V1BETA1 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		publisher_free(&f->publisher);
		lab_api_versions(f->lab, versions[i]);
		lab_api_again(f->lab);
		start(f);
		lab_pass(f->lab, SOON_MS);
		expect_synced(f, SOON_MS);
		assert_int_equal(slices(f), 1);
		assert_int_equal(writes(f), i == 0); /* the others find what means the same */
	}
}

static void freed_in_the_middle(void **state)
{
	struct fixture *f = *state;

	for (unsigned turns = 0; turns < 30; turns++) {
		start(f);
		lab_turns(f->lab, turns);
		publisher_free(&f->publisher);
		lab_pass(f->lab, SOON_MS);
	}
	start(f);
	lab_pass(f->lab, SOON_MS);
	expect_synced(f, SOON_MS);
	assert_int_equal(slices(f), 1);
}

#define TEST(f)	   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_65(f) cmocka_unit_test_setup_teardown(f, setup_65, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_slice_as_others_write_it),
		TEST(nothing_before_the_kubelet_knows_the_driver),
		TEST(a_driver_without_gpus_publishes_an_empty_slice),
		TEST(not_ready_is_not_empty),
		TEST(a_restart_writes_nothing),
		TEST(another_spelling_is_left_alone),
		TEST(another_meaning_is_put_right),
		TEST(slices_of_others_are_left_alone),
		TEST(what_is_no_longer_wanted_is_removed),
		TEST(one_changed_device_is_one_update),
		TEST_65(many_devices_are_split),
		TEST_65(fewer_devices_need_fewer_slices),
		TEST(a_deleted_slice_comes_back),
		TEST(a_node_made_anew_owns_the_slices_anew),
		TEST(a_node_made_anew_at_once),
		TEST(conflicts_are_resolved),
		TEST(an_answer_that_was_lost),
		TEST(dropped_fields_do_not_loop),
		TEST(refusals_are_not_hot),
		TEST(the_watch_survives),
		TEST(held_back_on_request),
		TEST(an_older_api_server),
		TEST(freed_in_the_middle),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
