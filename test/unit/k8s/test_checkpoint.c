/*
 * The state file of NVIDIA's driver. The files in test/fuzz/corpus/checkpoint were written by a Go
 * program with Kubernetes' own API types and checksum package, not by us.
 */
#include "k8s/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>

#include "core/fsx.h"
#include "core/mem.h"

#define BOOT  "5c3f8f4e-0000-4000-8000-000000000001"
#define TRAIN "0d2c7a50-3c5e-4a59-9a51-1d4f6a1b0001"
#define PAIR  "1b6f1a3e-77c2-4f0e-8a53-1d4f6a1b0002"
#define BEGUN "2e8e2c1f-9b1d-4f7e-b0a4-1d4f6a1b0003"

static const struct checkpoint_conf conf = {
	.driver = "gpu.nvidia.com", .pool = "node-1", .boot_id = BOOT, .wall_ms = 1234
};

static void load(const char *name, struct buf *out)
{
	char *path = mem_printf(TEST_SOURCE_DIR "/fuzz/corpus/checkpoint/%s", name);

	buf_init(out, 1 << 20);
	assert_int_equal(fsx_read(path, 1 << 20, out), 0);
	mem_free(path);
}

static struct checkpoint *decode(struct sv text)
{
	struct checkpoint *c = NULL;
	struct err e = { "" };

	if (checkpoint_decode(text, &conf, &c, &e))
		fail_msg("%s", e.text);
	return c;
}

static struct checkpoint *decode_file(const char *name)
{
	struct checkpoint *c;
	struct buf text;

	load(name, &text);
	c = decode(buf_sv(&text));
	buf_done(&text);
	return c;
}

static void expect_device(const struct ledger_claim *c, size_t i, const char *request,
			  const char *device, const char *identity, bool admin)
{
	assert_string_equal(c->devices[i].request, request);
	assert_string_equal(c->devices[i].pool, "node-1");
	assert_string_equal(c->devices[i].device, device);
	assert_string_equal(c->devices[i].identity, identity);
	assert_int_equal(c->devices[i].admin, admin);
	assert_null(c->devices[i].share_id);
}

/* Seen on Kubernetes' own package. */
static void checksums_are_kubernetes(void **state)
{
	(void)state;
	assert_int_equal(checkpoint_checksum(SV("{}")), 1558789936u);
	assert_int_equal(checkpoint_checksum(SV("{\"checksum\":0}")), 4166374854u);
	assert_int_equal(checkpoint_checksum(SV("{\"checksum\":0,\"v1\":{}}")), 1083090442u);
}

static void prepared_claims_become_records(void **state)
{
	struct checkpoint *c = decode_file("two_and_begun");

	(void)state;
	assert_int_equal(c->version, 2);
	assert_false(c->stale);
	assert_int_equal(c->claims_n, 2);
	assert_string_equal(c->claims[0]->uid, TRAIN);
	assert_string_equal(c->claims[0]->name, ""); /* that driver drops it */
	assert_string_equal(c->claims[0]->boot_id, BOOT);
	assert_int_equal(c->claims[0]->since_wall_ms, 1234);
	assert_int_equal(c->claims[0]->devices_n, 1);
	expect_device(c->claims[0], 0, "gpu", "gpu-0", "GPU-0000", false);
	assert_string_equal(c->claims[1]->uid, PAIR);
	assert_int_equal(c->claims[1]->devices_n, 2);
	expect_device(c->claims[1], 0, "gpu/first", "gpu-1", "GPU-0001", false);
	expect_device(c->claims[1], 1, "mon", "gpu-0", "GPU-0000", true);
	assert_int_equal(c->started_n, 1);
	assert_string_equal(c->started[0], BEGUN);
	checkpoint_free(&c);
}

static void every_version_is_read(void **state)
{
	static const struct {
		const char *name;
		unsigned version;
	} files[] = { { "v1_only", 1 }, { "no_boot", 2 }, { "without_mps_id", 2 }, { "v3", 3 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct checkpoint *c = decode_file(files[i].name);

		assert_int_equal(c->version, files[i].version);
		assert_false(c->stale);
		assert_int_equal(c->claims_n, 1);
		assert_string_equal(c->claims[0]->uid, TRAIN);
		expect_device(c->claims[0], 0, "gpu", "gpu-0", "GPU-0000", false);
		checkpoint_free(&c);
	}
}

static void nothing_prepared(void **state)
{
	struct checkpoint *c = decode_file("empty");

	(void)state;
	assert_int_equal(c->claims_n + c->started_n, 0);
	assert_false(c->stale);
	checkpoint_free(&c);
	c = decode(SV("{\"checksum\":4166374854}"));
	assert_int_equal(c->version, 0);
	checkpoint_free(&c);
}

/* The digest of an allocation is what a repeated Prepare is compared by. */
static void the_allocation_is_the_claims(void **state)
{
	struct checkpoint *a = decode_file("no_boot"), *b = decode_file("two_and_begun");

	(void)state;
	assert_int_equal(a->claims[0]->allocation, b->claims[0]->allocation);
	assert_int_not_equal(b->claims[0]->allocation, b->claims[1]->allocation);
	checkpoint_free(&a);
	checkpoint_free(&b);
}

static void another_boot_ends_all(void **state)
{
	struct checkpoint_conf later = conf;
	struct checkpoint *c;
	struct buf text;
	struct err e = { "" };

	(void)state;
	later.boot_id = "another";
	load("mig", &text); /* not to be taken over, but it does not hold any more */
	assert_int_equal(checkpoint_decode(buf_sv(&text), &later, &c, &e), 0);
	assert_true(c->stale);
	assert_int_equal(c->stale_n, 2);
	assert_int_equal(c->claims_n + c->started_n, 0);
	checkpoint_free(&c);
	buf_done(&text);
	load("no_boot", &text); /* from before there were boot ids: believed */
	assert_int_equal(checkpoint_decode(buf_sv(&text), &later, &c, &e), 0);
	assert_false(c->stale);
	checkpoint_free(&c);
	buf_done(&text);
}

static void refused(struct sv text, int code, const char *const *words)
{
	struct checkpoint *c;
	struct err e = { "" };

	assert_int_equal(checkpoint_decode(text, &conf, &c, &e), code);
	for (; *words; words++)
		if (!strstr(e.text, *words))
			fail_msg("\"%s\" lacks \"%s\"", e.text, *words);
}

static void what_cannot_be_taken_over_is_named(void **state)
{
	static const struct {
		const char *name, *words[5];
	} files[] = {
		{ "mig", { "3f0a9d2b-5d55", "(pod sliced)", "gpu-1-mig-1g10gb-19-2", "MIG" } },
		{ "mig_begun", { "3f0a9d2b-5d55", "sliced", "MIG" } },
		{ "vfio", { "3f0a9d2b-5d55", "(pod vm)", "gpu-vfio-1", "VFIO" } },
		{ "mps", { "3f0a9d2b-5d55", "(pod shared)", "MPS" } },
		{ "time_slicing", { "3f0a9d2b-5d55", "(pod sliced)", "sharing (TimeSlicing)" } },
		{ "share", { "3f0a9d2b-5d55", "share of gpu-1" } },
		{ "twice", { TRAIN, PAIR, "gpu-0", "GPU-0000" } },
		{ "other_pool", { "3f0a9d2b-5d55", "node-2", "node-1", "--node-name" } },
		{ "unknown_device", { "3f0a9d2b-5d55", "imex-7", "kind" } },
		{ "no_kind", { "3f0a9d2b-5d55", "gpu-1" } },
		{ "unknown_state", { "3f0a9d2b-5d55", "PrepareAborted" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct buf text;

		load(files[i].name, &text);
		refused(buf_sv(&text), -ENOTSUP, files[i].words);
		buf_done(&text);
	}
}

/* Whatever bit is wrong, in whatever version that counts. */
static void every_changed_byte_is_noticed(void **state)
{
	static const char *const files[] = { "two_and_begun", "v1_only", "empty" };
	struct err e = { "" };
	struct checkpoint *c;

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(files); f++) {
		struct buf text;
		size_t n;

		load(files[f], &text);
		n = buf_len(&text);
		for (size_t i = 0; i < n; i++) {
			char *byte = text.data + text.start + i, was = *byte;

			if (was == '2' && i > 1 && byte[-1] == 'v')
				continue; /* "v3" of the same content means the same */
			*byte = (char)(was ^ 1);
			if (checkpoint_decode(buf_sv(&text), &conf, &c, &e) != -EBADMSG)
				fail_msg("%s: byte %zu", files[f], i);
			*byte = was;
		}
		for (size_t i = 0; i < n; i++)
			if (!checkpoint_decode(sv_make(buf_sv(&text).p, i), &conf, &c, &e))
				fail_msg("%s: cut at %zu", files[f], i);
		buf_done(&text);
	}
}

static void damage_is_told(void **state)
{
	static const char *const sum[] = { "checksum", "v2", "damaged", NULL },
				 *const none[] = { "checksum", "v1", NULL },
				 *const other[] = { "no state file", NULL },
				 *const object[] = { "no JSON object", NULL };

	(void)state;
	refused(SV("{\"checksum\":1083090442,\"v1\":{},\"v2\":{\"checksum\":2643941195,"
		   "\"nodeBootID\":\"" BOOT "\"}}"),
		-EBADMSG, sum);
	refused(SV("{}"), -EBADMSG, none);
	refused(SV("{\"v1\":{}}"), -EBADMSG, none);
	refused(SV("{\"checksum\":1083090442,\"v1\":{},\"claims\":{}}"), -EBADMSG, other);
	refused(SV("[]"), -EBADMSG, object);
}

/* A person looked at it with an editor that lays it out anew. */
static void white_space_does_not_matter(void **state)
{
	struct checkpoint *c = decode(
	    SV("{\n  \"checksum\": 1083090442,\n  \"v1\": {},\n\t\"v2\": {\r\n \"checksum\": "
	       "2643941194, \"nodeBootID\": \"" BOOT "\"\n}\n}\n"));

	(void)state;
	assert_int_equal(c->version, 2);
	checkpoint_free(&c);
}

/* ---- the way back ---- */

static void encode(const struct checkpoint *c, bool without, struct buf *out)
{
	const struct checkpoint_format format = { .without_mps_id = without };
	struct err e = { "" };

	buf_init(out, CHECKPOINT_MAX);
	if (checkpoint_encode((const struct ledger_claim *const *)c->claims, c->claims_n,
			      "gpu.nvidia.com", BOOT, &format, out, &e))
		fail_msg("%s", e.text);
}

static void nothing_is_written_as_that_driver_does(void **state)
{
	struct checkpoint none = { 0 };
	struct buf out, want;

	(void)state;
	encode(&none, false, &out);
	load("empty", &want);
	assert_string_equal(buf_cstr(&out), buf_cstr(&want));
	buf_done(&out);
	buf_done(&want);
}

/* Byte for byte what Go wrote, but for the pods, which the ledger does not know. */
static void claims_are_written_as_that_driver_does(void **state)
{
	static const char *const files[] = { "exported", "exported_without_mps_id" };
	struct checkpoint *c = decode_file("two_and_begun");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct buf out, want;

		encode(c, i == 1, &out);
		load(files[i], &want);
		assert_string_equal(buf_cstr(&out), buf_cstr(&want));
		buf_done(&out);
		buf_done(&want);
	}
	checkpoint_free(&c);
}

static void what_cannot_be_said_is_not_written(void **state)
{
	struct ledger_device device = { .device = (char *)(uintptr_t) "gpu-0-mig-1g" };
	const struct checkpoint_format format = { false };
	struct ledger_claim claim = { .uid = (char *)(uintptr_t) "a<b" };
	const struct ledger_claim *claims = &claim;
	struct err e = { "" };
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(checkpoint_encode(&claims, 1, "gpu.nvidia.com", BOOT, &format, &out, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "a<b"));
	claim.uid = (char *)(uintptr_t) "u";
	claim.devices = &device;
	claim.devices_n = 1;
	assert_int_equal(checkpoint_encode(&claims, 1, "gpu.nvidia.com", BOOT, &format, &out, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "gpu-0-mig-1g"));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_are_kubernetes),
		cmocka_unit_test(prepared_claims_become_records),
		cmocka_unit_test(every_version_is_read),
		cmocka_unit_test(nothing_prepared),
		cmocka_unit_test(the_allocation_is_the_claims),
		cmocka_unit_test(another_boot_ends_all),
		cmocka_unit_test(what_cannot_be_taken_over_is_named),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(damage_is_told),
		cmocka_unit_test(white_space_does_not_matter),
		cmocka_unit_test(nothing_is_written_as_that_driver_does),
		cmocka_unit_test(claims_are_written_as_that_driver_does),
		cmocka_unit_test(what_cannot_be_said_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
