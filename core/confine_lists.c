#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "core/confine_row.h"

#define NAMESPACES                                                                                 \
	((uint32_t)(CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS |     \
		    CLONE_NEWIPC | CLONE_NEWCGROUP))

const struct confine_group confine_dangerous[] = {
	{ "other programs", "nothing here runs a program: a worker is a copy of the spawner", EPERM,
	  CALLS(CALL(execve), CALL(execveat), CALL(uselib)) },
	{ "other processes", "reading, changing or taking descriptors from another process", EPERM,
	  CALLS(CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev),
		CALL(process_madvise), CALL(kcmp), CALL(pidfd_getfd)) },
	{ "mounts and namespaces", "the way out of the container", EPERM,
	  CALLS(CALL(mount), CALL(umount2), CALL(pivot_root), CALL(chroot), CALL(setns),
		CALL(unshare), CALL(open_tree), CALL(move_mount), CALL(fsopen), CALL(fsconfig),
		CALL(fsmount), CALL(fspick), CALL(mount_setattr),
		CALL_IF(clone, CONFINE_HAS, 0, NAMESPACES)) },
	{ "clone3", "a filter cannot see its flags; libc goes on with clone", ENOSYS,
	  CALLS(CALL(clone3)) },
	{ "files by handle", "opens files that no path of ours leads to", EPERM,
	  CALLS(CALL(open_by_handle_at), CALL(name_to_handle_at)) },
	{ "the kernel", "its code, its log, its probes", EPERM,
	  CALLS(CALL(bpf), CALL(perf_event_open), CALL(kexec_load), CALL(kexec_file_load),
		CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(reboot),
		CALL(syslog), CALL(userfaultfd), CALL(iopl), CALL(ioperm), CALL(modify_ldt)) },
	{ "io_uring", "makes calls that no filter sees", EPERM,
	  CALLS(CALL(io_uring_setup), CALL(io_uring_enter), CALL(io_uring_register)) },
	{ "keys", "the kernel's key rings belong to others", EPERM,
	  CALLS(CALL(keyctl), CALL(add_key), CALL(request_key)) },
	{ "the machine", "clock, name, swap, accounting, quotas", EPERM,
	  CALLS(CALL(settimeofday), CALL(clock_settime), CALL(adjtimex), CALL(clock_adjtime),
		CALL(sethostname), CALL(setdomainname), CALL(swapon), CALL(swapoff), CALL(acct),
		CALL(quotactl), CALL(vhangup)) },
	{ "terminals", "types into the terminal of whoever looks", EPERM,
	  CALLS(CALL_IF(ioctl, CONFINE_EQUALS, 1, TIOCSTI)) },
	{ 0 },
};

const struct confine_group confine_no_code[] = {
	{ "new code", "what came in as data must never run", EPERM,
	  CALLS(CALL_IF(mmap, CONFINE_HAS, 2, PROT_EXEC),
		CALL_IF(mprotect, CONFINE_HAS, 2, PROT_EXEC),
		CALL_IF(pkey_mprotect, CONFINE_HAS, 2, PROT_EXEC)) },
	{ 0 },
};

const struct confine_group confine_basics[] = {
	{ "bytes", "what is open is read, written, closed", 0,
	  CALLS(CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64),
		CALL(lseek), CALL(close), CALL(fcntl), CALL(fstat), CALL(newfstatat),
		CALL(statx)) },
	{ "memory", "malloc", 0,
	  CALLS(CALL(brk), CALL(mmap), CALL(munmap), CALL(mremap), CALL(mprotect), CALL(madvise)) },
	{ "time", "where the clock is not read without a call, and short waits", 0,
	  CALLS(CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(time),
		CALL(nanosleep), CALL(clock_nanosleep)) },
	{ "itself", "who it is, what it may use", 0,
	  CALLS(CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid), CALL(geteuid),
		CALL(getgid), CALL(getegid), CALL(getrandom), CALL(getrusage), CALL(prlimit64),
		CALL(getrlimit), CALL(uname), CALL(sysinfo), CALL(sched_getaffinity),
		CALL(sched_yield), CALL(futex)) },
	{ "signals and the end", "abort() signals the process itself, nobody else", 0,
	  CALLS(CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(restart_syscall),
		CALL_IF(tgkill, CONFINE_SELF, 0, 0), CALL(exit), CALL(exit_group)) },
	{ 0 },
};
