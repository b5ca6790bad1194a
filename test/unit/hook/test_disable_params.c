/*
 * disable-device-node-modification mounts, so each case runs in a child with a mount namespace of
 * its own. Without the right to mount, only the cases that mount nothing run.
 */
#include "lab.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define PARAMS "proc/driver/nvidia/params"

static const char host[] = "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileUID: 0\n";
static const char masked[] =
    "ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 0\nDeviceFileUID: 0\n";

static int run1(struct lab *lab)
{
	return lab_run(lab, hook_disable_device_node_modification, NULL);
}

/* 0 when `body` ran well in a mount namespace of its own, 77 when there can be none. */
static int in_namespace(struct lab *lab, int (*body)(struct lab *lab))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(body(lab));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The file as the container sees it; 0 when it is `want`. */
static bool reads(struct lab *lab, const char *want)
{
	char *now = lab_read(lab, PARAMS, NULL);
	bool same = now && strcmp(now, want) == 0;

	free(now);
	return same;
}

static int count_mounts(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

static int body_mounts(struct lab *lab)
{
	struct statvfs fs;
	char path[4096];
	int before = count_mounts(), fd;

	for (int i = 0; i < 3; i++) {
		if (run1(lab) != HOOK_OK) {
			fprintf(stderr, "%s\n", lab->hook.why.text);
			return 1;
		}
		if (!reads(lab, masked))
			return 2;
	}
	/* One mount, read-only, however often it ran; /proc is the host's again. */
	if (count_mounts() != before + 1 || access("/proc/self/status", R_OK) != 0)
		return 3;
	lab_path(lab, PARAMS, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 || errno != EROFS)
		return 4;
	if (statvfs(path, &fs) < 0 ||
	    (fs.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC)) !=
		(ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC))
		return 5;
	/* The file below is untouched. */
	if (umount(path) < 0 || !reads(lab, host))
		return 6;
	return 0;
}

static void test_mounts(void **state)
{
	struct lab *lab = *state;
	int r;

	if (syscall(SYS_open_tree, -1, "", 0) < 0 && errno == ENOSYS)
		lab_skip("needs open_tree (Linux 5.2), which qemu-user does not know");
	lab_host_write(lab->params, host, strlen(host));
	lab_write(lab, PARAMS, host);
	r = in_namespace(lab, body_mounts);
	if (r == 77)
		lab_skip("needs the right to mount");
	assert_int_equal(r, 0);
	lab_assert_text(lab, PARAMS, host);
}

/* A link of the image must not direct the mount out of the root. */
static int body_hostile(struct lab *lab)
{
	char victim[128];
	int fd;
	char now[256] = "";

	if (run1(lab) != HOOK_OK)
		return 1;
	snprintf(victim, sizeof(victim), "%s/victim", lab->dir);
	fd = open(victim, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, now, sizeof(now) - 1) < 0)
		return 2;
	close(fd);
	return strcmp(now, host) == 0 ? 0 : 3;
}

static void test_hostile(void **state)
{
	struct lab *lab = *state;
	char victim[128];
	int r;

	snprintf(victim, sizeof(victim), "%s/victim", lab->dir);
	lab_host_write(victim, host, strlen(host));
	lab_host_write(lab->params, host, strlen(host));
	lab_link(lab, PARAMS, victim);
	r = in_namespace(lab, body_hostile);
	if (r == 77)
		lab_skip("needs the right to mount");
	assert_int_equal(r, 0);
}

static void test_nothing_to_do(void **state)
{
	struct lab *lab = *state;

	/* No driver on the host; one that forbids it; a container without the file. */
	lab_write(lab, PARAMS, host);
	lab_ok(lab, run1(lab));
	lab_host_write(lab->params, masked, strlen(masked));
	lab_ok(lab, run1(lab));
	lab_host_write(lab->params, "ModifyDeviceFiles: 12\nXModifyDeviceFiles: 1\n", 44);
	lab_ok(lab, run1(lab));
	lab_host_write(lab->params, host, strlen(host));
	lab_empty(lab);
	lab_ok(lab, run1(lab));
	lab_write(lab, PARAMS, masked);
	lab_ok(lab, run1(lab));
	lab_write(lab, PARAMS, "");
	lab_ok(lab, run1(lab));
	lab_assert_text(lab, PARAMS, "");
}

static void test_odd_files(void **state)
{
	struct lab *lab = *state;
	char path[4096];

	alarm(20);
	lab_host_write(lab->params, host, strlen(host));
	lab_mkdirs(lab, PARAMS);
	assert_int_equal(run1(lab), HOOK_FAILED);
	lab_empty(lab);
	lab_mkdirs(lab, "proc/driver/nvidia");
	lab_path(lab, PARAMS, path);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(run1(lab), HOOK_FAILED);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mounts, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_hostile, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_odd_files, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
