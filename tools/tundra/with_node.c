#include "tools/tundra/with_node.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/buf.h"
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

int with_node_parse(const struct with_node *c, int argc, char **argv, void *options, char *self,
		    size_t self_size)
{
	struct conf_option *all;
	struct node_options *o = options;
	struct err e = { 0 };
	ssize_t len;
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
	if (r < 0) {
		fprintf(stderr, "tundra %s: %s\n", c->name, err_text(&e));
		return EXIT_USAGE;
	}
	if (o->help || o->version) {
		if (o->help)
			help(c);
		else
			printf("tundra %s build %s\n", version_string(), version_build());
		with_node_done(c, options);
		return 0;
	}
	len = readlink("/proc/self/exe", self, self_size - 1);
	self[len > 0 ? len : 0] = '\0';
	return WITH_NODE_GO;
}

void with_node_done(const struct with_node *c, void *options)
{
	size_t n;
	struct conf_option *all = rows(c, &n);

	conf_done(all, n, options);
	mem_free(all);
}
