/*
 * tundra docs FOLDER: the reference pages, the man page and the completions, written from the
 * tables in the code. For those who build tundra; a test compares docs/ with what this writes.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "gpu/nvidia/model/nvidia_attributes.h"
#include "gpu/worker_roles.h"
#include "k8s/reasons.h"
#include "k8s/stats.h"
#include "tools/tundra/bounded.h"
#include "tools/tundra/command.h"
#include "tools/tundra/docs.h"
#include "tools/tundra/doctor.h"
#include "tools/tundra/error_texts.h"
#include "tools/tundra/node_options.h"
#include "tools/tundra/privileges.h"

enum { PAGE_MAX = 1 << 20, HELP_MS = 10000 };

#define HEAD "<!-- Written by `tundra docs docs` from the tables in the code; do not edit. -->\n\n"

/* A cell of a table: '|' would end it. */
static void cell(struct buf *out, const char *text)
{
	buf_puts(out, "| ");
	for (; *text; text++)
		buf_printf(out, "%s%c", *text == '|' ? "\\" : "", *text);
	buf_putc(out, ' ');
}

static void code_cell(struct buf *out, const char *text)
{
	buf_printf(out, "| `%s` ", text);
}

/* ---- pages ---- */

static void page_commands(const struct docs_source *s, struct buf *out)
{
	buf_puts(out, HEAD "# Commands and flags\n\n"
			   "Every flag may be given with one dash or two, as `--name value` or "
			   "`--name=value`. In parentheses: the default and the\nenvironment "
			   "variables that are read when the flag is not given.\n");
	for (size_t i = 0; i < s->n; i++)
		buf_printf(out, "\n## tundra %s\n\n%s\n\n```\n%s```\n", s->commands[i].name,
			   s->commands[i].about, s->commands[i].help);
}

static void page_gates(const struct docs_source *s, struct buf *out)
{
	static const char *const stages[] = { "alpha", "beta", "GA" };
	const struct gate *gates = node_options_gates();

	(void)s;
	buf_puts(out, HEAD "# Feature gates\n\nNames are those of NVIDIA's driver. "
			   "`--feature-gates=A=true,B=false`; `AllAlpha` and `AllBeta` are "
			   "understood.\n\n| gate | stage | default | in this version |\n"
			   "|---|---|---|---|\n");
	for (size_t i = 0; i < NODE_GATES; i++) {
		code_cell(out, gates[i].name);
		cell(out, stages[gates[i].stage]);
		cell(out, gates[i].on ? "true" : "false");
		cell(out, gates[i].absent ? "not built: only false is accepted" : "accepted");
		buf_puts(out, "|\n");
	}
}

static void page_metrics(const struct docs_source *s, struct buf *out)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	size_t n;
	const struct metrics_desc *m = stats_table(&n);

	(void)s;
	buf_puts(out, HEAD "# Metrics\n\nServed at `--metrics-path` of `--http-endpoint`. Names "
			   "that begin with `nvidia_dra_` are those of NVIDIA's driver, with its "
			   "meaning.\n\n| metric | kind | labels | what |\n|---|---|---|---|\n");
	for (size_t i = 0; i < n; i++) {
		code_cell(out, m[i].name);
		cell(out, kinds[m[i].kind]);
		buf_puts(out, "| ");
		for (size_t k = 0; m[i].labels[k]; k++)
			buf_printf(out, "%s`%s`", k ? ", " : "", m[i].labels[k]);
		buf_putc(out, ' ');
		cell(out, m[i].help);
		buf_puts(out, "|\n");
	}
}

static void page_attributes(const struct docs_source *s, struct buf *out)
{
	static const char *const kinds[] = { "int", "bool", "string", "version" };

	(void)s;
	buf_puts(out,
		 HEAD "# Attributes of a GPU\n\nDriver `gpu.nvidia.com`. In CEL: "
		      "`device.attributes[\"gpu.nvidia.com\"].productName`, for capacities "
		      "`device.capacity[\"gpu.nvidia.com\"].memory`.\nThose of `tundra.internal` "
		      "are published with `--extra-attributes` only.\n\n"
		      "| domain | name | type | what | left out when |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < nvidia_attributes_n; i++) {
		const struct nvidia_attribute *a = &nvidia_attributes[i];

		code_cell(out, *a->domain ? a->domain : DRIVER_NAME);
		code_cell(out, a->name);
		cell(out, a->capacity ? "capacity" : kinds[a->kind]);
		cell(out, a->about);
		cell(out, *a->absent ? a->absent : "never");
		buf_puts(out, "|\n");
	}
}

static void page_events(const struct docs_source *s, struct buf *out)
{
	(void)s;
	buf_puts(out, HEAD "# Events\n\nThe same Event is told once in 10 minutes. "
			   "`kubectl get events -A --field-selector source=tundra`\n\n"
			   "| reason | type | on | means | what to do |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < event_reasons_n; i++) {
		const struct event_reason *r = &event_reasons[i];

		code_cell(out, r->reason);
		cell(out, r->warning ? "Warning" : "Normal");
		cell(out, r->on);
		cell(out, r->means);
		cell(out, r->fix);
		buf_puts(out, "|\n");
	}
}

static void page_errors(const struct docs_source *s, struct buf *out)
{
	(void)s;
	buf_puts(out, HEAD "# Errors\n\nA piece of each message as it stands in the code: `%s` and "
			   "its like are filled in.\n\n| message | seen in | means | what to do |\n"
			   "|---|---|---|---|\n");
	for (size_t i = 0; i < error_texts_n; i++) {
		code_cell(out, error_texts[i].text);
		cell(out, error_texts[i].where);
		cell(out, error_texts[i].means);
		cell(out, error_texts[i].fix);
		buf_puts(out, "|\n");
	}
}

static void page_checks(const struct docs_source *s, struct buf *out)
{
	(void)s;
	buf_puts(out,
		 HEAD "# Checks of tundra doctor\n\nEach is `ok`, `warn`, `FAIL` or `unknown` "
		      "and comes with its fix. A check that needs another one is unknown unless "
		      "that is ok or warns.\n\n| check | looks at | needs |\n|---|---|---|\n");
	for (size_t i = 0; i < doctor_checks_n; i++) {
		cell(out, doctor_checks[i].name);
		cell(out, doctor_checks[i].about);
		cell(out, doctor_checks[i].needs ? doctor_checks[i].needs : "");
		buf_puts(out, "|\n");
	}
}

/* ---- privileges ---- */

static void caps_rows(const char *process, const struct worker_cap *c, struct buf *out)
{
	for (; c->name; c++) {
		cell(out, process);
		code_cell(out, c->name);
		cell(out, c->why);
		buf_puts(out, "|\n");
	}
}

static void calls_rows(const char *process, const struct confine_group *g, struct buf *out)
{
	for (; g->name; g++) {
		cell(out, process);
		cell(out, g->name);
		cell(out, g->error == 0 ? "yes" : g->error == EPERM ? "EPERM" : "ENOSYS");
		cell(out, g->why);
		buf_puts(out, "|");
		for (const struct confine_call *c = g->calls; *c->name; c++)
			/* Several rows of one call differ by an argument. */
			if (c == g->calls || strcmp(c->name, c[-1].name) != 0)
				buf_printf(out, " `%s`%s", c->name,
					   c->test == CONFINE_ANY ? "" : " (by argument)");
		buf_puts(out, " |\n");
	}
}

static void page_privileges(const struct docs_source *s, struct buf *out)
{
	(void)s;
	buf_puts(
	    out, HEAD
	    "# What each process may do\n\nRead from `/proc/PID/status` by a test, on real "
	    "Kubernetes too. All have `no_new_privs` and a seccomp filter; the inheritable and "
	    "ambient\nsets are empty, the bounding set is the permitted one. What a table names "
	    "is all that there is.\n\n## Capabilities\n\n| process | capability | why "
	    "|\n|---|---|---|\n| tundra node | none | |\n");
	caps_rows("spawner (permitted, none in effect)", worker_spawner_caps, out);
	buf_puts(out, "| spawner | those of all workers | to hand them on |\n");
	for (size_t i = 0; i < worker_roles_n; i++)
		caps_rows(worker_roles[i].name, worker_roles[i].caps, out);
	buf_puts(
	    out,
	    "\n## System calls\n\nThe first row that fits decides. What no row of a process "
	    "names is answered ENOSYS, as by an older kernel, so that a newer libc\nfalls back; "
	    "nothing is killed for a call. The kernel's log names each refusal "
	    "(`type=1326`).\n\n| process | group | allowed | why | calls "
	    "|\n|---|---|---|---|---|\n");
	calls_rows("all", confine_dangerous, out);
	calls_rows("all but spawner and nvml", confine_no_code, out);
	calls_rows("all but spawner and nvml", confine_basics, out);
	calls_rows("tundra node", reactor_calls, out);
	buf_puts(out, "| tundra node | the spawner's end | yes | it is told to end, and nobody "
		      "else is | `kill` (by argument) |\n");
	for (size_t i = 0; i < worker_roles_n; i++) {
		const struct worker_role *r = &worker_roles[i];

		if (r->calls)
			calls_rows(r->name, r->calls, out);
		else
			buf_printf(out, "| %s | all else | yes | %s | |\n", r->name, r->calls_why);
	}
	buf_puts(out, "| spawner | all else | yes | what it refuses, all its workers are refused "
		      "| |\n");
}

static const struct {
	const char *path;
	void (*write)(const struct docs_source *s, struct buf *out);
} pages[] = {
	{ "reference/commands.md", page_commands },
	{ "reference/feature-gates.md", page_gates },
	{ "reference/metrics.md", page_metrics },
	{ "reference/attributes.md", page_attributes },
	{ "reference/events.md", page_events },
	{ "reference/errors.md", page_errors },
	{ "reference/checks.md", page_checks },
	{ "reference/privileges.md", page_privileges },
	{ "man/tundra.1", docs_man },
	{ "completion/tundra.bash", docs_bash },
	{ "completion/_tundra", docs_zsh },
};

/* ---- what the commands say of themselves ---- */

struct asked {
	const char *self, *command; /* NULL: the program itself */
};

/* Without an environment: defaults only. */
static void exec_help(void *arg, int fd)
{
	const struct asked *a = arg;
	const char *argv[] = { a->self, a->command ? a->command : "--help",
			       a->command ? "--help" : NULL, NULL };
	char *const none[] = { NULL };

	if (dup2(fd, STDOUT_FILENO) == STDOUT_FILENO)
		execve(a->self, (char *const *)(uintptr_t)argv, none);
	_exit(1);
}

/* Caller frees; "" when it did not answer. */
static char *help_of(const char *self, const char *name)
{
	struct asked a = { self, name };
	struct buf text;
	int status;
	char *all;

	buf_init(&text, PAGE_MAX);
	if (bounded_run(exec_help, &a, HELP_MS, false, &text, &status))
		buf_clear(&text);
	all = buf_steal(&text);
	buf_done(&text);
	return all;
}

/* One row "  -o, --output FORMAT     what it is" of a help text. */
static void add_flag(struct docs_command *c, struct sv line)
{
	struct docs_flag *f = &c->flags[c->flags_n];
	struct sv names = line;
	const char *gap = memmem(line.p, line.n, "  ", 2);

	if (c->flags_n == DOCS_FLAGS_MAX)
		return;
	c->flags_n++;
	*f = (struct docs_flag){ 0 };
	if (gap) {
		names = sv_make(line.p, (size_t)(gap - line.p));
		sv_copy(f->help, sizeof(f->help), sv_trim(sv_drop(line, names.n)));
	}
	while (names.n) {
		struct sv word = sv_cut(&names, ' ');

		if (word.n && word.p[0] != '-')
			sv_copy(f->arg, sizeof(f->arg), word);
		else if (word.n && f->names_n < DOCS_NAMES_MAX)
			sv_copy(f->names[f->names_n++], sizeof(f->names[0]),
				sv_ends(word, SV(",")) ? sv_make(word.p, word.n - 1) : word);
	}
}

/* A line below a row goes on with its help. */
static void continue_flag(struct docs_command *c, struct sv line)
{
	struct docs_flag *f = &c->flags[c->flags_n - 1];
	size_t n = strlen(f->help);

	snprintf(f->help + n, sizeof(f->help) - n, "%s" SV_FMT, n ? " " : "", SV_ARG(line));
}

static void read_flags(struct docs_command *c)
{
	struct sv rest = sv_str(c->help);
	bool in_row = false;

	while (rest.n) {
		struct sv line = sv_cut(&rest, '\n');

		if (sv_starts(line, SV("  -"))) {
			add_flag(c, sv_drop(line, 2));
			in_row = true;
		} else if (in_row && sv_starts(line, SV("        "))) {
			continue_flag(c, sv_trim(line));
		} else {
			in_row = false;
		}
	}
}

/* Rows "  name   what it does" of tundra --help. */
static void read_commands(struct docs_source *s, const char *self)
{
	char *help = help_of(self, NULL);
	struct sv rest = sv_str(help);

	while (rest.n && s->n < DOCS_COMMANDS_MAX) {
		struct sv line = sv_cut(&rest, '\n'), about = sv_drop(line, 2), name;
		struct docs_command *c = &s->commands[s->n];

		if (!sv_starts(line, SV("  ")) || !memmem(about.p, about.n, "  ", 2))
			continue;
		name = sv_cut(&about, ' ');
		if (!name.n)
			continue;
		sv_copy(c->name, sizeof(c->name), name);
		sv_copy(c->about, sizeof(c->about), sv_trim(about));
		s->n++;
	}
	mem_free(help);
	for (size_t i = 0; i < s->n; i++) {
		s->commands[i].help = help_of(self, s->commands[i].name);
		read_flags(&s->commands[i]);
	}
}

/* ---- the command ---- */

static int write_page(const char *folder, const char *path, struct sv text)
{
	char *at _mem_free_ = mem_printf("%s/%s", folder, path),
		 *parent _mem_free_ = mem_strdup(at);
	int r;

	*strrchr(parent, '/') = '\0';
	r = fsx_mkdirs(parent, 0755);
	if (r == 0)
		r = fsx_replace(at, text, 0644, 0);
	if (r < 0)
		fprintf(stderr, "tundra docs: %s: %s\n", at, strerror(-r));
	return r;
}

int cmd_docs(int argc, char **argv)
{
	struct docs_source *s;
	char self[512];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct buf page;
	int r = 0;

	if (argc != 2 || *argv[1] == '-' || len < 0) {
		fprintf(stderr, "usage: tundra docs FOLDER\n");
		return EXIT_USAGE;
	}
	self[len] = '\0';
	s = MEM_NEW(struct docs_source);
	read_commands(s, self);
	buf_init(&page, PAGE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(pages) && r == 0; i++) {
		buf_clear(&page);
		pages[i].write(s, &page);
		r = write_page(argv[1], pages[i].path, buf_sv(&page));
	}
	buf_done(&page);
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->commands[i].help);
	mem_free(s);
	return r < 0 ? 1 : 0;
}
