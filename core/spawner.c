#include "core/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/child.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/spawner_message.h"

enum { READ_TURN_MAX = 64 };

struct spawner {
	struct loop *loop;
	struct child *child; /* NULL: lost */
	int fd;
	bool closed; /* the other end is, so it is lost or about to be */
	struct loop_io io;
	struct list processes, outbox;
	uint32_t last_id;
	void (*on_lost)(void *arg);
	void *arg;
};

/* A worker: the handle that core/worker passes back. */
struct process {
	struct list node;
	struct spawner *spawner;
	uint32_t id;
	int64_t pid; /* 0: not told yet */
	bool ended, killed;
	void (*on_exit)(void *arg);
	void *arg;
	char role[SPAWNER_ROLE_MAX + 1];
};

/* Said when the socket takes it. */
struct letter {
	struct list node;
	struct spawner_message m;
	int fd; /* goes with it; -1: none */
};

/* ---- to the spawner ---- */

static void letter_free(struct letter *x)
{
	list_remove(&x->node);
	if (x->fd >= 0)
		close(x->fd);
	mem_free(x);
}

static int letter_send(int to, struct letter *x)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec bytes = { &x->m, sizeof(x->m) };
	struct msghdr h = { .msg_iov = &bytes, .msg_iovlen = 1 };

	if (x->fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &x->fd, sizeof(int));
	}
	while (sendmsg(to, &h, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * What cannot be said at all is dropped: then the spawner is at its end, and that ends all. A
 * worker that was never started shows by its socket, and when it is killed as not there.
 */
static void flush(struct spawner *s)
{
	unsigned want = LOOP_READ;
	int r = 0;

	if (s->closed)
		return;
	while (!list_empty(&s->outbox) && r != -EAGAIN) {
		struct letter *x = list_entry(s->outbox.next, struct letter, node);

		r = letter_send(s->fd, x);
		if (r == -EAGAIN)
			want |= LOOP_WRITE;
		else
			letter_free(x);
	}
	loop_io_want(&s->io, want);
}

static void say(const struct process *p, enum spawner_kind kind, int fd)
{
	struct letter *x = MEM_NEW(struct letter);

	x->m.kind = kind;
	x->m.id = p->id;
	memcpy(x->m.role, p->role, sizeof(x->m.role));
	x->fd = fd;
	list_init(&x->node);
	list_push(&p->spawner->outbox, &x->node);
	flush(p->spawner);
}

/* ---- from it ---- */

static struct process *find(const struct spawner *s, uint32_t id)
{
	list_for_each (n, &s->processes) {
		struct process *p = list_entry(n, struct process, node);

		if (p->id == id)
			return p;
	}
	return NULL;
}

static void ended(struct process *p)
{
	p->ended = true;
	p->on_exit(p->arg);
}

/* That it was killed by us was said where the reason is known. */
static void tell_status(const struct process *p, int status)
{
	if (WIFSIGNALED(status) && !p->killed)
		log_warn("worker was killed", LOG_S("role", p->role),
			 LOG_I("signal", WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		log_warn("worker exited", LOG_S("role", p->role),
			 LOG_I("code", WEXITSTATUS(status)));
}

static void take(struct spawner *s, const struct spawner_message *m)
{
	struct process *p = find(s, m->id);

	if (!p || p->ended)
		return; /* let go, or killed while its end was on its way here */
	if (m->kind == SPAWNER_STARTED) {
		p->pid = m->value;
	} else if (m->kind == SPAWNER_ENDED) {
		tell_status(p, m->value);
		ended(p);
	}
}

static void close_io(struct spawner *s)
{
	s->closed = true;
	loop_io_done(&s->io);
}

static void on_io(void *arg, unsigned ready)
{
	struct spawner *s = arg;
	struct spawner_message m;
	ssize_t n = 0;

	if (ready & LOOP_WRITE)
		flush(s);
	for (int i = 0; ready & LOOP_READ && i < READ_TURN_MAX; i++) {
		n = recv(s->fd, &m, sizeof(m), 0);
		if (n != sizeof(m))
			break;
		take(s, &m);
	}
	/* At its end: that is told by the process itself. */
	if (ready & LOOP_READ && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)))
		close_io(s);
}

static void lost(void *arg, int status)
{
	struct spawner *s = arg;

	log_error("the process that starts workers ended, none can be started any more",
		  LOG_I("code", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
		  LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
	close_io(s);
	child_free(&s->child);
	list_for_each (n, &s->processes) {
		struct process *p = list_entry(n, struct process, node);

		if (!p->ended)
			ended(p);
	}
	if (s->on_lost)
		s->on_lost(s->arg);
}

/* ---- a host of workers ---- */

static int host_start(void *ctx, struct loop *l, const char *role, void (*on_exit)(void *arg),
		      void *arg, int *fd, void **handle)
{
	struct spawner *s = ctx;
	struct process *p;
	int pair[2], r;

	(void)l;
	if (!s->child)
		return -ECHILD;
	if (strlen(role) > SPAWNER_ROLE_MAX)
		return -ENAMETOOLONG;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	p = MEM_NEW(struct process);
	*p = (struct process){ .spawner = s, .id = ++s->last_id, .on_exit = on_exit, .arg = arg };
	(void)snprintf(p->role, sizeof(p->role), "%s", role);
	list_init(&p->node);
	list_push(&s->processes, &p->node);
	say(p, SPAWNER_START, pair[1]);
	*fd = pair[0];
	*handle = p;
	return 0;
}

static void host_kill(void *ctx, void *handle)
{
	struct process *p = handle;

	(void)ctx;
	p->killed = true;
	if (!p->ended)
		say(p, SPAWNER_KILL, -1);
}

static void host_release(void *ctx, void *handle)
{
	struct process *p = handle;

	host_kill(ctx, handle);
	list_remove(&p->node);
	mem_free(p);
}

static int64_t host_pid(void *ctx, void *handle)
{
	const struct process *p = handle;

	(void)ctx;
	return p->pid;
}

struct worker_host spawner_host(struct spawner *s)
{
	return (struct worker_host){ .start = host_start,
				     .kill = host_kill,
				     .release = host_release,
				     .pid = host_pid,
				     .ctx = s };
}

/* ---- life ---- */

static int run(struct spawner *s, const struct spawner_conf *conf)
{
	const char **argv = worker_argv(conf->program, "spawner", conf->args);
	struct child_spec spec = { .path = conf->program,
				   .argv = argv,
				   .envp = (const char *const *)(uintptr_t)environ,
				   .socket_type = SOCK_SEQPACKET,
				   .on_exit = lost,
				   .arg = s };
	int r = child_start(s->loop, &spec, &s->child, &s->fd);

	mem_free(argv);
	return r;
}

int spawner_start(struct loop *l, const struct spawner_conf *conf, struct spawner **out)
{
	struct spawner *s = MEM_NEW(struct spawner);
	int r;

	*s = (struct spawner){ .loop = l, .fd = -1, .on_lost = conf->on_lost, .arg = conf->arg };
	list_init(&s->processes);
	list_init(&s->outbox);
	r = run(s, conf);
	if (r < 0) {
		mem_free(s);
		return r;
	}
	loop_io_init(&s->io, l, s->fd, on_io, s);
	loop_io_want(&s->io, LOOP_READ);
	*out = s;
	return 0;
}

pid_t spawner_pid(const struct spawner *s)
{
	return s->child ? child_pid(s->child) : 0;
}

void spawner_free(struct spawner **sp)
{
	struct spawner *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	must(list_empty(&s->processes));
	loop_io_done(&s->io);
	close(s->fd);
	child_free(&s->child);
	while (!list_empty(&s->outbox))
		letter_free(list_entry(s->outbox.next, struct letter, node));
	mem_free(s);
}
