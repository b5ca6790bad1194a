#include "core/journal_format.h"

#include <errno.h>

#include "core/crc32c.h"
#include "core/fsx.h"
#include "core/le.h"
#include "core/map.h"
#include "core/mem.h"

/*
 * Reading takes two passes. The first follows headers only and finds where the last commit ends:
 * only then is known whether a broken record is torn or corrupt. The second checks bodies up to
 * there and tells.
 *
 * A broken header loses the record's length too. The reader then looks for the next valid header
 * (magic and CRC). The magic holds bytes that UTF-8 never has, so no JSON body can pretend to be
 * one.
 */
static const char magic[4] = { '\xff', 'T', 'J', '\xfe' };
static const char head_line[] = "tundra-journal ";
enum { FORMAT_MAJOR = 1, FORMAT_MINOR = 0 };
/* What disks write whole or not at all. */
enum { SECTOR = 512 };
/* The longest run of zeros inside one of our headers is 9 bytes: of a record without a body the
 * high byte of its key's length, the body's length and its CRC. A shorter unwritten end costs the
 * batch its commit. */
enum { ZERO_RUN = 10 };

/* Writing */

void journal_put_header(struct buf *b, struct sv boot_id)
{
	must(boot_id.n <= JOURNAL_BOOT_MAX && sv_find(boot_id, '\n') < 0);
	must(buf_printf(b, "%s%d.%d " SV_FMT "\n", head_line, FORMAT_MAJOR, FORMAT_MINOR,
			SV_ARG(boot_id)));
}

void journal_put_record(struct buf *b, uint64_t seq, enum journal_kind kind, struct sv key,
			struct sv body)
{
	char *p;
	uint32_t crc;

	must(key.n <= JOURNAL_KEY_MAX && body.n <= JOURNAL_BODY_MAX);
	must((kind == JOURNAL_COMMIT) == (key.n == 0) && seq > 0);
	p = buf_reserve(b, JOURNAL_HEAD + key.n + body.n);
	must(p); /* the caller's buffer is sized for what the limits allow */
	memcpy(p, magic, sizeof(magic));
	le_put64(p + 8, seq);
	le_put16(p + 16, (uint16_t)kind);
	le_put16(p + 18, (uint16_t)key.n);
	le_put32(p + 20, (uint32_t)body.n);
	le_put32(p + 24, crc32c(0, body));
	if (key.n)
		memcpy(p + JOURNAL_HEAD, key.p, key.n);
	if (body.n)
		memcpy(p + JOURNAL_HEAD + key.n, body.p, body.n);
	crc = crc32c(0, sv_make(p + 8, JOURNAL_HEAD - 8 + key.n));
	le_put32(p + 4, crc);
	buf_commit(b, JOURNAL_HEAD + key.n + body.n);
}

void journal_put_commit(struct buf *b, uint64_t seq, uint32_t records)
{
	char body[4];

	le_put32(body, records);
	journal_put_record(b, seq, JOURNAL_COMMIT, SV_NONE, sv_make(body, sizeof(body)));
}

/* One record */

enum parsed { PARSED, PARSED_BAD, PARSED_SHORT };

/* PARSED_SHORT: the header is good but the file ends within the record. */
static enum parsed parse(struct sv file, size_t at, struct journal_record *r)
{
	const char *p = file.p + at;
	size_t left = file.n - at, key_n, body_n;

	if (left < JOURNAL_HEAD || memcmp(p, magic, sizeof(magic)) != 0)
		return PARSED_BAD;
	key_n = le_get16(p + 18);
	body_n = le_get32(p + 20);
	if (key_n > JOURNAL_KEY_MAX || body_n > JOURNAL_BODY_MAX || left < JOURNAL_HEAD + key_n)
		return PARSED_BAD;
	if (crc32c(0, sv_make(p + 8, JOURNAL_HEAD - 8 + key_n)) != le_get32(p + 4))
		return PARSED_BAD;
	*r = (struct journal_record){
		.seq = le_get64(p + 8),
		.kind = le_get16(p + 16),
		.key = sv_make(p + JOURNAL_HEAD, key_n),
		.at = at,
		.size = JOURNAL_HEAD + key_n + body_n,
	};
	if (left < r->size)
		return PARSED_SHORT;
	r->body = sv_make(p + JOURNAL_HEAD + key_n, body_n);
	/* Whole by their CRC, but nothing we could have written. */
	if (r->seq == 0 || r->kind == 0 || (r->kind == JOURNAL_COMMIT) != (key_n == 0))
		return PARSED_BAD;
	if (r->kind == JOURNAL_COMMIT && body_n != 4)
		return PARSED_BAD;
	return PARSED;
}

static void check_body(const struct sv file, struct journal_record *r)
{
	r->damaged = crc32c(0, r->body) != le_get32(file.p + r->at + 24);
}

/* How many records a commit says its batch has. */
static uint32_t commit_count(struct sv file, const struct journal_record *r)
{
	return le_get32(file.p + r->at + JOURNAL_HEAD);
}

/* Where the next readable header may begin; file.n when there is none. */
static size_t resync(struct sv file, size_t at)
{
	struct journal_record r;
	const char *p;

	while (at < file.n) {
		p = memchr(file.p + at, magic[0], file.n - at);
		if (!p)
			break;
		at = (size_t)(p - file.p);
		if (parse(file, at, &r) != PARSED_BAD)
			return at;
		at++;
	}
	return file.n;
}

/*
 * Record at *at, which moves behind it. PARSED_BAD skips to the next readable one. With `bodies`
 * their CRC is checked; a commit's always is, and one that fails is no commit.
 */
static enum parsed next(struct sv file, size_t *at, bool bodies, struct journal_record *r)
{
	size_t from = *at;
	enum parsed p = parse(file, from, r);

	if (p == PARSED && (bodies || r->kind == JOURNAL_COMMIT))
		check_body(file, r);
	if (p == PARSED && r->kind == JOURNAL_COMMIT && r->damaged)
		p = PARSED_BAD;
	if (p == PARSED) {
		*at += r->size;
	} else if (p == PARSED_BAD) {
		*at = resync(file, from + 1);
		*r = (struct journal_record){ .at = from, .size = *at - from, .damaged = true };
	}
	return p;
}

/* Where the good part ends */

struct bounds {
	size_t start, good; /* of the last batch: from its first byte to behind its commit */
	uint64_t start_seq, seq;
};

static void find_last_commit(struct sv file, size_t at, struct bounds *b)
{
	struct journal_record r;
	enum parsed p;

	*b = (struct bounds){ .start = at, .good = at };
	while (at < file.n) {
		p = next(file, &at, false, &r);
		if (p == PARSED_SHORT)
			return;
		if (p != PARSED || r.kind != JOURNAL_COMMIT)
			continue;
		b->start = b->good;
		b->start_seq = b->seq;
		b->good = at;
		b->seq = MAX(b->seq, r.seq);
	}
}

/* Is there a record missing or broken in a batch that has its commit? */
static bool batch_damaged(struct sv file, size_t at, size_t end)
{
	struct journal_record r;
	uint32_t n = 0;

	file.n = end;
	while (at < end) {
		if (next(file, &at, true, &r) != PARSED || r.damaged)
			return true;
		if (r.kind == JOURNAL_COMMIT)
			return commit_count(file, &r) != n;
		n++;
	}
	return true;
}

static size_t zeros_at_end(const char *p, size_t n)
{
	size_t k = 0;

	while (k < n && p[n - 1 - k] == 0)
		k++;
	return k;
}

/*
 * A sector that overlaps [at, end) and ends in zeros there, as one that was never written does, or
 * one that was written when only a first part of the batch was in memory (a write cut in two).
 */
static bool has_unwritten_sector(struct sv file, size_t at, size_t end)
{
	size_t lo, hi, zeros;

	for (lo = at; lo < end; lo = hi) {
		hi = MIN((lo / SECTOR + 1) * SECTOR, end);
		zeros = zeros_at_end(file.p + lo, hi - lo);
		if (zeros >= ZERO_RUN || (lo == at && zeros == hi - lo))
			return true;
	}
	return false;
}

static int read_line(struct sv file, struct sv *boot, struct err *e)
{
	struct sv line = file, major;
	uint64_t v;

	line.n = MIN(line.n, (size_t)JOURNAL_LINE_MAX);
	if (!file.n)
		return err_set(e, -EBADMSG, "is empty, which tundra never leaves behind");
	if (!sv_starts(line, sv_str(head_line)) || sv_find(line, '\n') < 0)
		return err_set(e, -EBADMSG, "is not a journal of tundra");
	*boot = sv_cut(&line, '\n');
	*boot = sv_drop(*boot, sizeof(head_line) - 1);
	line = sv_cut(boot, ' ');
	major = sv_cut(&line, '.');
	if (sv_u64(major, &v))
		return err_set(e, -EBADMSG, "has a header line without a version");
	if (v != FORMAT_MAJOR)
		return err_set(e, -EBADMSG, "has format %llu, this tundra reads format %d",
			       (unsigned long long)v, FORMAT_MAJOR);
	return 0;
}

static size_t line_size(struct sv file)
{
	return (size_t)sv_find(file, '\n') + 1;
}

int journal_walk(struct sv file, journal_walk_fn fn, void *arg, struct journal_scan_result *out,
		 struct err *e)
{
	struct journal_record r = { .kind = JOURNAL_META, .key = SV("boot") };
	struct bounds b;
	size_t at;
	int code;

	*out = (struct journal_scan_result){ 0 };
	code = read_line(file, &r.body, e);
	if (code)
		return code;
	at = line_size(file);
	find_last_commit(file, at, &b);
	if (batch_damaged(file, b.start, b.good) && has_unwritten_sector(file, b.start, b.good)) {
		b.good = b.start;
		b.seq = b.start_seq;
	}
	out->good = file.n = b.good;
	out->seq = b.seq;
	fn(arg, &r);
	while (at < b.good) {
		/* Nothing is short here: a commit ends the view. */
		if (next(file, &at, true, &r) == PARSED_SHORT)
			break;
		if (r.kind == JOURNAL_COMMIT)
			continue;
		out->corrupt += r.damaged;
		out->records += r.kind != 0;
		fn(arg, &r);
	}
	return 0;
}

/* The state of every key */

struct state {
	struct sv key, body;
	unsigned kind; /* 0: lost */
	bool damaged, superseded;
};
struct states {
	struct state *v;
	size_t n, size;
	struct map by_key; /* value: index + 1, since the array moves */
	size_t live;
};

static bool alive(const struct state *s)
{
	return s->kind == JOURNAL_PUT && !s->superseded;
}

static void states_add(void *arg, const struct journal_record *r)
{
	struct states *all = arg;
	struct state *old;
	uintptr_t was;

	if (r->kind > JOURNAL_META)
		return;
	if (all->n == all->size) {
		all->size = MAX(all->size * 2, (size_t)64);
		all->v = mem_realloc(all->v, all->size, sizeof(*all->v));
	}
	all->v[all->n++] = (struct state){
		.key = r->key, .body = r->body, .kind = r->kind, .damaged = r->damaged
	};
	if (r->kind != JOURNAL_PUT && r->kind != JOURNAL_DEL)
		return;
	was = (uintptr_t)map_put(&all->by_key, r->key, (void *)(uintptr_t)all->n);
	if (was) {
		old = &all->v[was - 1];
		all->live -= alive(old);
		old->superseded = true;
	}
	all->live += r->kind == JOURNAL_PUT;
}

static void tell(const struct state *s, const struct journal_scan_events *ev)
{
	if (s->superseded)
		return;
	if (s->damaged) {
		/* A broken fact about the file itself quarantines nobody. */
		if (ev->on_corrupt && s->kind != JOURNAL_META)
			ev->on_corrupt(ev->arg, s->key);
	} else if (s->kind == JOURNAL_PUT) {
		if (ev->on_put)
			ev->on_put(ev->arg, s->key, s->body);
	} else if (s->kind == JOURNAL_DEL) {
		if (ev->on_del)
			ev->on_del(ev->arg, s->key);
	} else if (ev->on_meta) {
		ev->on_meta(ev->arg, s->key, s->body);
	}
}

int journal_scan(struct sv file, const struct journal_scan_events *ev,
		 struct journal_scan_result *out, struct err *e)
{
	struct states all = { 0 };
	size_t i;
	int r;

	map_init(&all.by_key);
	r = journal_walk(file, states_add, &all, out, e);
	for (i = 0; !r && i < all.n; i++)
		tell(&all.v[i], ev);
	out->live = all.live;
	map_done(&all.by_key);
	mem_free(all.v);
	return r;
}

int journal_read(const char *path, const struct journal_scan_events *ev,
		 struct journal_scan_result *out, struct err *e)
{
	struct buf b;
	int r;

	*out = (struct journal_scan_result){ 0 };
	buf_init(&b, JOURNAL_FILE_MAX + 1);
	r = fsx_read(path, JOURNAL_FILE_MAX, &b);
	if (r)
		err_sys(e, r, "cannot read journal %s", path);
	else if ((r = journal_scan(buf_sv(&b), ev, out, e)))
		err_wrap(e, r, "journal %s", path);
	buf_done(&b);
	return r;
}

/* One batch, before it is written */

int journal_batch_walk(struct sv bytes, journal_walk_fn fn, void *arg, struct journal_batch *out)
{
	struct journal_record r;
	size_t at = 0;

	*out = (struct journal_batch){ 0 };
	while (at < bytes.n) {
		if (next(bytes, &at, true, &r) != PARSED || r.damaged)
			return -EBADMSG;
		if (r.kind == JOURNAL_COMMIT) {
			if (at != bytes.n || r.seq != out->last || !out->records)
				return -EBADMSG;
			return commit_count(bytes, &r) == out->records ? 0 : -EBADMSG;
		}
		if (out->records &&
		    (r.kind == JOURNAL_META ? r.seq < out->last : r.seq <= out->last))
			return -EBADMSG;
		if (!out->records++)
			out->first = r.seq;
		out->last = r.seq;
		out->puts += r.kind == JOURNAL_PUT;
		if (fn)
			fn(arg, &r);
	}
	return -EBADMSG;
}
