#pragma once
/* Command line of one command: --name value, --name=value, one dash or two (as Go's flags). */
#include "tools/hook/base.h"
#include "tools/hook/why.h"

enum {
	ARGS_LIST_MAX = 1024, /* one option given more often is an error */
	ARGS_HELP = 1,	      /* args_parse(): --help was asked for */
};

struct args_list {
	const char *v[ARGS_LIST_MAX]; /* borrowed from argv */
	size_t n;
};

enum args_kind { ARGS_TEXT, ARGS_LIST };

struct args_opt {
	const char *name, *value, *help;
	enum args_kind kind;
	void *to; /* const char ** or struct args_list * */
};

/* argv[0] is the command's name. 0, ARGS_HELP, or -EINVAL with the reason in `why`. */
int args_parse(const struct args_opt *opts, size_t n, int argc, char **argv,
	       struct why *why) NODISCARD;
void args_help(const struct args_opt *opts, size_t n, const char *command, FILE *out);
