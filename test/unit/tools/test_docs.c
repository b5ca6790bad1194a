/*
 * docs/ against the code: generated pages are what the tables say now, tables say what the source
 * does, links lead somewhere, and the completion completes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/reasons.h"
#include "tools/tundra/error_texts.h"

#define TOP TEST_SOURCE_DIR "/.."

static struct buf source; /* every .c file of the product, one after the other */

static void run(const char *what, char *out, size_t size)
{
	FILE *p = popen(what, "re");
	size_t n;

	assert_non_null(p);
	n = fread(out, 1, size - 1, p);
	out[n] = '\0';
	while (fgetc(p) != EOF)
		;
	pclose(p);
}

static int setup(void **state)
{
	FILE *p = popen("cd " TOP " && cat $(find core transport gpu k8s tools -name '*.c')", "re");
	char piece[65536];
	size_t n;

	(void)state;
	buf_init(&source, 32 << 20);
	while (p && (n = fread(piece, 1, sizeof(piece), p)))
		buf_put(&source, piece, n);
	return !p || pclose(p) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_done(&source);
	return 0;
}

static void test_pages_are_fresh(void **state)
{
	char folder[] = "/tmp/tundra-docs.XXXXXX", command[600], out[4000];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(command, sizeof(command),
		 TEST_BINARY_DIR "/bin/tundra docs %s 2>&1; for d in reference man completion; do "
				 "diff -ru " TOP "/docs/$d %s/$d 2>&1; done; rm -r %s",
		 folder, folder, folder);
	run(command, out, sizeof(out));
	if (*out)
		fail_msg("docs/ is stale; run: build/asan/bin/tundra docs docs\n%s", out);
}

/* ---- Events ---- */

static bool is_reason(struct sv s)
{
	if (s.n < 4 || !isupper((unsigned char)s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalpha((unsigned char)s.p[i]))
			return false;
	return true;
}

static bool known_reason(struct sv s)
{
	for (size_t i = 0; i < event_reasons_n; i++)
		if (sv_eqs(s, event_reasons[i].reason))
			return true;
	return false;
}

static size_t reasons_of_call(struct sv call, bool seen[])
{
	size_t n = 0;

	while (call.n) {
		struct sv text;

		sv_cut(&call, '"');
		text = sv_cut(&call, '"');
		if (!is_reason(text))
			continue;
		if (!known_reason(text))
			fail_msg("Event reason " SV_FMT " is not in k8s/reasons.c", SV_ARG(text));
		for (size_t i = 0; i < event_reasons_n; i++)
			seen[i] |= sv_eqs(text, event_reasons[i].reason);
		n++;
	}
	return n;
}

static void test_event_reasons(void **state)
{
	static const char *const calls[] = { "events_warn(", "events_note(" };
	bool seen[64] = { false };

	(void)state;
	assert_true(event_reasons_n <= ARRAY_LEN(seen));
	for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
		const char *at = buf_cstr(&source);

		while ((at = strstr(at, calls[c]))) {
			const char *end = strchr(at, ';'), *brace = strchr(at, '{');

			at++;
			if (brace && end && brace < end)
				continue; /* the definition */
			if (!reasons_of_call(sv_make(at, (size_t)(end - at)), seen))
				fail_msg("no reason in: %.80s", at - 1);
		}
	}
	for (size_t i = 0; i < event_reasons_n; i++)
		if (!seen[i])
			fail_msg("no Event has the reason %s", event_reasons[i].reason);
}

/* ---- errors ---- */

/* As it stands in C: quotes escaped. */
static void test_error_texts(void **state)
{
	struct sv all = buf_sv(&source);

	(void)state;
	for (size_t i = 0; i < error_texts_n; i++) {
		const char *text = error_texts[i].text;
		size_t found = 0;

		for (const char *at = all.p;
		     (at = memmem(at, (size_t)(all.p + all.n - at), text, strlen(text))); at++)
			found++;
		if (found < 2) /* once is this very table */
			fail_msg("no message of the code has \"%s\"", text);
	}
}

/* ---- links ---- */

static void check_links(const char *page)
{
	char *folder _mem_free_ = mem_strdup(page);
	struct sv rest, target;
	struct buf text;

	*strrchr(folder, '/') = '\0';
	buf_init(&text, 1 << 20);
	assert_int_equal(fsx_read(page, 1 << 20, &text), 0);
	for (rest = buf_sv(&text); rest.n;) {
		const char *at = memmem(rest.p, rest.n, "](", 2);

		if (!at)
			break;
		rest = sv_drop(rest, (size_t)(at - rest.p) + 2);
		target = sv_cut(&rest, ')');
		target = sv_cut(&target, '#');
		if (target.n && !sv_starts(target, SV("http"))) {
			char *path _mem_free_ = mem_printf("%s/" SV_FMT, folder, SV_ARG(target));

			if (!fsx_exists(path))
				fail_msg("%s: no such page: " SV_FMT, page, SV_ARG(target));
		}
	}
	buf_done(&text);
}

static void test_links(void **state)
{
	char list[8000];
	struct sv rest;

	(void)state;
	run("find " TOP "/docs -name '*.md'; ls " TOP "/README.md", list, sizeof(list));
	for (rest = sv_str(list); rest.n;) {
		char *page _mem_free_ = sv_dup(sv_cut(&rest, '\n'));

		check_links(page);
	}
}

/* ---- completion, man ---- */

static void completes(const char *words, unsigned at, const char *wanted)
{
	char command[900], out[4000];

	snprintf(command, sizeof(command),
		 "bash -c '. " TOP "/docs/completion/tundra.bash; COMP_WORDS=(%s); COMP_CWORD=%u; "
		 "_tundra; printf \"%%s \" \"${COMPREPLY[@]}\"' 2>&1",
		 words, at);
	run(command, out, sizeof(out));
	if (!strstr(out, wanted))
		fail_msg("tundra %s: \"%s\" lacks \"%s\"", words, out, wanted);
}

static void test_completion(void **state)
{
	(void)state;
	completes("tundra do", 1, "doctor ");
	completes("tundra doctor --ti", 2, "--timeout ");
	completes("tundra node --node-", 2, "--node-name ");
	completes("tundra status -", 2, "--output ");
	completes("tundra doctor --kubeconfig /et", 3, "/etc");
	completes("tundra status -o \"\"", 3, "table json ");
	completes("tundra support-bundle -o /et", 3, "/etc"); /* a file there */
}

static void test_man(void **state)
{
	char out[4000];

	(void)state;
	if (system("command -v groff >/dev/null")) {
		skip();
		return;
	}
	run("groff -man -Tascii -ww -z " TOP "/docs/man/tundra.1 2>&1", out, sizeof(out));
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_are_fresh), cmocka_unit_test(test_event_reasons),
		cmocka_unit_test(test_error_texts),	cmocka_unit_test(test_links),
		cmocka_unit_test(test_completion),	cmocka_unit_test(test_man),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
