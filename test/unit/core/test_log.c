#include "core/log.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"

static char last[8192];
static size_t lines;

static uint64_t fixed_clock(void *arg)
{
	(void)arg;
	return 1795243200123u; /* 2026-11-21T06:40:00.123Z */
}

static void keep(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)sv_copy(last, sizeof(last), line);
	lines++;
}

static int capture(void **state)
{
	(void)state;
	log_clock(fixed_clock, NULL);
	log_capture(keep, NULL);
	lines = 0;
	return 0;
}

static int release(void **state)
{
	(void)state;
	log_capture(NULL, NULL);
	log_clock(NULL, NULL);
	log_init(LOG_INFO, false, NULL);
	return 0;
}

static void text_form(void **state)
{
	(void)state;
	log_init(LOG_INFO, false, NULL);
	log_info("claim prepared");
	assert_string_equal(last, "2026-11-21T06:40:00.123Z INFO claim prepared");
	log_error("x", LOG_S("claim", "ns/a"), LOG_I("ms", -5), LOG_SV("v", SV("é")));
	assert_string_equal(last, "2026-11-21T06:40:00.123Z ERROR x claim=ns/a ms=-5 v=\"é\"");
	log_warn("x", LOG_S("a", ""), LOG_S("b", NULL), LOG_S("c", "a b"), LOG_S("d", "q\"\\="));
	assert_string_equal(last, "2026-11-21T06:40:00.123Z WARN x a=\"\" b=\"\" c=\"a b\" "
				  "d=\"q\\\"\\\\=\"");
	/* Nothing that a terminal obeys, nothing that starts another line. */
	log_info("x", LOG_S("a", "1\n2\t3\x1b[0m\x7f\xc2\x9b"), LOG_SV("b", SV("\xff\0z")));
	assert_string_equal(last, "2026-11-21T06:40:00.123Z INFO x "
				  "a=\"1\\n2\\t3\\u001b[0m\\u007f\\u009b\" "
				  "b=\"\xef\xbf\xbd\\u0000z\"");
}

static void levels(void **state)
{
	(void)state;
	log_init(LOG_WARN, false, NULL);
	assert_true(log_on(LOG_ERROR) && log_on(LOG_WARN));
	assert_false(log_on(LOG_INFO) || log_on(LOG_DEBUG));
	log_info("silent");
	log_debug("silent");
	assert_int_equal(lines, 0);
	log_warn("loud");
	assert_int_equal(lines, 1);
}

static void json_form(void **state)
{
	struct json *j;

	(void)state;
	log_init(LOG_DEBUG, true, "worker");
	log_debug("a \"b\"", LOG_S("k", "x\n\xff"), LOG_I("n", 7));
	assert_string_equal(last,
			    "{\"ts\":\"2026-11-21T06:40:00.123Z\",\"level\":\"debug\",\"msg\":"
			    "\"a \\\"b\\\"\",\"program\":\"worker\",\"k\":\"x\\n\xef\xbf\xbd\","
			    "\"n\":7}");
	assert_int_equal(json_parse(sv_str(last), &json_limits_config, &j, NULL), 0);
	assert_string_equal(json_str(json_get(j, "msg"), ""), "a \"b\"");
	json_free(&j);
	log_init(LOG_DEBUG, false, "worker");
	log_debug("a");
	assert_string_equal(last, "2026-11-21T06:40:00.123Z DEBUG a program=worker");
}

/* One line whose first value is `n` times `atom`. */
static void check_long_line(const char *atom, size_t n, bool is_json)
{
	char *value = mem_alloc(n * strlen(atom) + 1);
	struct json *j;
	size_t i;

	for (i = 0; i < n; i++)
		memcpy(value + i * strlen(atom), atom, strlen(atom));
	value[n * strlen(atom)] = '\0';
	log_info("x", LOG_S("first", value), LOG_S("second", "s"), LOG_I("n", 1));
	mem_free(value);
	assert_true(strlen(last) < PIPE_BUF);
	assert_null(strchr(last, '\n'));
	/* Whole to the last field, or marked. */
	assert_true(!strstr(last, is_json ? "\"n\":1}" : " n=1") ==
		    !!strstr(last, is_json ? ",\"cut\":true}" : " cut=true"));
	if (!is_json)
		return;
	assert_int_equal(json_parse(sv_str(last), &json_limits_config, &j, NULL), 0);
	assert_string_equal(json_str(json_get(j, "msg"), ""), "x");
	json_free(&j);
}

/* Values of every length around the limit, of forms that take one to six bytes each. */
static void long_lines_stay_whole(void **state)
{
	static const char *const atoms[] = { "a", " ", "\xc3\xa9", "\n", "\x01", "\xff" };
	size_t a, n;

	(void)state;
	for (a = 0; a < ARRAY_LEN(atoms) * 2; a++) {
		log_init(LOG_INFO, a % 2, NULL);
		for (n = 640; n < 700; n++)
			check_long_line(atoms[a / 2], n, a % 2);
		for (n = 700; n < 3900; n += 97)
			check_long_line(atoms[a / 2], n, a % 2);
		for (n = 3900; n < 4200; n++)
			check_long_line(atoms[a / 2], n, a % 2);
	}
}

/* Puts `fd` where stderr is, for one test. */
static int replace_stderr(int fd)
{
	int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

	must(saved >= 0);
	must(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	return saved;
}

static void restore_stderr(int saved)
{
	must(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
	close(saved);
}

static size_t drain(int fd, char *to, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n + 1 < size && (r = read(fd, to + n, size - 1 - n)) > 0)
		n += (size_t)r;
	to[n] = '\0';
	return n;
}

static void never_blocks_on(int reader, int writer)
{
	enum { SIZE = 4 << 20 };
	char *text = mem_alloc(SIZE), *line, *rest;
	size_t n, whole = 0, told = 0, i;
	int saved = replace_stderr(writer);

	log_capture(NULL, NULL);
	log_init(LOG_INFO, false, NULL);
	/* Far more than it holds: a blocking write would hang here for ever. */
	for (i = 0; i < 20000; i++)
		log_info("filling", LOG_I("i", i),
			 LOG_S("pad", "0123456789012345678901234567890123456789"));
	n = drain(reader, text, SIZE);
	log_info("after");
	log_info("after"); /* told once */
	drain(reader, text + n, SIZE - n);
	restore_stderr(saved);
	for (rest = text; (line = strsep(&rest, "\n")) && *line;) {
		if (strstr(line, "INFO filling i="))
			whole++;
		else if (strstr(line, "WARN log lines dropped lines="))
			told += strtoul(strstr(line, "lines=") + 6, NULL, 10);
		else
			assert_non_null(strstr(line, "INFO after"));
	}
	assert_true(whole > 100 && whole < 20000);
	assert_int_equal(whole + told, 20000);
	mem_free(text);
}

static void full_pipe_drops_and_tells(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	never_blocks_on(fds[0], fds[1]);
	/* The description that others share is as it was. */
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	close(fds[0]);
	close(fds[1]);
}

static void full_socket_drops_and_tells(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	never_blocks_on(fds[0], fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void file_gets_every_line(void **state)
{
	FILE *f = tmpfile();
	char text[256];
	int saved;

	(void)state;
	assert_non_null(f);
	saved = replace_stderr(fileno(f));
	log_capture(NULL, NULL);
	log_init(LOG_INFO, false, NULL);
	log_info("one");
	log_info("two");
	restore_stderr(saved);
	rewind(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_string_equal(text, "2026-11-21T06:40:00.123Z INFO one\n"
				  "2026-11-21T06:40:00.123Z INFO two\n");
	(void)fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(text_form, capture, release),
		cmocka_unit_test_setup_teardown(levels, capture, release),
		cmocka_unit_test_setup_teardown(json_form, capture, release),
		cmocka_unit_test_setup_teardown(long_lines_stay_whole, capture, release),
		cmocka_unit_test_setup_teardown(full_pipe_drops_and_tells, capture, release),
		cmocka_unit_test_setup_teardown(full_socket_drops_and_tells, capture, release),
		cmocka_unit_test_setup_teardown(file_gets_every_line, capture, release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
