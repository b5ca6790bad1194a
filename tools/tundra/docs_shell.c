/* The man page and the completions for bash and zsh. */
#include <ctype.h>

#include "core/version.h"
#include "tools/tundra/docs.h"

/* The words that a flag takes, as its help tells them: "(one of table, json; default table)". */
static struct sv choices(const struct docs_flag *f)
{
	static const char mark[] = "(one of ";
	const char *at = strstr(f->help, mark);

	return at ? sv_make(at + strlen(mark), strcspn(at + strlen(mark), ";)")) : SV_NONE;
}

static void put_choices(struct buf *out, struct sv words)
{
	while (words.n) {
		struct sv word = sv_trim(sv_cut(&words, ','));

		buf_printf(out, SV_FMT "%s", SV_ARG(word), words.n ? " " : "");
	}
}

/* ---- man ---- */

/* Backslash, and a dot or quote that would begin a request. */
static void roff(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_puts(out, "\\&");
	for (; *text; text++)
		if (*text == '\\')
			buf_puts(out, "\\e");
		else if (*text == '-')
			buf_puts(out, "\\-");
		else
			buf_putc(out, *text);
}

static void roff_flag(struct buf *out, const struct docs_flag *f)
{
	buf_puts(out, ".TP\n");
	for (size_t i = 0; i < f->names_n; i++) {
		buf_puts(out, i ? ", \\fB" : "\\fB");
		roff(out, f->names[i]);
		buf_puts(out, "\\fR");
	}
	if (*f->arg) {
		buf_puts(out, " \\fI");
		roff(out, f->arg);
		buf_puts(out, "\\fR");
	}
	buf_putc(out, '\n');
	roff(out, f->help);
	buf_putc(out, '\n');
}

void docs_man(const struct docs_source *s, struct buf *out)
{
	buf_printf(out,
		   ".\\\" Written by `tundra docs docs` from the tables in the code; do not edit.\n"
		   ".TH TUNDRA 1 \"\" \"tundra %s\"\n.SH NAME\ntundra \\- GPUs of a Kubernetes "
		   "node through Dynamic Resource Allocation\n.SH SYNOPSIS\n.B tundra\n"
		   "\\fICOMMAND\\fR [\\fIFLAGS\\fR]\n.SH COMMANDS\n",
		   version_string());
	for (size_t i = 0; i < s->n; i++) {
		buf_puts(out, ".TP\n\\fB");
		roff(out, s->commands[i].name);
		buf_puts(out, "\\fR\n");
		roff(out, s->commands[i].about);
		buf_putc(out, '\n');
	}
	for (size_t i = 0; i < s->n; i++) {
		buf_puts(out, ".SH FLAGS OF TUNDRA ");
		for (const char *c = s->commands[i].name; *c; c++)
			buf_putc(out, (char)toupper((unsigned char)*c));
		buf_putc(out, '\n');
		for (size_t k = 0; k < s->commands[i].flags_n; k++)
			roff_flag(out, &s->commands[i].flags[k]);
	}
	buf_puts(out, ".SH EXIT STATUS\n0 done; 1 failed, said on stderr, or a check of doctor "
		      "fails; 2 wrong usage.\n.SH FILES\n.TP\n"
		      "\\fI/var/lib/kubelet/plugins/gpu.nvidia.com/ledger\\fR\n"
		      "what is prepared on this node\n.TP\n"
		      "\\fI/var/run/cdi/k8s.gpu.nvidia.com\\-claim_*.yaml\\fR\n"
		      "CDI specs, one per prepared claim\n.TP\n\\fI/run/tundra/status.sock\\fR\n"
		      "answers tundra status\n");
}

/* ---- bash ---- */

static void flag_words(struct buf *out, const struct docs_command *c)
{
	for (size_t i = 0; i < c->flags_n; i++)
		for (size_t k = 0; k < c->flags[i].names_n; k++)
			buf_printf(out, " %s", c->flags[i].names[k]);
}

/* case $prev in -o|--output) choices='table json' ;; ... esac */
static void bash_choices(struct buf *out, const struct docs_command *c)
{
	for (size_t i = 0; i < c->flags_n; i++) {
		const struct docs_flag *f = &c->flags[i];

		if (!choices(f).n)
			continue;
		buf_puts(out, "\n\t\t\tcase $prev in ");
		for (size_t k = 0; k < f->names_n; k++)
			buf_printf(out, "%s%s", k ? " | " : "", f->names[k]);
		buf_puts(out, ") choices='");
		put_choices(out, choices(f));
		buf_puts(out, "' ;; esac");
	}
}

void docs_bash(const struct docs_source *s, struct buf *out)
{
	buf_puts(out,
		 "# Written by `tundra docs docs` from the tables in the code; do not edit.\n"
		 "# bash completion for tundra: source it, or put it into "
		 "/usr/share/bash-completion/completions/tundra\n"
		 "_tundra() {\n"
		 "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words "
		 "choices=\n"
		 "\tCOMPREPLY=()\n"
		 "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (size_t i = 0; i < s->n; i++)
		buf_printf(out, "%s ", s->commands[i].name);
	buf_puts(out, "--help --version'\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < s->n; i++) {
		buf_printf(out, "\t\t%s) words='", s->commands[i].name);
		flag_words(out, &s->commands[i]);
		buf_putc(out, '\'');
		bash_choices(out, &s->commands[i]);
		buf_puts(out, "\n\t\t\t;;\n");
	}
	buf_puts(out, "\t\t*) return ;;\n\t\tesac\n"
		      "\t\tif [ -n \"$choices\" ]; then\n"
		      "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$cur\")\n"
		      "\t\t\treturn\n\t\tfi\n\t\t# The value of a flag is mostly a path.\n"
		      "\t\tif [ \"${cur#-}\" = \"$cur\" ] && [ \"${prev#-}\" != \"$prev\" ]; then\n"
		      "\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\t\t\treturn\n"
		      "\t\tfi\n\tfi\n"
		      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
		      "complete -F _tundra tundra\n");
}

/* ---- zsh ---- */

/* Inside '...[...]' of _arguments: quotes, brackets and colons mean something. */
static void zsh_text(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			buf_puts(out, "'\\''");
		else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
			buf_printf(out, "\\%c", *text);
		else
			buf_putc(out, *text);
}

static void zsh_flag(struct buf *out, const struct docs_flag *f)
{
	for (size_t i = 0; i < f->names_n; i++) {
		buf_printf(out, " \\\n\t\t\t'%s%s[", f->names[i], *f->arg ? "=" : "");
		zsh_text(out, f->help);
		buf_putc(out, ']');
		if (*f->arg) {
			buf_putc(out, ':');
			zsh_text(out, f->arg);
			buf_puts(out, choices(f).n ? ":(" : ":_files");
			put_choices(out, choices(f));
			buf_puts(out, choices(f).n ? ")" : "");
		}
		buf_putc(out, '\'');
	}
}

void docs_zsh(const struct docs_source *s, struct buf *out)
{
	buf_puts(out, "#compdef tundra\n"
		      "# Written by `tundra docs docs` from the tables in the code; do not edit.\n"
		      "_tundra() {\n\tlocal -a commands\n\tcommands=(\n");
	for (size_t i = 0; i < s->n; i++) {
		buf_printf(out, "\t\t'%s:", s->commands[i].name);
		zsh_text(out, s->commands[i].about);
		buf_puts(out, "'\n");
	}
	buf_puts(out, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n"
		      "\t\treturn\n\tfi\n\tcase $words[2] in\n");
	for (size_t i = 0; i < s->n; i++) {
		buf_printf(out, "\t%s)\n\t\tshift words\n\t\t(( CURRENT-- ))\n\t\t_arguments",
			   s->commands[i].name);
		for (size_t k = 0; k < s->commands[i].flags_n; k++)
			zsh_flag(out, &s->commands[i].flags[k]);
		buf_puts(out, "\n\t\t;;\n");
	}
	buf_puts(out, "\tesac\n}\n_tundra \"$@\"\n");
}
