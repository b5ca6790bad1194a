#include "test/lib/node/gpu_script.h"

#include <errno.h>

#include "core/buf.h"
#include "gpu/nvidia/facts.h"
#include "gpu/proto/messages.h"

void gpu_script_add(struct gpu_script *g)
{
	struct gpu_script_gpu *x = &g->gpus[g->n];

	must(g->n < GPU_SCRIPT_MAX);
	*x = (struct gpu_script_gpu){ .minor = (int)g->n, .memory = 80ull << 30, .present = true };
	snprintf(x->uuid, sizeof(x->uuid), "GPU-%04zu", g->n);
	snprintf(x->pci, sizeof(x->pci), "0000:%02zx:00.0", g->n + 1);
	snprintf(x->product, sizeof(x->product), "Scripted GPU");
	g->n++;
}

void gpu_script_init(struct gpu_script *g, size_t n)
{
	*g = (struct gpu_script){ .n = 0 };
	for (size_t i = 0; i < n; i++)
		gpu_script_add(g);
}

/* The index that NVML would give counts what is there. */
static struct gpu_script_gpu *at(struct gpu_script *g, uint32_t index)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->gpus[i].present && !index--)
			return &g->gpus[i];
	return NULL;
}

static uint32_t count(const struct gpu_script *g)
{
	uint32_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += g->gpus[i].present;
	return n;
}

static void add_common(struct gpu_edits *e)
{
	const struct gpu_edit_node node = { .path = "/dev/nvidiactl", .major = 195, .minor = 255 };

	must(!edits_add_node(e, &node));
	must(!edits_add_env(e, "NVIDIA_VISIBLE_DEVICES=void"));
}

static int open_driver(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct nvidia_system system = { .driver_version = "580.65.06",
					.cuda_version = 13000,
					.cc_feature = -1,
					.cc_devtools = -1,
					.cc_multi_gpu = -1 };
	struct gpu_script *g = ctx;
	struct gpu_msg_open m = { .state = GPU_OPEN_READY };
	struct buf facts;

	(void)body;
	(void)deadline_ms;
	g->opens++;
	buf_init(&facts, 4096);
	nvidia_system_put(&facts, &system);
	edits_init(&m.edits);
	m.count = count(g);
	m.facts = buf_sv(&facts);
	snprintf(m.text, sizeof(m.text), "scripted driver");
	if (*g->no_driver || *g->broken) {
		m.state = *g->no_driver ? GPU_OPEN_NO_DRIVER : GPU_OPEN_TROUBLE;
		m.count = 0;
		snprintf(m.text, sizeof(m.text), "%s", *g->no_driver ? g->no_driver : g->broken);
	} else {
		add_common(&m.edits);
	}
	gpu_msg_put_open(out, &m);
	edits_done(&m.edits);
	buf_done(&facts);
	return 0;
}

static void put_facts(struct buf *facts, const struct gpu_script_gpu *x)
{
	struct nvidia_gpu gpu = { .brand = 2,
				  .architecture = 9,
				  .cc_major = 9,
				  .minor = x->minor,
				  .memory_total = x->memory,
				  .numa = 0,
				  .addressing = 0,
				  .ecc = 1,
				  .mig_mode = -1 };

	snprintf(gpu.uuid, sizeof(gpu.uuid), "%s", x->uuid);
	snprintf(gpu.name, sizeof(gpu.name), "%s", x->product);
	snprintf(gpu.pci, sizeof(gpu.pci), "%s", x->pci);
	snprintf(gpu.path, sizeof(gpu.path), "pci0000:00/0000:00:01.0/%s", x->pci);
	nvidia_gpu_put(facts, &gpu);
}

static int query_gpu(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	struct gpu_script *g = ctx;
	struct gpu_msg_query m = { .state = GPU_QUERY_OK };
	const struct gpu_script_gpu *x;
	struct gpu_edit_node node = { .major = 195 };
	struct buf facts;
	uint32_t index;
	char path[64];

	(void)deadline_ms;
	g->queries++;
	if (gpu_msg_get_index(body, &index) < 0 || !(x = at(g, index)))
		return -EINVAL;
	buf_init(&facts, 4096);
	edits_init(&m.edits);
	snprintf(m.pci, sizeof(m.pci), "%s", x->pci);
	snprintf(m.uuid, sizeof(m.uuid), "%s", x->uuid);
	m.minor = x->minor;
	if (*x->trouble) {
		m.state = GPU_QUERY_TROUBLE;
		snprintf(m.text, sizeof(m.text), "%s", x->trouble);
	}
	snprintf(path, sizeof(path), "/dev/nvidia%d", x->minor);
	node.path = path;
	node.minor = x->minor;
	must(!edits_add_node(&m.edits, &node));
	put_facts(&facts, x);
	m.facts = buf_sv(&facts);
	gpu_msg_put_query(out, &m);
	edits_done(&m.edits);
	buf_done(&facts);
	return 0;
}

static int close_driver(void *ctx, struct sv body, uint32_t deadline_ms, struct buf *out)
{
	(void)ctx;
	(void)body;
	(void)deadline_ms;
	(void)out;
	return 0;
}

const struct worker_method gpu_script_methods[] = {
	{ GPU_M_OPEN, "open", open_driver },
	{ GPU_M_QUERY, "query", query_gpu },
	{ GPU_M_CLOSE, "close", close_driver },
};
const size_t gpu_script_methods_n = ARRAY_LEN(gpu_script_methods);
