#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"

/*
 * The calls below stand before libc's: a test lets the n-th of them fail, or makes every write
 * short. Counting starts when `fail_at` is set.
 */
static int fail_at, fail_errno = ENOSPC, calls;
static size_t write_max = SIZE_MAX;

static bool faulty(void)
{
	if (!fail_at || ++calls != fail_at)
		return false;
	errno = fail_errno;
	return true;
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (faulty())
		return -1;
	return syscall(SYS_write, fd, p, MIN(n, write_max));
}

int fdatasync(int fd)
{
	return faulty() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return faulty() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fchmod(int fd, mode_t mode)
{
	return faulty() ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int rename(const char *from, const char *to)
{
	return faulty() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static char root[64];
static char at_path[128];

static const char *at(const char *name)
{
	(void)snprintf(at_path, sizeof(at_path), "%s/%s", root, name);
	return at_path;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/test_fsx.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_entry(void *arg, const char *name)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	if (unlink(path) && errno == EISDIR)
		return fsx_list(path, remove_entry, path) ?: rmdir(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fail_at = 0;
	write_max = SIZE_MAX;
	return fsx_list(root, remove_entry, root) ?: rmdir(root);
}

static void put(const char *name, struct sv content)
{
	assert_int_equal(fsx_replace(at(name), content, 0644, 0), 0);
}

static void holds(const char *name, const char *content)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(fsx_read(at(name), 1 << 20, &b), 0);
	assert_string_equal(buf_cstr(&b), content);
	buf_done(&b);
}

static int count_entry(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int entries(void)
{
	int n = 0;

	assert_int_equal(fsx_list(root, count_entry, &n), 0);
	return n;
}

static void read_limits(void **state)
{
	struct buf b;

	(void)state;
	put("f", SV("0123456789"));
	buf_init(&b, 100);
	assert_true(buf_puts(&b, "before "));
	assert_int_equal(fsx_read(at("f"), 10, &b), 0);
	assert_string_equal(buf_cstr(&b), "before 0123456789");
	assert_int_equal(fsx_read(at("f"), 9, &b), -EFBIG);
	assert_string_equal(buf_cstr(&b), "before 0123456789");
	assert_false(b.full);
	assert_int_equal(fsx_read(at("none"), 10, &b), -ENOENT);
	assert_int_equal(fsx_read(root, 10, &b), -EISDIR);
	buf_done(&b);

	buf_init(&b, 10); /* exactly the file's size */
	assert_int_equal(fsx_read(at("f"), 1000, &b), 0);
	assert_string_equal(buf_cstr(&b), "0123456789");
	buf_done(&b);
	buf_init(&b, 9);
	assert_int_equal(fsx_read(at("f"), 1000, &b), -EFBIG);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);

	put("empty", SV_NONE);
	buf_init(&b, 1);
	assert_int_equal(fsx_read(at("empty"), 0, &b), 0);
	assert_int_equal(fsx_read(at("f"), 0, &b), -EFBIG);
	buf_done(&b);
}

static void read_of_odd_files_does_not_block(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 16);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(fsx_read(at("fifo"), 100, &b), 0);
	assert_int_equal(buf_len(&b), 0);
	/* Size 0 in stat, content all the same. */
	assert_int_equal(fsx_read("/proc/self/status", 1 << 16, &b), 0);
	assert_true(buf_len(&b) > 100);
	buf_done(&b);
}

static void read_big_file(void **state)
{
	struct buf b;
	char *big = mem_alloc(3000000);
	size_t i;

	(void)state;
	for (i = 0; i < 3000000; i++)
		big[i] = (char)('a' + i % 23);
	put("big", sv_make(big, 3000000));
	buf_init(&b, 4 << 20);
	assert_int_equal(fsx_read(at("big"), 4 << 20, &b), 0);
	assert_true(sv_eq(buf_sv(&b), sv_make(big, 3000000)));
	buf_done(&b);
	mem_free(big);
}

static void replace_sets_mode_and_leaves_no_temp(void **state)
{
	struct stat st;
	mode_t mask = umask(0077);

	(void)state;
	assert_int_equal(fsx_replace(at("f"), SV("one"), 0644, FSX_SYNC), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fsx_replace(at("f"), SV("two"), 0600, 0), 0);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	holds("f", "two");
	assert_int_equal(entries(), 1);
	umask(mask);

	assert_int_equal(fsx_replace(at("no/f"), SV("x"), 0600, 0), -ENOENT);
	assert_int_equal(fsx_replace(at("f/"), SV("x"), 0600, 0), -EISDIR);
	assert_int_equal(fsx_replace("", SV("x"), 0600, 0), -EISDIR);
	assert_int_equal(mkdir(at("dir"), 0700), 0);
	assert_int_equal(fsx_replace(at("dir"), SV("x"), 0600, 0), -EISDIR);
	assert_int_equal(entries(), 2);
}

static void replace_a_name_of_255_bytes(void **state)
{
	char name[256];

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	assert_int_equal(chdir(root), 0);
	assert_int_equal(fsx_replace(name, SV("long"), 0600, 0), 0);
	assert_true(fsx_exists(name));
	assert_int_equal(chdir("/"), 0);
}

static void every_failing_call_of_replace_leaves_old_or_new(void **state)
{
	struct buf b;
	int at_call, r;

	(void)state;
	buf_init(&b, 100);
	for (at_call = 1;; at_call++) {
		put("f", SV("old"));
		write_max = 2; /* so that a write in the middle fails too */
		calls = 0;
		fail_at = at_call;
		r = fsx_replace(at("f"), SV("newer"), 0600, FSX_SYNC);
		fail_at = 0;
		write_max = SIZE_MAX;
		buf_clear(&b);
		assert_int_equal(fsx_read(at("f"), 100, &b), 0);
		assert_int_equal(entries(), 1);
		if (!r)
			break;
		assert_int_equal(r, -ENOSPC);
		assert_true(sv_eqs(buf_sv(&b), "old") || sv_eqs(buf_sv(&b), "newer"));
	}
	assert_string_equal(buf_cstr(&b), "newer");
	/* three writes, fchmod, fdatasync, rename, fsync of the folder */
	assert_int_equal(at_call, 8);
	buf_done(&b);
}

static void write_all_survives_interruption(void **state)
{
	int fd = open(at("w"), O_WRONLY | O_CREAT, 0600);

	(void)state;
	assert_true(fd >= 0);
	calls = 0;
	fail_at = 2;
	fail_errno = EINTR;
	write_max = 3;
	assert_int_equal(fsx_write_all(fd, SV("0123456789")), 0);
	fail_errno = ENOSPC;
	fail_at = 0;
	close(fd);
	holds("w", "0123456789");
}

static void staged_is_beside_and_not_yet_there(void **state)
{
	char temp[256], small[8];

	(void)state;
	assert_int_equal(fsx_stage(at("f"), SV("new"), 0640, temp, sizeof(temp)), 0);
	assert_true(fsx_is_temp(strrchr(temp, '/') + 1));
	assert_false(fsx_exists(at("f")));
	assert_int_equal(rename(temp, at("f")), 0);
	holds("f", "new");
	assert_int_equal(fsx_stage(at("f"), SV("x"), 0640, small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(fsx_stage(at("no/f"), SV("x"), 0640, temp, sizeof(temp)), -ENOENT);
	assert_int_equal(unlink(at("f")), 0);
	assert_int_equal(rmdir(root), 0); /* nothing else is in it */
	assert_int_equal(mkdir(root, 0700), 0);
}

static void temp_names(void **state)
{
	(void)state;
	assert_true(fsx_is_temp(".0123456789abcdef.tmp"));
	assert_false(fsx_is_temp(".0123456789abcdeF.tmp"));
	assert_false(fsx_is_temp(".0123456789abcde.tmp"));
	assert_false(fsx_is_temp("x0123456789abcdef.tmp"));
	assert_false(fsx_is_temp(".0123456789abcdef.tm"));
	assert_false(fsx_is_temp(".0123456789abcdef.tmp2"));
	assert_false(fsx_is_temp(""));
}

static void folders(void **state)
{
	char nested[256];

	(void)state;
	(void)snprintf(nested, sizeof(nested), "%s/a//b/c/", root);
	assert_int_equal(fsx_mkdirs(nested, 0700), 0);
	assert_int_equal(fsx_mkdirs(nested, 0700), 0);
	assert_true(fsx_exists(at("a/b/c")));
	put("file", SV("x"));
	assert_int_equal(fsx_mkdirs(at("file"), 0700), -ENOTDIR);
	assert_int_equal(fsx_mkdirs(at("file/x"), 0700), -ENOTDIR);
	assert_int_equal(fsx_mkdirs("", 0700), -ENOENT);
	assert_int_equal(fsx_mkdirs("/", 0700), 0);
	assert_int_equal(fsx_sync_dir(root), 0);
	assert_int_equal(fsx_sync_dir(at("none")), -ENOENT);
	assert_int_equal(fsx_sync_dir(at("file")), -ENOTDIR);
	assert_int_equal(fsx_remove(at("file")), 0);
	assert_int_equal(fsx_remove(at("file")), 0);
	assert_int_equal(fsx_remove(at("a")), -EISDIR);
}

static void copy_replaces_a_running_program(void **state)
{
	struct stat before, after;
	char from[128];
	int fd;

	(void)state;
	put("from", SV("#!/bin/sh\nexit 0\n"));
	put("to", SV("old"));
	fd = open(at("to"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &before), 0);
	(void)snprintf(from, sizeof(from), "%s", at("from"));
	assert_int_equal(fsx_copy(from, at("to"), 0755), 0);
	assert_int_equal(stat(at("to"), &after), 0);
	assert_int_equal(after.st_mode & 07777, 0755);
	assert_true(before.st_ino != after.st_ino); /* whoever runs the old one is not disturbed */
	close(fd);
	holds("to", "#!/bin/sh\nexit 0\n");
	assert_int_equal(fsx_copy(at("none"), from, 0755), -ENOENT);
	assert_int_equal(fsx_copy(root, from, 0755), -EISDIR);
	holds("from", "#!/bin/sh\nexit 0\n");
	assert_int_equal(entries(), 2);
}

static void links(void **state)
{
	char out[8];

	(void)state;
	assert_int_equal(symlink("1234567", at("l7")), 0);
	assert_int_equal(symlink("12345678", at("l8")), 0);
	assert_int_equal(fsx_readlink(at("l7"), out, sizeof(out)), 0);
	assert_string_equal(out, "1234567");
	assert_int_equal(fsx_readlink(at("l8"), out, sizeof(out)), -ENAMETOOLONG);
	assert_string_equal(out, "");
	assert_int_equal(fsx_readlink(at("none"), out, sizeof(out)), -ENOENT);
	assert_int_equal(fsx_readlink(root, out, sizeof(out)), -EINVAL);
}

struct listing {
	char text[64];
	int stop_after, n;
};

static int list_entry_(void *arg, const char *name)
{
	struct listing *l = arg;
	size_t len = strlen(l->text);

	(void)snprintf(l->text + len, sizeof(l->text) - len, "%s ", name);
	(void)unlink(at(name));
	return ++l->n == l->stop_after ? 7 : 0;
}

static void list_is_sorted_and_stops(void **state)
{
	struct listing l = { .stop_after = -1 }, two = { .stop_after = 2 };

	(void)state;
	put("b", SV_NONE);
	put("a", SV_NONE);
	put("B", SV_NONE);
	put(".hidden", SV_NONE);
	assert_int_equal(fsx_list(root, list_entry_, &l), 0);
	assert_string_equal(l.text, ".hidden B a b ");
	put("z", SV_NONE);
	put("y", SV_NONE);
	put("x", SV_NONE);
	assert_int_equal(fsx_list(root, list_entry_, &two), 7);
	assert_string_equal(two.text, "x y ");
	assert_int_equal(fsx_list(at("none"), list_entry_, &l), -ENOENT);
}

static void first_line(void **state)
{
	char out[8], big[5000];

	(void)state;
	put("f", SV("  0x10de \nsecond\n"));
	assert_int_equal(fsx_line(at("f"), out, sizeof(out)), 0);
	assert_string_equal(out, "0x10de");
	put("f", SV("1234567"));
	assert_int_equal(fsx_line(at("f"), out, sizeof(out)), 0);
	assert_string_equal(out, "1234567");
	put("f", SV("12345678"));
	assert_int_equal(fsx_line(at("f"), out, sizeof(out)), -EFBIG);
	assert_string_equal(out, "");
	put("f", SV_NONE);
	assert_int_equal(fsx_line(at("f"), out, sizeof(out)), 0);
	assert_string_equal(out, "");
	memset(big, 'x', sizeof(big));
	put("f", sv_make(big, 4097));
	assert_int_equal(fsx_line(at("f"), big, sizeof(big)), -EFBIG);
	assert_int_equal(fsx_line(at("none"), out, sizeof(out)), -ENOENT);
}

/* What another process gets. */
static int lock_in_child(void)
{
	int fd, status;
	pid_t pid = fork();

	if (!pid)
		_exit(fsx_lock(at("lock"), &fd) + 10);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) - 10;
}

static void lock_has_one_holder(void **state)
{
	int one, two, next;

	(void)state;
	assert_int_equal(fsx_lock(at("lock"), &one), 0);
	assert_int_equal(fsx_lock(at("lock"), &two), FSX_HELD);
	assert_int_equal(two, -1);
	next = dup(one); /* the lowest free one: the refused try has left none open */
	assert_int_equal(next, one + 1);
	close(next);
	/* POSIX locks would have been lost with the close() in the refused try. */
	assert_int_equal(lock_in_child(), FSX_HELD);
	close(one);
	assert_int_equal(lock_in_child(), 0); /* and gone with the child */
	assert_int_equal(fsx_lock(at("lock"), &one), 0);
	assert_true(fsx_names(at("lock"), one));
	assert_int_equal(unlink(at("lock")), 0);
	assert_false(fsx_names(at("lock"), one));
	assert_int_equal(fsx_lock(at("lock"), &two), 0); /* another file, another lock */
	assert_false(fsx_names(at("lock"), one));
	assert_true(fsx_names(at("lock"), two));
	close(two);
	close(one);
	assert_int_equal(fsx_lock(at("no/lock"), &one), -ENOENT);
	assert_int_equal(symlink("lock", at("link")), 0);
	assert_int_equal(fsx_lock(at("link"), &one), -ELOOP);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(read_limits),
		T(read_of_odd_files_does_not_block),
		T(read_big_file),
		T(replace_sets_mode_and_leaves_no_temp),
		T(replace_a_name_of_255_bytes),
		T(every_failing_call_of_replace_leaves_old_or_new),
		T(write_all_survives_interruption),
		T(staged_is_beside_and_not_yet_there),
		T(temp_names),
		T(folders),
		T(copy_replaces_a_running_program),
		T(links),
		T(list_is_sorted_and_stops),
		T(first_line),
		T(lock_has_one_holder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
