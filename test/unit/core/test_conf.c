#include "core/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/buf.h"

struct options {
	char *node, *format, *gates, *empty;
	int64_t port, level, wait;
	bool admin, events;
};

#define AT(f) .offset = offsetof(struct options, f)
static const char *const formats[] = { "text", "json", NULL };
static const struct conf_option table[] = {
	{ .name = "node-name",
	  .env = { "NODE_NAME", "NODENAME" },
	  .arg = "NAME",
	  .help = "Name of the node.",
	  .kind = CONF_STR,
	  .required = true,
	  AT(node) },
	{ .name = "log-format",
	  .env = { "LOG_FORMAT" },
	  .otherwise = "text",
	  .arg = "FORMAT",
	  .help = "Form of a log line.",
	  .words = formats,
	  .kind = CONF_STR,
	  AT(format) },
	{ .name = "feature-gates", .arg = "LIST", .help = "Gates.", .kind = CONF_LIST, AT(gates) },
	{ .name = "no-default", .arg = "TEXT", .help = "Nothing.", .kind = CONF_STR, AT(empty) },
	{ .name = "http-port",
	  .env = { "PORT" },
	  .otherwise = "8080",
	  .arg = "PORT",
	  .help = "Port.",
	  .min = 1,
	  .max = 65535,
	  .kind = CONF_INT,
	  AT(port) },
	{ .name = "verbosity",
	  .alias = "v",
	  .env = { "V" },
	  .otherwise = "-1",
	  .help = "Level.",
	  .kind = CONF_INT,
	  AT(level) },
	{ .name = "wait",
	  .otherwise = "30s",
	  .arg = "TIME",
	  .help = "Time.",
	  .max = 60000,
	  .kind = CONF_DURATION_MS,
	  AT(wait) },
	{ .name = "admin-access", .env = { "ADMIN" }, .help = "A.", .kind = CONF_BOOL, AT(admin) },
	{ .name = "events", .otherwise = "true", .help = "E.", .kind = CONF_BOOL, AT(events) },
};

static const char *const *environment; /* name, value, ..., NULL */

static const char *env(const char *name)
{
	const char *const *e;

	for (e = environment; e && *e; e += 2) {
		if (strcmp(e[0], name) == 0)
			return e[1];
	}
	return NULL;
}

enum { ARGS_MAX = 8 };

static int parse(struct options *o, struct err *e, const char *const *args)
{
	char *argv[ARGS_MAX + 2];
	int argc = 0;

	argv[argc++] = (char[]){ "node" };
	for (; args && *args; args++) {
		assert_true(argc <= ARGS_MAX);
		argv[argc++] = (char *)(uintptr_t)*args;
	}
	*o = (struct options){ 0 };
	e->text[0] = '\0';
	return conf_parse(table, ARRAY_LEN(table), argc, argv, env, o, e);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void good(struct options *o, const char *const *args)
{
	struct err e;

	if (parse(o, &e, args))
		fail_msg("%s", e.text);
}

static void bad(const char *const *args, const char *why)
{
	struct options o;
	struct err e;

	assert_int_equal(parse(&o, &e, args), -EINVAL);
	assert_string_equal(e.text, why);
	/* Nothing is left to free. */
	assert_null(o.node);
	assert_null(o.format);
	assert_null(o.gates);
}

static void done(struct options *o)
{
	conf_done(table, ARRAY_LEN(table), o);
	conf_done(table, ARRAY_LEN(table), o);
	assert_null(o->node);
}

static int no_environment(void **state)
{
	(void)state;
	environment = NULL;
	return 0;
}

static void defaults(void **state)
{
	struct options o;

	(void)state;
	good(&o, ARGS("--node-name", "n1"));
	assert_string_equal(o.node, "n1");
	assert_string_equal(o.format, "text");
	assert_null(o.gates);
	assert_null(o.empty);
	assert_int_equal(o.port, 8080);
	assert_int_equal(o.level, -1);
	assert_int_equal(o.wait, 30000);
	assert_false(o.admin);
	assert_true(o.events);
	done(&o);
}

static void every_spelling(void **state)
{
	struct options o;

	(void)state;
	good(&o, ARGS("--node-name=a=b", "-v", "4", "--admin-access", "--events=false"));
	assert_string_equal(o.node, "a=b");
	assert_int_equal(o.level, 4);
	assert_true(o.admin);
	assert_false(o.events);
	done(&o);
	good(&o, ARGS("-node-name", "x", "-v=-2", "-admin-access=T", "--wait=1m", "--no-default="));
	assert_string_equal(o.node, "x");
	assert_int_equal(o.level, -2);
	assert_true(o.admin);
	assert_int_equal(o.wait, 60000);
	assert_string_equal(o.empty, "");
	done(&o);
	/* A separate value may look like a flag; the last of several counts, a list joins. */
	good(&o, ARGS("--node-name", "-v", "--v=1", "--v", "2", "--feature-gates=A=true,",
		      "--feature-gates=B=false"));
	assert_string_equal(o.node, "-v");
	assert_int_equal(o.level, 2);
	assert_string_equal(o.gates, "A=true,,B=false");
	done(&o);
}

static void precedence(void **state)
{
	static const char *const vars[] = { "NODENAME", "second", "PORT", "99", "V",
					    "",		"ADMIN",  "true", NULL };
	static const char *const both[] = { "NODE_NAME", "first", "NODENAME", "second", NULL };
	static const char *const empty[] = { "NODE_NAME", "", "NODENAME", "second", NULL };
	struct options o;

	(void)state;
	environment = vars;
	good(&o, NULL);
	assert_string_equal(o.node, "second");
	assert_int_equal(o.port, 99);
	assert_int_equal(o.level, -1); /* empty is unset */
	assert_true(o.admin);
	done(&o);
	good(&o, ARGS("--http-port=7", "--admin-access=false"));
	assert_int_equal(o.port, 7);
	assert_false(o.admin);
	done(&o);
	environment = both;
	good(&o, NULL);
	assert_string_equal(o.node, "first");
	done(&o);
	environment = empty;
	good(&o, NULL);
	assert_string_equal(o.node, "second");
	done(&o);
}

static void errors_are_one_clear_line(void **state)
{
	static const char *const vars[] = { "PORT", "0", NULL };

	(void)state;
	bad(NULL, "--node-name is required (or NODE_NAME in the environment)");
	bad(ARGS("--node"), "unknown flag \"--node\"");
	bad(ARGS("--node=x"), "unknown flag \"--node=x\"");
	bad(ARGS("-"), "unknown flag \"-\"");
	bad(ARGS("--"), "unknown flag \"--\"");
	bad(ARGS("--=x"), "unknown flag \"--=x\"");
	bad(ARGS("---v=1"), "unknown flag \"---v=1\"");
	bad(ARGS("serve"), "unexpected argument \"serve\"");
	bad(ARGS(""), "unexpected argument \"\"");
	bad(ARGS("--admin-access", "false"), "unexpected argument \"false\"");
	bad(ARGS("--node-name"), "--node-name needs a value");
	bad(ARGS("-v"), "-v needs a value");
	bad(ARGS("-v", "x"), "-v: \"x\" is not a number");
	bad(ARGS("--v="), "-v: \"\" is not a number");
	bad(ARGS("--http-port=65536"), "--http-port: \"65536\" is not between 1 and 65535");
	bad(ARGS("--wait=61s"), "--wait: \"61s\" is not between 0 and 60000 ms");
	bad(ARGS("--wait=30"), "--wait: \"30\" is not a duration such as 30s or 1m30s");
	bad(ARGS("--events=yes"), "--events: \"yes\" is not true or false");
	bad(ARGS("--node-name=n", "--log-format=xml"),
	    "--log-format: \"xml\" is not one of text, json");
	environment = vars;
	bad(ARGS("--node-name=n"), "PORT: \"0\" is not between 1 and 65535");
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} rows[] = {
		{ "0", 0 },
		{ "0s", 0 },
		{ "300ms", 300 },
		{ "1m30s", 90000 },
		{ "1.5h", 5400000 },
		{ ".5s", 500 },
		{ "1.s", 1000 },
		{ "1h1m1s1ms", 3661001 },
		{ "100us", 1 },
		{ "1ns", 1 },
		{ "1\xc2\xb5s", 1 },
		{ "1\xce\xbcs", 1 },
		{ "0.0015s", 2 },
		{ "999us1us", 1 },
		{ "", -1 },
		{ "1", -1 },
		{ "s", -1 },
		{ ".s", -1 },
		{ "-1s", -1 },
		{ "+1s", -1 },
		{ "1 s", -1 },
		{ "1d", -1 },
		{ "1s ", -1 },
		{ "1.2.3s", -1 },
		{ "00", -1 },
		{ "5000000h", 18000000000000 },
		{ "6000000h", -1 },
		{ "99999999999999999999s", -1 },
		{ "5124095h5124095h", -1 },
		{ "0.3333333333333333333333333333h", 1200000 },
	};
	int64_t ms;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		ms = -7;
		r = conf_duration_ms(sv_str(rows[i].text), &ms);
		if (r != (rows[i].ms < 0 ? -EINVAL : 0) || ms != (rows[i].ms < 0 ? -7 : rows[i].ms))
			fail_msg("\"%s\": %d, %lld ms", rows[i].text, r, (long long)ms);
	}
}

static void help_is_aligned_and_wrapped(void **state)
{
	static const struct conf_option one[] = {
		{ .name = "short",
		  .alias = "s",
		  .arg = "N",
		  .otherwise = "3",
		  .help = "A help text that is long enough to need a second line once all of its "
			  "words are there.",
		  .env = { "SHORT", "SHRT" },
		  .kind = CONF_INT },
		{ .name = "a-flag-with-a-very-long-name",
		  .arg = "WORD",
		  .help = "Help.",
		  .words = formats,
		  .required = true,
		  .kind = CONF_STR },
		{ .name = "plain", .help = "Bare.", .kind = CONF_BOOL },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	conf_help(one, ARRAY_LEN(one), &out);
	assert_string_equal(
	    buf_cstr(&out),
	    "  -s, --short N                   A help text that is long enough to need a second "
	    "line once all of\n"
	    "                                  its words are there. (default 3; SHORT or SHRT)\n"
	    "  --a-flag-with-a-very-long-name WORD\n"
	    "                                  Help. (one of text, json; required)\n"
	    "  --plain                         Bare.\n");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(defaults, no_environment),
		cmocka_unit_test_setup(every_spelling, no_environment),
		cmocka_unit_test_setup(precedence, no_environment),
		cmocka_unit_test_setup(errors_are_one_clear_line, no_environment),
		cmocka_unit_test(durations),
		cmocka_unit_test(help_is_aligned_and_wrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
