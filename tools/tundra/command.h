#pragma once
/*
 * What the commands of tundra have in common. A command is one file and one row in main.c. It owns
 * its process and returns the exit code: 0 done, 1 failed (said on stderr), EXIT_USAGE.
 */
#include "tools/tundra/node_options.h"

enum { EXIT_USAGE = 2 /* wrong usage, one line on stderr */ };

/* The row of -o table|json, in an option table whose struct has a member `output`. */
#define COMMAND_OUTPUT(type)                                                                       \
	{                                                                                          \
		.name = "output", .alias = "o", .arg = "FORMAT", .otherwise = "table",             \
		.words = (const char *const[]){ "table", "json", NULL }, .kind = CONF_STR,         \
		.offset = offsetof(type, output), .help = "table or json"                          \
	}

/*
 * Which flags a command takes, and what it does with them. Flags that say where things are on the
 * node are rows of tundra node, so that all commands find the same folders by the same environment:
 * the options of a command are a struct that begins with a struct node_options.
 */
struct command_spec {
	const char *name;  /* "claims" */
	const char *usage; /* what stands behind it: "[FLAGS]" */
	const char *about; /* a sentence or two for --help */
	const struct conf_option *own;
	size_t own_n;
	/*
	 * Names of the rows of tundra node that it takes, ends with NULL; "help" is one of them.
	 * NULL: all, checked as tundra node does, for a command that looks at a node as that does.
	 * On a host, NODE_NAME is then the host's name unless it is given.
	 */
	const char *const *node_flags;
	/* The exit code; what then stands in `e` is said on stderr. */
	int (*run)(const void *options, struct err *e);
};
/*
 * The whole command: reads the flags into `options` (zeroed), runs, releases, returns the exit
 * code. --help, --version and wrong usage are answered.
 */
int command_run(const struct command_spec *c, int argc, char **argv, void *options);
/*
 * Path of one of our programs: `given`, or without it (NULL or "") the one beside `self`, NULL:
 * beside this program. Caller frees.
 */
char *command_program(const char *self, const char *given, const char *name);

int cmd_node(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_claims(int argc, char **argv);
int cmd_unprepare(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_support_bundle(int argc, char **argv);
int cmd_docs(int argc, char **argv);
