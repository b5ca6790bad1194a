#include "tools/tundra/runtime_config.h"

enum { SECTION_MAX = 200, KEY_MAX = 64 };

/* Tables whose CDI keys count; quotes and blanks are taken off before comparing. */
static const char *const cri_sections[] = {
	"plugins.io.containerd.grpc.v1.cri",	/* containerd 1.x, config version 2 */
	"plugins.io.containerd.cri.v1.runtime", /* containerd 2.x, version 3 */
	"crio.runtime",
};

struct toml {
	struct sv rest;
	char section[SECTION_MAX], key[KEY_MAX];
	struct sv value; /* as written: an array with its brackets */
};

/* Copies a name without quotes and blanks. */
static void bare(struct sv name, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < name.n && n + 1 < size; i++)
		if (!strchr("\"' \t", name.p[i]))
			out[n++] = name.p[i];
	out[n] = '\0';
}

/* Bytes up to where the value ends: the line, or the closing bracket; comments and quotes obeyed.
 */
static size_t value_size(struct sv s)
{
	int depth = 0;
	char quote = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (quote) {
			if (c == '\\' && quote == '"')
				i++;
			else if (c == quote || c == '\n')
				quote = 0;
			continue;
		}
		if (c == '"' || c == '\'')
			quote = c;
		else if (c == '[')
			depth++;
		else if (c == ']')
			depth--;
		else if (c == '\n' && depth <= 0)
			return i;
		while (c == '#' && i + 1 < s.n && s.p[i + 1] != '\n')
			i++;
	}
	return s.n;
}

/* The next "key = value" of the file, with its table in t->section. */
static bool toml_next(struct toml *t)
{
	while (t->rest.n) {
		size_t n = value_size(t->rest);
		struct sv line = sv_trim(sv_make(t->rest.p, n));
		ptrdiff_t at;

		t->rest = sv_drop(t->rest, MIN(n + 1, t->rest.n));
		if (line.n && *line.p == '[') {
			at = sv_find(line, ']');
			bare(sv_make(line.p + 1, at > 1 ? (size_t)at - 1 : 0), t->section,
			     sizeof(t->section));
			continue;
		}
		at = sv_find(line, '=');
		if (at <= 0 || *line.p == '#')
			continue;
		bare(sv_make(line.p, (size_t)at), t->key, sizeof(t->key));
		t->value = sv_trim(sv_drop(line, (size_t)at + 1));
		return true;
	}
	return false;
}

/* The strings of an array, without unescaping: a path has nothing to escape. */
static size_t strings(struct sv v, char out[RUNTIME_DIRS_MAX][RUNTIME_PATH_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < v.n && n < RUNTIME_DIRS_MAX; i++) {
		struct sv rest = sv_drop(v, i + 1);
		ptrdiff_t end;

		if (v.p[i] == '#')
			while (i < v.n && v.p[i] != '\n')
				i++;
		if (i == v.n || (v.p[i] != '"' && v.p[i] != '\''))
			continue;
		end = sv_find(rest, v.p[i]);
		if (end < 0)
			break;
		if (sv_copy(out[n], RUNTIME_PATH_MAX + 1, sv_make(rest.p, (size_t)end)))
			n++;
		i += (size_t)end + 1;
	}
	return n;
}

static void take_disabled(struct runtime_config *c, struct sv value)
{
	char names[RUNTIME_DIRS_MAX][RUNTIME_PATH_MAX + 1];
	size_t n = strings(value, names);

	c->cri_disabled = false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], "cri") || !strcmp(names[i], "io.containerd.grpc.v1.cri"))
			c->cri_disabled = true;
}

void runtime_config_add(struct runtime_config *c, struct sv toml)
{
	struct toml t = { .rest = toml };
	bool cri;

	c->imports_n = 0;
	while (toml_next(&t)) {
		cri = false;
		for (size_t i = 0; i < ARRAY_LEN(cri_sections); i++)
			cri |= !strcmp(t.section, cri_sections[i]);
		if (cri && !strcmp(t.key, "enable_cdi")) {
			c->cdi_set = true;
			c->cdi = sv_starts(t.value, SV("true"));
		} else if (cri && !strcmp(t.key, "cdi_spec_dirs")) {
			c->dirs_set = true;
			c->dirs_n = strings(t.value, c->dirs);
		} else if (!*t.section && !strcmp(t.key, "imports")) {
			c->imports_n = strings(t.value, c->imports);
		} else if (!*t.section && !strcmp(t.key, "disabled_plugins")) {
			take_disabled(c, t.value);
		}
	}
}

static struct sv without_var(const char *folder)
{
	struct sv s = sv_str(folder);

	if (sv_starts(s, SV("/var/run/")))
		s = sv_drop(s, strlen("/var"));
	while (s.n > 1 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

bool runtime_config_reads(const struct runtime_config *c, const char *folder)
{
	struct sv want = without_var(folder);

	if (!c->dirs_set)
		return sv_eqs(want, "/run/cdi") || sv_eqs(want, "/etc/cdi");
	for (size_t i = 0; i < c->dirs_n; i++)
		if (sv_eq(without_var(c->dirs[i]), want))
			return true;
	return false;
}
