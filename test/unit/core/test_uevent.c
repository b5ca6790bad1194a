#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/uevent.h"

#define DEV "/devices/pci0000:64/0000:64:00.0/0000:65:00.0"
#define MESSAGE                                                                                    \
	"add@" DEV "\0ACTION=add\0DEVPATH=" DEV "\0SUBSYSTEM=pci\0PCI_CLASS=30200\0"               \
	"PCI_ID=10DE:2330\0PCI_SLOT_NAME=0000:65:00.0\0MODALIAS=pci:v000010DEd00002330=\0SEQNUM="  \
	"4711"
/* The literal's own NUL ends the last string. */
#define WHOLE(text) ((struct sv){ "" text, sizeof(text) })

static void kernel_message_is_read(void **state)
{
	struct uevent ev;

	(void)state;
	assert_int_equal(uevent_parse(WHOLE(MESSAGE), &ev), 0);
	assert_true(sv_eqs(ev.action, "add"));
	assert_true(sv_eqs(ev.devpath, DEV));
	assert_true(sv_eqs(ev.subsystem, "pci"));
	assert_true(sv_eqs(ev.pci_slot, "0000:65:00.0"));
	/* Not every device is in a PCI slot. */
	assert_int_equal(uevent_parse(WHOLE("change@/devices/virtual/mem/null\0ACTION=change\0"
					    "DEVPATH=/devices/virtual/mem/null\0SUBSYSTEM=mem"),
				      &ev),
			 0);
	assert_int_equal(ev.pci_slot.n, 0);
}

static void junk_is_refused(void **state)
{
	static const struct sv junk[] = {
		WHOLE(""),
		WHOLE("libudev\0\xfe\xed\xca\xfe\0\0\0\x28"),
		WHOLE("add"),
		WHOLE("add@/d"), /* no keys */
		WHOLE("@\0ACTION=\0DEVPATH=\0SUBSYSTEM="),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d"),		   /* no subsystem */
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM="),	   /* an empty one */
		WHOLE("add@/d\0ACTION=remove\0DEVPATH=/d\0SUBSYSTEM=pci"), /* two stories */
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/e\0SUBSYSTEM=pci"),
		WHOLE("add@/d\0ACTION=add\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0noequals"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0lower=x"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0=x"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0"), /* an empty string */
		WHOLE("add@d\0ACTION=add\0DEVPATH=d\0SUBSYSTEM=pci"),
		WHOLE("add@/a/../../etc\0ACTION=add\0DEVPATH=/a/../../etc\0SUBSYSTEM=pci"),
		WHOLE("add@/..\0ACTION=add\0DEVPATH=/..\0SUBSYSTEM=pci"),
		WHOLE("Add@/d\0ACTION=Add\0DEVPATH=/d\0SUBSYSTEM=pci"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=p/i"),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0PCI_SLOT_NAME="),
		WHOLE("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0PCI_SLOT_NAME=../../x"),
		{ "add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci", 42 }, /* not terminated */
		{ "", 0 },
	};
	struct uevent ev;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(junk); i++) {
		if (uevent_parse(junk[i], &ev) != -EBADMSG)
			fail_msg("junk %zu was taken", i);
	}
}

static void every_cut_is_refused(void **state)
{
	struct uevent ev;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(MESSAGE); n++) {
		char *cut = mem_dup(MESSAGE, n); /* exactly as long: reading on is seen */
		int r = uevent_parse(sv_make(cut, n), &ev);

		/* Only between two strings is a prefix whole, and then it says the same. */
		if (!r) {
			assert_true(n > 0 && cut[n - 1] == '\0');
			assert_true(sv_eqs(ev.action, "add") && sv_eqs(ev.devpath, DEV));
		}
		mem_free(cut);
	}
}

/* Watching */

struct fixture {
	struct loop *loop;
	struct uevent_watch *w;
	int fds[2];
	struct buf told;
};

static int lose; /* the next receive finds that the kernel dropped some */

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (lose) {
		lose--;
		errno = ENOBUFS;
		return -1;
	}
	return syscall(SYS_recvmsg, fd, m, flags);
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .loop = loop_new(), .fds = { -1, -1 } };
	buf_init(&f.told, 1 << 20);
	log_capture(swallow, NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	uevent_free(&f->w);
	uevent_free(&f->w);
	if (f->fds[0] >= 0)
		close(f->fds[0]);
	if (f->fds[1] >= 0)
		close(f->fds[1]);
	buf_done(&f->told);
	loop_free(&f->loop);
	log_capture(NULL, NULL);
	return 0;
}

static void on_event(void *arg, const struct uevent *ev)
{
	struct fixture *f = arg;

	assert_true(sv_eqs(ev->subsystem, "pci") || sv_eqs(ev->subsystem, "mem"));
	buf_printf(&f->told, SV_FMT "," SV_FMT "," SV_FMT " ", SV_ARG(ev->action),
		   SV_ARG(ev->devpath), SV_ARG(ev->pci_slot));
}

static void told(struct fixture *f, const char *want)
{
	int i;

	for (i = 0; i < 3; i++)
		loop_turn(f->loop, 0);
	assert_string_equal(buf_cstr(&f->told), want);
	buf_clear(&f->told);
}

static void pair(struct fixture *f)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, f->fds), 0);
	f->w = uevent_new(f->loop, f->fds[0], "pci", on_event, f);
}

static void say(struct fixture *f, struct sv bytes)
{
	assert_int_equal(send(f->fds[1], bytes.p, bytes.n, 0), bytes.n);
}

static void injected_events_are_told(void **state)
{
	struct fixture *f = *state;
	char *big = mem_zalloc(20000);

	pair(f);
	told(f, "");
	say(f, WHOLE(MESSAGE));
	say(f, WHOLE("add@/n\0ACTION=add\0DEVPATH=/n\0SUBSYSTEM=net")); /* not ours */
	say(f, WHOLE("junk"));
	say(f, WHOLE("remove@/d\0ACTION=remove\0DEVPATH=/d\0SUBSYSTEM=pci"));
	told(f, "add," DEV ",0000:65:00.0 remove,/d, ");
	/* Longer than any message of the kernel: cut, so not believed. */
	memcpy(big, MESSAGE, sizeof(MESSAGE));
	memset(big + sizeof(MESSAGE), 'A', 15000);
	say(f, sv_make(big, 20000));
	told(f, "");
	mem_free(big);
}

static void lost_events_say_look_anew(void **state)
{
	struct fixture *f = *state;

	pair(f);
	say(f, WHOLE(MESSAGE));
	lose = 1;
	told(f, "change,, add," DEV ",0000:65:00.0 ");
}

static void only_the_kernel_is_believed(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	struct sockaddr_nl me = { .nl_family = AF_NETLINK };
	socklen_t n = sizeof(me);

	f->fds[0] = uevent_open();
	if (f->fds[0] < 0)
		skip();
	f->w = uevent_new(f->loop, f->fds[0], "pci", on_event, f);
	f->fds[1] = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	assert_true(f->fds[1] >= 0);
	if (sendto(f->fds[1], MESSAGE, sizeof(MESSAGE), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		skip(); /* not allowed to try */
	told(f, "");
	/* Nor when it is sent to us alone. */
	assert_int_equal(getsockname(f->fds[0], (struct sockaddr *)&me, &n), 0);
	to.nl_groups = 0;
	to.nl_pid = me.nl_pid;
	(void)sendto(f->fds[1], MESSAGE, sizeof(MESSAGE), 0, (struct sockaddr *)&to, sizeof(to));
	told(f, "");
}

static void real_event_is_told(void **state)
{
	struct fixture *f = *state;
	int fd, i;

	f->fds[0] = uevent_open();
	if (f->fds[0] < 0)
		skip();
	f->w = uevent_new(f->loop, f->fds[0], "mem", on_event, f);
	fd = open("/sys/devices/virtual/mem/null/uevent", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "change", 6) != 6)
		skip(); /* a read-only /sys, or not root */
	close(fd);
	for (i = 0; i < 100 && !buf_len(&f->told); i++)
		loop_turn(f->loop, 20);
	if (!buf_len(&f->told))
		skip(); /* this network namespace hears no events of devices */
	assert_string_equal(buf_cstr(&f->told), "change,/devices/virtual/mem/null, ");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_message_is_read),
		cmocka_unit_test(junk_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		T(injected_events_are_told),
		T(lost_events_say_look_anew),
		T(only_the_kernel_is_believed),
		T(real_event_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
