#include "tools/tundra/in_use.h"

#include "core/log.h"
#include "core/mem.h"
#include "gpu/proto/host.h"

#define ASK_MS 10000u /* a walk through /proc of a busy node takes some 100 ms */

enum { WHO_MAX = 256, WHO_NAMES = 8 };
enum { UNKNOWN = -1, FREE, IN_USE };

struct in_use {
	struct worker *worker;
	struct inventory *inventory;
	struct loop_task task; /* an answer never comes from within the question */
	uint64_t call;
	void (*answer)(void *arg, int in_use);
	void *arg;
	int known;
	char who[WHO_MAX];
};

static void on_task(void *arg)
{
	struct in_use *u = arg;
	void (*answer)(void *arg, int in_use) = u->answer;

	u->answer = NULL;
	if (answer)
		answer(u->arg, u->known);
}

static void finish(struct in_use *u, int known)
{
	u->known = known;
	loop_task_post(&u->task);
}

/* "4711 (python3), 4712 (python3), ..." */
static void say_who(struct in_use *u, const struct host_holders *h)
{
	size_t at = 0;

	for (size_t i = 0; i < h->n && i < WHO_NAMES && at < sizeof(u->who); i++)
		at += (size_t)snprintf(u->who + at, sizeof(u->who) - at, "%s%lld (%s)",
				       i ? ", " : "", (long long)h->list[i].pid, h->list[i].name);
	if (h->n > WHO_NAMES && at < sizeof(u->who))
		snprintf(u->who + at, sizeof(u->who) - at, ", ...");
}

static void on_holders(void *arg, int status, struct sv bytes)
{
	struct in_use *u = arg;
	struct host_holders *h = MEM_NEW(struct host_holders);

	u->call = 0;
	if (status < 0 || host_get_holders(bytes, h) < 0) {
		log_warn("cannot tell whether a process holds a GPU", LOG_I("status", status));
		finish(u, UNKNOWN);
	} else {
		say_who(u, h);
		finish(u, h->n ? IN_USE : h->complete ? FREE : UNKNOWN);
	}
	mem_free(h);
}

static size_t nodes_of(struct in_use *u, const char *identity, struct host_device *out, size_t max)
{
	size_t n = 0;

	list_for_each (i, inventory_devices(u->inventory)) {
		const struct gpu_device *g = list_entry(i, struct gpu_device, node);

		if (!sv_eqs(sv_str(g->uuid), identity))
			continue;
		for (size_t k = 0; k < g->edits.nodes_n && n < max; k++)
			if (g->edits.nodes[k].major > 0 && g->edits.nodes[k].minor >= 0)
				out[n++] =
				    (struct host_device){ (uint32_t)g->edits.nodes[k].major,
							  (uint32_t)g->edits.nodes[k].minor };
	}
	return n;
}

struct in_use *in_use_new(struct loop *l, const struct worker_host *host, struct inventory *inv)
{
	struct in_use *u = MEM_NEW(struct in_use);

	u->inventory = inv;
	u->worker = worker_new(l, host, "host");
	loop_task_init(&u->task, l, LOOP_TICK, on_task, u);
	return u;
}

void in_use_free(struct in_use **up)
{
	struct in_use *u = *up;

	if (!u)
		return;
	loop_task_stop(&u->task);
	worker_free(&u->worker);
	mem_free(u);
	*up = NULL;
}

void in_use_ask(void *ctx, const char *const *identities, size_t n,
		void (*answer)(void *arg, int in_use), void *arg)
{
	struct host_device *devices = mem_calloc(HOST_DEVICES_MAX, sizeof(*devices));
	struct in_use *u = ctx;
	struct buf body;
	size_t found = 0;
	bool all = true;

	must(!u->answer);
	u->answer = answer;
	u->arg = arg;
	u->who[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t more = nodes_of(u, identities[i], devices + found, HOST_DEVICES_MAX - found);

		all = all && more;
		found += more;
	}
	buf_init(&body, 64 << 10);
	host_put_devices(&body, devices, found);
	if (n && !all)
		finish(u, UNKNOWN); /* a GPU that is not here now: nobody can say */
	else if (!found)
		finish(u, FREE);
	else
		u->call =
		    worker_call(u->worker, HOST_M_HOLDERS, buf_sv(&body), ASK_MS, on_holders, u);
	buf_done(&body);
	mem_free(devices);
}

const char *in_use_who(void *ctx)
{
	const struct in_use *u = ctx;

	return u->who;
}

const struct worker_stats *in_use_worker(const struct in_use *u)
{
	return worker_stats(u->worker);
}
