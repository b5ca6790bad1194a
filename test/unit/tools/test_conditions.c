/* The table of what can be wrong: each row is found by its own facts, and by no others'. */
#include "tools/tundra/conditions.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/buf.h"

enum { LONG_MS = 3600000 };

/* A healthy node that has been up for an hour; a test spoils one thing of it. */
struct world {
	struct condition_facts facts;
	struct condition_device devices[20];
	struct inventory_worker worker;
	struct worker_stats stats;
	struct claim_info claims[40];
	struct publisher_stats publisher;
	struct loop_stats loop;
};

static struct world *healthy(struct world *w)
{
	*w = (struct world){ .publisher = { .synced = true },
			     .stats = { .state = WORKER_UP, .starts = 1 },
			     .loop = { .turns = 5000, .slow_turns = 50 } };
	w->devices[0] = (struct condition_device){ "gpu-0", "0000:1b:00.0", "", "uid-1", true };
	w->devices[1] = (struct condition_device){ "gpu-1", "0000:43:00.0", "", NULL, true };
	w->worker = (struct inventory_worker){ "nvml", &w->stats };
	w->facts = (struct condition_facts){
		.driver = "gpu.nvidia.com",
		.up_ms = LONG_MS,
		.inventory = INVENTORY_READY,
		.inventory_reason = "",
		.inventory_ms = LONG_MS,
		.devices = w->devices,
		.devices_n = 2,
		.workers = &w->worker,
		.workers_n = 1,
		.claims = w->claims,
		.of_driver = { .registration = REGISTRATION_DONE,
			       .registration_reason = "",
			       .ledger = LEDGER_OPEN,
			       .ledger_reason = "",
			       .publisher = &w->publisher },
		.api_error = "",
		.loop = &w->loop,
	};
	return w;
}

static void hear(void *arg, const struct condition *c, const char *subject, const char *detail)
{
	buf_printf(arg, "%s|%s|%s\n", c->id, subject, detail);
}

static void expect(const struct world *w, const char *wanted)
{
	struct buf heard;

	buf_init(&heard, 1 << 16);
	conditions_find(&w->facts, hear, &heard);
	assert_string_equal(buf_cstr(&heard), wanted);
	buf_done(&heard);
}

static void a_healthy_node_has_nothing(void **state)
{
	struct world w;

	(void)state;
	expect(healthy(&w), "");
}

static void gpus(void **state)
{
	struct world w;

	(void)state;
	healthy(&w)->facts.inventory = INVENTORY_NO_DRIVER;
	w.facts.inventory_reason = "looked in /usr/lib";
	w.facts.devices_n = 0;
	expect(&w, "no-driver||looked in /usr/lib\n");
	w.facts.inventory = INVENTORY_TROUBLE;
	expect(&w, "driver-trouble||looked in /usr/lib\n");
	w.facts.inventory = INVENTORY_STARTING;
	expect(&w, "gpus-starting||looked in /usr/lib\n");
	w.facts.inventory_ms = 2000;
	expect(&w, "");
	w.facts.inventory = INVENTORY_READY;
	expect(&w, "no-gpus||\n");
	healthy(&w)->devices[1].trouble = "lost";
	expect(&w, "gpu-trouble|gpu-1 (PCI 0000:43:00.0)|lost\n");
	w.devices[1].present = w.devices[0].present = false;
	expect(&w, "gpu-gone|gpu-0 (PCI 0000:1b:00.0)|a claim still holds it\n"
		   "gpu-gone|gpu-1 (PCI 0000:43:00.0)|no claim holds it\n");
	healthy(&w)->facts.conflict = "the node has 8 nvidia.com/gpu";
	expect(&w, "device-plugin||the node has 8 nvidia.com/gpu\n");
}

static void kubelet(void **state)
{
	struct world w;
	struct driver_facts *d = &healthy(&w)->facts.of_driver;

	(void)state;
	d->registration = REGISTRATION_REFUSED;
	d->registration_reason = "no";
	expect(&w, "registration-refused|gpu.nvidia.com|no\n");
	d->registration = REGISTRATION_WAITING;
	expect(&w, "not-registered|gpu.nvidia.com|no\n");
	w.facts.up_ms = 3000;
	expect(&w, "");
	w.facts.up_ms = LONG_MS;
	d->draining = true;
	expect(&w, "shutting-down||\n");
	d = &healthy(&w)->facts.of_driver;
	d->ledger_reason = "disk full";
	d->ledger = LEDGER_FAILED;
	expect(&w, "ledger-failed||disk full\n");
	d->ledger = LEDGER_OPENING;
	expect(&w, "ledger-elsewhere||disk full\n");
	d->ledger = LEDGER_YIELDED;
	expect(&w, "ledger-elsewhere||disk full\n");
	w.facts.up_ms = 3000;
	expect(&w, "");
}

static void claims(void **state)
{
	struct world w;

	(void)state;
	healthy(&w)->claims[0] =
	    (struct claim_info){ .uid = "uid-1", .namespace = "", .name = "", .quarantined = true };
	w.claims[1] = (struct claim_info){
		.uid = "uid-2", .namespace = "ns", .name = "b", .waiting_for = "gpu-1 is held"
	};
	w.facts.claims_n = 2;
	expect(&w, "claim-quarantined|uid-1|\nclaim-waiting|ns/b|gpu-1 is held\n");
}

static void api_server(void **state)
{
	struct world w;

	(void)state;
	healthy(&w)->facts.api_down = true;
	w.facts.api_error = "refused";
	w.publisher = (struct publisher_stats){ .last_error = "the same, as it is seen there" };
	expect(&w, "api-down||refused\n");
	w.facts.up_ms = 1000;
	expect(&w, "");
	w.facts.api_down = false;
	expect(&w, "publish-failed||the same, as it is seen there\n");
	w.publisher.synced = true; /* it went well since */
	expect(&w, "");
	healthy(&w)->facts.of_driver.held = "not known yet";
	expect(&w, "publishing-held||not known yet\n");
	w.facts.up_ms = 3000;
	expect(&w, "");
	healthy(&w)->facts.events_forbidden = true;
	expect(&w, "events-forbidden||\n");
}

static void itself(void **state)
{
	char name[] = "claim.c:claim_tick", other[] = "http.c:on_task";
	struct world w;

	(void)state;
	healthy(&w)->stats.abandoned = 1;
	expect(&w, "worker-stuck|nvml|\n");
	healthy(&w)->stats.crashes = 3;
	expect(&w, ""); /* it is up again */
	w.stats.state = WORKER_DOWN;
	expect(&w, "worker-crashing|nvml|3 crashes since tundra started\n");
	w.stats.crashes = 2;
	expect(&w, "");
	healthy(&w)->loop.slow_turns = 51;
	w.loop.slow[0] = (struct loop_slow){ other, 1, 90000 };
	w.loop.slow[1] = (struct loop_slow){ name, 50, 12999 };
	w.loop.slow_n = 2;
	expect(&w, "slow-loop||most often by claim.c:claim_tick, 12 ms at worst\n");
	w.loop.turns = w.loop.slow_turns = 999;
	expect(&w, ""); /* too few to tell */
}

static void of_many_some_are_named(void **state)
{
	struct world w;
	struct buf heard;
	size_t lines = 0;

	(void)state;
	healthy(&w)->facts.claims_n = 40;
	for (size_t i = 0; i < 40; i++)
		w.claims[i] = (struct claim_info){
			.uid = "u", .namespace = "ns", .name = "n", .waiting_for = "x"
		};
	buf_init(&heard, 1 << 16);
	conditions_find(&w.facts, hear, &heard);
	for (const char *p = buf_cstr(&heard); (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, CONDITIONS_EACH_MAX + 1);
	assert_non_null(strstr(buf_cstr(&heard), "\nclaim-waiting|24 more|\n"));
	buf_done(&heard);
}

/* What operators read: whole sentences, ids that can be searched for, the worst first. */
static void the_table_is_in_order(void **state)
{
	(void)state;
	assert_true(conditions_n >= 20);
	for (size_t i = 0; i < conditions_n; i++) {
		const struct condition *c = &conditions[i];

		assert_true(strspn(c->id, "abcdefghijklmnopqrstuvwxyz-") == strlen(c->id));
		assert_int_equal(c->symptom[strlen(c->symptom) - 1], '.');
		assert_int_equal(c->seen[strlen(c->seen) - 1], '.');
		assert_int_equal(c->todo[strlen(c->todo) - 1], '.');
		assert_true(!i || conditions[i - 1].level <= c->level);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(conditions[k].id, c->id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_node_has_nothing),
		cmocka_unit_test(gpus),
		cmocka_unit_test(kubelet),
		cmocka_unit_test(claims),
		cmocka_unit_test(api_server),
		cmocka_unit_test(itself),
		cmocka_unit_test(of_many_some_are_named),
		cmocka_unit_test(the_table_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
