/*
 * tundra-bench: measures the driver as a process, from outside. Figures go to stdout, progress to
 * stderr. test/bench/run starts it with what it needs.
 */
#include <stdio.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/bench/bench.h"

#define AT(field) .offset = offsetof(struct bench_options, field)
#define PATH(flag, field, text)                                                                    \
	{                                                                                          \
		.name = flag, .arg = "PATH", .kind = CONF_STR, AT(field), .help = text             \
	}
#define NUMBER(flag, field, value, low, text)                                                      \
	{                                                                                          \
		.name = flag, .arg = "N", .otherwise = value, .min = low, .max = 100000,           \
		.kind = CONF_INT, AT(field), .help = text                                          \
	}

static const struct conf_option table[] = {
	PATH("programs", programs, "folder of tundra and tundra-worker"),
	PATH("libraries", libraries, "their LD_LIBRARY_PATH: copies that no other process maps"),
	PATH("kubeconfig", kubeconfig, "the driver's"),
	PATH("admin", admin, "an admin's kubeconfig"),
	PATH("gpus", gpus, "what fakegpu made"),
	NUMBER("gpu-count", gpu_count, "8", 1, "how many GPUs that are"),
	PATH("plugins", plugins, "the kubelet's plugin folder, or another on the same disk"),
	PATH("registry", registry, "the kubelet's registration folder, or another"),
	PATH("cdi", cdi, "folder of CDI specs, on a tmpfs"),
	PATH("memory", memory, "folder of a tmpfs for log and status socket"),
	PATH("audit", audit, "the API server's audit log; without it requests are not counted"),
	PATH("empty", empty, "program tundra-bench-empty"),
	{ .name = "node", .arg = "NAME", .kind = CONF_STR, AT(node), .help = "a Node object" },
	{ .name = "namespace", .arg = "NAME", .kind = CONF_STR, AT(ns), .help = "of the claims" },
	NUMBER("live", live, "10000", 1000, "claims live in the last measurement"),
	NUMBER("alone", alone, "200", 1, "prepares one at a time, per measurement"),
	NUMBER("rounds", rounds, "16", 1, "volleys of 1000 prepares, 64 in flight"),
	NUMBER("seconds", seconds, "60", 1, "of rest"),
	{ .name = "help", .otherwise = "false", .kind = CONF_BOOL, AT(help), .help = "this list" },
};

static const struct {
	const char *name;
	int (*run)(struct bench *b, struct err *e);
} commands[] = { { "drive", bench_drive }, { "idle", bench_idle } };

static int usage(const char *why)
{
	fprintf(stderr, "%s\nusage: tundra-bench drive|idle FLAGS\n\n", why);
	conf_print_help(stderr, table, ARRAY_LEN(table));
	return 2;
}

static int run(const struct bench_options *o, int (*fn)(struct bench *b, struct err *e))
{
	struct err e = { 0 };
	struct bench b;
	int r = bench_init(&b, o, &e);

	if (!r)
		r = fn(&b, &e);
	bench_done(&b);
	if (r < 0)
		fprintf(stderr, "tundra-bench: %s\n", err_text(&e));
	return r < 0;
}

int main(int argc, char **argv)
{
	struct bench_options o = { 0 };
	struct err e = { 0 };
	int code = 2;

	mem_install();
	log_init(LOG_WARN, false, "tundra-bench");
	if (argc < 2)
		return usage("what is to be measured?");
	if (conf_parse(table, ARRAY_LEN(table), argc - 1, argv + 1, conf_no_env, &o, &e) < 0)
		return usage(err_text(&e));
	if (o.help || !o.programs || !o.kubeconfig || !o.admin || !o.gpus || !o.plugins ||
	    !o.registry || !o.cdi || !o.memory || !o.node || !o.ns) {
		code = usage("a flag is missing");
	} else {
		for (size_t i = 0; i < ARRAY_LEN(commands); i++)
			if (!strcmp(commands[i].name, argv[1]))
				code = run(&o, commands[i].run);
		if (code == 2)
			usage("no such command");
	}
	conf_done(table, ARRAY_LEN(table), &o);
	return code;
}
