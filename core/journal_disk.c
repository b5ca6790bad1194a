#include "core/journal_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/journal_index.h"
#include "core/journal_side.h"
#include "core/le.h"
#include "core/mem.h"

/*
 * What must hold at every moment: a batch is answered only after a sync that returned 0 for the
 * inode that <path> durably names. Therefore
 *   - a torn tail is cut and synced before anything is appended behind it,
 *   - a file made or replaced is synced, renamed, and its folder synced before it takes batches,
 *   - after a failed write or sync, or when <path> was removed, `untrusted` refuses everything
 * until the owner has written a new file from its memory.
 */
enum { OPEN_TRIES = 10 };
/* Space behind the end is taken in steps, so that few batches pay for growing the file. */
enum { GROW = 256 << 10 };
/* Of an old file at once: its pages and blocks, some 0.4 ms of the kernel's time. */
enum { GIVE_BACK = 1 << 20 };
/* Nobody waits for a batch yet when a file is renewed. */
enum { RENEW_PIECE = 1 << 20 };
/* With room for this much a disk is not full any more: some records, not just a last one. */
enum { PROBE = 16 << 10 };
/* Two META records: boot id and writer with their limits. */
enum { WRITER_MAX = 256, FACTS_MAX = 1024 };

struct compaction {
	struct journal_side side;
	uint32_t records;   /* copied */
	uint64_t seq;	    /* of the file at the beginning */
	uint64_t tail;	    /* end of the file at the beginning */
	uint64_t new_tail;  /* where that is in the new file; 0 = not reached */
	uint64_t copied;    /* of the old file, from `tail` on */
	uint64_t last_size; /* of the old file at the last piece */
	struct buf piece;
};

struct journal_disk {
	char *path, *side_path, *folder, *boot, *writer;
	int fd; /* holds the lock */
	uint64_t size, allocated;
	uint64_t seq;
	uint64_t want_seq;	 /* what OPEN expects, or JOURNAL_ANY */
	struct journal_side old; /* the file before the last compaction, while it is given back */
	struct journal_index index;
	uint32_t corrupt, sync_us;
	bool lost;	  /* a record whose key is unknown: the file is kept when it is replaced */
	bool facts_known; /* its META says this boot and writer */
	bool untrusted, no_fallocate;
	struct compaction c;
	struct journal_side rewrite;
	struct buf *text; /* of the answer: what failed */
};

struct journal_disk *journal_disk_new(void)
{
	struct journal_disk *d = MEM_NEW(struct journal_disk);

	d->fd = d->c.side.fd = d->rewrite.fd = d->old.fd = -1;
	journal_index_init(&d->index);
	return d;
}

/* Puts the sentence into the answer; returns `code`. */
static int fail(struct journal_disk *d, int code, const char *what, const char *path)
{
	buf_clear(d->text);
	buf_printf(d->text, "%s %s: %s", what, path, strerror(-code));
	return code;
}

static int distrust(struct journal_disk *d, int code, const char *what)
{
	d->untrusted = true;
	(void)fail(d, code, what, d->path);
	return JOURNAL_UNTRUSTED;
}

static bool is_full(int code)
{
	return code == -ENOSPC || code == -EDQUOT;
}

/* Space */

static uint64_t reserve_size(const struct journal_disk *d)
{
	return JOURNAL_RESERVE + (uint64_t)d->index.live * JOURNAL_RESERVE_PER_KEY;
}

/* Room for `len` more bytes, with the reserve behind them unless they may use it. */
static int make_room(struct journal_disk *d, uint64_t len, bool may_use_reserve)
{
	uint64_t need = d->size + len + (may_use_reserve ? 0 : reserve_size(d));
	int r;

	if (need <= d->allocated || d->no_fallocate)
		return 0;
	r = journal_allocate(d->fd, d->allocated, need + GROW);
	if (!r) {
		d->allocated = need + GROW;
		return 0;
	}
	if (is_full(r))
		r = journal_allocate(d->fd, d->allocated, need);
	if (r == -EOPNOTSUPP || r == -ENOSYS) {
		d->no_fallocate = true; /* then only the write itself tells */
		return 0;
	}
	if (!r)
		d->allocated = need;
	/* The end of the last block may be enough for a few bytes. */
	return may_use_reserve && is_full(r) ? 0 : r;
}

/*
 * Writes the file's own facts: boot and writer. They take no seq of their own: a batch on its way
 * is found again by its seq, and facts that were added meanwhile must not look like it.
 */
static void put_facts(const struct journal_disk *d, uint64_t seq, struct buf *b)
{
	journal_put_record(b, seq, JOURNAL_META, SV("boot"), sv_str(d->boot));
	journal_put_record(b, seq, JOURNAL_META, SV("writer"), sv_str(d->writer));
	journal_put_commit(b, seq, 2);
}

/* The folder's own name: it may have been made anew. */
static int sync_above(const struct journal_disk *d)
{
	char *above = mem_printf("%s/..", d->folder);
	int r = fsx_sync_dir(above);

	mem_free(above);
	return r;
}

/* Lets a finished side file take the place of <path>. */
static int publish(struct journal_disk *d, struct journal_side *s)
{
	char kept[PATH_MAX];
	int r;

	if (d->lost && snprintf(kept, sizeof(kept), "%s.damaged", d->path) < (int)sizeof(kept))
		(void)!link(d->path, kept); /* best effort: for whoever looks into it */
	r = journal_side_publish(s, d->side_path, d->path, d->folder);
	if (r == JOURNAL_SIDE_UNSURE)
		return distrust(d, -EIO, "cannot sync the folder of");
	return r ? fail(d, r, "cannot replace", d->path) : 0;
}

/* Opening */

static void compaction_stop(struct journal_disk *d)
{
	journal_side_drop(&d->c.side, d->side_path);
	if (d->c.piece.cap)
		buf_done(&d->c.piece);
	d->c = (struct compaction){ .side.fd = -1 };
}

static void forget_file(struct journal_disk *d)
{
	compaction_stop(d);
	journal_index_done(&d->index);
	journal_index_init(&d->index);
	if (d->fd >= 0)
		close(d->fd);
	if (d->old.fd >= 0)
		close(d->old.fd);
	d->fd = d->old.fd = -1;
	d->size = d->allocated = d->seq = 0;
	d->corrupt = d->sync_us = 0;
	d->lost = d->facts_known = d->no_fallocate = false;
}

static void disk_close(struct journal_disk *d)
{
	forget_file(d);
	journal_side_drop(&d->rewrite, d->side_path);
	d->untrusted = false;
	mem_free(d->path);
	mem_free(d->side_path);
	mem_free(d->folder);
	mem_free(d->boot);
	mem_free(d->writer);
	d->path = d->side_path = d->folder = d->boot = d->writer = NULL;
}

void journal_disk_free(struct journal_disk **dp)
{
	struct journal_disk *d = *dp;

	if (!d)
		return;
	disk_close(d);
	mem_free(d);
	*dp = NULL;
}

/* Opens and locks <path>: 0, -ENOENT, -EAGAIN, ... */
static int take(struct journal_disk *d)
{
	int fd, r, i;

	for (i = 0; i < OPEN_TRIES; i++) {
		fd = open(d->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			return errno == ENOENT ? -ENOENT : fail(d, -errno, "cannot open", d->path);
		r = fsx_lock_fd(fd);
		if (r) {
			close(fd);
			return r == FSX_HELD
				   ? fail(d, -EAGAIN, "another process still writes", d->path)
				   : fail(d, r, "cannot lock", d->path);
		}
		/* Whoever had the lock before may just have replaced the file. */
		if (fsx_names(d->path, fd)) {
			d->fd = fd;
			return 0;
		}
		close(fd);
	}
	return fail(d, -EAGAIN, "someone keeps replacing", d->path);
}

static void take_in(void *arg, const struct journal_record *r)
{
	struct journal_disk *d = arg;
	bool boot = sv_eqs(r->key, "boot"), writer = sv_eqs(r->key, "writer");

	if (r->kind == 0)
		d->lost = true;
	if (r->kind == JOURNAL_META && r->size && !r->damaged && (boot || writer))
		d->facts_known =
		    sv_eqs(r->body, boot ? d->boot : d->writer) && (boot || d->facts_known);
	journal_index_add(&d->index, r, 0);
}

static int renew(struct journal_disk *d);

/* Reads the open file, cuts off what is torn and makes sure that the rest is on the disk: a
 * predecessor may have been killed between its write and its sync. */
static int load(struct journal_disk *d)
{
	struct journal_scan_result result = { 0 };
	struct err e = { "" };
	struct buf b;
	size_t size;
	int r;

	buf_init(&b, JOURNAL_FILE_MAX + 1);
	r = fsx_read_fd(d->fd, JOURNAL_FILE_MAX, &b);
	size = buf_len(&b);
	if (r)
		(void)fail(d, r, "cannot read", d->path);
	else if ((r = journal_walk(buf_sv(&b), take_in, d, &result, &e)))
		buf_printf(d->text, "%s %s", d->path, e.text);
	buf_done(&b);
	if (r)
		return r;
	d->size = d->allocated = result.good;
	d->seq = result.seq;
	d->corrupt = result.corrupt;
	/* Cutting removes the proof that the batch before was whole once; a new batch is another.
	 */
	if (size > result.good && d->corrupt)
		d->facts_known = false;
	if (size > result.good && ftruncate(d->fd, (off_t)result.good))
		return fail(d, -errno, "cannot cut the torn end off", d->path);
	if (size > result.good ? fsync(d->fd) : fdatasync(d->fd))
		return renew(d);
	return 0;
}

/* The side file's beginning: header line, then boot and writer as a batch of their own. */
static int side_begin(struct journal_disk *d, struct journal_side *s)
{
	struct buf b;
	int r;

	r = journal_side_make(s, d->side_path, d->boot);
	if (r)
		return fail(d, r, "cannot make", d->side_path);
	buf_init(&b, FACTS_MAX);
	put_facts(d, 1, &b);
	r = journal_side_write(s, buf_sv(&b));
	buf_done(&b);
	if (!r)
		return 0;
	journal_side_drop(s, d->side_path);
	return fail(d, r, "cannot write", d->side_path);
}

static int create(struct journal_disk *d)
{
	struct journal_side s;
	int r;

	r = side_begin(d, &s);
	if (r)
		return r;
	r = publish(d, &s);
	if (r) {
		journal_side_drop(&s, d->side_path);
		return r;
	}
	d->fd = s.fd; /* stands at the beginning: pwrite() does not move it */
	return 0;
}

static int append(struct journal_disk *d, struct sv bytes, const struct journal_batch *batch);

static int record_facts(struct journal_disk *d)
{
	uint64_t seq = MAX(d->seq, (uint64_t)1); /* of a file that lost its first batch: 0 */
	struct journal_batch batch = { .first = seq, .last = seq, .records = 2 };
	struct buf b;
	int r;

	if (d->facts_known)
		return 0;
	buf_init(&b, FACTS_MAX);
	put_facts(d, seq, &b);
	r = append(d, buf_sv(&b), &batch);
	buf_done(&b);
	d->facts_known = !r;
	return is_full(r) ? 0 : r; /* a full disk must not keep anyone from opening and deleting */
}

static bool take_text(struct sv *body, char **out, size_t max)
{
	size_t n;

	mem_free(*out);
	*out = NULL;
	if (body->n < 2)
		return false;
	n = le_get16(body->p);
	if (n > max || body->n < 2 + n)
		return false;
	*out = mem_strndup(body->p + 2, n);
	*body = sv_drop(*body, 2 + n);
	return true;
}

/* Remembers what is to be opened; true when it is what is open already. */
static int take_names(struct journal_disk *d, struct sv body, bool *same)
{
	char *old = d->path ? mem_strdup(d->path) : NULL, *slash;
	int r = -EINVAL;

	if (take_text(&body, &d->path, PATH_MAX) && take_text(&body, &d->boot, JOURNAL_BOOT_MAX) &&
	    take_text(&body, &d->writer, WRITER_MAX) && body.n == 8 && d->path[0] &&
	    !strchr(d->boot, '\n'))
		r = 0;
	*same = !r && old && !strcmp(old, d->path);
	mem_free(old);
	if (r)
		return r;
	d->want_seq = le_get64(body.p);
	mem_free(d->side_path);
	d->side_path = mem_printf("%s.compact", d->path);
	mem_free(d->folder);
	slash = strrchr(d->path, '/');
	d->folder = !slash ? mem_strdup(".")
			   : mem_strndup(d->path, MAX((size_t)(slash - d->path), (size_t)1));
	return 0;
}

/* The file as it was found against what the owner has read of it. Its size does not count: a
 * predecessor may have been in the middle of a compaction. */
static int compare(struct journal_disk *d, uint64_t seq)
{
	if (d->want_seq == JOURNAL_ANY || d->want_seq == seq)
		return 0;
	return fail(d, -ESTALE, "someone else has just changed", d->path);
}

/*
 * The name, and the folder's own: a predecessor may have been killed between its rename and its
 * sync, and who made the folder synced nothing. Without a change it costs no write.
 */
static int sync_names(struct journal_disk *d)
{
	int r = fsx_sync_dir(d->folder) ?: sync_above(d);

	return r ? fail(d, r, "cannot sync the folder of", d->path) : 0;
}

static int find_or_create(struct journal_disk *d)
{
	int r = take(d);

	if (r == -ENOENT)
		return compare(d, 0) ?: create(d) ?: load(d) ?: sync_names(d);
	if (r)
		return r;
	r = journal_side_clear(d->side_path);
	if (r)
		return fail(d, r, "cannot remove", d->side_path);
	return load(d) ?: sync_names(d) ?: compare(d, d->seq);
}

static int do_open(struct journal_disk *d, struct sv body)
{
	bool same;
	int r;

	forget_file(d);
	journal_side_drop(&d->rewrite, d->side_path);
	r = take_names(d, body, &same);
	if (r)
		return r;
	if (same && d->untrusted)
		return distrust(d, -EIO, "an earlier write failed in");
	d->untrusted = false;
	r = find_or_create(d) ?: record_facts(d);
	if (r) {
		forget_file(d);
		return r;
	}
	(void)make_room(d, 0, false); /* a full disk is met by the next PUT */
	return 0;
}

void journal_disk_put_open(struct buf *b, const char *path, const char *boot_id, const char *writer,
			   uint64_t seq)
{
	const char *const texts[] = { path, boot_id, writer };
	char n[8];
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++) {
		must(strlen(texts[i]) <= UINT16_MAX);
		le_put16(n, (uint16_t)strlen(texts[i]));
		buf_put(b, n, 2);
		buf_puts(b, texts[i]);
	}
	le_put64(n, seq);
	buf_put(b, n, 8);
}

/* Appending */

static uint64_t now_us(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void index_record(void *arg, const struct journal_record *r)
{
	struct journal_disk *d = arg;

	journal_index_add(&d->index, r, d->size);
}

/* A full disk took a part of it: cut that off, durably, before anything else may land there. */
static int append_undo(struct journal_disk *d, int code)
{
	if (!is_full(code))
		return distrust(d, code, "cannot write");
	if (ftruncate(d->fd, (off_t)d->size) || fsync(d->fd))
		return distrust(d, -errno, "cannot cut back");
	d->allocated = d->size;
	return fail(d, -ENOSPC, "no room in", d->path);
}

static int append(struct journal_disk *d, struct sv bytes, const struct journal_batch *batch)
{
	struct journal_batch again;
	uint64_t began = now_us();
	int r;

	if (d->size + bytes.n > JOURNAL_FILE_MAX)
		return fail(d, -ENOSPC, "too big to replay:", d->path);
	/* Renamed it would take records that nobody finds at the next start. */
	if (!fsx_names(d->path, d->fd))
		return distrust(d, -ENOENT, "someone removed");
	r = make_room(d, bytes.n, !batch->puts);
	if (r)
		return fail(d, is_full(r) ? -ENOSPC : r, "no room in", d->path);
	r = journal_write_at(d->fd, d->size, bytes);
	if (r)
		return append_undo(d, r);
	r = fdatasync(d->fd) ? -errno : 0;
	if (r) {
		/* The page cache still has it whole, and a successor would take it for written. */
		(void)!ftruncate(d->fd, (off_t)d->size);
		return distrust(d, r, "cannot sync");
	}
	must(journal_batch_walk(bytes, index_record, d, &again) == 0);
	d->size += bytes.n;
	d->allocated = MAX(d->allocated, d->size);
	d->seq = batch->last;
	d->sync_us = (uint32_t)MIN(now_us() - began, UINT32_MAX);
	return 0;
}

static int do_append(struct journal_disk *d, struct sv body)
{
	struct journal_batch batch;

	if (journal_batch_walk(body, NULL, NULL, &batch))
		return fail(d, -EINVAL, "bad batch for", d->path);
	if (batch.last <= d->seq)
		return 0; /* the answer was lost, not the batch */
	if (batch.first <= d->seq)
		return fail(d, -EINVAL, "batch overlaps", d->path);
	return append(d, body, &batch);
}

/* Compaction */

static int compaction_start(struct journal_disk *d)
{
	int r;

	r = journal_side_make(&d->c.side, d->side_path, d->boot);
	if (r)
		return fail(d, r, "cannot make", d->side_path);
	journal_index_first(&d->index);
	d->c.seq = d->seq;
	d->c.tail = d->c.copied = d->c.last_size = d->size;
	buf_init(&d->c.piece, JOURNAL_FILE_MAX);
	return 0;
}

static int copy_records(struct journal_disk *d, uint64_t budget)
{
	struct compaction *c = &d->c;
	uint64_t at, size, to;
	int r;

	if (c->new_tail)
		return 0;
	while (buf_len(&c->piece) < budget) {
		to = c->side.size + buf_len(&c->piece);
		if (!journal_index_next(&d->index, c->tail, to, &at, &size)) {
			/* Even with no record at all: the commit carries the seq. */
			journal_put_commit(&c->piece, c->seq, c->records);
			c->new_tail = c->side.size + buf_len(&c->piece);
			return 0;
		}
		r = journal_read_at(d->fd, at, size, &c->piece);
		if (r)
			return r;
		c->records++;
	}
	return 0;
}

/* Batches that came in since the beginning go over as they are. */
static int copy_tail(struct journal_disk *d, uint64_t budget)
{
	struct compaction *c = &d->c;
	uint64_t room = budget - MIN(budget, buf_len(&c->piece));
	uint64_t n = MIN(d->size - c->copied, room);
	int r;

	if (!c->new_tail || !n)
		return 0;
	r = journal_read_at(d->fd, c->copied, n, &c->piece);
	if (!r)
		c->copied += n;
	return r;
}

/* To free 40 MB takes longer than a batch should wait, so that too is done in pieces, each a call
 * of its own. A file that still has a name (".damaged") is left alone. */
static void give_back(struct journal_disk *d)
{
	struct stat st;

	d->old.size -= MIN(d->old.size, (uint64_t)GIVE_BACK);
	if (d->old.size && !fstat(d->old.fd, &st) && st.st_nlink == 0 &&
	    !ftruncate(d->old.fd, (off_t)d->old.size))
		return;
	close(d->old.fd);
	d->old.fd = -1;
}

static int compaction_finish(struct journal_disk *d)
{
	struct compaction *c = &d->c;
	uint64_t room = c->side.size + reserve_size(d);
	int r;

	r = d->no_fallocate ? 0 : journal_allocate(c->side.fd, c->side.size, room);
	if (r)
		return fail(d, is_full(r) ? -ENOSPC : r, "no room for", d->side_path);
	r = publish(d, &c->side);
	if (r)
		return r;
	journal_index_move(&d->index, c->tail, c->new_tail);
	d->old = (struct journal_side){ .fd = d->fd, .size = d->size };
	d->fd = c->side.fd;
	d->size = c->side.size;
	d->allocated = d->no_fallocate ? d->size : room;
	d->lost = false;
	c->side.fd = -1;
	compaction_stop(d);
	return 0;
}

static int compaction_step(struct journal_disk *d, uint64_t piece)
{
	struct compaction *c = &d->c;
	/* Twice what came in since: the end is reached however busy the journal is. */
	uint64_t budget = MAX(piece, 2 * (d->size - c->last_size));
	int r;

	c->last_size = d->size;
	r = copy_records(d, budget);
	if (!r)
		r = copy_tail(d, budget);
	if (!r)
		r = journal_side_write(&c->side, buf_sv(&c->piece));
	buf_clear(&c->piece);
	if (r)
		return fail(d, is_full(r) ? -ENOSPC : r, "cannot compact", d->path);
	if (c->new_tail && c->copied == d->size)
		return compaction_finish(d);
	r = fdatasync(c->side.fd) ? -errno : 0;
	return r ? fail(d, r, "cannot sync", d->side_path) : 0;
}

/*
 * The file that was just read cannot be synced. The kernel says so once and then takes its memory
 * for what is on the disk, so neither this nor a later opening may ask again: what was read goes
 * into a new file.
 */
static int renew(struct journal_disk *d)
{
	int e = errno, r = compaction_start(d);

	while (!r && d->c.side.fd >= 0)
		r = compaction_step(d, RENEW_PIECE);
	if (r) {
		compaction_stop(d);
		return distrust(d, -e, "cannot sync");
	}
	close(d->old.fd);
	d->old.fd = -1;
	return 0;
}

/* A failure costs the new file only; the old one stays good unless it says otherwise. */
static int do_compact(struct journal_disk *d, struct sv body)
{
	uint32_t piece = body.n == 4 ? le_get32(body.p) : JOURNAL_PIECE;
	int r = 0;

	if (d->old.fd >= 0) {
		give_back(d);
		return 0;
	}
	if (d->c.side.fd < 0)
		r = compaction_start(d);
	if (!r)
		r = compaction_step(d, piece);
	if (r)
		compaction_stop(d);
	return r;
}

/* Rewriting */

static int rewrite_begin(struct journal_disk *d, struct sv body)
{
	bool same;
	int r;

	forget_file(d);
	journal_side_drop(&d->rewrite, d->side_path);
	r = take_names(d, body, &same);
	if (r)
		return r;
	d->untrusted = true;
	r = take(d); /* its content is of no interest, who else writes it is */
	return r && r != -ENOENT ? r : side_begin(d, &d->rewrite);
}

static int rewrite_end(struct journal_disk *d)
{
	struct journal_scan_result want = { .good = d->rewrite.size };
	struct journal_side s = d->rewrite;
	int r;

	r = publish(d, &s);
	if (r)
		return r;
	d->rewrite.fd = -1;
	forget_file(d);
	d->fd = s.fd;
	d->untrusted = false;
	r = load(d);
	if (!r && (d->size != want.good || d->corrupt))
		r = -EIO; /* what was just written reads back differently */
	if (r)
		return distrust(d, r, "cannot read back");
	r = sync_above(d);
	if (r)
		return distrust(d, r, "cannot sync the folder of");
	d->facts_known = true;
	(void)make_room(d, 0, false);
	return 0;
}

static int do_rewrite(struct journal_disk *d, struct sv body)
{
	int r = -EINVAL;

	if (!body.n)
		return r;
	if (body.p[0] == JOURNAL_REWRITE_BEGIN)
		r = rewrite_begin(d, sv_drop(body, 1));
	else if (d->rewrite.fd < 0)
		return fail(d, -ENOTCONN, "no rewrite of", d->path ? d->path : "a journal");
	else if (body.p[0] == JOURNAL_REWRITE_DATA)
		r = journal_side_write(&d->rewrite, sv_drop(body, 1))
			?: (fdatasync(d->rewrite.fd) ? -errno : 0);
	else if (body.p[0] == JOURNAL_REWRITE_END)
		r = rewrite_end(d);
	if (!r)
		return 0;
	if (!buf_len(d->text))
		(void)fail(d, r, "cannot rewrite", d->path ? d->path : "a journal");
	if (d->side_path)
		journal_side_drop(&d->rewrite, d->side_path);
	return is_full(r) ? -ENOSPC : r;
}

/* Methods */

static void put_state(const struct journal_disk *d, struct buf *out)
{
	char b[JOURNAL_STATE_SIZE];

	le_put64(b, d->seq);
	le_put64(b + 8, d->size);
	le_put64(b + 16, d->index.bytes);
	le_put32(b + 24, d->index.live);
	le_put32(b + 28, d->sync_us);
	le_put32(b + 32, d->corrupt);
	b[36] = (char)(d->c.side.fd >= 0 || d->old.fd >= 0 ? 1 : 0);
	buf_clear(out);
	buf_put(out, b, sizeof(b));
}

int journal_disk_get_state(struct sv a, struct journal_disk_state *out)
{
	if (a.n != JOURNAL_STATE_SIZE)
		return -EBADMSG;
	*out = (struct journal_disk_state){
		.seq = le_get64(a.p),
		.size = le_get64(a.p + 8),
		.live_bytes = le_get64(a.p + 16),
		.live = le_get32(a.p + 24),
		.sync_us = le_get32(a.p + 28),
		.corrupt = le_get32(a.p + 32),
		.compacting = a.p[36],
	};
	return 0;
}

static int answer(struct journal_disk *d, int r, struct buf *out)
{
	if (!r)
		put_state(d, out);
	d->text = NULL;
	return r;
}

/* Nothing but OPEN and REWRITE works on a file that is not open or not trusted. */
static int ready(struct journal_disk *d, struct buf *out)
{
	d->text = out;
	if (d->untrusted)
		return distrust(d, -EIO, "an earlier write failed in");
	return d->fd >= 0 ? 0 : fail(d, -ENOTCONN, "no journal is open", "here");
}

static int on_open(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;

	(void)deadline_ms;
	d->text = out;
	return answer(d, do_open(d, body), out);
}

static int on_append(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;

	(void)deadline_ms;
	return answer(d, ready(d, out) ?: do_append(d, body), out);
}

static int on_compact(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;

	(void)deadline_ms;
	return answer(d, ready(d, out) ?: do_compact(d, body), out);
}

static int on_reserve(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;
	int r = ready(d, out);

	(void)body;
	(void)deadline_ms;
	if (!r && (r = make_room(d, PROBE, false)))
		(void)fail(d, is_full(r) ? -ENOSPC : r, "no room in", d->path);
	return answer(d, is_full(r) ? -ENOSPC : r, out);
}

static int on_rewrite(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;

	(void)deadline_ms;
	d->text = out;
	return answer(d, do_rewrite(d, body), out);
}

static int on_close(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct journal_disk *d = ctx;

	(void)body;
	(void)deadline_ms;
	disk_close(d);
	return answer(d, 0, out);
}

const struct worker_method journal_disk_methods[] = {
	{ JOURNAL_M_OPEN, "journal open", on_open },
	{ JOURNAL_M_APPEND, "journal append", on_append },
	{ JOURNAL_M_COMPACT, "journal compact", on_compact },
	{ JOURNAL_M_RESERVE, "journal reserve", on_reserve },
	{ JOURNAL_M_REWRITE, "journal rewrite", on_rewrite },
	{ JOURNAL_M_CLOSE, "journal close", on_close },
};
const size_t journal_disk_methods_n = ARRAY_LEN(journal_disk_methods);
