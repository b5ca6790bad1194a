/*
 * What workers tell tundra: a vendor's library may have written into their memory. The first byte
 * chooses the message. What is accepted must survive being written and read again.
 */
#include "core/buf.h"
#include "core/mem.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/model/nvidia_model.h"
#include "gpu/proto/host.h"
#include "gpu/proto/messages.h"
#include "test/fuzz/fuzz.h"

static void fuzz_open(struct sv bytes)
{
	struct gpu_msg_open *m = MEM_NEW(struct gpu_msg_open),
			    *again = MEM_NEW(struct gpu_msg_open);
	struct buf b;

	buf_init(&b, 4 << 20);
	if (gpu_msg_get_open(bytes, m) == 0) {
		gpu_msg_put_open(&b, m);
		must(gpu_msg_get_open(buf_sv(&b), again) == 0);
		must(edits_hash(&m->edits) == edits_hash(&again->edits));
		must(m->watch_n == again->watch_n && m->seen_n == again->seen_n);
		gpu_msg_open_done(again);
		gpu_msg_open_done(m);
	}
	buf_done(&b);
	mem_free(again);
	mem_free(m);
}

static void fuzz_query(struct sv bytes)
{
	struct gpu_msg_query m;

	if (gpu_msg_get_query(bytes, &m) == 0)
		gpu_msg_query_done(&m);
}

/* Facts of a GPU, all the way to its attributes, as if the API server were to judge them. */
static void fuzz_facts(struct sv bytes)
{
	struct nvidia_system system = { "580.65.06", 13000, 1, 0, 1 };
	struct gpu_device d = { 0 };
	struct gpu_found found = { &d, bytes };
	struct buf b, out;
	size_t i;

	buf_init(&b, 4096);
	buf_init(&out, 4 << 20);
	nvidia_system_put(&b, &system);
	nvidia_model(buf_sv(&b), &found, 1, true);
	must(*d.trouble || *d.name);
	must(d.attributes_n + d.capacities_n <= GPU_FACETS_MAX);
	for (i = 0; i < d.attributes_n; i++)
		must(strlen(d.attributes[i].s) <= GPU_TEXT_MAX);
	device_done(&d);
	nvidia_vendor.remember(bytes, bytes, &out);
	nvidia_vendor.remember(SV_NONE, bytes, &out);
	buf_done(&b);
	buf_done(&out);
}

static void fuzz_holders(struct sv bytes)
{
	struct host_holders *h = MEM_NEW(struct host_holders);
	struct host_device *d = mem_calloc(HOST_DEVICES_MAX, sizeof(*d));
	size_t n;

	if (host_get_holders(bytes, h) == 0)
		must(h->n <= HOST_HOLDERS_MAX);
	if (host_get_devices(bytes, d, &n) == 0)
		must(n <= HOST_DEVICES_MAX);
	mem_free(d);
	mem_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(struct sv) = { fuzz_open, fuzz_query, fuzz_facts,
						      fuzz_holders };
	struct nvidia_system system;

	if (size == 0)
		return 0;
	parsers[data[0] % ARRAY_LEN(parsers)](sv_make(data + 1, size - 1));
	(void)!nvidia_system_get(sv_make(data + 1, size - 1), &system);
	return 0;
}
