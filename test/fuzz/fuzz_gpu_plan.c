/* Plans as the ledger keeps them: a disk may have bent them. What is accepted must be kept whole.
 */
#include "core/buf.h"
#include "gpu/inventory.h"
#include "gpu/plan.h"
#include "test/fuzz/fuzz.h"

static void ignore(void *arg, int status, const struct err *e)
{
	(void)arg;
	(void)status;
	(void)e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct roots roots;
	static const struct worker_host host; /* never asked: the inventory is not started */
	static struct inventory *inv;
	static struct loop *loop;
	struct inventory_conf conf = { .roots = &roots, .host = &host, .uevent_fd = -1 };
	struct plan *p = NULL, *again = NULL;
	struct buf one, two;
	struct err e;

	if (!inv) {
		loop = loop_new_virtual(0, 1);
		inv = inventory_new(loop, &conf);
	}
	if (plan_decode(inv, sv_make(data, size), &p, &e) < 0)
		return 0;
	buf_init(&one, 8 << 20);
	buf_init(&two, 8 << 20);
	plan_encode(p, &one);
	must(plan_decode(inv, buf_sv(&one), &again, &e) == 0);
	plan_encode(again, &two);
	must(sv_eq(buf_sv(&one), buf_sv(&two)));
	plan_undo(p, ignore, NULL);
	plan_run(again, ignore, NULL);
	plan_free(&p);
	plan_free(&again);
	buf_done(&one);
	buf_done(&two);
	return 0;
}
