#include "k8s/stats.h"

#include "core/loop.h"
#include "core/mem.h"
#include "core/usage.h"
#include "k8s/publisher.h"

/* nvidia_dra_request_duration_seconds: 0.05 * 2^k, as upstream. */
static const double upstream_bounds[] = { 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8 };
/* Ours begin where a prepare really is, and reach as far as a wait can. */
static const double phase_bounds[] = { 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
				       0.5,    1,     2.5,   5,	    10,	  30,	 45,   120, 600 };
/* loop_bounds_us in seconds. */
static const double turn_bounds[] = { 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3,
				      2e-3, 5e-3, 1e-2, 5e-2, 0.5 };

enum family {
	REQUESTS,
	DURATION,
	INFLIGHT,
	DEVICES,
	PREPARE_ERRORS,
	UNPREPARE_ERRORS,
	RESULTS,
	PHASES,
	CLAIMS,
	WAITING_CLAIMS,
	PUBLISHED_DEVICES,
	PUBLISHED_SLICES,
	GENERATION,
	PUBLISH_WRITES,
	PUBLISH_FAILURES,
	PUBLISH_TIME,
	KUBELET_TIME,
	REGISTERED,
	LEDGER_BYTES,
	LEDGER_SYNCS,
	LEDGER_FAILURES,
	CDI_BYTES,
	WORKER_STARTS,
	WORKER_CRASHES,
	WORKER_TIMEOUTS,
	WORKER_STUCK,
	LOOP_TURNS,
	LOOP_SLOW,
	LOOP_PREEMPTED,
	LOOP_LONGEST,
	LOOP_TIMES,
	LOOP_CALLBACKS,
	PROCESS_CPU,
	PROCESS_START,
	PROCESS_RESIDENT,
	PROCESS_VIRTUAL,
	PROCESS_FDS,
	PROCESS_FDS_MAX,
	FAMILIES
};

#define COUNTER METRICS_COUNTER
#define GAUGE	METRICS_GAUGE
static const struct metrics_desc table[FAMILIES] = {
	[REQUESTS] = { "nvidia_dra_requests_total",
		       "Successful claim operations.",
		       COUNTER,
		       { "driver", "operation" },
		       NULL,
		       0 },
	[DURATION] = { "nvidia_dra_request_duration_seconds",
		       "Duration of successful claim operations.",
		       METRICS_HISTOGRAM,
		       { "driver", "operation" },
		       upstream_bounds,
		       ARRAY_LEN(upstream_bounds) },
	[INFLIGHT] = { "nvidia_dra_requests_inflight",
		       "Claim operations under way.",
		       GAUGE,
		       { "driver", "operation" },
		       NULL,
		       0 },
	[DEVICES] = { "nvidia_dra_prepared_devices",
		      "Devices prepared for claims.",
		      GAUGE,
		      { "node", "driver", "device_type" },
		      NULL,
		      0 },
	[PREPARE_ERRORS] = { "nvidia_dra_node_prepare_errors_total",
			     "Failed prepares.",
			     COUNTER,
			     { "driver", "error_type" },
			     NULL,
			     0 },
	[UNPREPARE_ERRORS] = { "nvidia_dra_node_unprepare_errors_total",
			       "Failed unprepares.",
			       COUNTER,
			       { "driver", "error_type" },
			       NULL,
			       0 },
	[RESULTS] = { "tundra_requests_total",
		      "Claim operations by result.",
		      COUNTER,
		      { "driver", "operation", "result" },
		      NULL,
		      0 },
	[PHASES] = { "tundra_phase_duration_seconds",
		     "Time of a claim operation in each phase.",
		     METRICS_HISTOGRAM,
		     { "driver", "operation", "phase" },
		     phase_bounds,
		     ARRAY_LEN(phase_bounds) },
	[CLAIMS] = { "tundra_prepared_claims",
		     "Claims prepared on this node.",
		     GAUGE,
		     { "driver" },
		     NULL,
		     0 },
	[WAITING_CLAIMS] = { "tundra_waiting_claims",
			     "Claims that wait for something short-lived.",
			     GAUGE,
			     { "driver" },
			     NULL,
			     0 },
	[PUBLISHED_DEVICES] = { "tundra_published_devices",
				"Devices in this node's ResourceSlices.",
				GAUGE,
				{ "driver" },
				NULL,
				0 },
	[PUBLISHED_SLICES] = { "tundra_published_slices",
			       "ResourceSlices of this node.",
			       GAUGE,
			       { "driver" },
			       NULL,
			       0 },
	[GENERATION] = { "tundra_pool_generation",
			 "Generation of the published pool.",
			 GAUGE,
			 { "driver" },
			 NULL,
			 0 },
	[PUBLISH_WRITES] = { "tundra_publish_writes_total",
			     "Writes of ResourceSlices.",
			     COUNTER,
			     { "driver", "verb" },
			     NULL,
			     0 },
	[PUBLISH_FAILURES] = { "tundra_publish_failures_total",
			       "Rounds of publishing that failed.",
			       COUNTER,
			       { "driver" },
			       NULL,
			       0 },
	[PUBLISH_TIME] = { "tundra_last_publish_timestamp_seconds",
			   "When a ResourceSlice was last written.",
			   GAUGE,
			   { "driver" },
			   NULL,
			   0 },
	[KUBELET_TIME] = { "tundra_last_kubelet_call_timestamp_seconds",
			   "When the kubelet last asked for a claim.",
			   GAUGE,
			   { "driver" },
			   NULL,
			   0 },
	[REGISTERED] = { "tundra_registered",
			 "1 while the kubelet has the driver registered.",
			 GAUGE,
			 { "driver" },
			 NULL,
			 0 },
	[LEDGER_BYTES] = { "tundra_ledger_written_bytes_total",
			   "Bytes written to the ledger.",
			   COUNTER,
			   { "driver" },
			   NULL,
			   0 },
	[LEDGER_SYNCS] = { "tundra_ledger_batches_total",
			   "Batches synced to the ledger.",
			   COUNTER,
			   { "driver" },
			   NULL,
			   0 },
	[LEDGER_FAILURES] = { "tundra_ledger_failures_total",
			      "Writes of the ledger that failed.",
			      COUNTER,
			      { "driver" },
			      NULL,
			      0 },
	[CDI_BYTES] = { "tundra_cdi_written_bytes_total",
			"Bytes of CDI specs written.",
			COUNTER,
			{ "driver" },
			NULL,
			0 },
	[WORKER_STARTS] = { "tundra_worker_starts_total",
			    "Times a worker was started.",
			    COUNTER,
			    { "role" },
			    NULL,
			    0 },
	[WORKER_CRASHES] = { "tundra_worker_crashes_total",
			     "Times a worker ended by itself.",
			     COUNTER,
			     { "role" },
			     NULL,
			     0 },
	[WORKER_TIMEOUTS] = { "tundra_worker_timeouts_total",
			      "Requests that a worker did not answer in time.",
			      COUNTER,
			      { "role" },
			      NULL,
			      0 },
	[WORKER_STUCK] = { "tundra_worker_stuck",
			   "Worker processes that cannot be killed, stuck in the kernel.",
			   GAUGE,
			   { "role" },
			   NULL,
			   0 },
	[LOOP_TURNS] = { "tundra_loop_turns_total",
			 "Turns of the event loop.",
			 COUNTER,
			 { NULL },
			 NULL,
			 0 },
	[LOOP_SLOW] = { "tundra_loop_slow_turns_total",
			"Turns that were busy for more than 5 ms.",
			COUNTER,
			{ NULL },
			NULL,
			0 },
	[LOOP_PREEMPTED] = { "tundra_loop_preempted_turns_total",
			     "Slow turns during which other processes had the processor; the turn "
			     "itself needed no more than 5 ms.",
			     COUNTER,
			     { NULL },
			     NULL,
			     0 },
	[LOOP_LONGEST] = { "tundra_loop_longest_turn_seconds",
			   "Longest time that a turn was busy.",
			   GAUGE,
			   { NULL },
			   NULL,
			   0 },
	[LOOP_TIMES] = { "tundra_loop_turn_duration_seconds",
			 "How long turns of the event loop were busy.",
			 METRICS_HISTOGRAM,
			 { NULL },
			 turn_bounds,
			 ARRAY_LEN(turn_bounds) },
	[LOOP_CALLBACKS] = { "tundra_loop_slow_callbacks_total",
			     "Slow turns by the callback that took the longest in them.",
			     COUNTER,
			     { "callback" },
			     NULL,
			     0 },
	[PROCESS_CPU] = { "process_cpu_seconds_total",
			  "User and system CPU time, without workers.",
			  COUNTER,
			  { NULL },
			  NULL,
			  0 },
	[PROCESS_START] = { "process_start_time_seconds",
			    "When the process began, in Unix time.",
			    GAUGE,
			    { NULL },
			    NULL,
			    0 },
	[PROCESS_RESIDENT] = { "process_resident_memory_bytes",
			       "Resident memory, without workers.",
			       GAUGE,
			       { NULL },
			       NULL,
			       0 },
	[PROCESS_VIRTUAL] = { "process_virtual_memory_bytes",
			      "Virtual memory, without workers.",
			      GAUGE,
			      { NULL },
			      NULL,
			      0 },
	[PROCESS_FDS] = { "process_open_fds", "Open file descriptors.", GAUGE, { NULL }, NULL, 0 },
	[PROCESS_FDS_MAX] = { "process_max_fds",
			      "Limit of open file descriptors.",
			      GAUGE,
			      { NULL },
			      NULL,
			      0 },
};

static const char *const phase_names[CLAIM_PHASES] = { "fetch", "wait", "store", "apply" };

struct stats {
	struct metrics_family *f[FAMILIES];
	double started; /* of the process, Unix seconds */
};

struct stats *stats_new(struct metrics *m)
{
	struct stats *s = MEM_NEW(struct stats);

	_Static_assert(ARRAY_LEN(turn_bounds) == LOOP_BUCKETS - 1, "buckets of the loop");
	for (size_t i = 0; i < ARRAY_LEN(turn_bounds); i++)
		must((uint64_t)(turn_bounds[i] * 1e6 + 0.5) == loop_bounds_us[i]);
	for (size_t i = 0; i < FAMILIES; i++)
		s->f[i] = metrics_add(m, &table[i]);
	metrics_set(s->f[LOOP_CALLBACKS], 0, METRICS_L("other")); /* the family is always there */
	s->started = usage_started();
	return s;
}

const struct metrics_desc *stats_table(size_t *n)
{
	*n = FAMILIES;
	return table;
}

void stats_free(struct stats **s)
{
	mem_free(*s);
	*s = NULL;
}

void stats_driver(struct stats *s, const char *driver)
{
	static const char *const operations[] = { "prepare", "unprepare" };

	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		metrics_inc(s->f[REQUESTS], 0, METRICS_L(driver, operations[i]));
		metrics_set(s->f[INFLIGHT], 0, METRICS_L(driver, operations[i]));
		metrics_inc(s->f[RESULTS], 0, METRICS_L(driver, operations[i], "ok"));
		metrics_inc(s->f[RESULTS], 0, METRICS_L(driver, operations[i], "error"));
	}
	metrics_inc(s->f[PREPARE_ERRORS], 0, METRICS_L(driver, "prepare_devices"));
	metrics_inc(s->f[UNPREPARE_ERRORS], 0, METRICS_L(driver, "unprepare_devices"));
	metrics_inc(s->f[PUBLISH_FAILURES], 0, METRICS_L(driver));
}

void stats_report(struct stats *s, const char *driver, const struct claim_report *r)
{
	bool prepare = sv_eqs(sv_str(r->operation), "prepare");

	metrics_inc(s->f[RESULTS], 1, METRICS_L(driver, r->operation, r->error ? "error" : "ok"));
	if (r->error) {
		metrics_inc(s->f[prepare ? PREPARE_ERRORS : UNPREPARE_ERRORS], 1,
			    METRICS_L(driver, prepare ? "prepare_devices" : "unprepare_devices"));
		return;
	}
	metrics_inc(s->f[REQUESTS], 1, METRICS_L(driver, r->operation));
	metrics_observe(s->f[DURATION], (double)r->total_us / 1e6, METRICS_L(driver, r->operation));
	for (size_t i = 0; i < CLAIM_PHASES; i++)
		if (r->phase_us[i])
			metrics_observe(s->f[PHASES], (double)r->phase_us[i] / 1e6,
					METRICS_L(driver, r->operation, phase_names[i]));
}

void stats_inflight(struct stats *s, const char *driver, const char *operation, uint64_t n)
{
	metrics_set(s->f[INFLIGHT], (double)n, METRICS_L(driver, operation));
}

void stats_prepared(struct stats *s, const char *driver, const char *node, size_t devices,
		    size_t claims, size_t waiting)
{
	metrics_set(s->f[DEVICES], (double)devices, METRICS_L(node, driver, "gpu"));
	metrics_set(s->f[CLAIMS], (double)claims, METRICS_L(driver));
	metrics_set(s->f[WAITING_CLAIMS], (double)waiting, METRICS_L(driver));
}

void stats_published(struct stats *s, const char *driver, const struct publisher_stats *p)
{
	metrics_set(s->f[PUBLISHED_DEVICES], (double)p->devices, METRICS_L(driver));
	metrics_set(s->f[PUBLISHED_SLICES], (double)p->slices, METRICS_L(driver));
	metrics_set(s->f[GENERATION], (double)p->generation, METRICS_L(driver));
	metrics_set(s->f[PUBLISH_TIME], (double)p->last_publish_wall_ms / 1e3, METRICS_L(driver));
	metrics_set(s->f[PUBLISH_WRITES], (double)p->creates, METRICS_L(driver, "create"));
	metrics_set(s->f[PUBLISH_WRITES], (double)p->updates, METRICS_L(driver, "update"));
	metrics_set(s->f[PUBLISH_WRITES], (double)p->deletes, METRICS_L(driver, "delete"));
}

void stats_publish_failed(struct stats *s, const char *driver)
{
	metrics_inc(s->f[PUBLISH_FAILURES], 1, METRICS_L(driver));
}

void stats_kubelet(struct stats *s, const char *driver, uint64_t last_call_wall_ms, bool registered)
{
	metrics_set(s->f[KUBELET_TIME], (double)last_call_wall_ms / 1e3, METRICS_L(driver));
	metrics_set(s->f[REGISTERED], registered, METRICS_L(driver));
}

void stats_ledger(struct stats *s, const char *driver, const struct journal_stats *j,
		  uint64_t cdi_bytes)
{
	metrics_set(s->f[LEDGER_BYTES], (double)j->bytes, METRICS_L(driver));
	metrics_set(s->f[LEDGER_SYNCS], (double)j->batches, METRICS_L(driver));
	metrics_set(s->f[LEDGER_FAILURES], (double)j->failures, METRICS_L(driver));
	metrics_set(s->f[CDI_BYTES], (double)cdi_bytes, METRICS_L(driver));
}

void stats_worker(struct stats *s, const char *role, const struct worker_stats *w)
{
	metrics_set(s->f[WORKER_STARTS], (double)w->starts, METRICS_L(role));
	metrics_set(s->f[WORKER_CRASHES], (double)w->crashes, METRICS_L(role));
	metrics_set(s->f[WORKER_TIMEOUTS], (double)w->timeouts, METRICS_L(role));
	metrics_set(s->f[WORKER_STUCK], (double)w->abandoned, METRICS_L(role));
}

void stats_process(struct stats *s, const struct loop_stats *l)
{
	struct usage u;

	/* What the kernel would not tell is not shown, rather than as 0. */
	if (usage_read(&u) == 0) {
		metrics_set(s->f[PROCESS_RESIDENT], (double)u.resident_bytes, METRICS_NO_LABELS);
		metrics_set(s->f[PROCESS_VIRTUAL], (double)u.virtual_bytes, METRICS_NO_LABELS);
		metrics_set(s->f[PROCESS_FDS], (double)u.open_fds, METRICS_NO_LABELS);
		metrics_set(s->f[PROCESS_FDS_MAX], (double)u.max_fds, METRICS_NO_LABELS);
	}
	metrics_set(s->f[PROCESS_CPU], u.cpu_s, METRICS_NO_LABELS);
	if (s->started > 0)
		metrics_set(s->f[PROCESS_START], s->started, METRICS_NO_LABELS);
	metrics_set(s->f[LOOP_TURNS], (double)l->turns, METRICS_NO_LABELS);
	metrics_set(s->f[LOOP_SLOW], (double)l->slow_turns, METRICS_NO_LABELS);
	metrics_set(s->f[LOOP_PREEMPTED], (double)l->preempted_turns, METRICS_NO_LABELS);
	metrics_set(s->f[LOOP_LONGEST], (double)l->max_us / 1e6, METRICS_NO_LABELS);
	metrics_set_histogram(s->f[LOOP_TIMES], l->buckets, (double)l->busy_us / 1e6,
			      METRICS_NO_LABELS);
	for (size_t i = 0; i < l->slow_n; i++)
		metrics_set(s->f[LOOP_CALLBACKS], (double)l->slow[i].turns,
			    METRICS_L(l->slow[i].name));
}
