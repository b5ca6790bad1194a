/*
 *   WAITING --timer--> OPENING --200--> OPEN --end--> WAITING (from the last version)
 *                         \-- 410, 404, 400 --> GONE <-- ERROR event 410 --/
 *
 * A watch that ends well is opened again soon; one that ended badly, or that was shorter than a
 * second and told nothing, waits with backoff. Two healthy minutes forgive what was before.
 */
#include "k8s/api/watch.h"

#include <errno.h>
#include <inttypes.h>

#include "core/backoff.h"
#include "core/mem.h"
#include "core/sm.h"
#include "k8s/api/answer.h"

enum {
	TIMEOUT_MIN_S = 300, /* as client-go: spread, so that not all watches end together */
	TIMEOUT_MAX_S = 600,
	TIMEOUT_GRACE_S = 30,	 /* the server should have ended it by then */
	BACKOFF_FIRST_MS = 4000, /* +-50 %: a fleet that lost its watches opens them over 4 s */
	BACKOFF_CAP_MS = 30000,
	HEALTHY_MS = 120000, /* this long without an error resets the backoff */
	PATIENCE_MS = 10000, /* opening takes longer: the owner should know why */
	SILENT_MS = 30000,   /* sent, and no answer begins for so long: it never will */
	SPREAD_MS = 4000,    /* a server that goes ends all its watches in one moment */
	SHORT_MS = 1000,     /* shorter and silent: a proxy or server that cannot watch */
	RV_MAX = 1024,	     /* bytes; real ones have up to 20 */
};

/* ---- framer ---- */

static const struct json_limits event_limits = { .bytes = WATCH_EVENT_MAX,
						 .values = 200000,
						 .depth = 64 };

void watch_framer_init(struct watch_framer *f)
{
	buf_init(&f->line, WATCH_EVENT_MAX);
}

void watch_framer_done(struct watch_framer *f)
{
	buf_done(&f->line);
}

void watch_framer_reset(struct watch_framer *f)
{
	buf_clear(&f->line);
	buf_trim(&f->line);
}

static bool event_type(struct sv name, enum watch_type *out)
{
	static const char *const names[] = {
		[WATCH_ADDED] = "ADDED",     [WATCH_MODIFIED] = "MODIFIED",
		[WATCH_DELETED] = "DELETED", [WATCH_BOOKMARK] = "BOOKMARK",
		[WATCH_ERROR] = "ERROR",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!sv_eqs(name, names[i]))
			continue;
		*out = (enum watch_type)i;
		return true;
	}
	return false;
}

static int framer_event(struct sv line, watch_event_fn fn, void *arg, struct err *e)
{
	struct json *root = NULL;
	const struct json *object;
	enum watch_type type;
	struct sv name;
	int r;

	line = sv_trim(line);
	if (!line.n)
		return 0;
	r = json_parse_without(line, &event_limits, META_BOOKKEEPING, &root, e);
	if (r < 0)
		return err_wrap(e, r == -E2BIG ? -E2BIG : -EBADMSG, "watch event");
	name = json_sv(json_get(root, "type"));
	object = json_get(root, "object");
	if (!name.n || json_kind(object) != JSON_OBJ)
		r = err_set(e, -EBADMSG, "watch event without type and object");
	else if (event_type(name, &type))
		fn(arg, type, object);
	json_free(&root);
	return r;
}

/* The line that was begun in an earlier piece; *bytes moves behind what it took. */
static int framer_finish_line(struct watch_framer *f, struct sv *bytes, watch_event_fn fn,
			      void *arg, struct err *e)
{
	ptrdiff_t end = sv_find(*bytes, '\n');
	struct sv part = end < 0 ? *bytes : sv_make(bytes->p, (size_t)end);
	int r;

	if (!buf_put_sv(&f->line, part))
		return err_set(e, -E2BIG, "watch event larger than %d bytes", WATCH_EVENT_MAX);
	*bytes = end < 0 ? SV_NONE : sv_drop(*bytes, (size_t)end + 1);
	if (end < 0)
		return 0;
	r = framer_event(buf_sv(&f->line), fn, arg, e);
	watch_framer_reset(f);
	return r;
}

int watch_framer_feed(struct watch_framer *f, struct sv bytes, watch_event_fn fn, void *arg,
		      struct err *e)
{
	ptrdiff_t end;
	int r = 0;

	if (buf_len(&f->line))
		r = framer_finish_line(f, &bytes, fn, arg, e);
	/* Whole lines are read where they lie; only the last, unfinished one is kept. */
	while (r == 0 && (end = sv_find(bytes, '\n')) >= 0) {
		r = framer_event(sv_make(bytes.p, (size_t)end), fn, arg, e);
		bytes = sv_drop(bytes, (size_t)end + 1);
	}
	if (r == 0 && bytes.n && !buf_put_sv(&f->line, bytes))
		r = err_set(e, -E2BIG, "watch event larger than %d bytes", WATCH_EVENT_MAX);
	return r;
}

/* ---- the watch ---- */

enum watch_state { WATCH_WAITING, WATCH_OPENING, WATCH_OPEN, WATCH_GONE };

static const struct sm_conf watch_moves[] = {
	[WATCH_WAITING] = { "waiting", SM_TO(WATCH_OPENING) | SM_TO(WATCH_GONE) },
	[WATCH_OPENING] = { "opening",
			    SM_TO(WATCH_OPEN) | SM_TO(WATCH_WAITING) | SM_TO(WATCH_GONE) },
	[WATCH_OPEN] = { "open", SM_TO(WATCH_WAITING) | SM_TO(WATCH_GONE) },
	[WATCH_GONE] = { "gone", 0 },
};

/* Owner: whoever made it. Freed at the end of the turn, so a callback may free it. */
struct watch {
	struct sm sm;
	struct api *api;
	struct loop *loop;
	struct watch_conf conf; /* its target is our copy */
	char *rv;
	struct watch_framer framer;
	struct loop_timer timer;
	struct backoff backoff;
	uint64_t stream;    /* id of the call, 0 = none */
	uint64_t opened_ms; /* of the present stream */
	uint64_t failed_ms; /* the last error */
	uint64_t told;	    /* events and bookmarks of the present stream */
	enum api_version version;
	struct watch_stats stats;
	bool troubled, freed;
	/* What an ERROR event said; its stream is ended after the piece was read. */
	bool broken, broken_gone;

	uint32_t broken_retry_ms;
	struct err broken_error;
};

static void watch_trouble(struct watch *w, const struct err *e)
{
	if (!e && !w->troubled)
		return;
	w->troubled = e != NULL;
	if (w->conf.on_trouble)
		w->conf.on_trouble(w->conf.arg, e);
}

static void watch_stop_stream(struct watch *w)
{
	if (w->stream)
		api_cancel(w->api, w->stream);
	w->stream = 0;
}

/* Ends here: the owner lists again. */
static void watch_lost(struct watch *w)
{
	watch_stop_stream(w);
	loop_timer_stop(&w->timer);
	sm_move(&w->sm, WATCH_GONE);
	w->conf.on_gone(w->conf.arg);
}

static void watch_again(struct watch *w, uint64_t delay_ms)
{
	watch_stop_stream(w);
	sm_move(&w->sm, WATCH_WAITING);
	loop_timer_set(&w->timer, delay_ms);
}

static uint64_t watch_backoff(struct watch *w)
{
	uint64_t now = loop_now_ms(w->loop);

	if (now - w->failed_ms >= HEALTHY_MS)
		backoff_reset(&w->backoff);
	w->failed_ms = now;
	return backoff_next(&w->backoff, w->loop);
}

static void watch_failed(struct watch *w, const struct err *e, uint32_t retry_after_ms)
{
	uint64_t delay_ms = watch_backoff(w);

	w->stats.errors++;
	watch_again(w, MAX(delay_ms, retry_after_ms));
	watch_trouble(w, e);
}

static void watch_note_rv(struct watch *w, const struct json *object)
{
	const char *rv = meta_rv(object);

	if (!*rv || strlen(rv) > RV_MAX || strcmp(rv, w->rv) == 0)
		return;
	mem_free(w->rv);
	w->rv = mem_strdup(rv);
}

static void watch_note_error(struct watch *w, const struct json *status)
{
	int code;

	w->broken = true;
	code = (int)json_i64(json_get(status, "code"), 500);
	w->broken_gone = code == 410 || answer_rv_from_future(status);
	w->broken_retry_ms = answer_retry_after_ms(SV_NONE, status);
	answer_text(code, status, SV_NONE, &w->broken_error);
}

static void watch_on_frame(void *arg, enum watch_type type, const struct json *object)
{
	struct watch *w = arg;

	if (w->freed || w->broken || sm_state(&w->sm) != WATCH_OPEN)
		return;
	w->told++;
	if (type == WATCH_ERROR) {
		watch_note_error(w, object);
		return;
	}
	watch_note_rv(w, object);
	if (type == WATCH_BOOKMARK) {
		w->stats.bookmarks++;
		return;
	}
	w->stats.events++;
	w->conf.on_event(w->conf.arg, type, object, w->version);
}

static void watch_on_open(void *arg, enum api_version v)
{
	struct watch *w = arg;

	loop_timer_stop(&w->timer);
	w->version = v;
	w->opened_ms = loop_now_ms(w->loop);
	sm_move(&w->sm, WATCH_OPEN);
	watch_trouble(w, NULL);
}

/* The server's own word inside the stream. */
static void watch_on_error_event(struct watch *w)
{
	w->broken = false;
	if (w->broken_gone)
		watch_lost(w);
	else
		watch_failed(w, &w->broken_error, w->broken_retry_ms);
}

static void watch_on_data(void *arg, struct sv data)
{
	struct watch *w = arg;
	struct err e = { "" };
	int r;

	r = watch_framer_feed(&w->framer, data, watch_on_frame, w, &e);
	if (w->freed)
		return;
	if (w->broken)
		watch_on_error_event(w);
	else if (r < 0)
		watch_failed(w, &e, 0);
}

static void watch_ended_well(struct watch *w)
{
	struct err e = { "" };
	uint64_t lasted = loop_now_ms(w->loop) - w->opened_ms;

	if (lasted >= SHORT_MS) {
		/* Soon, but not in the same moment as every other watch of that server. */
		watch_again(w, loop_random(w->loop) % SPREAD_MS);
		return;
	}
	if (w->told) {
		watch_again(w, watch_backoff(w));
		return;
	}
	err_set(&e, -EPROTO, "API server: watch ended after %" PRIu64 " ms without an event",
		lasted);
	watch_failed(w, &e, 0);
}

static void watch_on_result(void *arg, const struct api_result *r)
{
	struct watch *w = arg;
	struct err e = { "" };

	w->stream = 0;
	if (r->status == 0) {
		watch_ended_well(w);
		return;
	}
	/* Our own limit on a watch that the server should have ended: no news is no error. */
	if (r->status == -ETIMEDOUT && sm_state(&w->sm) == WATCH_OPEN) {
		watch_again(w, 0);
		return;
	}
	if (r->status == API_GONE || r->status == API_NOT_SERVED || r->status == API_BAD_REQUEST ||
	    answer_rv_from_future(r->object)) {
		watch_lost(w);
		return;
	}
	err_set(&e, r->status, "%s", r->error);
	watch_failed(w, &e, r->retry_after_ms);
}

static void watch_open(struct watch *w)
{
	uint64_t seconds = TIMEOUT_MIN_S + loop_random(w->loop) % (TIMEOUT_MAX_S - TIMEOUT_MIN_S);
	struct api_target to = w->conf.what;
	struct buf query;

	buf_init(&query, (size_t)4 * RV_MAX);
	buf_puts(&query, "watch=1&allowWatchBookmarks=true&resourceVersion=");
	api_put_escaped(&query, w->rv);
	buf_printf(&query, "&timeoutSeconds=%" PRIu64, seconds);
	to.query = buf_cstr(&query);
	watch_framer_reset(&w->framer);
	w->told = 0;
	w->opened_ms = loop_now_ms(w->loop); /* again when it is really open */
	w->stats.starts++;
	sm_move(&w->sm, WATCH_OPENING);
	loop_timer_set(&w->timer, PATIENCE_MS);
	w->stream = api_stream(w->api, &(struct api_stream_request){
					   .to = to,
					   .timeout_ms = (seconds + TIMEOUT_GRACE_S) * 1000,
					   .on_open = watch_on_open,
					   .on_data = watch_on_data,
					   .fn = watch_on_result,
					   .arg = w,
				       });
	buf_done(&query);
}

/* WAITING is over, or OPENING takes long: no connection, no version, 401 ... */
static void watch_on_timer(void *arg)
{
	struct watch *w = arg;
	const char *why = api_trouble(w->api, w->stream);
	uint64_t waited = loop_now_ms(w->loop) - w->opened_ms;
	struct err e = { "" };

	if (sm_state(&w->sm) == WATCH_WAITING) {
		watch_open(w);
		return;
	}
	err_set(&e, -ETIMEDOUT, "API server: %s", *why ? why : "no answer yet");
	if (!*why && waited >= SILENT_MS) {
		watch_failed(w, &e, 0);
		return;
	}
	if (waited < (uint64_t)2 * PATIENCE_MS) /* told once */
		watch_trouble(w, &e);
	loop_timer_set(&w->timer, PATIENCE_MS);
}

struct watch *watch_new(struct api *a, const struct watch_conf *conf)
{
	struct watch *w = MEM_NEW(struct watch);

	must(conf->on_event && conf->on_gone && !conf->what.name);
	w->api = a;
	w->loop = api_loop(a);
	w->conf = *conf;
	api_target_copy(&w->conf.what);
	w->rv = mem_strdup(conf->rv ? conf->rv : "");
	watch_framer_init(&w->framer);
	backoff_init(&w->backoff, BACKOFF_FIRST_MS, BACKOFF_CAP_MS);
	loop_timer_init(&w->timer, w->loop, watch_on_timer, w);
	sm_init(&w->sm, watch_moves, NULL, WATCH_WAITING);
	watch_open(w);
	return w;
}

static void watch_destroy(void *obj)
{
	struct watch *w = obj;

	watch_framer_done(&w->framer);
	api_target_done(&w->conf.what);
	mem_free(w->rv);
	mem_free(w);
}

void watch_free(struct watch **w)
{
	struct watch *x = *w;

	if (!x)
		return;
	*w = NULL;
	x->freed = true;
	watch_stop_stream(x);
	loop_timer_stop(&x->timer);
	loop_defer_free(x->loop, x, watch_destroy);
}

const char *watch_rv(const struct watch *w)
{
	return w->rv;
}

const struct watch_stats *watch_stats(const struct watch *w)
{
	return &w->stats;
}
