/* A quantity that is read is written canonically, and reads back as the same value. */
#include "k8s/api/quantity.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct quantity first, second;
	char text[QUANTITY_TEXT_MAX], again[QUANTITY_TEXT_MAX];

	if (quantity_parse(sv_make(data, size), &first) < 0)
		return 0;
	quantity_put(&first, text);
	must(quantity_parse(sv_str(text), &second) == 0);
	must(quantity_cmp(&first, &second) == 0);
	/* 187.5Ki is written 192000, which is decimal to who reads it. */
	quantity_put(&second, again);
	must(first.format != second.format || strcmp(text, again) == 0);
	return 0;
}
