#include "tools/tundra/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base.h"
#include "core/log.h"

/* The union of the roles' rows, and what a worker needs to give up the rest for good. */
static const int kept[] = { CAP_MKNOD,		 CAP_CHOWN,	   CAP_SYS_PTRACE,
			    CAP_DAC_READ_SEARCH, CAP_SYS_RESOURCE, CAP_SETPCAP };

void privileges_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	uint64_t keep = 0;

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		keep |= 1ull << kept[i];
	if (syscall(SYS_capget, &header, data) < 0) {
		log_warn("cannot read capabilities", LOG_S("error", strerror(errno)));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = 0;
		data[i].inheritable = 0;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		log_warn("cannot set no_new_privs", LOG_S("error", strerror(errno)));
	if (syscall(SYS_capset, &header, data) < 0)
		log_warn("cannot drop capabilities", LOG_S("error", strerror(errno)));
}
