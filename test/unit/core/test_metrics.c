#include "core/metrics.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "test/unit/core/dies.h"

static const double bounds[] = { 0.005, 0.1, 1 };
static const struct metrics_desc requests = { .name = "tundra_requests_total",
					      .help = "Requests by \"verb\"\\\nand code.",
					      .kind = METRICS_COUNTER,
					      .labels = { "verb", "code" } };
static const struct metrics_desc ready = { .name = "tundra_ready",
					   .help = "Whether ready.",
					   .kind = METRICS_GAUGE };
static const struct metrics_desc errors = { .name = "tundra_errors_total",
					    .help = "Errors.",
					    .kind = METRICS_COUNTER };
static const struct metrics_desc seconds = { .name = "tundra_seconds",
					     .help = "Time.",
					     .kind = METRICS_HISTOGRAM,
					     .labels = { "verb" },
					     .bounds = bounds,
					     .bounds_n = ARRAY_LEN(bounds) };

static void expect(struct metrics *m, const char *text)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	metrics_render(m, &out);
	assert_string_equal(buf_cstr(&out), text);
	buf_done(&out);
}

static void text_format(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &requests), *g = metrics_add(m, &ready);

	(void)state;
	expect(m, ""); /* no series, no family */
	metrics_inc(f, 1, METRICS_L("put", "200"));
	metrics_inc(f, 2, METRICS_L("get", "404"));
	metrics_inc(f, 0.5, METRICS_L("get", "404"));
	metrics_inc(f, 1, METRICS_L("get"));
	metrics_inc(f, 1, METRICS_L("a\"b\\c\nd\xff", "\xc3\xa9"));
	metrics_set(g, 1, METRICS_NO_LABELS);
	expect(m,
	       "# HELP tundra_requests_total Requests by \"verb\"\\\\\\nand code.\n"
	       "# TYPE tundra_requests_total counter\n"
	       "tundra_requests_total{verb=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",code=\"\xc3\xa9\"} 1\n"
	       "tundra_requests_total{verb=\"get\",code=\"\"} 1\n"
	       "tundra_requests_total{verb=\"get\",code=\"404\"} 2.5\n"
	       "tundra_requests_total{verb=\"put\",code=\"200\"} 1\n"
	       "# HELP tundra_ready Whether ready.\n"
	       "# TYPE tundra_ready gauge\n"
	       "tundra_ready 1\n");
	assert_true(metrics_value(f, METRICS_L("get", "404")) == 2.5);
	assert_true(metrics_value(f, METRICS_L("get", "500")) == 0);
	metrics_free(&m);
	assert_null(m);
	metrics_free(&m);
}

static void histogram(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &seconds);

	(void)state;
	metrics_observe(f, 0.005, METRICS_L("get")); /* on a bound: belongs to it */
	metrics_observe(f, 0.05, METRICS_L("get"));
	metrics_observe(f, 0.07, METRICS_L("get"));
	metrics_observe(f, 7, METRICS_L("get")); /* beyond the last */
	expect(m, "# HELP tundra_seconds Time.\n"
		  "# TYPE tundra_seconds histogram\n"
		  "tundra_seconds_bucket{verb=\"get\",le=\"0.005\"} 1\n"
		  "tundra_seconds_bucket{verb=\"get\",le=\"0.1\"} 3\n"
		  "tundra_seconds_bucket{verb=\"get\",le=\"1\"} 3\n"
		  "tundra_seconds_bucket{verb=\"get\",le=\"+Inf\"} 4\n"
		  "tundra_seconds_sum{verb=\"get\"} 7.125\n"
		  "tundra_seconds_count{verb=\"get\"} 4\n");
	assert_true(metrics_value(f, METRICS_L("get")) == 4);
	metrics_free(&m);
}

static void histogram_of_a_source(void **state)
{
	static const uint64_t first[] = { 1, 0, 2, 3 }, then[] = { 1, 4, 2, 3 };
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &seconds);

	(void)state;
	metrics_set_histogram(f, first, 12.5, METRICS_L("put"));
	assert_true(metrics_value(f, METRICS_L("put")) == 6);
	metrics_set_histogram(f, then, 13, METRICS_L("put"));
	expect(m, "# HELP tundra_seconds Time.\n"
		  "# TYPE tundra_seconds histogram\n"
		  "tundra_seconds_bucket{verb=\"put\",le=\"0.005\"} 1\n"
		  "tundra_seconds_bucket{verb=\"put\",le=\"0.1\"} 5\n"
		  "tundra_seconds_bucket{verb=\"put\",le=\"1\"} 7\n"
		  "tundra_seconds_bucket{verb=\"put\",le=\"+Inf\"} 10\n"
		  "tundra_seconds_sum{verb=\"put\"} 13\n"
		  "tundra_seconds_count{verb=\"put\"} 10\n");
	metrics_free(&m);
}

static void counters_without_labels_start_at_zero(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &errors);

	(void)state;
	expect(m, "# HELP tundra_errors_total Errors.\n# TYPE tundra_errors_total counter\n"
		  "tundra_errors_total 0\n");
	metrics_inc(f, 3, METRICS_NO_LABELS);
	assert_true(metrics_value(f, METRICS_NO_LABELS) == 3);
	metrics_free(&m);
}

/* The source of a counter may end and begin anew: what is told never goes down. */
static void counter_of_a_source(void **state)
{
	static const struct {
		double set, told;
	} steps[] = { { 10, 10 }, { 10, 10 }, { 12, 12 }, { 3, 15 }, { 3, 15 },
		      { 4, 16 },  { 0, 16 },  { 0, 16 },  { 7, 23 }, { 6, 29 } };
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &requests);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		metrics_set(f, steps[i].set, METRICS_L("get", "200"));
		assert_true(metrics_value(f, METRICS_L("get", "200")) == steps[i].told);
	}
	metrics_set(f, 1, METRICS_L("put", "200")); /* each series has its own */
	assert_true(metrics_value(f, METRICS_L("put", "200")) == 1);
	assert_true(metrics_value(f, METRICS_L("get", "200")) == 29);
	metrics_drop(f, METRICS_L("get", "200"));
	metrics_set(f, 2, METRICS_L("get", "200"));
	assert_true(metrics_value(f, METRICS_L("get", "200")) == 2);
	metrics_free(&m);
}

static void special_values(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *g = metrics_add(m, &ready);

	(void)state;
	metrics_set(g, NAN, METRICS_NO_LABELS);
	expect(m, "# HELP tundra_ready Whether ready.\n# TYPE tundra_ready gauge\n"
		  "tundra_ready NaN\n");
	metrics_set(g, INFINITY, METRICS_NO_LABELS);
	expect(m, "# HELP tundra_ready Whether ready.\n# TYPE tundra_ready gauge\n"
		  "tundra_ready +Inf\n");
	metrics_set(g, 5, METRICS_NO_LABELS);
	metrics_inc(g, -7, METRICS_NO_LABELS); /* a gauge goes down */
	assert_true(metrics_value(g, METRICS_NO_LABELS) == -2);
	metrics_drop(g, METRICS_NO_LABELS);
	metrics_drop(g, METRICS_NO_LABELS);
	expect(m, "");
	metrics_free(&m);
}

static size_t warnings;

static void count_warnings(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)line;
	warnings += level == LOG_WARN;
}

static void series_and_values_are_bounded(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &requests);
	char label[16], *long_value;
	const char *at;
	struct buf out;
	size_t i;

	(void)state;
	log_capture(count_warnings, NULL);
	for (i = 0; i < METRICS_SERIES_MAX + 100; i++) {
		(void)snprintf(label, sizeof(label), "%zu", i);
		metrics_inc(f, 1, METRICS_L(label));
	}
	log_capture(NULL, NULL);
	assert_int_equal(warnings, 1);
	assert_true(metrics_value(f, METRICS_L("0")) == 1);
	assert_true(metrics_value(f, METRICS_L(label)) == 0);
	/* What is dropped makes room. */
	metrics_drop(f, METRICS_L("0"));
	long_value = mem_zalloc(METRICS_VALUE_MAX + 10);
	memset(long_value, 'x', METRICS_VALUE_MAX + 9);
	metrics_inc(f, 1, METRICS_L(long_value, long_value));
	buf_init(&out, 1 << 20);
	metrics_render(m, &out);
	at = strstr(buf_cstr(&out), "xxx");
	assert_non_null(at);
	assert_int_equal(strspn(at, "x"), METRICS_VALUE_MAX);
	buf_done(&out);
	mem_free(long_value);
	metrics_free(&m);
}

static void on_scrape(void *arg)
{
	metrics_inc(arg, 1, METRICS_NO_LABELS);
}

static void sources_are_asked_at_each_scrape(void **state)
{
	struct metrics *m = metrics_new();
	struct metrics_family *f = metrics_add(m, &errors);
	struct buf out;

	(void)state;
	metrics_on_scrape(m, on_scrape, f);
	metrics_on_scrape(m, on_scrape, f);
	buf_init(&out, 1000);
	metrics_render(m, &out);
	metrics_render(m, &out);
	assert_true(metrics_value(f, METRICS_NO_LABELS) == 4);
	buf_done(&out);
	metrics_free(&m);
}

static const struct metrics_desc bad_name = { .name = "0x", .help = "h" };
static const struct metrics_desc bad_label = { .name = "x", .help = "h", .labels = { "a-b" } };
static const struct metrics_desc no_bounds = { .name = "x",
					       .help = "h",
					       .kind = METRICS_HISTOGRAM };

static void add_twice(void *arg)
{
	struct metrics *m = metrics_new();

	metrics_add(m, arg);
	metrics_add(m, arg);
}

static void add_once(void *arg)
{
	metrics_add(metrics_new(), *(const struct metrics_desc *const *)arg);
}

static void shrink(void *arg)
{
	metrics_inc(metrics_add(metrics_new(), arg), -1, METRICS_NO_LABELS);
}

static void set_below_zero(void *arg)
{
	metrics_set(metrics_add(metrics_new(), arg), -1, METRICS_NO_LABELS);
}

static void too_many_labels(void *arg)
{
	metrics_inc(metrics_add(metrics_new(), arg), 1, METRICS_L("a"));
}

static void misuse_aborts(void **state)
{
	const struct metrics_desc *bad[] = { &bad_name, &bad_label, &no_bounds };
	struct metrics_desc copy = errors;
	char said[DIES_SAID_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(dies(add_once, &bad[i], said));
	assert_true(dies(add_twice, &copy, said));
	assert_true(dies(shrink, &copy, said));
	assert_true(dies(set_below_zero, &copy, said));
	assert_true(dies(too_many_labels, &copy, said));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_format),
		cmocka_unit_test(histogram),
		cmocka_unit_test(histogram_of_a_source),
		cmocka_unit_test(counters_without_labels_start_at_zero),
		cmocka_unit_test(counter_of_a_source),
		cmocka_unit_test(special_values),
		cmocka_unit_test(series_and_values_are_bounded),
		cmocka_unit_test(sources_are_asked_at_each_scrape),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
