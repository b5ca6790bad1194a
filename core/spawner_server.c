#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/child.h"
#include "core/log.h"
#include "core/spawner_message.h"

/* The spawner's end. It does nothing but this, so it may block. */
struct server {
	int fd, signals;
	sigset_t before;
	struct {
		uint32_t id;
		pid_t pid; /* 0: free */
	} workers[SPAWNER_WORKERS_MAX];
	int (*run)(void *ctx, const char *role);
	void *ctx;
};

static int tell(const struct server *s, enum spawner_kind kind, uint32_t id, int32_t value)
{
	const struct spawner_message m = { .kind = kind, .id = id, .value = value };

	while (send(s->fd, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* In the new worker. */
static void NORETURN become(struct server *s, int sock, const char *role, pid_t spawner)
{
	close(s->signals);
	(void)sigprocmask(SIG_SETMASK, &s->before, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		log_warn("cannot follow the spawner", LOG_S("error", strerror(errno)));
	/* It may have died before that: then nobody will tell us. */
	if (getppid() != spawner)
		exit(0);
	if (setsid() < 0 || dup2(sock, s->fd) < 0) {
		log_error("a worker cannot have its socket", LOG_S("error", strerror(errno)));
		exit(CHILD_EXEC_FAILED);
	}
	close(sock);
	exit(s->run(s->ctx, role));
}

/* Index of the worker with that id or, if that is 0, pid; of none: where there is room for one. */
static size_t where(const struct server *s, uint32_t id, pid_t pid)
{
	size_t i = 0;

	while (i < SPAWNER_WORKERS_MAX &&
	       !(id ? s->workers[i].pid && s->workers[i].id == id : s->workers[i].pid == pid))
		i++;
	return i;
}

static int start(struct server *s, const struct spawner_message *m, int sock)
{
	size_t i = where(s, 0, 0);
	pid_t self = getpid(), pid;

	errno = EAGAIN;
	pid = i < SPAWNER_WORKERS_MAX ? fork() : -1;
	if (pid == 0)
		become(s, sock, m->role, self);
	if (pid < 0) {
		log_error("a worker cannot be started", LOG_S("role", m->role),
			  LOG_S("error", strerror(errno)));
		return tell(s, SPAWNER_ENDED, m->id, CHILD_EXEC_FAILED << 8);
	}
	s->workers[i].id = m->id;
	s->workers[i].pid = pid;
	return tell(s, SPAWNER_STARTED, m->id, pid);
}

static int do_kill(struct server *s, uint32_t id)
{
	size_t i = where(s, id, 0);

	if (i == SPAWNER_WORKERS_MAX)
		return tell(s, SPAWNER_ENDED, id, 0);
	(void)kill(s->workers[i].pid, SIGKILL); /* not reaped yet: the pid is its own */
	return 0;
}

static int reap(struct server *s)
{
	struct signalfd_siginfo unused;
	int status, r = 0;
	pid_t pid;

	while (read(s->signals, &unused, sizeof(unused)) > 0)
		;
	while (r == 0 && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		size_t i = where(s, 0, pid);

		if (i == SPAWNER_WORKERS_MAX)
			continue;
		s->workers[i].pid = 0;
		r = tell(s, SPAWNER_ENDED, s->workers[i].id, status);
	}
	return r;
}

/* 1: the peer closed. */
static int receive(struct server *s, struct spawner_message *m, int *sock)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec bytes = { m, sizeof(*m) };
	struct msghdr h = { .msg_iov = &bytes,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	ssize_t n;

	*sock = -1;
	do
		n = recvmsg(s->fd, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 1;
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(sock, CMSG_DATA(c), sizeof(*sock));
	return n == sizeof(*m) && m->id && memchr(m->role, 0, sizeof(m->role)) ? 0 : -EBADMSG;
}

static int obey(struct server *s)
{
	struct spawner_message m;
	int sock, r = receive(s, &m, &sock);

	if (r == 0 && m.kind == SPAWNER_START && sock >= 0)
		r = start(s, &m, sock);
	else if (r == 0 && m.kind == SPAWNER_KILL)
		r = do_kill(s, m.id);
	else if (r == 0)
		r = -EBADMSG;
	if (sock >= 0)
		close(sock);
	return r;
}

int spawner_serve(int fd, int (*run)(void *ctx, const char *role), void *ctx)
{
	struct server s = { .fd = fd, .run = run, .ctx = ctx };
	struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .events = POLLIN } };
	sigset_t child;
	int r = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, &s.before) < 0)
		return -errno;
	s.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0)
		return -errno;
	p[1].fd = s.signals;
	while (r == 0) {
		if (poll(p, ARRAY_LEN(p), -1) < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (p[1].revents)
			r = reap(&s);
		if (r == 0 && p[0].revents)
			r = obey(&s);
	}
	close(s.signals);
	return r < 0 ? r : 0;
}
