#pragma once
/*
 * What the writers of man page and completions know of the commands: read out of their own --help,
 * which is rendered from each command's table of options. So a new command needs no row here.
 */
#include "core/buf.h"

enum { DOCS_COMMANDS_MAX = 32, DOCS_FLAGS_MAX = 64, DOCS_NAMES_MAX = 3 };

struct docs_flag {
	char names[DOCS_NAMES_MAX][48]; /* with their dashes */
	size_t names_n;
	char arg[32]; /* "" for a switch */
	char help[700];
};
struct docs_command {
	char name[32], about[128];
	char *help;
	struct docs_flag flags[DOCS_FLAGS_MAX];
	size_t flags_n;
};
struct docs_source {
	struct docs_command commands[DOCS_COMMANDS_MAX];
	size_t n;
};

void docs_man(const struct docs_source *s, struct buf *out);
void docs_bash(const struct docs_source *s, struct buf *out);
void docs_zsh(const struct docs_source *s, struct buf *out);
