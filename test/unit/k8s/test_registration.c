/* Registration against the kubelet of test/lib, and against calls that it would never make. */
#include "k8s/registration.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/lib/kubelet.h"
#include "test/lib/node/lab_rpc.h"

enum { SOON_MS = 3000 };

struct fixture {
	struct lab *lab;
	struct kubelet *kubelet;
	struct registration *registration;
	char *socket, *endpoint;
	unsigned told[3]; /* by state */
	struct lab_rpc rpc;
};

static void on_state(void *arg, enum registration_state s)
{
	((struct fixture *)arg)->told[s]++;
}

static void start(struct fixture *f)
{
	const struct registration_conf conf = { .driver = LAB_DRIVER,
						.endpoint = f->endpoint,
						.socket = f->socket,
						.on_state = on_state,
						.arg = f };
	struct err e = { "" };

	if (registration_new(f->lab->loop, &conf, &f->registration, &e))
		fail_msg("%s", e.text);
}

static void start_kubelet(struct fixture *f)
{
	const struct kubelet_conf conf = { .store = f->lab->store,
					   .node = LAB_NODE,
					   .registry = f->lab->registry };
	struct err e = { "" };

	assert_int_equal(kubelet_new(f->lab->loop, &conf, &f->kubelet, &e), 0);
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(0, 1);
	f->socket = lab_path(f->lab, "plugins_registry/" LAB_DRIVER "-reg.sock");
	f->endpoint = lab_path(f->lab, "dra.sock");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->rpc.client)
		lab_rpc_done(&f->rpc);
	registration_free(&f->registration);
	kubelet_free(&f->kubelet);
	mem_free(f->socket);
	mem_free(f->endpoint);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

static bool is_done(void *arg)
{
	struct fixture *f = arg;

	return registration_state(f->registration) == REGISTRATION_DONE;
}

static void expect_done(struct fixture *f)
{
	if (!lab_until(f->lab, is_done, f, SOON_MS))
		fail_msg("%s; kubelet: %s", registration_reason(f->registration),
			 f->kubelet ? kubelet_stats(f->kubelet)->last_error : "none");
	assert_string_equal(registration_reason(f->registration), "");
	lab_pass(f->lab, 50); /* the answer is on its way to the kubelet */
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

static int rpc(struct fixture *f, const char *path, struct sv message)
{
	if (f->rpc.client)
		lab_rpc_done(&f->rpc);
	lab_rpc_start(f->lab, &f->rpc, f->socket, path, message, 1000);
	return lab_rpc_wait(f->lab, &f->rpc, 1000);
}

static int notify(struct fixture *f, bool registered, const char *error)
{
	Pluginregistration__RegistrationStatus m = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
	uint8_t out[512];

	m.has_plugin_registered = registered; /* false is absent on the wire */
	m.plugin_registered = registered;
	m.error = (char *)(uintptr_t)error;
	return rpc(f, RPC_NOTIFY,
		   sv_make(out, pluginregistration__registration_status__pack(&m, out)));
}

/* ---- */

static void says_who_it_is(void **state)
{
	struct fixture *f = *state;
	Pluginregistration__PluginInfo *m;

	start(f);
	assert_int_equal(registration_state(f->registration), REGISTRATION_WAITING);
	assert_true(*registration_reason(f->registration) != '\0');
	assert_int_equal(registration_confirmed_ms(f->registration), 0);
	assert_int_equal(rpc(f, RPC_GET_INFO, SV_NONE), GRPC_OK);
	m = pluginregistration__plugin_info__unpack(NULL, buf_len(&f->rpc.answer),
						    (const uint8_t *)buf_sv(&f->rpc.answer).p);
	assert_non_null(m);
	assert_string_equal(m->type, "DRAPlugin");
	assert_string_equal(m->name, LAB_DRIVER);
	assert_string_equal(m->endpoint, f->endpoint);
	/* The kubelet takes the first that it knows. */
	assert_true(m->n_supported_versions >= 2);
	assert_string_equal(m->supported_versions[0], "v1.DRAPlugin");
	assert_string_equal(m->supported_versions[1], "v1beta1.DRAPlugin");
	pluginregistration__plugin_info__free_unpacked(m, NULL);
	assert_int_equal(registration_state(f->registration), REGISTRATION_WAITING);
}

static void the_kubelet_registers_it(void **state)
{
	struct fixture *f = *state;

	start_kubelet(f);
	lab_pass(f->lab, 5000);
	start(f);
	expect_done(f);
	assert_int_equal(f->told[REGISTRATION_DONE], 1);
	assert_true(kubelet_registered(f->kubelet, LAB_DRIVER));
	assert_true(registration_confirmed_ms(f->registration) > 0);
	lab_pass(f->lab, 600000);
	assert_int_equal(kubelet_stats(f->kubelet)->registrations, 1);
}

static void the_kubelet_comes_later(void **state)
{
	struct fixture *f = *state;

	start(f);
	lab_pass(f->lab, 60000);
	start_kubelet(f);
	expect_done(f);
}

static void the_kubelet_restarts(void **state)
{
	struct fixture *f = *state;

	start_kubelet(f);
	start(f);
	expect_done(f);
	kubelet_restart(f->kubelet);
	lab_pass(f->lab, SOON_MS);
	assert_int_equal(kubelet_stats(f->kubelet)->registrations, 2);
	assert_true(kubelet_registered(f->kubelet, LAB_DRIVER));
	expect_done(f);
}

static void the_socket_is_removed(void **state)
{
	struct fixture *f = *state;

	start_kubelet(f);
	start(f);
	expect_done(f);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(unlink(f->socket), 0);
		lab_pass(f->lab, 1000);
		assert_true(is_socket(f->socket));
		lab_pass(f->lab, SOON_MS);
		expect_done(f);
		assert_true(kubelet_registered(f->kubelet, LAB_DRIVER));
	}
	assert_true(f->told[REGISTRATION_WAITING] >= 3);
	assert_true(kubelet_stats(f->kubelet)->registrations >= 4);
}

static void the_folder_is_removed(void **state)
{
	struct fixture *f = *state;

	start_kubelet(f);
	start(f);
	expect_done(f);
	kubelet_free(&f->kubelet);
	assert_int_equal(unlink(f->socket), 0);
	assert_int_equal(rmdir(f->lab->registry), 0);
	lab_pass(f->lab, 60000);
	assert_int_not_equal(registration_state(f->registration), REGISTRATION_DONE);
	start_kubelet(f); /* makes its folder */
	lab_pass(f->lab, 5000);
	if (!is_socket(f->socket))
		fail_msg("no socket: %s", registration_reason(f->registration));
	expect_done(f);
}

/* Not made: with a wrong flag it would be waited in for ever. */
static void a_folder_that_is_not_there_is_told(void **state)
{
	struct fixture *f = *state;
	const struct registration_conf conf = { .driver = LAB_DRIVER,
						.endpoint = f->endpoint,
						.socket = f->socket,
						.on_state = on_state,
						.arg = f };
	struct err e = { "" };

	assert_int_equal(rmdir(f->lab->registry), 0);
	assert_int_equal(registration_new(f->lab->loop, &conf, &f->registration, &e), -ENOENT);
	assert_non_null(strstr(e.text, f->lab->registry));
	assert_int_equal(mkdir(f->lab->registry, 0755), 0);
}

static void the_kubelet_refuses(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(notify(f, false, "another one is registered"), GRPC_OK);
	assert_int_equal(registration_state(f->registration), REGISTRATION_REFUSED);
	assert_non_null(strstr(registration_reason(f->registration), "another one is registered"));
	assert_int_equal(f->told[REGISTRATION_REFUSED], 1);
	assert_int_equal(rpc(f, RPC_GET_INFO, SV_NONE), GRPC_OK); /* it goes on serving */
	lab_pass(f->lab, 60000);
	start_kubelet(f); /* and a kubelet that takes it */
	expect_done(f);
}

static void an_old_kubelet_is_given_a_fresh_attempt(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	start(f);
	assert_int_equal(lstat(f->socket, &before), 0);
	assert_int_equal(notify(f, false, "for now"), GRPC_OK);
	lab_pass(f->lab, 60000);
	assert_int_equal(lstat(f->socket, &after), 0);
	assert_true(before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
		    before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
}

static void nonsense_is_refused(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(rpc(f, RPC_NOTIFY, SV("\x0a\xff\xff\xff")), GRPC_INVALID_ARGUMENT);
	assert_int_equal(rpc(f, "/pluginregistration.Registration/Other", SV_NONE),
			 GRPC_UNIMPLEMENTED);
	assert_int_equal(registration_state(f->registration), REGISTRATION_WAITING);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;

	start(f);
	/* A crash leaves the file: here, one that nobody listens on. */
	{
		char *copy = lab_path(f->lab, "copy.sock");

		assert_int_equal(link(f->socket, copy), 0);
		registration_free(&f->registration);
		assert_int_equal(rename(copy, f->socket), 0);
		mem_free(copy);
	}
	assert_true(is_socket(f->socket));
	start_kubelet(f);
	lab_pass(f->lab, 5000);
	assert_false(kubelet_registered(f->kubelet, LAB_DRIVER));
	start(f);
	lab_pass(f->lab, 10000);
	expect_done(f);
}

static void it_goes_with_its_socket(void **state)
{
	struct fixture *f = *state;

	start_kubelet(f);
	start(f);
	expect_done(f);
	registration_free(&f->registration);
	assert_false(is_socket(f->socket));
	lab_pass(f->lab, SOON_MS);
	assert_false(kubelet_registered(f->kubelet, LAB_DRIVER));
}

static void a_path_too_long_is_told(void **state)
{
	struct fixture *f = *state;
	struct registration_conf conf = {
		.driver = LAB_DRIVER, .endpoint = f->endpoint, .on_state = on_state, .arg = f
	};
	char *path = lab_path(f->lab, "plugins_registry/%0100d-reg.sock", 7);
	struct err e = { "" };

	conf.socket = path;
	assert_int_equal(registration_new(f->lab->loop, &conf, &f->registration, &e),
			 -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "reg.sock"));
	mem_free(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(says_who_it_is),
		TEST(the_kubelet_registers_it),
		TEST(the_kubelet_comes_later),
		TEST(the_kubelet_restarts),
		TEST(the_socket_is_removed),
		TEST(the_folder_is_removed),
		TEST(a_folder_that_is_not_there_is_told),
		TEST(the_kubelet_refuses),
		TEST(an_old_kubelet_is_given_a_fresh_attempt),
		TEST(nonsense_is_refused),
		TEST(a_stale_socket_is_replaced),
		TEST(it_goes_with_its_socket),
		TEST(a_path_too_long_is_told),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
