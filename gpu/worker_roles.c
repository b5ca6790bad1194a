#include "gpu/worker_roles.h"

#include <errno.h>
#include <linux/capability.h>

#include "core/confine_row.h"

#define CAP(c, reason)                                                                             \
	{                                                                                          \
		.name = #c, .why = (reason), .cap = (c)                                            \
	}

/* Its one socket, beside confine_basics. */
#define ITS_SOCKET                                                                                 \
	{                                                                                          \
		"its socket", "questions of tundra, answers", 0,                                   \
		    CALLS(CALL(recvfrom), CALL(sendto), CALL(poll), CALL(ppoll), CALL(setsockopt)) \
	}

static const struct confine_group host_calls[] = {
	ITS_SOCKET,
	{ "/proc", "folders are listed, what stands in them is read, links included", 0,
	  CALLS(CALL(openat), CALL(open), CALL(getdents64), CALL(stat), CALL(lstat), CALL(readlink),
		CALL(readlinkat)) },
	{ 0 },
};

static const struct confine_group disk_calls[] = {
	ITS_SOCKET,
	{ "files", "the ledger is opened, locked, grown, synced, replaced", 0,
	  CALLS(CALL(openat), CALL(open), CALL(stat), CALL(lstat), CALL(fsync), CALL(fdatasync),
		CALL(ftruncate), CALL(fallocate), CALL(rename), CALL(renameat), CALL(renameat2),
		CALL(link), CALL(linkat), CALL(unlink), CALL(unlinkat), CALL(fchmod),
		CALL(getdents64), CALL(fstatfs), CALL(statfs)) },
	{ 0 },
};

const struct worker_role worker_roles[] = {
	{ .name = "nvml",
	  .does = "finds the driver, asks it about GPUs, makes missing device nodes",
	  .caps = { CAP(CAP_MKNOD, "to make device nodes that are missing"),
		    CAP(CAP_CHOWN, "to give them the owner that the driver wants") },
	  .calls_why = "the vendor's library is loaded here and may call anything else" },
	{ .name = "host",
	  .does = "looks which processes have a GPU open",
	  .caps = { CAP(CAP_SYS_PTRACE, "to see who has a GPU open"),
		    CAP(CAP_DAC_READ_SEARCH, "to look for that into the folders of any user") },
	  .calls = host_calls },
	{ .name = "disk",
	  .does = "writes, syncs and compacts the ledger",
	  .caps = { CAP(CAP_SYS_RESOURCE, "the blocks that file systems keep for root let a claim "
					  "be released on a full disk") },
	  .calls = disk_calls },
};
const size_t worker_roles_n = ARRAY_LEN(worker_roles);

const struct worker_cap worker_spawner_caps[] = {
	CAP(CAP_SETPCAP, "for a new worker to give up the rest for good (bounding set)"),
	{ 0 },
};

static uint64_t bits(const struct worker_cap *c)
{
	uint64_t all = 0;

	for (; c->name; c++)
		all |= 1ull << c->cap;
	return all;
}

const struct worker_role *worker_role_find(const char *name)
{
	for (size_t i = 0; i < worker_roles_n; i++)
		if (strcmp(worker_roles[i].name, name) == 0)
			return &worker_roles[i];
	return NULL;
}

uint64_t worker_role_caps(const struct worker_role *r)
{
	return bits(r->caps);
}

uint64_t worker_spawner_keeps(void)
{
	uint64_t all = bits(worker_spawner_caps);

	for (size_t i = 0; i < worker_roles_n; i++)
		all |= bits(worker_roles[i].caps);
	return all;
}

void worker_role_confine(const struct worker_role *r)
{
	const struct confine_group *lists[] = { confine_no_code, confine_basics, r->calls };

	confine_caps(worker_role_caps(r), true);
	if (r->calls)
		confine_calls(lists, ARRAY_LEN(lists), ENOSYS);
	else
		confine_calls(NULL, 0, 0);
}

void worker_spawner_confine(void)
{
	confine_caps(worker_spawner_keeps(), false);
	confine_calls(NULL, 0, 0);
}
