/* What NVIDIA's chart does by cp, sed and mount when MASK_NVIDIA_DRIVER_PARAMS is true. */
#include "tools/tundra/mask_params.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/mem.h"

enum { NO_NAMESPACE = 77 };

static void expect_text(const char *before, const char *after)
{
	char text[256];
	bool changed;

	snprintf(text, sizeof(text), "%s", before);
	changed = mask_params_text(text, strlen(text));
	assert_string_equal(text, after);
	assert_int_equal(changed, strcmp(before, after) != 0);
}

static void only_the_one_line_is_changed(void **state)
{
	(void)state;
	expect_text("RmLogonRC: 1\nModifyDeviceFiles: 1\nDeviceFileUID: 1\n",
		    "RmLogonRC: 1\nModifyDeviceFiles: 0\nDeviceFileUID: 1\n");
	expect_text("ModifyDeviceFiles: 1", "ModifyDeviceFiles: 0");
	expect_text("ModifyDeviceFiles: 0\n", "ModifyDeviceFiles: 0\n");
	expect_text("ModifyDeviceFiles: 12\nXModifyDeviceFiles: 1\n",
		    "ModifyDeviceFiles: 12\nXModifyDeviceFiles: 1\n");
	expect_text("", "");
}

static bool reads(const char *path, const char *want)
{
	struct buf text;
	bool same;

	buf_init(&text, 4096);
	same = !fsx_read(path, 4096, &text) && sv_eqs(buf_sv(&text), want);
	buf_done(&text);
	return same;
}

/* In a mount namespace of its own: 0, the line that failed, or NO_NAMESPACE. */
static int masks(const char *folder)
{
	char *proc = mem_printf("%s/proc", folder), *run = mem_printf("%s/run/tundra", folder);
	char *dir = mem_printf("%s/driver/nvidia", proc), *file = mem_printf("%s/params", dir);
	struct err e = { "" };
	int line = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return NO_NAMESPACE;
	if (mask_params(proc, run, &e) != 1) /* no driver */
		line = __LINE__;
	else if (fsx_mkdirs(dir, 0755) ||
		 fsx_replace(file, SV("a: 1\nModifyDeviceFiles: 1\n"), 0444, 0))
		line = __LINE__;
	else if (mask_params(proc, run, &e) || !reads(file, "a: 1\nModifyDeviceFiles: 0\n"))
		line = __LINE__;
	else if (mask_params(proc, run, &e)) /* once more: nothing is left to do */
		line = __LINE__;
	else if (umount(file) || !reads(file, "a: 1\nModifyDeviceFiles: 1\n")) /* one mount */
		line = __LINE__;
	mem_free(proc);
	mem_free(run);
	mem_free(dir);
	mem_free(file);
	return line;
}

/* What masks() made, deepest first; a missing one is fine. */
static void remove_all(const char *folder)
{
	static const char *const files[] = { "proc/driver/nvidia/params", "run/tundra/params.0",
					     "run/tundra/params.1" };
	static const char *const folders[] = { "proc/driver/nvidia", "proc/driver", "proc",
					       "run/tundra", "run" };
	char *path;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		path = mem_printf("%s/%s", folder, files[i]);
		assert_int_equal(fsx_remove(path), 0);
		mem_free(path);
	}
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		path = mem_printf("%s/%s", folder, folders[i]);
		(void)rmdir(path);
		mem_free(path);
	}
	assert_int_equal(rmdir(folder), 0); /* so nothing else was made */
}

static void the_file_is_covered_and_not_changed(void **state)
{
	char folder[] = "/tmp/mask-XXXXXX";
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(folder));
	pid = fork();
	if (!pid)
		_exit(masks(folder));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	remove_all(folder);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_NAMESPACE)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_one_line_is_changed),
		cmocka_unit_test(the_file_is_covered_and_not_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
