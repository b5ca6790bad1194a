/* Bodies of ledger records: what a disk, or another version, left there. */
#include "core/buf.h"
#include "k8s/ledger.h"
#include "test/fuzz/fuzz.h"

static void encode(const struct ledger_claim *c, struct buf *out)
{
	buf_init(out, 4 * JOURNAL_BODY_MAX);
	ledger_encode(c, out);
	must(!out->full);
}

/* What was read can be written, and means the same when it is read again: nothing is lost. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ledger_claim *first, *second;
	struct err e = { "" };
	struct buf one, two;

	if (ledger_decode(SV("uid"), sv_make(data, size), &first, &e) < 0) {
		must(*e.text);
		return 0;
	}
	encode(first, &one);
	if (buf_len(&one) <= JOURNAL_BODY_MAX) {
		must(ledger_decode(SV("uid"), buf_sv(&one), &second, &e) == 0);
		encode(second, &two);
		must(sv_eq(buf_sv(&one), buf_sv(&two)));
		ledger_claim_free(&second);
		buf_done(&two);
	}
	ledger_claim_free(&first);
	buf_done(&one);
	return 0;
}
