#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "gpu/pci.h"

static void test_spellings(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "0000:65:00.0", "0000:65:00.0" },
		{ "00000000:65:00.0", "0000:65:00.0" }, /* NVML's */
		{ "00000000:AF:1F.7", "0000:af:1f.7" },
		{ "00000009:06:00.0", "0009:06:00.0" },
		{ "00010000:65:00.0", "10000:65:00.0" }, /* VMD, as the kernel writes it */
		{ "10000:e1:00.0", "10000:e1:00.0" },
		{ "fffffff:00:00.0", "fffffff:00:00.0" },
	};
	char out[PCI_TEXT_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(pci_normalise(sv_str(rows[i].in), out), 0);
		assert_string_equal(out, rows[i].out);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"0000",
		"0000:65:00",
		"000:65:00.0",
		"0000:6:00.0",
		"0000:65:0.0",
		"0000:65:00.8",
		"0000:65:20.0",
		"0000:65:00.00",
		"0000:65:00.0 ",
		" 0000:65:00.0",
		"000000000:65:00.0",
		"0000:6g:00.0",
		"0000:65:00:0",
		"0000:65:00.",
		"-000:65:00.0",
	};
	struct pci_address a;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(pci_parse(sv_str(rows[i]), &a), -EINVAL);
}

static void test_too_long(void **state)
{
	char out[PCI_TEXT_MAX + 1] = "x";

	(void)state;
	assert_int_equal(pci_normalise(SV("ffffffff:ff:1f.7"), out), -ERANGE);
	assert_string_equal(out, "");
}

static void test_order(void **state)
{
	static const char *const sorted[] = { "0000:05:00.0", "0000:41:00.0", "0000:41:00.1",
					      "0000:41:01.0", "0001:00:00.0", "10000:00:00.0",
					      "aardvark",     "zebra" };
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sorted); i++)
		for (j = 0; j < ARRAY_LEN(sorted); j++) {
			int r = pci_cmp_text(sorted[i], sorted[j]);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_order),
	};

	return RUN(tests);
}
