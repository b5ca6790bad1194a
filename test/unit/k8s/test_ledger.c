/* The ledger over the journal's own methods: records, restarts, and the hand-over of two instances.
 */
#include "k8s/ledger.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/journal_disk.h"
#include "core/mem.h"
#include "test/lib/node/lab.h"

enum { SOON_MS = 1000, LATER_MS = 20000 };

/* An owner of a ledger, as k8s/claims is. */
struct peer {
	struct lab *lab;
	struct lab_disk *disk;
	struct ledger *ledger;
	struct map claims; /* uid -> struct ledger_claim */
	struct map corrupt;
	enum ledger_state state;
	unsigned told, gone, opened;
	bool busy; /* something is in flight: must not yield */
	bool knows_others;
};

static void drop_claim(struct peer *p, const char *uid)
{
	struct ledger_claim *c = map_del(&p->claims, sv_str(uid));

	ledger_claim_free(&c);
	mem_free(map_del(&p->corrupt, sv_str(uid)));
}

static void on_claim(void *arg, struct ledger_claim *c)
{
	struct peer *p = arg;

	p->told++;
	drop_claim(p, c->uid);
	map_put(&p->claims, sv_str(c->uid), c);
}

static void on_gone(void *arg, const char *uid)
{
	struct peer *p = arg;

	p->gone++;
	drop_claim(p, uid);
}

static void on_corrupt(void *arg, const char *uid)
{
	struct peer *p = arg;
	char *copy;

	drop_claim(p, uid);
	copy = mem_strdup(uid);
	map_put(&p->corrupt, sv_str(copy), copy);
}

static void on_state(void *arg, enum ledger_state s)
{
	struct peer *p = arg;

	p->state = s;
	p->opened += s == LEDGER_OPEN;
}

static bool may_yield(void *arg)
{
	return !((struct peer *)arg)->busy;
}

static void on_compact(void *arg, struct ledger *l)
{
	struct peer *p = arg;

	map_for_each (e, &p->claims)
		ledger_put_live(l, e->value);
}

static int peer_open(struct peer *p, struct lab *lab, const char *instance, struct err *e)
{
	struct ledger_conf conf = { .path = lab->ledger,
				    .boot_id = "boot-1",
				    .instance = instance,
				    .on_claim = on_claim,
				    .on_gone = on_gone,
				    .on_corrupt = on_corrupt,
				    .on_state = on_state,
				    .may_yield = may_yield,
				    .on_compact = on_compact,
				    .arg = p };

	conf.others = p->knows_others;
	*p = (struct peer){ .lab = lab, .disk = lab_disk_new(lab), .state = LEDGER_OPENING };
	map_init(&p->claims);
	map_init(&p->corrupt);
	conf.disk = p->disk->worker;
	return ledger_open(lab->loop, &conf, &p->ledger, e);
}

static void peer_start(struct peer *p, struct lab *lab, const char *instance)
{
	struct err e = { "" };

	if (peer_open(p, lab, instance, &e))
		fail_msg("%s", e.text);
}

static void peer_stop(struct peer *p)
{
	ledger_free(&p->ledger);
	map_for_each (e, &p->claims) {
		struct ledger_claim *c = e->value;

		ledger_claim_free(&c);
	}
	map_for_each (k, &p->corrupt)
		mem_free(k->value);
	map_done(&p->claims);
	map_done(&p->corrupt);
	lab_disk_restart(p->disk);
	p->lab = NULL;
}

/* Of a test: here, so that its end finds them when it fails. */
static struct peer p, a, b, old, new;

static bool is_open(void *arg)
{
	return ((struct peer *)arg)->state == LEDGER_OPEN;
}

static bool has_yielded(void *arg)
{
	return ((struct peer *)arg)->state == LEDGER_YIELDED;
}

static bool has_failed(void *arg)
{
	return ((struct peer *)arg)->state == LEDGER_FAILED;
}

static void expect_open(struct peer *at, uint64_t ms)
{
	if (!lab_until(at->lab, is_open, at, ms))
		fail_msg("not open: %s", ledger_reason(at->ledger));
	assert_int_equal(ledger_state(at->ledger), LEDGER_OPEN);
	assert_string_equal(ledger_reason(at->ledger), "");
}

static struct ledger_claim *make(const char *uid, const char *device)
{
	struct ledger_claim *c = MEM_NEW(struct ledger_claim);

	c->uid = mem_strdup(uid);
	c->namespace = mem_strdup("default");
	c->name = mem_printf("name-%s", uid);
	c->boot_id = mem_strdup("boot-1");
	c->allocation = 0xfedcba9876543210u;
	c->since_wall_ms = 1795000000123u;
	c->plan = mem_dup("\x00\xff\x10", 3);
	c->plan_n = 3;
	c->devices_n = 1;
	c->devices = mem_calloc(1, sizeof(*c->devices));
	c->devices[0].request = mem_strdup("req/sub");
	c->devices[0].pool = mem_strdup("node-1");
	c->devices[0].device = mem_strdup(device);
	c->devices[0].identity = mem_printf("GPU-of-%s", device);
	return c;
}

struct write {
	bool done;
	int status;
};

static void on_written(void *arg, int status)
{
	struct write *w = arg;

	w->done = true;
	w->status = status;
}

static int put(struct peer *at, const char *uid, const char *device)
{
	struct ledger_claim *c = make(uid, device);
	struct write w = { .done = false };

	ledger_put(at->ledger, c, on_written, &w);
	assert_false(w.done); /* never from within the call */
	on_claim(at, c);
	assert_true(lab_until_true(at->lab, &w.done, LATER_MS));
	return w.status;
}

static int del(struct peer *at, const char *uid)
{
	struct write w = { .done = false };

	ledger_del(at->ledger, uid, on_written, &w);
	drop_claim(at, uid);
	assert_true(lab_until_true(at->lab, &w.done, LATER_MS));
	return w.status;
}

static const struct ledger_claim *claim_of(const struct peer *at, const char *uid)
{
	return map_get(&at->claims, sv_str(uid));
}

static int setup(void **state)
{
	*state = lab_new(0, 1);
	return 0;
}

static int teardown(void **state)
{
	struct peer *const all[] = { &p, &a, &b, &old, &new };
	struct lab *lab = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i]->lab)
			peer_stop(all[i]);
		*all[i] = (struct peer){ .lab = NULL };
	}
	lab_free(&lab);
	return 0;
}

/* ---- records ---- */

static void a_record_reads_back(void **state)
{
	struct ledger_claim *c = make("u1", "gpu-3"), *back;
	struct err e = { "" };
	struct buf body;

	(void)state;
	c->devices[0].share_id = mem_strdup("share-1");
	c->devices[0].admin = true;
	c->pod = mem_strdup("train-0");
	buf_init(&body, 1 << 16);
	ledger_encode(c, &body);
	assert_int_equal(ledger_decode(SV("u1"), buf_sv(&body), &back, &e), 0);
	assert_string_equal(back->uid, "u1");
	assert_string_equal(back->name, "name-u1");
	assert_string_equal(back->pod, "train-0");
	assert_null(back->unknown);
	assert_string_equal(back->namespace, "default");
	assert_string_equal(back->boot_id, "boot-1");
	assert_true(back->allocation == c->allocation);
	assert_true(back->since_wall_ms == c->since_wall_ms);
	assert_int_equal(back->plan_n, 3);
	assert_memory_equal(back->plan, "\x00\xff\x10", 3);
	assert_int_equal(back->devices_n, 1);
	assert_string_equal(back->devices[0].request, "req/sub");
	assert_string_equal(back->devices[0].device, "gpu-3");
	assert_string_equal(back->devices[0].identity, "GPU-of-gpu-3");
	assert_string_equal(back->devices[0].share_id, "share-1");
	assert_true(back->devices[0].admin);
	assert_null(back->unknown);
	ledger_claim_free(&c);
	ledger_claim_free(&back);
	ledger_claim_free(&back); /* twice is fine */
	buf_done(&body);
}

static void members_of_other_versions_are_kept(void **state)
{
	static const char text[] =
	    "{\"v\":7,\"future\":{\"a\":[1,2.5,\"x\"]},\"namespace\":\"n\",\"name\":\"m\","
	    "\"allocation\":\"0000000000000001\",\"bootID\":\"b\",\"since\":1,\"devices\":[],"
	    "\"more\":null}";
	struct ledger_claim *c, *again;
	struct err e = { "" };
	struct buf body;

	(void)state;
	buf_init(&body, 1 << 16);
	assert_int_equal(ledger_decode(SV("u"), sv_str(text), &c, &e), 0);
	ledger_encode(c, &body);
	assert_non_null(strstr(buf_cstr(&body), "\"future\":{\"a\":[1,2.5,\"x\"]}"));
	assert_non_null(strstr(buf_cstr(&body), "\"more\":null"));
	assert_int_equal(ledger_decode(SV("u"), buf_sv(&body), &again, &e), 0);
	assert_string_equal(again->unknown, c->unknown);
	ledger_claim_free(&c);
	ledger_claim_free(&again);
	buf_done(&body);
}

static void damaged_records_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"allocation\":\"0000000000000001\"}",
		"{\"allocation\":\"xyz\",\"devices\":[]}",
		"{\"allocation\":\"0000000000000001\",\"devices\":{}}",
		"{\"allocation\":\"0000000000000001\",\"devices\":[],\"plan\":\"abc\"}",
		"{\"allocation\":\"0000000000000001\",\"devices\":[],\"plan\":\"zz\"}",
	};
	struct ledger_claim *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { "" };

		if (ledger_decode(SV("u-9"), sv_str(bad[i]), &c, &e) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(e.text, "u-9"));
	}
}

/* ---- one instance ---- */

static void what_was_put_is_there_after_a_restart(void **state)
{
	struct lab *lab = *state;

	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_int_equal(put(&p, "u1", "gpu-0"), 0);
	assert_int_equal(put(&p, "u2", "gpu-1"), 0);
	assert_int_equal(put(&p, "u1", "gpu-7"), 0); /* the latest truth */
	assert_int_equal(del(&p, "u2"), 0);
	assert_int_equal(del(&p, "never"), 0);
	peer_stop(&p);
	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_int_equal(map_len(&p.claims), 1);
	assert_string_equal(claim_of(&p, "u1")->devices[0].device, "gpu-7");
	assert_int_equal(p.told, 1);
	peer_stop(&p);
}

static void a_second_one_without_a_name_is_refused(void **state)
{
	struct lab *lab = *state;
	struct err e = { "" };

	peer_start(&a, lab, "one");
	expect_open(&a, SOON_MS);
	assert_int_equal(peer_open(&b, lab, NULL, &e), -EBUSY);
	assert_true(*e.text != '\0');
	peer_stop(&b);
	peer_stop(&a);
}

static void many_records_are_compacted(void **state)
{
	struct lab *lab = *state;
	struct buf file;
	char uid[16];

	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(uid, sizeof(uid), "u%u", i % 10);
		assert_int_equal(put(&p, uid, "gpu-0"), 0);
	}
	lab_pass(lab, LATER_MS);
	assert_true(ledger_stats(p.ledger)->compactions > 0);
	buf_init(&file, 16 << 20);
	assert_int_equal(fsx_read(lab->ledger, 16 << 20, &file), 0);
	assert_true(buf_len(&file) < (256 << 10)); /* 2000 records are 700 kB */
	buf_done(&file);
	peer_stop(&p);
	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_int_equal(map_len(&p.claims), 10);
	peer_stop(&p);
}

static void an_unopenable_ledger_is_tried_again(void **state)
{
	struct lab *lab = *state;
	struct lab_disk *disk;

	peer_start(&p, lab, "one");
	disk = p.disk;
	disk->fail = -EIO;
	disk->fail_method = JOURNAL_M_OPEN;
	disk->fails = 1000;
	assert_true(lab_until(lab, has_failed, &p, 60000));
	assert_non_null(strstr(ledger_reason(p.ledger), "Input/output error"));
	lab_pass(lab, 60000);
	assert_true(disk->failed > 1); /* again and again */
	disk->fails = 0;
	expect_open(&p, 60000);
	assert_int_equal(put(&p, "u1", "gpu-0"), 0);
	peer_stop(&p);
}

static void someone_wrote_between_reading_and_opening(void **state)
{
	struct lab *lab = *state;
	struct lab_disk *disk;

	peer_start(&p, lab, "one");
	disk = p.disk;
	disk->fail = -ESTALE;
	disk->fail_method = JOURNAL_M_OPEN;
	disk->fails = 3;
	expect_open(&p, SOON_MS);
	assert_int_equal(disk->failed, 3);
	assert_int_equal(put(&p, "u1", "gpu-0"), 0);
	peer_stop(&p);
}

/* Nobody writes a record for a long time, and then the process is killed. */
static void an_emptied_folder(void **state)
{
	struct lab *lab = *state;
	char *lock = mem_printf("%s.lock", lab->ledger);
	char *folder = lab_path(lab, "plugins/" LAB_DRIVER);
	struct err e = { "" };

	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_int_equal(put(&p, "u1", "gpu-0"), 0);
	for (int whole = 0; whole < 2; whole++) {
		assert_int_equal(fsx_remove(lab->ledger), 0);
		assert_int_equal(fsx_remove(lock), 0);
		if (whole) {
			assert_int_equal(rmdir(folder), 0);
			lab_pass(lab, SOON_MS);
			assert_int_equal(fsx_mkdirs(folder, 0750), 0);
		}
		lab_pass(lab, LATER_MS);
		assert_true(fsx_exists(lock));
		assert_int_equal(lab_ledger_records(lab), 1);
		assert_int_equal(peer_open(&b, lab, NULL, &e), -EBUSY);
		peer_stop(&b);
	}
	assert_int_equal(put(&p, "u2", "gpu-1"), 0);
	peer_stop(&p);
	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_int_equal(map_len(&p.claims), 2);
	peer_stop(&p);
	mem_free(lock);
	mem_free(folder);
}

static void a_file_that_is_no_ledger_is_refused(void **state)
{
	struct lab *lab = *state;
	char *folder = lab_path(lab, "plugins/" LAB_DRIVER);
	struct err e = { "" };

	assert_true(fsx_mkdirs(folder, 0755) >= 0);
	assert_int_equal(fsx_replace(lab->ledger, SV("something else entirely\n"), 0600, 0), 0);
	assert_true(peer_open(&p, lab, "one", &e) < 0);
	assert_non_null(strstr(e.text, "ledger"));
	peer_stop(&p);
	mem_free(folder);
}

/* ---- two instances ---- */

static void start_two(struct lab *lab)
{
	peer_start(&old, lab, "old");
	expect_open(&old, SOON_MS);
	assert_int_equal(put(&old, "u1", "gpu-0"), 0);
	peer_start(&new, lab, "new");
	lab_pass(lab, SOON_MS);
	assert_int_equal(ledger_state(new.ledger), LEDGER_OPENING);
	assert_int_equal(ledger_state(old.ledger), LEDGER_OPEN); /* nobody asked yet */
	assert_int_equal(map_len(&new.claims), 1);		 /* it reads along */
}

static void the_ledger_is_handed_over(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	assert_int_equal(put(&old, "u2", "gpu-1"), 0);
	assert_int_equal(del(&old, "u1"), 0);
	ledger_ask_handover(new.ledger);
	expect_open(&new, SOON_MS);
	assert_int_equal(old.state, LEDGER_YIELDED);
	assert_non_null(strstr(ledger_reason(old.ledger), "handed over"));
	/* What the old one wrote at the end is known; what it deleted is not. */
	assert_int_equal(map_len(&new.claims), 1);
	assert_non_null(claim_of(&new, "u2"));
	assert_int_equal(new.gone, 1);
	assert_int_equal(put(&new, "u3", "gpu-2"), 0);
	lab_pass(lab, LATER_MS);
	assert_int_equal(old.state, LEDGER_YIELDED); /* and it stays so */
	peer_stop(&old);
	assert_int_equal(put(&new, "u4", "gpu-3"), 0);
	peer_stop(&new);
}

static void work_in_flight_ends_before_the_hand_over(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	old.busy = true;
	ledger_ask_handover(new.ledger);
	assert_true(lab_until(lab, has_yielded, &old, SOON_MS)); /* takes no new work */
	lab_pass(lab, LATER_MS);
	assert_int_equal(ledger_state(new.ledger), LEDGER_OPENING);
	old.busy = false;
	ledger_settle(old.ledger);
	expect_open(&new, SOON_MS);
	peer_stop(&old);
	peer_stop(&new);
}

/* There is one file to ask by: whoever gets the ledger removes the request of the other one, too.
 */
static void two_newcomers_get_it_in_turn(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	peer_start(&a, lab, "third");
	old.busy = true;
	ledger_ask_handover(new.ledger);
	ledger_ask_handover(a.ledger);
	lab_pass(lab, SOON_MS);
	old.busy = false;
	ledger_settle(old.ledger);
	lab_pass(lab, LATER_MS);
	assert_int_equal(new.opened, 1);
	assert_int_equal(a.opened, 1);
	assert_int_equal((new.state == LEDGER_OPEN) + (a.state == LEDGER_OPEN), 1);
	assert_int_equal(old.opened, 1); /* long ago */
	peer_stop(&old);
	peer_stop(&new);
	peer_stop(&a);
}

static void the_newcomer_dies_and_the_old_one_resumes(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	ledger_ask_handover(new.ledger);
	expect_open(&new, SOON_MS);
	assert_int_equal(put(&new, "u9", "gpu-3"), 0);
	assert_int_equal(del(&new, "u1"), 0);
	peer_stop(&new);
	expect_open(&old, LATER_MS);
	assert_int_equal(map_len(&old.claims), 1);
	assert_non_null(claim_of(&old, "u9")); /* what the newcomer did meanwhile */
	assert_int_equal(put(&old, "u10", "gpu-2"), 0);
	peer_stop(&old);
}

static void the_newcomer_dies_after_it_asked(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	old.busy = true;
	ledger_ask_handover(new.ledger);
	assert_true(lab_until(lab, has_yielded, &old, SOON_MS));
	peer_stop(&new);
	old.busy = false;
	ledger_settle(old.ledger);
	expect_open(&old, LATER_MS);
	assert_int_equal(put(&old, "u2", "gpu-1"), 0);
	peer_stop(&old);
}

static void the_old_one_just_ends(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	peer_stop(&old); /* killed: nobody asked, nobody answered */
	expect_open(&new, SOON_MS);
	assert_non_null(claim_of(&new, "u1"));
	peer_stop(&new);
}

/* ---- someone removes files ---- */

static void remove_file(struct lab *lab, const char *end)
{
	char *path _mem_free_ = mem_printf("%s%s", lab->ledger, end);

	assert_int_equal(fsx_remove(path), 0);
}

static bool lock_is_there(struct lab *lab)
{
	char *path _mem_free_ = mem_printf("%s.lock", lab->ledger);

	return fsx_exists(path);
}

/* All that the old one had is known, and only the new one writes. */
static void expect_hand_over(struct lab *lab)
{
	ledger_ask_handover(new.ledger);
	expect_open(&new, LATER_MS);
	assert_int_equal(old.state, LEDGER_YIELDED);
	assert_non_null(claim_of(&new, "u1"));
	assert_int_equal(put(&new, "u2", "gpu-1"), 0);
	lab_pass(lab, LATER_MS);
	assert_int_equal(old.state, LEDGER_YIELDED);
	assert_int_equal(lab_ledger_records(lab), 2);
	peer_stop(&new);
	expect_open(&old, LATER_MS);
	assert_int_equal(map_len(&old.claims), 2);
	peer_stop(&old);
}

/* Its holder makes it anew before the one that waits takes it. */
static void a_lock_that_is_removed(void **state)
{
	struct lab *lab = *state;

	start_two(lab);
	for (int i = 0; i < 50; i++) { /* at any time of the other's polling */
		remove_file(lab, ".lock");
		lab_pass(lab, 1 + (uint64_t)i * 7);
		assert_true(lock_is_there(lab));
		assert_int_equal(new.state, LEDGER_OPENING);
		assert_int_equal(old.state, LEDGER_OPEN);
	}
	assert_int_equal(put(&old, "u1", "gpu-0"), 0);
	expect_hand_over(lab);
}

/* A newcomer makes it before its holder does: the file is still the holder's, who is asked for it.
 */
static void a_lock_that_another_made(void **state)
{
	struct lab *lab = *state;

	peer_start(&old, lab, "old");
	expect_open(&old, SOON_MS);
	assert_int_equal(put(&old, "u1", "gpu-0"), 0);
	remove_file(lab, ".lock");
	peer_start(&new, lab, "new"); /* in the same turn */
	lab_pass(lab, SOON_MS);
	assert_int_equal(new.state, LEDGER_OPENING);
	assert_int_equal(old.state, LEDGER_OPEN);
	assert_int_equal(put(&old, "u1", "gpu-0"), 0);
	expect_hand_over(lab);
}

/* Both files are gone when the newcomer starts, and it knows that another instance lives. */
static void an_emptied_folder_and_a_newcomer(void **state)
{
	struct lab *lab = *state;

	peer_start(&old, lab, "old");
	expect_open(&old, SOON_MS);
	assert_int_equal(put(&old, "u1", "gpu-0"), 0);
	remove_file(lab, ".lock");
	remove_file(lab, "");
	new.knows_others = true;
	peer_start(&new, lab, "new");
	lab_pass(lab, SOON_MS);
	assert_int_equal(new.state, LEDGER_OPENING);
	assert_int_equal(lab_ledger_records(lab), 1);
	expect_hand_over(lab);
}

/* The other one that was known to live has ended: nobody makes the lock anew. */
static void a_lock_that_nobody_makes_anew(void **state)
{
	struct lab *lab = *state;

	new.knows_others = true;
	peer_start(&new, lab, "new");
	lab_pass(lab, SOON_MS);
	assert_int_equal(new.state, LEDGER_OPENING);
	expect_open(&new, LATER_MS);
	peer_stop(&new);
}

/* Its records would go where nobody finds them. */
static void a_ledger_that_is_moved_away(void **state)
{
	char *aside _mem_free_ = mem_printf("%s.bak", ((struct lab *)*state)->ledger);
	struct lab *lab = *state;

	for (int quiet = 0; quiet < 2; quiet++) {
		peer_start(&p, lab, "one");
		expect_open(&p, SOON_MS);
		assert_int_equal(put(&p, "u1", "gpu-0"), 0);
		assert_int_equal(rename(lab->ledger, aside), 0);
		if (quiet)
			lab_pass(lab, LATER_MS);
		else
			assert_int_equal(put(&p, "u2", "gpu-1"), 0);
		assert_int_equal(lab_ledger_records(lab), 2);
		lab_pass(lab, LATER_MS);
		peer_stop(&p);
	}
}

static void the_first_start_of_a_boot(void **state)
{
	struct lab *lab = *state;

	peer_start(&p, lab, "one");
	expect_open(&p, SOON_MS);
	assert_false(ledger_new_boot(p.ledger)); /* nothing of another */
	peer_stop(&p);
	for (int again = 0; again < 2; again++) {
		struct ledger_conf conf = { .path = lab->ledger,
					    .boot_id = "boot-2",
					    .instance = "two",
					    .on_claim = on_claim,
					    .on_gone = on_gone,
					    .on_corrupt = on_corrupt,
					    .on_state = on_state,
					    .may_yield = may_yield,
					    .on_compact = on_compact,
					    .arg = &p };
		struct err e = { "" };

		p = (struct peer){ .lab = lab, .disk = lab_disk_new(lab) };
		map_init(&p.claims);
		map_init(&p.corrupt);
		conf.disk = p.disk->worker;
		assert_int_equal(ledger_open(lab->loop, &conf, &p.ledger, &e), 0);
		expect_open(&p, SOON_MS);
		assert_int_equal(ledger_new_boot(p.ledger), !again);
		peer_stop(&p);
	}
}

static void back_and_forth(void **state)
{
	struct lab *lab = *state;

	peer_start(&a, lab, "a");
	expect_open(&a, SOON_MS);
	peer_start(&b, lab, "b");
	lab_pass(lab, SOON_MS);
	ledger_ask_handover(b.ledger);
	expect_open(&b, SOON_MS);
	assert_int_equal(put(&b, "by-b", "gpu-0"), 0);
	peer_stop(&b);
	expect_open(&a, LATER_MS);
	assert_int_equal(put(&a, "by-a", "gpu-1"), 0);
	peer_start(&b, lab, "c");
	lab_pass(lab, SOON_MS);
	ledger_ask_handover(b.ledger);
	expect_open(&b, SOON_MS);
	assert_int_equal(map_len(&b.claims), 2);
	peer_stop(&a);
	peer_stop(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_reads_back),
		cmocka_unit_test(members_of_other_versions_are_kept),
		cmocka_unit_test(damaged_records_are_refused),
		TEST(what_was_put_is_there_after_a_restart),
		TEST(a_second_one_without_a_name_is_refused),
		TEST(many_records_are_compacted),
		TEST(an_unopenable_ledger_is_tried_again),
		TEST(someone_wrote_between_reading_and_opening),
		TEST(an_emptied_folder),
		TEST(a_file_that_is_no_ledger_is_refused),
		TEST(the_ledger_is_handed_over),
		TEST(work_in_flight_ends_before_the_hand_over),
		TEST(two_newcomers_get_it_in_turn),
		TEST(the_newcomer_dies_and_the_old_one_resumes),
		TEST(the_newcomer_dies_after_it_asked),
		TEST(the_old_one_just_ends),
		TEST(back_and_forth),
		TEST(a_lock_that_is_removed),
		TEST(a_lock_that_another_made),
		TEST(an_emptied_folder_and_a_newcomer),
		TEST(a_lock_that_nobody_makes_anew),
		TEST(a_ledger_that_is_moved_away),
		TEST(the_first_start_of_a_boot),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
