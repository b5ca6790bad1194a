/*
 * tundra node: the composition root of the node agent. Makes the loop, the workers, the API client,
 * the inventory and the drivers, serves metrics and status, and takes all down in order.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/roots.h"
#include "core/spawner.h"
#include "core/version.h"
#include "gpu/inventory.h"
#include "gpu/worker_args.h"
#include "k8s/api/client.h"
#include "k8s/conflict.h"
#include "k8s/node.h"
#include "tools/tundra/command.h"
#include "tools/tundra/in_use.h"
#include "tools/tundra/mask_params.h"
#include "tools/tundra/node_options.h"
#include "tools/tundra/privileges.h"
#include "tools/tundra/serve.h"

#define DRAIN_MS 50000u /* of the pod's 60 s: then what is in flight is given up */

struct node {
	struct loop *loop;
	struct node_options o;
	struct roots roots;
	char boot_id[64];
	char *worker_path, *hook_source, *device_plugins, *status_socket, *instance;
	const char *worker_args[WORKER_ROOTS_ARGS + 1];
	struct spawner *spawner;
	struct worker_host host;
	struct worker *disk;
	struct in_use *in_use;
	struct api *api;
	struct inventory *inventory;
	struct metrics *metrics;
	struct stats *stats;
	struct events *events;
	struct driver *driver;
	struct conflict *conflict;
	struct serve *serve;
	struct loop_timer drain_limit;
	bool draining, lost;
};

/* ---- the world ---- */

/* A container that starts anew in its pod is another instance: struct driver_conf tells why. */
static char *name_instance(const char *pod_uid)
{
	uint32_t start;

	if (!pod_uid)
		return NULL;
	must(getrandom(&start, sizeof(start), 0) == (ssize_t)sizeof(start));
	return mem_printf("%s-%08x", pod_uid, start);
}

static int look_around(struct node *n, struct err *e)
{
	int r;

	node_options_roots(&n->o, &n->roots);
	n->worker_path = command_program(NULL, n->o.worker_path, "tundra-worker");
	n->hook_source = command_program(NULL, n->o.hook_source, "tundra-cdi-hook");
	n->device_plugins = node_options_device_plugins(&n->o);
	n->status_socket = mem_printf("%s/status.sock", n->o.run_folder);
	n->instance = name_instance(n->o.pod_uid);
	r = fsx_line(n->roots.boot_id, n->boot_id, sizeof(n->boot_id));
	if (r < 0)
		return err_sys(e, r, "cannot read the boot id %s", n->roots.boot_id);
	if (!fsx_exists(n->worker_path))
		return err_set(e, -ENOENT, "%s is missing; --worker-path tells where it is",
			       n->worker_path);
	if (!n->o.hook_path && !fsx_exists(n->hook_source))
		return err_set(e, -ENOENT, "%s is missing; --hook-source tells where it is",
			       n->hook_source);
	return 0;
}

/* ---- the API server ---- */

static int connect_api(struct node *n, struct err *e)
{
	struct api_config *config = NULL;
	struct api_conf conf = { .burst = (unsigned)n->o.burst,
				 .qps = n->o.qps ? strtod(n->o.qps, NULL) : 0 };
	int r = node_options_api(&n->o, &config, e);

	if (r < 0)
		return r;
	conf.config = config;
	r = api_new(n->loop, &conf, &n->api, e);
	api_config_free(&config);
	return r;
}

/* ---- start ---- */

/* Before the workers run: they see what this process sees. */
static int mask(const struct node *n, struct err *e)
{
	int r = n->o.mask_params ? mask_params(n->roots.proc, n->o.run_folder, e) : -ENOENT;

	if (r == -ENOENT)
		return 0;
	if (r > 0)
		log_warn("the driver has no params file yet, so device nodes are not forbidden "
			 "to its libraries until tundra is started again with the driver loaded");
	else if (!r)
		log_info("neither tundra nor the driver's libraries make device nodes");
	return r < 0 ? r : 0;
}

/* AllAlpha=true means "what there is"; who gave it may think of more. */
static void tell_gates(const struct node *n)
{
	for (size_t i = 0; i < NODE_GATES; i++)
		if (n->o.gates_left_out[i])
			log_warn("feature gate is not supported yet and stays off",
				 LOG_S("gate", node_options_gates()[i].name),
				 LOG_S("feature_gates", n->o.feature_gates));
}

static void on_conflict(void *arg, const char *reason)
{
	struct node *n = arg;

	driver_withdraw(n->driver, reason);
	driver_hold_publishing(n->driver, NULL);
}

static void on_scrape(void *arg)
{
	struct node *n = arg;
	struct inventory_worker workers[16];
	size_t count = inventory_workers(n->inventory, workers, ARRAY_LEN(workers));

	for (size_t i = 0; i < count; i++)
		stats_worker(n->stats, workers[i].role, workers[i].stats);
	stats_worker(n->stats, "disk", worker_stats(n->disk));
	stats_worker(n->stats, "host", in_use_worker(n->in_use));
	stats_process(n->stats, loop_stats(n->loop));
	if (n->driver)
		driver_scrape(n->driver);
}

/*
 * Without privileges there is no making it anew. All state is on the disk, so the process ends, not
 * with 0: the kubelet starts the container again, at once the first time.
 */
static void on_lost(void *arg)
{
	struct node *n = arg;

	log_error("without workers nothing can be served: ending, to be started anew");
	n->lost = true;
	loop_stop(n->loop);
}

static int start_workers(struct node *n, struct err *e)
{
	const struct spawner_conf spawner = {
		.program = n->worker_path, .args = n->worker_args, .on_lost = on_lost, .arg = n
	};
	struct inventory_conf inv = { .roots = &n->roots,
				      .extras = n->o.extra_attributes,
				      .uevent_fd = -1 };

	int r;

	worker_args_write(&n->roots, n->worker_args);
	r = spawner_start(n->loop, &spawner, &n->spawner);
	if (r < 0)
		return err_sys(e, r, "cannot run %s", n->worker_path);
	n->host = spawner_host(n->spawner);
	n->disk = worker_new(n->loop, &n->host, "disk");
	inv.host = &n->host;
	n->inventory = inventory_new(n->loop, &inv);
	n->in_use = in_use_new(n->loop, &n->host, n->inventory);
	inventory_start(n->inventory);
	return 0;
}

static int start_driver(struct node *n, struct err *e)
{
	struct driver_conf conf = { .name = DRIVER_NAME,
				    .node = n->o.node_name,
				    .instance = n->instance,
				    .boot_id = n->boot_id,
				    .roots = &n->roots,
				    .hook_source = n->o.hook_path ? NULL : n->hook_source,
				    .hook_path = n->o.hook_path,
				    .api = n->api,
				    .inventory = n->inventory,
				    .disk = n->disk,
				    .stats = n->stats,
				    .events = n->events,
				    .in_use = in_use_ask,
				    .in_use_who = in_use_who,
				    .in_use_ctx = n->in_use };
	struct conflict_conf conflict = { .node = n->o.node_name,
					  .resource = "nvidia.com/gpu",
					  .folder = n->device_plugins,
					  .socket = "nvidia",
					  .api = n->api,
					  .events = n->events,
					  .allowed = n->o.allow_device_plugin,
					  .on_change = on_conflict,
					  .arg = n };
	int r = driver_new(n->loop, &conf, &n->driver, e);

	if (r < 0)
		return r;
	/* Until the first answer: what is published at once may be booked at once. */
	if (!n->o.allow_device_plugin)
		driver_hold_publishing(n->driver,
				       "it is not known yet whether a device plugin serves "
				       "the same GPUs");
	n->conflict = conflict_new(n->loop, &conflict);
	return 0;
}

static int start_serving(struct node *n, struct err *e)
{
	struct serve_conf conf = { .http_endpoint = n->o.http_endpoint,
				   .metrics_path = n->o.metrics_path,
				   .status_page = n->o.status_page,
				   .health_port = n->o.healthcheck_port,
				   .status_socket = n->status_socket,
				   .metrics = n->metrics,
				   .driver = n->driver,
				   .inventory = n->inventory,
				   .api = n->api,
				   .disk = n->disk,
				   .in_use = n->in_use,
				   .conflict = n->conflict,
				   .events = n->events,
				   .node = n->o.node_name };

	return serve_new(n->loop, &conf, &n->serve, e);
}

static int start(struct node *n, struct err *e)
{
	int r = look_around(n, e);

	if (!r)
		r = mask(n, e);
	if (!r)
		r = connect_api(n, e);
	if (!r)
		r = start_workers(n, e);
	if (r < 0)
		return r;
	tell_gates(n);
	n->metrics = metrics_new();
	n->stats = stats_new(n->metrics);
	metrics_on_scrape(n->metrics, on_scrape, n);
	n->events = events_new(n->loop, n->api, "tundra", n->o.node_name);
	r = start_driver(n, e);
	if (!r)
		r = start_serving(n, e);
	return r;
}

/* ---- stop ---- */

static void on_drained(void *arg)
{
	struct node *n = arg;

	log_info("drained", LOG_S("node", n->o.node_name));
	loop_stop(n->loop);
}

static void on_drain_limit(void *arg)
{
	struct node *n = arg;

	log_warn("what is in flight did not end in time, it is given up", LOG_I("ms", DRAIN_MS));
	loop_stop(n->loop);
}

static void on_signal(void *arg)
{
	struct node *n = arg;

	if (n->draining) {
		loop_stop(n->loop); /* asked twice: at once */
		return;
	}
	n->draining = true;
	log_info("shutting down: in-flight work finishes, waits end, slices stay");
	loop_timer_set(&n->drain_limit, DRAIN_MS);
	driver_drain(n->driver, on_drained, n);
}

/* Upstream answers SIGUSR2 with the stacks of its threads; what this node does is the like of it.
 */
static void on_dump(void *arg)
{
	struct node *n = arg;
	char *path = mem_printf("%s/state.json", n->o.run_folder);
	struct err e = { 0 };

	if (serve_dump(n->serve, path, &e) < 0)
		log_warn("cannot write the state that SIGUSR2 asks for",
			 LOG_S("error", err_text(&e)));
	else
		log_info("state written, as SIGUSR2 asks", LOG_S("file", path));
	mem_free(path);
}

static void stop(struct node *n)
{
	serve_free(&n->serve);
	conflict_free(&n->conflict);
	driver_free(&n->driver);
	in_use_free(&n->in_use);
	inventory_free(&n->inventory);
	api_free(&n->api);
	events_free(&n->events);
	stats_free(&n->stats);
	metrics_free(&n->metrics);
	worker_free(&n->disk);
	spawner_free(&n->spawner);
	mem_free(n->worker_path);
	mem_free(n->hook_source);
	mem_free(n->device_plugins);
	mem_free(n->status_socket);
	mem_free(n->instance);
	node_options_done(&n->o);
	loop_timer_stop(&n->drain_limit);
	loop_free(&n->loop);
}

static void on_rest(void *arg)
{
	(void)arg;
	mem_rest();
}

static int run(struct node *n)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct err e = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of one write */
	signal(SIGUSR2, SIG_IGN); /* until there is a state to tell */
	n->loop = loop_new();
	loop_timer_init(&n->drain_limit, n->loop, on_drain_limit, n);
	r = start(n, &e);
	if (r < 0) {
		log_error("cannot start", LOG_S("error", err_text(&e)));
		stop(n);
		return 1;
	}
	privileges_drop(spawner_pid(n->spawner));
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		loop_on_signal(n->loop, signals[i], on_signal, n);
	loop_on_signal(n->loop, SIGUSR2, on_dump, n);
	log_info("serving", LOG_S("node", n->o.node_name), LOG_S("driver", DRIVER_NAME),
		 LOG_S("version", version_string()), LOG_S("build", version_build()));
	loop_on_rest(n->loop, on_rest, n);
	loop_run(n->loop);
	stop(n);
	return n->lost ? 1 : 0;
}

static void help(const char *program)
{
	struct buf text;

	buf_init(&text, 64 << 10);
	node_options_help(program, &text);
	printf("usage: tundra node [FLAGS]\n\n%s", buf_cstr(&text));
	buf_done(&text);
}

int cmd_node(int argc, char **argv)
{
	struct node *n = MEM_NEW(struct node);
	struct err e = { 0 };
	int code = 0;

	if (node_options_parse(argc, argv, conf_env, &n->o, &e) < 0) {
		fprintf(stderr, "tundra node: %s\n", err_text(&e));
		code = EXIT_USAGE;
	} else if (n->o.help) {
		help(argv[0]);
		node_options_done(&n->o);
	} else if (n->o.version) {
		printf("tundra %s build %s\n", version_string(), version_build());
		node_options_done(&n->o);
	} else {
		log_init(n->o.verbosity == 0  ? LOG_WARN
			 : n->o.verbosity > 5 ? LOG_DEBUG
					      : LOG_INFO,
			 !strcmp(n->o.log_format, "json"), NULL);
		code = run(n);
	}
	mem_free(n);
	return code;
}
