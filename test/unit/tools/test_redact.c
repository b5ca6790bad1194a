/* Secrets in the shapes in which they lie around on a node, and what must stay readable. */
#include "tools/tundra/redact.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <time.h>

#include "core/mem.h"

#define JWT  "eyJhbGciOiJSUzI1NiIsImtpZCI6Ik1.eyJpc3MiOiJrdWJlcm5ldGVzL3N.QzqZmR-7_sEcReT9"
#define PEM  "-----BEGIN RSA PRIVATE KEY-----\nMIIEseCReTx/+==\nAAAA\n-----END RSA PRIVATE KEY-----"
#define CERT "-----BEGIN CERTIFICATE-----\nMIIDpublic\n-----END CERTIFICATE-----\n"

static struct redact r;

static void becomes(const char *text, const char *wanted)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	redact_text(&r, sv_str(text), &out);
	if (strcmp(buf_cstr(&out), wanted) != 0)
		fail_msg("\"%s\" became \"%s\" instead of \"%s\"", text, buf_cstr(&out), wanted);
	buf_done(&out);
}

/* How the services themselves say that their tokens begin. */
static const char *const prefixes[] = { "AKIA",	       "ASIA",	 "AIza",      "ghp_",
					"gho_",	       "ghs_",	 "ghu_",      "ghr_",
					"github_pat_", "glpat-", "xoxb-",     "xoxp-",
					"xoxa-",       "nvapi-", "dckr_pat_", "hvs." };

static void test_looks(void **state)
{
	(void)state;
	becomes("a " JWT " b", "a [removed] b");
	becomes("{\"x\":\"" JWT "\"}", "{\"x\":\"[removed]\"}");
	becomes("x\n" PEM "\ny", "x\n[removed]\ny");
	becomes("x -----BEGIN PRIVATE KEY-----\nAAAA", "x [removed]");
	becomes(CERT, CERT);
	becomes("GET https://me:hunter22@host/path", "GET https://[removed]@host/path");
	becomes("see https://host/@x and a@b.c", "see https://host/@x and a@b.c");
	becomes("AKIAABCDEFGHIJKLMNOP,", "[removed],");
	becomes("nvapi-0123456789abcdefghij", "[removed]");
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "it is %s0123456789abcdefghij", prefixes[i]);
		becomes(text, "it is [removed]");
	}
	becomes("join abcdef.0123456789abcdef now", "join [removed] now");
	becomes("K1034b4bbd3bfbf1bb5b0ec9a0c0c0d0c0c0d::server:pw12 x", "[removed] x");
}

static void test_names(void **state)
{
	(void)state;
	becomes("password: hunter2\nuser: me", "password: [removed]\nuser: me");
	becomes("password = \"a \\\"b\"\nx=1", "password = \"[removed]\"\nx=1");
	becomes("DB_PASSWORD=x y", "DB_PASSWORD=[removed] y");
	becomes("{\"auth\":\"dXNlcjpwYXNz\",\"n\":1}", "{\"auth\":\"[removed]\",\"n\":1}");
	becomes("Authorization: Bearer abc.def ghi\n", "Authorization: [removed]\n");
	becomes("sent Bearer abcdefgh12", "sent Bearer [removed]");
	becomes("--token=abc --token abc --name abc",
		"--token=[removed] --token [removed] --name abc");
	becomes("client-key-data: QUJD\n", "client-key-data: [removed]\n");
	becomes("{\\\"token\\\":\\\"abc\\\",\\\"n\\\":1}",
		"{\\\"token\\\":\\\"[removed]\\\",\\\"n\\\":1}");
	becomes("?token=abc&x=1", "?token=[removed]&x=1");
	becomes("tokens: [\"a\", \"b\"]\nn: 1", "tokens: [removed]\nn: 1");
	becomes("  secret: |\n    one\n    two\n  next: 3\n", "  secret: [removed]\n  next: 3\n");
	becomes("staticKey: abc\ntls.key: abc\nMY_KEY=abc", "staticKey: [removed]\ntls.key: "
							    "[removed]\nMY_KEY=[removed]");
	becomes("aws_secret_access_key = abc/+d\n", "aws_secret_access_key = [removed]\n");
	becomes("MYSQL_PWD=abc proxy-auth: abc\n", "MYSQL_PWD=[removed] proxy-auth: [removed]\n");
	becomes("[\"--token\",\"abc\",\"--v\",\"4\"]", "[\"--token\",\"[removed]\",\"--v\",\"4\"]");
	becomes("[\"--token\",\n  \"abc\"]", "[\"--token\",\n  \"[removed]\"]");
	becomes("[\\\"--token\\\",\\\"abc\\\"]", "[\\\"--token\\\",\\\"[removed]\\\"]");
	becomes("password: 'it''s mine'\nx: 1", "password: '[removed]'\nx: 1");
	becomes("password: ''\nx: 'y'", "password: ''\nx: 'y'");
	becomes("password = \"\"\"\na \"b\" c\n\"\"\"\nx = 1",
		"password = \"[removed]\"\"\"\nx = 1");
	becomes("password = \"\"\nx = \"\"\"y\"\"\"", "password = \"\"\nx = \"\"\"y\"\"\"");
}

static void test_stays(void **state)
{
	static const char *const texts[] = {
		"automountServiceAccountToken: true",
		"token_file = \"/var/run/secrets/token\"",
		"ca_file: /etc/ca.crt",
		"the token has expired",
		"GPU-7fa7a261-dd17-78c9-985a-80bac1d80b4f 0000:1b:00.0 580.65.06",
		"\"keyboard\": \"us\"",
		"claim=default/one monkey=2",
		"basic auth",
		"{\"key\":\"nvidia.com/gpu\",\"effect\":\"NoSchedule\"}",
		"publicKey: ssh-ed25519",
		"resource.k8s.io/v1 gpu.nvidia.com nvidia.com/gpu",
		"bypass: on",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		becomes(texts[i], texts[i]);
}

static void test_known(void **state)
{
	(void)state;
	redact_know(&r, SV("  plainvalue\n"));
	redact_know(&r, SV("ab"));
	becomes("xplainvaluey ab", "x[removed]y ab");
	becomes("my-plainvalue-token=abcdefgh", "my-[removed]-token=[removed]");
	assert_int_equal(r.removed > 0, 1);
	redact_done(&r);
	redact_init(&r);
}

/* Cut anywhere: no step outside, and no part of the key block comes through. */
static void test_cut(void **state)
{
	static const char text[] =
	    "a: \"" JWT "\" password: |\n  x\\\"\n" PEM " --token [\"a\\\\\"";

	(void)state;
	for (size_t n = 1; n < sizeof(text); n++) {
		char *copy = mem_dup(text, n);
		struct buf out;

		buf_init(&out, 1 << 16);
		redact_text(&r, sv_make(copy, n), &out);
		assert_null(memmem(out.data + out.start, buf_len(&out), "MIIEseC", 7));
		buf_done(&out);
		mem_free(copy);
	}
}

/* No text is read again and again: a long one takes a moment. */
static void test_bounded(void **state)
{
	static const char *const pieces[] = { "a:",	  " ",	      "eyJ.", "://",  "K10:",
					      "token: [", "--token,", "\"'",  "\\\"", "token=''" };
	enum {
		SIZE = 256 << 10,
		LIMIT_MS = 2000
	}; /* a sanitizer's half a second, when it is linear */
	char *text = mem_alloc(SIZE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		size_t n = strlen(pieces[i]);
		clock_t began = clock();
		struct buf out;

		for (size_t at = 0; at < SIZE; at++)
			text[at] = pieces[i][at % n];
		buf_init(&out, 8 << 20);
		redact_text(&r, sv_make(text, SIZE), &out);
		buf_done(&out);
		if ((clock() - began) / (CLOCKS_PER_SEC / 1000) > LIMIT_MS)
			fail_msg("256 KiB of \"%s\" take more than %d ms", pieces[i], LIMIT_MS);
	}
	mem_free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks), cmocka_unit_test(test_names),
		cmocka_unit_test(test_stays), cmocka_unit_test(test_known),
		cmocka_unit_test(test_cut),   cmocka_unit_test(test_bounded),
	};

	redact_init(&r);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
