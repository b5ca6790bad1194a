#include "tools/tundra/command.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"

/* ---- flags ---- */

static const char *env(const char *name)
{
	static struct utsname host;
	const char *value = conf_env(name);

	if (strcmp(name, "NODE_NAME") != 0 || (value && *value))
		return value;
	return uname(&host) < 0 ? NULL : host.nodename;
}

static size_t count(const char *const *names)
{
	size_t n = 0;

	while (names[n])
		n++;
	return n;
}

static const struct conf_option *node_row(const char *name)
{
	size_t n;
	const struct conf_option *row = node_options_table(&n);

	while (n && strcmp(row->name, name) != 0) {
		row++;
		n--;
	}
	must(n);
	return row;
}

/* The command's rows, then the node's. Caller frees. */
static struct conf_option *rows_of(const struct command_spec *c, size_t *n)
{
	size_t node_n;
	const struct conf_option *node = node_options_table(&node_n), *row;
	struct conf_option *rows;

	if (c->node_flags)
		node_n = count(c->node_flags);
	*n = c->own_n + node_n;
	rows = mem_calloc(*n, sizeof(*rows));
	memcpy(rows, c->own, c->own_n * sizeof(*rows));
	for (size_t i = 0; i < node_n; i++) {
		row = c->node_flags ? node_row(c->node_flags[i]) : &node[i];
		rows[c->own_n + i] = *row;
	}
	return rows;
}

/* 0, or negative with nothing left to free. */
static int parse(const struct command_spec *c, const struct conf_option *rows, size_t n, int argc,
		 char **argv, void *options, struct err *e)
{
	struct node_options *o = options;
	int r = conf_parse(rows, n, argc, argv, env, options, e);

	if (r < 0 || o->help || o->version || c->node_flags)
		return r;
	r = node_options_check(o, e);
	if (r < 0)
		conf_done(rows, n, options);
	return r;
}

/* ---- the command ---- */

static void help(const struct command_spec *c, const struct conf_option *rows, size_t n)
{
	printf("usage: tundra %s %s\n\n%s\n\n", c->name, c->usage, c->about);
	conf_print_help(stdout, rows, c->node_flags ? n : c->own_n);
	if (!c->node_flags)
		printf("\nand the flags of tundra node, from the same environment; they say where "
		       "things are (tundra node --help).\n");
}

static int run(const struct command_spec *c, const void *options)
{
	const struct node_options *o = options;
	struct err e = { 0 };
	int code;

	if (!c->node_flags)
		log_init(o->verbosity > 5 ? LOG_DEBUG : LOG_WARN, false, NULL);
	code = c->run(options, &e);
	if (*err_text(&e))
		fprintf(stderr, "tundra %s: %s\n", c->name, err_text(&e));
	return code;
}

int command_run(const struct command_spec *c, int argc, char **argv, void *options)
{
	const struct node_options *o = options;
	size_t n;
	struct conf_option *rows = rows_of(c, &n);
	struct err e = { 0 };
	int code = 0;

	if (parse(c, rows, n, argc, argv, options, &e) < 0) {
		fprintf(stderr, "tundra %s: %s\n", c->name, err_text(&e));
		mem_free(rows);
		return EXIT_USAGE;
	}
	if (o->help)
		help(c, rows, n);
	else if (o->version)
		printf("tundra %s build %s\n", version_string(), version_build());
	else
		code = run(c, options);
	conf_done(rows, n, options);
	mem_free(rows);
	return code;
}

char *command_program(const char *self, const char *given, const char *name)
{
	char own[512];
	const char *slash;
	ssize_t len;

	if (given && *given)
		return mem_strdup(given);
	if (!self) {
		len = readlink("/proc/self/exe", own, sizeof(own) - 1);
		own[len > 0 ? len : 0] = '\0';
		self = own;
	}
	slash = strrchr(self, '/');
	return slash ? mem_printf("%.*s/%s", (int)(slash - self), self, name) : mem_strdup(name);
}
