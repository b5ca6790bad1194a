/*
 * tundra-dev: a Kubernetes for one screen. An API server, kubelets and a scheduler in memory, good
 * enough to run tundra node against; never the proof that it works, which tools/cluster is.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "tools/dev/cluster.h"
#include "tools/dev/demo.h"

enum { EXIT_USAGE = 2 };

struct options {
	char *dir, *node, *faults, *manifests;
	int64_t nodes, port, wait_ms, sync_ms, gpus;
	bool tls, trace, once, quiet, help;
};

#define AT(field) .offset = offsetof(struct options, field)
static const struct conf_option table[] = {
	{ .name = "dir",
	  .arg = "FOLDER",
	  .kind = CONF_STR,
	  AT(dir),
	  .help = "where the kubeconfig and the nodes' folders go; required" },
	{ .name = "node",
	  .arg = "NAME",
	  .otherwise = "node-1",
	  .kind = CONF_STR,
	  AT(node),
	  .help = "name of the node" },
	{ .name = "nodes",
	  .arg = "N",
	  .otherwise = "1",
	  .min = 1,
	  .max = CLUSTER_NODES_MAX,
	  .kind = CONF_INT,
	  AT(nodes),
	  .help = "how many, named NAME-0, NAME-1 and so on" },
	{ .name = "tls",
	  .otherwise = "true",
	  .kind = CONF_BOOL,
	  AT(tls),
	  .help = "the API server speaks TLS; without, plain HTTP/2" },
	{ .name = "port",
	  .arg = "PORT",
	  .otherwise = "0",
	  .min = 0,
	  .max = 65535,
	  .kind = CONF_INT,
	  AT(port),
	  .help = "of the API server on 127.0.0.1; 0 = any" },
	{ .name = "fault",
	  .arg = "TEXT",
	  .kind = CONF_LIST,
	  AT(faults),
	  .help =
	      "misbehaves, for example --fault \"get resourceclaims status=503 times=3\"; verbs "
	      "and resources as in RBAC; effects: status=N delay=MS cut lose reset refuse goaway "
	      "silent; skip=N times=N|always percent=N retry-after=S; may be given several "
	      "times" },
	{ .name = "manifest",
	  .arg = "FILE",
	  .kind = CONF_LIST,
	  AT(manifests),
	  .help = "objects to begin with; may be given several times" },
	{ .name = "sync",
	  .arg = "TIME",
	  .otherwise = "0",
	  .kind = CONF_DURATION_MS,
	  AT(sync_ms),
	  .help = "when the kubelet tries a failed pod again; 0 = as the real one, 60 to 90 s" },
	{ .name = "trace",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(trace),
	  .help = "show each API request" },
	{ .name = "quiet",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(quiet),
	  .help = "show the results only" },
	{ .name = "once",
	  .otherwise = "false",
	  .kind = CONF_BOOL,
	  AT(once),
	  .help = "demo: give everything back and end" },
	{ .name = "gpus",
	  .arg = "N",
	  .otherwise = "1",
	  .min = 1,
	  .max = 100000,
	  .kind = CONF_INT,
	  AT(gpus),
	  .help = "demo: how many must be published, on all nodes, before it begins" },
	{ .name = "wait",
	  .arg = "TIME",
	  .otherwise = "60s",
	  .kind = CONF_DURATION_MS,
	  AT(wait_ms),
	  .help = "demo: how long each step may take" },
	{ .name = "help", .otherwise = "false", .kind = CONF_BOOL, AT(help), .help = "this list" },
};

struct dev {
	struct loop *loop;
	struct options o;
	struct cluster *cluster;
	struct demo *demo;
	uint64_t began_ms;
	int code;
};

/* who "": the demo itself speaks. */
static void on_line(void *arg, const char *who, const char *line)
{
	struct dev *d = arg;
	uint64_t ms = loop_now_ms(d->loop) - d->began_ms;

	if (!*who)
		printf("%s\n", line);
	else if (!d->o.quiet)
		printf("%4llu.%02llu s  %-9s  %s\n", (unsigned long long)ms / 1000,
		       (unsigned long long)ms % 1000 / 10, who, line);
	(void)fflush(stdout);
}

static void on_demo(void *arg, bool ok)
{
	struct dev *d = arg;

	d->code = ok ? 0 : 1;
	if (d->o.once || !ok)
		loop_stop(d->loop);
	else
		printf("\nThe pods stay. Ctrl-C ends all.\n");
	(void)fflush(stdout);
}

static void on_signal(void *arg)
{
	struct dev *d = arg;

	loop_stop(d->loop);
}

/* For whoever tries what clients do when the API server comes back: no fault ends by itself. */
static void on_away(void *arg)
{
	struct dev *d = arg;

	apiserver_down(cluster_api(d->cluster));
	on_line(d, "api", "away: every connection cut, nobody listens (SIGUSR2 ends it)");
}

static void on_back(void *arg)
{
	struct dev *d = arg;

	apiserver_up(cluster_api(d->cluster));
	on_line(d, "api", "back");
}

static int run(struct dev *d, bool demo)
{
	const struct cluster_conf conf = { .dir = d->o.dir,
					   .node = d->o.node,
					   .nodes = (size_t)d->o.nodes,
					   .tls = d->o.tls,
					   .port = (uint16_t)d->o.port,
					   .faults = d->o.faults,
					   .manifests = d->o.manifests,
					   .sync_ms = (uint64_t)d->o.sync_ms,
					   .on_line = on_line,
					   .trace = d->o.trace,
					   .arg = d };
	struct demo_conf demo_conf = { .wait_ms = (uint64_t)d->o.wait_ms,
				       .gpus = (size_t)d->o.gpus,
				       .once = d->o.once,
				       .done = on_demo,
				       .on_line = on_line,
				       .arg = d };
	struct err e = { "" };

	d->began_ms = loop_now_ms(d->loop);
	if (cluster_new(d->loop, &conf, &d->cluster, &e) < 0) {
		(void)fprintf(stderr, "tundra-dev: %s\n", e.text);
		return 1;
	}
	printf("API server at %s, kubeconfig %s/kubeconfig\n", cluster_url(d->cluster), d->o.dir);
	(void)fflush(stdout);
	demo_conf.cluster = d->cluster;
	if (demo)
		d->demo = demo_new(d->loop, &demo_conf);
	loop_on_signal(d->loop, SIGINT, on_signal, d);
	loop_on_signal(d->loop, SIGTERM, on_signal, d);
	loop_on_signal(d->loop, SIGUSR1, on_away, d);
	loop_on_signal(d->loop, SIGUSR2, on_back, d);
	loop_run(d->loop);
	demo_free(&d->demo);
	cluster_free(&d->cluster);
	return d->code;
}

static void usage(FILE *out)
{
	(void)fprintf(out,
		      "usage: tundra-dev up|demo --dir FOLDER [FLAGS]\n\n"
		      "  up     an API server, a scheduler and kubelets in memory, until Ctrl-C\n"
		      "  demo   the same, and pods that ask for GPUs as soon as a driver publishes "
		      "them\n\n"
		      "SIGUSR1: the API server is away; SIGUSR2: it is back\n\n");
	conf_print_help(out, table, ARRAY_LEN(table));
}

int main(int argc, char **argv)
{
	struct dev d = { .code = 0 };
	struct err e = { "" };
	bool demo;
	int code;

	mem_install();
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		usage(stdout);
		return 0;
	}
	if (argc < 2 || (strcmp(argv[1], "up") != 0 && strcmp(argv[1], "demo") != 0)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	demo = !strcmp(argv[1], "demo");
	if (conf_parse(table, ARRAY_LEN(table), argc - 1, argv + 1, conf_no_env, &d.o, &e) < 0) {
		(void)fprintf(stderr, "tundra-dev: %s\n", e.text);
		return EXIT_USAGE;
	}
	if (d.o.help) {
		usage(stdout);
		code = 0;
	} else if (!d.o.dir) {
		(void)fprintf(stderr, "tundra-dev: --dir FOLDER is required\n");
		code = EXIT_USAGE;
	} else {
		log_init(LOG_WARN, false, "tundra-dev");
		d.loop = loop_new();
		code = run(&d, demo);
		loop_free(&d.loop);
	}
	conf_done(table, ARRAY_LEN(table), &d.o);
	return code;
}
