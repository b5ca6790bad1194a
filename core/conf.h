#pragma once
/*
 * Options: one table row per option is its flag, environment name, default, help and check.
 * Order of precedence: flag, environment, default; an empty environment variable counts as unset.
 * As in Go's flag package "--name value", "--name=value" and one dash instead of two mean the same,
 * a bool may stand alone and takes its value only by "=", the last of several wins (a CONF_LIST
 * joins them). Unknown flags, positional arguments and wrong values are errors of one line.
 * Durations are Go's ("300ms", "1m30s", "0"), never negative; less than a millisecond rounds up.
 */
#include "core/err.h"
#include "core/sv.h"

enum conf_kind {
	CONF_STR,
	CONF_INT,
	CONF_BOOL,
	CONF_DURATION_MS,
	CONF_LIST /* csv, kept as text */
};

struct conf_option {
	const char *name;	  /* "node-name" */
	const char *alias;	  /* second flag name or NULL */
	const char *env[3];	  /* "NODE_NAME"; ends with NULL */
	const char *otherwise;	  /* default as text, NULL = unset */
	const char *arg, *help;	  /* "NAME", one sentence */
	const char *const *words; /* allowed values of a CONF_STR, ends with NULL; NULL = any */
	int64_t min, max;	  /* CONF_INT, CONF_DURATION_MS; both 0 = any */
	size_t offset;		  /* of the field in the options struct: char * / int64_t / bool */
	enum conf_kind kind;
	bool required;
};

/*
 * Fills `options` (zeroed by the caller; strings are allocated, conf_done() frees them). argv[0] is
 * the command's name and skipped. 0, -EINVAL with one line, and then nothing is left to free. `env`
 * is injected: returns the value or NULL.
 */
int conf_parse(const struct conf_option *table, size_t n, int argc, char **argv,
	       const char *(*env)(const char *name), void *options, struct err *e) NODISCARD;
void conf_done(const struct conf_option *table, size_t n, void *options);
/* One value in the same syntax. -EINVAL. */
int conf_duration_ms(struct sv text, int64_t *ms) NODISCARD;
struct buf;
/* The rows for --help: aligned, wrapped at 100. */
void conf_help(const struct conf_option *table, size_t n, struct buf *out);
void conf_print_help(FILE *out, const struct conf_option *table, size_t n);
/* `env` for conf_parse(): the process's own; none, for a program that takes flags only. */
const char *conf_env(const char *name);
const char *conf_no_env(const char *name);
