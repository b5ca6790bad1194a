#include "core/version.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/sv.h"

static void looks_as_promised(void **state)
{
	struct sv version = sv_str(version_string());
	const char *build = version_build();
	uint64_t number;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(sv_u64(sv_cut(&version, '.'), &number), 0);
	assert_int_equal(version.n, 0);
	assert_int_equal(strlen(build), 16);
	assert_int_equal(strspn(build, "0123456789abcdef"), 16);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char *path _mem_free_ = mem_printf("%s/%s", folder, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

/* Runs build_id.cmake over `folder` and returns the line it writes. */
static void run_script(const char *folder, char *line, size_t size)
{
	char *root _mem_free_ = mem_printf("-DROOT=%s", folder);
	char *out _mem_free_ = mem_printf("-DOUT=%s/id.out", folder);
	char *file _mem_free_ = mem_printf("%s/id.out", folder);
	int status;
	pid_t pid;
	FILE *f;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execlp("cmake", "cmake", root, out, "-DVERSION=1", "-P",
		       TEST_SOURCE_DIR "/../core/build_id.cmake", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	f = fopen(file, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, (int)size, f));
	(void)fclose(f);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void make_folder(const char *folder, const char *name)
{
	char *path _mem_free_ = mem_printf("%s/%s", folder, name);

	assert_int_equal(mkdir(path, 0700), 0);
}

/* The id depends on names and contents of the sources, and on nothing else. */
static void id_follows_the_sources(void **state)
{
	char folder[] = "/tmp/tundra-version-XXXXXX";
	char first[80], again[80], changed[80], renamed[80];
	char *from, *to;

	(void)state;
	assert_non_null(mkdtemp(folder));
	make_folder(folder, "core");
	make_folder(folder, "gpu");
	make_folder(folder, "gpu/nvidia");
	make_folder(folder, "k8s");
	write_file(folder, "core/a.c", "int a;\n");
	write_file(folder, "gpu/nvidia/b.h", "int b;\n");
	run_script(folder, first, sizeof(first));
	assert_memory_equal(first, "#define BUILD_ID \"", 18);
	/* Not part of what the two programs say to each other. */
	write_file(folder, "k8s/c.c", "int c;\n");
	write_file(folder, "core/notes.txt", "text\n");
	run_script(folder, again, sizeof(again));
	assert_string_equal(first, again);
	write_file(folder, "gpu/nvidia/b.h", "int c;\n");
	run_script(folder, changed, sizeof(changed));
	assert_string_not_equal(first, changed);
	write_file(folder, "gpu/nvidia/b.h", "int b;\n");
	from = mem_printf("%s/core/a.c", folder);
	to = mem_printf("%s/core/z.c", folder);
	assert_int_equal(rename(from, to), 0);
	mem_free(from);
	mem_free(to);
	run_script(folder, renamed, sizeof(renamed));
	assert_string_not_equal(first, renamed);
	assert_int_equal(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_as_promised),
		cmocka_unit_test(id_follows_the_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
