#pragma once
/*
 * The metrics of every driver in the process: one registry, the driver's name as a label. Names
 * that upstream has (nvidia_dra_*) keep its meaning and buckets; ours begin with tundra_, and
 * process_* is what every exporter calls so. All of them stand in test/wire/metrics.txt as well.
 */
#include "core/metrics.h"
#include "k8s/claim.h"

struct stats;
struct stats *stats_new(struct metrics *m);
void stats_free(struct stats **s);
/* Every metric, for the reference page. */
const struct metrics_desc *stats_table(size_t *n);
/* Makes the series of a driver visible at zero, as upstream does at start. */
void stats_driver(struct stats *s, const char *driver);
/*
 * Each takes what one module counts into the metrics: what happens at once (report, publish_failed)
 * when it does, the others on a scrape. Strings are used during the call only.
 */
void stats_report(struct stats *s, const char *driver, const struct claim_report *r);
void stats_inflight(struct stats *s, const char *driver, const char *operation, uint64_t n);
void stats_prepared(struct stats *s, const char *driver, const char *node, size_t devices,
		    size_t claims, size_t waiting);
struct publisher_stats;
void stats_published(struct stats *s, const char *driver, const struct publisher_stats *p);
void stats_publish_failed(struct stats *s, const char *driver);
void stats_kubelet(struct stats *s, const char *driver, uint64_t last_call_wall_ms,
		   bool registered);
struct journal_stats;
void stats_ledger(struct stats *s, const char *driver, const struct journal_stats *j,
		  uint64_t cdi_bytes);
struct worker_stats;
void stats_worker(struct stats *s, const char *role, const struct worker_stats *w);
struct loop_stats;
/* The loop, and what the kernel knows of this process: read here, so call it on a scrape only. */
void stats_process(struct stats *s, const struct loop_stats *l);
