#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "test/unit/core/journal_disk_lab.h"

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
	assert_int_equal(open_as(f, f->d, "boot-2", JOURNAL_ANY), 0);
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
	journal_disk_put_open(&b, path, "boot-1", "test 1", JOURNAL_ANY);
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
	/* Who reads it now reads the page cache, not the disk. */
	assert_string_equal(scan(f), "a=1 ");
	/* Never again on this file, whatever a second sync might say. */
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), JOURNAL_UNTRUSTED);
	assert_int_equal(open_any(f), JOURNAL_UNTRUSTED);
	faults_fail("fsync", 2, EIO); /* of the folder above, where ours may be new */
	assert_int_equal(rewrite(f), JOURNAL_UNTRUSTED);
	faults_off();
	assert_int_equal(stat(path, &before), 0);
	faults.on = true;
	assert_int_equal(rewrite(f), 0);
	assert_true(faults.syncs > 50); /* of its pieces: the last one has little left to do */
	faults_off();
	assert_int_equal(f->st.seq, 52);
	assert_int_equal(f->st.live, 2);
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=new b=new c=1 ");
	assert_int_equal(open_as(f, f->d, "boot-1", f->scanned.seq), 0);
}

/* What of it is in the file nobody knows, and no second try would tell. */
static void failed_write_needs_a_new_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	faults_fail("pwrite", 1, EIO);
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	faults_off();
	assert_int_equal(put_one(f, "b", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(rewrite(f), 0);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=new b=new c=1 ");
}

/* The kernel tells of a lost write once: who opens after that must not believe the page cache. */
static void failed_sync_in_opening_makes_a_new_file(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(put_one(f, "b", "2"), 0);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(stat(path, &before), 0);
	faults_fail(NULL, 1, EIO); /* the file is there, so its sync is the first call */
	assert_int_equal(open_as(f, f->d, "boot-1", 3), 0);
	assert_true(faults.syncs >= 3);
	faults_off();
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(f->st.seq, 3);
	assert_int_equal(f->st.live, 2);
	assert_false(f->st.compacting);
	assert_int_equal(put_one(f, "c", "3"), 0);
	assert_string_equal(scan(f), "a=1 b=2 c=3 ");
	/* A disk that takes nothing is no disk to open on. */
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	faults_fail("fdatasync", 1, EIO);
	assert_int_equal(open_any(f), JOURNAL_UNTRUSTED);
	faults_off();
	assert_false(fsx_exists(side()));
	assert_string_equal(scan(f), "a=1 b=2 c=3 ");
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

	assert_int_equal(open_as(f, other, "boot-1", JOURNAL_ANY), 0);
	assert_int_equal(rewrite_begin(f), -EAGAIN);
	journal_disk_free(&other);
	assert_int_equal(rewrite(f), 0);
}

/* Somebody removed file and lock, and another instance was faster: it is the writer, and alone. */
static void another_made_the_file_anew(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *other = journal_disk_new();
	uint64_t seq;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	seq = f->seq;
	unlink(path);
	assert_int_equal(open_as(f, other, "boot-1", JOURNAL_ANY), 0);
	f->seq = seq;
	assert_int_equal(put_one(f, "x", "1"), JOURNAL_UNTRUSTED);
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), JOURNAL_UNTRUSTED);
	assert_int_equal(rewrite_begin(f), -EAGAIN);
	assert_string_equal(scan(f), "");
	journal_disk_free(&other);
	assert_int_equal(rewrite(f), 0);
	assert_string_equal(scan(f), "a=new b=new ");
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
		T(full_disk_refuses_puts_and_takes_dels),
		T(write_that_did_not_fit_leaves_no_trace),
		T(real_full_disk),
		T(failed_sync_needs_a_new_file),
		T(failed_write_needs_a_new_file),
		T(failed_sync_in_opening_makes_a_new_file),
		T(rewrite_makes_a_file_that_was_removed),
		T(another_made_the_file_anew),
		T(rewrite_respects_the_lock),
		T(half_an_image_is_refused),
		T(every_failing_call_keeps_what_was_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
