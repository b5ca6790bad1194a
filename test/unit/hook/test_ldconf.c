#include "lab.h"

#include "tools/hook/ldconf.h"

static char seen[4096];

static int on_dir(void *arg, const char *path)
{
	(void)arg;
	strncat(strncat(seen, path, 1000), "|", 2);
	return 0;
}

static int on_include(void *arg, const char *pattern)
{
	(void)arg;
	strncat(seen, "+", 2);
	return on_dir(arg, pattern);
}

static const struct ldconf_sink sink = { .dir = on_dir, .include = on_include };

static void check_text(const char *text, const char *want)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	seen[0] = '\0';
	assert_int_equal(ldconf_text(copy, &sink), 0);
	assert_string_equal(seen, want);
	free(copy);
}

static void test_text(void **state)
{
	(void)state;
	check_text("", "");
	check_text("/a", "/a|");
	check_text("/a\n/b\n", "/a|/b|");
	check_text("  /a/ \t\n\n\n/b///\r\n/\n", "/a|/b|/|");
	check_text("# /a\n/b # c\n#", "/b|");
	check_text("/a=libc6\n/b = libc5\n=\n", "/a|/b|");
	check_text("relative\n../x\n", "");
	check_text("/with space/lib\n", "/with space/lib|");
	check_text("include /etc/*.conf\n", "+/etc/*.conf|");
	check_text("include\t/a  b\t/c\n", "+/a|+b|+/c|");
	check_text("include # none\ninclude\nincludes /a\n", "");
	check_text("hwcap 0 nosegneg\n/a", "/a|");
	check_text("/no end of line # x", "/no end of line|");
}

static int stop(void *arg, const char *path)
{
	(void)path;
	++*(int *)arg;
	return -ENOMEM;
}

static void test_text_stops(void **state)
{
	char text[] = "/a\n/b\n", include[] = "include a b\n";
	int calls = 0;
	const struct ldconf_sink stopping = { .arg = &calls, .dir = stop, .include = stop };

	(void)state;
	assert_int_equal(ldconf_text(text, &stopping), -ENOMEM);
	assert_int_equal(calls, 1);
	assert_int_equal(ldconf_text(include, &stopping), -ENOMEM);
	assert_int_equal(calls, 2);
}

static void test_match(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} cases[] = {
		{ "*.conf", "a.conf", true },
		{ "*.conf", ".conf", false },
		{ "*.conf", "a.conf~", false },
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "a", "", false },
		{ "?", "a", true },
		{ "?", "", false },
		{ "a?c", "abc", true },
		{ "[a-c]x", "bx", true },
		{ "[a-c]x", "dx", false },
		{ "[!a-c]x", "dx", true },
		{ "[^d]x", "dx", false },
		{ "[]]", "]", true },
		{ "[!]]", "a", true },
		{ "[a", "[a", true },
		{ "[", "[", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a*b*c", "axxbyyc", true },
		{ "a*b*c", "axxbyy", false },
		{ "*a*a*a*b", "aaaaaaaa", false },
		{ "**", "x", true },
		{ ".*", ".x", true },
		{ "x86*.conf", "x86_64.conf", true },
		{ "[a-]", "-", true },
		{ "\\", "\\", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (ldconf_match(cases[i].pattern, cases[i].name) != cases[i].match)
			fail_msg("%s against %s", cases[i].pattern, cases[i].name);
}

/* Folders of ld.so.conf joined by '|'. */
static void read_conf(struct lab *lab, const char *skip, const char *want)
{
	struct paths dirs, files;
	struct root root;

	assert_int_equal(root_init(&root, lab->root, &lab->hook.why), 0);
	for (int walk = 0; walk < 2; walk++) {
		paths_init(&dirs);
		paths_init(&files);
		root.walk |= walk;
		assert_int_equal(
		    ldconf_read(&root, "/etc/ld.so.conf", skip, &dirs, &files, &lab->hook.why), 0);
		seen[0] = '\0';
		for (size_t i = 0; i < dirs.n; i++)
			on_dir(NULL, dirs.v[i]);
		assert_string_equal(seen, want);
		paths_done(&dirs);
		paths_done(&files);
	}
	root_done(&root);
}

static void test_includes(void **state)
{
	struct lab *lab = *state;

	read_conf(lab, NULL, "");
	lab_write(lab, "etc/ld.so.conf",
		  "/first\ninclude ld.so.conf.d/*.conf missing* /etc/one\n/last\n");
	lab_write(lab, "etc/ld.so.conf.d/b.conf", "/b\n/first\n");
	lab_write(lab, "etc/ld.so.conf.d/a.conf", "/a\n");
	lab_write(lab, "etc/ld.so.conf.d/skip.conf", "/skip\n");
	lab_write(lab, "etc/ld.so.conf.d/.hidden.conf", "/hidden\n");
	lab_write(lab, "etc/ld.so.conf.d/other", "/other\n");
	lab_write(lab, "etc/one", "/one\n");
	read_conf(lab, "/etc/ld.so.conf.d/skip.conf", "/first|/a|/b|/one|/last|");
}

/* Loops end, links stay inside the root, odd files are passed over and do not block. */
static void test_hostile(void **state)
{
	struct lab *lab = *state;
	char path[4096];
	int fd;

	lab_write(lab, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/end\n");
	lab_write(lab, "etc/ld.so.conf.d/loop.conf",
		  "include /etc/ld.so.conf\ninclude /etc/ld.so.conf.d/*.conf\n/loop\n");
	lab_link(lab, "etc/ld.so.conf.d/out.conf", "/etc/outside");
	lab_link(lab, "etc/ld.so.conf.d/up.conf", "../../../../../../../../etc/passwd");
	lab_link(lab, "etc/ld.so.conf.d/self.conf", "self.conf");
	lab_link(lab, "etc/ld.so.conf.d/zz.conf", "/etc/inside");
	lab_write(lab, "etc/inside", "/inside\n");
	lab_mkdirs(lab, "etc/ld.so.conf.d/dir.conf");
	lab_path(lab, "etc/ld.so.conf.d/fifo.conf", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	lab_path(lab, "etc/ld.so.conf.d/huge.conf", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 10LL << 30), 0);
	close(fd);
	/* Files of a folder come in order, and what they include before what follows in them. */
	read_conf(lab, NULL, "/inside|/loop|/end|");
}

static void test_nesting(void **state)
{
	struct lab *lab = *state;
	char name[64], text[64];

	lab_write(lab, "etc/ld.so.conf", "include /etc/0\n/end\n");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "etc/%d", i);
		snprintf(text, sizeof(text), "/d%d\ninclude /etc/%d\n", i, i + 1);
		lab_write(lab, name, text);
	}
	read_conf(lab, NULL, "/d0|/d1|/d2|/d3|/d4|/d5|/d6|/d7|/end|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_stops),
		cmocka_unit_test(test_match),
		cmocka_unit_test_setup_teardown(test_includes, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_hostile, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_nesting, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
