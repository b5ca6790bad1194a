/* Events: told once, never too many, never in the way. */
#include "k8s/events.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/lib/node/lab.h"

static const struct events_object claim = { "resource.k8s.io/v1", "ResourceClaim", "default",
					    "claim-1", "uid-1" };
static const struct events_object node = { "v1", "Node", NULL, LAB_NODE, LAB_NODE };

static int setup(void **state)
{
	*state = lab_new(0, 1);
	return 0;
}

static int teardown(void **state)
{
	struct lab *lab = *state;

	lab_free(&lab);
	return 0;
}

static uint64_t posts(struct lab *lab)
{
	return apiserver_count(lab->server, "create", "events");
}

static struct json *event(struct lab *lab, size_t i)
{
	char *text = lab_object(lab, "events", i);
	struct err e = { "" };
	struct json *root;

	assert_int_equal(json_parse(sv_str(text), &json_limits_object, &root, &e), 0);
	mem_free(text);
	return root;
}

static void an_event_as_kubectl_shows_it(void **state)
{
	struct lab *lab = *state;
	struct json *ev;

	events_warn(lab->events, &claim, "FailedPrepare", "GPU %s is %s", "gpu-1", "lost");
	lab_pass(lab, 1000);
	assert_int_equal(events_sent(lab->events), 1);
	ev = event(lab, 0);
	assert_string_equal(json_str(json_get(ev, "type"), ""), "Warning");
	assert_string_equal(json_str(json_get(ev, "reason"), ""), "FailedPrepare");
	assert_string_equal(json_str(json_get(ev, "message"), ""), "GPU gpu-1 is lost");
	assert_string_equal(json_str(json_get(ev, "metadata", "namespace"), ""), "default");
	assert_string_equal(json_str(json_get(ev, "involvedObject", "kind"), ""), "ResourceClaim");
	assert_string_equal(json_str(json_get(ev, "involvedObject", "name"), ""), "claim-1");
	assert_string_equal(json_str(json_get(ev, "involvedObject", "uid"), ""), "uid-1");
	assert_string_equal(json_str(json_get(ev, "source", "component"), ""), "tundra");
	assert_string_equal(json_str(json_get(ev, "source", "host"), ""), LAB_NODE);
	assert_int_equal(json_i64(json_get(ev, "count"), 0), 1);
	assert_true(sv_starts(json_sv(json_get(ev, "firstTimestamp")), SV("2026-")));
	json_free(&ev);
}

static void a_node_is_named_as_its_kubelet_names_it(void **state)
{
	struct lab *lab = *state;
	struct json *ev;

	events_note(lab->events, &node, "Registered", "hello");
	lab_pass(lab, 1000);
	ev = event(lab, 0);
	assert_string_equal(json_str(json_get(ev, "type"), ""), "Normal");
	assert_string_equal(json_str(json_get(ev, "metadata", "namespace"), ""), "default");
	assert_string_equal(json_str(json_get(ev, "involvedObject", "uid"), ""), LAB_NODE);
	assert_int_equal(json_kind(json_get(ev, "involvedObject", "namespace")), JSON_NONE);
	json_free(&ev);
}

static void the_same_is_told_once_in_ten_minutes(void **state)
{
	struct lab *lab = *state;
	struct events_object other = claim;

	for (int i = 0; i < 20; i++) {
		events_warn(lab->events, &claim, "Waiting", "for gpu-1");
		lab_pass(lab, 1000);
	}
	assert_int_equal(posts(lab), 1);
	events_warn(lab->events, &claim, "Waiting", "for gpu-2");
	other.uid = "uid-2";
	events_warn(lab->events, &other, "Waiting", "for gpu-1");
	events_warn(lab->events, &claim, "FailedPrepare", "for gpu-1");
	lab_pass(lab, 1000);
	assert_int_equal(posts(lab), 4);
	lab_pass(lab, 600000);
	events_warn(lab->events, &claim, "Waiting", "for gpu-1");
	lab_pass(lab, 1000);
	assert_int_equal(posts(lab), 5);
}

/* ---- the last ones ---- */

struct heard {
	char text[4096];
	size_t n;
};

static void hear(void *arg, const struct events_told *t)
{
	struct heard *h = arg;
	size_t used = strlen(h->text);

	h->n++;
	snprintf(h->text + used, sizeof(h->text) - used, "%s %s %s/%s/%s: %s x%llu\n", t->type,
		 t->reason, t->kind, t->namespace, t->name, t->message,
		 (unsigned long long)t->count);
}

static void the_last_ones_are_remembered(void **state)
{
	struct lab *lab = *state;
	struct heard h = { .n = 0 };

	events_each(lab->events, hear, &h);
	assert_int_equal(h.n, 0);
	events_warn(lab->events, &claim, "Waiting", "for %s", "gpu-1");
	events_note(lab->events, &node, "Registered", "hello");
	lab_pass(lab, 1000);
	events_warn(lab->events, &claim, "Waiting", "for gpu-1"); /* not sent, but remembered */
	events_each(lab->events, hear, &h);
	assert_string_equal(h.text, "Warning Waiting ResourceClaim/default/claim-1: for gpu-1 x2\n"
				    "Normal Registered Node//" LAB_NODE ": hello x1\n");
	lab_pass(lab, 600000);
	h = (struct heard){ .n = 0 };
	events_warn(lab->events, &claim, "Waiting", "for gpu-1"); /* another time */
	events_each(lab->events, hear, &h);
	assert_int_equal(h.n, 3);
	for (int i = 0; i < 1000; i++) /* also what is too much for the API server */
		events_warn(lab->events, &claim, "Waiting", "number %d", i);
	h = (struct heard){ .n = 0 };
	events_each(lab->events, hear, &h);
	assert_int_equal(h.n, EVENTS_RECENT);
	assert_non_null(strstr(h.text, ": number 999 x1\n"));
	assert_non_null(strstr(h.text, ": number 968 x1\n"));
	assert_null(strstr(h.text, ": number 967 x1\n"));
}

static void a_flood_is_cut(void **state)
{
	struct lab *lab = *state;

	for (unsigned i = 0; i < 1000; i++) {
		events_warn(lab->events, &claim, "Waiting", "number %u", i);
		lab_turns(lab, 20);
	}
	assert_int_equal(posts(lab), EVENTS_PER_MINUTE);
	lab_pass(lab, 60000);
	events_warn(lab->events, &claim, "Waiting", "one more");
	lab_pass(lab, 1000);
	assert_int_equal(posts(lab), EVENTS_PER_MINUTE + 1);
}

static void a_silent_server_collects_few(void **state)
{
	struct lab *lab = *state;
	struct err e = { "" };

	assert_int_equal(apiserver_fault_text(lab->server, "create events silent times=always", &e),
			 0);
	for (unsigned i = 0; i < 50; i++)
		events_warn(lab->events, &claim, "Waiting", "number %u", i);
	lab_pass(lab, 1000);
	assert_in_range(posts(lab), 1, 20);
	lab_pass(lab, 60000); /* they end */
	apiserver_clear(lab->server);
	events_warn(lab->events, &claim, "Waiting", "works again");
	lab_pass(lab, 1000);
	assert_int_equal(lab_events(lab, "Waiting", NULL), 1);
}

static void without_the_right_it_falls_silent(void **state)
{
	struct lab *lab = *state;
	struct heard h = { .n = 0 };
	struct err e = { "" };

	assert_int_equal(
	    apiserver_fault_text(lab->server, "create events status=403 times=always", &e), 0);
	for (unsigned i = 0; i < 10; i++) {
		events_warn(lab->events, &claim, "Waiting", "number %u", i);
		lab_pass(lab, 1000);
	}
	assert_int_equal(posts(lab), 1);
	assert_non_null(strstr(lab->log, "RBAC"));
	assert_true(events_forbidden(lab->events));
	events_each(lab->events, hear, &h);
	assert_int_equal(h.n, 10); /* who looks at the node sees them all the same */
	/* The role was bound later than the pod began. */
	apiserver_clear(lab->server);
	lab_pass(lab, 60000);
	events_warn(lab->events, &claim, "Waiting", "at last");
	lab_pass(lab, 1000);
	assert_false(events_forbidden(lab->events));
	assert_int_equal(lab_events(lab, "Waiting", NULL), 1);
}

static void a_failure_is_not_tried_again(void **state)
{
	struct lab *lab = *state;
	struct err e = { "" };

	assert_int_equal(
	    apiserver_fault_text(lab->server, "create events status=500 times=always", &e), 0);
	events_warn(lab->events, &claim, "Waiting", "for gpu-1");
	lab_pass(lab, 120000);
	assert_int_equal(posts(lab), 1);
	apiserver_clear(lab->server);
	events_warn(lab->events, &claim, "Waiting", "for gpu-2"); /* and others go on */
	lab_pass(lab, 1000);
	assert_int_equal(lab_events(lab, "Waiting", NULL), 1);
}

static void long_texts_are_cut(void **state)
{
	struct lab *lab = *state;
	char long_text[3000];
	const char *message;

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	events_warn(lab->events, &claim, "Waiting", "%s", long_text);
	lab_pass(lab, 1000);
	assert_int_equal(lab_events(lab, "Waiting", &message), 1);
	assert_in_range(strlen(message), 1000, 1024);
}

static void nothing_to_tell_it_to(void **state)
{
	struct lab *lab = *state;
	struct events_object nameless = claim;

	nameless.name = "";
	events_warn(lab->events, &nameless, "Waiting", "x");
	events_warn(NULL, &claim, "Waiting", "x");
	events_note(NULL, &claim, "Waiting", "x");
	lab_pass(lab, 1000);
	assert_int_equal(posts(lab), 0);
	assert_int_equal(events_sent(NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(an_event_as_kubectl_shows_it),
		TEST(a_node_is_named_as_its_kubelet_names_it),
		TEST(the_same_is_told_once_in_ten_minutes),
		TEST(the_last_ones_are_remembered),
		TEST(a_flood_is_cut),
		TEST(a_silent_server_collects_few),
		TEST(without_the_right_it_falls_silent),
		TEST(a_failure_is_not_tried_again),
		TEST(long_texts_are_cut),
		TEST(nothing_to_tell_it_to),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
