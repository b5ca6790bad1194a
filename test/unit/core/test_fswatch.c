#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fswatch.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"

struct fixture {
	struct loop *loop;
	struct fswatch *w;
	char root[64], path[128];
	struct buf told; /* "name name * ", * is NULL */
};

/* Stand before libc's: the kernel's limits, reached on demand, and how much is used of them. */
static int refuse, refuse_watch;
static unsigned instances;

int inotify_init1(int flags)
{
	if (refuse) {
		refuse--;
		errno = EMFILE;
		return -1;
	}
	instances++;
	return (int)syscall(SYS_inotify_init1, flags);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (refuse_watch) {
		refuse_watch--;
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

static unsigned warnings;

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)line;
	warnings += level == LOG_WARN;
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .loop = loop_new_virtual(0, 1) };
	(void)snprintf(f.root, sizeof(f.root), "/tmp/test_fswatch.XXXXXX");
	buf_init(&f.told, 1 << 20);
	log_capture(swallow, NULL);
	*state = &f;
	return mkdtemp(f.root) ? 0 : -1;
}

static int remove_entry(void *arg, const char *name)
{
	char p[600];

	(void)snprintf(p, sizeof(p), "%s/%s", (const char *)arg, name);
	if (unlink(p) && errno == EISDIR)
		return fsx_list(p, remove_entry, p) ?: rmdir(p);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fswatch_free(&f->w);
	fswatch_free(&f->w);
	buf_done(&f->told);
	loop_free(&f->loop);
	log_capture(NULL, NULL);
	return fsx_list(f->root, remove_entry, f->root) ?: rmdir(f->root);
}

static void on_change(void *arg, const char *name)
{
	struct fixture *f = arg;

	buf_printf(&f->told, "%s ", name ?: "*");
}

static const char *at(struct fixture *f, const char *name)
{
	(void)snprintf(f->path, sizeof(f->path), "%s/%s", f->root, name);
	return f->path;
}

static void make(struct fixture *f, const char *name)
{
	int fd = open(at(f, name), O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void make_dir(struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(at(f, name), 0700), 0);
}

static void watch(struct fixture *f, const char *name)
{
	assert_int_equal(fswatch_new(f->loop, at(f, name), on_change, f, &f->w), 0);
}

static void told(struct fixture *f, const char *want)
{
	int i;

	for (i = 0; i < 4; i++)
		loop_turn(f->loop, 0);
	assert_string_equal(buf_cstr(&f->told), want);
	buf_clear(&f->told);
}

static void entries_are_told(void **state)
{
	struct fixture *f = *state;
	char to[200];

	make_dir(f, "d");
	make(f, "d/before");
	watch(f, "d");
	told(f, "");
	make(f, "d/new");
	told(f, "new ");
	assert_int_equal(chmod(at(f, "d/new"), 0644), 0);
	told(f, "new ");
	(void)snprintf(to, sizeof(to), "%s/d/moved", f->root);
	assert_int_equal(rename(at(f, "d/new"), to), 0);
	told(f, "new moved ");
	assert_int_equal(unlink(to), 0);
	told(f, "moved ");
	make_dir(f, "d/sub");
	told(f, "sub ");
	make(f, "d/sub/deeper"); /* not ours */
	make(f, "beside");
	told(f, "");
	/* Content is none of this module's business. */
	assert_int_equal(truncate(at(f, "d/before"), 5), 0);
	told(f, "");
}

static void folder_that_is_made_later(void **state)
{
	struct fixture *f = *state;

	watch(f, "a/b/c");
	told(f, "");
	make(f, "other");
	told(f, "");
	make_dir(f, "a");
	told(f, "* ");
	make(f, "a/other");
	told(f, "");
	make_dir(f, "a/b");
	make_dir(f, "a/b/c");
	make(f, "a/b/c/x");
	told(f, "* ");
	make(f, "a/b/c/y");
	told(f, "y ");
}

static void folder_that_goes_and_comes(void **state)
{
	struct fixture *f = *state;
	int i;

	make_dir(f, "a");
	make_dir(f, "a/b");
	watch(f, "a/b");
	for (i = 0; i < 3; i++) {
		assert_int_equal(rmdir(at(f, "a/b")), 0);
		told(f, "* ");
		make_dir(f, "a/b");
		told(f, "* ");
		make(f, "a/b/x");
		told(f, "x ");
		unlink(at(f, "a/b/x"));
		told(f, "x ");
	}
	/* With its parent, and back between two looks. */
	assert_int_equal(rmdir(at(f, "a/b")), 0);
	assert_int_equal(rmdir(at(f, "a")), 0);
	make_dir(f, "a");
	make_dir(f, "a/b");
	told(f, "* ");
	make(f, "a/b/x");
	told(f, "x ");
}

static void parent_that_is_moved_away(void **state)
{
	struct fixture *f = *state;
	char to[200];

	make_dir(f, "a");
	make_dir(f, "a/b");
	make_dir(f, "a/b/c");
	watch(f, "a/b/c");
	(void)snprintf(to, sizeof(to), "%s/elsewhere", f->root);
	assert_int_equal(rename(at(f, "a"), to), 0);
	told(f, "* ");
	make(f, "elsewhere/b/c/x"); /* not at our path any more */
	told(f, "");
	make_dir(f, "a");
	told(f, "* ");
	assert_int_equal(rename(to, at(f, "a2")), 0);
	make_dir(f, "a/b");
	make_dir(f, "a/b/c");
	told(f, "* ");
	make(f, "a/b/c/y");
	told(f, "y ");
}

static void file_in_place_of_the_folder(void **state)
{
	struct fixture *f = *state;

	make(f, "a");
	watch(f, "a/b");
	told(f, "");
	unlink(at(f, "a"));
	told(f, "");
	make_dir(f, "a");
	told(f, "* ");
	make_dir(f, "a/b");
	told(f, "* ");
	make(f, "a/b/x");
	told(f, "x ");
}

static void odd_paths(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "a");
	make_dir(f, "a/b");
	watch(f, "a//b/");
	make(f, "a/b/x");
	told(f, "x ");
	fswatch_free(&f->w);
	assert_int_equal(fswatch_new(f->loop, "/", on_change, f, &f->w), 0);
	told(f, "");
}

static void overflow_says_look_anew(void **state)
{
	struct fixture *f = *state;
	char name[32], limit[16];
	uint64_t i, max;

	/* 16384 where nobody changed it. */
	assert_int_equal(fsx_line("/proc/sys/fs/inotify/max_queued_events", limit, sizeof(limit)),
			 0);
	assert_int_equal(sv_u64(sv_str(limit), &max), 0);
	if (max > 200000)
		skip();
	make_dir(f, "d");
	watch(f, "d");
	for (i = 0; i < max / 2 + 500; i++) {
		(void)snprintf(name, sizeof(name), "d/%llu", (unsigned long long)i);
		make(f, name);
		unlink(at(f, name));
	}
	for (i = 0; i < 200; i++)
		loop_turn(f->loop, 0);
	assert_true(buf_len(&f->told) > 2);
	assert_string_equal(buf_cstr(&f->told) + buf_len(&f->told) - 3, " * ");
	buf_clear(&f->told);
	make(f, "d/x");
	told(f, "x ");
}

static void other_entries_are_not_told(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "d");
	watch(f, "d");
	fswatch_only(f->w, "nvidia");
	make(f, "d/tty0");
	make(f, "d/nvidia0");
	told(f, "nvidia0 ");
	assert_int_equal(unlink(at(f, "d/tty0")), 0);
	assert_int_equal(unlink(at(f, "d/nvidia0")), 0);
	assert_int_equal(rmdir(at(f, "d")), 0);
	loop_turn(f->loop, 0);
	assert_non_null(strstr(buf_cstr(&f->told), "* "));
	assert_null(strstr(buf_cstr(&f->told), "tty0"));
}

static void limit_of_the_kernel_is_an_error_at_first(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "d");
	refuse = 1;
	assert_int_equal(fswatch_new(f->loop, at(f, "d"), on_change, f, &f->w), -EMFILE);
	assert_null(f->w);
}

static void limit_of_the_kernel_is_waited_out_later(void **state)
{
	struct fixture *f = *state;
	uint64_t began;

	make_dir(f, "d");
	watch(f, "d");
	refuse_watch = 2;
	began = loop_now_ms(f->loop);
	assert_int_equal(rmdir(at(f, "d")), 0);
	loop_turn(f->loop, 0);
	assert_string_equal(buf_cstr(&f->told), "* ");
	make_dir(f, "d");
	while (refuse_watch || loop_now_ms(f->loop) < began + 4000)
		loop_turn(f->loop, -1);
	loop_turn(f->loop, 0);
	buf_clear(&f->told);
	make(f, "d/x");
	told(f, "x ");
}

/* A node whose limit stays reached: the owner looks every 2 s, the log is told once. */
static void limit_that_stays_is_said_once(void **state)
{
	struct fixture *f = *state;
	uint64_t until = loop_now_ms(f->loop) + 600 * 1000;

	make_dir(f, "d");
	watch(f, "d");
	refuse_watch = 1000;
	warnings = 0;
	assert_int_equal(rmdir(at(f, "d")), 0);
	while (loop_now_ms(f->loop) < until)
		loop_turn(f->loop, -1);
	assert_int_equal(warnings, 1);
	assert_true(buf_len(&f->told) > 2 * 250);
	refuse_watch = 0;
	make_dir(f, "d");
	loop_turn(f->loop, 3000);
	loop_turn(f->loop, 3000);
	buf_clear(&f->told);
	make(f, "d/x");
	told(f, "x ");
	assert_int_equal(warnings, 1);
}

/* ---- several watches share their descriptors ---- */

struct second {
	struct fixture *f;
	struct fswatch *w;
	unsigned told;
	struct fswatch **drops; /* freed when this one is told */
};

static void on_second(void *arg, const char *name)
{
	struct second *s = arg;

	(void)name;
	s->told++;
	if (s->drops)
		fswatch_free(s->drops);
}

static void watch_too(struct second *s, const char *name)
{
	assert_int_equal(fswatch_new(s->f->loop, at(s->f, name), on_second, s, &s->w), 0);
}

/* Kernel watches of this process, as the kernel lists them. */
static int count_watches(void *arg, const char *name)
{
	char *path _mem_free_ = mem_printf("/proc/self/fdinfo/%s", name);
	unsigned *n = arg;
	struct buf text;
	struct sv rest;

	buf_init(&text, 1 << 20);
	if (!fsx_read(path, 1 << 20, &text))
		for (rest = buf_sv(&text); rest.n;)
			*n += sv_starts(sv_cut(&rest, '\n'), SV("inotify "));
	buf_done(&text);
	return 0;
}

static unsigned kernel_watches(void)
{
	unsigned n = 0;

	assert_int_equal(fsx_list("/proc/self/fdinfo", count_watches, &n), 0);
	return n;
}

static void many_take_two_instances(void **state)
{
	struct fixture *f = *state;
	struct second s[20] = { 0 };
	unsigned before = instances, watches;
	char name[8];
	size_t i;

	make_dir(f, "d");
	watch(f, "d");
	watches = kernel_watches();
	for (i = 0; i < ARRAY_LEN(s); i++) {
		(void)snprintf(name, sizeof(name), "d%zu", i);
		make_dir(f, name);
		s[i].f = f;
		watch_too(&s[i], name);
	}
	assert_int_equal(instances - before, 2);
	/* Of each: its folder, twice. */
	assert_int_equal(kernel_watches() - watches, 2 * ARRAY_LEN(s));
	make(f, "d7/x");
	told(f, "");
	for (i = 0; i < ARRAY_LEN(s); i++) {
		assert_int_equal(s[i].told, i == 7);
		fswatch_free(&s[i].w);
	}
	assert_int_equal(kernel_watches(), watches);
}

static void same_folder_twice(void **state)
{
	struct fixture *f = *state;
	struct second s = { .f = f };

	make_dir(f, "d");
	watch(f, "d");
	watch_too(&s, "d");
	make(f, "d/x");
	told(f, "x ");
	assert_int_equal(s.told, 1);
	/* What the two share stays with the other. */
	fswatch_free(&s.w);
	make(f, "d/y");
	told(f, "y ");
}

static void folder_and_parent(void **state)
{
	struct fixture *f = *state;
	struct second s = { .f = f };

	make_dir(f, "d");
	make_dir(f, "d/e");
	watch(f, "d");
	watch_too(&s, "d/e");
	make(f, "d/x");
	told(f, "x ");
	assert_int_equal(s.told, 0);
	make(f, "d/e/y");
	told(f, "");
	assert_int_equal(s.told, 1);
	fswatch_free(&f->w);
	assert_int_equal(unlink(at(f, "d/e/y")), 0);
	assert_int_equal(rmdir(at(f, "d/e")), 0);
	loop_turn(f->loop, 0);
	assert_true(s.told > 1);
	s.told = 0;
	make_dir(f, "d/e");
	loop_turn(f->loop, 0);
	make(f, "d/e/z");
	loop_turn(f->loop, 0);
	assert_true(s.told > 1);
	fswatch_free(&s.w);
}

static void one_frees_another(void **state)
{
	struct fixture *f = *state;
	struct second a = { .f = f }, b = { .f = f }, c = { .f = f };

	make_dir(f, "d");
	watch_too(&a, "d");
	watch_too(&b, "d");
	watch_too(&c, "d");
	a.drops = &b.w;
	make(f, "d/x");
	loop_turn(f->loop, 0);
	assert_int_equal(a.told, 1);
	assert_int_equal(b.told, 0);
	assert_int_equal(c.told, 1);
	assert_null(b.w);
	fswatch_free(&a.w);
	fswatch_free(&c.w);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(entries_are_told),
		T(folder_that_is_made_later),
		T(folder_that_goes_and_comes),
		T(parent_that_is_moved_away),
		T(file_in_place_of_the_folder),
		T(odd_paths),
		T(overflow_says_look_anew),
		T(other_entries_are_not_told),
		T(limit_of_the_kernel_is_an_error_at_first),
		T(limit_of_the_kernel_is_waited_out_later),
		T(limit_that_stays_is_said_once),
		T(many_take_two_instances),
		T(same_folder_twice),
		T(folder_and_parent),
		T(one_frees_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
