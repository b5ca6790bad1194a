/* Two instances of one driver, as in a surge upgrade: who serves, who writes, and who dies when. */
#include "test/unit/k8s/node_world.h"

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "test/lib/node/lab_rpc.h"
#include "transport/sock.h"

static void a_surge_upgrade(void **state)
{
	struct fixture *f = *state;
	char before[64], after[64];

	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER, "uid-of-old-pod");
	lab_pass(f->lab, 5000);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	slice_version(f, before);
	start(f, &f->n2, LAB_DRIVER, "uid-of-new-pod");
	lab_pass(f->lab, 5000);
	assert_true(lab_node_ready(&f->n2)); /* it has the ledger */
	run_pod(f, "b", 1);
	expect_phase(f, "b", "Running", SOON_MS);
	assert_non_null(driver_holder(f->n2.driver, "GPU-0000")); /* a's and b's, both */
	assert_non_null(driver_holder(f->n2.driver, "GPU-0001"));
	assert_true(lab_node_stop(&f->n, SOON_MS));
	lab_pass(f->lab, WIPE_MS + 10000);
	slice_version(f, after);
	assert_string_equal(before, after); /* byte for byte: nobody wrote */
	end_pod(f, "a");		    /* prepared by the old, unprepared by the new */
	end_pod(f, "b");
	assert_int_equal(kubelet_stats(f->kubelet)->unprepare_errors, 0);
	assert_int_equal(kubelet_stats(f->kubelet)->prepare_errors, 0);
	expect_nothing_left(f);
}

static void a_surge_upgrade_that_fails(void **state)
{
	struct fixture *f = *state;
	char before[64], after[64];

	f->kubelet = lab_kubelet(f->lab, SYNC_MS);
	start(f, &f->n, LAB_DRIVER, "uid-of-old-pod");
	lab_pass(f->lab, 5000);
	slice_version(f, before);
	start(f, &f->n2, LAB_DRIVER, "uid-of-new-pod");
	lab_pass(f->lab, 5000);
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
	lab_node_kill(&f->n2);
	run_pod(f, "b", 1);
	expect_phase(f, "b", "Running", 60000); /* the old one resumes */
	assert_true(lab_node_ready(&f->n));
	slice_version(f, after);
	assert_string_equal(before, after);
	end_pod(f, "a"); /* prepared by the one that died */
	end_pod(f, "b");
	expect_nothing_left(f);
}

static void set_true(void *arg)
{
	*(bool *)arg = true;
}

/* One claim's RPC on the socket of an instance. */
static void call(struct fixture *f, struct lab_rpc *r, const char *instance, const char *path,
		 const char *claim)
{
	char *socket _mem_free_ =
	    mem_printf("%s/" LAB_DRIVER "/dra-%s.sock", f->lab->roots.plugins, instance);
	char *uid _mem_free_ = mem_printf("uid-%s", claim);
	const char *pair[] = { claim, uid };
	struct buf message;

	buf_init(&message, 4096);
	lab_rpc_claims(&message, pair, 1);
	lab_rpc_start(f->lab, r, socket, path, buf_sv(&message), 45000);
	buf_done(&message);
}

static void expect_prepared(struct fixture *f, struct lab_rpc *r, const char *claim)
{
	Dra__PrepareResponse *m;

	assert_int_equal(lab_rpc_wait(f->lab, r, SOON_MS), 0);
	m = dra__prepare_response__unpack(NULL, buf_len(&r->answer),
					  (const uint8_t *)buf_sv(&r->answer).p);
	assert_non_null(m);
	assert_int_equal(m->n_claims, 1);
	assert_null(m->claims[0]->value->error);
	assert_int_equal(m->claims[0]->value->n_devices, 1);
	assert_non_null(strstr(m->claims[0]->key, claim));
	dra__prepare_response__free_unpacked(m, NULL);
	lab_rpc_done(r);
}

static void expect_unprepared(struct fixture *f, const char *instance, const char *claim)
{
	struct lab_rpc r;

	call(f, &r, instance, RPC_UNPREPARE, claim);
	assert_int_equal(lab_rpc_wait(f->lab, &r, SOON_MS), 0);
	lab_rpc_done(&r);
}

/* What the kubelet does, without one: it would let its controllers take back claims without pods.
 */
static void confirm(struct fixture *f, const char *instance)
{
	char *socket _mem_free_ =
	    mem_printf("%s/" LAB_DRIVER "-%s-reg.sock", f->lab->roots.registry, instance);
	Pluginregistration__RegistrationStatus ok = PLUGINREGISTRATION__REGISTRATION_STATUS__INIT;
	uint8_t message[16];
	struct lab_rpc r;

	ok.has_plugin_registered = ok.plugin_registered = 1;
	lab_rpc_start(f->lab, &r, socket, RPC_NOTIFY,
		      sv_make(message, pluginregistration__registration_status__pack(&ok, message)),
		      SOON_MS);
	assert_int_equal(lab_rpc_wait(f->lab, &r, SOON_MS), 0);
	lab_rpc_done(&r);
}

/* b waits in the old instance for the GPU that a holds when the new one takes over. */
static void wait_over_a_hand_over(struct fixture *f, struct lab_rpc *b)
{
	struct lab_rpc a;

	start(f, &f->n, LAB_DRIVER, "old");
	confirm(f, "old");
	lab_claim(f->lab, "a", NULL, "gpu-0");
	lab_claim(f->lab, "b", NULL, "gpu-0");
	call(f, &a, "old", RPC_PREPARE, "a");
	expect_prepared(f, &a, "a");
	call(f, b, "old", RPC_PREPARE, "b");
	lab_pass(f->lab, 3000);
	assert_false(b->done);
	start(f, &f->n2, LAB_DRIVER, "new");
	confirm(f, "new");
	lab_pass(f->lab, 5000);
	assert_true(lab_node_ready(&f->n2));
	assert_false(b->done);
}

static void a_wait_survives_a_hand_over(void **state)
{
	struct fixture *f = *state;
	struct lab_rpc b;

	wait_over_a_hand_over(f, &b);
	expect_unprepared(f, "new", "a");
	expect_prepared(f, &b, "b");
	assert_string_equal(driver_holder(f->n2.driver, "GPU-0000"), "uid-b");
	call(f, &b, "old", RPC_PREPARE, "b"); /* a late call of the old connection */
	expect_prepared(f, &b, "b");
	assert_true(lab_node_stop(&f->n, SOON_MS));
	expect_unprepared(f, "new", "b");
	expect_nothing_left(f);
}

static void a_wait_survives_a_hand_over_that_fails(void **state)
{
	struct fixture *f = *state;
	struct lab_rpc b;

	wait_over_a_hand_over(f, &b);
	lab_node_kill(&f->n2);
	expect_unprepared(f, "old", "a"); /* once the old one has the ledger again */
	expect_prepared(f, &b, "b");
	assert_string_equal(driver_holder(f->n.driver, "GPU-0000"), "uid-b");
	expect_unprepared(f, "old", "b");
	expect_nothing_left(f);
}

/* The old instance is told to go: it stays until the new one has answered `b`. */
static void drains_behind_its_relay(struct fixture *f, struct lab_rpc *b, const char *successor)
{
	bool drained = false;

	driver_drain(f->n.driver, set_true, &drained);
	lab_pass(f->lab, 3000);
	assert_false(drained);
	expect_unprepared(f, successor, "a");
	expect_prepared(f, b, "b");
	assert_true(lab_until_true(f->lab, &drained, SOON_MS));
	lab_node_kill(&f->n);
	expect_unprepared(f, successor, "b");
	expect_nothing_left(f);
}

/* Its SIGTERM comes while the other still has the call: that is work in flight, and ends first. */
static void an_old_instance_stays_for_what_it_relays(void **state)
{
	struct fixture *f = *state;
	struct lab_rpc b;

	wait_over_a_hand_over(f, &b);
	drains_behind_its_relay(f, &b, "new");
}

/* The successor dies and comes back before the old one has missed it, which is then told to go. */
static void an_old_instance_asks_again_whoever_comes_back(void **state)
{
	struct fixture *f = *state;
	struct lab_rpc b;

	wait_over_a_hand_over(f, &b);
	lab_node_kill(&f->n2);
	lab_node_name(&f->n2, "newer");
	again(&f->n2);
	lab_pass(f->lab, 3000);
	confirm(f, "newer");
	assert_true(lab_node_ready(&f->n2));
	drains_behind_its_relay(f, &b, "newer");
}

/* Writes, and tries: of two that want the same, one only meets a conflict. */
static uint64_t slice_writes(struct lab_node *n)
{
	const struct publisher_stats *p;
	struct driver_facts facts;

	driver_facts(n->driver, &facts);
	p = facts.publisher;
	return p->creates + p->updates + p->deletes + p->failures;
}

static void show_gpu(struct fixture *f, size_t i, bool present)
{
	f->lab->gpus.gpus[i].present = present;
	lab_uevent(f->lab, f->lab->gpus.gpus[i].pci);
	lab_pass(f->lab, 5000);
	assert_int_equal(lab_published(f->lab), GPUS - !present);
}

/* Both see the GPUs, and would write the same: the one without the ledger does not even try. */
static void one_of_two_instances_publishes(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start(f, &f->n, LAB_DRIVER, "old");
	confirm(f, "old");
	lab_pass(f->lab, 3000);
	start(f, &f->n2, LAB_DRIVER, "new");
	lab_pass(f->lab, 3000);
	before = slice_writes(&f->n);
	show_gpu(f, 1, false);
	assert_int_equal(slice_writes(&f->n), before + 1);
	assert_int_equal(slice_writes(&f->n2), 0);
	confirm(f, "new"); /* it asks for the ledger */
	lab_pass(f->lab, 3000);
	assert_true(lab_node_ready(&f->n2));
	show_gpu(f, 1, true);
	assert_int_equal(slice_writes(&f->n), before + 1);
	assert_int_equal(slice_writes(&f->n2), 1);
	lab_node_kill(&f->n2);
	lab_pass(f->lab, 10000); /* the old one has it back */
	show_gpu(f, 1, false);
	assert_int_equal(slice_writes(&f->n), before + 2);
}

static size_t sockets_of(struct fixture *f, const char *instance)
{
	char *service _mem_free_ =
	    mem_printf("%s/" LAB_DRIVER "/dra-%s.sock", f->lab->roots.plugins, instance);
	char *registrar _mem_free_ =
	    mem_printf("%s/" LAB_DRIVER "-%s-reg.sock", f->lab->roots.registry, instance);

	return (size_t)fsx_exists(service) + (size_t)fsx_exists(registrar);
}

/* As SIGKILL leaves them. */
static void leave_sockets(struct fixture *f, const char *instance)
{
	char *folder _mem_free_ = mem_printf("%s/" LAB_DRIVER, f->lab->roots.plugins);
	char *service _mem_free_ = mem_printf("%s/dra-%s.sock", folder, instance);
	char *registrar _mem_free_ =
	    mem_printf("%s/" LAB_DRIVER "-%s-reg.sock", f->lab->roots.registry, instance);
	struct sock_listener l;
	struct err e = { 0 };

	assert_int_equal(fsx_mkdirs(folder, 0750), 0);
	assert_int_equal(sock_listen_unix(&l, service, 0600, &e), 0);
	close(l.fd);
	assert_int_equal(sock_listen_unix(&l, registrar, 0600, &e), 0);
	close(l.fd);
	assert_int_equal(sockets_of(f, instance), 2);
}

/* Their pods are gone and make no new ones; the kubelet would dial what is there for ever. */
static void sockets_of_killed_instances_go(void **state)
{
	struct fixture *f = *state;

	leave_sockets(f, "dead");
	start(f, &f->n, LAB_DRIVER, "live");
	lab_pass(f->lab, 1000);
	assert_int_equal(sockets_of(f, "dead"), 0);
	leave_sockets(f, "killed"); /* after it had handed over */
	lab_pass(f->lab, 80000);
	assert_int_equal(sockets_of(f, "killed"), 0);
	lab_pass(f->lab, 300000);
	leave_sockets(f, "newcomer"); /* that dies of its start; the ledger was never its own */
	lab_pass(f->lab, 80000);
	assert_int_equal(sockets_of(f, "newcomer"), 0);
	assert_int_equal(sockets_of(f, "live"), 2);
}

static void a_second_one_without_an_instance_name(void **state)
{
	struct fixture *f = *state;
	struct err e = { "" };

	start_all(f);
	assert_int_equal(lab_node_start(&f->n2, f->lab, LAB_DRIVER, NULL, &e), -EBUSY);
	lab_node_done(&f->n2);
	lab_pass(f->lab, 5000);
	assert_true(lab_node_ready(&f->n)); /* whose sockets are still there */
	run_pod(f, "a", 1);
	expect_phase(f, "a", "Running", SOON_MS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_surge_upgrade),
		TEST(a_surge_upgrade_that_fails),
		TEST(one_of_two_instances_publishes),
		TEST(a_wait_survives_a_hand_over),
		TEST(a_wait_survives_a_hand_over_that_fails),
		TEST(an_old_instance_stays_for_what_it_relays),
		TEST(an_old_instance_asks_again_whoever_comes_back),
		TEST(sockets_of_killed_instances_go),
		TEST(a_second_one_without_an_instance_name),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
