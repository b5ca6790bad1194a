/* What a confined process may still do, found out by trying it: each case in a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/confine_row.h"
#include "core/fsx.h"

/* More than the tables need, less than the kernel's limit of 4096. */
_Static_assert(CONFINE_PROGRAM_MAX <= BPF_MAXINSNS, "the kernel takes it");

static const struct confine_group allowed[] = {
	{ "this test", "what it looks at", 0,
	  CALLS(CALL_IF(socket, CONFINE_EQUALS, 0, AF_UNIX),
		CALL_IF(socket, CONFINE_EQUALS, 0, AF_INET), CALL(openat)) },
	{ 0 },
};

/* The filter alone, without what a sanitizer build adds to it. */
static void enter(const struct confine_group *const *lists, size_t n, int rest)
{
	static struct sock_filter filter[CONFINE_PROGRAM_MAX];
	struct sock_fprog program = { .filter = filter };

	program.len = (unsigned short)confine_program(lists, n, rest, filter);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(200);
}

/* As a list is all that a role may do, and as a role is denied what is dangerous. */
static void enter_list(void)
{
	const struct confine_group *lists[] = { confine_dangerous, confine_no_code, confine_basics,
						allowed };

	enter(lists, ARRAY_LEN(lists), ENOSYS);
}

static void enter_rest(void)
{
	const struct confine_group *lists[] = { confine_dangerous };

	enter(lists, ARRAY_LEN(lists), 0);
}

/* errno of a call, 0 when it works. Arguments that fail otherwise by themselves: see each. */
static int try(int nr, long a, long b, long c)
{
	return syscall(nr, a, b, c, 0, 0, 0) < 0 ? errno : 0;
}

static int in_child(void (*confine)(void), int (*fn)(const void *arg), const void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		confine();
		/* Not by _exit(): a sanitizer has more to do there than the list allows. */
		syscall(SYS_exit_group, fn(arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_row(const void *arg)
{
	const struct confine_call *c = arg;
	long args[3] = { -1, -1, -1 };

	if (c->test != CONFINE_ANY)
		args[c->arg] = c->value;
	return try(c->nr, args[0], args[1], args[2]);
}

/*
 * All that is dangerous is refused, whatever else may be called: the arguments make no sense, so
 * without a filter there would be another error, or none.
 */
static void test_dangerous(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct confine_group *g = confine_dangerous; g->name; g++) {
		assert_true(g->error);
		for (const struct confine_call *c = g->calls; *c->name; c++) {
			if (c->nr < 0)
				continue;
			n++;
			if (in_child(enter_list, try_row, c) != g->error ||
			    in_child(enter_rest, try_row, c) != g->error)
				fail_msg("%s is not refused", c->name);
		}
	}
	assert_true(n > 50);
}

/* Those that issue 4 and seccomp's own history name; a row that goes missing shows here. */
static void test_dangerous_is_complete(void **state)
{
	static const int16_t wanted[] = {
		__NR_execve,
		__NR_execveat,
		__NR_ptrace,
		__NR_mount,
		__NR_umount2,
		__NR_pivot_root,
		__NR_move_mount,
		__NR_bpf,
		__NR_kexec_load,
		__NR_kexec_file_load,
		__NR_init_module,
		__NR_finit_module,
		__NR_delete_module,
		__NR_setns,
		__NR_unshare,
		__NR_process_vm_readv,
		__NR_process_vm_writev,
		__NR_open_by_handle_at,
		__NR_keyctl,
		__NR_add_key,
		__NR_request_key,
		__NR_io_uring_setup,
		__NR_userfaultfd,
		__NR_perf_event_open,
		__NR_reboot,
		__NR_chroot,
		__NR_pidfd_getfd,
		__NR_clone3,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const struct confine_call c = { .name = "", .nr = wanted[i] };
		int r = in_child(enter_rest, try_row, &c);

		if (r != (wanted[i] == __NR_clone3 ? ENOSYS : EPERM))
			fail_msg("call %d is answered %d", wanted[i], r);
	}
}

static int try_list(const void *arg)
{
	static char page[8192];
	void *code;

	(void)arg;
	if (try(__NR_getppid, 0, 0, 0) || try(__NR_openat, AT_FDCWD, (long)"/", O_RDONLY))
		return 1;
	/* Nobody's call: as on an older kernel, so that a libc falls back. */
	if (try(__NR_mincore, (long)page, 0, 0) != ENOSYS || try(9999, 0, 0, 0) != ENOSYS ||
	    try(__NR_personality, -1, 0, 0) != ENOSYS)
		return 2;
	if (try(__NR_socket, AF_UNIX, SOCK_STREAM, 0) || try(__NR_socket, AF_INET, SOCK_STREAM, 0))
		return 3;
	if (try(__NR_socket, AF_PACKET, SOCK_RAW, 0) != ENOSYS)
		return 4;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (code != MAP_FAILED || errno != EPERM)
		return 5;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0 ||
	    errno != EPERM || mprotect(code, 4096, PROT_READ))
		return 6;
	/* Signals go nowhere but to itself. */
	if (try(__NR_kill, getppid(), 0, 0) != ENOSYS ||
	    try(__NR_tgkill, getppid(), getppid(), 0) != ENOSYS)
		return 7;
#ifdef __x86_64__
	if (try(0x40000000 + 39, 0, 0, 0) != EPERM) /* getpid of x32 */
		return 8;
#endif
	return 0;
}

static void test_list(void **state)
{
	(void)state;
	assert_int_equal(in_child(enter_list, try_list, NULL), 0);
}

/* The filter was built for the process that is confined: itself it may signal. */
static int abort_itself(const void *arg)
{
	(void)arg;
	signal(SIGABRT, SIG_DFL);
	return try(__NR_tgkill, getpid(), (long)syscall(SYS_gettid), 0);
}

static void test_signals_itself(void **state)
{
	(void)state;
	assert_int_equal(in_child(enter_list, abort_itself, NULL), 0);
}

static int try_rest(const void *arg)
{
	(void)arg;
	if (try(__NR_mincore, 0, 0, 0) || try(__NR_personality, -1, 0, 0))
		return 1; /* not dangerous: works */
	if (try(__NR_clone, CLONE_NEWUSER | SIGCHLD, 0, 0) != EPERM)
		return 2;
	if (ioctl(0, TIOCSTI, "x") != -1 || errno != EPERM)
		return 3;
	return 0;
}

static void test_rest(void **state)
{
	(void)state;
	assert_int_equal(in_child(enter_rest, try_rest, NULL), 0);
}

/* ---- as it is done: with capabilities, and what a sanitizer needs ---- */

static uint64_t status_field(const char *name, int base)
{
	uint64_t value = UINT64_MAX;
	struct buf text;
	char *at;

	buf_init(&text, 1 << 16);
	if (fsx_read("/proc/self/status", 1 << 16, &text) == 0) {
		at = strstr(buf_cstr(&text), name);
		if (at)
			value = strtoull(at + strlen(name), NULL, base);
	}
	buf_done(&text);
	return value;
}

static void nothing(void)
{
}

static int look(const void *arg)
{
	const uint64_t keep = 1ull << CAP_CHOWN | 1ull << CAP_SETPCAP,
		       all = status_field("CapPrm:", 16);
	const struct confine_group *lists[] = { confine_no_code, confine_basics, allowed };

	(void)arg;
	confine_caps(keep, false);
	if (status_field("CapPrm:", 16) != (keep & all) ||
	    status_field("CapBnd:", 16) != (keep & all))
		return 1;
	if (status_field("CapEff:", 16) || status_field("CapInh:", 16) ||
	    status_field("CapAmb:", 16))
		return 2;
	if (status_field("NoNewPrivs:", 10) != 0 || status_field("Seccomp:", 10) != 0)
		return 3;
	/* From what is permitted only, as a worker out of the spawner. */
	confine_caps(1ull << CAP_CHOWN, true);
	if (status_field("CapEff:", 16) != 1ull << CAP_CHOWN ||
	    status_field("CapBnd:", 16) != 1ull << CAP_CHOWN)
		return 4;
	confine_caps(0, false);
	if (status_field("CapPrm:", 16) || status_field("CapEff:", 16))
		return 5;
	confine_calls(NULL, 0, 0);
	confine_calls(lists, ARRAY_LEN(lists), ENOSYS);
	if (status_field("NoNewPrivs:", 10) != 1 || status_field("Seccomp:", 10) != 2)
		return 6;
	if (try(__NR_execve, 0, 0, 0) != EPERM || try(__NR_mincore, 0, 0, 0) != ENOSYS ||
	    try(__NR_mount, 0, 0, 0) != EPERM)
		return 7;
	return 0;
}

static void test_for_good(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(nothing, look, NULL), 0);
}

/* ---- the tables ---- */

static bool same(const struct confine_call *a, const struct confine_call *b)
{
	return a->nr >= 0 && a->nr == b->nr && a->test == b->test && a->value == b->value;
}

static void test_tables(void **state)
{
	const struct confine_group *const lists[] = { confine_dangerous, confine_no_code,
						      confine_basics };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const struct confine_group *g = lists[i]; g->name; g++) {
			assert_true(*g->why);
			for (const struct confine_call *c = g->calls; *c->name; c++)
				for (const struct confine_call *d = c + 1; *d->name; d++)
					assert_false(same(c, d));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dangerous), cmocka_unit_test(test_dangerous_is_complete),
		cmocka_unit_test(test_list),	  cmocka_unit_test(test_signals_itself),
		cmocka_unit_test(test_rest),	  cmocka_unit_test(test_for_good),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
