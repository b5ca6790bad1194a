#include "test/bench/procs.h"

#include <errno.h>
#include <stdlib.h>

#include "core/fsx.h"
#include "core/mem.h"

enum { FILE_MAX = 64 << 10, DEPTH_MAX = 4 };

/* The roots and their children, as one look at /proc finds them. */
struct scan {
	const pid_t *roots; /* sorted */
	size_t roots_n;
	pid_t *pids;
	size_t n, size;
};

static int read_file(pid_t pid, const char *name, struct buf *out)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	buf_clear(out);
	return fsx_read(path, FILE_MAX, out);
}

/* The number behind "key:" at the beginning of a line; 0 without it. */
static uint64_t field(struct buf *text, const char *key)
{
	struct sv rest = buf_sv(text);
	uint64_t v = 0;

	while (rest.n) {
		struct sv line = sv_cut(&rest, '\n'), name = sv_cut(&line, ':');

		if (!sv_eqs(name, key))
			continue;
		line = sv_trim(line);
		line = sv_cut(&line, ' ');
		return sv_u64(line, &v) < 0 ? 0 : v;
	}
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	struct buf text;
	pid_t parent;

	buf_init(&text, FILE_MAX);
	parent = read_file(pid, "status", &text) < 0 ? 0 : (pid_t)field(&text, "PPid");
	buf_done(&text);
	return parent;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static bool is_root(const struct scan *s, pid_t pid)
{
	return bsearch(&pid, s->roots, s->roots_n, sizeof(pid), by_pid) != NULL;
}

/* A process of a tree: workers are grandchildren, the spawner's. */
static bool descends(const struct scan *s, pid_t pid)
{
	for (int i = 0; i < DEPTH_MAX && pid > 1; i++) {
		if (is_root(s, pid))
			return true;
		pid = parent_of(pid);
	}
	return false;
}

static int look(void *arg, const char *name)
{
	struct scan *s = arg;
	uint64_t pid;

	if (sv_u64(sv_str(name), &pid) < 0)
		return 0;
	if (!descends(s, (pid_t)pid))
		return 0;
	if (s->n == s->size) {
		s->size = MAX(2 * s->size, 16);
		s->pids = mem_realloc(s->pids, s->size, sizeof(*s->pids));
	}
	s->pids[s->n++] = (pid_t)pid;
	return 0;
}

static int read_one(pid_t pid, struct procs *p)
{
	struct sv sched;
	struct buf text;
	uint64_t ns = 0;
	int r;

	buf_init(&text, FILE_MAX);
	r = read_file(pid, "smaps_rollup", &text);
	if (!r) {
		p->pss_kb += field(&text, "Pss");
		p->private_kb += field(&text, "Private_Clean") + field(&text, "Private_Dirty");
		r = read_file(pid, "status", &text);
	}
	if (!r) {
		p->voluntary += field(&text, "voluntary_ctxt_switches");
		p->involuntary += field(&text, "nonvoluntary_ctxt_switches");
		r = read_file(pid, "io", &text);
	}
	if (!r) {
		p->write_bytes += field(&text, "write_bytes");
		/* Nanoseconds, where stat has ticks of 10 ms; every process of ours has one thread.
		 */
		r = read_file(pid, "schedstat", &text);
	}
	if (!r) {
		sched = buf_sv(&text);
		r = sv_u64(sv_cut(&sched, ' '), &ns);
		p->cpu_us += ns / 1000;
	}
	buf_done(&text);
	p->n++;
	return r;
}

int procs_read_all(pid_t *roots, size_t n, struct procs *out, struct err *e)
{
	struct scan s = { .roots = roots, .roots_n = n };
	int r;

	qsort(roots, n, sizeof(*roots), by_pid);
	r = fsx_list("/proc", look, &s);
	*out = (struct procs){ 0 };
	for (size_t i = 0; !r && i < s.n; i++) {
		r = read_one(s.pids[i], out);
		if (r == -ENOENT || r == -ESRCH)
			r = 0; /* ended meanwhile */
	}
	if (!r && !s.n)
		r = -ESRCH;
	mem_free(s.pids);
	return r < 0 ? err_sys(e, r, "cannot look at process %d and its like", (int)roots[0]) : 0;
}

int procs_read(pid_t root, struct procs *out, struct err *e)
{
	return procs_read_all(&root, 1, out, e);
}

double procs_mb(const struct procs *p)
{
	return (double)p->pss_kb * 1024 / 1e6;
}

void procs_tell(pid_t root, const char *title)
{
	struct scan s = { .roots = &root, .roots_n = 1 };
	struct buf name;

	if (fsx_list("/proc", look, &s) < 0)
		return;
	buf_init(&name, FILE_MAX);
	for (size_t i = 0; i < s.n; i++) {
		struct procs p = { 0 };

		if (read_file(s.pids[i], "comm", &name) < 0 || read_one(s.pids[i], &p) < 0)
			continue;
		fprintf(stderr, "%s: %-14.*s pss %5llu kB, cpu %8llu us\n", title,
			(int)sv_trim(buf_sv(&name)).n, buf_sv(&name).p,
			(unsigned long long)p.pss_kb, (unsigned long long)p.cpu_us);
	}
	buf_done(&name);
	mem_free(s.pids);
}
