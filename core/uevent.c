#include "core/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"

/*
 * A message is "action@devpath" and then KEY=value strings, each with its NUL. Everybody may send
 * to the multicast group inside a network namespace he owns, and udev's own messages ("libudev...")
 * go through the same protocol, so: from port 0, by the kernel's credentials, and well-formed, or
 * not at all.
 */
enum { KERNEL_GROUP = 1 };
/* The kernel's own buffer for one message is 2 kB of environment plus the path; this is ample. */
enum { MESSAGE_MAX = 8 << 10 };
/* A boot with a thousand devices sends some 300 kB in a second; the default holds 200. */
enum { RECEIVE_BUFFER = 1 << 20 };
enum { MESSAGES_PER_TURN = 256 };

struct uevent_watch {
	struct loop *loop;
	struct loop_io io;
	int fd;
	bool netlink;
	char *subsystem;
	void (*fn)(void *arg, const struct uevent *ev);
	void *arg;
};

/* Parsing */

static bool is_key(struct sv s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '_')
			return false;
	}
	return s.n > 0;
}

static bool is_word(struct sv s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '_' && s.p[i] != '-' &&
		    !(s.p[i] >= '0' && s.p[i] <= '9'))
			return false;
	}
	return s.n > 0 && s.n <= 64;
}

/* An absolute path without "..": it is joined with /sys by who uses it. */
static bool is_devpath(struct sv s)
{
	struct sv part;

	if (!sv_starts(s, SV("/")) || memchr(s.p, '\n', s.n))
		return false;
	while (s.n) {
		part = sv_cut(&s, '/');
		if (sv_eqs(part, ".."))
			return false;
	}
	return true;
}

static bool is_pci_slot(struct sv s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (!strchr("0123456789abcdefABCDEF:.", s.p[i]) || !s.p[i])
			return false;
	}
	return s.n > 0 && s.n <= 16;
}

/* One of the values we want; false when it is there twice. */
static bool set(struct sv *to, struct sv value)
{
	if (to->p)
		return false;
	*to = value;
	return true;
}

static bool take_pair(struct sv line, struct uevent *ev)
{
	struct sv key;

	if (sv_find(line, '=') < 0)
		return false;
	key = sv_cut(&line, '=');
	if (!is_key(key))
		return false;
	if (sv_eqs(key, "ACTION"))
		return set(&ev->action, line);
	if (sv_eqs(key, "DEVPATH"))
		return set(&ev->devpath, line);
	if (sv_eqs(key, "SUBSYSTEM"))
		return set(&ev->subsystem, line);
	if (sv_eqs(key, "PCI_SLOT_NAME"))
		return set(&ev->pci_slot, line) && is_pci_slot(line);
	return true;
}

int uevent_parse(struct sv bytes, struct uevent *out)
{
	struct sv head, action;

	*out = (struct uevent){ 0 };
	/* The last string is terminated like the others. */
	if (!bytes.n || bytes.p[bytes.n - 1] != '\0')
		return -EBADMSG;
	head = sv_cut(&bytes, '\0');
	if (sv_find(head, '@') < 0)
		return -EBADMSG;
	action = sv_cut(&head, '@');
	while (bytes.n) {
		if (!take_pair(sv_cut(&bytes, '\0'), out))
			return -EBADMSG;
	}
	if (!sv_eq(action, out->action) || !sv_eq(head, out->devpath))
		return -EBADMSG;
	return is_word(action) && is_devpath(head) && is_word(out->subsystem) ? 0 : -EBADMSG;
}

/* Receiving */

int uevent_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd, size = RECEIVE_BUFFER, on = 1, r;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	/* FORCE needs CAP_NET_ADMIN; the smaller one that the limit allows will do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static bool by_kernel(struct msghdr *m)
{
	struct cmsghdr *c;
	struct ucred cred;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.uid == 0 && cred.pid == 0;
	}
	return false;
}

/* Only the kernel has port 0, and no process. */
static bool from_kernel(const struct uevent_watch *w, struct msghdr *m,
			const struct sockaddr_nl *from)
{
	if (!w->netlink)
		return true;
	return m->msg_namelen == sizeof(*from) && from->nl_family == AF_NETLINK &&
	       from->nl_pid == 0 && by_kernel(m);
}

static void lost_some(struct uevent_watch *w)
{
	struct uevent ev = { .action = SV("change"),
			     .devpath = SV(""),
			     .subsystem = sv_str(w->subsystem),
			     .pci_slot = SV("") };

	log_warn("the kernel dropped device events", LOG_S("subsystem", w->subsystem));
	w->fn(w->arg, &ev);
}

/* False when there is nothing more to read. */
static bool receive(struct uevent_watch *w)
{
	char bytes[MESSAGE_MAX];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct uevent ev;
	ssize_t n;

	n = recvmsg(w->fd, &m, 0);
	if (n < 0 && errno == ENOBUFS) {
		lost_some(w);
		return true;
	}
	if (n <= 0)
		return n < 0 && errno == EINTR;
	if ((m.msg_flags & MSG_TRUNC) || !from_kernel(w, &m, &from) ||
	    uevent_parse(sv_make(bytes, (size_t)n), &ev) || !sv_eqs(ev.subsystem, w->subsystem))
		return true;
	w->fn(w->arg, &ev);
	return true;
}

static void on_ready(void *arg, unsigned ready)
{
	struct uevent_watch *w = arg;
	int i;

	(void)ready;
	for (i = 0; i < MESSAGES_PER_TURN && receive(w); i++) {
	}
}

struct uevent_watch *uevent_new(struct loop *l, int fd, const char *subsystem,
				void (*fn)(void *arg, const struct uevent *ev), void *arg)
{
	struct uevent_watch *w = MEM_NEW(struct uevent_watch);
	socklen_t size = sizeof(int);
	int domain = AF_NETLINK;

	/* What cannot be asked is treated as the strict one. */
	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	*w = (struct uevent_watch){ .loop = l,
				    .fd = fd,
				    .netlink = domain == AF_NETLINK,
				    .subsystem = mem_strdup(subsystem),
				    .fn = fn,
				    .arg = arg };
	loop_io_init(&w->io, l, fd, on_ready, w);
	loop_io_want(&w->io, LOOP_READ);
	return w;
}

void uevent_free(struct uevent_watch **wp)
{
	struct uevent_watch *w = *wp;

	if (!w)
		return;
	loop_io_done(&w->io);
	mem_free(w->subsystem);
	mem_free(w);
	*wp = NULL;
}
