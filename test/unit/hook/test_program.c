/* The program itself, as a runtime starts it: the musl build, state on standard input. */
#include "lab.h"

#define PROGRAM TEST_BINARY_DIR "/bin/tundra-cdi-hook"

enum { SIZE_MAX_BYTES = 200 * 1000 };

/* Exit status; both output streams in out. The arguments end with NULL, argv[0] included. */
static int start(const struct lab *lab, char *out, size_t cap, ...)
{
	char *argv[32];
	int argc = 0, pipes[2], status, in;
	size_t len = 0;
	ssize_t n;
	va_list ap;
	pid_t pid;

	va_start(ap, cap);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		in = open(lab->state, O_RDONLY);
		dup2(in, 0);
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		close(pipes[0]);
		execve(PROGRAM, argv, (char *const[]){ NULL });
		_exit(98);
	}
	close(pipes[1]);
	while (len < cap - 1 && (n = read(pipes[0], out + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool built(void)
{
	return access(PROGRAM, X_OK) == 0;
}

static size_t lines(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* No interpreter, no dynamic section, and what is loaded is small. */
static void test_static(void **state)
{
	struct stat st;
	Elf64_Ehdr h;
	Elf64_Phdr p;
	uint64_t loaded = 0;
	int fd;

	(void)state;
	if (!built())
		lab_skip("" PROGRAM " is not built");
	fd = open(PROGRAM, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	for (unsigned i = 0; i < h.e_phnum; i++) {
		assert_int_equal(pread(fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p))),
				 sizeof(p));
		assert_int_not_equal(p.p_type, PT_INTERP);
		assert_int_not_equal(p.p_type, PT_DYNAMIC);
		if (p.p_type == PT_LOAD)
			loaded += p.p_filesz;
	}
	close(fd);
	assert_in_range(loaded, 1, SIZE_MAX_BYTES);
}

static void test_command_line(void **state)
{
	struct lab *lab = *state;
	char out[8192];

	if (!built())
		lab_skip("" PROGRAM " is not built");
	assert_int_equal(start(lab, out, sizeof(out), "x", "--version", NULL), 0);
	assert_memory_equal(out, "tundra-cdi-hook ", 16);
	assert_int_equal(start(lab, out, sizeof(out), "x", "--help", NULL), 0);
	assert_non_null(strstr(out, "disable-device-node-modification"));
	assert_int_equal(start(lab, out, sizeof(out), "x", NULL), HOOK_USAGE);
	assert_int_equal(start(lab, out, sizeof(out), "x", "update-ldcache", "--help", NULL), 0);
	assert_non_null(strstr(out, "--ldconfig-path"));
	assert_int_equal(start(lab, out, sizeof(out), "x", "--wrong", "chmod", NULL), HOOK_USAGE);
	assert_int_equal(lines(out), 1);
	assert_int_equal(start(lab, out, sizeof(out), "x", "chmod", "--wrong", NULL), HOOK_USAGE);
	assert_int_equal(lines(out), 1);
	/* A newer driver's hook must not keep a container from starting. */
	assert_int_equal(
	    start(lab, out, sizeof(out), "nvidia-cdi-hook", "a-future-hook", "--x", NULL), 0);
	assert_int_equal(lines(out), 1);
	assert_int_equal(start(lab, out, sizeof(out), "x", "--quiet", "a-future-hook", NULL), 0);
	assert_string_equal(out, "");
}

static void test_as_hook(void **state)
{
	struct lab *lab = *state;
	char out[8192];

	if (!built())
		lab_skip("" PROGRAM " is not built");
	assert_int_equal(start(lab, out, sizeof(out), "nvidia-cdi-hook", "create-symlinks",
			       "--link", "a::/usr/lib/b", NULL),
			 0);
	assert_string_equal(out, "");
	lab_assert_link(lab, "usr/lib/b", "a");
	lab_lib(lab, "lib64/ld-linux-x86-64.so.2", NULL);
	lab_lib(lab, "usr/lib/nv/libcuda.so.580.1", "libcuda.so.1");
	assert_int_equal(start(lab, out, sizeof(out), "nvidia-cdi-hook", "--debug=true",
			       "update-ldcache", "--folder", "/usr/lib/nv", NULL),
			 0);
	assert_non_null(strstr(out, "searching /usr/lib/nv"));
	lab_assert_link(lab, "usr/lib/nv/libcuda.so.1", "libcuda.so.580.1");
	assert_true(lab_has(lab, "etc/ld.so.cache"));
	assert_int_equal(start(lab, out, sizeof(out), "nvidia-cdi-hook",
			       "disable-device-node-modification", NULL),
			 0);
	/* One line that says what and where. */
	lab_host_write(lab->state, "{}", 2);
	assert_int_equal(start(lab, out, sizeof(out), "x", "chmod", "--mode", "755", NULL),
			 HOOK_FAILED);
	assert_int_equal(lines(out), 1);
	assert_non_null(strstr(out, "bundle"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static),
		cmocka_unit_test_setup_teardown(test_command_line, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_as_hook, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
