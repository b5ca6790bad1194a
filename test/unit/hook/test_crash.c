/*
 * Crash sweep: each command is killed after its first system call, after its second, and so on;
 * after every kill the container must hold old or new files and no parts of them, and a second,
 * undisturbed run must end with exactly what a run that was never killed makes. Every other time
 * the second run is killed too, at the same place.
 */
#include "lab.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>

#include "cachefile.h"

enum { SYSCALLS_MAX = 20000 };

static bool have_namespace; /* mounts made here are nobody else's */

typedef int (*scenario_fn)(struct lab *lab);
typedef void (*image_fn)(const struct lab *lab);

static void image_old(const struct lab *lab)
{
	char cache[] = "old cache";

	lab_write(lab, "etc/debian_version", "12\n");
	lab_write(lab, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
	lab_write(lab, "etc/ld.so.conf.d/00-nvcr-tundra.conf", "/old\n");
	lab_bytes(lab, "etc/ld.so.cache", cache, sizeof(cache) - 1);
	lab_lib(lab, "usr/lib/nvidia/libcuda.so.580.65.06", "libcuda.so.1");
	lab_link(lab, "usr/lib/nvidia/libcuda.so", "libcuda.so.1");
	lab_link(lab, "usr/lib/nvidia/libcuda.so.1", "libcuda.so.535.1");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.590.1", "");
}

/* Without an /etc at all. */
static void image_bare(const struct lab *lab)
{
	lab_lib(lab, "lib64/ld-linux-x86-64.so.2", NULL);
	lab_lib(lab, "usr/lib/nvidia/libcuda.so.580.65.06", "libcuda.so.1");
	lab_write(lab, "usr/local/cuda/compat/libcuda.so.590.1", "");
}

static int run_ldcache(struct lab *lab)
{
	return lab_run(lab, hook_update_ldcache, "--folder", "/usr/lib/nvidia", NULL);
}

static int run_symlinks(struct lab *lab)
{
	return lab_run(lab, hook_create_symlinks, "--link", "a::/usr/lib/new/x.so", "--link",
		       "b::/usr/lib/nvidia/libcuda.so.1", NULL);
}

static int run_compat(struct lab *lab)
{
	return lab_run(lab, hook_enable_cuda_compat, "--host-driver-version=580.1", NULL);
}

static int run_chmod(struct lab *lab)
{
	return lab_run(lab, hook_chmod, "--mode", "0711", "--path", "/usr/lib", "--path", "/etc",
		       "--path", "/usr/local/cuda", NULL);
}

/* The tree as text: path, kind, mode, contents. */
static char *tree_text;
static size_t tree_len, tree_root;

static int tree_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char body[4096] = "";
	ssize_t len = 0;
	int fd;

	(void)type;
	(void)ftw;
	if (S_ISLNK(st->st_mode)) {
		len = readlink(path, body, sizeof(body));
	} else if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = read(fd, body, sizeof(body));
		close(fd);
	}
	for (ssize_t i = 0; i < len; i++)
		if (body[i] == '\0' || body[i] == '\n')
			body[i] = '.';
	tree_text = realloc(tree_text, tree_len + strlen(path) + 32 + (size_t)len);
	tree_len += (size_t)sprintf(tree_text + tree_len, "%s %o ", path + tree_root,
				    (unsigned)st->st_mode);
	memcpy(tree_text + tree_len, body, (size_t)len);
	tree_len += (size_t)len;
	tree_text[tree_len++] = '\n';
	tree_text[tree_len] = '\0';
	return 0;
}

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, as a folder's order differs with its history. The caller frees. */
static char *tree(const struct lab *lab)
{
	char *lines[256], *out, *save = NULL;
	size_t n = 0, len = 0;

	tree_text = NULL;
	tree_len = 0;
	tree_root = strlen(lab->root);
	assert_int_equal(nftw(lab->root, tree_one, 32, FTW_PHYS), 0);
	for (char *l = strtok_r(tree_text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_true(n < 256);
		lines[n++] = l;
	}
	qsort(lines, n, sizeof(lines[0]), by_line);
	out = calloc(1, tree_len + 1);
	assert_non_null(out);
	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(out + len, "%s\n", lines[i]);
	free(tree_text);
	return out;
}

/* Runs the command in a child; kills it when it enters system call number `kill_at`. */
static bool run_until(struct lab *lab, scenario_fn run, long kill_at)
{
	int status, stops = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		_exit(run(lab));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		lab_skip("needs ptrace");
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), HOOK_OK);
			return false;
		}
		assert_true(WIFSTOPPED(status));
		/* Odd stops are entries: the call before is done, this one is not. */
		if (stops++ % 2 == 0 && stops / 2 == kill_at) {
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			return true;
		}
	}
}

/* No part of a file: each that the command writes is absent, as before, or complete. */
static void check_whole(const struct lab *lab)
{
	size_t len = 0;
	char *bytes = lab_read(lab, "etc/ld.so.cache", &len), *conf;
	struct cachefile f;

	if (bytes)
		assert_true(strcmp(bytes, "old cache") == 0 || cachefile_open(&f, bytes, len));
	free(bytes);
	conf = lab_read(lab, "etc/ld.so.conf", NULL);
	if (conf)
		assert_string_equal(conf, "include /etc/ld.so.conf.d/*.conf\n");
	free(conf);
	conf = lab_read(lab, "etc/ld.so.conf.d/00-nvcr-tundra.conf", NULL);
	if (conf)
		assert_true(strcmp(conf, "/old\n") == 0 || strcmp(conf, "/usr/lib/nvidia\n") == 0 ||
			    strcmp(conf, "/old\n/usr/lib/nvidia\n") == 0);
	free(conf);
}

static void sweep(struct lab *lab, image_fn image, scenario_fn run)
{
	char *full, *now;
	long n = 0;

	image(lab);
	lab_ok(lab, run(lab));
	full = tree(lab);
	assert_null(strstr(full, "tundra0"));
	for (;;) {
		bool killed;

		assert_true(n < SYSCALLS_MAX);
		lab_empty(lab);
		image(lab);
		killed = run_until(lab, run, n);
		check_whole(lab);
		/* Every other time it dies at the same place again. */
		if (n++ % 2) {
			(void)run_until(lab, run, n - 1);
			check_whole(lab);
		}
		lab_ok(lab, run(lab));
		now = tree(lab);
		if (strcmp(now, full) != 0)
			fail_msg("killed at call %ld:\n%s\ninstead of\n%s", n - 1, now, full);
		free(now);
		if (!killed)
			break;
	}
	print_message("killed at each of %ld system calls\n", n - 1);
	free(full);
}

static void test_ldcache_old(void **state)
{
	sweep(*state, image_old, run_ldcache);
}

static void test_ldcache_bare(void **state)
{
	sweep(*state, image_bare, run_ldcache);
}

static void test_symlinks(void **state)
{
	sweep(*state, image_old, run_symlinks);
}

static void test_compat(void **state)
{
	sweep(*state, image_old, run_compat);
	lab_empty(*state);
	sweep(*state, image_bare, run_compat);
}

static void test_chmod(void **state)
{
	sweep(*state, image_old, run_chmod);
}

/* A mount instead of a file: there it is all or nothing, and nothing else is mounted. */
#define PARAMS "proc/driver/nvidia/params"

static int run_params(struct lab *lab)
{
	return lab_run(lab, hook_disable_device_node_modification, NULL);
}

static int count_mounts(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n;
}

static void test_params(void **state)
{
	static const char host[] = "a: 1\nModifyDeviceFiles: 1\n",
			  masked[] = "a: 1\nModifyDeviceFiles: 0\n";
	struct lab *lab = *state;
	char path[4096], *now;
	int before, covered;
	bool killed = true;
	long n = 0;

	if (!have_namespace)
		lab_skip("needs the right to mount");
	lab_host_write(lab->params, host, strlen(host));
	lab_write(lab, PARAMS, host);
	lab_path(lab, PARAMS, path);
	before = count_mounts();
	while (killed) {
		assert_true(n < SYSCALLS_MAX);
		killed = run_until(lab, run_params, n++);
		now = lab_read(lab, PARAMS, NULL);
		covered = strcmp(now, masked) == 0;
		assert_true(covered || strcmp(now, host) == 0);
		free(now);
		assert_int_equal(count_mounts(), before + covered);
		lab_ok(lab, run_params(lab));
		lab_assert_text(lab, PARAMS, masked);
		assert_int_equal(count_mounts(), before + 1);
		assert_int_equal(umount(path), 0);
		lab_assert_text(lab, PARAMS, host);
	}
	print_message("killed at each of %ld system calls\n", n - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ldcache_old, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_ldcache_bare, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_symlinks, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_compat, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_chmod, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_params, lab_setup, lab_teardown),
	};

	have_namespace =
	    unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;

	return cmocka_run_group_tests(tests, NULL, NULL);
}
