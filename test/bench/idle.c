#include <signal.h>

#include "test/bench/bench.h"
#include "test/bench/figures.h"

enum { SETTLE_MS = 10000 }; /* after the slices: registration, health stream, first bookmarks */

static double per_minute(uint64_t a, uint64_t b, int64_t seconds)
{
	return (double)(b - a) * 60 / (double)seconds;
}

static int watch_idle(struct bench *b, struct err *e)
{
	struct procs before, after;
	int r = procs_read(b->agent.pid, &before, e);

	if (r < 0)
		return r;
	progress("at rest, %d s", (int)b->o->seconds);
	bench_sleep(b, (uint64_t)b->o->seconds * 1000);
	r = procs_read(b->agent.pid, &after, e);
	if (r < 0)
		return r;
	procs_tell(b->agent.pid, "at rest");
	figure(per_minute(before.voluntary + before.involuntary,
			  after.voluntary + after.involuntary, b->o->seconds) /
		   60,
	       "idle.switches_per_s");
	figure(per_minute(before.voluntary, after.voluntary, b->o->seconds) / 60,
	       "idle.voluntary_per_s");
	figure(per_minute(before.cpu_us, after.cpu_us, b->o->seconds) / 1000,
	       "idle.cpu_ms_per_min");
	figure(procs_mb(&after), "idle.pss_mb");
	figure((double)after.n, "idle.processes");
	return 0;
}

int bench_idle(struct bench *b, struct err *e)
{
	uint64_t us, at;
	int r = agent_start(&b->agent, e);

	if (!r)
		r = agent_await_sockets(&b->agent, &us, e);
	if (!r)
		r = server_await_devices(b->server, (size_t)b->o->gpu_count, BENCH_SLICES_MS, &at,
					 e);
	if (r < 0)
		return r;
	figure((double)(at - b->agent.began_us) / 1000, "idle.start_to_slice_ms");
	bench_sleep(b, SETTLE_MS);
	r = watch_idle(b, e);
	if (!r)
		r = agent_stop(&b->agent, SIGTERM, e);
	return r < 0 ? r : server_delete_slices(b->server, e);
}
