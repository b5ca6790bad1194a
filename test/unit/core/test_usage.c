#include "core/usage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MORE_FDS = 7, MORE_BYTES = 32 << 20, CPU_MS = 60 };

static struct usage now(void)
{
	struct usage u;

	assert_int_equal(usage_read(&u), 0);
	return u;
}

static void descriptors_are_counted(void **state)
{
	struct usage before = now(), after;
	struct rlimit limit;
	int fds[MORE_FDS];

	(void)state;
	for (size_t i = 0; i < MORE_FDS; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	after = now();
	assert_int_equal(after.open_fds, before.open_fds + MORE_FDS);
	for (size_t i = 0; i < MORE_FDS; i++)
		close(fds[i]);
	assert_int_equal(now().open_fds, before.open_fds);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(after.max_fds, limit.rlim_cur);
}

static void memory_is_counted_when_it_is_touched(void **state)
{
	struct usage before = now(), mapped, touched;
	char *p =
	    mmap(NULL, MORE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	mapped = now();
	memset(p, 1, MORE_BYTES);
	touched = now();
	assert_int_equal(munmap(p, MORE_BYTES), 0);
	assert_true(mapped.virtual_bytes >= before.virtual_bytes + MORE_BYTES);
	assert_true(mapped.resident_bytes < before.resident_bytes + MORE_BYTES / 2);
	/* The kernel may be late by some pages per CPU. */
	assert_true(touched.resident_bytes >= before.resident_bytes + MORE_BYTES / 4 * 3);
}

static double clock_s(clockid_t id)
{
	struct timespec t;

	assert_int_equal(clock_gettime(id, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void cpu_time_grows_with_work_only(void **state)
{
	double begin = clock_s(CLOCK_PROCESS_CPUTIME_ID), spent;
	struct usage before = now(), after;

	(void)state;
	do
		spent = clock_s(CLOCK_PROCESS_CPUTIME_ID) - begin;
	while (spent < CPU_MS / 1e3);
	after = now();
	assert_true(after.cpu_s - before.cpu_s > spent / 2);
	assert_true(after.cpu_s <= clock_s(CLOCK_PROCESS_CPUTIME_ID) + 0.02);
}

static void start_is_just_now(void **state)
{
	double began = usage_started(), wall = clock_s(CLOCK_REALTIME);

	(void)state;
	/* Boot time is told in whole seconds. */
	assert_true(began > wall - 60 && began < wall + 2);
}

/* A name with what separates the fields must not shift them. */
static void a_strange_name_shifts_nothing(void **state)
{
	double before = usage_started();

	(void)state;
	assert_int_equal(prctl(PR_SET_NAME, "a) R 1 (2"), 0);
	assert_true(usage_started() == before);
	assert_int_equal(prctl(PR_SET_NAME, "x ) )"), 0);
	assert_true(usage_started() == before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_counted),
		cmocka_unit_test(memory_is_counted_when_it_is_touched),
		cmocka_unit_test(cpu_time_grows_with_work_only),
		cmocka_unit_test(start_is_just_now),
		cmocka_unit_test(a_strange_name_shifts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
