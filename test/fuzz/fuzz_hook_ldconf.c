/*
 * The hook's ld.so.conf parser and its patterns: folders are absolute and clean, and a pattern made
 * of the input's first line is matched against each item that the rest names.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hook/ldconf.h"

static const char *pattern;

static int on_dir(void *arg, const char *path)
{
	size_t len = strlen(path);

	++*(size_t *)arg;
	must(path[0] == '/' && !strpbrk(path, "\n#="));
	must(len == 1 || path[len - 1] != '/');
	(void)!ldconf_match(pattern, path + 1);
	/* A name without special characters matches itself. */
	if (path[1] && !strpbrk(path, "*?[\\"))
		must(ldconf_match(path + 1, path + 1));
	return 0;
}

static int on_include(void *arg, const char *word)
{
	++*(size_t *)arg;
	must(word[0] != '\0' && !strpbrk(word, " \t\n#"));
	(void)!ldconf_match(word, pattern);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t items = 0;
	const struct ldconf_sink sink = { .arg = &items, .dir = on_dir, .include = on_include };
	char *text, *line;

	/* Patterns cost length x length at worst: keep the executions short. */
	if (size > 4096)
		return 0;
	text = malloc(size + 1);
	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	line = strchr(text, '\n');
	pattern = text;
	if (line)
		*line++ = '\0';
	must(!line || ldconf_text(line, &sink) == 0);
	must(items <= size);
	free(text);
	return 0;
}
