/*
 * tundra: every role in one program. The first argument names the command, or the program's own
 * name does (upstream's five names).
 */
#include <errno.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/version.h"
#include "tools/tundra/command.h"

struct command {
	const char *name, *other; /* other: the name of upstream's program for it, or NULL */
	const char *help;	  /* NULL: not listed */
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "node", "gpu-kubelet-plugin", "serve this node's GPUs: slices, claims, metrics",
	  cmd_node },
	{ "status", NULL, "show what the running node serves", cmd_status },
	{ "claims", NULL, "list what is prepared on this node, from its disk", cmd_claims },
	{ "unprepare", NULL, "without a driver: give back what claims still hold", cmd_unprepare },
	{ "export", NULL, "without a driver: hand what is prepared to NVIDIA's", cmd_export },
	{ "doctor", NULL, "is this node able? each check with its fix", cmd_doctor },
	{ "support-bundle", NULL, "gather one archive for whoever helps, without secrets",
	  cmd_support_bundle },
	{ "docs", NULL, NULL, cmd_docs }, /* for those who build it */
};

static void usage(FILE *out)
{
	fprintf(out, "tundra %s: GPUs of a Kubernetes node through Dynamic Resource Allocation\n\n",
		version_string());
	fprintf(out, "usage: tundra COMMAND [FLAGS]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].help)
			fprintf(out, "  %-15s %s\n", commands[i].name, commands[i].help);
	fprintf(out,
		"\n  tundra COMMAND --help lists its flags; tundra --version tells the version\n");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct command *find(const char *name, bool other)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const char *candidate = other ? commands[i].other : commands[i].name;

		if (candidate && !strcmp(candidate, name))
			return &commands[i];
	}
	return NULL;
}

/* A full disk or a reader that has gone: who asked has not got all of the answer. */
static int run(const struct command *c, int argc, char **argv)
{
	int code = c->run(argc, argv);

	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "tundra %s: cannot write the answer: %s\n", c->name, strerror(errno));
	return code ? code : 1;
}

int main(int argc, char **argv)
{
	const struct command *c;

	mem_install();
	if (argc < 1)
		return EXIT_USAGE;
	c = find(base_name(argv[0]), true);
	if (c)
		return run(c, argc, argv);
	if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version"))) {
		printf("tundra %s build %s\n", version_string(), version_build());
		return 0;
	}
	if (argc > 1 &&
	    (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
		usage(stdout);
		return 0;
	}
	c = argc > 1 ? find(argv[1], false) : NULL;
	if (c)
		return run(c, argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "tundra: unknown command \"%s\"; tundra --help lists them\n",
			argv[1]);
	else
		usage(stderr);
	return EXIT_USAGE;
}
