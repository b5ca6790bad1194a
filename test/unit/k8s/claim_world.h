#pragma once
/*
 * Claims with the API server of test/lib, the journal's own methods and scripted GPUs, on virtual
 * time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <errno.h>

#include "core/mem.h"
#include "k8s/claim.h"
#include "test/lib/node/lab.h"

enum { GPUS = 4, SOON_MS = 1000, DUE_MS = 45000, GIVE_UP_MS = DUE_MS - CLAIM_MARGIN_MS };

struct fixture {
	struct lab *lab;
	struct lab_disk *disk;
	struct lab_claims c;
};

static inline bool ledger_is_open(void *arg)
{
	return ledger_state(claims_ledger(((struct lab_claims *)arg)->claims)) == LEDGER_OPEN;
}

static inline void start(struct fixture *f)
{
	lab_claims_start(&f->c, f->lab, f->disk, "one");
	assert_true(lab_until(f->lab, ledger_is_open, &f->c, SOON_MS));
}

static inline int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	f->lab = lab_new(GPUS, 1);
	f->disk = lab_disk_new(f->lab);
	start(f);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	lab_claims_stop(&f->c);
	lab_free(&f->lab);
	mem_free(f);
	return 0;
}

/* As if the process was killed and started again. */
static inline void restart(struct fixture *f)
{
	lab_claims_stop(&f->c);
	lab_disk_restart(f->disk);
	start(f);
}

static inline void wait_for(struct fixture *f, struct lab_call *call, uint64_t ms)
{
	if (!lab_until_true(f->lab, &call->done, ms))
		fail_msg("no answer in %llu ms", (unsigned long long)ms);
}

static inline void expect_ok(struct fixture *f, struct lab_call *call)
{
	wait_for(f, call, SOON_MS);
	if (call->status)
		fail_msg("%s", call->error);
}

static inline void expect_error(struct fixture *f, struct lab_call *call, const char *part,
				uint64_t ms)
{
	wait_for(f, call, ms);
	assert_true(call->status < 0);
	if (!strstr(call->error, part))
		fail_msg("\"%s\" lacks \"%s\"", call->error, part);
}

static inline void prepare(struct fixture *f, const char *name, struct lab_call *call)
{
	lab_prepare(&f->c, name, NULL, call);
	expect_ok(f, call);
}

static inline void unprepare(struct fixture *f, const char *name)
{
	struct lab_call call;

	lab_unprepare(&f->c, name, NULL, &call);
	expect_ok(f, &call);
}

static inline void count_claim(void *arg, const struct claim_info *i)
{
	(void)i;
	(*(size_t *)arg)++;
}

static inline size_t known_claims(struct fixture *f)
{
	size_t n = 0;

	claims_each(f->c.claims, count_claim, &n);
	return n;
}

/* The promise after everything was given back. */
static inline void expect_nothing_left(struct fixture *f)
{
	lab_pass(f->lab, 100);
	assert_int_equal(claims_prepared(f->c.claims), 0);
	assert_int_equal(claims_waiting(f->c.claims), 0);
	assert_int_equal(known_claims(f), 0);
	assert_int_equal(lab_cdi_count(f->lab), 0);
	assert_int_equal(lab_ledger_records(f->lab), 0);
	for (int i = 0; i < GPUS; i++) {
		char identity[16];

		snprintf(identity, sizeof(identity), "GPU-%04d", i);
		assert_null(claims_holder(f->c.claims, identity));
	}
}
