#include "core/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"

#define EVENT_BYTES  8192 /* the kernel's UEVENT_BUFFER_SIZE is 2048 plus a header line */
#define KERNEL_GROUP 1	  /* the kernel's own multicast group; udev's is 2 */

struct uevent_watch {
	struct loop_io io;
	int fd;
	bool netlink;
	char *subsystem;
	void (*fn)(void *arg, const struct uevent *ev);
	void *arg;
};

int uevent_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* "add@/devices/..." NUL "ACTION=add" NUL "DEVPATH=..." NUL ... (kernel lib/kobject_uevent.c) */
int uevent_parse(struct sv bytes, struct uevent *out)
{
	struct {
		struct sv key, *value;
	} fields[] = { { SV("ACTION="), &out->action },
		       { SV("DEVPATH="), &out->devpath },
		       { SV("SUBSYSTEM="), &out->subsystem },
		       { SV("PCI_SLOT_NAME="), &out->pci_slot } };
	struct sv head = sv_cut(&bytes, '\0');

	*out = (struct uevent){ 0 };
	if (sv_find(head, '@') <= 0)
		return -EBADMSG;
	while (bytes.n) {
		struct sv line = sv_cut(&bytes, '\0');

		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			if (sv_starts(line, fields[i].key))
				*fields[i].value = sv_drop(line, fields[i].key.n);
	}
	return out->action.n && out->devpath.n ? 0 : -EBADMSG;
}

/* Any process may send to the group; only port 0 is the kernel. */
static bool from_kernel(const struct uevent_watch *w, const struct sockaddr_nl *from, socklen_t n)
{
	return !w->netlink ||
	       (n >= sizeof(*from) && from->nl_family == AF_NETLINK && from->nl_pid == 0);
}

static void on_readable(void *arg, unsigned ready)
{
	struct uevent_watch *w = arg;
	struct sockaddr_nl from;
	socklen_t from_n = sizeof(from);
	char bytes[EVENT_BYTES];
	struct uevent ev;
	ssize_t n = recvfrom(w->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_n);

	(void)ready;
	if (n < 0 && errno == ENOBUFS) {
		/* The kernel dropped some: what they said is lost, that there were any is not. */
		ev = (struct uevent){ .action = SV("change"), .subsystem = sv_str(w->subsystem) };
		w->fn(w->arg, &ev);
		return;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_io_want(&w->io, 0); /* the other end is gone: nothing will come */
		return;
	}
	if (n < 0 || !from_kernel(w, &from, from_n))
		return;
	if (!uevent_parse(sv_make(bytes, (size_t)n), &ev) && sv_eqs(ev.subsystem, w->subsystem))
		w->fn(w->arg, &ev);
}

struct uevent_watch *uevent_new(struct loop *l, int fd, const char *subsystem,
				void (*fn)(void *arg, const struct uevent *ev), void *arg)
{
	struct uevent_watch *w = MEM_NEW(struct uevent_watch);
	int family = 0;
	socklen_t n = sizeof(family);

	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->subsystem = mem_strdup(subsystem);
	w->netlink =
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 && family == AF_NETLINK;
	loop_io_init(&w->io, l, fd, on_readable, w);
	loop_io_want(&w->io, LOOP_READ);
	return w;
}

void uevent_free(struct uevent_watch **wp)
{
	struct uevent_watch *w = *wp;

	if (!w)
		return;
	loop_io_done(&w->io);
	close(w->fd);
	mem_free(w->subsystem);
	mem_free(w);
	*wp = NULL;
}
