#include "lab.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "tools/hook/root.h"

/* Both ways to resolve a path must agree: the kernel's, where it has one, and the walk. */
static struct root open_root(struct lab *lab, bool walk)
{
	struct root root;

	assert_int_equal(root_init(&root, lab->root, &lab->hook.why), 0);
	root.walk |= walk;
	return root;
}

static void assert_same(const struct lab *lab, int fd, const char *rel)
{
	char path[4096];
	struct stat a, b;

	assert_true(fd >= 0);
	lab_path(lab, rel, path);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(stat(path, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_dev, b.st_dev);
	close(fd);
}

static void test_resolution(void **state)
{
	struct lab *lab = *state;

	lab_write(lab, "etc/passwd", "inside");
	lab_mkdirs(lab, "usr/lib/deep/er");
	lab_link(lab, "abs", "/etc/passwd");
	lab_link(lab, "usr/lib/deep/abs", "/etc/passwd");
	lab_link(lab, "rel", "usr/lib/deep/../../../etc/passwd");
	lab_link(lab, "up", "../../../../../../../../../../etc/passwd");
	lab_link(lab, "lib", "usr/lib");
	lab_link(lab, "chain", "abs");
	lab_link(lab, "trail", "usr/lib/");
	lab_link(lab, "loop", "loop");
	lab_link(lab, "loop-a", "loop-b/x");
	lab_link(lab, "loop-b", "loop-a/x");
	lab_link(lab, "dangling", "/nowhere");
	for (int walk = 0; walk < 2; walk++) {
		struct root root = open_root(lab, walk);

		assert_same(lab, root_at(&root, "/"), "");
		assert_same(lab, root_at(&root, ".."), "");
		assert_same(lab, root_at(&root, "/../../.."), "");
		assert_same(lab, root_at(&root, "etc/./passwd"), "etc/passwd");
		assert_same(lab, root_at(&root, "//etc//passwd"), "etc/passwd");
		assert_same(lab, root_at(&root, "abs"), "etc/passwd");
		assert_same(lab, root_at(&root, "/lib/deep/abs"), "etc/passwd");
		assert_same(lab, root_at(&root, "/rel"), "etc/passwd");
		assert_same(lab, root_at(&root, "/up"), "etc/passwd");
		assert_same(lab, root_at(&root, "/chain"), "etc/passwd");
		assert_same(lab, root_at(&root, "/lib/deep/er"), "usr/lib/deep/er");
		assert_same(lab, root_at(&root, "/trail/deep/../.."), "usr");
		assert_int_equal(root_at(&root, "loop"), -ELOOP);
		assert_int_equal(root_at(&root, "loop-a"), -ELOOP);
		assert_int_equal(root_at(&root, "dangling"), -ENOENT);
		assert_int_equal(root_at(&root, ""), -ENOENT);
		assert_int_equal(root_at(&root, "etc/passwd/x"), -ENOTDIR);
		assert_int_equal(root_dir(&root, "etc/passwd"), -ENOTDIR);
		assert_false(root_has(&root, "nothing"));
		assert_true(root_has(&root, "abs"));
		root_done(&root);
	}
}

static void test_long_paths(void **state)
{
	struct lab *lab = *state;
	char path[5000], name[300];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 2 ? '.' : '/';
	path[sizeof(path) - 1] = '\0';
	for (int walk = 0; walk < 2; walk++) {
		struct root root = open_root(lab, walk);

		assert_int_equal(root_at(&root, path), -ENAMETOOLONG);
		assert_int_equal(root_at(&root, name), -ENAMETOOLONG);
		assert_int_equal(root_mkdirs(&root, path), -ENAMETOOLONG);
		root_done(&root);
	}
}

/* /proc's magic links lead anywhere: they are never followed. */
static void test_magic_links(void **state)
{
	struct lab *lab = *state;
	struct root root;

	assert_int_equal(root_init(&root, "/proc", &lab->hook.why), 0);
	for (int walk = 0; walk < 2; walk++) {
		root.walk |= walk;
		assert_int_equal(root_at(&root, "self/root/etc"), -ELOOP);
		assert_int_equal(root_at(&root, "self/cwd"), -ELOOP);
	}
	root_done(&root);
}

static void test_kinds(void **state)
{
	struct lab *lab = *state;
	char path[4096], buf[64];
	struct stat st;
	int fd;

	alarm(20); /* a FIFO that blocks ends the test */
	lab_write(lab, "file", "hello");
	lab_mkdirs(lab, "dir");
	lab_path(lab, "fifo", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	lab_path(lab, "device", path);
	if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) < 0)
		print_message("not root: no device node in this test\n");
	lab_path(lab, "huge", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 10LL << 30), 0);
	close(fd);
	for (int walk = 0; walk < 2; walk++) {
		struct root root = open_root(lab, walk);

		assert_int_equal(root_read(&root, "/file", buf, sizeof(buf)), 5);
		assert_string_equal(buf, "hello");
		assert_int_equal(root_read(&root, "/file", buf, 6), 5);
		assert_int_equal(root_read(&root, "/file", buf, 5), -EFBIG);
		assert_int_equal(root_read(&root, "/huge", buf, sizeof(buf)), -EFBIG);
		assert_int_equal(root_read(&root, "/fifo", buf, sizeof(buf)), -EMEDIUMTYPE);
		assert_int_equal(root_read(&root, "/dir", buf, sizeof(buf)), -EMEDIUMTYPE);
		assert_int_equal(root_file(&root, "/none", &st), -ENOENT);
		if (lab_has(lab, "device"))
			assert_int_equal(root_read(&root, "/device", buf, sizeof(buf)),
					 -EMEDIUMTYPE);
		root_done(&root);
	}
	alarm(0);
}

static void test_mkdirs(void **state)
{
	struct lab *lab = *state;

	lab_link(lab, "usr/lib64", "lib");
	lab_link(lab, "gone", "/not/there");
	lab_link(lab, "out", "/tmp");
	lab_write(lab, "file", "");
	lab_mkdirs(lab, "usr/lib");
	lab_mkdirs(lab, "tmp");
	for (int walk = 0; walk < 2; walk++) {
		struct root root = open_root(lab, walk);

		assert_same(lab, root_mkdirs(&root, "/usr/lib64/a/b"), "usr/lib/a/b");
		assert_same(lab, root_mkdirs(&root, "/usr/lib64/a/b"), "usr/lib/a/b");
		assert_same(lab, root_mkdirs(&root, "/out/x"), "tmp/x");
		assert_same(lab, root_mkdirs(&root, "/"), "");
		assert_true(root_mkdirs(&root, "/gone/x") < 0);
		assert_true(root_mkdirs(&root, "/file/x") < 0);
		assert_same(lab, root_mkdirs(&root, "/new/../../x"), "x");
		root_done(&root);
	}
	assert_false(lab_has(lab, "not"));
}

static void test_put(void **state)
{
	struct lab *lab = *state;
	char path[4096];
	struct stat st;
	int dir = open(lab->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	assert_int_equal(root_put(dir, "f", "one", 3), 0);
	lab_assert_text(lab, "f", "one");
	assert_int_equal(root_put(dir, "f", "one", 3), ROOT_SAME);
	assert_int_equal(root_put(dir, "f", "two2", 4), 0);
	lab_assert_text(lab, "f", "two2");
	lab_path(lab, "f", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	/* A link is replaced, not written through. */
	lab_write(lab, "victim", "safe");
	lab_link(lab, "link", "victim");
	assert_int_equal(root_put(dir, "link", "x", 1), 0);
	lab_assert_text(lab, "victim", "safe");
	lab_assert_text(lab, "link", "x");
	/* What a killed hook left, and a folder that an image put in its place. */
	lab_write(lab, ".f.tundra0", "stale");
	assert_int_equal(root_put(dir, "f", "three", 5), 0);
	assert_false(lab_has(lab, ".f.tundra0"));
	lab_mkdirs(lab, ".f.tundra0");
	assert_int_equal(root_put(dir, "f", "four", 4), 0);
	lab_assert_text(lab, "f", "four");
	assert_false(lab_has(lab, ".f.tundra1"));
	lab_link(lab, ".g.tundra0", "/etc/passwd");
	assert_int_equal(root_put(dir, "g", "g", 1), 0);
	lab_assert_text(lab, "g", "g");
	lab_write(lab, ".g.tundra0", "stale");
	assert_int_equal(root_put(dir, "g", "g", 1), ROOT_SAME);
	assert_false(lab_has(lab, ".g.tundra0"));
	/* A folder is not replaced, and nothing is left of the attempt. */
	lab_mkdirs(lab, "d");
	assert_int_equal(root_put(dir, "d", "x", 1), -EISDIR);
	assert_false(lab_has(lab, ".d.tundra0"));
	close(dir);
}

static void test_link(void **state)
{
	struct lab *lab = *state;
	char long_name[300];
	int dir = open(lab->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	assert_int_equal(root_link(dir, "l", "a"), 0);
	assert_int_equal(root_link(dir, "l", "a"), ROOT_SAME);
	assert_int_equal(root_link(dir, "l", "ab"), 0);
	lab_assert_link(lab, "l", "ab");
	lab_write(lab, "file", "x");
	assert_int_equal(root_link(dir, "file", "../../../etc"), 0);
	lab_assert_link(lab, "file", "../../../etc");
	lab_mkdirs(lab, "d");
	assert_int_equal(root_link(dir, "d", "a"), -EISDIR);
	assert_int_equal(root_link(dir, "e", ""), -EINVAL);
	memset(long_name, 'n', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(root_link(dir, long_name, "a"), -ENAMETOOLONG);
	close(dir);
}

static void test_split(void **state)
{
	char dir[HOOK_PATH_MAX];
	const char *name;

	(void)state;
	assert_int_equal(root_split("/a/b/c", dir, &name), 0);
	assert_string_equal(dir, "/a/b");
	assert_string_equal(name, "c");
	assert_int_equal(root_split("/c", dir, &name), 0);
	assert_string_equal(dir, "/");
	assert_int_equal(root_split("c", dir, &name), 0);
	assert_string_equal(dir, "/");
	assert_int_equal(root_split("", dir, &name), -EINVAL);
	assert_int_equal(root_split("/", dir, &name), -EINVAL);
	assert_int_equal(root_split("/a/", dir, &name), -EINVAL);
	assert_int_equal(root_split("/a/..", dir, &name), -EINVAL);
	assert_int_equal(root_split(".", dir, &name), -EINVAL);
}

static void test_refused(void **state)
{
	struct lab *lab = *state;
	struct root root;

	assert_int_equal(root_init(&root, "/", &lab->hook.why), -EINVAL);
	assert_int_equal(root_init(&root, "/tmp/..", &lab->hook.why), -EINVAL);
	assert_int_equal(root_init(&root, "/no/such/root", &lab->hook.why), -ENOENT);
	assert_non_null(strstr(lab->hook.why.text, "/no/such/root"));
	assert_int_equal(root_init(&root, lab->state, &lab->hook.why), -ENOTDIR);
	root_done(&root);
}

/* A neighbour swaps a folder for a link that leads out of the root, as fast as it can. */
static pid_t start_swapper(const struct lab *lab)
{
	char a[4096], b[4096];
	pid_t pid;

	lab_path(lab, "swap", a);
	lab_path(lab, "swap-link", b);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
}

static void test_swapped_folder(void **state)
{
	struct lab *lab = *state;
	char outside[96], text[64], victim[128];
	pid_t pid;
	int status;

	snprintf(outside, sizeof(outside), "%s/outside", lab->dir);
	assert_int_equal(mkdir(outside, 0755), 0);
	lab_mkdirs(lab, "swap/sub");
	/* In the container's eyes this is a folder in its root; on the host it is the outside one.
	 */
	lab_link(lab, "swap-link", outside);
	lab_mkdirs(lab, outside + 1);
	pid = start_swapper(lab);
	for (int i = 0; i < 4000; i++) {
		struct root root = open_root(lab, i % 2);
		int dir = root_mkdirs(&root, "/swap/sub/../x");

		if (dir >= 0) {
			snprintf(text, sizeof(text), "%d", i);
			(void)!root_put(dir, "file", text, strlen(text));
			close(dir);
		}
		root_done(&root);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	snprintf(victim, sizeof(victim), "%s/x", outside);
	assert_int_equal(access(victim, F_OK), -1);
	snprintf(victim, sizeof(victim), "%s/file", outside);
	assert_int_equal(access(victim, F_OK), -1);
	nftw(outside, lab_rm_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resolution, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_long_paths, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_magic_links, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_kinds, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_mkdirs, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_put, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_link, lab_setup, lab_teardown),
		cmocka_unit_test(test_split),
		cmocka_unit_test_setup_teardown(test_refused, lab_setup, lab_teardown),
		cmocka_unit_test_setup_teardown(test_swapped_folder, lab_setup, lab_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
