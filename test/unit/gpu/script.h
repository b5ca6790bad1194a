#pragma once
/*
 * A worker that lives in the test's own loop and answers what it is told to: GPUs, errors, garbage,
 * silence, death. The frames are the real ones.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/worker.h"
#include "core/worker_frame.h"
#include "gpu/nvidia/facts.h"
#include "gpu/proto/messages.h"

enum { SCRIPT_GPUS = 16 };
enum script_fault { SCRIPT_FINE, SCRIPT_HANG, SCRIPT_DIE, SCRIPT_GARBAGE, SCRIPT_ERRNO };

struct script_gpu {
	enum script_fault fault;
	enum gpu_query_state state;
	char pci[16], uuid[32];
	int minor;
	unsigned uuid_tail; /* changes the facts */
	bool no_facts, shy; /* shy: does not tell its address when in trouble */
};
struct script {
	struct loop *loop;
	struct worker_host host;
	enum script_fault open_fault;
	enum gpu_open_state open_state;
	struct script_gpu gpus[SCRIPT_GPUS];
	unsigned count, seen;
	unsigned opens, queries, closes, starts;
	const char *env; /* of the common edits */
	struct gpu_watch watch[4];
	unsigned watch_n;
	/* the running process */
	int fd;
	struct buf in, out;
	struct loop_io io;
	struct loop_task exit;
	void (*on_exit)(void *arg);
	void *arg;
	bool dying;
	char *now; /* its handle, one of these */
	char handles[64];
	/* those that a kill does not end, while `undying` is set */
	bool undying;
	struct script_stuck {
		void (*on_exit)(void *arg);
		void *arg;
	} stuck[WORKER_ABANDONED_MAX + 1];
	unsigned stuck_n;
};

static inline void script_gpu_set(struct script *s, unsigned i, unsigned minor)
{
	s->gpus[i] = (struct script_gpu){ .minor = (int)minor };
	snprintf(s->gpus[i].pci, sizeof(s->gpus[i].pci), "0000:%02x:00.0", i + 1);
	snprintf(s->gpus[i].uuid, sizeof(s->gpus[i].uuid), "GPU-%u", i);
}

static inline void script_on_task(void *arg)
{
	struct script *s = arg;

	loop_io_done(&s->io);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->on_exit(s->arg);
}

static inline void script_die(struct script *s)
{
	if (s->dying)
		return;
	s->dying = true;
	loop_io_want(&s->io, 0);
	loop_task_post(&s->exit);
}

/* Dead to the world, but not ended. */
static inline void script_stick(struct script *s)
{
	if (s->stuck_n == sizeof(s->stuck) / sizeof(*s->stuck))
		abort();
	s->stuck[s->stuck_n++] = (struct script_stuck){ s->on_exit, s->arg };
	loop_io_done(&s->io);
	close(s->fd);
	s->fd = -1;
	s->now = NULL;
}

/* The kernel lets go of all of them. */
static inline void script_unstick(struct script *s)
{
	while (s->stuck_n) {
		struct script_stuck *x = &s->stuck[--s->stuck_n];

		x->on_exit(x->arg);
	}
}

static inline void script_open(struct script *s, struct buf *out)
{
	struct gpu_msg_open *m = MEM_NEW(struct gpu_msg_open);
	struct nvidia_system system = { "580.65.06", 13000, -1, -1, -1 };
	struct buf facts;
	unsigned i;

	s->opens++;
	m->state = s->open_state;
	m->count = s->open_state == GPU_OPEN_READY ? s->count : 0;
	snprintf(m->text, sizeof(m->text), "script says %d", (int)s->open_state);
	for (i = 0; i < s->watch_n; i++)
		m->watch[m->watch_n++] = s->watch[i];
	for (i = 0; i < s->seen; i++) {
		struct gpu_seen *seen = &m->seen[m->seen_n++];

		memcpy(seen->pci, s->gpus[i].pci, sizeof(seen->pci));
		seen->minor = s->gpus[i].minor;
	}
	if (s->env && edits_add_env(&m->edits, s->env) < 0)
		abort();
	buf_init(&facts, 4096);
	nvidia_system_put(&facts, &system);
	m->facts = buf_sv(&facts);
	gpu_msg_put_open(out, m);
	buf_done(&facts);
	gpu_msg_open_done(m);
	mem_free(m);
}

static inline void script_query(struct script *s, const struct script_gpu *g, struct buf *out)
{
	struct gpu_msg_query m = { .state = g->state, .minor = g->minor };
	struct nvidia_gpu facts = { .minor = g->minor,
				    .cc_major = 9,
				    .numa = -1,
				    .addressing = -1,
				    .ecc = -1,
				    .mig_mode = -1,
				    .memory_total = g->uuid_tail };
	struct buf bytes;

	s->queries++;
	if (!g->shy || g->state == GPU_QUERY_OK) {
		memcpy(m.pci, g->pci, sizeof(m.pci));
		snprintf(m.uuid, sizeof(m.uuid), "%s", g->uuid);
	}
	if (g->state != GPU_QUERY_OK)
		snprintf(m.text, sizeof(m.text), "script trouble");
	memcpy(facts.pci, g->pci, sizeof(facts.pci));
	snprintf(facts.uuid, sizeof(facts.uuid), "%s", g->uuid);
	snprintf(facts.name, sizeof(facts.name), "Scripted");
	if (edits_add_node(&m.edits, &(struct gpu_edit_node){ .path = "/dev/x" }) < 0)
		abort();
	buf_init(&bytes, 1 << 16);
	if (g->state == GPU_QUERY_OK && !g->no_facts)
		nvidia_gpu_put(&bytes, &facts);
	m.facts = buf_sv(&bytes);
	gpu_msg_put_query(out, &m);
	buf_done(&bytes);
	gpu_msg_query_done(&m);
}

/* False: no answer will come. */
static inline bool script_answer(struct script *s, const struct worker_frame *f, struct sv body)
{
	struct worker_frame reply = { .id = f->id, .method = f->method };
	enum script_fault fault = f->method == GPU_M_OPEN ? s->open_fault : SCRIPT_FINE;
	uint32_t index = 0;
	struct buf out;

	if (f->method == GPU_M_QUERY) {
		if (gpu_msg_get_index(body, &index) < 0 || index >= s->count)
			abort();
		fault = s->gpus[index].fault;
	}
	if (fault == SCRIPT_HANG)
		return false;
	if (fault == SCRIPT_DIE) {
		script_die(s);
		return false;
	}
	buf_init(&out, 1 << 20);
	if (fault == SCRIPT_GARBAGE)
		buf_puts(&out, "\1\0\377\377\377\377 what is this?");
	else if (fault == SCRIPT_ERRNO)
		reply.status = 5;
	else if (f->method == GPU_M_OPEN)
		script_open(s, &out);
	else if (f->method == GPU_M_QUERY)
		script_query(s, &s->gpus[index], &out);
	else if (f->method == GPU_M_CLOSE)
		s->closes++;
	if (!worker_frame_put(&s->out, reply, buf_sv(&out)))
		abort();
	buf_done(&out);
	return true;
}

static inline void script_on_readable(void *arg, unsigned ready)
{
	struct script *s = arg;
	struct worker_frame f;
	struct sv body;
	char bytes[4096];
	ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
	int64_t size;
	bool more = true;

	(void)ready;
	if (n <= 0) {
		loop_io_want(&s->io, 0);
		return;
	}
	buf_put(&s->in, bytes, (size_t)n);
	while (more && (size = worker_frame_peek(&s->in, &f, &body)) > 0) {
		more = script_answer(s, &f, body);
		buf_take(&s->in, (size_t)size);
	}
	if (!more)
		loop_io_want(&s->io, 0);
	if (buf_len(&s->out) && send(s->fd, buf_sv(&s->out).p, buf_len(&s->out), MSG_NOSIGNAL) < 0)
		loop_io_want(&s->io, 0);
	buf_clear(&s->out);
}

static inline int script_start(void *ctx, struct loop *l, const char *role,
			       void (*on_exit)(void *arg), void *arg, int *fd, void **handle)
{
	struct script *s = ctx;
	int pair[2];

	(void)role;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	s->now = &s->handles[s->starts++ % sizeof(s->handles)];
	s->on_exit = on_exit;
	s->arg = arg;
	s->fd = pair[1];
	s->dying = false;
	buf_clear(&s->in);
	loop_io_init(&s->io, l, s->fd, script_on_readable, s);
	loop_io_want(&s->io, LOOP_READ);
	*fd = pair[0];
	*handle = s->now;
	return 0;
}

static inline void script_kill(void *ctx, void *handle)
{
	struct script *s = ctx;

	if (handle != s->now)
		return;
	if (s->undying)
		script_stick(s);
	else
		script_die(s);
}

static inline void script_release(void *ctx, void *handle)
{
	struct script *s = ctx;

	if (handle != s->now)
		return;
	s->now = NULL;
	loop_task_stop(&s->exit);
	loop_io_done(&s->io);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static inline int64_t script_pid(void *ctx, void *handle)
{
	(void)ctx;
	(void)handle;
	return 4711;
}

static inline void script_init(struct script *s, struct loop *l, unsigned count)
{
	unsigned i;

	*s = (struct script){ .loop = l, .fd = -1, .count = count };
	for (i = 0; i < SCRIPT_GPUS; i++)
		script_gpu_set(s, i, i);
	buf_init(&s->in, 1 << 20);
	buf_init(&s->out, 1 << 20);
	loop_task_init(&s->exit, l, LOOP_TICK, script_on_task, s);
	s->host = (struct worker_host){ script_start, script_kill, script_release, script_pid, s };
}

static inline void script_done(struct script *s)
{
	script_release(s, NULL);
	buf_done(&s->in);
	buf_done(&s->out);
}
