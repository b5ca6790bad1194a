#include "k8s/ledger_file.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"

#define WRITER	      "offline"
#define WAIT_MS	      5000u /* until a predecessor's worker has let go of the file */
#define WAIT_STEP_MS  20u
#define DISK_TEXT_MAX 1024

/* ---- reading ---- */

/* A later record may replace an earlier: kept by UID until the end. */
struct replay {
	struct ledger_file *file;
	struct map claims;  /* uid -> struct ledger_claim */
	struct map corrupt; /* uid -> char * */
};

static void drop(struct replay *r, struct sv uid)
{
	struct ledger_claim *old = map_del(&r->claims, uid);

	ledger_claim_free(&old);
	mem_free(map_del(&r->corrupt, uid));
}

static void on_corrupt(void *arg, struct sv uid)
{
	struct replay *r = arg;
	char *copy;

	if (!uid.n) {
		r->file->lost++;
		return;
	}
	drop(r, uid);
	copy = sv_dup(uid);
	map_put(&r->corrupt, sv_str(copy), copy);
}

static void on_put(void *arg, struct sv uid, struct sv body)
{
	struct replay *r = arg;
	struct ledger_claim *c;

	if (ledger_decode(uid, body, &c, NULL)) {
		on_corrupt(arg, uid);
		return;
	}
	drop(r, uid);
	map_put(&r->claims, sv_str(c->uid), c);
}

static void on_del(void *arg, struct sv uid)
{
	drop(arg, uid);
}

static int by_uid(const void *a, const void *b)
{
	const struct ledger_claim *const *x = a, *const *y = b;

	return strcmp((*x)->uid, (*y)->uid);
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* What was found becomes the file's. */
static void keep(struct replay *r)
{
	struct ledger_file *f = r->file;

	f->claims = mem_calloc(map_len(&r->claims) + 1, sizeof(*f->claims));
	f->corrupt = mem_calloc(map_len(&r->corrupt) + 1, sizeof(*f->corrupt));
	map_for_each (c, &r->claims)
		f->claims[f->claims_n++] = c->value;
	map_for_each (k, &r->corrupt)
		f->corrupt[f->corrupt_n++] = k->value;
	qsort(f->claims, f->claims_n, sizeof(*f->claims), by_uid);
	qsort(f->corrupt, f->corrupt_n, sizeof(*f->corrupt), by_text);
	map_done(&r->claims);
	map_done(&r->corrupt);
}

static struct ledger_file *file_new(const char *path)
{
	struct ledger_file *f = MEM_NEW(struct ledger_file);

	f->path = mem_strdup(path);
	f->lock = -1;
	return f;
}

static int replay(struct ledger_file *f, struct err *e)
{
	struct replay r = { .file = f };
	struct journal_scan_events ev = {
		.on_put = on_put, .on_del = on_del, .on_corrupt = on_corrupt, .arg = &r
	};
	struct journal_scan_result result;
	int status;

	map_init(&r.claims);
	map_init(&r.corrupt);
	status = journal_read(f->path, &ev, &result, e);
	keep(&r);
	f->seq = result.seq;
	return status == -ENOENT ? 0 : status;
}

int ledger_file_read(const char *path, struct ledger_file **out, struct err *e)
{
	struct ledger_file *f = file_new(path);
	int r = replay(f, e);

	if (r < 0)
		ledger_file_free(&f);
	else
		*out = f;
	return r;
}

void ledger_file_free(struct ledger_file **fp)
{
	struct ledger_file *f = *fp;

	if (!f)
		return;
	journal_disk_free(&f->disk);
	if (f->lock >= 0)
		close(f->lock);
	for (size_t i = 0; i < f->claims_n; i++)
		ledger_claim_free(&f->claims[i]);
	for (size_t i = 0; i < f->corrupt_n; i++)
		mem_free(f->corrupt[i]);
	mem_free(f->claims);
	mem_free(f->corrupt);
	mem_free(f->path);
	mem_free(f);
	*fp = NULL;
}

const struct ledger_claim *ledger_file_find(const struct ledger_file *f, const char *uid)
{
	size_t from = 0, to = f->claims_n;

	while (from < to) {
		size_t at = from + (to - from) / 2;
		int order = strcmp(uid, f->claims[at]->uid);

		if (!order)
			return f->claims[at];
		if (order < 0)
			to = at;
		else
			from = at + 1;
	}
	return NULL;
}

/* ---- writing: the disk worker's methods, called here ---- */

static int ask(struct ledger_file *f, enum journal_method method, struct sv body, struct err *e)
{
	struct journal_disk_state state;
	struct buf answer;
	int r = -ENOSYS;

	buf_init(&answer, DISK_TEXT_MAX);
	for (size_t i = 0; i < journal_disk_methods_n; i++)
		if (journal_disk_methods[i].method == method)
			r = journal_disk_methods[i].fn(f->disk, body, UINT32_MAX, &answer);
	if (r < 0)
		err_set(e, r, "%s", buf_cstr(&answer));
	else
		r = journal_disk_get_state(buf_sv(&answer), &state);
	if (!r)
		f->seq = state.seq;
	buf_done(&answer);
	return r;
}

static int open_disk(struct ledger_file *f, const char *boot_id, struct err *e)
{
	const struct timespec step = { .tv_nsec = WAIT_STEP_MS * 1000000L };
	struct buf body;
	int r;

	f->disk = journal_disk_new();
	buf_init(&body, 16 << 10);
	journal_disk_put_open(&body, f->path, boot_id, WRITER, f->seq);
	r = ask(f, JOURNAL_M_OPEN, buf_sv(&body), e);
	for (unsigned ms = 0; r == -EAGAIN && ms < WAIT_MS; ms += WAIT_STEP_MS) {
		nanosleep(&step, NULL);
		r = ask(f, JOURNAL_M_OPEN, buf_sv(&body), e);
	}
	buf_done(&body);
	return r;
}

static int take_lock(struct ledger_file *f, struct err *e)
{
	char *path = mem_printf("%s.lock", f->path);
	int r = fsx_lock(path, &f->lock);

	if (r == FSX_HELD)
		r = err_set(e, -EBUSY, "a driver runs on this node: it has locked %s", path);
	else if (r < 0)
		r = err_sys(e, r, "cannot lock %s", path);
	mem_free(path);
	return r;
}

int ledger_file_open(const char *path, const char *boot_id, const struct ledger_file *known,
		     struct ledger_file **out, struct err *e)
{
	struct ledger_file *f = file_new(path);
	int r = take_lock(f, e);

	if (!r)
		r = replay(f, e);
	if (!r && known && f->seq != known->seq)
		r = err_set(e, -ESTALE, "someone else has just changed %s", path);
	if (!r)
		r = open_disk(f, boot_id, e);
	if (r < 0)
		ledger_file_free(&f);
	else
		*out = f;
	return r;
}

/* The records of one batch, and how many bytes they may have when it goes. */
struct batch {
	struct buf bytes;
	uint64_t seq;
	uint32_t n;
};

static void batch_init(struct batch *b, const struct ledger_file *f)
{
	buf_init(&b->bytes, 2 * (size_t)JOURNAL_BATCH_MAX);
	b->seq = f->seq;
	b->n = 0;
}

static void batch_add(struct batch *b, enum journal_kind kind, const char *uid, struct sv body)
{
	journal_put_record(&b->bytes, ++b->seq, kind, sv_str(uid), body);
	b->n++;
}

static int batch_write(struct batch *b, struct ledger_file *f, struct err *e)
{
	int r = 0;

	if (b->n) {
		journal_put_commit(&b->bytes, b->seq, b->n);
		must(!b->bytes.full);
		r = ask(f, JOURNAL_M_APPEND, buf_sv(&b->bytes), e);
	}
	buf_clear(&b->bytes);
	b->n = 0;
	return r;
}

int ledger_file_put(struct ledger_file *f, const struct ledger_claim *const *claims, size_t n,
		    struct err *e)
{
	struct batch b;
	struct buf body;
	int r = 0;

	batch_init(&b, f);
	buf_init(&body, JOURNAL_BODY_MAX);
	for (size_t i = 0; !r && i < n; i++) {
		buf_clear(&body);
		ledger_encode(claims[i], &body);
		must(!body.full);
		batch_add(&b, JOURNAL_PUT, claims[i]->uid, buf_sv(&body));
		if (buf_len(&b.bytes) >= JOURNAL_BATCH_MAX)
			r = batch_write(&b, f, e);
	}
	if (!r)
		r = batch_write(&b, f, e);
	buf_done(&body);
	buf_done(&b.bytes);
	return r;
}

int ledger_file_del(struct ledger_file *f, const char *uid, struct err *e)
{
	struct batch b;
	int r;

	batch_init(&b, f);
	batch_add(&b, JOURNAL_DEL, uid, SV_NONE);
	r = batch_write(&b, f, e);
	buf_done(&b.bytes);
	return r;
}
