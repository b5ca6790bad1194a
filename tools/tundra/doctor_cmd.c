/* tundra doctor: is this node able? The flags, the lines, the exit code. */
#include <stdio.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/version.h"
#include "tools/tundra/command.h"
#include "tools/tundra/doctor.h"

enum { JSON_MAX = 1 << 20, TIMEOUT_MAX_MS = 600000 };

struct options {
	struct node_options node; /* first: its rows count offsets from here */
	char *output;
	int64_t timeout_ms;
};
static const struct conf_option own[] = {
	COMMAND_OUTPUT(struct options),
	{ .name = "timeout",
	  .arg = "TIME",
	  .otherwise = "10s",
	  .min = 100,
	  .max = TIMEOUT_MAX_MS,
	  .kind = CONF_DURATION_MS,
	  .offset = offsetof(struct options, timeout_ms),
	  .help = "limit of one check; driver and nvml have 60 s at least" },
};

static void print_line(void *arg, const struct doctor_check *c, const struct doctor_finding *f)
{
	(void)arg;
	printf("%-8s %-16s %s\n", doctor_verdict_names[f->verdict], c->name, f->found);
	if (*f->fix)
		printf("%-8s %-16s -> %s\n", "", "", f->fix);
	fflush(stdout);
}

static void print_sum(const size_t count[DOCTOR_VERDICTS])
{
	printf("\n%zu ok, %zu warn, %zu FAIL, %zu unknown: %s\n", count[DOCTOR_OK],
	       count[DOCTOR_WARN], count[DOCTOR_FAIL], count[DOCTOR_UNKNOWN],
	       count[DOCTOR_FAIL]      ? "this node cannot serve its GPUs as it is"
	       : count[DOCTOR_UNKNOWN] ? "nothing fails of what could be asked"
				       : "this node is able");
}

static int examine(const void *options, struct err *e)
{
	const struct options *o = options;
	bool json = !strcmp(o->output, "json");
	size_t count[DOCTOR_VERDICTS] = { 0 };
	struct doctor d;
	struct buf text;

	(void)e; /* a check that fails is an answer */
	doctor_init(&d, &o->node, NULL);
	d.limit_ms = (uint32_t)o->timeout_ms;
	if (!json)
		printf("tundra %s on node %s\n\n", version_string(), o->node.node_name);
	doctor_run_all(&d, json ? NULL : print_line, NULL);
	for (size_t i = 0; i < doctor_checks_n; i++)
		count[d.findings[i].verdict]++;
	if (json) {
		buf_init(&text, JSON_MAX);
		doctor_json(&d, &text);
		printf("%s\n", buf_cstr(&text));
		buf_done(&text);
	} else {
		print_sum(count);
	}
	doctor_done(&d);
	return count[DOCTOR_FAIL] ? 1 : 0;
}

static const struct command_spec command = {
	.name = "doctor",
	.usage = "[FLAGS]",
	.about =
	    "Is this node able to serve its GPUs? One line per check; changes nothing but that "
	    "the driver's\nmissing device nodes are made, as tundra node does. Exit: 0 nothing "
	    "fails, 1 something does.",
	.own = own,
	.own_n = ARRAY_LEN(own),
	.run = examine,
};

int cmd_doctor(int argc, char **argv)
{
	struct options o = { 0 };

	return command_run(&command, argc, argv, &o);
}
