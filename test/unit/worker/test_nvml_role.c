/* The role in this process, asked as worker_serve() asks it, against fake hardware. */
#include "test/unit/worker/node.h"

#include "core/buf.h"
#include "gpu/nvidia/facts.h"
#include "gpu/nvidia/worker/nvml_role.h"
#include "gpu/proto/messages.h"

static int ask(struct nvml_role *role, enum gpu_method method, struct sv body, struct buf *out)
{
	size_t i;

	buf_clear(out);
	for (i = 0; i < nvml_role_methods_n; i++)
		if (nvml_role_methods[i].method == (uint16_t)method)
			return nvml_role_methods[i].fn(role, body, 1000, out);
	fail();
	return 0;
}

static void open_role(struct nvml_role *role, struct gpu_msg_open *m)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_int_equal(ask(role, GPU_M_OPEN, SV_NONE, &out), 0);
	assert_int_equal(gpu_msg_get_open(buf_sv(&out), m), 0);
	m->facts = SV_NONE;
	buf_done(&out);
}

static void query(struct nvml_role *role, uint32_t index, struct gpu_msg_query *m,
		  struct nvidia_gpu *g)
{
	struct buf body, out;

	buf_init(&body, 64);
	buf_init(&out, 1 << 20);
	gpu_msg_put_index(&body, index);
	assert_int_equal(ask(role, GPU_M_QUERY, buf_sv(&body), &out), 0);
	assert_int_equal(gpu_msg_get_query(buf_sv(&out), m), 0);
	if (m->state == GPU_QUERY_OK)
		assert_int_equal(nvidia_gpu_get(m->facts, g), 0);
	m->facts = SV_NONE;
	buf_done(&body);
	buf_done(&out);
}

static void test_dump(void **state)
{
	struct fake_node *n = node_new("--profile h100 --count 4");
	struct nvml_role *role = nvml_role_new(&n->roots);
	struct gpu_msg_open *m = MEM_NEW(struct gpu_msg_open);
	struct gpu_msg_query q;
	struct nvidia_gpu g;
	uint32_t i;
	size_t j, k;

	(void)state;
	open_role(role, m);
	printf("%u %s count %u\n", m->state, m->text, m->count);
	for (j = 0; j < m->watch_n; j++)
		printf("watch %s %s\n", m->watch[j].folder, m->watch[j].prefix);
	for (j = 0; j < m->seen_n; j++)
		printf("seen %s %s %d\n", m->seen[j].pci, m->seen[j].uuid, (int)m->seen[j].minor);
	for (j = 0; j < m->edits.nodes_n; j++)
		printf("node %s %s %d:%d %o\n", m->edits.nodes[j].path, m->edits.nodes[j].host,
		       (int)m->edits.nodes[j].major, (int)m->edits.nodes[j].minor,
		       m->edits.nodes[j].mode);
	for (j = 0; j < m->edits.mounts_n; j++)
		printf("mount %s -> %s %s\n", m->edits.mounts[j].host, m->edits.mounts[j].path,
		       m->edits.mounts[j].options[0]);
	for (j = 0; j < m->edits.env_n; j++)
		printf("env %s\n", m->edits.env[j]);
	for (j = 0; j < m->edits.hooks_n; j++) {
		printf("hook");
		for (k = 0; m->edits.hooks[j].args[k]; k++)
			printf(" %s", m->edits.hooks[j].args[k]);
		printf("\n");
	}
	for (i = 0; i < m->count; i++) {
		query(role, i, &q, &g);
		printf("gpu %u: %u %s %s %s minor %d name %s path %s numa %d sw %d peers %zu mem "
		       "%llu brand %u arch %u cc %u.%u addr %d ecc %d mig %d serial %s\n",
		       i, q.state, q.text, q.pci, q.uuid, (int)q.minor, g.name, g.path, (int)g.numa,
		       g.switched, g.peers_n, (unsigned long long)g.memory_total, g.brand,
		       g.architecture, g.cc_major, g.cc_minor, (int)g.addressing, (int)g.ecc,
		       (int)g.mig_mode, g.serial);
		for (j = 0; j < q.edits.nodes_n; j++)
			printf("node %s %s %d:%d %o\n", q.edits.nodes[j].path,
			       q.edits.nodes[j].host, (int)q.edits.nodes[j].major,
			       (int)q.edits.nodes[j].minor, q.edits.nodes[j].mode);
		for (j = 0; j < q.edits.hooks_n; j++) {
			printf("hook");
			for (k = 0; q.edits.hooks[j].args[k]; k++)
				printf(" %s", q.edits.hooks[j].args[k]);
			printf("\n");
		}
		gpu_msg_query_done(&q);
	}
	gpu_msg_open_done(m);
	mem_free(m);
	nvml_role_free(&role);
	node_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dump) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
