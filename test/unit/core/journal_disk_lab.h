#pragma once
/*
 * For the tests of core/journal_disk: a folder, a disk part whose methods are called directly, and
 * what a scan of its file says. Include it in one .c file of a program, behind cmocka.
 */
#include <sys/mount.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/mem.h"
#include "test/lib/faults.h"

static char root[64], path[128];

struct fixture {
	struct journal_disk *d;
	struct journal_disk_state st;
	struct buf out, batch;
	uint64_t seq; /* of the batch under construction */
	uint32_t records;
	struct buf text; /* of a scan */
	struct journal_scan_result scanned;
};

static inline int setup(void **state)
{
	static struct fixture f;

	faults_off();
	(void)snprintf(root, sizeof(root), "/tmp/test_journal_disk.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/ledger", root);
	f = (struct fixture){ .d = journal_disk_new() };
	buf_init(&f.out, 1 << 20);
	buf_init(&f.batch, 16 << 20);
	buf_init(&f.text, 64 << 20);
	*state = &f;
	return 0;
}

static inline int remove_entry(void *arg, const char *name)
{
	char p[300];

	(void)arg;
	(void)snprintf(p, sizeof(p), "%s/%s", root, name);
	return unlink(p) && rmdir(p);
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	faults_off();
	journal_disk_free(&f->d);
	journal_disk_free(&f->d);
	buf_done(&f->out);
	buf_done(&f->batch);
	buf_done(&f->text);
	/* A test that failed half-way may have left its own file system there. */
	(void)snprintf(path, sizeof(path), "%s/mnt", root);
	(void)umount2(path, MNT_DETACH);
	return fsx_list(root, remove_entry, NULL) ?: rmdir(root);
}

/* Calls a method; a good answer goes to f->st. */
static inline int ask_of(struct fixture *f, struct journal_disk *d, uint16_t method, struct sv body)
{
	size_t i;
	int r;

	for (i = 0; journal_disk_methods[i].method != method; i++)
		assert_true(i + 1 < journal_disk_methods_n);
	buf_clear(&f->out);
	r = journal_disk_methods[i].fn(d, body, 1000, &f->out);
	if (!r)
		assert_int_equal(journal_disk_get_state(buf_sv(&f->out), &f->st), 0);
	else
		assert_true(buf_len(&f->out) > 0 || r == -EINVAL); /* every error has its words */
	return r;
}

static inline int ask(struct fixture *f, uint16_t method)
{
	return ask_of(f, f->d, method, SV_NONE);
}

static inline int open_as(struct fixture *f, struct journal_disk *d, const char *boot, uint64_t seq)
{
	struct buf b;
	int r;

	buf_init(&b, 10000);
	journal_disk_put_open(&b, path, boot, "test 1", seq);
	r = ask_of(f, d, JOURNAL_M_OPEN, buf_sv(&b));
	buf_done(&b);
	f->seq = f->st.seq;
	return r;
}

static inline int open_any(struct fixture *f)
{
	return open_as(f, f->d, "boot-1", JOURNAL_ANY);
}

static inline void put(struct fixture *f, const char *key, const char *body)
{
	journal_put_record(&f->batch, ++f->seq, JOURNAL_PUT, sv_str(key), sv_str(body));
	f->records++;
}

static inline void del(struct fixture *f, const char *key)
{
	journal_put_record(&f->batch, ++f->seq, JOURNAL_DEL, sv_str(key), SV_NONE);
	f->records++;
}

/* Sends what put() and del() gathered. */
static inline int append(struct fixture *f)
{
	int r;

	journal_put_commit(&f->batch, f->seq, f->records);
	r = ask_of(f, f->d, JOURNAL_M_APPEND, buf_sv(&f->batch));
	buf_clear(&f->batch);
	f->records = 0;
	return r;
}

static inline int put_one(struct fixture *f, const char *key, const char *body)
{
	put(f, key, body);
	return append(f);
}

static inline int del_one(struct fixture *f, const char *key)
{
	del(f, key);
	return append(f);
}

static inline void scan_put(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static inline void scan_corrupt(void *arg, struct sv key)
{
	buf_printf(arg, "!" SV_FMT " ", SV_ARG(key));
}

static inline void scan_meta(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, "@" SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static inline const char *scan_with(struct fixture *f, bool meta)
{
	struct journal_scan_events ev = { .on_put = scan_put,
					  .on_corrupt = scan_corrupt,
					  .on_meta = meta ? scan_meta : NULL,
					  .arg = &f->text };
	struct err e = { "" };

	buf_clear(&f->text);
	if (journal_read(path, &ev, &f->scanned, &e))
		fail_msg("%s", e.text);
	return buf_cstr(&f->text);
}

static inline const char *scan(struct fixture *f)
{
	return scan_with(f, false);
}

static inline uint64_t file_size(const char *p)
{
	struct stat st;

	assert_int_equal(stat(p, &st), 0);
	return (uint64_t)st.st_size;
}

static inline const char *side(void)
{
	static char p[200];

	(void)snprintf(p, sizeof(p), "%s.compact", path);
	return p;
}

static inline void append_to_file(struct sv bytes)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	assert_int_equal(fsx_write_all(fd, bytes), 0);
	close(fd);
}

static inline int compact(struct fixture *f)
{
	int pieces = 0, r;

	do {
		r = ask(f, JOURNAL_M_COMPACT);
		pieces++;
		assert_true(pieces < 1000);
	} while (!r && f->st.compacting);
	assert_int_equal(r, 0);
	return pieces;
}
