/*
 * Everything that needs no real kubelet, in one run, so that each figure and its floor meet the
 * same API server, disk and processors: start and registration, memory, prepare and unprepare one
 * at a time and many at once, with 0, 1000 and `live` claims prepared.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "test/bench/bench.h"
#include "test/bench/echo.h"
#include "test/bench/figures.h"
#include "test/bench/turns.h"

enum {
	FEW = 1000,	/* live claims of the middle measurements, and of one volley */
	IN_FLIGHT = 64, /* as in the budget */
	MANY_IN_FLIGHT = 256,
	WRITES = 50, /* claims over which bytes are counted */
	START_ROUNDS = 5,
	REGISTER_MS = 500, /* the kubelet's plugin manager looks once a second */
	SETTLE_MS = 12000, /* before memory is looked at: a driver at rest gives back what it can */
	APPEND_GUESS = 512, /* bytes, until the ledger has shown its own */
	REST_MS =
	    200, /* before a volley: the API server's collector still works for the one before */
	AUDIT_MAX = 64 << 20,
};

struct drive {
	struct bench *b;
	struct bench_claim *live;  /* adminAccess, prepared and left so */
	struct bench_claim *alone; /* exclusive, prepared and unprepared */
	size_t live_n, alone_n, prepared;
	size_t errors, append;
	size_t processes; /* of the driver */
};

/* ---- helpers ---- */

static void volley(struct drive *d, struct volley *v, void (*start)(void *, struct shot *),
		   void *ctx)
{
	v->loop = d->b->loop;
	v->start = start;
	v->ctx = ctx;
	volley_run(v);
	d->errors += v->errors;
	if (v->errors && !v->title)
		progress("error: %s", v->error);
}

static void calls(struct drive *d, const struct bench_claim *claims, size_t n, size_t limit,
		  bool unprepare, struct volley *v)
{
	struct kubelet_work w = { d->b->kubelet, claims, unprepare };

	v->n = n;
	v->limit = limit;
	volley(d, v, kubelet_start, &w);
}

static void bare_gets(struct drive *d, const struct bench_claim *claims, size_t n, size_t limit,
		      struct volley *v)
{
	struct server_gets w = { d->b->server, claims };

	v->n = n;
	v->limit = limit;
	volley(d, v, server_start_get, &w);
}

static void times(struct sample *s, const char *what, size_t live)
{
	figure((double)sample_at(s, 0.5) / 1000, "%s.p50_ms.%zu", what, live);
	figure((double)sample_at(s, 0.99) / 1000, "%s.p99_ms.%zu", what, live);
}

static int run_agent(struct drive *d, uint64_t register_ms, uint64_t *sockets_us, uint64_t *told_us,
		     struct err *e)
{
	struct bench *b = d->b;
	int r = agent_start(&b->agent, e);

	if (!r)
		r = agent_await_sockets(&b->agent, sockets_us, e);
	if (r < 0)
		return r;
	bench_sleep(b, register_ms);
	return kubelet_register(b->kubelet, b->agent.registrar, told_us, e);
}

static int end_agent(struct drive *d, int signo, struct err *e)
{
	kubelet_forget(d->b->kubelet);
	return agent_stop(&d->b->agent, signo, e);
}

/* ---- start ---- */

static int start_once(struct drive *d, uint64_t register_ms, struct sample *sockets,
		      struct sample *visible, struct err *e)
{
	uint64_t sockets_us, told, at;
	int r = server_delete_slices(d->b->server, e);

	if (!r)
		r = run_agent(d, register_ms, &sockets_us, &told, e);
	if (!r)
		r = server_await_devices(d->b->server, (size_t)d->b->o->gpu_count, BENCH_SLICES_MS,
					 &at, e);
	if (r < 0)
		return r;
	sample_add(sockets, sockets_us);
	sample_add(visible, register_ms ? at - told : at - d->b->agent.began_us);
	return 0;
}

/* The floor of a start: the program is there, says its version and ends. */
static int floor_of_starting(struct drive *d, struct err *e)
{
	struct sample s = { 0 };
	int r = 0, status = 0;

	for (int i = 0; !r && i < 2 * START_ROUNDS; i++) {
		uint64_t began = loop_now_us(d->b->loop);

		r = agent_version(&d->b->agent, &status);
		sample_add(&s, loop_now_us(d->b->loop) - began);
	}
	figure((double)sample_at(&s, 0.5) / 1000, "floor.exec_ms");
	sample_done(&s);
	return r < 0 || status ? err_set(e, r ? r : -ECHILD, "tundra --version failed") : 0;
}

static int floor_of_publishing(struct drive *d, struct err *e)
{
	struct sample s = { 0 };
	uint64_t us;
	int r = 0;

	for (int i = 0; !r && i < START_ROUNDS; i++) {
		r = server_delete_slices(d->b->server, e);
		if (!r)
			r = server_post_slice(d->b->server, &us, e);
		if (!r)
			sample_add(&s, us);
	}
	figure((double)sample_at(&s, 0.5) / 1000, "floor.post_to_visible_ms");
	sample_done(&s);
	return r < 0 ? r : server_delete_slices(d->b->server, e);
}

static int starts(struct drive *d, struct err *e)
{
	struct sample sockets = { 0 }, visible = { 0 }, at_once = { 0 };
	int r = 0;

	progress("start and registration, %d times", 2 * START_ROUNDS);
	for (int i = 0; !r && i < START_ROUNDS; i++) {
		r = start_once(d, 0, &sockets, &at_once, e);
		if (!r)
			r = end_agent(d, SIGTERM, e);
	}
	for (int i = 0; !r && i < START_ROUNDS; i++) {
		r = start_once(d, REGISTER_MS, &sockets, &visible, e);
		if (!r)
			r = end_agent(d, SIGTERM, e);
	}
	figure((double)sample_at(&sockets, 0.5) / 1000, "start.sockets_ms");
	figure((double)sample_at(&at_once, 0.5) / 1000, "start.visible_ms");
	figure((double)sample_at(&visible, 0.5) / 1000, "registered.visible_ms");
	sample_done(&sockets);
	sample_done(&visible);
	sample_done(&at_once);
	if (!r)
		r = floor_of_starting(d, e);
	return r < 0 ? r : floor_of_publishing(d, e);
}

/* ---- memory ---- */

static int memory(struct drive *d, struct err *e)
{
	struct procs p;
	int r;

	bench_sleep(d->b, SETTLE_MS);
	r = procs_read(d->b->agent.pid, &p, e);
	if (r < 0)
		return r;
	d->processes = p.n;
	procs_tell(d->b->agent.pid, "memory");
	figure(procs_mb(&p), "pss_mb.%zu", d->prepared);
	return 0;
}

/* The floor: a program that does nothing, with the same libraries and as many children. */
static int empty_memory(struct drive *d, struct err *e)
{
	const struct bench_options *o = d->b->o;
	char children[24], c;
	struct procs p;
	int ready[2], r;
	pid_t pid;

	(void)snprintf(children, sizeof(children), "%zu", d->processes ? d->processes - 1 : 0);
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (o->libraries)
			setenv("LD_LIBRARY_PATH", o->libraries, 1);
		if (dup2(ready[1], 1) >= 0)
			execl(o->empty, o->empty, children, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	r = read(ready[0], &c, 1) == 1 ? 0 : -ECHILD;
	close(ready[0]);
	if (!r)
		r = procs_read(pid, &p, e);
	else
		err_sys(e, r, "%s", o->empty);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!r)
		figure(procs_mb(&p), "floor.pss_mb");
	return r;
}

/* ---- one at a time ---- */

struct alone {
	struct sample get, sync, echo, prepare, unprepare;
	uint64_t get_cpu_us, sync_cpu_us;
};

static uint64_t own_cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int alone_once(struct drive *d, const struct bench_claim *c, struct disk *disk,
		      const struct echo *echo, struct alone *a, struct err *e)
{
	struct volley get = { .latency = &a->get }, prepare = { .latency = &a->prepare };
	struct volley unprepare = { .latency = &a->unprepare };
	uint64_t cpu[3], began;
	int r;

	cpu[0] = own_cpu_us();
	bare_gets(d, c, 1, 1, &get);
	cpu[1] = own_cpu_us();
	began = loop_now_us(d->b->loop);
	r = disk_append(disk, e);
	sample_add(&a->sync, loop_now_us(d->b->loop) - began);
	cpu[2] = own_cpu_us();
	a->get_cpu_us += cpu[1] - cpu[0];
	a->sync_cpu_us += cpu[2] - cpu[1];
	began = loop_now_us(d->b->loop);
	if (!r)
		r = echo_once(echo, e);
	sample_add(&a->echo, loop_now_us(d->b->loop) - began);
	calls(d, c, 1, 1, false, &prepare);
	calls(d, c, 1, 1, true, &unprepare);
	return r;
}

static int alone(struct drive *d, struct err *e)
{
	struct alone a = { 0 };
	struct procs before, after;
	struct echo echo = { 0 };
	struct disk disk = { 0 };
	int r = procs_read(d->b->agent.pid, &before, e);

	progress("one at a time, %zu claims live", d->prepared);
	if (!r)
		r = disk_init(&disk, d->b->o->plugins, d->append, e);
	if (!r)
		r = echo_start(&echo, e);
	for (size_t i = 0; !r && i < d->alone_n; i++)
		r = alone_once(d, &d->alone[i], &disk, &echo, &a, e);
	disk_done(&disk);
	echo_done(&echo);
	if (!r)
		r = procs_read(d->b->agent.pid, &after, e);
	if (r < 0)
		return r;
	times(&a.get, "floor.get", d->prepared);
	times(&a.sync, "floor.sync", d->prepared);
	times(&a.echo, "floor.echo", d->prepared);
	times(&a.prepare, "prepare", d->prepared);
	times(&a.unprepare, "unprepare", d->prepared);
	figure((double)(after.cpu_us - before.cpu_us) / (double)d->alone_n / 1000,
	       "cpu_s_per_1000.%zu", d->prepared);
	/* A prepare reads the claim and appends, an unprepare appends. */
	figure((double)(a.get_cpu_us + 2 * a.sync_cpu_us) / (double)d->alone_n / 1000,
	       "floor.cpu_s_per_1000.%zu", d->prepared);
	sample_done(&a.get);
	sample_done(&a.sync);
	sample_done(&a.echo);
	sample_done(&a.prepare);
	sample_done(&a.unprepare);
	return 0;
}

/* ---- bytes and requests ---- */

static uint64_t file_size(const char *path, ino_t *inode)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	*inode = st.st_ino;
	return (uint64_t)st.st_size;
}

struct folder {
	const char *path;
	uint64_t bytes;
	size_t files;
};

static int add_size(void *arg, const char *name)
{
	struct folder *f = arg;
	char *path _mem_free_ = mem_printf("%s/%s", f->path, name);
	struct stat st;

	if (strstr(name, "-claim_") && !stat(path, &st)) {
		f->bytes += (uint64_t)st.st_size;
		f->files++;
	}
	return 0;
}

/* Requests of the driver that the API server wrote into its audit log behind `from`. */
static int audited(struct drive *d, uint64_t from, double *requests, struct err *e)
{
	struct sv rest;
	struct buf text;
	size_t n = 0;
	int fd, r;

	fd = open(d->b->o->audit, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "cannot read %s", d->b->o->audit);
	buf_init(&text, AUDIT_MAX);
	r = lseek(fd, (off_t)from, SEEK_SET) < 0 ? -errno : fsx_read_fd(fd, AUDIT_MAX, &text);
	close(fd);
	for (rest = buf_sv(&text); !r && rest.n;) {
		struct sv line = sv_cut(&rest, '\n');

		/* The bare GETs are of the same user; the agent tells them apart. */
		if (memmem(line.p, line.n, "\"userAgent\":\"tundra/", 20))
			n++;
	}
	buf_done(&text);
	*requests = (double)n;
	return r < 0 ? err_sys(e, r, "cannot read %s", d->b->o->audit) : 0;
}

struct counts {
	uint64_t ledger, audit;
	ino_t ledger_inode, audit_inode;
	struct procs procs;
};

static int count(struct drive *d, struct counts *c, struct err *e)
{
	c->ledger = file_size(d->b->agent.ledger, &c->ledger_inode);
	c->audit = d->b->o->audit ? file_size(d->b->o->audit, &c->audit_inode) : 0;
	return procs_read(d->b->agent.pid, &c->procs, e);
}

static int tell_counts(struct drive *d, const struct counts *before, const struct counts *after,
		       struct err *e)
{
	struct folder cdi = { .path = d->b->o->cdi };
	double requests = 0;
	int r = fsx_list(cdi.path, add_size, &cdi);

	if (r < 0)
		return err_sys(e, r, "cannot list %s", cdi.path);
	figure(cdi.files ? (double)cdi.bytes / (double)cdi.files : 0, "cdi_bytes");
	figure((double)(after->procs.write_bytes - before->procs.write_bytes) / WRITES,
	       "write_bytes");
	if (after->ledger_inode == before->ledger_inode && after->ledger > before->ledger) {
		d->append = (size_t)(after->ledger - before->ledger) / WRITES;
		figure((double)(after->ledger - before->ledger) / WRITES, "ledger_bytes");
	}
	if (d->b->o->audit && after->audit_inode == before->audit_inode) {
		r = audited(d, before->audit, &requests, e);
		figure(requests / WRITES, "api_requests");
	}
	return r;
}

static int bytes(struct drive *d, struct err *e)
{
	struct counts before = { 0 }, after = { 0 };
	struct volley v = { 0 };
	int r;

	progress("bytes and requests of %d prepares", WRITES);
	r = count(d, &before, e);
	/* adminAccess, since they all stay; one after another, so that each is a batch. */
	calls(d, d->live, WRITES, 1, false, &v);
	if (!r)
		r = count(d, &after, e);
	if (!r)
		r = tell_counts(d, &before, &after, e);
	v = (struct volley){ 0 };
	calls(d, d->live, WRITES, 1, true, &v);
	return r;
}

/* ---- many at once ---- */

/* What one round of volleys gave, and what all of them gave so far. */
struct rates {
	struct sample get, prepare, unprepare, latency, ratio;
};

static void rested_gets(struct drive *d, struct volley *v)
{
	bench_sleep(d->b, REST_MS);
	bare_gets(d, d->live, FEW, IN_FLIGHT, v);
}

static void one_round(struct drive *d, bool gets_first, struct rates *s)
{
	struct volley g = { .title = "bare GETs" };
	struct volley p = { .title = "prepares", .latency = &s->latency };
	struct volley u = { .title = "unprepares" };

	if (gets_first)
		rested_gets(d, &g);
	bench_sleep(d->b, REST_MS);
	calls(d, d->live, FEW, IN_FLIGHT, false, &p);
	calls(d, d->live, FEW, IN_FLIGHT, true, &u);
	if (!gets_first)
		rested_gets(d, &g);
	sample_add(&s->get, (uint64_t)volley_rate(&g));
	sample_add(&s->prepare, (uint64_t)volley_rate(&p));
	sample_add(&s->unprepare, (uint64_t)volley_rate(&u));
	sample_add(&s->ratio, (uint64_t)(volley_rate(&p) * 1000 / volley_rate(&g)));
}

static void tell_rates(struct rates *s)
{
	figure((double)sample_at(&s->get, 0.5), "floor.get_per_s.%d", IN_FLIGHT);
	figure((double)sample_at(&s->prepare, 0.5), "prepare_per_s.%d", IN_FLIGHT);
	figure((double)sample_at(&s->unprepare, 0.5), "unprepare_per_s.%d", IN_FLIGHT);
	figure((double)sample_at(&s->latency, 0.5) / 1000, "prepare.p50_ms.in_flight_%d",
	       IN_FLIGHT);
	figure((double)sample_at(&s->latency, 0.99) / 1000, "prepare.p99_ms.in_flight_%d",
	       IN_FLIGHT);
	progress("prepares to bare GETs, round by round: %.2f, from %.2f to %.2f",
		 (double)sample_at(&s->ratio, 0.5) / 1000, (double)sample_at(&s->ratio, 0) / 1000,
		 (double)sample_at(&s->ratio, 1) / 1000);
}

/* Who is first changes, so that nothing the two leave behind falls on one of them alone. */
static int rounds(struct drive *d, struct err *e)
{
	struct rates s = { 0 };
	struct procs before, after;
	int r = procs_read(d->b->agent.pid, &before, e);

	for (int64_t i = 0; i < d->b->o->rounds; i++)
		one_round(d, i % 2 == 0, &s);
	if (!r)
		r = procs_read(d->b->agent.pid, &after, e);
	if (!r) {
		tell_rates(&s);
		figure((double)(after.cpu_us - before.cpu_us) / (double)(FEW * d->b->o->rounds) /
			   1000,
		       "cpu_s_per_1000.in_flight_%d", IN_FLIGHT);
	}
	sample_done(&s.get);
	sample_done(&s.prepare);
	sample_done(&s.unprepare);
	sample_done(&s.latency);
	sample_done(&s.ratio);
	return r;
}

/* Leaves FEW claims prepared. */
static void flood(struct drive *d)
{
	struct volley v = { .title = "prepares" };
	size_t before = d->errors;

	calls(d, d->live, FEW, MANY_IN_FLIGHT, false, &v);
	d->prepared = FEW;
	figure((double)(d->errors - before), "errors.in_flight_%d", MANY_IN_FLIGHT);
	figure(volley_rate(&v), "prepare_per_s.%d", MANY_IN_FLIGHT);
}

/* After a crash with FEW claims live: until one, then 256 of them have been prepared once more, and
 * how fast all are. */
static int restart(struct drive *d, struct err *e)
{
	struct volley first = { 0 }, v = { 0 }, again = { 0 }, bare = { 0 };
	uint64_t us;
	int r = end_agent(d, SIGKILL, e);

	progress("restart with %zu claims live", d->prepared);
	if (!r)
		r = run_agent(d, 0, &us, &us, e);
	if (r < 0)
		return r;
	calls(d, d->live, 1, 1, false, &first);
	figure((double)(loop_now_us(d->b->loop) - d->b->agent.began_us) / 1000, "restart.first_ms");
	calls(d, d->live, MANY_IN_FLIGHT, MANY_IN_FLIGHT, false, &v);
	figure((double)(loop_now_us(d->b->loop) - d->b->agent.began_us) / 1000,
	       "restart.answers_ms");
	calls(d, d->live, FEW, IN_FLIGHT, false, &again);
	bench_sleep(d->b, REST_MS);
	bare_gets(d, d->live, FEW, IN_FLIGHT, &bare);
	figure(volley_rate(&again), "restart.again_per_s");
	figure(volley_rate(&bare), "floor.restart_get_per_s");
	return server_await_devices(d->b->server, (size_t)d->b->o->gpu_count, BENCH_SLICES_MS, NULL,
				    e);
}

static void grow(struct drive *d)
{
	struct volley v = { .title = "prepares" };

	if (d->live_n <= d->prepared)
		return;
	calls(d, d->live + d->prepared, d->live_n - d->prepared, IN_FLIGHT, false, &v);
	d->prepared = d->live_n;
	figure(volley_rate(&v), "prepare_per_s.growing");
}

static void shrink(struct drive *d)
{
	struct volley v = { .title = "unprepares" };

	calls(d, d->live, d->prepared, IN_FLIGHT, true, &v);
	figure(volley_rate(&v), "unprepare_per_s.shrinking");
	d->prepared = 0;
}

/* ---- a compaction of the ledger ---- */

enum {
	FILL = 200,		  /* pairs of a volley that brings one nearer */
	FILL_BYTES = FILL * 1000, /* more than it adds: budget of a prepare's record */
	FILLS_MAX = 500,	  /* volleys until there must have been one */
	NEAR_PERCENT = 95,	  /* of the size at which it comes: from here on one at a time */
	COMPACTION_MAX = 20000,	  /* pairs one at a time until it must have come */
};

/* The ledger file, as calls come and go. */
struct ledger_look {
	ino_t inode;
	uint64_t size;
	bool compacts; /* its successor is being written */
};

static struct ledger_look look(const struct drive *d)
{
	char *side _mem_free_ = mem_printf("%s.compact", d->b->agent.ledger);
	struct ledger_look l = { .compacts = fsx_exists(side) };

	l.size = file_size(d->b->agent.ledger, &l.inode);
	return l;
}

static void fill_once(struct drive *d)
{
	struct volley u = { 0 }, p = { 0 };

	calls(d, d->live, FILL, IN_FLIGHT, true, &u);
	calls(d, d->live, FILL, IN_FLIGHT, false, &p);
}

/* Fills the ledger until the next compaction is over; the size at which it began, 0: none came. */
static uint64_t fill(struct drive *d)
{
	struct ledger_look before = look(d), now;
	uint64_t began = 0;

	for (int i = 0; i < FILLS_MAX; i++) {
		fill_once(d);
		now = look(d);
		if (!began && (now.compacts || now.inode != before.inode))
			began = before.size;
		if (now.inode != before.inode)
			return began;
		before = now;
	}
	return 0;
}

struct beside {
	struct sample during, otherwise, sync;
};

/* One more pair, and an append of our own: what the disk does to everybody. */
static int pair_beside(struct drive *d, const struct bench_claim *c, struct disk *disk,
		       struct beside *b, bool *over, struct err *e)
{
	struct ledger_look before = look(d), after;
	struct sample both = { 0 };
	struct volley u = { .latency = &both }, p = { .latency = &both };
	uint64_t began = loop_now_us(d->b->loop);
	int r = disk_append(disk, e);

	sample_add(&b->sync, loop_now_us(d->b->loop) - began);
	calls(d, c, 1, 1, true, &u);
	calls(d, c, 1, 1, false, &p);
	after = look(d);
	*over = after.inode != before.inode;
	sample_add(before.compacts || after.compacts || *over ? &b->during : &b->otherwise,
		   sample_at(&both, 1));
	sample_done(&both);
	return r;
}

/* The slower call of each pair, while the ledger is rewritten and while it is not. */
static int compaction(struct drive *d, struct err *e)
{
	uint64_t due = fill(d);
	struct beside b = { 0 };
	struct disk disk = { 0 };
	bool over = false;
	int r = disk_init(&disk, d->b->o->plugins, d->append, e);

	progress("a compaction comes at %.1f MB", (double)due / 1e6);
	while ((look(d).size + FILL_BYTES) * 100 < due * NEAR_PERCENT)
		fill_once(d);
	for (size_t i = 0; !r && !over && i < COMPACTION_MAX; i++)
		r = pair_beside(d, &d->live[i % FILL], &disk, &b, &over, e);
	disk_done(&disk);
	if (!r && !over)
		r = err_set(e, -ETIMEDOUT, "no compaction of the ledger was seen");
	progress("%zu pairs during it, %zu before", b.during.n, b.otherwise.n);
	figure((double)sample_at(&b.during, 1) / 1000, "compaction.call_max_ms");
	figure((double)sample_at(&b.during, 0.5) / 1000, "compaction.call_p50_ms");
	figure((double)sample_at(&b.otherwise, 0.5) / 1000, "floor.compaction_p50_ms");
	figure((double)sample_at(&b.otherwise, 1) / 1000, "floor.compaction_max_ms");
	figure((double)sample_at(&b.sync, 1) / 1000, "floor.compaction_sync_max_ms");
	sample_done(&b.during);
	sample_done(&b.otherwise);
	sample_done(&b.sync);
	return r;
}

/* ---- all of it ---- */

static int with_few(struct drive *d, struct err *e)
{
	int r;

	flood(d);
	r = memory(d, e);
	if (!r)
		r = alone(d, e);
	if (!r)
		r = restart(d, e);
	return r;
}

static int with_many(struct drive *d, struct err *e)
{
	int r = 0;

	grow(d);
	if (d->prepared > FEW)
		r = memory(d, e);
	if (!r && d->prepared > FEW)
		r = alone(d, e);
	if (!r)
		r = compaction(d, e);
	shrink(d);
	return r;
}

static int with_agent(struct drive *d, struct err *e)
{
	struct sample unused = { 0 };
	struct folder cdi = { .path = d->b->o->cdi };
	int r = start_once(d, REGISTER_MS, &unused, &unused, e);

	sample_done(&unused);
	if (!r)
		r = memory(d, e);
	if (!r)
		r = bytes(d, e);
	if (!r)
		r = alone(d, e);
	if (!r)
		r = rounds(d, e);
	if (!r)
		r = with_few(d, e);
	if (!r)
		r = with_many(d, e);
	if (!r)
		r = fsx_list(cdi.path, add_size, &cdi);
	if (!r)
		r = turns_tell(d->b->o->programs, d->b->o->memory, e);
	if (!r && cdi.files)
		r = err_set(e, -EEXIST, "%zu CDI files are left", cdi.files);
	return r < 0 ? r : end_agent(d, SIGTERM, e);
}

static int make_claims(struct drive *d, struct err *e)
{
	struct server *s = d->b->server;
	int r = server_make_claims(s, "alone", false, d->alone, d->alone_n, e);

	return r < 0 ? r : server_make_claims(s, "live", true, d->live, d->live_n, e);
}

int bench_drive(struct bench *b, struct err *e)
{
	struct drive d = { .b = b, .append = APPEND_GUESS };
	int r;

	d.alone_n = (size_t)b->o->alone;
	d.live_n = MAX((size_t)b->o->live, (size_t)FEW);
	d.alone = mem_calloc(d.alone_n, sizeof(*d.alone));
	d.live = mem_calloc(d.live_n, sizeof(*d.live));
	r = make_claims(&d, e);
	if (!r)
		r = starts(&d, e);
	if (!r)
		r = with_agent(&d, e);
	if (!r)
		r = empty_memory(&d, e);
	if (!r)
		r = server_delete_slices(b->server, e);
	figure((double)d.errors, "errors");
	mem_free(d.alone);
	mem_free(d.live);
	return r;
}
