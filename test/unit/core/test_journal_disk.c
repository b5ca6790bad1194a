#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <sys/mount.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/journal_side.h"
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

static int setup(void **state)
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

static int remove_entry(void *arg, const char *name)
{
	char p[300];

	(void)arg;
	(void)snprintf(p, sizeof(p), "%s/%s", root, name);
	return unlink(p) && rmdir(p);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	faults_off();
	journal_disk_free(&f->d);
	journal_disk_free(&f->d);
	buf_done(&f->out);
	buf_done(&f->batch);
	buf_done(&f->text);
	return fsx_list(root, remove_entry, NULL) ?: rmdir(root);
}

/* Calls a method; a good answer goes to f->st. */
static int ask_of(struct fixture *f, struct journal_disk *d, uint16_t method, struct sv body)
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

static int ask(struct fixture *f, uint16_t method)
{
	return ask_of(f, f->d, method, SV_NONE);
}

static int open_as(struct fixture *f, struct journal_disk *d, const char *boot, uint64_t seq,
		   uint64_t size)
{
	struct buf b;
	int r;

	buf_init(&b, 10000);
	journal_disk_put_open(&b, path, boot, "test 1", seq, size);
	r = ask_of(f, d, JOURNAL_M_OPEN, buf_sv(&b));
	buf_done(&b);
	f->seq = f->st.seq;
	return r;
}

static int open_any(struct fixture *f)
{
	return open_as(f, f->d, "boot-1", JOURNAL_ANY, JOURNAL_ANY);
}

static void put(struct fixture *f, const char *key, const char *body)
{
	journal_put_record(&f->batch, ++f->seq, JOURNAL_PUT, sv_str(key), sv_str(body));
	f->records++;
}

static void del(struct fixture *f, const char *key)
{
	journal_put_record(&f->batch, ++f->seq, JOURNAL_DEL, sv_str(key), SV_NONE);
	f->records++;
}

/* Sends what put() and del() gathered. */
static int append(struct fixture *f)
{
	int r;

	journal_put_commit(&f->batch, f->seq, f->records);
	r = ask_of(f, f->d, JOURNAL_M_APPEND, buf_sv(&f->batch));
	buf_clear(&f->batch);
	f->records = 0;
	return r;
}

static int put_one(struct fixture *f, const char *key, const char *body)
{
	put(f, key, body);
	return append(f);
}

static int del_one(struct fixture *f, const char *key)
{
	del(f, key);
	return append(f);
}

static void scan_put(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static void scan_corrupt(void *arg, struct sv key)
{
	buf_printf(arg, "!" SV_FMT " ", SV_ARG(key));
}

static void scan_meta(void *arg, struct sv key, struct sv body)
{
	buf_printf(arg, "@" SV_FMT "=" SV_FMT " ", SV_ARG(key), SV_ARG(body));
}

static const char *scan_with(struct fixture *f, bool meta)
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

static const char *scan(struct fixture *f)
{
	return scan_with(f, false);
}

static uint64_t file_size(const char *p)
{
	struct stat st;

	assert_int_equal(stat(p, &st), 0);
	return (uint64_t)st.st_size;
}

static const char *side(void)
{
	static char p[200];

	(void)snprintf(p, sizeof(p), "%s.compact", path);
	return p;
}

static void append_to_file(struct sv bytes)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	assert_int_equal(fsx_write_all(fd, bytes), 0);
	close(fd);
}

/* Opening */

static void open_makes_a_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(ask(f, JOURNAL_M_APPEND), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 0, 0), 0);
	assert_int_equal(f->st.seq, 2);
	assert_int_equal(f->st.live, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_false(fsx_exists(side()));
	assert_string_equal(scan_with(f, true), "@boot=boot-1 @boot=boot-1 @writer=test 1 ");
	assert_int_equal(f->scanned.seq, 2);
	assert_int_equal(f->st.size, f->scanned.good);
	assert_int_equal(f->st.size, file_size(path));
}

static void what_was_appended_is_found_again(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	assert_int_equal(open_any(f), 0);
	put(f, "a", "1");
	put(f, "b", "1");
	assert_int_equal(append(f), 0);
	assert_int_equal(f->st.seq, 4);
	assert_int_equal(f->st.live, 2);
	del(f, "a");
	put(f, "b", "22");
	put(f, "c", "3");
	assert_int_equal(append(f), 0);
	assert_int_equal(f->st.live, 2);
	size = f->st.live_bytes;
	assert_string_equal(scan(f), "b=22 c=3 ");
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 7, f->scanned.good), 0);
	assert_int_equal(f->st.seq, 7);
	assert_int_equal(f->st.found, 7);
	assert_int_equal(f->st.live, 2);
	assert_int_equal(f->st.live_bytes, size);
	assert_int_equal(f->st.size, f->scanned.good); /* same boot, same writer: nothing added */
	assert_int_equal(put_one(f, "d", "4"), 0);
	assert_string_equal(scan(f), "b=22 c=3 d=4 ");
}

static void new_boot_is_recorded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(open_as(f, f->d, "boot-2", JOURNAL_ANY, JOURNAL_ANY), 0);
	assert_int_equal(f->st.found, 3);
	assert_int_equal(f->st.seq, 5);
	assert_non_null(strstr(scan_with(f, true), "a=1 @boot=boot-2 @writer=test 1 "));
	assert_int_equal(open_as(f, f->d, "boot-2", 5, f->scanned.good), 0);
	assert_int_equal(f->st.seq, 5);
}

static void stale_reader_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_as(f, f->d, "b", 2, 100), -ESTALE); /* there is no file */
	assert_false(fsx_exists(path));
	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 3, f->st.size), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 2, f->st.size), -ESTALE);
	assert_int_equal(open_as(f, f->d, "boot-1", 3, f->st.size - 1), -ESTALE);
	assert_int_equal(open_as(f, f->d, "boot-1", 0, 0), -ESTALE);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), -ENOTCONN); /* it let go */
	assert_string_equal(scan(f), "a=1 ");
}

static void torn_end_is_cut_off(void **state)
{
	struct fixture *f = *state;
	struct buf torn;
	uint64_t good;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	good = f->st.size;
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	buf_init(&torn, 1000);
	journal_put_record(&torn, 4, JOURNAL_PUT, SV("b"), SV("half"));
	append_to_file(buf_sv(&torn));
	buf_done(&torn);
	faults.on = true;
	faults.syncs = 0;
	assert_int_equal(open_as(f, f->d, "boot-1", 3, good), 0);
	assert_true(faults.syncs >= 1);
	assert_int_equal(file_size(path), good);
	assert_int_equal(f->st.seq, 3);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=1 c=1 ");
}

static void one_process_writes_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *two = journal_disk_new();
	int fd;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(open_as(f, two, "boot-1", JOURNAL_ANY, JOURNAL_ANY), -EAGAIN);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, two, "boot-1", JOURNAL_ANY, JOURNAL_ANY), 0);
	assert_int_equal(open_any(f), -EAGAIN);
	journal_disk_free(&two);
	/* Somebody dying in the middle of a compaction. */
	fd = open(side(), O_RDWR | O_CREAT, 0600);
	assert_int_equal(fsx_lock_fd(fd), 0);
	assert_int_equal(open_any(f), -EAGAIN);
	assert_true(fsx_exists(side()));
	close(fd);
	assert_int_equal(open_any(f), 0);
	assert_false(fsx_exists(side()));
}

static void strangers_are_refused(void **state)
{
	struct fixture *f = *state;
	char other[200];

	assert_int_equal(fsx_replace(path, SV("{}\n"), 0600, 0), 0);
	assert_int_equal(open_any(f), -EBADMSG);
	assert_non_null(strstr(buf_cstr(&f->out), "is not a journal of tundra"));
	assert_int_equal(fsx_replace(path, SV_NONE, 0600, 0), 0);
	assert_int_equal(open_any(f), -EBADMSG);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(open_any(f), -EISDIR);
	rmdir(path);
	(void)snprintf(other, sizeof(other), "%s/other", root);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(open_any(f), -ELOOP);
	unlink(path);
	(void)snprintf(path, sizeof(path), "%s/none/ledger", root);
	assert_int_equal(open_any(f), -ENOENT);
}

static void open_bodies_are_checked(void **state)
{
	struct fixture *f = *state;
	struct buf b;
	size_t n;

	buf_init(&b, 10000);
	journal_disk_put_open(&b, path, "boot", "writer", 0, 0);
	for (n = 0; n < buf_len(&b); n++)
		assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, sv_make(buf_sv(&b).p, n)),
				 -EINVAL);
	buf_putc(&b, 'x');
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, buf_sv(&b)), -EINVAL);
	buf_clear(&b);
	journal_disk_put_open(&b, "", "boot", "writer", 0, 0);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, buf_sv(&b)), -EINVAL);
	buf_clear(&b);
	journal_disk_put_open(&b, path, "boot\nid", "writer", 0, 0);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, buf_sv(&b)), -EINVAL);
	assert_false(fsx_exists(path));
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_REWRITE, SV_NONE), -EINVAL);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_REWRITE, SV("\1x")), -ENOTCONN);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_REWRITE, SV("\2")), -ENOTCONN);
	assert_int_equal(journal_disk_get_state(SV("short"), &f->st), -EBADMSG);
	buf_done(&b);
}

/* Appending */

static void batch_that_landed_is_not_written_twice(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	size = f->st.size;
	f->seq = 2;
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(f->st.size, size);
	f->seq = 2; /* 3 is there, 4 is not: no batch of ours */
	put(f, "a", "1");
	put(f, "b", "1");
	assert_int_equal(append(f), -EINVAL);
	f->seq = 3;
	assert_int_equal(put_one(f, "b", "1"), 0);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_APPEND, SV("junk")), -EINVAL);
	assert_string_equal(scan(f), "a=1 b=1 ");
}

static void removed_file_is_noticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	unlink(path);
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), JOURNAL_UNTRUSTED);
	assert_int_equal(open_any(f), JOURNAL_UNTRUSTED);
}

/* Full disks */

static void full_disk_refuses_puts_and_takes_dels(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(put_one(f, "b", "1"), 0);
	faults_fail("fallocate", 1, ENOSPC);
	/* Steps of growing are used up first, the reserve is not touched. */
	while (!put_one(f, "f", "1"))
		;
	assert_string_equal(buf_cstr(&f->out) + buf_len(&f->out) - 23, "No space left on device");
	size = file_size(path);
	f->seq = f->st.seq;
	assert_int_equal(put_one(f, "c", "1"), -ENOSPC);
	assert_int_equal(file_size(path), size);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), -ENOSPC);
	f->seq = f->st.seq;
	assert_int_equal(del_one(f, "a"), 0);
	faults_off();
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), 0);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_non_null(strstr(scan(f), "c=1"));
	assert_null(strstr(scan(f), "a=1"));
}

/* A file system without fallocate() tells by the write itself. */
static void write_that_did_not_fit_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	faults_fail("fallocate", 1, EOPNOTSUPP);
	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	size = f->st.size;
	faults_fail("pwrite", 3, ENOSPC);
	faults.write_max = 10;
	assert_int_equal(put_one(f, "b", "a body that is written in parts"), -ENOSPC);
	assert_int_equal(file_size(path), size);
	assert_true(faults.syncs == 1);
	faults_off();
	f->seq = f->st.seq;
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=1 c=1 ");
}

static void real_full_disk(void **state)
{
	struct fixture *f = *state;
	char mnt[100], fill[200], key[16], body[401];
	int fd, i, r, taken = 0;
	char zeros[4096] = { 0 };

	(void)snprintf(mnt, sizeof(mnt), "%s/mnt", root);
	assert_int_equal(mkdir(mnt, 0700), 0);
	if (mount("tundra-test", mnt, "tmpfs", 0, "size=1m")) {
		skip(); /* not root, or no mounts in here */
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/ledger", mnt);
	(void)snprintf(fill, sizeof(fill), "%s/fill", mnt);
	assert_int_equal(open_any(f), 0);
	fd = open(fill, O_WRONLY | O_CREAT, 0600);
	while (write(fd, zeros, sizeof(zeros)) == sizeof(zeros))
		;
	close(fd);
	memset(body, 'x', 400);
	body[400] = '\0';
	for (i = 0; i < 2000; i++) {
		(void)snprintf(key, sizeof(key), "key-%d", i);
		f->seq = f->st.seq;
		if (put_one(f, key, body))
			break;
		taken++;
	}
	assert_true(taken > 100 && taken < 2000);
	/* Every one of them can go. */
	for (i = 0; i < taken; i++) {
		(void)snprintf(key, sizeof(key), "key-%d", i);
		f->seq = f->st.seq;
		assert_int_equal(del_one(f, key), 0);
	}
	assert_int_equal(f->st.live, 0);
	/* Also by a fresh process. */
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, f->d, "boot-2", JOURNAL_ANY, JOURNAL_ANY), 0);
	/* What was freed is used, then it is full again. */
	for (i = 0; (r = put_one(f, "more", body)) == 0; i++)
		assert_true(i < 2000);
	assert_int_equal(r, -ENOSPC);
	unlink(fill);
	f->seq = f->st.seq;
	assert_int_equal(put_one(f, "more", "1"), 0);
	assert_string_equal(scan(f), "more=1 ");
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(umount(mnt), 0);
}

/* Compaction */

static int compact(struct fixture *f)
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

static void compaction_keeps_what_lives(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	int i;

	assert_int_equal(open_any(f), 0);
	for (i = 0; i < 50; i++) {
		put(f, "a", "1");
		put(f, "gone", "1");
		put(f, "b", "2");
		assert_int_equal(append(f), 0);
		assert_int_equal(del_one(f, "gone"), 0);
	}
	before = f->st.size;
	compact(f);
	assert_true(f->st.size < before / 10);
	assert_int_equal(f->st.size, file_size(path));
	assert_int_equal(f->st.seq, f->seq);
	assert_false(fsx_exists(side()));
	assert_string_equal(scan_with(f, true),
			    "@boot=boot-1 @boot=boot-1 @writer=test 1 a=1 b=2 ");
	assert_int_equal(f->scanned.seq, f->seq);
	/* The index moved along. */
	assert_int_equal(put_one(f, "c", "3"), 0);
	assert_int_equal(del_one(f, "a"), 0);
	compact(f);
	compact(f);
	assert_string_equal(scan(f), "b=2 c=3 ");
	assert_int_equal(open_any(f), 0);
	assert_int_equal(f->st.live, 2);
	assert_int_equal(del_one(f, "b"), 0);
	assert_int_equal(del_one(f, "c"), 0);
	compact(f);
	assert_string_equal(scan(f), "");
	assert_int_equal(f->scanned.seq, f->seq);
}

/* A batch between two pieces waits for one flush and about one piece of writing, not for 10 MB. */
static void compaction_is_done_in_pieces(void **state)
{
	struct fixture *f = *state;
	char key[16], *body = mem_zalloc(1001);
	int i, pieces = 0;

	memset(body, 'x', 1000);
	assert_int_equal(open_any(f), 0);
	for (i = 0; i < 2000; i++) {
		(void)snprintf(key, sizeof(key), "key-%d", i);
		put(f, key, body);
		if (i % 100 == 99)
			assert_int_equal(append(f), 0);
	}
	for (;;) {
		faults_off();
		faults.on = true;
		assert_int_equal(ask(f, JOURNAL_M_COMPACT), 0);
		pieces++;
		/* One record more than the piece, header and commit. */
		assert_true(faults.written <= JOURNAL_PIECE + 2200);
		assert_true(faults.syncs <= (f->st.compacting ? 1u : 2u));
		if (!f->st.compacting)
			break;
		/* Life goes on: changed, new and deleted while it runs. */
		(void)snprintf(key, sizeof(key), "key-%d", pieces);
		put(f, key, "changed");
		(void)snprintf(key, sizeof(key), "new-%d", pieces);
		put(f, key, "new");
		(void)snprintf(key, sizeof(key), "key-%d", pieces + 1000);
		del(f, key);
		assert_int_equal(append(f), 0);
		assert_true(pieces < 100);
	}
	faults_off();
	assert_true(pieces >= 2000000 / JOURNAL_PIECE);
	assert_int_equal(f->st.live, 2000);
	scan(f);
	assert_int_equal(f->scanned.live, 2000);
	assert_int_equal(f->scanned.corrupt, 0);
	assert_non_null(strstr(buf_cstr(&f->text), "key-7=changed "));
	assert_non_null(strstr(buf_cstr(&f->text), "new-7=new "));
	assert_null(strstr(buf_cstr(&f->text), "key-1007="));
	compact(f);
	assert_int_equal(f->st.live, 2000);
	scan(f);
	assert_int_equal(f->scanned.live, 2000);
	mem_free(body);
}

/* However much comes in between two pieces, the end is reached. */
static void compaction_overtakes_a_busy_journal(void **state)
{
	struct fixture *f = *state;
	char *body = mem_zalloc(JOURNAL_BODY_MAX);
	int pieces = 0;

	memset(body, 'x', 200000);
	assert_int_equal(open_any(f), 0);
	for (;;) {
		assert_int_equal(put_one(f, "a", body), 0);
		assert_int_equal(ask(f, JOURNAL_M_COMPACT), 0);
		if (!f->st.compacting)
			break;
		assert_true(++pieces < 10);
	}
	assert_int_equal(f->st.live, 1);
	scan(f);
	assert_int_equal(f->scanned.live, 1);
	mem_free(body);
}

static void compaction_keeps_the_unknown_and_the_broken(void **state)
{
	struct fixture *f = *state;
	char damaged[200];
	struct buf b;
	char *p;

	assert_int_equal(open_any(f), 0);
	put(f, "a", "fine");
	put(f, "b", "broken body");
	journal_put_record(&f->batch, ++f->seq, (enum journal_kind)77, SV("a"),
			   SV("later version"));
	f->records++;
	put(f, "c", "broken head");
	assert_int_equal(append(f), 0);
	assert_int_equal(put_one(f, "d", "1"), 0);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	buf_init(&b, 1 << 20);
	assert_int_equal(fsx_read(path, 1 << 20, &b), 0);
	p = memmem(b.data, b.end, "broken body", 11);
	p[0] = 'B';
	p = memmem(b.data, b.end, "cbroken head", 12);
	p[0] = 'x';
	assert_int_equal(fsx_replace(path, buf_sv(&b), 0600, 0), 0);
	buf_done(&b);
	assert_int_equal(open_any(f), 0);
	assert_int_equal(f->st.corrupt, 2);
	assert_string_equal(scan(f), "a=fine !b ! d=1 ");
	compact(f);
	assert_string_equal(scan(f), "a=fine !b d=1 ");
	(void)snprintf(damaged, sizeof(damaged), "%s.damaged", path);
	assert_true(fsx_exists(damaged)); /* the only trace of what was lost */
	buf_init(&b, 1 << 20);
	assert_int_equal(fsx_read(path, 1 << 20, &b), 0);
	assert_non_null(memmem(b.data, b.end, "later version", 13));
	buf_done(&b);
	/* And the quarantine ends as any record does. */
	assert_int_equal(del_one(f, "b"), 0);
	assert_string_equal(scan(f), "a=fine d=1 ");
}

static void compaction_that_fails_costs_nothing(void **state)
{
	static const char *const calls[] = { "pwrite", "fdatasync", "rename", "fallocate" };
	struct fixture *f = *state;
	size_t i;
	int r;

	assert_int_equal(open_any(f), 0);
	for (i = 0; i < 20; i++)
		assert_int_equal(put_one(f, "a", "1"), 0);
	for (i = 0; i < ARRAY_LEN(calls); i++) {
		faults_fail(calls[i], 1, i == 3 ? ENOSPC : EIO);
		r = ask(f, JOURNAL_M_COMPACT);
		faults_off();
		assert_int_equal(r, i == 3 ? -ENOSPC : -EIO);
		assert_false(fsx_exists(side()));
		assert_int_equal(put_one(f, "a", "still"), 0);
	}
	compact(f);
	assert_string_equal(scan(f), "a=still ");
}

/* The file is replaced, but perhaps not for good. */
static void unsynced_folder_is_not_trusted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	faults_fail("fsync", 1, EIO);
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), JOURNAL_UNTRUSTED);
	faults_off();
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
}

/* Rewriting */

static int rewrite_op(struct fixture *f, char op, struct sv body)
{
	struct buf b;
	int r;

	buf_init(&b, 4 << 20);
	buf_putc(&b, op);
	buf_put_sv(&b, body);
	r = ask_of(f, f->d, JOURNAL_M_REWRITE, buf_sv(&b));
	buf_done(&b);
	return r;
}

static int rewrite_begin(struct fixture *f)
{
	struct buf b;
	int r;

	buf_init(&b, 10000);
	journal_disk_put_open(&b, path, "boot-1", "test 1", JOURNAL_ANY, JOURNAL_ANY);
	r = rewrite_op(f, JOURNAL_REWRITE_BEGIN, buf_sv(&b));
	buf_done(&b);
	return r;
}

/* Image of a and b, byte by byte. */
static int rewrite(struct fixture *f)
{
	struct sv image;
	size_t i;
	int r;

	r = rewrite_begin(f);
	f->seq = 50;
	put(f, "a", "new");
	put(f, "b", "new");
	journal_put_commit(&f->batch, f->seq, 2);
	f->records = 0;
	image = buf_sv(&f->batch);
	for (i = 0; !r && i < image.n; i++)
		r = rewrite_op(f, JOURNAL_REWRITE_DATA, sv_make(image.p + i, 1));
	buf_clear(&f->batch);
	return r ?: rewrite_op(f, JOURNAL_REWRITE_END, SV_NONE);
}

static void failed_sync_needs_a_new_file(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(stat(path, &before), 0);
	faults_fail("fdatasync", 1, EIO);
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	faults_off();
	/* Never again on this file, whatever a second sync might say. */
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), JOURNAL_UNTRUSTED);
	assert_int_equal(open_any(f), JOURNAL_UNTRUSTED);
	assert_int_equal(rewrite(f), 0);
	assert_int_equal(f->st.seq, 52);
	assert_int_equal(f->st.live, 2);
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=new b=new c=1 ");
	assert_int_equal(open_as(f, f->d, "boot-1", f->scanned.seq, f->scanned.good), 0);
}

static void rewrite_makes_a_file_that_was_removed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	unlink(path);
	assert_int_equal(put_one(f, "x", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(rewrite(f), 0);
	assert_string_equal(scan(f), "a=new b=new ");
}

static void rewrite_respects_the_lock(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = journal_disk_new();

	assert_int_equal(open_as(f, other, "boot-1", JOURNAL_ANY, JOURNAL_ANY), 0);
	assert_int_equal(rewrite_begin(f), -EAGAIN);
	journal_disk_free(&other);
	assert_int_equal(rewrite(f), 0);
}

/* What the owner says must be whole: an image cut short is no journal. */
static void half_an_image_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(rewrite_begin(f), 0);
	put(f, "a", "new");
	assert_int_equal(rewrite_op(f, JOURNAL_REWRITE_DATA, buf_sv(&f->batch)), 0);
	buf_clear(&f->batch);
	f->records = 0;
	assert_int_equal(rewrite_op(f, JOURNAL_REWRITE_END, SV_NONE), JOURNAL_UNTRUSTED);
	assert_int_equal(rewrite(f), 0);
	assert_string_equal(scan(f), "a=new b=new ");
}

/* Every call that can fail, one after the other, in a life from nothing to a rewritten file. */
static int script(struct fixture *f, char *acked)
{
	int r;

	r = open_any(f);
	if (!r && !(r = put_one(f, "a", "1")))
		acked[0] = 'a';
	if (!r && !(r = put_one(f, "b", "1")))
		acked[1] = 'b';
	while (!r && (r = ask(f, JOURNAL_M_COMPACT)) == 0 && f->st.compacting)
		;
	if (!r && !(r = put_one(f, "c", "1")))
		acked[2] = 'c';
	return r;
}

static void every_failing_call_keeps_what_was_promised(void **state)
{
	static const int codes[] = { EIO, ENOSPC };
	struct fixture *f = *state;
	char acked[4];
	int at, r;
	size_t c, i;

	for (c = 0; c < ARRAY_LEN(codes); c++) {
		for (at = 1;; at++) {
			(void)unlink(path);
			(void)unlink(side());
			memcpy(acked, "---", 4);
			faults_fail(NULL, at, codes[c]);
			r = script(f, acked);
			if (faults.calls < at)
				break;
			faults_off();
			assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
			buf_clear(&f->batch);
			f->records = 0;
			/* Either it failed and said so, or the failure did not matter. */
			if (!r)
				assert_string_equal(acked, "abc");
			if (acked[0] == '-' && !fsx_exists(path))
				continue;
			scan(f);
			for (i = 0; i < 3; i++) {
				if (acked[i] != '-')
					assert_non_null(strchr(buf_cstr(&f->text), acked[i]));
			}
			assert_int_equal(f->scanned.corrupt, 0);
			/* And it goes on from there. */
			assert_int_equal(open_any(f), 0);
			assert_int_equal(put_one(f, "z", "1"), 0);
			compact(f);
			assert_non_null(strstr(scan(f), "z=1 "));
			assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
		}
		faults_off();
		assert_int_equal(r, 0);
		assert_true(at > 15);
		assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(open_makes_a_file),
		T(what_was_appended_is_found_again),
		T(new_boot_is_recorded),
		T(stale_reader_is_told),
		T(torn_end_is_cut_off),
		T(one_process_writes_at_a_time),
		T(strangers_are_refused),
		T(open_bodies_are_checked),
		T(batch_that_landed_is_not_written_twice),
		T(removed_file_is_noticed),
		T(full_disk_refuses_puts_and_takes_dels),
		T(write_that_did_not_fit_leaves_no_trace),
		T(real_full_disk),
		T(compaction_keeps_what_lives),
		T(compaction_is_done_in_pieces),
		T(compaction_overtakes_a_busy_journal),
		T(compaction_keeps_the_unknown_and_the_broken),
		T(compaction_that_fails_costs_nothing),
		T(unsynced_folder_is_not_trusted),
		T(failed_sync_needs_a_new_file),
		T(rewrite_makes_a_file_that_was_removed),
		T(rewrite_respects_the_lock),
		T(half_an_image_is_refused),
		T(every_failing_call_keeps_what_was_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
