#include "core/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/confine_row.h"
#include "core/log.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "core/confine: which AUDIT_ARCH is this?"
#endif

enum { LISTS_MAX = 8 };

static void complain(const char *what)
{
	log_warn("privileges cannot be dropped", LOG_S("what", what),
		 LOG_S("error", strerror(errno)));
}

/* ---- capabilities ---- */

static bool set_caps(uint64_t keep, bool effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	size_t i;

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	for (i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = effective ? data[i].permitted : 0;
		data[i].inheritable = 0; /* and ambient with it */
	}
	return syscall(SYS_capset, &header, data) == 0;
}

/* What a program run by us could get back. Needs CAP_SETPCAP in effect, so it comes first. */
static void bound(uint64_t keep)
{
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno != EPERM) /* not root: nothing to lose */
				complain("bounding set");
			return;
		}
}

void confine_caps(uint64_t keep, bool effective)
{
	if (!set_caps(UINT64_MAX, true))
		complain("capabilities");
	bound(keep);
	if (!set_caps(keep, effective))
		complain("capabilities");
}

/* ---- system calls ---- */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* At its end a program of a sanitizer build looks for leaks: by a copy of itself that traces it. */
static const struct confine_group sanitizer[] = {
#ifdef SANITIZED
	{ "leak sanitizer", "stops its own process, and prints what it found", 0,
	  CALLS(CALL(ptrace), CALL_IF(clone, CONFINE_HAS, 0, 0x100 /* CLONE_VM */), CALL(wait4),
		CALL(tgkill), CALL(kill), CALL(sigaltstack), CALL(prctl), CALL(openat), CALL(open),
		CALL(getdents), CALL(getdents64), CALL(readlink), CALL(readlinkat), CALL(stat),
		CALL(ioctl), CALL(pipe), CALL(pipe2), CALL(process_vm_readv), CALL(set_robust_list),
		CALL(rt_sigpending), CALL(rt_sigtimedwait), CALL(dup), CALL(dup2)) },
#endif
	{ 0 },
};

struct program {
	struct sock_filter *at;
	size_t n;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	must(p->n < CONFINE_PROGRAM_MAX);
	p->at[p->n++] = (struct sock_filter){ .code = code, .jt = yes, .jf = no, .k = k };
}

static void load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, int error)
{
	put(p, BPF_RET | BPF_K,
	    error ? SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA) : SECCOMP_RET_ALLOW, 0,
	    0);
}

/* In front of each row the accumulator holds the number of the call. */
static void put_row(struct program *p, const struct confine_call *c, int error)
{
	uint16_t compare = c->test == CONFINE_HAS ? BPF_JSET : BPF_JEQ;
	uint32_t value = c->test == CONFINE_SELF ? (uint32_t)getpid() : c->value;

	if (c->nr < 0)
		return;
	if (c->test == CONFINE_ANY) {
		put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 1);
		answer(p, error);
		return;
	}
	put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 4);
	/* Both architectures are little endian: the low half comes first. */
	load(p, offsetof(struct seccomp_data, args) + c->arg * sizeof(uint64_t));
	put(p, BPF_JMP | compare | BPF_K, value, 0, 1);
	answer(p, error);
	load(p, offsetof(struct seccomp_data, nr));
}

static void put_list(struct program *p, const struct confine_group *list)
{
	for (; list->name; list++)
		for (const struct confine_call *c = list->calls; *c->name; c++)
			put_row(p, c, list->error);
}

size_t confine_program(const struct confine_group *const *lists, size_t n, int rest,
		       struct sock_filter out[CONFINE_PROGRAM_MAX])
{
	struct program p = { .at = out };

	/* Numbers mean nothing without the architecture; no other one's code is ours. */
	load(&p, offsetof(struct seccomp_data, arch));
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	answer(&p, EPERM);
	load(&p, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
	/* The x32 twins of the same calls: __X32_SYSCALL_BIT. */
	put(&p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1);
	answer(&p, EPERM);
#endif
	for (size_t i = 0; i < n; i++)
		put_list(&p, lists[i]);
	answer(&p, rest);
	return p.n;
}

/*
 * LOG: a refusal shows in the kernel's log. SPEC_ALLOW: kernels before 5.16 slow a filtered process
 * down for those who run others' code in it; we do not.
 */
static bool install(const struct sock_fprog *program)
{
	unsigned flags = SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW;

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) == 0 ||
	       (errno == EINVAL && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0);
}

void confine_calls(const struct confine_group *const *lists, size_t n, int rest)
{
	const struct confine_group *all[LISTS_MAX] = { sanitizer, confine_dangerous };
	struct sock_filter filter[CONFINE_PROGRAM_MAX];
	struct sock_fprog program = { .filter = filter };

	must(n + 2 <= LISTS_MAX);
	for (size_t i = 0; i < n; i++)
		all[i + 2] = lists[i];
	program.len = (unsigned short)confine_program(all, n + 2, rest, filter);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		complain("no_new_privs");
	if (!install(&program))
		complain("seccomp filter");
}
