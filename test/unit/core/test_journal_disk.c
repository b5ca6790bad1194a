#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "test/unit/core/journal_disk_lab.h"

/* Opening */

static void open_makes_a_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(ask(f, JOURNAL_M_APPEND), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_RESERVE), -ENOTCONN);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 0), 0);
	assert_int_equal(f->st.seq, 1);
	assert_int_equal(f->st.live, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_false(fsx_exists(side()));
	assert_string_equal(scan_with(f, true), "@boot=boot-1 @boot=boot-1 @writer=test 1 ");
	assert_int_equal(f->scanned.seq, 1);
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
	assert_int_equal(f->st.seq, 3);
	assert_int_equal(f->st.live, 2);
	del(f, "a");
	put(f, "b", "22");
	put(f, "c", "3");
	assert_int_equal(append(f), 0);
	assert_int_equal(f->st.live, 2);
	size = f->st.live_bytes;
	assert_string_equal(scan(f), "b=22 c=3 ");
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 6), 0);
	assert_int_equal(f->st.seq, 6);
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
	assert_int_equal(open_as(f, f->d, "boot-2", JOURNAL_ANY), 0);
	assert_int_equal(f->st.seq, 2); /* nothing that a batch on its way could be taken for */
	assert_non_null(strstr(scan_with(f, true), "a=1 @boot=boot-2 @writer=test 1 "));
	assert_int_equal(open_as(f, f->d, "boot-2", 2), 0);
	assert_int_equal(f->st.seq, 2);
	assert_int_equal(put_one(f, "b", "1"), 0);
	assert_string_equal(scan(f), "a=1 b=1 ");
}

static void stale_reader_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_as(f, f->d, "b", 2), -ESTALE); /* there is no file */
	assert_false(fsx_exists(path));
	assert_int_equal(open_any(f), 0);
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 2), 0);
	assert_int_equal(open_as(f, f->d, "boot-1", 1), -ESTALE);
	assert_int_equal(open_as(f, f->d, "boot-1", 0), -ESTALE);
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
	journal_put_record(&torn, 3, JOURNAL_PUT, SV("b"), SV("half"));
	append_to_file(buf_sv(&torn));
	buf_done(&torn);
	faults.on = true;
	faults.syncs = 0;
	assert_int_equal(open_as(f, f->d, "boot-1", 2), 0);
	assert_true(faults.syncs >= 1);
	assert_int_equal(file_size(path), good);
	assert_int_equal(f->st.seq, 2);
	assert_int_equal(put_one(f, "c", "1"), 0);
	assert_string_equal(scan(f), "a=1 c=1 ");
}

static void one_process_writes_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct journal_disk *two = journal_disk_new();
	int fd;

	assert_int_equal(open_any(f), 0);
	assert_int_equal(open_as(f, two, "boot-1", JOURNAL_ANY), -EAGAIN);
	assert_int_equal(ask(f, JOURNAL_M_CLOSE), 0);
	assert_int_equal(open_as(f, two, "boot-1", JOURNAL_ANY), 0);
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
	journal_disk_put_open(&b, path, "boot", "writer", 0);
	for (n = 0; n < buf_len(&b); n++)
		assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, sv_make(buf_sv(&b).p, n)),
				 -EINVAL);
	buf_putc(&b, 'x');
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, buf_sv(&b)), -EINVAL);
	buf_clear(&b);
	journal_disk_put_open(&b, "", "boot", "writer", 0);
	assert_int_equal(ask_of(f, f->d, JOURNAL_M_OPEN, buf_sv(&b)), -EINVAL);
	buf_clear(&b);
	journal_disk_put_open(&b, path, "boot\nid", "writer", 0);
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
	f->seq = 1;
	assert_int_equal(put_one(f, "a", "1"), 0);
	assert_int_equal(f->st.size, size);
	f->seq = 1; /* 2 is there, 3 is not: no batch of ours */
	put(f, "a", "1");
	put(f, "b", "1");
	assert_int_equal(append(f), -EINVAL);
	f->seq = 2;
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

/* Compaction */

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
	int i, pieces = 0, two_syncs = 0;

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
		/* Each piece is synced, or the last one would have to wait for all of them. */
		assert_true(faults.syncs <= 2 && (faults.syncs || !faults.written));
		two_syncs += faults.syncs == 2;
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
	assert_int_equal(two_syncs, 1); /* the one that replaced the file */
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

static int cuts;
static off_t cut_to, cuts_max;

static void count_cuts(const char *call, int fd)
{
	struct stat st;

	if (strcmp(call, "ftruncate") != 0 || fstat(fd, &st))
		return;
	if (cuts++)
		cuts_max = MAX(cuts_max, cut_to - st.st_size);
	cut_to = st.st_size;
}

/* The old file's blocks are freed in steps as well, unless it was kept under another name. */
static void big_old_file_is_given_back_in_steps(void **state)
{
	struct fixture *f = *state;
	char *body = mem_zalloc(JOURNAL_BODY_MAX);
	int i, pieces;

	memset(body, 'x', 250000);
	assert_int_equal(open_any(f), 0);
	for (i = 0; i < 45; i++) /* 11 MB */
		assert_int_equal(put_one(f, "a", body), 0);
	assert_int_equal(put_one(f, "a", "small"), 0);
	faults.on = true;
	faults.after = count_cuts;
	cuts = 0;
	assert_int_equal(ask(f, JOURNAL_M_COMPACT), 0);
	assert_true(f->st.compacting);
	assert_true(f->st.size < 1000);
	assert_int_equal(cuts, 0); /* the call that replaces does nothing beside */
	assert_int_equal(put_one(f, "b", "between"), 0);
	pieces = compact(f);
	assert_int_equal(cuts, pieces - 1); /* the last one closes it */
	assert_true(cuts_max <= 1 << 20);
	assert_int_equal(pieces, 11);
	faults_off();
	assert_string_equal(scan(f), "a=small b=between ");
	compact(f);
	assert_string_equal(scan(f), "a=small b=between ");
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
		T(compaction_keeps_what_lives),
		T(compaction_is_done_in_pieces),
		T(big_old_file_is_given_back_in_steps),
		T(compaction_overtakes_a_busy_journal),
		T(compaction_keeps_the_unknown_and_the_broken),
		T(compaction_that_fails_costs_nothing),
		T(unsynced_folder_is_not_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
