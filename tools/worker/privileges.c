#include "tools/worker/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"

#define CAP(c) (1ull << (c))

static const struct {
	const char *role;
	uint64_t keep;
} rows[] = {
	/* Makes the driver's device nodes with the owner that the driver wants. Opening nodes that
	 * belong to root needs none, nor does asking. */
	{ "nvml", CAP(CAP_MKNOD) | CAP(CAP_CHOWN) },
	/* Looks which files processes of any user have open. */
	{ "host", CAP(CAP_SYS_PTRACE) | CAP(CAP_DAC_READ_SEARCH) },
	/* Writes files of root, as root; the blocks that file systems keep for root let a claim be
	 * released on a full disk. */
	{ "disk", CAP(CAP_SYS_RESOURCE) },
};

static void privileges_complain(const char *what)
{
	log_warn("privileges cannot be dropped", LOG_S("what", what),
		 LOG_S("error", strerror(errno)));
}

static bool privileges_get(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) == 0;
}

static void privileges_set(uint64_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	size_t i;

	if (!privileges_get(data)) {
		privileges_complain("capget");
		return;
	}
	for (i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		privileges_complain("capset");
}

/* What a program run by us could get back. Needs CAP_SETPCAP, so it comes first. */
static void privileges_bound(uint64_t keep)
{
	int cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno != EPERM) /* not root: nothing to lose */
				privileges_complain("bounding set");
			return;
		}
}

bool privileges_keep(const char *role)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows) && strcmp(rows[i].role, role) != 0; i++)
		;
	if (i == ARRAY_LEN(rows))
		return false;
	privileges_bound(rows[i].keep);
	privileges_set(rows[i].keep);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		privileges_complain("no_new_privs");
	return true;
}
