#include "core/gate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ALPHA, ALPHA_ON, BETA, STABLE, LATER };

static const struct gate table[] = {
	[ALPHA] = { "TimeSlicing", GATE_ALPHA, false, false },
	[ALPHA_ON] = { "MPS", GATE_ALPHA, true, false },
	[BETA] = { "Health", GATE_BETA, true, false },
	[STABLE] = { "Full", GATE_GA, true, false },
	[LATER] = { "DynamicMIG", GATE_ALPHA, true, true },
};

static void expect(const char *text, const char *on)
{
	bool state[ARRAY_LEN(table)];
	struct err e = { "" };
	size_t i;

	memset(state, 1, sizeof(state));
	if (gate_parse(table, ARRAY_LEN(table), text, state, &e))
		fail_msg("%s: %s", text ? text : "(null)", e.text);
	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (state[i] != (on[i] == '1'))
			fail_msg("%s: %s is %d", text, table[i].name, state[i]);
	}
}

static void defaults_and_settings(void **state)
{
	(void)state;
	/* What is not built is off, whatever its default says. */
	expect("", "01110");
	expect(NULL, "01110");
	expect("TimeSlicing=true", "11110");
	expect("TimeSlicing=true,MPS=false,", "10110");
	expect(" TimeSlicing = True ,, Health=0 ", "11010");
	expect("MPS=false,MPS=true", "01110");
	expect("DynamicMIG=false", "01110");
}

static void stages(void **state)
{
	(void)state;
	expect("AllAlpha=true", "11110");
	expect("AllAlpha=false", "00110");
	expect("AllBeta=false", "01010");
	/* A gate's own name wins on either side. */
	expect("MPS=true,AllAlpha=false", "01110");
	expect("AllAlpha=false,MPS=true", "01110");
}

static void expect_left_out(const char *text, const char *names)
{
	bool left_out[ARRAY_LEN(table)];
	char told[128] = "";
	size_t i, n = 0;

	memset(left_out, 1, sizeof(left_out));
	gate_left_out(table, ARRAY_LEN(table), text, left_out);
	for (i = 0; i < ARRAY_LEN(table); i++)
		if (left_out[i])
			n += (size_t)snprintf(told + n, sizeof(told) - n, "%s ", table[i].name);
	assert_string_equal(told, names);
}

static void what_a_stage_cannot_enable_is_told(void **state)
{
	(void)state;
	expect_left_out("", "");
	expect_left_out("TimeSlicing=true", "");
	expect_left_out("AllAlpha=true", "DynamicMIG ");
	expect_left_out("AllAlpha=false,AllBeta=true", "");
	expect_left_out("AllAlpha=true,AllAlpha=false", "");
	/* Who says no by name has not been left without. */
	expect_left_out("AllAlpha=true,DynamicMIG=false", "");
	expect_left_out("DynamicMIG=false,AllAlpha=true", "");
}

static void refuse(const char *text, const char *why)
{
	bool state[ARRAY_LEN(table)];
	struct err e = { "" };

	assert_int_equal(gate_parse(table, ARRAY_LEN(table), text, state, &e), -EINVAL);
	assert_string_equal(e.text, why);
	assert_int_equal(gate_parse(table, ARRAY_LEN(table), text, state, NULL), -EINVAL);
}

static void errors_name_the_culprit(void **state)
{
	(void)state;
	refuse("Helth=true", "unknown feature gate \"Helth\", known are TimeSlicing, MPS, Health, "
			     "Full, DynamicMIG");
	refuse("MPS=true,=true", "unknown feature gate \"\", known are TimeSlicing, MPS, Health, "
				 "Full, DynamicMIG");
	refuse("MPS", "feature gate MPS needs =true or =false");
	refuse("MPS=yes", "feature gate MPS needs =true or =false");
	refuse("AllAlpha=", "feature gate AllAlpha needs =true or =false");
	refuse("DynamicMIG=true", "feature gate DynamicMIG cannot be enabled: not supported yet");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_and_settings),
		cmocka_unit_test(stages),
		cmocka_unit_test(what_a_stage_cannot_enable_is_told),
		cmocka_unit_test(errors_name_the_culprit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
