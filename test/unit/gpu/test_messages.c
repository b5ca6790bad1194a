#include "test/unit/gpu/unit.h"

#include "core/base.h"
#include "core/mem.h"
#include "gpu/nvidia/facts.h"
#include "gpu/proto/host.h"
#include "gpu/proto/messages.h"
#include "gpu/proto/tlv.h"

static struct gpu_msg_open *sample_open(void)
{
	struct gpu_msg_open *m = MEM_NEW(struct gpu_msg_open);

	m->state = GPU_OPEN_READY;
	m->count = 3;
	snprintf(m->text, sizeof(m->text), "driver 580.65.06 in /");
	m->watch[0] = (struct gpu_watch){ "/dev", "nvidia" };
	m->watch[1] = (struct gpu_watch){ "/usr/lib64", "" };
	m->watch_n = 2;
	m->seen[0] = (struct gpu_seen){ "0000:65:00.0", "GPU-1", 4 };
	m->seen[1] = (struct gpu_seen){ "0000:66:00.0", "", -1 };
	m->seen_n = 2;
	assert_int_equal(edits_add_env(&m->edits, "A=b"), 0);
	m->facts = SV("facts\0inside");
	return m;
}

static void open_free(struct gpu_msg_open *m)
{
	gpu_msg_open_done(m);
	mem_free(m);
}

static void test_open(void **state)
{
	struct gpu_msg_open *m = sample_open(), *got = MEM_NEW(struct gpu_msg_open);
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	gpu_msg_put_open(&b, m);
	assert_int_equal(gpu_msg_get_open(buf_sv(&b), got), 0);
	assert_int_equal(got->count, 3);
	assert_string_equal(got->text, m->text);
	assert_int_equal(got->watch_n, 2);
	assert_string_equal(got->watch[0].prefix, "nvidia");
	assert_int_equal(got->seen_n, 2);
	assert_int_equal(got->seen[1].minor, -1);
	assert_string_equal(got->seen[0].uuid, "GPU-1");
	assert_int_equal(got->edits.env_n, 1);
	assert_true(sv_eq(got->facts, m->facts));
	open_free(m);
	open_free(got);
	buf_done(&b);
}

static void test_open_cut_and_bent(void **state)
{
	struct gpu_msg_open *m = sample_open(), *got = MEM_NEW(struct gpu_msg_open);
	size_t n, i;
	struct buf b;
	char *copy;

	(void)state;
	buf_init(&b, 1 << 20);
	gpu_msg_put_open(&b, m);
	for (n = 0; n <= buf_len(&b); n++) {
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, buf_sv(&b).p, n);
		if (gpu_msg_get_open(sv_make(copy, n), got) == 0)
			gpu_msg_open_done(got);
		free(copy);
	}
	copy = mem_dup(buf_sv(&b).p, buf_len(&b));
	for (i = 0; i < buf_len(&b); i++)
		for (n = 1; n < 256; n <<= 1) { /* each bit of each byte */
			copy[i] = (char)(copy[i] ^ (char)n);
			if (gpu_msg_get_open(sv_make(copy, buf_len(&b)), got) == 0)
				gpu_msg_open_done(got);
			copy[i] = (char)(copy[i] ^ (char)n);
		}
	mem_free(copy);
	open_free(m);
	mem_free(got);
	buf_done(&b);
}

static void refuse_open(struct buf *b)
{
	struct gpu_msg_open *got = MEM_NEW(struct gpu_msg_open);

	assert_int_equal(gpu_msg_get_open(buf_sv(b), got), -EBADMSG);
	mem_free(got);
	buf_clear(b);
}

static void test_open_limits(void **state)
{
	struct buf b;
	size_t i, mark;

	(void)state;
	buf_init(&b, 1 << 20);
	tlv_put_u64(&b, 6, GPU_OPEN_READY); /* no version */
	refuse_open(&b);
	tlv_put_u64(&b, 1, GPU_MSG_VERSION + 1);
	refuse_open(&b);
	tlv_put_u64(&b, 1, GPU_MSG_VERSION);
	tlv_put_u64(&b, 6, GPU_OPEN_TROUBLE + 1);
	refuse_open(&b);
	tlv_put_u64(&b, 1, GPU_MSG_VERSION);
	tlv_put_u64(&b, 7, GPU_MSG_GPUS_MAX + 1);
	refuse_open(&b);
	tlv_put_u64(&b, 1, GPU_MSG_VERSION);
	for (i = 0; i <= GPU_MSG_WATCH_MAX; i++) {
		mark = tlv_open(&b, 2);
		tlv_close(&b, mark);
	}
	refuse_open(&b);
	tlv_put_u64(&b, 1, GPU_MSG_VERSION);
	for (i = 0; i <= GPU_MSG_GPUS_MAX; i++) {
		mark = tlv_open(&b, 3);
		tlv_close(&b, mark);
	}
	refuse_open(&b);
	buf_done(&b);
}

static void test_query(void **state)
{
	struct gpu_msg_query m = { .state = GPU_QUERY_TROUBLE, .minor = -1 }, got;
	struct buf b;

	(void)state;
	snprintf(m.text, sizeof(m.text), "GPU is lost");
	snprintf(m.pci, sizeof(m.pci), "0000:65:00.0");
	assert_int_equal(edits_add_node(&m.edits, &(struct gpu_edit_node){ .path = "/dev/x" }), 0);
	m.facts = SV("f");
	buf_init(&b, 1 << 20);
	gpu_msg_put_query(&b, &m);
	assert_int_equal(gpu_msg_get_query(buf_sv(&b), &got), 0);
	assert_int_equal(got.state, GPU_QUERY_TROUBLE);
	assert_int_equal(got.minor, -1);
	assert_string_equal(got.pci, m.pci);
	assert_int_equal(got.edits.nodes_n, 1);
	gpu_msg_query_done(&got);
	m.minor = (int64_t)INT32_MAX + 1;
	buf_clear(&b);
	gpu_msg_put_query(&b, &m);
	assert_int_equal(gpu_msg_get_query(buf_sv(&b), &got), -EBADMSG);
	gpu_msg_query_done(&m);
	buf_done(&b);
}

static void test_index(void **state)
{
	struct buf b;
	uint32_t index;

	(void)state;
	buf_init(&b, 256);
	gpu_msg_put_index(&b, 0);
	assert_int_equal(gpu_msg_get_index(buf_sv(&b), &index), 0);
	assert_int_equal(index, 0);
	buf_clear(&b);
	gpu_msg_put_index(&b, GPU_MSG_GPUS_MAX);
	assert_int_equal(gpu_msg_get_index(buf_sv(&b), &index), -EBADMSG);
	assert_int_equal(gpu_msg_get_index(SV_NONE, &index), -EBADMSG);
	buf_done(&b);
}

static void test_facts(void **state)
{
	struct nvidia_gpu g = {
		.minor = -1, .numa = -1, .memory_total = 1ull << 40, .switched = true
	};
	struct nvidia_gpu got;
	struct nvidia_system s = { .cuda_version = 13000, .cc_feature = -1 }, back;
	struct buf b;
	size_t i;

	(void)state;
	snprintf(g.name, sizeof(g.name), "NVIDIA H100");
	for (i = 0; i < TOPOLOGY_PEERS_MAX; i++)
		snprintf(g.peers[i], sizeof(g.peers[0]), "0000:%02zx:00.0", i);
	g.peers_n = TOPOLOGY_PEERS_MAX;
	buf_init(&b, 1 << 16);
	nvidia_gpu_put(&b, &g);
	assert_int_equal(nvidia_gpu_get(buf_sv(&b), &got), 0);
	assert_memory_equal(&g, &got, sizeof(g));
	tlv_put_str(&b, 32, "0000:ff:00.0"); /* one neighbour too many */
	assert_int_equal(nvidia_gpu_get(buf_sv(&b), &got), -EBADMSG);
	buf_clear(&b);
	nvidia_system_put(&b, &s);
	assert_int_equal(nvidia_system_get(buf_sv(&b), &back), 0);
	assert_memory_equal(&s, &back, sizeof(s));
	buf_done(&b);
}

static void test_host(void **state)
{
	const struct host_device devices[] = { { 195, 0 }, { 195, 255 } };
	struct host_device *got = mem_calloc(HOST_DEVICES_MAX, sizeof(*got));
	struct host_holders *h = MEM_NEW(struct host_holders), *back = MEM_NEW(struct host_holders);
	struct buf b;
	size_t n, i;

	(void)state;
	buf_init(&b, 1 << 20);
	host_put_devices(&b, devices, 2);
	assert_int_equal(host_get_devices(buf_sv(&b), got, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(got[1].minor, 255);
	for (i = 0; i < HOST_DEVICES_MAX; i++)
		host_put_devices(&b, devices, 1);
	assert_int_equal(host_get_devices(buf_sv(&b), got, &n), -EBADMSG);
	buf_clear(&b);
	h->complete = true;
	h->n = HOST_HOLDERS_MAX;
	h->list[3] = (struct host_holder){ 4711, "python3" };
	host_put_holders(&b, h);
	assert_int_equal(host_get_holders(buf_sv(&b), back), 0);
	assert_memory_equal(h, back, sizeof(*h));
	host_put_holders(&b, h);
	assert_int_equal(host_get_holders(buf_sv(&b), back), -EBADMSG);
	mem_free(got);
	mem_free(h);
	mem_free(back);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),	    cmocka_unit_test(test_open_cut_and_bent),
		cmocka_unit_test(test_open_limits), cmocka_unit_test(test_query),
		cmocka_unit_test(test_index),	    cmocka_unit_test(test_facts),
		cmocka_unit_test(test_host),
	};

	return RUN(tests);
}
