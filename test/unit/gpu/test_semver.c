#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "gpu/semver.h"

static void test_table(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} rows[] = {
		{ "580.126.20", "580.126.20" },
		{ "570.158.01", "570.158.1" },
		{ "580.65.06", "580.65.6" },
		{ "535.104", "535.104.0" },
		{ "9.0", "9.0.0" },
		{ "13.0", "13.0.0" },
		{ "12.8", "12.8.0" },
		{ "9", "9.0.0" },
		{ "0.0.0", "0.0.0" },
		{ "000.010.000", "0.10.0" },
		{ "512.15.65.01", "512.15.65" },
		{ "1.2.3-rc1", "1.2.3" },
		{ "1.2+build", "1.2.0" },
		{ " 550.54.15\n", "550.54.15" },
		{ "550.54.15 (open)", "550.54.15" },
		{ "", NULL },
		{ "N/A", NULL },
		{ "v1.2.3", NULL },
		{ "1..2", NULL },
		{ "1.", NULL },
		{ "1.x", NULL },
		{ "1x", NULL },
		{ ".5", NULL },
		{ "99999999999999999999.0.0", NULL },
		{ "0000000000000000000000001.2.3", "1.2.3" },
	};
	char out[SEMVER_TEXT_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int r = semver_normalise(sv_str(rows[i].in), out);

		assert_int_equal(r, rows[i].out ? 0 : -EINVAL);
		assert_string_equal(out, rows[i].out ? rows[i].out : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	return RUN(tests);
}
