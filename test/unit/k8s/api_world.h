#pragma once
/*
 * A client of the API and its scripted server on one virtual loop: minutes of backoff pass in
 * milliseconds, and a failing test fails the same way each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/api/client.h"
#include "test/lib/apiserver_script.h"

#define GROUP_V1                                                                                   \
	"{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",\"name\":\"resource.k8s.io\",\"versions\":[" \
	"{\"groupVersion\":\"resource.k8s.io/v1\",\"version\":\"v1\"},"                            \
	"{\"groupVersion\":\"resource.k8s.io/v1beta1\",\"version\":\"v1beta1\"}]}"
#define GROUP_V1BETA1                                                                              \
	"{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",\"name\":\"resource.k8s.io\",\"versions\":[" \
	"{\"groupVersion\":\"resource.k8s.io/v1alpha3\",\"version\":\"v1alpha3\"},"                \
	"{\"groupVersion\":\"resource.k8s.io/v1beta1\",\"version\":\"v1beta1\"}]}"
#define STATUS(code, reason, details)                                                              \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","       \
	"\"message\":\"" reason " happened\",\"reason\":\"" reason "\",\"details\":{" details      \
	"},\"code\":" #code "}"

struct world {
	char folder[40], socket[64], token[64];
	struct loop *loop;
	struct script *server;
	struct api_config config;
	struct api *api;
	unsigned exchanges, warnings;
};

static void world_on_exchange(void *arg, enum api_verb verb, int status, uint64_t us)
{
	struct world *w = arg;

	(void)verb;
	(void)status;
	(void)us;
	w->exchanges++;
}

static void world_on_log(void *arg, enum log_level level, struct sv line)
{
	struct world *w = arg;

	(void)line;
	w->warnings += level <= LOG_WARN;
}

static inline void world_put_token(struct world *w, const char *token)
{
	assert_int_equal(fsx_replace(w->token, sv_str(token), 0600, 0), 0);
}

static inline void world_connect(struct world *w, double qps, unsigned burst)
{
	struct err e = { "" };
	const struct api_conf conf = {
		.config = &w->config,
		.user_agent = "tundra/test",
		.qps = qps,
		.burst = burst,
		.hooks = { world_on_exchange, w },
	};

	api_free(&w->api);
	if (api_new(w->loop, &conf, &w->api, &e) < 0)
		fail_msg("%s", e.text);
}

static int world_setup(void **state)
{
	struct world *w = MEM_NEW(struct world);

	strncpy(w->folder, "/tmp/tundra-api-XXXXXX", sizeof(w->folder) - 1);
	if (!mkdtemp(w->folder))
		return -1;
	(void)snprintf(w->socket, sizeof(w->socket), "%s/api.sock", w->folder);
	(void)snprintf(w->token, sizeof(w->token), "%s/token", w->folder);
	w->loop = loop_new_virtual(1795000000000, 7);
	w->server = script_new(w->loop, w->socket);
	w->config = (struct api_config){ .unix_path = w->socket, .token_file = w->token };
	world_put_token(w, "one");
	log_capture(world_on_log, w);
	world_connect(w, 0, 0);
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;

	log_capture(NULL, NULL);
	api_free(&w->api);
	script_free(&w->server);
	loop_free(&w->loop);
	(void)unlink(w->token);
	(void)unlink(w->socket);
	if (rmdir(w->folder) < 0)
		return -1;
	mem_free(w);
	return 0;
}

/* Turns until *flag, at most `ms` of virtual time. */
static inline bool world_until(struct world *w, const bool *flag, uint64_t ms)
{
	uint64_t end = loop_now_ms(w->loop) + ms;

	while (!*flag && loop_now_ms(w->loop) <= end)
		if (!loop_turn(w->loop, -1))
			return *flag;
	return *flag;
}

static void world_on_time(void *arg)
{
	*(bool *)arg = true;
}

static inline void world_pass(struct world *w, uint64_t ms)
{
	struct loop_timer t;
	bool over = false;

	loop_timer_init(&t, w->loop, world_on_time, &over);
	loop_timer_set(&t, ms);
	assert_true(world_until(w, &over, ms + 1));
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
