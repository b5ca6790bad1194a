#include "core/journal.h"

#include <errno.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/sm.h"
#include "core/version.h"

/*
 *            OPEN ok                      batch                  answer
 *  OPENING ---------> READY -----------------------> APPENDING ---------> READY
 *   |   ^              |  \------- piece -----------> COMPACTING -------> READY
 *   |   | backoff      |   \------ disk was full ---> RESERVING --------> READY
 *   v   |              v
 *  DEAD WAITING <---- REWRITING (owner's image) ----> READY
 *        ^ ------------^
 *  (not opened within       WAITING: something failed in a way that leaves the outcome open;
 *   JOURNAL_OPEN_MS)        then OPENING again, or REWRITING when the file is not to be trusted
 *
 * One request is with the worker at a time. A record is in `queue`, then in `flight` (the batch on
 * its way), then in `done` until its callback was made. A record's seq is given when its batch is
 * made, so what went back to the queue because it certainly did not land simply gets a new one.
 */
enum { WAIT_FIRST_MS = 50, WAIT_CAP_MS = 5000 };
/* How long a failed compaction is not tried again: it only saves space. */
enum { COMPACT_RETRY_MS = 60000 };
/* How often a full disk is asked whether it has room again. */
enum { RESERVE_MS = 5000 };
enum { REWRITE_PIECE = 1 << 20 };

enum state {
	OPENING,
	READY,
	APPENDING,
	COMPACTING,
	RESERVING,
	REWRITING,
	WAITING,
	DEAD,
};

struct record {
	struct list node;
	enum journal_kind kind;
	uint64_t seq; /* in flight */
	journal_fn fn;
	void *arg;
	int status; /* in done */
	size_t key_n, body_n;
	char bytes[]; /* key, body */
};

struct journal {
	struct loop *loop;
	struct worker *disk;
	char *path, *boot_id, *writer;
	void (*on_compact)(void *arg, struct journal *j);
	void (*on_disk)(void *arg, const struct err *e);
	void *arg;
	void (*ready)(void *arg, int status, const struct journal_scan_result *r);
	void *ready_arg;
	struct journal_scan_result found;

	struct sm sm;
	struct list queue, flight, done;
	size_t queue_bytes;
	uint64_t seq;	  /* last given */
	uint64_t durable; /* last known to be on disk */
	uint64_t request; /* with the worker, 0 = none */

	bool opened;	/* once at least: the owner knows what the file knows */
	bool untrusted; /* a new file must be written */
	bool full;	/* the disk was, at last sight */
	bool failing;	/* on_disk() was told so */
	unsigned tries; /* failures in a row */
	struct err reason;

	bool compacting, appended_last, reserve_due;
	uint64_t no_compaction_before_ms;
	struct buf image; /* of a rewrite */
	size_t image_sent;
	uint32_t image_records;
	bool taking_image, image_begins, image_more;
	struct loop_timer imaging; /* the next turn of taking it */

	uint64_t started_ms;
	struct backoff backoff;
	struct loop_timer retry;
	struct loop_task commit, tell;
	struct journal_stats stats;
};

static const struct sm_conf states[] = {
	[OPENING] = { "opening", SM_TO(READY) | SM_TO(WAITING) | SM_TO(DEAD) },
	[READY] = { "ready", SM_TO(APPENDING) | SM_TO(COMPACTING) | SM_TO(RESERVING) |
				 SM_TO(WAITING) | SM_TO(REWRITING) },
	[APPENDING] = { "appending", SM_TO(READY) | SM_TO(WAITING) },
	[COMPACTING] = { "compacting", SM_TO(READY) | SM_TO(WAITING) },
	[RESERVING] = { "reserving", SM_TO(READY) | SM_TO(WAITING) },
	[REWRITING] = { "rewriting", SM_TO(READY) | SM_TO(WAITING) },
	[WAITING] = { "waiting", SM_TO(OPENING) | SM_TO(REWRITING) },
	[DEAD] = { "dead", 0 },
};

static bool holds(const struct sm *sm, int prev)
{
	const struct journal *j = container_of(sm, const struct journal, sm);
	bool idle = sm->state == READY || sm->state == WAITING || sm->state == DEAD;

	(void)prev;
	/* A batch stays in flight through WAITING and OPENING: its fate is not known. */
	if ((sm->state == READY || sm->state == DEAD) && !list_empty(&j->flight))
		return false;
	return !idle || j->request == 0;
}

static struct record *first(const struct list *l)
{
	return list_empty(l) ? NULL : list_entry(l->next, struct record, node);
}

static struct sv record_key(const struct record *r)
{
	return sv_make(r->bytes, r->key_n);
}

static struct sv record_body(const struct record *r)
{
	return sv_make(r->bytes + r->key_n, r->body_n);
}

static size_t record_size(const struct record *r)
{
	return JOURNAL_HEAD + r->key_n + r->body_n;
}

/* Callbacks */

static void finish(struct journal *j, struct record *r, int status)
{
	r->status = status;
	list_remove(&r->node);
	list_push(&j->done, &r->node);
	loop_task_post(&j->tell);
}

static void finish_all(struct journal *j, struct list *l, int status)
{
	struct record *r;

	while ((r = first(l)))
		finish(j, r, status);
}

static void tell_done(void *arg)
{
	struct journal *j = arg;
	struct record *r;

	while ((r = first(&j->done))) {
		list_remove(&r->node);
		if (r->fn)
			r->fn(r->arg, r->status);
		mem_free(r);
	}
}

/* The disk's health, as told to the owner */

static void disk_fails(struct journal *j, int code, struct sv why, bool tell)
{
	j->stats.failures++;
	if (why.n)
		err_set(&j->reason, code, SV_FMT, (int)MIN(why.n, (size_t)400), why.p);
	else
		err_sys(&j->reason, code, "the disk worker of %s", j->path);
	if (!tell || j->failing || !j->opened)
		return;
	j->failing = true;
	if (j->on_disk)
		j->on_disk(j->arg, &j->reason);
}

static void disk_answers(struct journal *j)
{
	j->tries = 0;
	backoff_reset(&j->backoff);
}

static void disk_works(struct journal *j)
{
	disk_answers(j);
	j->full = j->reserve_due = false;
	loop_timer_stop(&j->retry);
	if (!j->failing)
		return;
	j->failing = false;
	if (j->on_disk)
		j->on_disk(j->arg, NULL);
}

static void disk_is_full(struct journal *j)
{
	j->full = true;
	j->reserve_due = false;
	loop_timer_set(&j->retry, RESERVE_MS);
}

/* Into READY, or further when there is something to do. */
static void settle(struct journal *j)
{
	sm_move(&j->sm, READY);
	loop_task_post(&j->commit);
}

/* The outcome is open: wait, then look. One crash of a worker is not worth an alarm. */
static void wait_and_look(struct journal *j, int code, struct sv why)
{
	bool quiet = (code == -EIO && !why.n) || code == -ENOTCONN || code == -EAGAIN;

	if (code == JOURNAL_UNTRUSTED)
		j->untrusted = true;
	disk_fails(j, code, why, !quiet || j->tries > 0);
	j->tries++;
	j->compacting = false;
	buf_done(&j->image);
	sm_move(&j->sm, WAITING);
	loop_timer_set(&j->retry, backoff_next(&j->backoff, j->loop));
}

static bool take_state(struct journal *j, struct sv answer, struct journal_disk_state *st)
{
	if (journal_disk_get_state(answer, st))
		return false;
	j->stats.size = st->size;
	j->stats.live_bytes = st->live_bytes;
	j->stats.live = st->live;
	return true;
}

static void ask(struct journal *j, enum journal_method method, struct sv body, worker_fn fn)
{
	j->request = worker_call(j->disk, (uint16_t)method, body, JOURNAL_DEADLINE_MS, fn, j);
}

/* Opening */

static void requeue_flight(struct journal *j)
{
	struct record *r;

	while (!list_empty(&j->flight)) {
		r = list_entry(j->flight.prev, struct record, node);
		r->seq = 0;
		list_remove(&r->node);
		list_push_front(&j->queue, &r->node);
		j->queue_bytes += record_size(r);
	}
}

static bool may_pass(int code)
{
	switch (code) {
	case -EAGAIN: /* a predecessor's worker is still dying */
	case -EIO:
	case -EBUSY:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void first_open_failed(struct journal *j, int status, struct sv why)
{
	bool late = loop_now_ms(j->loop) - j->started_ms >= JOURNAL_OPEN_MS;

	if (may_pass(status) && !late) {
		wait_and_look(j, status, why);
		return;
	}
	disk_fails(j, status, why, false);
	sm_move(&j->sm, DEAD);
	requeue_flight(j);
	finish_all(j, &j->queue, -ENODEV);
	j->queue_bytes = 0;
	j->ready(j->ready_arg, status, &j->found);
}

/* The batch in flight is on disk. */
static void landed(struct journal *j, uint32_t sync_us)
{
	if (list_empty(&j->flight))
		return;
	list_for_each (n, &j->flight) {
		j->stats.records++;
		j->stats.bytes += record_size(list_entry(n, struct record, node));
	}
	j->stats.bytes += JOURNAL_COMMIT_SIZE;
	j->stats.batches++;
	j->stats.syncs_us += sync_us;
	finish_all(j, &j->flight, 0);
}

/* What became of the batch that was on its way? */
static void judge_flight(struct journal *j, const struct journal_disk_state *st)
{
	struct record *last;

	if (list_empty(&j->flight))
		return;
	last = list_entry(j->flight.prev, struct record, node);
	if (st->seq >= last->seq)
		landed(j, 0);
	else
		requeue_flight(j);
}

static void on_open(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;
	struct journal_disk_state st;
	bool is_first = !j->opened;

	j->request = 0;
	if (!status && !take_state(j, answer, &st))
		status = -EPROTO;
	if (status && is_first) {
		first_open_failed(j, status, answer);
		return;
	}
	if (!status && st.seq < j->durable) {
		status = JOURNAL_UNTRUSTED;
		answer = SV("records that were on disk are not there any more");
	}
	if (status) {
		wait_and_look(j, status, answer);
		return;
	}
	judge_flight(j, &st);
	j->opened = true;
	j->seq = j->durable = st.seq;
	disk_answers(j);
	if (j->full)
		disk_is_full(j); /* opening does not prove the contrary */
	else
		disk_works(j);
	settle(j);
	if (is_first)
		j->ready(j->ready_arg, 0, &j->found);
}

static void start_open(struct journal *j)
{
	bool is_first = !j->opened;
	struct buf b;

	sm_move(&j->sm, OPENING);
	buf_init(&b, 16 << 10);
	journal_disk_put_open(&b, j->path, j->boot_id, j->writer,
			      is_first ? j->found.seq : JOURNAL_ANY);
	ask(j, JOURNAL_M_OPEN, buf_sv(&b), on_open);
	buf_done(&b);
}

/* Batches */

static bool flight_has_put(const struct journal *j)
{
	list_for_each (n, &j->flight) {
		if (list_entry(n, struct record, node)->kind == JOURNAL_PUT)
			return true;
	}
	return false;
}

/* What takes space is refused; what gives it back is tried alone, once. */
static void refuse_puts(struct journal *j, struct sv why)
{
	bool had_put = flight_has_put(j);

	list_for_each_safe (m, &j->flight) {
		struct record *r = list_entry(m, struct record, node);

		if (r->kind == JOURNAL_PUT || !had_put)
			finish(j, r, -ENOSPC);
	}
	requeue_flight(j);
	disk_fails(j, -ENOSPC, why, true);
	disk_is_full(j);
	settle(j);
}

static void on_append(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;
	struct journal_disk_state st;

	j->request = 0;
	if (!status && !take_state(j, answer, &st))
		status = -EPROTO;
	if (status == -ENOSPC) {
		refuse_puts(j, answer);
		return;
	}
	if (status) {
		wait_and_look(j, status, answer);
		return;
	}
	j->durable = st.seq;
	disk_answers(j);
	if (!j->full || flight_has_put(j)) /* a DEL may have used the reserve */
		disk_works(j);
	landed(j, st.sync_us);
	settle(j);
}

static void put_flight(struct journal *j, struct buf *b)
{
	uint32_t n = 0;
	struct record *r = NULL;

	list_for_each (node, &j->flight) {
		r = list_entry(node, struct record, node);
		journal_put_record(b, r->seq, r->kind, record_key(r), record_body(r));
		n++;
	}
	if (r)
		journal_put_commit(b, r->seq, n);
}

/* Queued records, `max` bytes of them and one more, become part of the batch. Returns its size. */
static size_t fill_flight(struct journal *j, size_t max)
{
	struct record *r;
	size_t size = 0;

	while ((r = first(&j->queue)) && size < max) {
		r->seq = ++j->seq;
		size += record_size(r);
		j->queue_bytes -= record_size(r);
		list_remove(&r->node);
		list_push(&j->flight, &r->node);
	}
	return size;
}

static void start_append(struct journal *j)
{
	struct buf b;
	size_t size = fill_flight(j, JOURNAL_BATCH_MAX);

	buf_init(&b, size + JOURNAL_COMMIT_SIZE);
	put_flight(j, &b);
	j->appended_last = true;
	sm_move(&j->sm, APPENDING);
	ask(j, JOURNAL_M_APPEND, buf_sv(&b), on_append);
	buf_done(&b);
}

/* Compaction by the worker */

static bool wants_compaction(const struct journal *j)
{
	if (j->compacting)
		return true;
	return j->stats.size > JOURNAL_COMPACT_MIN &&
	       j->stats.size > JOURNAL_COMPACT_FACTOR * j->stats.live_bytes &&
	       loop_now_ms(j->loop) >= j->no_compaction_before_ms;
}

static void on_piece(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;
	struct journal_disk_state st = { 0 };

	j->request = 0;
	if (!status && !take_state(j, answer, &st))
		status = -EPROTO;
	if (status == JOURNAL_UNTRUSTED) {
		wait_and_look(j, status, answer);
		return;
	}
	if (status) {
		/* The old file is as good as before. If the worker died, the next batch sees. */
		log_warn("journal cannot be compacted", LOG_S("path", j->path),
			 LOG_SV("why", answer), LOG_I("code", -status));
		j->stats.failures++;
		j->no_compaction_before_ms = loop_now_ms(j->loop) + COMPACT_RETRY_MS;
	}
	j->compacting = st.compacting;
	if (!status && !st.compacting)
		j->stats.compactions++;
	settle(j);
}

static void start_piece(struct journal *j)
{
	j->appended_last = false;
	j->compacting = true;
	sm_move(&j->sm, COMPACTING);
	ask(j, JOURNAL_M_COMPACT, SV_NONE, on_piece);
}

/* A disk that was full */

static void on_reserve(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;
	struct journal_disk_state st;

	j->request = 0;
	if (!status && !take_state(j, answer, &st))
		status = -EPROTO;
	if (status && status != -ENOSPC) {
		wait_and_look(j, status, answer);
		return;
	}
	if (status)
		disk_is_full(j);
	else
		disk_works(j);
	settle(j);
}

static void start_reserve(struct journal *j)
{
	j->reserve_due = false;
	sm_move(&j->sm, RESERVING);
	ask(j, JOURNAL_M_RESERVE, SV_NONE, on_reserve);
}

/* A new file from the owner's memory */

static void next_rewrite(struct journal *j);

static void on_rewrite_step(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;

	j->request = 0;
	if (status)
		wait_and_look(j, status, answer);
	else
		next_rewrite(j);
}

static void on_rewrite_end(void *arg, int status, struct sv answer)
{
	struct journal *j = arg;
	struct journal_disk_state st;

	j->request = 0;
	if (!status && !take_state(j, answer, &st))
		status = -EPROTO;
	if (status) {
		wait_and_look(j, status, answer);
		return;
	}
	buf_done(&j->image);
	j->untrusted = false;
	j->seq = j->durable = st.seq;
	j->stats.compactions++;
	landed(j, 0);
	disk_works(j);
	settle(j);
}

static void next_rewrite(struct journal *j)
{
	char op = JOURNAL_REWRITE_DATA;
	struct sv rest = sv_drop(buf_sv(&j->image), j->image_sent);
	struct buf b;

	buf_init(&b, REWRITE_PIECE + 1);
	rest.n = MIN(rest.n, (size_t)REWRITE_PIECE);
	if (!rest.n)
		op = JOURNAL_REWRITE_END;
	buf_putc(&b, op);
	buf_put_sv(&b, rest);
	j->image_sent += rest.n;
	ask(j, JOURNAL_M_REWRITE, buf_sv(&b), rest.n ? on_rewrite_step : on_rewrite_end);
	buf_done(&b);
}

/* The image's records have the seq of what is known to be on disk: the batch that follows them is
 * then found, or not, by its own. */
static void image_done(struct journal *j)
{
	struct buf b;

	/* What the owner knows may include what is still queued: that goes along, so that nothing
	 * which is in the image can fail later; and so does what changed while it was taken. */
	(void)fill_flight(j, SIZE_MAX);
	journal_put_commit(&j->image, j->durable, j->image_records);
	put_flight(j, &j->image);
	buf_init(&b, 16 << 10);
	buf_putc(&b, JOURNAL_REWRITE_BEGIN);
	journal_disk_put_open(&b, j->path, j->boot_id, j->writer, JOURNAL_ANY);
	ask(j, JOURNAL_M_REWRITE, buf_sv(&b), on_rewrite_step);
	buf_done(&b);
}

/* One turn's share: what the owner puts. */
static void take_image(void *arg)
{
	struct journal *j = arg;

	j->image_more = false;
	j->taking_image = true;
	j->on_compact(j->arg, j);
	j->taking_image = false;
	j->image_begins = false;
	if (j->image_more)
		loop_timer_set(&j->imaging, 0);
	else
		image_done(j);
}

bool journal_image_begins(const struct journal *j)
{
	must(j->taking_image);
	return j->image_begins;
}

void journal_image_more(struct journal *j)
{
	must(j->taking_image);
	j->image_more = true;
}

void journal_put_live(struct journal *j, struct sv key, struct sv body)
{
	must(j->taking_image && key.n);
	journal_put_record(&j->image, j->durable, JOURNAL_PUT, key, body);
	j->image_records++;
}

static void start_rewrite(struct journal *j)
{
	sm_move(&j->sm, REWRITING);
	buf_done(&j->image);
	buf_init(&j->image, JOURNAL_FILE_MAX);
	j->image_sent = 0;
	j->image_records = 0;
	j->image_begins = true;
	take_image(j);
}

/* What next */

static void on_retry(void *arg)
{
	struct journal *j = arg;

	if (sm_state(&j->sm) != WAITING) {
		j->reserve_due = j->full;
		loop_task_post(&j->commit);
	} else if (j->untrusted) {
		start_rewrite(j);
	} else {
		start_open(j);
	}
}

/* At the end of a turn, and whenever the worker is free again. A piece of compaction comes between
 * two batches at most, and none waits while there is a batch that no piece has delayed yet. */
static void commit(void *arg)
{
	struct journal *j = arg;
	bool piece;

	if (sm_state(&j->sm) != READY)
		return;
	piece = wants_compaction(j);
	if (!list_empty(&j->queue) && !(piece && j->appended_last))
		start_append(j);
	else if (piece)
		start_piece(j);
	else if (j->reserve_due)
		start_reserve(j);
}

/* Life */

int journal_open(struct loop *l, const struct journal_conf *conf,
		 const struct journal_scan_events *ev,
		 void (*ready)(void *arg, int status, const struct journal_scan_result *r),
		 void *ready_arg, struct journal **out, struct err *e)
{
	struct journal *j;
	struct journal_scan_result found;
	int r;

	must(conf->path && conf->boot_id && conf->disk && conf->on_compact && ready);
	*out = NULL;
	r = journal_read(conf->path, ev, &found, e);
	if (r && r != -ENOENT)
		return r;
	j = MEM_NEW(struct journal);
	j->loop = l;
	j->disk = conf->disk;
	j->path = mem_strdup(conf->path);
	j->boot_id = mem_strndup(conf->boot_id, JOURNAL_BOOT_MAX);
	j->writer = mem_printf("tundra %s", version_string());
	j->on_compact = conf->on_compact;
	j->on_disk = conf->on_disk;
	j->arg = conf->arg;
	j->ready = ready;
	j->ready_arg = ready_arg;
	j->found = found;
	j->started_ms = loop_now_ms(l);
	list_init(&j->queue);
	list_init(&j->flight);
	list_init(&j->done);
	sm_init(&j->sm, states, holds, WAITING);
	backoff_init(&j->backoff, WAIT_FIRST_MS, WAIT_CAP_MS);
	loop_timer_init(&j->retry, l, on_retry, j);
	loop_timer_init(&j->imaging, l, take_image, j);
	loop_task_init(&j->commit, l, LOOP_COMMIT, commit, j);
	loop_task_init(&j->tell, l, LOOP_TICK, tell_done, j);
	start_open(j);
	*out = j;
	return 0;
}

const char *journal_reason(const struct journal *j)
{
	return err_text(&j->reason);
}

static void drop(struct list *l)
{
	struct list *n;

	while ((n = list_pop(l)))
		mem_free(list_entry(n, struct record, node));
}

void journal_free(struct journal **jp)
{
	struct journal *j = *jp;

	if (!j)
		return;
	*jp = NULL;
	if (j->request)
		worker_cancel(j->disk, j->request);
	/* Behind a batch that is on its way. A worker that is not there holds nothing. */
	if (worker_stats(j->disk)->state == WORKER_UP ||
	    worker_stats(j->disk)->state == WORKER_STARTING)
		worker_call(j->disk, JOURNAL_M_CLOSE, SV_NONE, JOURNAL_DEADLINE_MS, NULL, NULL);
	loop_timer_stop(&j->retry);
	loop_timer_stop(&j->imaging);
	loop_task_stop(&j->commit);
	loop_task_stop(&j->tell);
	drop(&j->queue);
	drop(&j->flight);
	drop(&j->done);
	buf_done(&j->image);
	mem_free(j->path);
	mem_free(j->boot_id);
	mem_free(j->writer);
	mem_free(j);
}

static void add(struct journal *j, enum journal_kind kind, struct sv key, struct sv body,
		journal_fn fn, void *arg)
{
	struct record *r;
	size_t size = JOURNAL_HEAD + key.n + body.n;
	int status = 0;

	must(key.n > 0 && key.n <= JOURNAL_KEY_MAX);
	if (sm_state(&j->sm) == DEAD)
		status = -ENODEV;
	else if (body.n > JOURNAL_BODY_MAX)
		status = -E2BIG;
	else if (j->queue_bytes + size > JOURNAL_QUEUE_MAX)
		status = -ENOBUFS;
	if (status)
		key = body = SV_NONE;
	r = mem_alloc(sizeof(*r) + key.n + body.n);
	*r =
	    (struct record){ .kind = kind, .fn = fn, .arg = arg, .key_n = key.n, .body_n = body.n };
	list_init(&r->node);
	if (status) {
		finish(j, r, status);
		return;
	}
	memcpy(r->bytes, key.p, key.n);
	if (body.n)
		memcpy(r->bytes + key.n, body.p, body.n);
	list_push(&j->queue, &r->node);
	j->queue_bytes += size;
	loop_task_post(&j->commit);
}

void journal_put(struct journal *j, struct sv key, struct sv body, journal_fn fn, void *arg)
{
	add(j, JOURNAL_PUT, key, body, fn, arg);
}

void journal_del(struct journal *j, struct sv key, journal_fn fn, void *arg)
{
	add(j, JOURNAL_DEL, key, SV_NONE, fn, arg);
}

static void forget(struct list *l, const void *arg)
{
	struct record *r;

	list_for_each (n, l) {
		r = list_entry(n, struct record, node);
		if (r->arg == arg)
			r->fn = NULL;
	}
}

void journal_forget(struct journal *j, const void *arg)
{
	forget(&j->queue, arg);
	forget(&j->flight, arg);
	forget(&j->done, arg);
}

bool journal_idle(const struct journal *j)
{
	return list_empty(&j->queue) && list_empty(&j->flight) && list_empty(&j->done);
}

const struct journal_stats *journal_stats(const struct journal *j)
{
	return &j->stats;
}
