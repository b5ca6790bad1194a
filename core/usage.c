#include "core/usage.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"

enum {
	/* Three to fifty numbers; the command's name among them has at most 64 bytes. */
	STAT_MAX = 4096,
	/* /proc/stat: a line per CPU and the count of every interrupt. */
	BOOT_MAX = 4 << 20,
	/* Field of /proc/<pid>/stat, counted behind the command's closing parenthesis. */
	STAT_START = 19
};

static int count_one(void *arg, const char *name)
{
	(void)name;
	++*(uint64_t *)arg;
	return 0;
}

static int read_fds(struct usage *u)
{
	struct rlimit limit;
	uint64_t n = 0;
	int r = fsx_list("/proc/self/fd", count_one, &n);

	/* The listing's own descriptor was open as well. */
	if (!r)
		u->open_fds = n - 1;
	if (!getrlimit(RLIMIT_NOFILE, &limit))
		u->max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
	return r;
}

static int read_memory(struct usage *u)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), all, resident;
	struct buf text;
	struct sv rest;
	int r;

	buf_init(&text, STAT_MAX);
	r = fsx_read("/proc/self/statm", STAT_MAX, &text);
	rest = buf_sv(&text);
	if (!r)
		r = sv_u64(sv_cut(&rest, ' '), &all);
	if (!r)
		r = sv_u64(sv_cut(&rest, ' '), &resident);
	if (!r) {
		u->virtual_bytes = all * page;
		u->resident_bytes = resident * page;
	}
	buf_done(&text);
	return r;
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

int usage_read(struct usage *u)
{
	struct rusage r;
	int memory, fds;

	*u = (struct usage){ 0 };
	if (!getrusage(RUSAGE_SELF, &r))
		u->cpu_s = seconds(&r.ru_utime) + seconds(&r.ru_stime);
	memory = read_memory(u);
	fds = read_fds(u);
	return memory ? memory : fds;
}

/* Clock ticks after boot. A command may hold anything, so the fields are counted from its end. */
static int read_start(struct buf *text, uint64_t *ticks)
{
	struct sv rest;
	size_t end;
	int r = fsx_read("/proc/self/stat", STAT_MAX, text);

	if (r < 0)
		return r;
	rest = buf_sv(text);
	for (end = rest.n; end && rest.p[end - 1] != ')'; end--)
		;
	rest = sv_drop(rest, end);
	for (int i = 0; i <= STAT_START; i++)
		(void)sv_cut(&rest, ' ');
	return sv_u64(sv_cut(&rest, ' '), ticks);
}

static int read_boot(struct buf *text, uint64_t *boot_s)
{
	static const struct sv key = { "btime ", 6 };
	struct sv rest;
	int r;

	buf_clear(text);
	r = fsx_read("/proc/stat", BOOT_MAX, text);
	rest = buf_sv(text);
	while (!r && rest.n) {
		struct sv line = sv_cut(&rest, '\n');

		if (sv_starts(line, key))
			return sv_u64(sv_drop(line, key.n), boot_s);
	}
	return r ? r : -ENODATA;
}

double usage_started(void)
{
	uint64_t ticks, boot_s;
	double at = 0;
	struct buf text;

	buf_init(&text, BOOT_MAX);
	if (!read_start(&text, &ticks) && !read_boot(&text, &boot_s))
		at = (double)boot_s + (double)ticks / (double)sysconf(_SC_CLK_TCK);
	buf_done(&text);
	return at;
}
