/*
 * The hook's cache builder, judged by the tests' own reader: each line of the input is one library
 * ("flag-byte name" or "flag-byte name hwcap"); the file must be well formed and every name must
 * be found, at the first path it was added with.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/hook/cachefile.h"
#include "tools/hook/ldcache.h"

enum { LINES_MAX = 200, NAME_MAX_LEN = 40 };

struct line {
	char name[NAME_MAX_LEN + 1], hwcap[8], path[16];
	int32_t flags;
};

/* What the hook would let through: printable, and numbers that the loader can compare. */
static bool usable(const char *name)
{
	size_t run = 0;

	for (const char *p = name; *p; p++) {
		run = *p >= '0' && *p <= '9' ? run + 1 : 0;
		if (*p <= ' ' || *p >= 0x7f || run > 9)
			return false;
	}
	return name[0] != '\0';
}

static size_t parse(const uint8_t *data, size_t size, struct line *lines)
{
	size_t n = 0, len, i = 0, cap;
	char flags;

	while (i < size && n < LINES_MAX) {
		const char *text = (const char *)data + i, *space;

		for (len = 0; i + len < size && text[len] != '\n'; len++)
			;
		i += len + 1;
		if (len < 2 || len > NAME_MAX_LEN)
			continue;
		memset(&lines[n], 0, sizeof(lines[n]));
		flags = text[0];
		text++;
		len--;
		space = memchr(text, ' ', len);
		cap = space ? len - (size_t)(space - text) - 1 : 0;
		if (cap > 0 && cap < sizeof(lines[n].hwcap))
			memcpy(lines[n].hwcap, space + 1, cap);
		memcpy(lines[n].name, text, space ? (size_t)(space - text) : len);
		lines[n].flags = flags & 1 ? 0x303 : 3;
		snprintf(lines[n].path, sizeof(lines[n].path), "/%zu", n);
		if (usable(lines[n].name) && (!lines[n].hwcap[0] || usable(lines[n].hwcap)))
			n++;
	}
	return n;
}

/* The path that the loader must find for lines[k]'s name without hwcaps, or NULL. */
static const char *expected(const struct line *lines, size_t n, size_t k)
{
	for (size_t i = 0; i < n; i++)
		if (!lines[i].hwcap[0] && lines[i].flags == lines[k].flags &&
		    ldcache_name_cmp(lines[i].name, lines[k].name) == 0)
			return lines[i].path;
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct line lines[LINES_MAX];
	size_t n = parse(data, size, lines), len = 0, added = 0;
	const char *path, *want;
	struct cachefile f;
	struct ldcache c;
	char *bytes = NULL;
	int r;

	ldcache_init(&c);
	for (size_t i = 0; i < n; i++) {
		r = ldcache_add(&c, lines[i].name, lines[i].path, lines[i].flags,
				lines[i].hwcap[0] ? lines[i].hwcap : NULL);
		must(r == 0 || r == -7 /* E2BIG: too many hwcap names */);
		if (r < 0)
			break;
		added++;
	}
	must(ldcache_build(&c, "fuzz", &bytes, &len) == 0);
	must(cachefile_open(&f, bytes, len));
	must(f.n == added);
	for (size_t i = 0; i < added; i++) {
		path = cachefile_find(&f, lines[i].name, lines[i].flags);
		want = expected(lines, added, i);
		must(!path == !want && (!path || strcmp(path, want) == 0));
	}
	free(bytes);
	ldcache_done(&c);
	return 0;
}
