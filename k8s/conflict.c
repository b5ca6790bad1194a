#include "k8s/conflict.h"

#include "core/fswatch.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/api/client.h"
#include "k8s/api/quantity.h"
#include "k8s/events.h"

#define QUIET_MS   600000u /* between two looks at a node without a conflict, on average */
#define TROUBLE_MS 30000u  /* and at one with: the operator is mending it */
#define RETRY_MS   5000u   /* after an answer that was none */
#define SPREAD	   20u	   /* percent: the nodes of a fleet started together, and ask apart */

struct conflict {
	struct loop *loop;
	struct conflict_conf conf;
	char *node, *resource, *folder, *socket, *reason;
	struct fswatch *watch;
	struct loop_timer timer;
	uint64_t call;
	bool answered, found;
	bool failed; /* the last look, and it was told */
};

static void tell(struct conflict *c, const char *reason)
{
	struct events_object node = { "v1", "Node", NULL, c->node, c->node };
	bool same =
	    c->answered && sv_eq(sv_str(reason), sv_str(c->reason)) && !reason == !c->reason;

	c->answered = true;
	if (same)
		return;
	if (reason) {
		log_error("another agent serves the same GPUs", LOG_S("why", reason),
			  LOG_S("publishing", c->conf.allowed ? "allowed by flag" : "withdrawn"));
		events_warn(c->conf.events, &node, "DevicePluginConflict",
			    "%s; %s. Remove the device plugin from this node, or start tundra with "
			    "--allow-device-plugin.",
			    reason,
			    c->conf.allowed ? "GPUs may be booked twice (allowed by flag)"
					    : "tundra offers no devices until it is gone");
	} else if (c->reason) {
		log_info("no other agent serves the GPUs any more");
	}
	mem_free(c->reason);
	c->reason = mem_strdup(reason);
	c->conf.on_change(c->conf.arg, c->conf.allowed ? NULL : c->reason);
}

static int is_socket_of_plugin(void *arg, const char *name)
{
	struct conflict *c = arg;

	if (!sv_starts(sv_str(name), sv_str(c->socket)) || !sv_ends(sv_str(name), SV(".sock")))
		return 0;
	c->found = true;
	return 1;
}

static bool socket_found(struct conflict *c)
{
	c->found = false;
	if (fsx_list(c->folder, is_socket_of_plugin, c) < 0)
		return false;
	return c->found;
}

static int64_t capacity(const struct json *node, const char *resource)
{
	struct quantity q;
	int64_t n;

	if (quantity_read(json_get(node, "status", "capacity", resource), &q) < 0 ||
	    quantity_i64(&q, &n) < 0)
		return 0;
	return n;
}

static void look_in(struct conflict *c, uint64_t ms)
{
	loop_timer_set(&c->timer, loop_jitter(c->loop, ms, SPREAD));
}

static void on_node(void *arg, const struct api_result *r)
{
	struct conflict *c = arg;
	char reason[256];
	int64_t n;

	c->call = 0;
	if (r->status) {
		if (!c->failed)
			log_warn("cannot read the Node, to see whether a device plugin serves it",
				 LOG_S("error", r->error));
		c->failed = true;
		look_in(c, RETRY_MS);
		return;
	}
	c->failed = false;
	n = capacity(r->object, c->resource);
	if (n > 0)
		snprintf(reason, sizeof(reason),
			 "the node's capacity has %lld %s, served by a device plugin", (long long)n,
			 c->resource);
	else if (socket_found(c))
		snprintf(reason, sizeof(reason), "a device plugin's socket (%s*.sock) is in %s",
			 c->socket, c->folder);
	else
		reason[0] = '\0';
	tell(c, *reason ? reason : NULL);
	look_in(c, *reason ? TROUBLE_MS : QUIET_MS);
}

static void look(void *arg)
{
	struct conflict *c = arg;
	struct api_request get = { .verb = API_GET,
				   .to = { .group = API_GROUP_CORE,
					   .version = "v1",
					   .resource = "nodes",
					   .name = c->node },
				   .fn = on_node,
				   .arg = c };

	if (!c->call)
		c->call = api_call(c->conf.api, &get);
}

static void on_folder(void *arg, const char *name)
{
	struct conflict *c = arg;

	if (!name || sv_starts(sv_str(name), sv_str(c->socket)))
		look(c);
}

struct conflict *conflict_new(struct loop *l, const struct conflict_conf *conf)
{
	struct conflict *c = MEM_NEW(struct conflict);
	int r;

	c->loop = l;
	c->conf = *conf;
	c->node = mem_strdup(conf->node);
	c->resource = mem_strdup(conf->resource);
	c->folder = mem_strdup(conf->folder);
	c->socket = mem_strdup(conf->socket);
	loop_timer_init(&c->timer, l, look, c);
	r = fswatch_new(l, c->folder, on_folder, c, &c->watch);
	if (r < 0)
		log_warn("device plugin folder cannot be watched", LOG_S("folder", c->folder),
			 LOG_S("error", strerror(-r)));
	look(c);
	return c;
}

void conflict_free(struct conflict **cp)
{
	struct conflict *c = *cp;

	if (!c)
		return;
	if (c->call)
		api_cancel(c->conf.api, c->call);
	fswatch_free(&c->watch);
	loop_timer_stop(&c->timer);
	mem_free(c->node);
	mem_free(c->resource);
	mem_free(c->folder);
	mem_free(c->socket);
	mem_free(c->reason);
	mem_free(c);
	*cp = NULL;
}

const char *conflict_reason(const struct conflict *c)
{
	return c->reason;
}
