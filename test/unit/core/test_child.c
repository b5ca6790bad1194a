#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/child.h"

/* This program is its own child: main() runs one of these when argv[1] names it. */

static void say(const char *text)
{
	if (write(CHILD_FD, text, strlen(text)) < 0)
		_exit(99);
}

static void child_report(void)
{
	struct sigaction sa;
	char line[256];
	sigset_t mask;
	int i, fd, death = 0, odd = 0;

	(void)snprintf(line, sizeof(line), "env=%s,%s ", getenv("ONE") ?: "-",
		       getenv("PATH") ?: "-");
	say(line);
	for (fd = 0; fd < 200; fd++) {
		if (fcntl(fd, F_GETFD) >= 0) {
			(void)snprintf(line, sizeof(line), "fd%d ", fd);
			say(line);
		}
	}
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (i = 1; i < NSIG; i++) {
		if (sigismember(&mask, i) > 0)
			odd++;
		if (!sigaction(i, NULL, &sa) && sa.sa_handler == SIG_IGN)
			odd++;
	}
	prctl(PR_GET_PDEATHSIG, &death);
	(void)snprintf(line, sizeof(line), "odd=%d death=%d session=%d stdin=%zd.", odd, death,
		       getsid(0) == getpid(), read(0, line, 1));
	say(line);
}

static int child_main(const char *what)
{
	char c;

	if (!strcmp(what, "report"))
		child_report();
	else if (!strcmp(what, "echo"))
		while (read(CHILD_FD, &c, 1) == 1 && write(CHILD_FD, &c, 1) == 1)
			;
	else if (!strcmp(what, "exit7"))
		return 7;
	else if (!strcmp(what, "sleep"))
		return say("!"), sleep(60) != 0;
	else
		return 99;
	return 0;
}

/* The tests */

struct fixture {
	struct loop *loop;
	struct child *child;
	int fd, exits, status;
	struct buf got;
};

static const char *const env[] = { "ONE=1", NULL };

static void on_exit_(void *arg, int status)
{
	struct fixture *f = arg;

	f->exits++;
	f->status = status;
}

static int start(struct fixture *f, const char *path, const char *what)
{
	const char *const argv[] = { "test_child", what, NULL };
	const struct child_spec spec = {
		.path = path, .argv = argv, .envp = env, .on_exit = on_exit_, .arg = f
	};

	return child_start(f->loop, &spec, &f->child, &f->fd);
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .loop = loop_new(), .fd = -1 };
	buf_init(&f.got, 1 << 16);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	child_free(&f->child);
	if (f->fd >= 0)
		close(f->fd);
	buf_done(&f->got);
	loop_free(&f->loop);
	return 0;
}

static void until_exit(struct fixture *f)
{
	int i;

	for (i = 0; !f->exits && i < 500; i++)
		loop_turn(f->loop, 20);
	assert_int_equal(f->exits, 1);
}

/* Everything the child says until it closes. */
static const char *hear(struct fixture *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	ssize_t n;

	do {
		assert_int_equal(poll(&p, 1, 10000), 1);
		n = read(f->fd, buf_reserve(&f->got, 1000), 1000);
		buf_commit(&f->got, n > 0 ? (size_t)n : 0);
	} while (n > 0);
	return buf_cstr(&f->got);
}

static void child_is_clean(void **state)
{
	struct fixture *f = *state;
	const char *text;
	sigset_t block;
	int leak = dup(0);

	assert_int_equal(fcntl(leak, F_SETFD, 0), 0); /* not close-on-exec */
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(start(f, "/proc/self/exe", "report"), 0);
	assert_true(child_pid(f->child) > 0);
	assert_true(fcntl(f->fd, F_GETFL) & O_NONBLOCK);
	text = hear(f);
	assert_string_equal(text, "env=1,- fd0 fd1 fd2 fd3 odd=0 death=9 session=1 stdin=0.");
	until_exit(f);
	assert_true(WIFEXITED(f->status) && WEXITSTATUS(f->status) == 0);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(leak);
}

/* Descriptors 0 to 3 may be anything in the parent. */
static void child_is_clean_whatever_is_closed_here(void **state)
{
	struct fixture *f = *state;
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 50);

	close(0);
	assert_int_equal(start(f, "/proc/self/exe", "report"), 0);
	assert_non_null(strstr(hear(f), " fd0 fd1 fd2 fd3 odd=0 death=9 session=1 stdin=0."));
	if (saved >= 0) {
		dup2(saved, 0);
		close(saved);
	}
	until_exit(f);
}

static void bytes_go_both_ways(void **state)
{
	struct fixture *f = *state;
	struct pollfd p;
	char b[3];

	assert_int_equal(start(f, "/proc/self/exe", "echo"), 0);
	assert_int_equal(write(f->fd, "abc", 3), 3);
	p = (struct pollfd){ .fd = f->fd, .events = POLLIN };
	while (buf_len(&f->got) < 3) {
		ssize_t n;

		assert_int_equal(poll(&p, 1, 10000), 1);
		n = read(f->fd, b, 3);
		assert_true(n > 0);
		buf_put(&f->got, b, (size_t)n);
	}
	assert_string_equal(buf_cstr(&f->got), "abc");
	close(f->fd);
	f->fd = -1;
	until_exit(f);		       /* it saw the end */
	child_kill(f->child, SIGKILL); /* harmless now */
}

static void exit_is_told_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, "/proc/self/exe", "exit7"), 0);
	until_exit(f);
	assert_true(WIFEXITED(f->status));
	assert_int_equal(WEXITSTATUS(f->status), 7);
	loop_turn(f->loop, 10);
	assert_int_equal(f->exits, 1);
}

static void signal_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, "/proc/self/exe", "sleep"), 0);
	child_kill(f->child, SIGKILL);
	until_exit(f);
	assert_true(WIFSIGNALED(f->status));
	assert_int_equal(WTERMSIG(f->status), SIGKILL);
}

static void what_cannot_start_is_told(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/test_child.XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(start(f, "/nonexistent/x", "x"), -ENOENT);
	assert_null(f->child);
	assert_int_equal(f->fd, -1);
	assert_int_equal(start(f, path, "x"), -EACCES);
	/* Executable, but no program: only exec knows. */
	assert_int_equal(write(fd, "\177junk", 5), 5);
	fchmod(fd, 0755);
	close(fd);
	assert_int_equal(start(f, path, "x"), 0);
	until_exit(f);
	assert_true(WIFEXITED(f->status));
	assert_int_equal(WEXITSTATUS(f->status), CHILD_EXEC_FAILED);
	unlink(path);
}

/* Not even a zombie. */
static bool childless(void)
{
	siginfo_t si;

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) && errno == ECHILD;
}

static void free_kills_and_reaps(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 20; i++) {
		assert_int_equal(start(f, "/proc/self/exe", "sleep"), 0);
		child_free(&f->child);
		assert_null(f->child);
		close(f->fd);
	}
	child_free(&f->child); /* NULL is fine */
	/* Who was too slow to die is reaped along with a later one. */
	for (i = 0; !childless() && i < 100; i++) {
		usleep(20000);
		assert_int_equal(start(f, "/proc/self/exe", "exit7"), 0);
		until_exit(f);
		f->exits = 0;
		child_free(&f->child);
		close(f->fd);
	}
	f->fd = -1;
	assert_true(childless());
}

/* Set to our pid: the child asks for PDEATHSIG only when its parent is dead and we inherited it. */
static pid_t race;

/* In a process between: starts a child, tells its pid and dies without a word. */
static pid_t child_of_a_dead_parent(struct fixture *f)
{
	int ends[2];
	pid_t between, pid = 0;

	assert_int_equal(pipe(ends), 0);
	between = fork();
	if (!between) {
		(void)!start(f, "/proc/self/exe", "sleep");
		pid = child_pid(f->child);
		if (!race)
			(void)poll(&(struct pollfd){ .fd = f->fd, .events = POLLIN }, 1, 10000);
		(void)!write(ends[1], &pid, sizeof(pid));
		raise(SIGKILL);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	close(ends[0]);
	assert_int_equal(waitpid(between, NULL, 0), between);
	return pid;
}

int prctl(int op, ...)
{
	unsigned long a;
	va_list ap;

	va_start(ap, op);
	a = va_arg(ap, unsigned long);
	va_end(ap);
	while (race && op == PR_SET_PDEATHSIG && getppid() != race)
		usleep(1000);
	return (int)syscall(SYS_prctl, op, a, 0, 0, 0);
}

static int reap_foreign(pid_t pid)
{
	int status, i;

	for (i = 0; i < 1000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	return -1;
}

static void child_dies_with_its_parent(void **state)
{
	int status;

	if (syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		skip(); /* qemu-user refuses it */
	status = reap_foreign(child_of_a_dead_parent(*state));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void child_whose_parent_died_too_early_ends_itself(void **state)
{
	int status;

	if (syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		skip(); /* qemu-user refuses it */
	race = getpid();
	status = reap_foreign(child_of_a_dead_parent(*state));
	race = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* As on a kernel before 5.3. */
static void refuse_new_calls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_LEN(filter), .filter = filter };

	if (syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0))
		_exit(77);
}

static void old_kernels_are_polled(void **state)
{
	struct fixture *f = *state;
	int status, i;
	pid_t pid = fork();

	if (!pid) {
		refuse_new_calls();
		if (syscall(SYS_pidfd_open, getpid(), 0) >= 0)
			_exit(78);
		if (start(f, "/proc/self/exe", "report"))
			_exit(1);
		if (!strstr(hear(f), "fd0 fd1 fd2 fd3 odd=0"))
			_exit(2);
		for (i = 0; !f->exits && i < 100; i++)
			loop_turn(f->loop, 100);
		_exit(f->exits == 1 && WIFEXITED(f->status) ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no seccomp here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(child_is_clean),
		T(child_is_clean_whatever_is_closed_here),
		T(bytes_go_both_ways),
		T(exit_is_told_once),
		T(signal_is_told),
		T(what_cannot_start_is_told),
		T(free_kills_and_reaps),
		T(child_dies_with_its_parent),
		T(child_whose_parent_died_too_early_ends_itself),
		T(old_kernels_are_polled),
	};

	if (argc > 1)
		return child_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
