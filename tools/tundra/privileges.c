#include "tools/tundra/privileges.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/confine_row.h"

const struct confine_group reactor_calls[] = {
	{ "the loop", "waiting for descriptors, timers, signals", 0,
	  CALLS(CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_ctl), CALL(epoll_create1),
		CALL(epoll_create), CALL(timerfd_create), CALL(timerfd_settime), CALL(eventfd2),
		CALL(eventfd), CALL(pipe), CALL(pipe2), CALL(poll), CALL(ppoll), CALL(select),
		CALL(pselect6)) },
	{ "connections", "the kubelet's sockets, the API server, DNS, the health port", 0,
	  CALLS(CALL_IF(socket, CONFINE_EQUALS, 0, AF_UNIX),
		CALL_IF(socket, CONFINE_EQUALS, 0, AF_INET),
		CALL_IF(socket, CONFINE_EQUALS, 0, AF_INET6),
		CALL_IF(socket, CONFINE_EQUALS, 0, AF_NETLINK), /* getifaddrs(), uevents */
		CALL_IF(socketpair, CONFINE_EQUALS, 0, AF_UNIX), CALL(bind), CALL(listen),
		CALL(accept), CALL(accept4), CALL(connect), CALL(getsockname), CALL(getpeername),
		CALL(setsockopt), CALL(getsockopt), CALL(sendto), CALL(sendmsg), CALL(sendmmsg),
		CALL(recvfrom), CALL(recvmsg), CALL(shutdown),
		CALL_IF(ioctl, CONFINE_EQUALS, 1, FIONREAD),
		CALL_IF(ioctl, CONFINE_EQUALS, 1, TCGETS) /* isatty() */) },
	{ "files", "CDI specs, the hook, sockets, tokens, the driver's folders", 0,
	  CALLS(CALL(openat), CALL(open), CALL(stat), CALL(lstat), CALL(getdents64), CALL(readlink),
		CALL(readlinkat), CALL(access), CALL(faccessat), CALL(faccessat2), CALL(mkdir),
		CALL(mkdirat), CALL(rename), CALL(renameat), CALL(renameat2), CALL(link),
		CALL(linkat), CALL(unlink), CALL(unlinkat), CALL(rmdir), CALL(chmod), CALL(fchmod),
		CALL(fchmodat), CALL(ftruncate), CALL(fallocate), CALL(fsync), CALL(fdatasync),
		CALL(statfs), CALL(fstatfs), CALL(umask), CALL(flock)) },
	{ "changes", "folders are watched, not polled", 0,
	  CALLS(CALL(inotify_init1), CALL(inotify_init), CALL(inotify_add_watch),
		CALL(inotify_rm_watch)) },
	{ "the spawner", "that it ended, and how", 0, CALLS(CALL(wait4), CALL(waitid)) },
	{ 0 },
};

void privileges_drop(pid_t spawner)
{
	const struct confine_call end[] = { CALL_IF(kill, CONFINE_EQUALS, 0, (uint32_t)spawner),
					    { .name = "" } };
	const struct confine_group known_now[] = {
		{ "the spawner's end", "it is told to end, and nobody else is", 0, end },
		{ 0 },
	};
	const struct confine_group *lists[] = { confine_no_code, confine_basics, reactor_calls,
						known_now };

	confine_caps(0, false);
	confine_calls(lists, ARRAY_LEN(lists), ENOSYS);
}
