/*
 * A fleet and its API server: 200 nodes, each with a client and a watch of its own, on virtual
 * time. Whatever happens to the server, they do not all come back in the same moment, and they all
 * come back.
 */
#include "k8s/api/cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/mem.h"
#include "test/lib/node/lab.h"

enum {
	NODES = 200,
	SECONDS = 200, /* looked at, after the return */
	SETTLE_MS = 30000,
	MOST = NODES * 2 / 5, /* that come back in one second: the bound of k8s/api/README.md */
};

struct member {
	struct api *api;
	struct cache *cache;
	unsigned lists; /* that were complete */
};
struct fleet {
	struct lab *lab;
	struct member nodes[NODES];
	uint64_t began_ms;
	unsigned per_second[SECONDS], tenths[SECONDS * 10], requests;
};

static void on_upsert(void *arg, const struct json *object, enum api_version v)
{
	(void)arg;
	(void)object;
	(void)v;
}

static void on_delete(void *arg, const char *ns, const char *name, const char *uid)
{
	(void)arg;
	(void)ns;
	(void)name;
	(void)uid;
}

static void on_synced(void *arg)
{
	((struct member *)arg)->lists++;
}

static void on_request(void *arg, const char *verb, const char *path, int status)
{
	struct fleet *f = arg;
	uint64_t ms = loop_now_ms(f->lab->loop) - f->began_ms;

	(void)verb;
	(void)path;
	(void)status;
	f->requests++;
	if (ms >= SECONDS * 1000u)
		return;
	f->per_second[ms / 1000]++;
	f->tenths[ms / 100]++;
}

static void count_from_now(struct fleet *f)
{
	memset(f->per_second, 0, sizeof(f->per_second));
	memset(f->tenths, 0, sizeof(f->tenths));
	f->requests = 0;
	f->began_ms = loop_now_ms(f->lab->loop);
}

/* The most within any second. */
static unsigned peak(const struct fleet *f)
{
	unsigned most = 0, now = 0;

	for (size_t i = 0; i < ARRAY_LEN(f->tenths); i++) {
		now += f->tenths[i];
		if (i >= 10)
			now -= f->tenths[i - 10];
		most = MAX(most, now);
	}
	return most;
}

static int setup(void **state)
{
	struct fleet *f = MEM_NEW(struct fleet);

	f->lab = lab_new(1, 7);
	for (size_t i = 0; i < NODES; i++) {
		struct member *m = &f->nodes[i];
		const struct api_conf conf = { .config = &f->lab->config };
		char *fields _mem_free_ =
		    mem_printf("spec.driver=gpu.nvidia.com,spec.nodeName=node-%zu", i);
		const struct cache_conf cache = { .what = { .group = API_GROUP_RESOURCE,
							    .resource = "resourceslices",
							    .fields = fields },
						  .on_upsert = on_upsert,
						  .on_delete = on_delete,
						  .on_synced = on_synced,
						  .arg = m };
		struct err e = { "" };

		assert_int_equal(api_new(f->lab->loop, &conf, &m->api, &e), 0);
		m->cache = cache_new(m->api, &cache);
	}
	apiserver_on_request(f->lab->server, on_request, f);
	lab_pass(f->lab, SETTLE_MS);
	assert_int_equal(apiserver_watches(f->lab->server), NODES);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fleet *f = *state;

	for (size_t i = 0; i < NODES; i++) {
		cache_free(&f->nodes[i].cache);
		api_free(&f->nodes[i].api);
	}
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

/* All back within `back_ms`, and never more than `most` requests in a second meanwhile. */
static void come_back(struct fleet *f, uint64_t back_ms, unsigned most)
{
	lab_pass(f->lab, back_ms);
	print_message("    %u requests, %u in the busiest second\n", f->requests, peak(f));
	assert_int_equal(apiserver_watches(f->lab->server), NODES);
	assert_in_range(peak(f), 1, most);
}

static void away_for(struct fleet *f, uint64_t ms, uint64_t back_ms, unsigned most)
{
	apiserver_down(f->lab->server);
	lab_pass(f->lab, ms);
	apiserver_up(f->lab->server);
	count_from_now(f);
	come_back(f, back_ms, most);
}

static void away_2_s(void **state)
{
	away_for(*state, 2000, 10000, MOST);
}

static void away_12_s(void **state)
{
	away_for(*state, 12000, 20000, MOST);
}

static void away_5_min(void **state)
{
	away_for(*state, 300000, 20000, MOST);
}

/* Behind a load balancer another server takes over at once. */
static void cut(void **state)
{
	struct fleet *f = *state;

	count_from_now(f);
	apiserver_cut(f->lab->server);
	come_back(f, 10000, MOST);
}

static void drained(void **state)
{
	struct fleet *f = *state;

	count_from_now(f);
	apiserver_goaway(f->lab->server);
	come_back(f, 10000, MOST);
}

static void history_gone(void **state)
{
	struct fleet *f = *state;

	count_from_now(f);
	apiserver_expire(f->lab->server);
	come_back(f, 10000, 2 * MOST);
	for (size_t i = 0; i < NODES; i++)
		assert_int_equal(f->nodes[i].lists, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(away_2_s, setup, teardown),
		cmocka_unit_test_setup_teardown(away_12_s, setup, teardown),
		cmocka_unit_test_setup_teardown(away_5_min, setup, teardown),
		cmocka_unit_test_setup_teardown(cut, setup, teardown),
		cmocka_unit_test_setup_teardown(drained, setup, teardown),
		cmocka_unit_test_setup_teardown(history_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
