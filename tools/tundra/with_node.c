#include "tools/tundra/with_node.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "tools/tundra/command.h"

static const char *from_env(const char *name)
{
	static struct utsname host;
	const char *value = getenv(name);

	if (strcmp(name, "NODE_NAME") != 0 || (value && *value))
		return value;
	return uname(&host) < 0 ? NULL : host.nodename;
}

/* The node's rows, then ours. Caller frees. */
static struct conf_option *rows(const struct with_node *c, size_t *n)
{
	const struct conf_option *node = node_options_table(n);
	struct conf_option *all = mem_calloc(*n + c->own_n, sizeof(*all));

	memcpy(all, node, *n * sizeof(*all));
	memcpy(all + *n, c->own, c->own_n * sizeof(*all));
	*n += c->own_n;
	return all;
}

static void help(const struct with_node *c)
{
	struct buf text;

	buf_init(&text, 64 << 10);
	conf_help(c->own, c->own_n, &text);
	printf("usage: tundra %s [FLAGS]\n\n%s\n\n%s\n"
	       "and the flags of tundra node, from the same environment; they say where things are "
	       "(tundra node --help).\n",
	       c->name, c->about, buf_cstr(&text));
	buf_done(&text);
}

static void done(const struct with_node *c, void *options)
{
	size_t n;
	struct conf_option *all = rows(c, &n);

	conf_done(all, n, options);
	mem_free(all);
}

/* 0, or negative with everything said and nothing left to free. */
static int parse(const struct with_node *c, int argc, char **argv, void *options)
{
	struct node_options *o = options;
	struct conf_option *all;
	struct err e = { 0 };
	size_t n;
	int r;

	all = rows(c, &n);
	r = conf_parse(all, n, argc, argv, from_env, options, &e);
	if (!r && !o->help && !o->version) {
		r = node_options_check(o, &e);
		if (r < 0)
			conf_done(all, n, options);
	}
	mem_free(all);
	if (r < 0)
		fprintf(stderr, "tundra %s: %s\n", c->name, err_text(&e));
	return r;
}

int with_node_run(const struct with_node *c, int argc, char **argv, void *options)
{
	struct node_options *o = options;
	char self[512];
	ssize_t len;
	int code = 0;

	if (parse(c, argc, argv, options) < 0)
		return EXIT_USAGE;
	if (o->help) {
		help(c);
	} else if (o->version) {
		printf("tundra %s build %s\n", version_string(), version_build());
	} else {
		len = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[len > 0 ? len : 0] = '\0';
		log_init(o->verbosity > 5 ? LOG_DEBUG : LOG_WARN, false, NULL);
		code = c->run(options, self);
	}
	done(c, options);
	return code;
}
