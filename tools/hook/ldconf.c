#include "tools/hook/ldconf.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
	return is_blank(c) || (c >= '\n' && c <= '\r');
}

/* "/dir/ = libc6 " -> "/dir". Anything that is not absolute is no folder. */
static int dir_line(char *line, const struct ldconf_sink *sink)
{
	size_t len;

	line[strcspn(line, "=")] = '\0';
	len = strlen(line);
	while (len > 1 && (is_space(line[len - 1]) || line[len - 1] == '/'))
		line[--len] = '\0';
	return line[0] == '/' ? sink->dir(sink->arg, line) : 0;
}

static int include_line(char *rest, const struct ldconf_sink *sink)
{
	char *word, *end;
	int r = 0;

	for (word = rest; r == 0; word = end) {
		while (is_space(*word))
			word++;
		if (*word == '\0')
			break;
		for (end = word; *end && !is_space(*end); end++)
			;
		if (*end)
			*end++ = '\0';
		r = sink->include(sink->arg, word);
	}
	return r;
}

static int one_line(char *line, const struct ldconf_sink *sink)
{
	line[strcspn(line, "#")] = '\0';
	while (is_space(*line))
		line++;
	if (*line == '\0')
		return 0;
	if (strncmp(line, "include", 7) == 0 && is_blank(line[7]))
		return include_line(line + 8, sink);
	if (strncmp(line, "hwcap", 5) == 0 && is_blank(line[5]))
		return 0;
	return dir_line(line, sink);
}

int ldconf_text(char *text, const struct ldconf_sink *sink)
{
	char *end;
	int r = 0;

	for (; text && r == 0; text = end) {
		end = strchr(text, '\n');
		if (end)
			*end++ = '\0';
		r = one_line(text, sink);
	}
	return r;
}

/*
 * Behind "[": does the set match c? *end gets the byte behind its "]"; NULL when there is none, and
 * then the "[" is a plain byte.
 */
static bool match_set(const char *set, char c, const char **end)
{
	bool invert = *set == '!' || *set == '^', hit = false;
	const char *first, *p;

	set += invert;
	*end = NULL;
	for (p = first = set; *p && (*p != ']' || p == first); p++) {
		if (p[1] == '-' && p[2] && p[2] != ']') {
			hit |= (unsigned char)c >= (unsigned char)p[0] &&
			       (unsigned char)c <= (unsigned char)p[2];
			p += 2;
		} else {
			hit |= *p == c;
		}
	}
	if (*p == ']')
		*end = p + 1;
	return hit != invert;
}

/* One pattern item that is not '*' against c; moves past it when it matches. */
static bool match_one(const char **pattern, char c)
{
	const char *p = *pattern, *end;
	bool hit;

	if (*p == '\0' || c == '\0')
		return false;
	if (*p == '[') {
		hit = match_set(p + 1, c, &end);
		if (end) {
			*pattern = end;
			return hit;
		}
	}
	if (*p == '\\' && p[1])
		p++;
	else if (*p == '?')
		c = '?';
	*pattern = p + 1;
	return *p == c;
}

/* The last '*' takes one byte more each time the rest fails: never worse than length x length. */
bool ldconf_match(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	if (name[0] == '.' && pattern[0] != '.')
		return false;
	for (;;) {
		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (*pattern == '\0' && *name == '\0') {
			return true;
		} else if (match_one(&pattern, *name)) {
			name++;
		} else if (star && *from) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
}

/* One file being read; `up` of an included one is the file that includes it. */
struct reader {
	const struct root *root;
	const char *path, *skip;
	struct paths *dirs, *files;
	struct why *why;
	unsigned nest;
};

static int read_one(const struct reader *r);

static int on_dir(void *arg, const char *path)
{
	const struct reader *r = arg;
	int ret;

	if (r->skip && strcmp(r->path, r->skip) == 0)
		return 0;
	ret = paths_add(r->dirs, path);
	if (ret == -E2BIG) {
		why_warn(r->why, "%s: more than %d folders, the rest is not searched", r->path,
			 PATHS_MAX);
		return 0;
	}
	return ret;
}

/* Names in `dir` that match, as full paths, sorted. */
static int matches(const struct reader *r, const char *dir, const char *pattern, struct paths *out)
{
	char path[HOOK_PATH_MAX];
	struct dirent *e;
	DIR *d;
	int fd = root_dir(r->root, dir), ret = 0;

	if (fd < 0)
		return 0; /* as a pattern without a match */
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while (ret == 0 && (e = readdir(d))) {
		if (!ldconf_match(pattern, e->d_name))
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", strcmp(dir, "/") ? dir : "",
				     e->d_name) < sizeof(path))
			ret = paths_add(out, path);
	}
	closedir(d);
	paths_sort(out);
	if (ret == -E2BIG)
		why_warn(r->why, "%s: more than %d files match %s/%s", r->path, PATHS_MAX, dir,
			 pattern);
	return ret == -E2BIG ? 0 : ret;
}

static int on_include(void *arg, const char *word)
{
	const struct reader *r = arg;
	char pattern[HOOK_PATH_MAX], dir[HOOK_PATH_MAX];
	const char *slash = word[0] == '/' ? NULL : strrchr(r->path, '/'), *name;
	struct reader next = *r;
	struct paths found;
	int ret;

	/* A relative pattern starts at the including file's folder. */
	if ((size_t)snprintf(pattern, sizeof(pattern), "%.*s%s",
			     slash ? (int)(slash - r->path) + 1 : 0, r->path,
			     word) >= sizeof(pattern) ||
	    root_split(pattern, dir, &name) < 0)
		return 0;
	if (strpbrk(dir, "*?[")) {
		why_warn(r->why,
			 "%s: include %s is passed over: wildcards work in the last part of a path",
			 r->path, word);
		return 0;
	}
	paths_init(&found);
	ret = strpbrk(name, "*?[") ? matches(r, dir, name, &found) : paths_add(&found, pattern);
	next.nest++;
	for (size_t i = 0; i < found.n && ret == 0; i++) {
		next.path = found.v[i];
		ret = read_one(&next);
	}
	paths_done(&found);
	return ret;
}

static int read_one(const struct reader *r)
{
	struct reader self = *r;
	struct ldconf_sink sink = { .arg = &self, .dir = on_dir, .include = on_include };
	char *text;
	ssize_t len;
	int ret;

	if (paths_has(r->files, r->path))
		return 0; /* included twice, or by itself */
	if (r->nest > LDCONF_NEST_MAX || r->files->n >= LDCONF_FILES_MAX) {
		why_warn(r->why, "%s is not read: includes are nested too deep or too many",
			 r->path);
		return 0;
	}
	ret = paths_add(r->files, r->path);
	if (ret < 0)
		return ret;
	text = malloc(LDCONF_FILE_MAX);
	if (!text)
		return -ENOMEM;
	len = root_read(r->root, r->path, text, LDCONF_FILE_MAX);
	if (len >= 0)
		ret = ldconf_text(text, &sink);
	else if (len != -ENOENT)
		why_warn(r->why, "%s in the container is not read: %s", r->path,
			 strerror((int)-len));
	free(text);
	return ret;
}

int ldconf_read(const struct root *root, const char *path, const char *skip, struct paths *dirs,
		struct paths *files, struct why *why)
{
	struct reader r = {
		.root = root, .path = path, .skip = skip, .dirs = dirs, .files = files, .why = why
	};

	return read_one(&r);
}
