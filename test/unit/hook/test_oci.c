#include "lab.h"

#include "tools/hook/oci.h"

static char path[HOOK_PATH_MAX];

static int from_text(struct lab *lab, const char *text)
{
	int pipes[2], r;

	/* The write end stays open: a runtime may not close it before the hook ends. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], text, strlen(text)), strlen(text));
	r = oci_root_path(NULL, pipes[0], path, &lab->hook.why);
	close(pipes[0]);
	close(pipes[1]);
	return r;
}

static void config(const struct lab *lab, const char *text)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/config.json", lab->dir);
	lab_host_write(name, text, strlen(text));
}

static void test_bundle(void **state)
{
	struct lab *lab = *state;
	char text[256], want[256];

	assert_int_equal(oci_root_path(lab->state, -1, path, &lab->hook.why), 0);
	assert_string_equal(path, lab->root);
	snprintf(text, sizeof(text), "{\"pid\":1,\"bundle\":\"%s\"}", lab->dir);
	assert_int_equal(from_text(lab, text), 0);
	assert_string_equal(path, lab->root);
	config(lab, "{\"process\":{\"root\":{\"path\":\"no\"}},\"root\":{\"path\":\"/run/x\"}}");
	assert_int_equal(from_text(lab, text), 0);
	assert_string_equal(path, "/run/x");
	config(lab, "{\"root\":{\"path\":\"a/../b\"}}");
	assert_int_equal(from_text(lab, text), 0);
	snprintf(want, sizeof(want), "%s/a/../b", lab->dir);
	assert_string_equal(path, want);
}

/* crun says it in the state. */
static void test_state_root(void **state)
{
	struct lab *lab = *state;

	assert_int_equal(from_text(lab, "{\"bundle\":\"/none\",\"root\":\"/run/crun/rootfs\"}"), 0);
	assert_string_equal(path, "/run/crun/rootfs");
}

static void test_errors(void **state)
{
	struct lab *lab = *state;
	char text[256], name[256];

	assert_true(from_text(lab, "{\"id\":\"x\"}") < 0);
	assert_non_null(strstr(lab->hook.why.text, "bundle"));
	assert_true(from_text(lab, "{\"bundle\":\"relative\"}") < 0);
	assert_true(from_text(lab, "{\"bundle\":7}") < 0);
	assert_non_null(strstr(lab->hook.why.text, "standard input"));
	assert_true(from_text(lab, "not json") < 0);
	assert_true(from_text(lab, "{\"bundle\":\"/no/such/bundle\"}") < 0);
	assert_non_null(strstr(lab->hook.why.text, "/no/such/bundle/config.json"));
	assert_true(oci_root_path("/no/such/state", -1, path, &lab->hook.why) < 0);
	assert_true(oci_root_path("/dev/null", -1, path, &lab->hook.why) < 0);
	snprintf(text, sizeof(text), "{\"bundle\":\"%s\"}", lab->dir);
	config(lab, "{\"root\":{}}");
	assert_true(from_text(lab, text) < 0);
	config(lab, "{\"root\":{\"path\":\"x\"}");
	assert_true(from_text(lab, text) < 0);
	assert_non_null(strstr(lab->hook.why.text, "cut short"));
	snprintf(name, sizeof(name), "%s/config.json", lab->dir);
	assert_int_equal(remove(name), 0);
	assert_int_equal(mkfifo(name, 0644), 0);
	alarm(20);
	assert_true(from_text(lab, text) < 0);
	alarm(0);
}

/* Megabytes of other people's configuration are read past; more than the limit is an error. */
static void test_size(void **state)
{
	struct lab *lab = *state;
	size_t len = OCI_CONFIG_MAX;
	char *big = malloc(len + 1), head[] = "{\"root\":{\"path\":\"rootfs\"},\"x\":\"", name[128];

	assert_non_null(big);
	snprintf(name, sizeof(name), "%s/config.json", lab->dir);
	memset(big, 'x', len + 1);
	memcpy(big, head, sizeof(head) - 1);
	memcpy(big + len - 2, "\"}", 2);
	lab_host_write(name, big, len);
	assert_int_equal(oci_root_path(lab->state, -1, path, &lab->hook.why), 0);
	assert_string_equal(path, lab->root);
	big[len - 2] = 'x';
	memcpy(big + len - 1, "\"}", 2);
	lab_host_write(name, big, len + 1);
	assert_int_equal(oci_root_path(lab->state, -1, path, &lab->hook.why), -EFBIG);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bundle, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_state_root, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_errors, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_size, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
