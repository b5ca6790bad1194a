#include "tools/hook/args.h"

#include <errno.h>
#include <string.h>

static const struct args_opt *find(const struct args_opt *opts, size_t n, const char *name,
				   size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(opts[i].name) == len && strncmp(opts[i].name, name, len) == 0)
			return &opts[i];
	return NULL;
}

static int store(const struct args_opt *opt, const char *value, struct why *why)
{
	struct args_list *list;

	if (opt->kind == ARGS_TEXT) {
		*(const char **)opt->to = value;
		return 0;
	}
	list = opt->to;
	if (list->n == ARGS_LIST_MAX)
		return why_set(why, -EINVAL, "more than %d --%s", ARGS_LIST_MAX, opt->name);
	list->v[list->n++] = value;
	return 0;
}

int args_parse(const struct args_opt *opts, size_t n, int argc, char **argv, struct why *why)
{
	const struct args_opt *opt;
	const char *name, *value;
	size_t len;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		name = argv[i];
		if (name[0] != '-' || name[1] == '\0')
			return why_set(why, -EINVAL, "%s: unexpected argument \"%s\"; see --help",
				       argv[0], name);
		name += name[1] == '-' ? 2 : 1;
		len = strcspn(name, "=");
		if (strcmp(name, "help") == 0 || strcmp(name, "h") == 0)
			return ARGS_HELP;
		opt = find(opts, n, name, len);
		if (!opt)
			return why_set(why, -EINVAL, "%s: unknown flag \"%s\"; see --help", argv[0],
				       argv[i]);
		value = name[len] == '=' ? name + len + 1 : ++i < argc ? argv[i] : NULL;
		if (!value)
			return why_set(why, -EINVAL, "%s: --%s needs a value", argv[0], opt->name);
		r = store(opt, value, why);
	}
	return r;
}

void args_help(const struct args_opt *opts, size_t n, const char *command, FILE *out)
{
	fprintf(out, "usage: tundra-cdi-hook %s [flags] < container state\n", command);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  --%s %s\n        %s\n", opts[i].name, opts[i].value, opts[i].help);
}
