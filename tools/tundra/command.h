#pragma once
#include "core/conf.h"

/*
 * The commands of tundra: one file and one row each. A command owns its process: it returns the
 * exit code. 0 done, 1 failed (said on stderr), 2 wrong usage (one line on stderr).
 */
enum { EXIT_USAGE = 2 };

/* The row of -o table|json, in an option table whose struct has a member `output`. */
#define COMMAND_OUTPUT(type)                                                                       \
	{                                                                                          \
		.name = "output", .alias = "o", .arg = "FORMAT", .otherwise = "table",             \
		.words = (const char *const[]){ "table", "json", NULL }, .kind = CONF_STR,         \
		.offset = offsetof(type, output), .help = "table or json"                          \
	}

int cmd_node(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_claims(int argc, char **argv);
int cmd_unprepare(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_support_bundle(int argc, char **argv);
int cmd_docs(int argc, char **argv);
