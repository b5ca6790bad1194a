#pragma once
/*
 * Prometheus metrics: a registry of families, each a row with name, help, kind, label names and,
 * for histograms, bucket bounds. Series are made on first use; their number per family is capped
 * (a label value never comes unbounded from a peer): beyond METRICS_SERIES_MAX updates are ignored
 * and one warning is logged. Counters and histograms without labels exist, as 0, from the start.
 * Rendered on scrape, nothing runs otherwise.
 */
#include "core/buf.h"

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };
/* Series: eight devices times a few dozen values. A label's value is cut at its limit in bytes. */
enum { METRICS_LABELS_MAX = 6, METRICS_SERIES_MAX = 512, METRICS_VALUE_MAX = 128 };

struct metrics;
struct metrics_family;

struct metrics_desc {
	const char *name, *help;
	enum metrics_kind kind;
	const char *labels[METRICS_LABELS_MAX + 1]; /* ends with NULL */
	const double *bounds;			    /* ascending, without +Inf */
	size_t bounds_n;
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics **m);
/* The description must outlive the registry (static const). Same name twice aborts. */
struct metrics_family *metrics_add(struct metrics *m, const struct metrics_desc *d);
/*
 * Label values in the order of the description; missing ones are "". A counter only grows:
 * metrics_set() on one tells what a source that counts elsewhere has reached. Less than the last
 * time means that the source began anew, so it is added to what was counted before. A series is
 * given either increments or such a source.
 */
void metrics_inc(struct metrics_family *f, double by, const char *const *labels);
void metrics_set(struct metrics_family *f, double value, const char *const *labels);
void metrics_observe(struct metrics_family *f, double value, const char *const *labels);
/* A histogram that is counted elsewhere: `counts` has a number per bucket, not summed up, and the
 * one beyond the last bound; `sum` is of all values. */
void metrics_set_histogram(struct metrics_family *f, const uint64_t *counts, double sum,
			   const char *const *labels);
void metrics_drop(struct metrics_family *f, const char *const *labels); /* forgets one series */
/* Called before each rendering: a source sets gauges that would be costly to keep current. */
void metrics_on_scrape(struct metrics *m, void (*fn)(void *arg), void *arg);
/* Text format 0.0.4, families in order of registration, series sorted. */
void metrics_render(struct metrics *m, struct buf *out);
/* For status and tests: a histogram's is its number of observations. 0 if there is no such series.
 */
double metrics_value(struct metrics_family *f, const char *const *labels);

#define METRICS_L(...)	  ((const char *const[]){ __VA_ARGS__, NULL })
#define METRICS_NO_LABELS ((const char *const[]){ NULL })
