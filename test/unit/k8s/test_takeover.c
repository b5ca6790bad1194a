/* NVIDIA's driver ran here before. Its files are of a Go program, see test_checkpoint.c. */
#include "k8s/takeover.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fsx.h"
#include "core/mem.h"
#include "k8s/checkpoint.h"
#include "k8s/ledger_file.h"
#include "transport/sock.h"

#define BOOT  "5c3f8f4e-0000-4000-8000-000000000001"
#define TRAIN "0d2c7a50-3c5e-4a59-9a51-1d4f6a1b0001"
#define PAIR  "1b6f1a3e-77c2-4f0e-8a53-1d4f6a1b0002"
#define BEGUN "2e8e2c1f-9b1d-4f7e-b0a4-1d4f6a1b0003"

struct place {
	char folder[48], *ledger, *cdi, *checkpoint, *aside;
	struct takeover_conf conf;
};

static int setup(void **state)
{
	struct place *p = MEM_NEW(struct place);

	snprintf(p->folder, sizeof(p->folder), "/tmp/test_takeover.XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	p->ledger = mem_printf("%s/ledger", p->folder);
	p->cdi = mem_printf("%s/cdi", p->folder);
	p->checkpoint = mem_printf("%s/checkpoint.json", p->folder);
	p->aside = mem_printf("%s/checkpoint.json.taken-over", p->folder);
	p->conf = (struct takeover_conf){ .folder = p->folder,
					  .ledger = p->ledger,
					  .cdi = p->cdi,
					  .driver = "gpu.nvidia.com",
					  .pool = "node-1",
					  .boot_id = BOOT };
	*state = p;
	return 0;
}

static int remove_entry(void *arg, const char *name)
{
	char *path = mem_printf("%s/%s", (const char *)arg, name);
	int r = unlink(path) ? rmdir(path) : 0;

	mem_free(path);
	return r;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_true(fsx_list(p->cdi, remove_entry, p->cdi) <= 0);
	assert_int_equal(fsx_list(p->folder, remove_entry, p->folder), 0);
	assert_int_equal(rmdir(p->folder), 0);
	mem_free(p->ledger);
	mem_free(p->cdi);
	mem_free(p->checkpoint);
	mem_free(p->aside);
	mem_free(p);
	return 0;
}

/* ---- what is there ---- */

static void put_checkpoint(struct place *p, const char *name)
{
	char *from = mem_printf(TEST_SOURCE_DIR "/fuzz/corpus/checkpoint/%s", name);

	assert_int_equal(fsx_copy(from, p->checkpoint, 0600), 0);
	mem_free(from);
}

static char *cdi_path(struct place *p, const char *uid)
{
	return mem_printf("%s/k8s.gpu.nvidia.com-claim_%s.yaml", p->cdi, uid);
}

static void put_cdi(struct place *p, const char *uid)
{
	char *path = cdi_path(p, uid);

	assert_true(fsx_mkdirs(p->cdi, 0755) >= 0);
	assert_int_equal(fsx_replace(path, SV("{}"), 0644, 0), 0);
	mem_free(path);
}

static bool has_cdi(struct place *p, const char *uid)
{
	char *path = cdi_path(p, uid);
	bool there = fsx_exists(path);

	mem_free(path);
	return there;
}

static void take_over(struct place *p)
{
	struct err e = { "" };

	if (takeover_run(&p->conf, &e))
		fail_msg("%s", e.text);
}

static void refused(struct place *p, int code, const char *a, const char *b, const char *c)
{
	const char *const words[] = { a, b, c };
	struct err e = { "" };

	assert_int_equal(takeover_run(&p->conf, &e), code);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i] && !strstr(e.text, words[i]))
			fail_msg("\"%s\" lacks \"%s\"", e.text, words[i]);
}

/* UIDs of the ledger, and the GPU of each one's first device: "uid=GPU-0000 ". */
static char *records(struct place *p)
{
	struct ledger_file *f;
	struct err e = { "" };
	struct buf text;
	char *s;

	if (ledger_file_read(p->ledger, &f, &e))
		fail_msg("%s", e.text);
	buf_init(&text, 4096);
	assert_int_equal(f->corrupt_n + f->lost, 0);
	for (size_t i = 0; i < f->claims_n; i++)
		buf_printf(&text, "%s=%s ", f->claims[i]->uid, f->claims[i]->devices[0].identity);
	ledger_file_free(&f);
	s = buf_steal(&text);
	buf_done(&text);
	return s;
}

static void expect_records(struct place *p, const char *want)
{
	char *are = records(p);

	assert_string_equal(are ? are : "", want);
	mem_free(are);
}

static int add_entry(void *arg, const char *name)
{
	struct buf *out = ((void **)arg)[0];
	char *path = mem_printf("%s/%s", (const char *)((void **)arg)[1], name);

	buf_printf(out, "%s:", name);
	if (fsx_read(path, 1 << 20, out))
		buf_puts(out, "?");
	mem_free(path);
	return 0;
}

/* Every name and byte of a folder. */
static char *image(const char *folder)
{
	struct buf out;
	void *arg[] = { &out, (void *)(uintptr_t)folder };
	char *s;

	buf_init(&out, 1 << 20);
	assert_int_equal(fsx_list(folder, add_entry, arg), 0);
	s = buf_steal(&out);
	buf_done(&out);
	return s;
}

static struct ledger_claim *claim_of(const char *uid, const char *identity)
{
	struct ledger_claim *c = MEM_NEW(struct ledger_claim);

	c->uid = mem_strdup(uid);
	c->namespace = mem_strdup("default");
	c->name = mem_strdup("ours");
	c->boot_id = mem_strdup(BOOT);
	c->devices = mem_calloc(1, sizeof(*c->devices));
	c->devices_n = 1;
	c->devices[0].request = mem_strdup("gpu");
	c->devices[0].pool = mem_strdup("node-1");
	c->devices[0].device = mem_strdup("gpu-0");
	c->devices[0].identity = mem_strdup(identity);
	return c;
}

static struct ledger_file *open_ledger(struct place *p)
{
	struct ledger_file *f = NULL;
	struct err e = { "" };

	if (ledger_file_open(p->ledger, BOOT, NULL, &f, &e))
		fail_msg("%s", e.text);
	return f;
}

static void put_record(struct place *p, const char *uid, const char *identity)
{
	struct ledger_claim *c = claim_of(uid, identity);
	const struct ledger_claim *claims = c;
	struct ledger_file *f = open_ledger(p);
	struct err e = { "" };

	assert_int_equal(ledger_file_put(f, &claims, 1, &e), 0);
	ledger_file_free(&f);
	ledger_claim_free(&c);
}

/* ---- the ledger as a file ---- */

static void what_is_put_is_read_and_deleted(void **state)
{
	struct place *p = *state;
	struct ledger_file *f;
	struct err e = { "" };

	expect_records(p, "");
	put_record(p, "a", "GPU-1");
	put_record(p, "b", "GPU-2");
	put_record(p, "a", "GPU-3");
	expect_records(p, "a=GPU-3 b=GPU-2 ");
	f = open_ledger(p);
	assert_string_equal(ledger_file_find(f, "b")->name, "ours");
	assert_null(ledger_file_find(f, "c"));
	assert_int_equal(ledger_file_del(f, "a", &e), 0);
	assert_int_equal(ledger_file_del(f, "a", &e), 0);
	ledger_file_free(&f);
	expect_records(p, "b=GPU-2 ");
}

/* 3000 records of a kilobyte are more than one batch. */
static void many_are_put(void **state)
{
	enum { MANY = 3000 };
	struct place *p = *state;
	struct ledger_file *f = open_ledger(p);
	struct ledger_claim **claims = mem_calloc(MANY, sizeof(struct ledger_claim *));
	struct err e = { "" };

	for (size_t i = 0; i < MANY; i++) {
		char uid[16];

		snprintf(uid, sizeof(uid), "u%04zu", i);
		claims[i] = claim_of(uid, "GPU-1");
		mem_free(claims[i]->name);
		claims[i]->name = mem_printf("%0700zu", i);
	}
	assert_int_equal(ledger_file_put(f, (const struct ledger_claim *const *)claims, MANY, &e),
			 0);
	ledger_file_free(&f);
	assert_int_equal(ledger_file_read(p->ledger, &f, &e), 0);
	assert_int_equal(f->claims_n, MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_string_equal(f->claims[i]->name, claims[i]->name);
		ledger_claim_free(&claims[i]);
	}
	ledger_file_free(&f);
	mem_free(claims);
}

static void a_damaged_record_is_told_and_can_be_deleted(void **state)
{
	struct place *p = *state;
	struct ledger_file *f;
	struct err e = { "" };
	struct buf bytes;
	char *at;

	put_record(p, "a", "GPU-1");
	put_record(p, "b", "GPU-2");
	buf_init(&bytes, 1 << 20);
	assert_int_equal(fsx_read(p->ledger, 1 << 20, &bytes), 0);
	at = memmem(bytes.data + bytes.start, buf_len(&bytes), "GPU-1", 5);
	assert_non_null(at);
	*at = 'X';
	assert_int_equal(fsx_replace(p->ledger, buf_sv(&bytes), 0600, 0), 0);
	buf_done(&bytes);
	f = open_ledger(p);
	assert_int_equal(f->claims_n, 1);
	assert_int_equal(f->corrupt_n, 1);
	assert_string_equal(f->corrupt[0], "a");
	assert_int_equal(ledger_file_del(f, "a", &e), 0);
	ledger_file_free(&f);
	expect_records(p, "b=GPU-2 ");
}

static void one_writer(void **state)
{
	struct place *p = *state;
	struct ledger_file *f, *known, *other = NULL;
	struct err e = { "" };

	put_record(p, "a", "GPU-1");
	assert_int_equal(ledger_file_read(p->ledger, &known, &e), 0);
	f = open_ledger(p);
	assert_int_equal(ledger_file_open(p->ledger, BOOT, NULL, &other, &e), -EBUSY);
	assert_non_null(strstr(e.text, "ledger.lock"));
	ledger_file_free(&f);
	put_record(p, "b", "GPU-2");
	assert_int_equal(ledger_file_open(p->ledger, BOOT, known, &other, &e), -ESTALE);
	ledger_file_free(&known);
}

/* ---- taking over ---- */

static void claims_move_into_the_ledger(void **state)
{
	struct place *p = *state;
	struct buf before, after;

	put_checkpoint(p, "two_and_begun");
	put_cdi(p, TRAIN);
	put_cdi(p, PAIR);
	put_cdi(p, BEGUN);
	buf_init(&before, 1 << 20);
	buf_init(&after, 1 << 20);
	assert_int_equal(fsx_read(p->checkpoint, 1 << 20, &before), 0);
	take_over(p);
	expect_records(p, TRAIN "=GPU-0000 " PAIR "=GPU-0001 ");
	assert_false(fsx_exists(p->checkpoint));
	assert_int_equal(fsx_read(p->aside, 1 << 20, &after), 0);
	assert_true(sv_eq(buf_sv(&before), buf_sv(&after)));
	assert_true(has_cdi(p, TRAIN));
	assert_true(has_cdi(p, PAIR));
	assert_false(has_cdi(p, BEGUN));
	buf_done(&before);
	buf_done(&after);
	take_over(p); /* nothing is left to do */
	expect_records(p, TRAIN "=GPU-0000 " PAIR "=GPU-0001 ");
}

static void a_node_without_state(void **state)
{
	struct place *p = *state;

	take_over(p);
	put_checkpoint(p, "empty");
	take_over(p);
	assert_true(fsx_exists(p->checkpoint));
	assert_false(fsx_exists(p->ledger));
}

static void after_a_reboot_nothing_holds(void **state)
{
	struct place *p = *state;

	p->conf.boot_id = "another";
	put_checkpoint(p, "mig");
	take_over(p);
	expect_records(p, "");
	assert_false(fsx_exists(p->checkpoint));
	assert_true(fsx_exists(p->aside));
}

static void what_was_set_aside_stays(void **state)
{
	struct place *p = *state;
	char *second = mem_printf("%s.2", p->aside);

	put_checkpoint(p, "no_boot");
	take_over(p);
	put_checkpoint(p, "v3");
	take_over(p);
	assert_true(fsx_exists(p->aside));
	assert_true(fsx_exists(second));
	expect_records(p, TRAIN "=GPU-0000 ");
	mem_free(second);
}

static void a_refusal_changes_nothing(void **state)
{
	static const char *const files[] = { "mig",	"mig_begun",	"vfio",
					     "mps",	"share",	"time_slicing",
					     "twice",	"other_pool",	"unknown_device",
					     "no_kind", "unknown_state" };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *before, *after;

		put_checkpoint(p, files[i]);
		before = image(p->folder);
		refused(p, -EEXIST, p->checkpoint, "claim ", "nothing was changed");
		after = image(p->folder);
		assert_string_equal(before, after);
		mem_free(before);
		mem_free(after);
	}
}

static void damage_changes_nothing(void **state)
{
	struct place *p = *state;
	char *before, *after;

	assert_int_equal(fsx_replace(p->checkpoint, SV("{\"checksum\":1,\"v1\":{}}"), 0600, 0), 0);
	before = image(p->folder);
	refused(p, -EEXIST, p->checkpoint, "checksum", "remove that file");
	after = image(p->folder);
	assert_string_equal(before, after);
	mem_free(before);
	mem_free(after);
}

static void a_gpu_that_the_ledger_gave_away(void **state)
{
	struct place *p = *state;
	char *before, *after;

	put_record(p, "ours", "GPU-0001");
	put_checkpoint(p, "two_and_begun");
	before = image(p->folder);
	refused(p, -EEXIST, "GPU-0001", "ours", PAIR);
	after = image(p->folder);
	assert_string_equal(before, after);
	mem_free(before);
	mem_free(after);
}

static void the_same_claim_with_another_gpu(void **state)
{
	struct place *p = *state;

	put_record(p, TRAIN, "GPU-0003");
	put_checkpoint(p, "no_boot");
	refused(p, -EEXIST, TRAIN, "other GPUs", "ledger");
}

/* Admin access is beside whoever has the GPU; what is there of an earlier try is kept. */
static void it_goes_on_where_it_was_cut_short(void **state)
{
	struct place *p = *state;
	struct ledger_file *f;
	struct err e = { "" };

	put_record(p, TRAIN, "GPU-0000");
	put_record(p, "more", "GPU-0002");
	put_checkpoint(p, "two_and_begun");
	take_over(p);
	expect_records(p, TRAIN "=GPU-0000 " PAIR "=GPU-0001 more=GPU-0002 ");
	assert_int_equal(ledger_file_read(p->ledger, &f, &e), 0);
	assert_string_equal(ledger_file_find(f, TRAIN)->name, "ours");
	ledger_file_free(&f);
}

/* A newer tundra was here, and cannot be asked what it has given away. */
static void not_with_a_ledger_that_cannot_be_read(void **state)
{
	struct place *p = *state;
	struct err e = { "" };

	put_checkpoint(p, "no_boot");
	assert_int_equal(fsx_replace(p->ledger, SV("tundra-journal 2.0 x\n"), 0600, 0), 0);
	assert_true(takeover_run(&p->conf, &e) < 0);
	assert_non_null(strstr(e.text, "ledger"));
	assert_true(fsx_exists(p->checkpoint));
}

static void not_while_another_tundra_runs(void **state)
{
	struct place *p = *state;
	struct ledger_file *f = open_ledger(p);

	put_checkpoint(p, "no_boot");
	refused(p, -EBUSY, "ledger.lock", p->checkpoint, NULL);
	assert_true(fsx_exists(p->checkpoint));
	ledger_file_free(&f);
}

static void not_while_the_driver_before_runs(void **state)
{
	struct place *p = *state;
	struct sock_listener l = { .fd = -1 };
	char *path = mem_printf("%s/dra.sock", p->folder);
	struct err e = { "" };

	put_checkpoint(p, "no_boot");
	assert_int_equal(sock_listen_unix(&l, path, 0600, &e), 0);
	refused(p, -EBUSY, "dra.sock", "still runs", NULL);
	assert_true(fsx_exists(p->checkpoint));
	assert_false(fsx_exists(p->ledger));
	/* One that has prepared nothing may do so at any moment. */
	put_checkpoint(p, "empty");
	refused(p, -EBUSY, "dra.sock", "still runs", NULL);
	put_checkpoint(p, "no_boot");
	sock_listener_done(&l);
	take_over(p);
	mem_free(path);
}

/* Set: that driver writes its state once more while it is asked, and ends. */
static struct place *ends_now;

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
	if (!ends_now)
		return (int)syscall(SYS_connect, fd, a, n);
	put_checkpoint(ends_now, "two_and_begun");
	ends_now = NULL;
	errno = ECONNREFUSED;
	return -1;
}

static void what_the_driver_before_wrote_last(void **state)
{
	struct place *p = *state;

	put_checkpoint(p, "no_boot");
	ends_now = p;
	take_over(p);
	assert_null(ends_now);
	expect_records(p, TRAIN "=GPU-0000 " PAIR "=GPU-0001 ");
}

/* What export writes for a full ledger can be read again, and costs no more than its size. */
static void ten_thousand_claims(void **state)
{
	enum { MANY = 10000 };
	static struct ledger_claim *claims[MANY];
	const struct checkpoint_format format = { .without_mps_id = false };
	struct place *p = *state;
	struct takeover_found found;
	struct ledger_file *f;
	struct err e = { "" };
	struct buf text;
	char uid[64], gpu[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(uid, sizeof(uid), "0d2c7a50-3c5e-4a59-9a51-%012d", i);
		snprintf(gpu, sizeof(gpu), "GPU-0d2c7a50-3c5e-4a59-9a51-%012d", i);
		claims[i] = claim_of(uid, gpu);
	}
	buf_init(&text, CHECKPOINT_MAX);
	assert_int_equal(checkpoint_encode((const struct ledger_claim *const *)claims, MANY,
					   p->conf.driver, BOOT, &format, &text, &e),
			 0);
	assert_int_equal(fsx_replace(p->checkpoint, buf_sv(&text), 0600, 0), 0);
	buf_done(&text);
	take_over(p);
	if (ledger_file_read(p->ledger, &f, &e))
		fail_msg("%s", e.text);
	assert_int_equal(f->claims_n, MANY);
	for (int i = 0; i < MANY; i++) {
		assert_non_null(ledger_file_find(f, claims[i]->uid));
		ledger_claim_free(&claims[i]);
	}
	assert_null(ledger_file_find(f, "0d2c7a50-3c5e-4a59-9a51-000000010000"));
	assert_null(ledger_file_find(f, "0"));
	ledger_file_free(&f);
	assert_int_equal(rename(p->aside, p->checkpoint), 0); /* killed before the last step */
	assert_int_equal(takeover_look(&p->conf, &found, &e), 0);
	assert_int_equal(found.claims, MANY);
	assert_int_equal(fsx_remove(p->checkpoint), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_put_is_read_and_deleted),
		TEST(many_are_put),
		TEST(a_damaged_record_is_told_and_can_be_deleted),
		TEST(one_writer),
		TEST(claims_move_into_the_ledger),
		TEST(a_node_without_state),
		TEST(after_a_reboot_nothing_holds),
		TEST(what_was_set_aside_stays),
		TEST(a_refusal_changes_nothing),
		TEST(damage_changes_nothing),
		TEST(a_gpu_that_the_ledger_gave_away),
		TEST(the_same_claim_with_another_gpu),
		TEST(it_goes_on_where_it_was_cut_short),
		TEST(not_with_a_ledger_that_cannot_be_read),
		TEST(not_while_another_tundra_runs),
		TEST(not_while_the_driver_before_runs),
		TEST(what_the_driver_before_wrote_last),
		TEST(ten_thousand_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
