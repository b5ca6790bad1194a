/*
 * Small texts that a user or a chart gives: the first byte chooses the parser. Command lines are
 * the input's lines.
 */
#include "core/buf.h"
#include "core/conf.h"
#include "core/gate.h"
#include "core/mem.h"
#include "test/fuzz/fuzz.h"

struct options {
	char *text, *word, *list;
	int64_t number, span;
	bool flag;
};

#define AT(f) .offset = offsetof(struct options, f)
static const char *const words[] = { "red", "green", NULL };
static const struct conf_option table[] = {
	{ .name = "text", .alias = "t", .kind = CONF_STR, .help = "h", AT(text) },
	{ .name = "word", .kind = CONF_STR, .words = words, .help = "h", AT(word) },
	{ .name = "list", .kind = CONF_LIST, .help = "h", AT(list) },
	{ .name = "number", .alias = "v", .kind = CONF_INT, .max = 9, .help = "h", AT(number) },
	{ .name = "span", .kind = CONF_DURATION_MS, .help = "h", AT(span) },
	{ .name = "flag", .kind = CONF_BOOL, .help = "h", AT(flag) },
};
static const struct gate gates[] = { { "Alpha", GATE_ALPHA, false, false },
				     { "Beta", GATE_BETA, true, false },
				     { "Later", GATE_ALPHA, false, true } };

static void command_line(struct sv text)
{
	char *argv[16] = { (char[]){ "x" } };
	struct options o = { 0 };
	struct err e = { "" };
	int argc = 1;

	while (text.n && argc < (int)ARRAY_LEN(argv))
		argv[argc++] = sv_dup(sv_cut(&text, '\n'));
	if (conf_parse(table, ARRAY_LEN(table), argc, argv, conf_no_env, &o, &e))
		must(*e.text && !o.text && !o.word && !o.list);
	else
		must(o.number >= 0 && o.number <= 9 && o.span >= 0);
	conf_done(table, ARRAY_LEN(table), &o);
	while (argc > 1)
		mem_free(argv[--argc]);
}

static void numbers(struct sv text)
{
	int64_t i, again;
	uint64_t u;
	char s[24];
	bool b;

	if (!sv_i64(text, &i)) {
		(void)snprintf(s, sizeof(s), "%lld", (long long)i);
		must(!sv_i64(sv_str(s), &again) && again == i);
	}
	if (!sv_u64(text, &u) && u <= INT64_MAX)
		must(!sv_i64(text, &i) && (uint64_t)i == u);
	if (!sv_bool(text, &b))
		must(text.n <= 5);
	if (!conf_duration_ms(text, &i))
		must(i >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool state[ARRAY_LEN(gates)];
	struct err e = { "" };
	struct sv text;
	char *s;

	if (!size)
		return 0;
	text = sv_make(data + 1, size - 1);
	if (data[0] == 'c') {
		command_line(text);
	} else if (data[0] == 'n') {
		numbers(text);
	} else if (data[0] == 'g') {
		s = sv_dup(text);
		if (gate_parse(gates, ARRAY_LEN(gates), s, state, &e))
			must(*e.text);
		else
			must(!state[2]);
		mem_free(s);
	}
	return 0;
}
