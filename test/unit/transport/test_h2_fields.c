#include "transport/h2_fields.h"

#include "lab.h"

enum { FIELDS_MAX = 16 };

/* "name=value;name=value" */
static size_t parse(const char *text, struct h2_header *h)
{
	struct sv rest = sv_str(text);
	size_t n = 0;

	while (rest.n) {
		struct sv field = sv_cut(&rest, ';');

		h[n].name = sv_cut(&field, '=');
		h[n++].value = field;
	}
	return n;
}

#define GET ":method=GET;:scheme=http;:path=/;:authority=x"

static void test_good(void **state)
{
	static const char *const good[] = {
		GET,
		":method=POST;:scheme=http;:path=/a.b/C;te=trailers",
		GET ";te=Trailers",
		":path=/;:scheme=https;:method=X-OWN;:authority=", /* any order, own method */
		":method=POST;:scheme=http;:path=/;:authority=/var/lib/kubelet/x.sock",
		":method=POST;:scheme=http;:path=/;:authority=%2Fvar%2Flib%2Fx.sock",
		":method=POST;:scheme=http;:path=/;:authority=[::1]:80",
		":method=OPTIONS;:scheme=http;:path=*",
		":method=CONNECT;:authority=host:1",
		GET ";content-length=5;content-length=5",
		GET ";x=\xc3\xbc",
		GET ";x=",
	};
	struct h2_header h[FIELDS_MAX];
	int64_t length;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		if (!h2_fields_check_request(h, parse(good[i], h), &length))
			fail_msg("refused: %s", good[i]);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"a=b",
		":method=GET;:scheme=http",	      /* no path */
		":method=GET;:path=/",		      /* no scheme */
		":scheme=http;:path=/",		      /* no method */
		":method=GET;:scheme=http;:path=",    /* empty path */
		":method=GET;:scheme=http;:path=a",   /* relative path */
		":method=GET;:scheme=http;:path=/ x", /* space */
		":method=G T;:scheme=http;:path=/",   /* not a token */
		":method=;:scheme=http;:path=/",
		":method=GET;:scheme=;:path=/",
		GET ";:path=/", /* twice */
		":method=GET;:method=GET;:scheme=http;:path=/",
		GET ";:status=200",
		GET ";:unknown=1",
		":method=GET;:scheme=http;a=b;:path=/", /* pseudo behind regular */
		GET ";Upper=1",
		GET ";a b=1",
		GET ";=1",
		GET ";a=x\ny",
		GET ";a=x\ry",
		GET ";connection=close",
		GET ";keep-alive=1",
		GET ";proxy-connection=1",
		GET ";transfer-encoding=chunked",
		GET ";upgrade=h2c",
		GET ";te=gzip",
		GET ";te=trailers, deflate",
		GET ";content-length=x",
		GET ";content-length=-1",
		GET ";content-length=",
		GET ";content-length=5;content-length=6",
		GET ";content-length=99999999999999999999",
		":method=GET;:scheme=http;:path=/;:authority=a b",
		":method=GET;:scheme=http;:path=/;:authority=a\"b",
		":method=GET;:scheme=http;:path=/;:authority=a\xff",
		":method=CONNECT",
		":method=CONNECT;:authority=h;:path=/",
		":method=CONNECT;:authority=h;:scheme=http",
	};
	struct h2_header h[FIELDS_MAX];
	int64_t length;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (h2_fields_check_request(h, parse(bad[i], h), &length))
			fail_msg("passed: %s", bad[i]);
}

static void test_length(void **state)
{
	struct h2_header h[FIELDS_MAX];
	int64_t length;

	(void)state;
	assert_true(h2_fields_check_request(h, parse(GET, h), &length));
	assert_int_equal(length, -1);
	assert_true(h2_fields_check_request(h, parse(GET ";content-length=0", h), &length));
	assert_int_equal(length, 0);
	assert_true(h2_fields_check_request(h, parse(GET ";content-length=4096", h), &length));
	assert_int_equal(length, 4096);
}

static void test_trailers(void **state)
{
	struct h2_header h[FIELDS_MAX];

	(void)state;
	assert_true(h2_fields_check_trailers(h, parse("grpc-status=0;grpc-message=", h)));
	assert_true(h2_fields_check_trailers(h, 0));
	assert_false(h2_fields_check_trailers(h, parse(":path=/", h)));
	assert_false(h2_fields_check_trailers(h, parse("connection=x", h)));
	assert_false(h2_fields_check_trailers(h, parse("A=x", h)));
}

static void test_collect(void **state)
{
	struct h2_fields f;
	char name[16], want[16];
	size_t i, round;

	(void)state;
	h2_fields_init(&f, 16384);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 200; i++) {
			(void)snprintf(name, sizeof(name), "name%zu", i);
			(void)snprintf(want, sizeof(want), "value%zu", i);
			h2_fields_add(&f, sv_str(name), sv_str(want));
		}
		assert_false(f.too_big);
		h2_fields_seal(&f);
		assert_int_equal(f.n, 200);
		lab_eq(h2_fields_get(f.v, f.n, SV("name0")), "value0");
		lab_eq(h2_fields_get(f.v, f.n, SV("name199")), "value199");
		assert_null(h2_fields_get(f.v, f.n, SV("name200")).p);
		h2_fields_clear(&f);
		assert_int_equal(f.n, 0);
	}
	h2_fields_seal(&f); /* an empty block */
	h2_fields_done(&f);
}

/* The list counts 32 bytes per field, so many empty fields are caught as one long one is. */
static void test_collect_limit(void **state)
{
	struct h2_fields f;
	size_t i;

	(void)state;
	h2_fields_init(&f, 1024);
	for (i = 0; i < 32; i++)
		h2_fields_add(&f, SV(""), SV(""));
	assert_false(f.too_big);
	h2_fields_add(&f, SV(""), SV(""));
	assert_true(f.too_big);
	for (i = 0; i < 100000; i++)
		h2_fields_add(&f, SV("name"), SV("value"));
	assert_int_equal(f.n, 32);
	h2_fields_clear(&f);
	assert_false(f.too_big);
	h2_fields_add(&f, SV("a"), SV("b"));
	assert_int_equal(f.n, 1);
	h2_fields_done(&f);
	h2_fields_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	cmocka_unit_test(test_bad),
		cmocka_unit_test(test_length),	cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_collect), cmocka_unit_test(test_collect_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
