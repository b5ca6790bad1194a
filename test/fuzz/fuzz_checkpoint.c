/*
 * The state file of the driver before, and its claims alone inside a file whose checksums are
 * right: else no input would come past them. What is taken over must come back from what is
 * written.
 */
#include "core/mem.h"
#include "k8s/checkpoint.h"
#include "test/fuzz/fuzz.h"

#define BOOT "5c3f8f4e-0000-4000-8000-000000000001"

static const struct checkpoint_conf conf = {
	.driver = "gpu.nvidia.com", .pool = "node-1", .boot_id = BOOT, .wall_ms = 1
};

static void same(const struct checkpoint *a, const struct checkpoint *b)
{
	must(a->claims_n == b->claims_n && !b->started_n && !b->stale);
	for (size_t i = 0; i < a->claims_n; i++) {
		const struct ledger_claim *x = a->claims[i], *y = b->claims[i];

		must(!strcmp(x->uid, y->uid) && x->devices_n == y->devices_n);
		for (size_t k = 0; k < x->devices_n; k++)
			must(!strcmp(x->devices[k].identity, y->devices[k].identity) &&
			     !strcmp(x->devices[k].request, y->devices[k].request) &&
			     !strcmp(x->devices[k].device, y->devices[k].device) &&
			     x->devices[k].admin == y->devices[k].admin);
	}
}

static void there_and_back(const struct checkpoint *c)
{
	const struct checkpoint_format format = { false };
	struct checkpoint *again;
	struct err e = { "" };
	struct buf out;

	buf_init(&out, CHECKPOINT_MAX);
	if (!checkpoint_encode((const struct ledger_claim *const *)c->claims, c->claims_n,
			       conf.driver, BOOT, &format, &out, &e)) {
		must(!checkpoint_decode(buf_sv(&out), &conf, &again, &e));
		same(c, again);
		checkpoint_free(&again);
	} else {
		must(*e.text);
	}
	buf_done(&out);
}

static void decode(struct sv text)
{
	struct checkpoint *c;
	struct err e = { "" };

	if (checkpoint_decode(text, &conf, &c, &e)) {
		must(*e.text);
		return;
	}
	if (!c->stale)
		there_and_back(c);
	checkpoint_free(&c);
}

/* The input as the claims of version 2. */
static void decode_claims(struct sv claims)
{
	static const char front[] = "{\"checksum\":1083090442,\"v1\":{},\"v2\":{\"checksum\":";
	struct buf v2, all;
	struct sv body;

	buf_init(&v2, claims.n + 256);
	buf_init(&all, claims.n + 512);
	buf_puts(&v2, "{\"checksum\":0,\"preparedClaims\":");
	buf_put_sv(&v2, claims);
	buf_puts(&v2, ",\"nodeBootID\":\"" BOOT "\"}");
	body = buf_sv(&v2);
	buf_printf(&all, "%s%u", front, checkpoint_checksum(body));
	buf_put_sv(&all, sv_drop(body, sizeof("{\"checksum\":0") - 1));
	buf_putc(&all, '}');
	decode(buf_sv(&all));
	buf_done(&v2);
	buf_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode(sv_make(data, size));
	decode_claims(sv_make(data, size));
	return 0;
}
