#include "core/version.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void looks_as_promised(void **state)
{
	const char *build = version_build();
	unsigned major, minor, patch;
	char rest;
	size_t i;

	(void)state;
	assert_int_equal(sscanf(version_string(), "%u.%u.%u%c", &major, &minor, &patch, &rest), 3);
	assert_int_equal(strlen(build), 16);
	for (i = 0; build[i]; i++)
		assert_true(isxdigit((unsigned char)build[i]));
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

/* Runs build_id.cmake over `folder` and returns the line it writes. */
static void run_script(const char *folder, char *line, size_t size)
{
	char command[1024];
	FILE *f;

	(void)snprintf(command, sizeof(command),
		       "cmake -DROOT=%s -DOUT=%s/id.out -DVERSION=1 -P %s/../core/build_id.cmake",
		       folder, folder, TEST_SOURCE_DIR);
	assert_int_equal(system(command), 0);
	(void)snprintf(command, sizeof(command), "%s/id.out", folder);
	f = fopen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, (int)size, f));
	(void)fclose(f);
}

/* The id depends on names and contents of the sources, and on nothing else. */
static void id_follows_the_sources(void **state)
{
	char folder[] = "/tmp/tundra-version-XXXXXX", command[128];
	char first[80], again[80], changed[80], renamed[80];

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(command, sizeof(command), "mkdir -p %s/core %s/gpu/nvidia %s/k8s", folder,
		       folder, folder);
	assert_int_equal(system(command), 0);
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
	(void)snprintf(command, sizeof(command), "mv %s/core/a.c %s/core/z.c", folder, folder);
	assert_int_equal(system(command), 0);
	run_script(folder, renamed, sizeof(renamed));
	assert_string_not_equal(first, renamed);
	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_as_promised),
		cmocka_unit_test(id_follows_the_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
