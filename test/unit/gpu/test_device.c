#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/log.h"
#include "core/sv.h"
#include "gpu/device.h"

static unsigned logged;
static void count_log(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
	logged++;
}

static void test_text(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "tab\there\x7f", "tab here " },
		{ "\xff\xfe", "??" },
		{ "caf\xc3", "caf?" },
		{ "\xc0\xaf\xe0\x80\xaf", "?????" }, /* longer forms than needed */
		{ "\xed\xa0\x80", "???" },	     /* half a surrogate pair */
		{ "\xf4\x90\x80\x80x", "????x" },    /* beyond Unicode */
		{ "\xe2\x82\xac \xf0\x9f\x8e\xae", "\xe2\x82\xac \xf0\x9f\x8e\xae" },
		/* 64 bytes stay, the 65th goes; */
		{ "0123456789012345678901234567890123456789012345678901234567890123x",
		  "0123456789012345678901234567890123456789012345678901234567890123" },
		/* a character that would be halved goes whole. */
		{ "012345678901234567890123456789012345678901234567890123456789012\u00fcx",
		  "012345678901234567890123456789012345678901234567890123456789012" },
		{ "01234567890123456789012345678901234567890123456789012345678901\u00fc",
		  "01234567890123456789012345678901234567890123456789012345678901\u00fc" },
	};
	struct gpu_device d = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		device_add_string(&d, "", "x", rows[i].in);
		assert_string_equal(d.attributes[i].s, rows[i].out);
	}
	device_done(&d);
}

static void test_sorted(void **state)
{
	static const char *const order[] = { NULL };
	struct gpu_device d = { 0 };

	(void)state;
	device_add_string(&d, "b.example", "a", "1");
	device_add_string(&d, "", "z", "2");
	device_add_int(&d, "a.example", "z", 3);
	device_add_bool(&d, "a.example", "b", true);
	device_add_capacity(&d, "zeta", 1);
	device_add_capacity(&d, "alpha", 2);
	assert_int_equal(device_seal(&d, order), 0);
	assert_string_equal(d.attributes[0].name, "z");
	assert_string_equal(d.attributes[1].name, "b");
	assert_string_equal(d.attributes[2].name, "z");
	assert_string_equal(d.attributes[3].domain, "b.example");
	assert_string_equal(d.capacities[0].name, "alpha");
	assert_int_equal(device_attribute(&d, "a.example", "z")->i, 3);
	assert_null(device_attribute(&d, "", "b"));
	device_done(&d);
}

/* 30 that must stay, 4 extras, one capacity: three extras go, in the order that was said. */
static void test_limit(void **state)
{
	static const char *const order[] = { "one", "two", "three", "four", NULL };
	static const char *const extras[] = { "four", "three", "two", "one" };
	struct gpu_device d = { 0 };
	char name[8];
	size_t i;

	(void)state;
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "a%zu", i);
		device_add_int(&d, "", name, (int64_t)i);
	}
	device_add_string(&d, "", "one", "not an extra, only named like one");
	d.attributes_n--;
	for (i = 0; i < ARRAY_LEN(extras); i++) {
		device_add_int(&d, "x.example", extras[i], 1);
		device_mark_extra(&d);
	}
	device_add_capacity(&d, "memory", 1);
	logged = 0;
	log_capture(count_log, NULL);
	assert_int_equal(device_seal(&d, order), 3);
	log_capture(NULL, NULL);
	assert_int_equal(logged, 3);
	assert_int_equal(d.attributes_n + d.capacities_n, GPU_FACETS_MAX);
	assert_non_null(device_attribute(&d, "x.example", "four"));
	assert_null(device_attribute(&d, "x.example", "three"));
	assert_non_null(device_attribute(&d, "", "a29"));
	device_done(&d);
}

static void make(struct gpu_device *d)
{
	*d = (struct gpu_device){ .minor = 3, .present = true };
	snprintf(d->name, sizeof(d->name), "gpu-3");
	snprintf(d->uuid, sizeof(d->uuid), "GPU-3");
	snprintf(d->pci, sizeof(d->pci), "0000:03:00.0");
	device_add_string(d, "", "type", "gpu");
	device_add_capacity(d, "memory", 5);
	assert_int_equal(edits_add_env(&d->edits, "A=b"), 0);
}

static void test_same(void **state)
{
	struct gpu_device a, b;
	unsigned i;

	(void)state;
	make(&a);
	for (i = 0; i < 9; i++) {
		make(&b);
		if (i == 0) {
			b.handle = 77; /* others' business */
			assert_true(device_same(&a, &b));
		}
		if (i == 1)
			b.present = false;
		if (i == 2)
			device_trouble(&b, "lost %d", 15);
		if (i == 3)
			b.attributes[0].s[0] = 'G';
		if (i == 4)
			b.capacities[0].value++;
		if (i == 5)
			assert_int_equal(edits_add_gid(&b.edits, 44), 0);
		if (i == 6)
			b.uuid[4] = '4';
		if (i == 7)
			device_add_int(&b, "", "more", 1);
		if (i == 8)
			b.minor = 4;
		if (i)
			assert_false(device_same(&a, &b));
		device_done(&b);
	}
	device_done(&a);
	device_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_sorted),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_same),
	};

	return RUN(tests);
}
