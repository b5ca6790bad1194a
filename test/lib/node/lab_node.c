#include "test/lib/node/lab_node.h"

#include <unistd.h>

#include "core/mem.h"
#include "test/lib/node/lab_objects.h"

struct kubelet *lab_kubelet(struct lab *l, uint64_t sync_ms)
{
	return lab_kubelet_heard(l, (struct kubelet_conf){ .sync_ms = sync_ms });
}

struct kubelet *lab_kubelet_heard(struct lab *l, struct kubelet_conf conf)
{
	struct kubelet *k;
	struct err e = { "" };

	conf.store = l->store;
	conf.node = LAB_NODE;
	conf.registry = l->registry;
	if (!l->controllers)
		lab_controllers(l);
	must(kubelet_new(l->loop, &conf, &k, &e) == 0);
	return k;
}

static void answer_in_use(void *ctx, const char *const *identities, size_t n,
			  void (*answer)(void *arg, int in_use), void *arg)
{
	(void)identities;
	(void)n;
	answer(arg, ((struct lab_node *)ctx)->in_use);
}

static int start(struct lab_node *n, struct err *e)
{
	const struct driver_conf conf = { .name = n->name,
					  .node = LAB_NODE,
					  .instance = n->instance,
					  .boot_id = n->lab->boot_id,
					  .roots = &n->roots,
					  .hook_path = "/hook",
					  .hook_source = n->lab->own_paths ? n->lab->boot : NULL,
					  .api = n->lab->api,
					  .inventory = n->lab->inventory,
					  .disk = n->disk->worker,
					  .stats = n->lab->stats,
					  .events = n->lab->events,
					  .in_use = answer_in_use,
					  .in_use_ctx = n };

	n->drained = false;
	return driver_new(n->lab->loop, &conf, &n->driver, e);
}

/* Any small file does for the hook that is copied. */
static void own_paths(struct lab_node *n)
{
	struct lab *l = n->lab;
	unsigned number = (unsigned)(n->disk - l->disks);
	const char *const names[] = { "plugins", "plugins_registry", "cdi" };
	char *by _mem_free_ = lab_path(l, "by-%u", number);

	must(symlink(".", by) == 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		n->own[i] = lab_path(l, "by-%u/%s", number, names[i]);
	n->roots.plugins = n->own[0];
	n->roots.registry = n->own[1];
	n->roots.cdi = n->own[2];
}

int lab_node_start(struct lab_node *n, struct lab *l, const char *driver, const char *instance,
		   struct err *e)
{
	*n = (struct lab_node){ .lab = l,
				.disk = lab_disk_new(l),
				.roots = l->roots,
				.name = mem_strdup(driver),
				.instance = mem_strdup(instance) };
	if (l->own_paths)
		own_paths(n);
	return start(n, e);
}

int lab_node_again(struct lab_node *n, struct err *e)
{
	return start(n, e);
}

void lab_node_name(struct lab_node *n, const char *instance)
{
	mem_free(n->instance);
	n->instance = mem_strdup(instance);
}

static void on_drained(void *arg)
{
	((struct lab_node *)arg)->drained = true;
}

static bool has_ended(void *arg)
{
	const struct lab_node *n = arg;

	return n->drained || !n->driver;
}

bool lab_node_stop(struct lab_node *n, uint64_t ms)
{
	bool in_time;

	driver_drain(n->driver, on_drained, n);
	in_time = lab_until(n->lab, has_ended, n, ms);
	lab_node_kill(n);
	return in_time;
}

void lab_node_kill(struct lab_node *n)
{
	driver_free(&n->driver);
	lab_disk_restart(n->disk);
}

void lab_node_done(struct lab_node *n)
{
	if (!n->lab)
		return;
	driver_free(&n->driver);
	mem_free(n->name);
	mem_free(n->instance);
	for (size_t i = 0; i < ARRAY_LEN(n->own); i++)
		mem_free(n->own[i]);
	n->lab = NULL;
}

bool lab_node_ready(struct lab_node *n)
{
	struct buf reasons;
	bool ready;

	buf_init(&reasons, 4096);
	ready = driver_ready(n->driver, &reasons);
	buf_done(&reasons);
	return ready;
}

/* ---- objects ---- */

void lab_class(struct lab *l, const char *driver)
{
	store_put_text(l->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"DeviceClass\","
		       "\"metadata\":{\"name\":\"%s\"},\"spec\":{\"selectors\":[{\"cel\":{"
		       "\"expression\":\"device.driver == '%s'\"}}]}}",
		       driver, driver);
}

void lab_claim_wish(struct lab *l, const char *name, const char *class, unsigned count)
{
	store_put_text(l->store,
		       "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceClaim\","
		       "\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},\"spec\":{"
		       "\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{"
		       "\"deviceClassName\":\"%s\",\"count\":%u}}]}}}",
		       name, class, count);
}

void lab_pod(struct lab *l, const char *name, const char *claims, unsigned seconds)
{
	struct sv rest = sv_str(claims);
	struct buf list;

	buf_init(&list, 4096);
	while (rest.n) {
		struct sv claim = sv_cut(&rest, ',');

		buf_printf(&list,
			   "%s{\"name\":\"" SV_FMT "\",\"resourceClaimName\":\"" SV_FMT "\"}",
			   buf_len(&list) ? "," : "", SV_ARG(claim), SV_ARG(claim));
	}
	store_put_text(
	    l->store,
	    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
	    "\"namespace\":\"default\",\"annotations\":{\"tundra.dev/seconds\":\"%.0d\"}}"
	    ",\"spec\":{\"resourceClaims\":[%s]}}",
	    name, (int)seconds, buf_cstr(&list));
	buf_done(&list);
}

void lab_pod_delete(struct lab *l, const char *name, bool force)
{
	lab_delete_pod(l->store, name, force);
}

const char *lab_pod_phase(struct lab *l, const char *name)
{
	return lab_phase_of_pod(l->store, name);
}

struct awaited {
	struct lab *lab;
	const char *name, *phase;
};

static bool has_phase(void *arg)
{
	const struct awaited *a = arg;

	return !strcmp(lab_pod_phase(a->lab, a->name), a->phase);
}

bool lab_pod_until(struct lab *l, const char *name, const char *phase, uint64_t ms)
{
	struct awaited a = { l, name, phase };

	return lab_until(l, has_phase, &a, ms);
}
