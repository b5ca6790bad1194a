#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "core/crc32c.h"
#include "core/le.h"

/* Bit by bit, straight from the definition. */
static uint32_t slow(struct sv s)
{
	uint32_t crc = ~0u;
	size_t i;
	int k;

	for (i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		for (k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void known_answers(void **state)
{
	char zeros[32] = { 0 }, ones[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(crc32c(0, SV_NONE), 0);
	assert_int_equal(crc32c(0, SV("123456789")), 0xe3069283);
	/* RFC 3720, B.4 */
	assert_int_equal(crc32c(0, sv_make(zeros, 32)), 0x8a9136aa);
	assert_int_equal(crc32c(0, sv_make(ones, 32)), 0x62a8ab43);
}

static void every_length_and_split(void **state)
{
	char bytes[67];
	size_t n, cut;
	uint32_t crc;

	(void)state;
	for (n = 0; n < sizeof(bytes); n++)
		bytes[n] = (char)(n * 37 + 11);
	for (n = 0; n <= sizeof(bytes); n++) {
		for (cut = 0; cut <= n; cut++) {
			crc = crc32c(0, sv_make(bytes, cut));
			crc = crc32c(crc, sv_make(bytes + cut, n - cut));
			assert_int_equal(crc, slow(sv_make(bytes, n)));
		}
	}
}

static void integers_are_little_endian(void **state)
{
	unsigned char b[9] = { 0 };

	(void)state;
	le_put64(b + 1, 0x8877665544332211u);
	assert_memory_equal(b + 1, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
	assert_int_equal(le_get16(b + 1), 0x2211);
	assert_int_equal(le_get32(b + 5), 0x88776655);
	assert_true(le_get64(b + 1) == 0x8877665544332211u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(every_length_and_split),
		cmocka_unit_test(integers_are_little_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
